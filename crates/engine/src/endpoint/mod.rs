//! Model endpoints that people bring: kept by name, with their key in a vault, and opened for calls on their own behalf
//! alone. Where they may point is the operator's to say. Never calls one.

mod hosts;
mod key;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use model::{EndpointName, ModelApi, RunnerName, SecretId, UserId};
use parking_lot::Mutex;
use seal::{SealError, Vault};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub use hosts::ModelHosts;
pub use key::{BadKey, ModelKey};

use crate::port::{Clock, Directory, IdSource, LedgerError, ModelPrice, OwnEndpoint};
use crate::remote::BadAddress;
use crate::task::Tasks;

/// What the name of a model of a person's endpoint begins with: `@NAME/MODEL`. No endpoint of the operator does.
pub const OWN_MARK: char = '@';

/// Endpoints of one person.
const ENDPOINTS_MAX: usize = 32;
/// Models, runners or prices of one endpoint.
const LISTED_MAX: usize = 64;
/// The longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;
/// The highest price, in millionths of money for a million tokens.
const PRICE_MAX: u64 = 1_000_000_000_000;
/// The highest limit of an answer.
const TOKENS_MAX: u64 = 10_000_000;

/// The endpoint and the model that `@NAME/MODEL` names; nothing where it is no such name.
pub fn own(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(OWN_MARK)?.split_once('/')
}

/// Whether a model is said to be of a person's endpoint, well or badly.
pub fn is_own(name: &str) -> bool {
    name.starts_with(OWN_MARK)
}

/// An endpoint as a person wishes it.
#[derive(Debug, Clone)]
pub struct EndpointWish {
    /// What they call it.
    pub name: EndpointName,
    /// The dialect it speaks.
    pub api: ModelApi,
    /// Its address, with or without `/v1`.
    pub url: String,
    /// Its key; absent: the one it has, or none.
    pub key: Option<ModelKey>,
    /// The model that answers where no other is named.
    pub model: String,
    /// Others of it that may be asked for.
    pub models: Vec<String>,
    /// The runners whose agents may be given it; empty: all.
    pub runners: Vec<RunnerName>,
    /// The most tokens that it takes as the limit of an answer.
    pub max_tokens: Option<u64>,
    /// What its models cost.
    pub prices: Vec<ModelPrice>,
}

/// An endpoint of a person could not be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is none of this name, or none any more.
    #[error("you have no model endpoint `{0}`; GET /auth/endpoints lists yours")]
    Unknown(String),
    /// The address is none that an endpoint can have.
    #[error("url: {0}")]
    Url(#[from] BadAddress),
    /// The operator did not name its host.
    #[error(
        "this server calls no model endpoint at {host}: whoever runs it must name the host in `model.persons`"
    )]
    Host {
        /// Where it was to point.
        host: String,
    },
    /// A field has a value that it cannot have.
    #[error("{field} {what}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// It points elsewhere than the one whose key it was to keep.
    #[error("the address leads elsewhere than before: send its key, too")]
    KeyNeeded,
    /// The person has as many as one may have.
    #[error("you have {ENDPOINTS_MAX} model endpoints already: remove one first")]
    TooMany,
    /// Somebody else changed it at the same time.
    #[error("the endpoint was changed meanwhile: look at it, then ask again")]
    Changed,
    /// It is not for agents of this runner.
    #[error("the model endpoint `{name}` is not for agents of the runner `{runner}`")]
    Runner {
        /// The endpoint.
        name: String,
        /// The runner.
        runner: RunnerName,
    },
    /// It does not offer this model.
    #[error("the model endpoint `{name}` does not offer that model: add it to its `models`")]
    Model {
        /// The endpoint.
        name: String,
    },
    /// The ledger did not do as asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The key could not be sealed or opened.
    #[error("a key of a person cannot be kept or opened")]
    Seal(#[from] SealError),
    /// Our own fault.
    #[error("a task that keeps keys failed")]
    Internal,
}

/// What the endpoints of persons are made of.
pub struct EndpointParts {
    /// What is known of them.
    pub directory: Arc<dyn Directory>,
    /// Their keys.
    pub vault: Arc<Vault>,
    /// Where they may point.
    pub hosts: ModelHosts,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names keys.
    pub ids: Arc<dyn IdSource>,
    /// Runs what blocks.
    pub tasks: Tasks,
}

impl fmt::Debug for EndpointParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointParts").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// An endpoint, opened for one call.
pub struct Opened {
    /// What it is.
    pub endpoint: OwnEndpoint,
    /// Its key, if it has one.
    pub key: Option<Zeroizing<String>>,
    /// Cancelled when it is removed: what is under way is to end.
    pub over: CancellationToken,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The endpoints of all persons. Cheap to clone.
#[derive(Clone)]
pub struct Endpoints {
    parts: Arc<EndpointParts>,
    in_use: Arc<Mutex<HashMap<(UserId, EndpointName), CancellationToken>>>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("hosts", &self.parts.hosts).finish_non_exhaustive()
    }
}

