//! Model endpoints that people bring. The address of one is theirs, so nothing about it is believed: a host must be one
//! that the operator named, its name is looked up once, and what it stands for must not lie around this machine.

use std::net::SocketAddr;

use engine::endpoint::{EndpointError, Endpoints, ModelHosts, OWN_MARK, Opened, own};
use engine::port::{Clock, OwnEndpoint, Tried};
use model::{EndpointName, ModelApi, RunnerName, UserId};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::endpoint::{Endpoint, EndpointParts};
use crate::limit::{LOOK_UP, Limits, TRIES_AT_ONCE, TRY};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::upstream::{NotPublic, Upstream};

/// The endpoints of persons, and what calls them.
#[derive(Debug)]
pub(crate) struct Owned {
    endpoints: Endpoints,
    pub(crate) upstream: Upstream,
    tries: Semaphore,
}

impl Owned {
    pub(crate) fn new(endpoints: Endpoints, limits: &Limits) -> Result<Self, reqwest::Error> {
        let checked = Checked(endpoints.hosts().clone());
        let upstream = Upstream::outward(limits.clone(), checked)?;
        Ok(Self { endpoints, upstream, tries: Semaphore::new(TRIES_AT_ONCE) })
    }

    /// What is known of the endpoint of `@name/model`, where `owner` may choose it for this runner.
    pub(crate) async fn chosen(
        &self,
        owner: UserId,
        runner: &RunnerName,
        named: &str,
    ) -> Option<OwnEndpoint> {
        self.endpoints.chosen(owner, runner, named).await.ok()
    }

    /// The endpoint that a dispatch of `owner` chose, opened for one call, with the model that the agent names if it is
    /// one of its own. An agent gets nowhere else from here.
    pub(crate) async fn endpoint(
        &self,
        owner: UserId,
        runner: &RunnerName,
        (chosen, asked): (&str, Option<&str>),
    ) -> Result<Endpoint, Refusal> {
        let (name, model) = own(chosen).unwrap_or((chosen, ""));
        let shown = format!("{OWN_MARK}{name}");
        let opened = self.endpoints.open(owner, runner, chosen).await;
        let opened = opened.map_err(|error| refused(shown.clone(), &error))?;
        let endpoint = self.checked(opened, model)?;
        let Some(asked) = asked else { return Ok(endpoint) };
        match own(asked).filter(|(named, _)| *named == name) {
            Some((_, model)) => endpoint.with(model).ok_or(Refusal::Model { endpoint: shown }),
            None => Ok(endpoint.with(asked).unwrap_or(endpoint)),
        }
    }

    /// Asks an endpoint of `owner` for a word.
    pub(crate) async fn try_one(
        &self,
        owner: UserId,
        (name, model): (&EndpointName, Option<&str>),
        clock: &dyn Clock,
    ) -> Result<Tried, EndpointError> {
        let opened = self.endpoints.open_named(owner, name).await?;
        let usual = opened.endpoint.model.clone();
        let model = model.unwrap_or(&usual);
        let shown = || format!("{OWN_MARK}{name}");
        let started = clock.instant();
        let tried = async {
            let endpoint = self.checked(opened, &usual)?;
            let endpoint = endpoint.with(model).ok_or(Refusal::Model { endpoint: shown() })?;
            let _turn = self.tries.acquire().await.map_err(|_| Refusal::Crowded)?;
            self.upstream.word(&endpoint).await
        };
        let tried = tokio::time::timeout(TRY, tried).await;
        let silent = |_| Refusal::Silent { endpoint: shown(), seconds: TRY.as_secs() };
        let problem = tried.map_err(silent).and_then(|tried| tried).err();
        let elapsed = clock.instant().saturating_duration_since(started);
        let problem = problem.map(|problem| problem.to_string());
        Ok(Tried { model: model.to_owned(), elapsed, problem })
    }

    /// An endpoint as the gate calls it.
    fn checked(&self, opened: Opened, model: &str) -> Result<Endpoint, Refusal> {
        let Opened { endpoint: told, key, over } = opened;
        let usual = [told.model.clone()];
        let parts = EndpointParts {
            name: format!("{OWN_MARK}{}", told.name),
            api: told.api,
            base_url: told.url,
            key: key.map(Secret::of),
            model: model.to_owned(),
            models: told.models.into_iter().chain(usual).collect(),
            runners: Vec::new(),
            max_tokens: told.max_tokens,
            prices: told.prices,
        };
        let name = parts.name.clone();
        let gone = |_| Refusal::Gone { endpoint: name.clone() };
        let endpoint = Endpoint::new(parts).map_err(gone)?.until(over);
        // An address that is no name is never looked up.
        let written = address(&endpoint.base);
        if written.is_some_and(|it| !self.endpoints.hosts().allows_address(it.ip())) {
            return Err(Refusal::Unreachable { endpoint: name, why: NotPublic::WHY });
        }
        Ok(endpoint)
    }
}

fn refused(endpoint: String, error: &EndpointError) -> Refusal {
    match error {
        EndpointError::Host { .. } | EndpointError::Url(_) => Refusal::NotNamed { endpoint },
        EndpointError::Model { .. } => Refusal::Model { endpoint },
        EndpointError::Ledger(_) | EndpointError::Seal(_) | EndpointError::Internal => {
            tracing::error!(problem = %error, "an endpoint of a person cannot be opened");
            Refusal::Crowded
        }
        _ => Refusal::Gone { endpoint },
    }
}

/// The address that a URL has in the place of a name.
fn address(url: &Url) -> Option<SocketAddr> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    Some(SocketAddr::new(host.parse().ok()?, 0))
}

/// Looks names up, and keeps of the addresses those that may be called: the connection goes to one of them and is not
/// looked up again.
#[derive(Debug, Clone)]
pub(crate) struct Checked(ModelHosts);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let hosts = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0));
            let found = tokio::time::timeout(LOOK_UP, found).await??;
            let allowed: Vec<_> = found.filter(|it| hosts.allows_address(it.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The request for a word in this dialect, of this model.
pub(crate) fn word(api: ModelApi, model: &str) -> serde_json::Value {
    use serde_json::json;
    const SAY: &str = "Say the word ok.";
    match api {
        ModelApi::AnthropicMessages => json!({
            "model": model, "max_tokens": 16,
            "messages": [{"role": "user", "content": SAY}],
        }),
        // Which field limits the answer differs from model to model.
        ModelApi::OpenaiChat => {
            json!({"model": model, "messages": [{"role": "user", "content": SAY}]})
        }
        ModelApi::OpenaiResponses => {
            json!({"model": model, "max_output_tokens": 16, "store": false, "input": SAY})
        }
        ModelApi::Gemini => json!({
            "contents": [{"role": "user", "parts": [{"text": SAY}]}],
            "generationConfig": {"maxOutputTokens": 16},
        }),
    }
}
