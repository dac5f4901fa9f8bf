//! Server-sent events: one frame is an id, a type and one line of JSON.

use std::convert::Infallible;
use std::fmt::{Display, Write};
use std::future::Future;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde_json::json;
use tracing::warn;

use crate::openapi::{Answer, Operation, Part};
use crate::problem::{INVALID, Problem};

/// How long a stream stays silent before it says that it is alive.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What it then says: a comment, which every client skips.
pub(crate) const ALIVE: &str = ": keep-alive\n\n";

/// Adds one frame. JSON has no raw line break, so one data line holds it whole.
pub(crate) fn frame(to: &mut String, id: impl Display, kind: &str, data: &impl serde::Serialize) {
    match serde_json::to_string(data) {
        Ok(data) => {
            // Writing to a text cannot fail.
            let _written = write!(to, "id: {id}\nevent: {kind}\ndata: {data}\n\n");
        }
        Err(problem) => warn!(%problem, kind, "a frame could not be written"),
    }
}

/// Something that gives the next piece of a body when the reader has room for it.
pub(crate) trait Feed: Send + 'static {
    /// The next piece; none at the end.
    fn piece(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// A response whose body is a stream of `T`, one after another.
pub(crate) struct Stream<T>(pub(crate) Response, PhantomData<fn() -> T>);

impl<T> IntoResponse for Stream<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T: JsonSchema> Answer for Stream<T> {
    fn tell(to: &mut Operation<'_>) {
        let one = to.schemas.told::<T>();
        to.answers(200, "text/event-stream", &one);
    }
}

/// A response whose body is pulled from `feed`.
pub(crate) fn response<T>(feed: impl Feed, content_type: &'static str) -> Stream<T> {
    let pieces = stream::unfold(feed, async |mut feed| {
        let piece = feed.piece().await?;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), feed))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Stream(response, PhantomData)
}

/// Where a client that comes back was cut off.
#[derive(Debug)]
pub(crate) struct LastEventId<T>(pub(crate) Option<T>);

impl<S: Sync, T: FromStr> FromRequestParts<S> for LastEventId<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        let bad = || Problem::new(INVALID, "Last-Event-ID is not the id of a frame of this stream");
        text.parse().map(|id| Self(Some(id))).map_err(|_| bad())
    }
}

impl<T> Part for LastEventId<T> {
    fn tell(to: &mut Operation<'_>) {
        let about = "The id of the last frame that was seen: the stream goes on after it.";
        let schema = json!({"type": "string", "description": about});
        to.parameter("header", "Last-Event-ID", false, &schema);
    }
}
