//! `POST /agent/chat` and its companions: a turn of a conversation, shown live.
//!
//! The turn belongs to its dispatch, not to the request: a client may leave and come back with the
//! same `turn_id` and `Last-Event-ID`, and sees the same bytes as one that stayed.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::{Extension, Json};
use engine::dispatcher::{DispatchError, Untested};
use engine::port::Ledger;
use model::{Budget, EventId, Permission, RunnerName, Session, SessionId, Turn, TurnId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::warn;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::asks;
use crate::body::{JsonBody, OptionalJson, Query};
use crate::follow::{Follow, Next, Waits};
use crate::frames::{Frame, FrameId, Shown, frames};
use crate::problem::{INVALID, Problem, UNKNOWN_SESSION};
use crate::sse::{self, Feed, LastEventId, Stream};

/// Something that is said in a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chat {
    /// What is said.
    pub(crate) prompt: String,
    /// The conversation; a new one where absent.
    pub(crate) session: Option<String>,
    /// A name for the turn, by which it is known when it is sent again; one of ours where absent.
    pub(crate) turn_id: Option<TurnId>,
}

/// What may be chosen beside the documented body, for a new conversation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// What drives the agent.
    pub(crate) runner: Option<RunnerName>,
    /// Workspaces as `name[:ro|rw|propose]`, separated by commas.
    pub(crate) workspace: Option<String>,
    /// Whether the agent asks before it acts: `auto` or `ask`.
    pub(crate) permissions: Option<Permission>,
    /// The tools behind the gate that the agent may call: `SERVER` or `SERVER.TOOL`, separated by
    /// commas; empty: none.
    pub(crate) tools: Option<String>,
    /// The model: `endpoint/model`, or one of the demo model.
    pub(crate) model: Option<String>,
    /// Whether a runner may be taken that did not pass its test.
    #[serde(default)]
    pub(crate) untested: bool,
    /// The most calls of models.
    pub(crate) budget_requests: Option<u64>,
    /// The most tokens of them.
    pub(crate) budget_tokens: Option<u64>,
    /// The most that they may cost, in millionths.
    pub(crate) budget_micros: Option<u64>,
    /// Whether what models are asked and answer is kept.
    #[serde(default)]
    pub(crate) record: bool,
}

impl Choice {
    pub(crate) fn budget(&self) -> Budget {
        let Self { budget_requests, budget_tokens, budget_micros, .. } = *self;
        Budget { requests: budget_requests, tokens: budget_tokens, micros: budget_micros }
    }
}

pub(crate) fn untested(take: bool) -> Untested {
    if take { Untested::Take } else { Untested::Refuse }
}

pub(crate) async fn say(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    LastEventId(resumed): LastEventId<FrameId>,
    Query(choice): Query<Choice>,
    body: JsonBody<Chat>,
) -> Result<Stream<Frame>, Problem> {
    let chat = body.read().await?;
    if resumed.is_some() && chat.turn_id.is_none() {
        return Err(Problem::new(
            INVALID,
            "Last-Event-ID needs the turn_id of the turn that is resumed; without it a new turn would run",
        ));
    }
    let session = match &chat.session {
        Some(text) => Some(own_session(&api, &caller, text).await?),
        None => None,
    };
    let message = asks::message(&caller, chat, choice, session.as_ref())?;
    let turn = api.dispatcher.say(message).await?;
    Ok(shown(&api, &turn, resumed))
}

