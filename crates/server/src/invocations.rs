//! `POST /agent/invocations`: a dispatch in the documented shape, `unit.v1`.

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::extract::State;
use axum::http::request::Parts;
use engine::dispatcher::Ask;
use model::invocation::Invocation;
use model::{Budget, Permission};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::access::Caller;
use crate::answer::Accepted;
use crate::api::Api;
use crate::asks;
use crate::body::{JsonBody, Query};
use crate::openapi::{Operation, Part};
use crate::problem::{INVALID, NOT_CONFORMANT, Problem};
use crate::views::Started;

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// What may be chosen beside the documented body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chosen {
    /// Whether the agent asks before it acts: `auto` or `ask`.
    pub(crate) permissions: Option<Permission>,
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

impl Chosen {
    pub(crate) fn budget(&self) -> Budget {
        let Self { budget_requests, budget_tokens, budget_micros, .. } = *self;
        Budget { requests: budget_requests, tokens: budget_tokens, micros: budget_micros }
    }
}

pub(crate) async fn dispatch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    IdempotencyKey(idempotency): IdempotencyKey,
    Query(chosen): Query<Chosen>,
    body: JsonBody<Invocation>,
) -> Result<Accepted<Started>, Problem> {
    let invocation = body.read_or(NOT_CONFORMANT).await?;
    let ask = asks::dispatch(&api, &caller, invocation, chosen).await?;
    let turn = api.dispatcher.dispatch(Ask { idempotency, ..ask }).await?;
    Ok(Accepted(Started { workload_id: turn.dispatch }))
}

/// The header by which a request that is repeated is known.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default();
        if !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
            let words =
                format!("Idempotency-Key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible characters");
            return Err(Problem::new(INVALID, words));
        }
        Ok(Self(Some(key.to_owned())))
    }
}

impl Part for IdempotencyKey {
    fn tell(to: &mut Operation<'_>) {
        let schema = json!({
            "type": "string",
            "maxLength": IDEMPOTENCY_KEY_BYTES_MAX,
            "description": "By which the same request is known when it is sent again: it starts nothing twice.",
        });
        to.parameter("header", "Idempotency-Key", false, &schema);
    }
}
