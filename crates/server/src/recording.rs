//! `/agent/dispatches/{id}/recording`: what models were asked and answered, one exchange a line.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::port::{Exchange, LedgerError};
use futures_util::stream;
use model::DispatchId;

use crate::access::Caller;
use crate::api::Api;
use crate::dispatches::readable;
use crate::openapi::{Answer, Operation};
use crate::problem::{NOT_FOUND, Problem};

pub(crate) async fn recording(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Lines, Problem> {
    let dispatch = readable(&api, &caller, &id).await?.dispatch;
    if !dispatch.record {
        return Err(Problem::new(NOT_FOUND, "this dispatch was not recorded"));
    }
    let from = (api, dispatch.id, 0);
    let lines = stream::try_unfold(from, |(api, dispatch, after)| async move {
        let next = line(&api, dispatch, after).await?;
        Ok::<_, LedgerError>(next.map(|(number, line)| (line, (api, dispatch, number))))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    let name = format!("attachment; filename=\"{}.jsonl\"", dispatch.id);
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(Lines(response))
}

/// Exchanges, one a line.
pub(crate) struct Lines(Response);

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answer for Lines {
    fn tell(to: &mut Operation<'_>) {
        let exchange = to.schemas.told::<Exchange>();
        to.answers(200, "application/jsonl", &exchange);
    }
}

async fn line(
    api: &Api,
    dispatch: DispatchId,
    after: u64,
) -> Result<Option<(u64, Bytes)>, LedgerError> {
    let Some((number, exchange)) = api.recordings.exchange_after(dispatch, after).await? else {
        return Ok(None);
    };
    let mut line = serde_json::to_vec(&exchange)
        .map_err(|problem| LedgerError::Unavailable(Box::new(problem)))?;
    line.push(b'\n');
    Ok(Some((number, line.into())))
}