/// The response that shows a turn from its beginning, or from where the client was cut off.
fn shown(api: &Api, turn: &Turn, resumed: Option<FrameId>) -> Stream<Frame> {
    let before = EventId { n: turn.accepted.n.saturating_sub(1), ..turn.accepted };
    let (ledger, stopping) = (api.ledger.clone(), api.tasks.stopping());
    let feed = TurnFeed {
        follow: Follow::new(ledger, stopping, turn.dispatch, before, Waits::ForMore),
        shown: Shown { turn: turn.id.clone(), session: turn.session },
        resumed,
        over: false,
    };
    let mut response = sse::response(feed, "text/event-stream");
    let headers = response.0.headers_mut();
    for (name, value) in [
        ("x-unit-id", turn.dispatch.to_string()),
        ("x-chat-session", turn.session.to_string()),
        ("x-turn-id", turn.id.to_string()),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The frames of one turn, from its `turn-accepted` to its `turn-complete`.
struct TurnFeed {
    follow: Follow,
    shown: Shown,
    resumed: Option<FrameId>,
    over: bool,
}

impl Feed for TurnFeed {
    async fn piece(&mut self) -> Option<String> {
        while !self.over {
            match self.follow.next(sse::KEEP_ALIVE).await {
                Ok(Next::Entry(entry)) => {
                    let shown = frames(&entry.event, &self.shown);
                    self.over = shown.last;
                    let piece = self.encoded(entry.id, &shown.frames);
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
                Ok(Next::Nothing) => return Some(sse::ALIVE.to_owned()),
                Ok(Next::Over) => return None,
                Err(problem) => {
                    warn!(%problem, "a chat lost its stream; the client may come back");
                    return None;
                }
            }
        }
        None
    }
}

impl TurnFeed {
    fn encoded(&self, event: EventId, frames: &[Frame]) -> String {
        let mut piece = String::new();
        for (at, data) in frames.iter().enumerate() {
            let id = FrameId::of(event, at, frames.len());
            if self.resumed.is_none_or(|resumed| resumed < id) {
                sse::frame(&mut piece, id, data.kind(), data);
            }
        }
        piece
    }
}

/// Which conversation is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichSession {
    /// Its id.
    session: Option<String>,
}

/// Whether a turn was stopped.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stopped {
    ok: bool,
    /// Whether one was running.
    stopped: bool,
}

/// That it was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    ok: bool,
}

/// Stops the running turn of a conversation; the conversation goes on.
pub(crate) async fn stop(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: OptionalJson<WhichSession>,
) -> Result<Json<Stopped>, Problem> {
    let which = body.read().await?;
    let session = which.session.ok_or_else(|| Problem::new(INVALID, "missing field `session`"))?;
    let session = own_session(&api, &caller, &session).await?;
    let stopped = match session.dispatch {
        Some(dispatch) => match api.dispatcher.stop_turn(&caller.principal, dispatch).await {
            Ok(()) => true,
            Err(DispatchError::NoTurn(_) | DispatchError::Over(_)) => false,
            Err(refusal) => return Err(refusal.into()),
        },
        None => false,
    };
    Ok(Json(Stopped { ok: true, stopped }))
}

/// Ends the living sandboxes of one conversation, or of all the caller's: what is said next begins
/// in a fresh one. What was said stays.
pub(crate) async fn reset(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: OptionalJson<WhichSession>,
) -> Result<Json<Done>, Problem> {
    let which = body.read().await?;
    let sessions = match which.session {
        Some(session) => vec![own_session(&api, &caller, &session).await?],
        None => api.ledger.sessions(caller.subject, RESET_MAX).await?,
    };
    for dispatch in sessions.into_iter().filter_map(|session| session.dispatch) {
        match api.dispatcher.cancel(&caller.principal, dispatch).await {
            Ok(()) | Err(DispatchError::Over(_) | DispatchError::UnknownDispatch(_)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Json(Done { ok: true }))
}

/// How many conversations one reset looks at, most lately active first.
const RESET_MAX: u32 = 100;

/// A conversation that the caller may steer. Another's is as if it were not there.
pub(crate) async fn own_session(
    api: &Api,
    caller: &Caller,
    text: &str,
) -> Result<Session, Problem> {
    let session = find(&*api.ledger, text).await?;
    let asked = caller.may(&Action::SteerDispatch { owner: session.subject });
    asked.map_err(|problem| hidden(problem, text))?;
    Ok(session)
}

/// A conversation by the id that a caller gave.
pub(crate) async fn find(ledger: &dyn Ledger, text: &str) -> Result<Session, Problem> {
    let id: SessionId = text.parse().map_err(|_| unknown(text))?;
    ledger.session(id).await?.ok_or_else(|| unknown(text))
}

/// What is somebody else's is told as what is not there.
pub(crate) fn hidden(problem: Problem, text: &str) -> Problem {
    if problem.kind == crate::problem::NOT_FOUND { unknown(text) } else { problem }
}

fn unknown(text: &str) -> Problem {
    Problem::new(
        UNKNOWN_SESSION,
        format!("there is no conversation `{text}`; GET /agent/sessions lists yours"),
    )
}
