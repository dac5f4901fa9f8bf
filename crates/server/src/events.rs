//! `GET /agent/dispatches/{id}/events`: all that a dispatch said or did, replayed and then live.

use axum::Extension;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use model::{Entry, EventId};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::warn;

use crate::access::Caller;
use crate::api::Api;
use crate::body::Query;
use crate::dispatches::readable;
use crate::follow::{Follow, Next, Waits};
use crate::openapi::{Answer, Operation, Part};
use crate::problem::Problem;
use crate::sse::{self, Feed, LastEventId, Stream};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// Only what comes after this entry.
    after: Option<EventId>,
    /// `false`: stop at the end of what is there. `true` where absent.
    follow: Option<bool>,
}

/// As server-sent events, or one JSON object a line where `Accept` asks for it.
pub(crate) async fn events(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(from): Query<From>,
    wish: Wish,
) -> Result<Entries, Problem> {
    let record = readable(&api, &caller, &id).await?;
    let after = wish.after.or(from.after).unwrap_or(EventId::START);
    let waits = if from.follow.unwrap_or(true) { Waits::ForMore } else { Waits::Never };
    let (ledger, stopping) = (api.ledger.clone(), api.tasks.stopping());
    let follow = Follow::new(ledger, stopping, record.dispatch.id, after, waits);
    let form = wish.form;
    Ok(Entries(sse::response(EventFeed { follow, form }, form.content_type())))
}

/// The entries of a stream, in either form.
pub(crate) struct Entries(Stream<Entry>);

impl IntoResponse for Entries {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl Answer for Entries {
    fn tell(to: &mut Operation<'_>) {
        Stream::<Entry>::tell(to);
        let entry = to.schemas.told::<Entry>();
        to.answers(200, "application/jsonl", &entry);
    }
}

/// What the headers ask for.
#[derive(Debug)]
pub(crate) struct Wish {
    after: Option<EventId>,
    form: Form,
}

impl<S: Sync> FromRequestParts<S> for Wish {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let LastEventId(after) = LastEventId::from_request_parts(parts, state).await?;
        Ok(Self { after, form: Form::asked(&parts.headers) })
    }
}

impl Part for Wish {
    fn tell(to: &mut Operation<'_>) {
        LastEventId::<EventId>::tell(to);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sse,
    JsonLines,
}

impl Form {
    fn asked(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
        let lines = ["application/jsonl", "application/x-ndjson", "application/json-lines"];
        if lines.iter().any(|form| accept.contains(form)) { Self::JsonLines } else { Self::Sse }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::JsonLines => "application/jsonl",
        }
    }

    fn encoded(self, entry: &Entry) -> String {
        let mut piece = String::new();
        match self {
            Self::Sse => sse::frame(&mut piece, entry.id, kind(entry).as_str(), entry),
            Self::JsonLines => {
                piece = serde_json::to_string(entry).unwrap_or_default();
                piece.push('\n');
            }
        }
        piece
    }
}

/// The `type` that the event has on the wire.
fn kind(entry: &Entry) -> String {
    let event = serde_json::to_value(&entry.event).unwrap_or_default();
    event["type"].as_str().unwrap_or("message").to_owned()
}

struct EventFeed {
    follow: Follow,
    form: Form,
}

impl Feed for EventFeed {
    async fn piece(&mut self) -> Option<String> {
        loop {
            match self.follow.next(sse::KEEP_ALIVE).await {
                Ok(Next::Entry(entry)) => return Some(self.form.encoded(&entry)),
                Ok(Next::Nothing) if self.form == Form::Sse => return Some(sse::ALIVE.to_owned()),
                Ok(Next::Nothing) => {}
                Ok(Next::Over) => return None,
                Err(problem) => {
                    warn!(%problem, "a reader lost its stream; it may come back");
                    return None;
                }
            }
        }
    }
}
