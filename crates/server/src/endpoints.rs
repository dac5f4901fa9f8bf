//! `/auth/endpoints`: the model endpoints that one keeps for one's own dispatches. Nothing here ever shows a key.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::endpoint::{EndpointError, EndpointWish, ModelKey, OWN_MARK};
use engine::port::{ModelPrice, OwnEndpoint, Tried};
use model::{EndpointName, ModelApi, RunnerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::access::Caller;
use crate::answer::{Made, NoContent};
use crate::api::Api;
use crate::body::{JsonBody, OptionalJson};
use crate::problem::{
    CONFLICT, ENDPOINT_NOT_ALLOWED, INTERNAL, INVALID, Problem, UNKNOWN_ENDPOINT,
};
use crate::views::{self, Moment};

/// The dialect of an endpoint.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EndpointApi")]
enum Dialect {
    /// `OpenAI` chat completions.
    #[default]
    Openai,
    /// `OpenAI` Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini.
    Gemini,
}

impl From<Dialect> for ModelApi {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Openai => Self::OpenaiChat,
            Dialect::Responses => Self::OpenaiResponses,
            Dialect::Anthropic => Self::AnthropicMessages,
            Dialect::Gemini => Self::Gemini,
        }
    }
}

impl From<ModelApi> for Dialect {
    fn from(api: ModelApi) -> Self {
        match api {
            ModelApi::OpenaiChat => Self::Openai,
            ModelApi::OpenaiResponses => Self::Responses,
            ModelApi::AnthropicMessages => Self::Anthropic,
            ModelApi::Gemini => Self::Gemini,
        }
    }
}

/// A model endpoint of one's own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Endpoint")]
pub(crate) struct EndpointView {
    /// What you call it.
    name: EndpointName,
    api: Dialect,
    /// Its address.
    url: String,
    /// Whether it has a key, which nobody is shown.
    has_key: bool,
    /// The model that answers where no other is named.
    model: String,
    /// Others of it that may be asked for.
    models: Vec<String>,
    /// What can be chosen for a dispatch, as `@NAME/MODEL`.
    choices: Vec<String>,
    /// The runners whose agents may be given it; empty: all.
    runners: Vec<RunnerName>,
    /// The most tokens that it takes as the limit of an answer.
    max_tokens: Option<u64>,
    /// What its models cost.
    prices: Vec<ModelPrice>,
    /// Whether the server calls its host: the operator may have changed their mind.
    allowed: bool,
    /// When it was said so.
    changed: Moment,
}

fn view(api: &Api, told: OwnEndpoint) -> EndpointView {
    let allowed = api.endpoints.is_allowed(&told);
    let mut choices = vec![told.model.clone()];
    choices.extend(told.models.iter().filter(|it| **it != told.model).cloned());
    let named = |model: String| format!("{OWN_MARK}{}/{model}", told.name);
    EndpointView {
        choices: choices.into_iter().map(named).collect(),
        name: told.name,
        api: told.api.into(),
        url: told.url,
        has_key: told.secret.is_some(),
        model: told.model,
        models: told.models,
        runners: told.runners,
        max_tokens: told.max_tokens,
        prices: told.prices,
        allowed,
        changed: views::time(told.changed),
    }
}

/// One's model endpoints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Endpoints")]
pub(crate) struct EndpointsView {
    /// By name.
    endpoints: Vec<EndpointView>,
    /// The hosts that the server calls for people; none: nobody may bring an endpoint.
    hosts: Vec<String>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<EndpointsView>, Problem> {
    let endpoints = api.endpoints.list(caller.subject).await?;
    let endpoints = endpoints.into_iter().map(|told| view(&api, told)).collect();
    Ok(Json(EndpointsView { endpoints, hosts: api.endpoints.hosts().shown().to_vec() }))
}

pub(crate) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<EndpointView>, Problem> {
    let found = api.endpoints.one(caller.subject, &known(&name)?).await?;
    Ok(Json(view(&api, found)))
}

/// What models of an endpoint cost: millionths of money for a million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    /// Which models: a name, in which `*` stands for anything; all where absent.
    models: Option<String>,
    /// For tokens of a request.
    input: u64,
    /// For those of them that a cache had; the same where absent.
    cached: Option<u64>,
    /// For tokens of an answer.
    output: u64,
}

