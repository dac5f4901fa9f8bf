//! The conversations of a person, and what was said in them.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use model::{CommitId, Event, EventId, ToolStatus, Turn};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::chat::{find, hidden};
use crate::follow::{Follow, Next, Waits};
use crate::problem::Problem;
use crate::views::{self, SessionView};

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

/// Conversations.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sessions {
    sessions: Vec<SessionView>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Sessions>, Problem> {
    let sessions = api.ledger.sessions(caller.subject, SESSIONS_MAX).await?;
    Ok(Json(Sessions { sessions: sessions.iter().map(views::session).collect() }))
}

/// What was said in a conversation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct History {
    turns: Vec<Said>,
}

/// What one side said, and did meanwhile.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Said {
    role: Speaker,
    text: String,
    ops: Vec<Op>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Speaker {
    User,
    #[default]
    Assistant,
}

/// One thing that an agent did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Op {
    /// It called a tool.
    Call(Call),
    /// What it had changed was committed.
    Commit {
        /// The new commit.
        commit: CommitId,
    },
}

/// A call of a tool.
#[derive(Debug, Serialize, JsonSchema)]
struct Call {
    #[serde(rename = "callId")]
    id: String,
    tool: String,
    args: Value,
    /// Whether it worked; absent until it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
}

pub(crate) async fn history(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<History>, Problem> {
    let session = find(&*api.ledger, &id).await?;
    let asked = caller.may(&Action::ReadDispatch { owner: session.subject });
    asked.map_err(|problem| hidden(problem, &id))?;
    let mut turns = Vec::new();
    for turn in api.ledger.turns(session.id, TURNS_MAX).await? {
        let said = answer(&api, &turn).await?;
        turns.push(Said { role: Speaker::User, text: turn.prompt, ops: vec![] });
        turns.extend(said);
    }
    Ok(Json(History { turns }))
}

/// What the agent said and did about a turn; nothing while it has done neither.
async fn answer(api: &Api, turn: &Turn) -> Result<Option<Said>, Problem> {
    let stopping = api.tasks.stopping();
    let after = EventId { n: turn.accepted.n, ..turn.accepted };
    let mut follow = Follow::new(api.ledger.clone(), stopping, turn.dispatch, after, Waits::Never);
    let mut answer = Said::default();
    for _ in 0..ENTRIES_MAX {
        match follow.next(PATIENCE).await? {
            Next::Entry(entry) if !answer.add(&entry.event, turn) => {}
            Next::Entry(_) | Next::Nothing | Next::Over => break,
        }
    }
    let said = !answer.text.is_empty() || !answer.ops.is_empty();
    Ok(said.then_some(answer))
}

impl Said {
    /// Adds what an event says; whether the turn is over with it.
    fn add(&mut self, event: &Event, turn: &Turn) -> bool {
        match event {
            Event::Message { text, .. } => self.text.push_str(text),
            Event::ToolCall { call, tool, arguments, .. } if self.ops.len() < OPS_MAX => {
                let (id, tool, args) = (call.clone(), tool.clone(), arguments.clone());
                self.ops.push(Op::Call(Call { id, tool, args, ok: None }));
            }
            Event::ToolUpdate { call, status, arguments, .. } => {
                if let (Some(arguments), Some(call)) = (arguments, self.call(call)) {
                    call.args.clone_from(arguments);
                }
                if let Some(status) = status {
                    self.close(call, *status);
                }
            }
            Event::Commit { commit, .. } if self.ops.len() < OPS_MAX => {
                self.ops.push(Op::Commit { commit: commit.clone() });
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
        if let Some(call) = self.call(call) {
            call.ok = Some(ok);
        }
    }

    fn call(&mut self, id: &str) -> Option<&mut Call> {
        self.ops.iter_mut().rev().find_map(|op| match op {
            Op::Call(call) if call.id == id => Some(call),
            Op::Call(_) | Op::Commit { .. } => None,
        })
    }
}
