//! Reads what a caller sends: bounded in size and time, closed in shape.

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::BodyExt;
use model::limit;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::openapi::{Operation, Part};
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

/// A body that is to be JSON of a closed shape. It is read when the handler asks for it, so that what
/// the caller may not do is refused first.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(Body, PhantomData<fn() -> T>);

impl<T: DeserializeOwned> JsonBody<T> {
    /// Reads it.
    pub(crate) async fn read(self) -> Result<T, Problem> {
        self.read_or(INVALID).await
    }

    /// Reads it; what does not fit is a problem of `kind`.
    pub(crate) async fn read_or(self, kind: Kind) -> Result<T, Problem> {
        parse(&bytes(self.0).await?, kind)
    }
}

/// The same, where an absent body stands for an empty object.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(Body, PhantomData<fn() -> T>);

impl<T: DeserializeOwned> OptionalJson<T> {
    /// Reads it.
    pub(crate) async fn read(self) -> Result<T, Problem> {
        let bytes = bytes(self.0).await?;
        parse(if bytes.is_empty() { b"{}" } else { &bytes }, INVALID)
    }
}

impl<S: Sync, T> FromRequest<S> for JsonBody<T> {
    type Rejection = Infallible;
    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body(), PhantomData))
    }
}

impl<S: Sync, T> FromRequest<S> for OptionalJson<T> {
    type Rejection = Infallible;
    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body(), PhantomData))
    }
}

impl<T: JsonSchema> Part for JsonBody<T> {
    fn tell(to: &mut Operation<'_>) {
        let schema = to.schemas.sent::<T>();
        to.takes("application/json", true, &schema);
    }
}

impl<T: JsonSchema> Part for OptionalJson<T> {
    fn tell(to: &mut Operation<'_>) {
        let schema = to.schemas.sent::<T>();
        to.takes("application/json", false, &schema);
    }
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

/// The query of a request, of a closed shape.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

impl<T: JsonSchema> Part for Query<T> {
    fn tell(to: &mut Operation<'_>) {
        let schema = to.schemas.sent_in_full::<T>();
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name))
        };
        let properties = schema["properties"].as_object();
        for (name, schema) in properties.into_iter().flatten() {
            to.parameter("query", name, required(name), &without_null(schema));
        }
    }
}

/// In a query nothing can be null: what is absent is not written.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(kinds) = schema["type"].as_array().filter(|kinds| kinds.len() == 2) {
        schema["type"] = kinds[0].clone();
    }
    if let Some(forms) = schema["anyOf"].as_array().filter(|forms| forms.len() == 2) {
        let mut form = forms[0].clone();
        if let Some(about) = schema.get("description") {
            form["description"] = about.clone();
        }
        return form;
    }
    schema
}

/// The query of a request.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    axum::extract::Query::try_from_uri(uri)
        .map(|axum::extract::Query(query)| query)
        .map_err(|problem| Problem::new(INVALID, problem.body_text()))
}
