//! Reads what a caller sends: bounded in size and time, closed in shape.

use std::fmt::Display;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::http::Uri;
use bytes::Bytes;
use http_body_util::BodyExt;
use model::limit;
use serde::de::DeserializeOwned;

use crate::problem::{INVALID, Kind, MALFORMED, Problem, TIMED_OUT, TOO_LARGE};

/// The largest body of a request, in bytes: the longest prompt, every character of it escaped.
pub(crate) const BODY_BYTES_MAX: usize = 6 * limit::PROMPT_BYTES_MAX + (64 << 10);
/// How long a caller may take to send its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// So much of a body that is too large is read and thrown away, so that the caller, who may read only
/// after it has written, gets the answer.
const THROWN_AWAY_MAX: usize = 64 << 20;

/// The whole body.
pub(crate) async fn bytes(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIME_MAX, collect(body)).await;
    read.unwrap_or_else(|_| Err(Problem::plain(TIMED_OUT)))
}

async fn collect(mut body: Body) -> Result<Bytes, Problem> {
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    while size <= THROWN_AWAY_MAX
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|_| Problem::new(MALFORMED, "the body was cut off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        size = size.saturating_add(piece.len());
        if size <= BODY_BYTES_MAX {
            kept.extend_from_slice(&piece);
        } else {
            kept = Vec::new();
        }
    }
    if size > BODY_BYTES_MAX {
        return Err(Problem::new(TOO_LARGE, format!("a body has at most {BODY_BYTES_MAX} bytes")));
    }
    Ok(kept.into())
}

/// The body as JSON of a closed shape; what does not fit is a problem of `kind`.
pub(crate) async fn json<T: DeserializeOwned>(body: Body, kind: Kind) -> Result<T, Problem> {
    parse(&bytes(body).await?, kind)
}

/// The same, where an absent body stands for an empty object.
pub(crate) async fn optional_json<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = bytes(body).await?;
    parse(if bytes.is_empty() { b"{}" } else { &bytes }, INVALID)
}

fn parse<T: DeserializeOwned>(bytes: &[u8], kind: Kind) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|problem| Problem::new(kind, problem.to_string()))
}

/// How many items a page of a list is to have: from 1 to `max`, `usual` where nothing is said.
pub(crate) fn page<N>(asked: Option<N>, usual: N, max: N) -> Result<N, Problem>
where
    N: Copy + PartialOrd + From<u8> + Display,
{
    let limit = asked.unwrap_or(usual);
    if (N::from(1)..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(INVALID, format!("limit is 1 to {max}")))
}

/// The query of a request.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|problem| Problem::new(INVALID, problem.body_text()))
}