impl Endpoints {
    /// Those of this directory and vault.
    pub fn new(parts: EndpointParts) -> Self {
        Self { parts: Arc::new(parts), in_use: Arc::default() }
    }

    /// Where they may point.
    pub fn hosts(&self) -> &ModelHosts {
        &self.parts.hosts
    }

    /// Destroys keys that no endpoint names: a crash left them. Before anybody is served.
    pub async fn sweep(&self) -> Result<(), EndpointError> {
        let known = self.parts.directory.secrets().await?;
        let count = self.sealed("sweep of keys", move |vault| vault.sweep(&known)).await?;
        if count > 0 {
            tracing::info!(count, "keys of endpoints that nobody has were destroyed");
        }
        Ok(())
    }

    /// The endpoints of a person, by name.
    pub async fn list(&self, owner: UserId) -> Result<Vec<OwnEndpoint>, EndpointError> {
        Ok(self.parts.directory.endpoints(owner).await?)
    }

    /// One of them.
    pub async fn one(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<OwnEndpoint, EndpointError> {
        let found = self.parts.directory.endpoint(owner, name).await?;
        found.ok_or_else(|| EndpointError::Unknown(name.to_string()))
    }

    /// Whether the operator lets it be called.
    pub fn is_allowed(&self, endpoint: &OwnEndpoint) -> bool {
        self.check_host(&endpoint.url).is_ok()
    }

    /// Keeps an endpoint in the place of the one of that name, or anew; whether it is new. Run to its end, however it
    /// ends, it leaves no key that nobody has.
    pub async fn put(
        &self,
        owner: UserId,
        wish: EndpointWish,
    ) -> Result<(OwnEndpoint, bool), EndpointError> {
        check(&wish)?;
        self.check_host(&wish.url)?;
        let all = self.list(owner).await?;
        let before = all.iter().find(|it| it.name == wish.name).cloned();
        if before.is_none() && all.len() >= ENDPOINTS_MAX {
            return Err(EndpointError::TooMany);
        }
        let fresh = wish.key.is_some();
        let secret = match &wish.key {
            Some(key) => Some(self.keep(key.clone()).await?),
            None => kept_secret(before.as_ref(), &wish.url)?,
        };
        let endpoint = self.of(wish, secret);
        let (kept, is_new) = (endpoint.clone(), before.is_none());
        let old = before.as_ref().and_then(|before| before.secret);
        // Of a write that may or may not have taken effect, the next start destroys the key that nobody has.
        let put = self.parts.directory.put_endpoint(owner, endpoint, before).await?;
        let useless = if put { old } else { secret };
        if let Some(useless) = useless.filter(|_| fresh) {
            self.shred(useless).await;
        }
        if put { Ok((kept, is_new)) } else { Err(EndpointError::Changed) }
    }

    /// Removes an endpoint. When this returns, its key is destroyed, no call begins with it and those under way end.
    pub async fn remove(&self, owner: UserId, name: &EndpointName) -> Result<(), EndpointError> {
        let removed = self.parts.directory.remove_endpoint(owner, name).await?;
        if let Some(over) = self.in_use.lock().remove(&(owner, name.clone())) {
            over.cancel();
        }
        let removed = removed.ok_or_else(|| EndpointError::Unknown(name.to_string()))?;
        if let Some(secret) = removed.secret {
            self.shred(secret).await;
        }
        Ok(())
    }

    /// What is known of the endpoint of `@name/model` where it may be chosen for a dispatch on behalf of `owner` that
    /// this runner drives.
    pub async fn chosen(
        &self,
        owner: UserId,
        runner: &RunnerName,
        named: &str,
    ) -> Result<OwnEndpoint, EndpointError> {
        let unknown = || EndpointError::Unknown(shown(named));
        let (name, model) = own(named).ok_or_else(unknown)?;
        let endpoint = self.one(owner, &name.parse().map_err(|_| unknown())?).await?;
        self.check_host(&endpoint.url)?;
        if !endpoint.runners.is_empty() && !endpoint.runners.contains(runner) {
            return Err(EndpointError::Runner { name: shown(name), runner: runner.clone() });
        }
        if endpoint.model != model && !endpoint.models.iter().any(|it| it == model) {
            return Err(EndpointError::Model { name: shown(name) });
        }
        Ok(endpoint)
    }

    /// The same with its key, for one call.
    pub async fn open(
        &self,
        owner: UserId,
        runner: &RunnerName,
        named: &str,
    ) -> Result<Opened, EndpointError> {
        let known = self.chosen(owner, runner, named).await?;
        let over = self.over(owner, &known.name);
        // Once more, so that a removal in between is noticed; and nothing is noted of what is not there.
        let endpoint = self.chosen(owner, runner, named).await?;
        self.opened(endpoint, over).await
    }

    /// An endpoint of a person with its key, whatever runner it is for.
    pub async fn open_named(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<Opened, EndpointError> {
        self.one(owner, name).await?;
        let over = self.over(owner, name);
        let endpoint = self.one(owner, name).await?;
        self.check_host(&endpoint.url)?;
        self.opened(endpoint, over).await
    }

    async fn opened(
        &self,
        endpoint: OwnEndpoint,
        over: CancellationToken,
    ) -> Result<Opened, EndpointError> {
        let key = match endpoint.secret {
            Some(secret) => {
                let opened = self.sealed("key of an endpoint", move |vault| vault.open(secret));
                Some(opened.await.map_err(|error| match error {
                    // It was removed, or has another key, since we looked.
                    EndpointError::Seal(SealError::NoKey(_)) => EndpointError::Changed,
                    error => error,
                })?)
            }
            None => None,
        };
        Ok(Opened { endpoint, key, over })
    }

    fn over(&self, owner: UserId, name: &EndpointName) -> CancellationToken {
        self.in_use.lock().entry((owner, name.clone())).or_default().clone()
    }

    fn check_host(&self, url: &str) -> Result<(), EndpointError> {
        let address = hosts::address(url)?;
        let host = || address.host().to_owned();
        let allowed = self.parts.hosts.allows(&address);
        if allowed { Ok(()) } else { Err(EndpointError::Host { host: host() }) }
    }

    async fn keep(&self, key: ModelKey) -> Result<SecretId, EndpointError> {
        let id = SecretId::from_uuid(self.parts.ids.uuid());
        self.sealed("new key of an endpoint", move |vault| vault.put(id, key.expose())).await?;
        Ok(id)
    }

    /// A key that cannot be destroyed now is by the next start.
    async fn shred(&self, secret: SecretId) {
        let done = self.sealed("end of a key", move |vault| vault.shred(secret)).await;
        if let Err(problem) = done {
            tracing::error!(%problem, "a key of an endpoint could not be destroyed");
        }
    }

    async fn sealed<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Vault) -> Result<T, SealError> + Send + 'static,
    ) -> Result<T, EndpointError> {
        let vault = self.parts.vault.clone();
        let done = self.parts.tasks.blocking(what, move || work(&vault)).await;
        Ok(done.ok_or(EndpointError::Internal)??)
    }