impl From<NewPrice> for ModelPrice {
    fn from(said: NewPrice) -> Self {
        let NewPrice { models, input, cached, output } = said;
        Self { models: models.unwrap_or_else(|| "*".to_owned()), input, cached, output }
    }
}

/// A model endpoint that is to be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEndpoint {
    /// The dialect it speaks; `openai` where absent.
    #[serde(default)]
    api: Dialect,
    /// Its address, with or without `/v1`, without a credential.
    url: String,
    /// Its key. Absent: the one that it has, as long as it points to the same host.
    #[schemars(with = "Option<String>")]
    key: Option<ModelKey>,
    /// The model that answers where no other is named.
    model: String,
    /// Others of it that may be asked for; all else is refused.
    #[serde(default)]
    models: Vec<String>,
    /// The runners whose agents may be given it; all where absent.
    #[serde(default)]
    runners: Vec<RunnerName>,
    /// The most tokens that it takes as the limit of an answer.
    max_tokens: Option<u64>,
    /// What its models cost; the first that fits a model counts.
    #[serde(default)]
    prices: Vec<NewPrice>,
}

pub(crate) async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: JsonBody<NewEndpoint>,
) -> Result<Made<EndpointView>, Problem> {
    let name = name.parse::<EndpointName>();
    let name = name.map_err(|bad| Problem::new(INVALID, bad.to_string()))?;
    let NewEndpoint { api: dialect, url, key, model, models, runners, max_tokens, prices } =
        body.read().await?;
    let url = url.trim().to_owned();
    let api_of = dialect.into();
    let prices = prices.into_iter().map(ModelPrice::from).collect();
    let wish =
        EndpointWish { name, api: api_of, url, key, model, models, runners, max_tokens, prices };
    let endpoints = api.endpoints.clone();
    let put = api.finish(async move { endpoints.put(caller.subject, wish).await });
    let (kept, is_new) = put.await??;
    let shown = view(&api, kept);
    Ok(if is_new { Made::Now(shown) } else { Made::Before(shown) })
}

pub(crate) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<NoContent, Problem> {
    let (name, endpoints) = (known(&name)?, api.endpoints.clone());
    api.finish(async move { endpoints.remove(caller.subject, &name).await }).await??;
    Ok(NoContent)
}

/// Which model is to be tried.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Try {
    /// One that the endpoint offers; its usual one where absent.
    model: Option<String>,
}

/// What came of asking an endpoint for a word.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EndpointTest")]
pub(crate) struct TriedView {
    /// Whether it answered.
    ok: bool,
    /// The model that was asked.
    model: String,
    /// How long it took, in milliseconds.
    elapsed_ms: u64,
    /// What is wrong and what to do about it; null where it answered.
    problem: Option<String>,
}

pub(crate) async fn test(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: OptionalJson<Try>,
) -> Result<Json<TriedView>, Problem> {
    let (name, asked) = (known(&name)?, body.read().await?);
    let tried = api.dispatcher.try_endpoint(caller.subject, &name, asked.model.as_deref()).await?;
    let Tried { model, elapsed, problem } = tried;
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(TriedView { ok: problem.is_none(), model, elapsed_ms, problem }))
}

/// The name of an endpoint that may be there.
fn known(name: &str) -> Result<EndpointName, Problem> {
    name.parse().map_err(|_| Problem::plain(UNKNOWN_ENDPOINT))
}

impl From<EndpointError> for Problem {
    fn from(refusal: EndpointError) -> Self {
        let told = |kind| Self::new(kind, refusal.to_string());
        match refusal {
            EndpointError::Unknown(_) => told(UNKNOWN_ENDPOINT),
            EndpointError::Host { .. } => told(ENDPOINT_NOT_ALLOWED),
            EndpointError::Url(_)
            | EndpointError::Field { .. }
            | EndpointError::KeyNeeded
            | EndpointError::Model { .. }
            | EndpointError::Runner { .. } => told(INVALID),
            EndpointError::TooMany | EndpointError::Changed => told(CONFLICT),
            EndpointError::Ledger(cause) => cause.into(),
            EndpointError::Seal(_) | EndpointError::Internal => {
                error!(problem = ?refusal, "a key of a person cannot be kept or opened");
                Self::new(INTERNAL, "the key cannot be kept or opened; the server's log says why")
            }
        }
    }
}
