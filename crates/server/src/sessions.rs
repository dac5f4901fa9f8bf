//! The conversations of a person, and what was said in them.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use model::{Event, EventId, ToolStatus, Turn};
use serde_json::{Value, json};
use std::time::Duration;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::chat::{find, hidden};
use crate::follow::{Follow, Next, Waits};
use crate::problem::Problem;
use crate::views;

/// How many conversations one list has.
const SESSIONS_MAX: u32 = 500;
/// How many turns one history has: the newest.
const TURNS_MAX: u32 = 100;
/// How many entries of one turn a history looks at.
const ENTRIES_MAX: usize = 20_000;
/// How long a history waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many operations of one turn a history shows.
const OPS_MAX: usize = 200;

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    let sessions = api.ledger.sessions(caller.subject, SESSIONS_MAX).await?;
    let sessions: Vec<_> = sessions.iter().map(views::session).collect();
    Ok(Json(json!({"sessions": sessions})))
}

pub(crate) async fn history(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let session = find(&*api.ledger, &id).await?;
    let asked = caller.may(&Action::ReadDispatch { owner: session.subject });
    asked.map_err(|problem| hidden(problem, &id))?;
    let mut turns = Vec::new();
    for turn in api.ledger.turns(session.id, TURNS_MAX).await? {
        turns.push(json!({"role": "user", "text": turn.prompt, "ops": []}));
        turns.extend(answer(&api, &turn).await?);
    }
    Ok(Json(json!({"turns": turns})))
}

/// What the agent said and did about a turn; nothing while it has done neither.
async fn answer(api: &Api, turn: &Turn) -> Result<Option<Value>, Problem> {
    let stopping = api.tasks.stopping();
    let after = EventId { n: turn.accepted.n, ..turn.accepted };
    let mut follow = Follow::new(api.ledger.clone(), stopping, turn.dispatch, after, Waits::Never);
    let mut answer = Answer::default();
    for _ in 0..ENTRIES_MAX {
        match follow.next(PATIENCE).await? {
            Next::Entry(entry) if !answer.add(&entry.event, turn) => {}
            Next::Entry(_) | Next::Nothing | Next::Over => break,
        }
    }
    let said = !answer.text.is_empty() || !answer.ops.is_empty();
    Ok(said.then(|| json!({"role": "assistant", "text": answer.text, "ops": answer.ops})))
}

#[derive(Debug, Default)]
struct Answer {
    text: String,
    ops: Vec<Value>,
}

impl Answer {
    /// Adds what an event says; whether the turn is over with it.
    fn add(&mut self, event: &Event, turn: &Turn) -> bool {
        match event {
            Event::Message { text, .. } => self.text.push_str(text),
            Event::ToolCall { call, tool, arguments, .. } if self.ops.len() < OPS_MAX => {
                self.ops.push(json!({"tool": tool, "args": arguments, "callId": call}));
            }
            Event::ToolUpdate { call, status, arguments, .. } => {
                if let (Some(arguments), Some(op)) = (arguments, self.op(call)) {
                    op.insert("args".to_owned(), arguments.clone());
                }
                if let Some(status) = status {
                    self.close(call, *status);
                }
            }
            Event::Commit { commit, .. } if self.ops.len() < OPS_MAX => {
                self.ops.push(json!({"commit": commit}));
            }
            Event::TurnEnded { turn: ended, reply, .. } if *ended == turn.id => {
                if !reply.is_empty() {
                    self.text.clone_from(reply);
                }
                return true;
            }
            Event::Ended { .. } => return true,
            _ => {}
        }
        false
    }

    fn close(&mut self, call: &str, status: ToolStatus) {
        let ok = match status {
            ToolStatus::Pending | ToolStatus::InProgress => return,
            ToolStatus::Completed => true,
            ToolStatus::Failed => false,
        };
        if let Some(op) = self.op(call) {
            op.insert("ok".to_owned(), ok.into());
        }
    }

    fn op(&mut self, call: &str) -> Option<&mut serde_json::Map<String, Value>> {
        let op = self.ops.iter_mut().rev().find(|op| op["callId"] == call);
        op.and_then(Value::as_object_mut)
    }
}
