//! Which model endpoints people keep for themselves. The keys of these are no part of it: they lie in a vault, and a
//! record names one.
//!
//! Every write is synced when the call returns, and whole or absent.

use async_trait::async_trait;
use model::{EndpointName, ModelApi, RunnerName, SecretId, Time, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::LedgerError;

/// What some models of an endpoint cost: millionths of money for a million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelPrice {
    /// Which models: a name, in which `*` stands for anything.
    pub models: String,
    /// For tokens of a request.
    pub input: u64,
    /// For those of them that a cache had; the same where absent.
    pub cached: Option<u64>,
    /// For tokens of an answer.
    pub output: u64,
}

/// A model endpoint that a person keeps for their own dispatches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEndpoint {
    /// What they call it.
    pub name: EndpointName,
    /// The dialect it speaks.
    pub api: ModelApi,
    /// Its address, without a credential.
    pub url: String,
    /// The model that answers where no other is named.
    pub model: String,
    /// Others of it that may be asked for; all else is refused.
    pub models: Vec<String>,
    /// The runners whose agents may be given it; empty: all.
    pub runners: Vec<RunnerName>,
    /// The most tokens that it takes as the limit of an answer.
    pub max_tokens: Option<u64>,
    /// What its models cost; the first that fits a model counts.
    pub prices: Vec<ModelPrice>,
    /// Its key in the vault; nothing where it asks for none.
    pub secret: Option<SecretId>,
    /// When it was said so.
    pub changed: Time,
}

/// The endpoints of persons.
#[async_trait]
pub trait OwnEndpoints: Send + Sync + 'static {
    /// Keeps an endpoint of `owner` in the place of `before`, or anew. Whether it did: it does nothing where the one of
    /// that name is not, or no longer, `before`.
    async fn put_endpoint(
        &self,
        owner: UserId,
        endpoint: OwnEndpoint,
        before: Option<OwnEndpoint>,
    ) -> Result<bool, LedgerError>;

    /// The endpoint of a person that has this name.
    async fn endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<Option<OwnEndpoint>, LedgerError>;

    /// The endpoints of a person, by name.
    async fn endpoints(&self, owner: UserId) -> Result<Vec<OwnEndpoint>, LedgerError>;

    /// Removes an endpoint; what it was, if it was there.
    async fn remove_endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<Option<OwnEndpoint>, LedgerError>;

    /// The keys of all endpoints of all persons.
    async fn secrets(&self) -> Result<Vec<SecretId>, LedgerError>;
}
