//! `POST /agent/invocations`: a dispatch in the documented shape, `unit.v1`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Extension, Json};
use model::invocation::Invocation;
use model::{Budget, Permission};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::api::Api;
use crate::asks;
use crate::body;
use crate::problem::{INVALID, NOT_CONFORMANT, Problem};

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// What may be chosen beside the documented body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chosen {
    /// Whether the agent asks before it acts: `auto` or `ask`.
    pub(crate) permissions: Option<Permission>,
    /// Whether a runner may be taken that did not pass its test.
    #[serde(default)]
    pub(crate) untested: bool,
    /// The most calls of models.
    pub(crate) budget_requests: Option<u64>,
    /// The most tokens of them.
    pub(crate) budget_tokens: Option<u64>,
    /// The most that they may cost, in millionths.
    pub(crate) budget_micros: Option<u64>,
    #[serde(skip)]
    pub(crate) idempotency: Option<String>,
}

impl Chosen {
    pub(crate) fn budget(&self) -> Budget {
        let Self { budget_requests, budget_tokens, budget_micros, .. } = *self;
        Budget { requests: budget_requests, tokens: budget_tokens, micros: budget_micros }
    }
}

pub(crate) async fn dispatch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let chosen = Chosen { idempotency: idempotency_key(&headers)?, ..body::query(&uri)? };
    let invocation: Invocation = body::json(body, NOT_CONFORMANT).await?;
    let ask = asks::dispatch(&api, &caller, invocation, chosen).await?;
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
