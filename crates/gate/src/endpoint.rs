//! Where a model is reached: the address and the key that only the gate knows. Never sends anything.

use engine::port::{ModelPrice, Offered};
use hyper::header::HeaderValue;
use model::{ModelApi, RunnerName};
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::price;
use crate::secret::Secret;

/// The longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;

/// What an endpoint is made of, unchecked.
#[derive(Debug, Clone)]
pub struct EndpointParts {
    /// What it is called in messages to people.
    pub name: String,
    /// The dialect it speaks.
    pub api: ModelApi,
    /// Its address with or without `/v1` or `/v1beta`, as `https://api.example.com`.
    pub base_url: String,
    /// Its key; absent when it asks for none.
    pub key: Option<Secret>,
    /// The model that every request asks for, whatever the caller named.
    pub model: String,
    /// Other models of it that a caller may ask for by name.
    pub models: Vec<String>,
    /// The runners whose agents it is for; empty: all others.
    pub runners: Vec<RunnerName>,
    /// The most tokens that it takes as the limit of an answer; agents of other dialects may ask for
    /// more than it knows. Absent: what the agent asks for.
    pub max_tokens: Option<u64>,
    /// What its models cost; the first that fits a model counts.
    pub prices: Vec<ModelPrice>,
}

/// Where a model is reached.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(crate) name: String,
    pub(crate) api: ModelApi,
    pub(crate) base: Url,
    pub(crate) key: Option<Secret>,
    pub(crate) model: String,
    pub(crate) models: Vec<String>,
    pub(crate) runners: Vec<RunnerName>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) prices: Vec<ModelPrice>,
    /// Cancelled when it is not to be used any more, and what is under way is to end; of a person's alone.
    pub(crate) over: Option<CancellationToken>,
}

/// An endpoint cannot be used as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// The address is no plain http or https address.
    #[error(
        "the base_url of model endpoint `{name}` must be http:// or https:// with a host, and without user, query or fragment"
    )]
    Url {
        /// The endpoint.
        name: String,
    },
    /// The key has characters that cannot be sent in a header.
    #[error("the key of model endpoint `{name}` is empty or has characters that no key has")]
    Key {
        /// The endpoint.
        name: String,
    },
    /// A model has no name, or one longer than 256 bytes.
    #[error("the models of model endpoint `{name}` must have 1 to 256 bytes")]
    Model {
        /// The endpoint.
        name: String,
    },
}

impl Endpoint {
    /// Checks the parts.
    pub fn new(parts: EndpointParts) -> Result<Self, BadEndpoint> {
        let EndpointParts { name, api, key, model, models, runners, max_tokens, .. } = parts;
        let Some(base) = base(&parts.base_url) else { return Err(BadEndpoint::Url { name }) };
        if key.as_ref().is_some_and(|key| !sendable(key)) {
            return Err(BadEndpoint::Key { name });
        }
        let bad = |model: &String| model.is_empty() || model.len() > MODEL_BYTES_MAX;
        if bad(&model) || models.iter().any(bad) {
            return Err(BadEndpoint::Model { name });
        }
        let prices = parts.prices;
        Ok(Self { name, api, base, key, model, models, runners, max_tokens, prices, over: None })
    }

    /// The same, until it is removed.
    pub(crate) fn until(self, over: CancellationToken) -> Self {
        Self { over: Some(over), ..self }
    }

    /// Completes when it is removed.
    pub(crate) async fn over(&self) {
        match &self.over {
            Some(over) => over.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// The demo model as an endpoint that speaks this dialect. It is never sent anything.
    pub(crate) fn demo(api: ModelApi, model: &str) -> Self {
        Self {
            name: model.to_owned(),
            api,
            base: Url::parse("http://demo.invalid").expect("an address"),
            key: None,
            model: model.to_owned(),
            models: Vec::new(),
            runners: Vec::new(),
            max_tokens: None,
            prices: Vec::new(),
            over: None,
        }
    }

    /// Itself with this model, if it may be asked for.
    pub(crate) fn with(&self, model: &str) -> Option<Self> {
        let allowed = model == self.model || self.models.iter().any(|allowed| allowed == model);
        allowed.then(|| Self { model: model.to_owned(), ..self.clone() })
    }

    /// What may be asked for, each once, the usual one first.
    pub(crate) fn offered(&self) -> impl Iterator<Item = Offered> {
        let others = self.models.iter().filter(|model| **model != self.model);
        std::iter::once(&self.model)
            .chain(others)
            .map(|model| Offered { endpoint: self.name.clone(), model: model.clone() })
    }

    /// What its model costs, if anybody said.
    pub(crate) fn price(&self) -> Option<&ModelPrice> {
        self.prices.iter().find(|it| price::fits(it, &self.model))
    }

    /// The address of `path`, which begins with a version.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

/// An address that may be called.
pub(crate) fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

/// The address without its `/v1` or `/v1beta`, if it is one that may be called.
fn base(text: &str) -> Option<Url> {
    let mut url = address(text)?;
    let path = url.path().trim_end_matches('/');
    let path = ["/v1", "/v1beta"].iter().find_map(|version| path.strip_suffix(version));
    let path = path.unwrap_or(url.path().trim_end_matches('/')).to_owned();
    url.set_path(&path);
    Some(url)
}

/// Whether a key can stand in a header.
pub(crate) fn sendable(key: &Secret) -> bool {
    !key.expose().is_empty() && HeaderValue::from_str(key.expose()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Result<Endpoint, BadEndpoint> {
        Endpoint::new(EndpointParts {
            name: "test".into(),
            api: ModelApi::OpenaiChat,
            base_url: base_url.into(),
            key: Some(Secret::new("k".into())),
            model: "m".into(),
            models: Vec::new(),
            runners: Vec::new(),
            max_tokens: None,
            prices: Vec::new(),
        })
    }

    #[test]
    fn an_address_is_good_with_and_without_its_version() {
        for (base, url) in [
            ("https://a.example", "https://a.example/v1/models"),
            ("https://a.example/v1", "https://a.example/v1/models"),
            ("https://a.example/v1/", "https://a.example/v1/models"),
            ("https://a.example/v1beta", "https://a.example/v1/models"),
            ("http://127.0.0.1:8080/api/v1", "http://127.0.0.1:8080/api/v1/models"),
        ] {
            assert_eq!(endpoint(base).expect(base).url("/v1/models").as_str(), url);
        }
    }

    #[test]
    fn an_address_that_hides_something_is_refused() {
        for base in [
            "",
            "a.example",
            "file:///etc",
            "https://me:pw@a.example",
            "https://a/?q",
            "https://a/#f",
        ] {
            assert!(matches!(endpoint(base), Err(BadEndpoint::Url { .. })), "{base}");
        }
    }

    #[test]
    fn a_key_that_would_break_a_header_is_refused() {
        for key in ["", "a\r\nb"] {
            let parts = EndpointParts {
                name: "test".into(),
                api: ModelApi::OpenaiChat,
                base_url: "https://a.example".into(),
                key: Some(Secret::new(key.into())),
                model: "m".into(),
                models: Vec::new(),
                runners: Vec::new(),
                max_tokens: None,
                prices: Vec::new(),
            };
            assert!(matches!(Endpoint::new(parts), Err(BadEndpoint::Key { .. })));
        }
    }
}