    fn of(&self, wish: EndpointWish, secret: Option<SecretId>) -> OwnEndpoint {
        let EndpointWish { name, api, url, model, models, runners, max_tokens, prices, .. } = wish;
        let (url, changed) = (url.trim_end_matches('/').to_owned(), self.parts.clock.now());
        OwnEndpoint { name, api, url, model, models, runners, max_tokens, prices, secret, changed }
    }
}

/// The key that an endpoint keeps when none is sent. It never goes along to another place.
fn kept_secret(before: Option<&OwnEndpoint>, url: &str) -> Result<Option<SecretId>, EndpointError> {
    let Some(before) = before else { return Ok(None) };
    let (old, new) = (hosts::address(&before.url)?, hosts::address(url)?);
    let place = |it: &crate::remote::RemoteUrl| (it.scheme(), it.host().to_owned(), it.port());
    if before.secret.is_some() && place(&old) != place(&new) {
        return Err(EndpointError::KeyNeeded);
    }
    Ok(before.secret)
}

fn check(wish: &EndpointWish) -> Result<(), EndpointError> {
    let bad = |field, what| Err(EndpointError::Field { field, what });
    if wish.name.as_str().contains(':') {
        return bad("name", "has letters, digits, `_`, `-` and `.` alone");
    }
    if !is_model(&wish.model) || !wish.models.iter().all(|model| is_model(model)) {
        return bad(
            "a model",
            "has 1 to 256 characters, none of them a space, `?`, `#`, `%` or `\\`",
        );
    }
    let longest = wish.models.len().max(wish.runners.len()).max(wish.prices.len());
    if longest > LISTED_MAX {
        return bad("models, runners and prices", "have at most 64 items each");
    }
    if wish.max_tokens.is_some_and(|most| !(1..=TOKENS_MAX).contains(&most)) {
        return bad("max_tokens", "is 1 to 10000000");
    }
    let costs = |price: &ModelPrice| [price.input, price.cached.unwrap_or(0), price.output];
    if wish.prices.iter().flat_map(costs).any(|price| price > PRICE_MAX)
        || wish.prices.iter().any(|price| price.models.len() > MODEL_BYTES_MAX)
    {
        return bad("a price", "is at most 1000000000000, for models of at most 256 characters");
    }
    Ok(())
}

/// Whether it can be the name of a model: it may stand in a path.
fn is_model(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte);
    (1..=MODEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(plain)
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_ones_own_is_told_by_its_mark() {
        assert_eq!(own("@mine/gpt"), Some(("mine", "gpt")));
        assert_eq!(own("@mine/a/b"), Some(("mine", "a/b")));
        assert_eq!((own("mine/gpt"), own("@mine"), is_own("@mine")), (None, None, true));
    }

    #[test]
    fn the_name_of_a_model_leads_nowhere_else() {
        for good in ["gpt-5", "anthropic/claude", "models/gemini:free", "a@b"] {
            assert!(is_model(good), "{good}");
        }
        for bad in ["", "a b", "../x", "a/../b", "a//b", "a?b", "a#b", "a%2fb", "a\\b", "a\n", "/a"]
        {
            assert!(!is_model(bad), "{bad}");
        }
    }
}
