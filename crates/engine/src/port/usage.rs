//! What model calls used: one record a call, written as its answer ends.
//!
//! Promises of every book:
//! - **Durability.** When [`UsageBook::add_call`] returns, the call survives kill -9 of the process; a
//!   power cut may take what was written in the last moment.
//! - **Once.** A call that is added again under its id stays as it was added first.
//! - **Cancel safety.** A dropped call wrote all of it or nothing.

use async_trait::async_trait;
use model::{DispatchId, Time, TurnId, UserId};
use uuid::Uuid;

use super::ledger::{LedgerError, Page};

/// A call of a model that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// Its own.
    pub id: Uuid,
    /// The dispatch whose agent made it.
    pub dispatch: DispatchId,
    /// On whose behalf.
    pub subject: UserId,
    /// The turn that the agent worked on; absent where it had none yet.
    pub turn: Option<TurnId>,
    /// When it was over.
    pub at: Time,
    /// The endpoint, by the name it is configured with.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// What it used; absent where the endpoint did not say.
    pub tokens: Option<Tokens>,
    /// What it cost, in millionths of whatever prices are in; absent where there is no price, or
    /// nothing it could be reckoned from.
    pub cost_micros: Option<u64>,
    /// What of it counts against budgets.
    pub charge: Charge,
}

/// What a call used, as its endpoint said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the request, cached ones included.
    pub input: u64,
    /// Of the request, read from a cache of the endpoint's, as far as it said.
    pub cached: u64,
    /// Of the answer.
    pub output: u64,
}

/// What counts against budgets: what was said, or else what was reckoned from sizes, so that an
/// endpoint that says nothing is not free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Calls.
    pub requests: u64,
    /// Tokens of request and answer together.
    pub tokens: u64,
    /// Money, in millionths; 0 without a price.
    pub micros: u64,
}

impl Charge {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            micros: self.micros.saturating_add(other.micros),
        }
    }
}

/// What many calls used together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many calls.
    pub requests: u64,
    /// How many of them ended without a word of what they used: the tokens do not hold theirs.
    pub unknown: u64,
    /// How many of them have no cost: the cost does not hold theirs.
    pub unpriced: u64,
    /// What was said to be used.
    pub tokens: Tokens,
    /// What those that have a cost cost together, in millionths; absent where none has one.
    pub cost_micros: Option<u64>,
}

/// What usage is added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// The day, in UTC, as `2026-11-26`.
    Day,
    /// The dispatch.
    Dispatch,
    /// The turn of one dispatch.
    Turn,
    /// The model, as `endpoint/model`.
    Model,
}

/// Which calls, and what they are added up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// What they are added up by.
    pub by: UsageBy,
    /// Only those on behalf of this person.
    pub subject: Option<UserId>,
    /// Only those of this dispatch.
    pub dispatch: Option<DispatchId>,
    /// Only those that were over at this time or later.
    pub from: Time,
    /// Only those that were over before this time.
    pub until: Time,
    /// At most so many rows: of days and dispatches the newest, of models those with most calls.
    pub limit: u32,
}

/// What was used under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The day, the dispatch, the turn or the model.
    pub key: String,
    /// What was used.
    pub usage: Usage,
}

/// Whose charge is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// That of one dispatch, since it began.
    Dispatch(DispatchId),
    /// That of one person, since a time.
    Person(UserId, Time),
    /// Everybody's, since a time.
    Everybody(Time),
}

/// Keeps what model calls used.
#[async_trait]
pub trait UsageBook: Send + Sync + 'static {
    /// Adds a call that is over.
    async fn add_call(&self, call: ModelCall) -> Result<(), LedgerError>;

    /// What was used, added up. With [`UsageBy::Day`] and [`UsageBy::Dispatch`] the newest stand
    /// first, turns in the order of their first call, models with most calls first.
    async fn usage(&self, query: UsageQuery) -> Result<Page<UsageRow>, LedgerError>;

    /// What each of these dispatches used, at most 1,000 of them; nothing of one that used nothing.
    async fn usage_of(
        &self,
        dispatches: Vec<DispatchId>,
    ) -> Result<Vec<(DispatchId, Usage)>, LedgerError>;

    /// What counts against a budget so far.
    async fn charged(&self, whose: Charged) -> Result<Charge, LedgerError>;
}
