//! `POST /agent/invocations`: a dispatch in the documented shape, `unit.v1`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use model::invocation::Invocation;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::api::Api;
use crate::asks;
use crate::body;
use crate::problem::{INVALID, NOT_CONFORMANT, Problem};

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

pub(crate) async fn dispatch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let idempotency = idempotency_key(&headers)?;
    let invocation: Invocation = body::json(body, NOT_CONFORMANT).await?;
    let ask = asks::dispatch(&api, &caller, invocation, idempotency).await?;
    let turn = api.dispatcher.dispatch(ask).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"workload_id": turn.dispatch}))))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
        let words =
            format!("Idempotency-Key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible characters");
        return Err(Problem::new(INVALID, words));
    }
    Ok(Some(key.to_owned()))
}
