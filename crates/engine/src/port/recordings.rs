//! What models were asked and what they answered, of dispatches that are recorded.
//!
//! Promises of every store of recordings:
//! - **Durability.** When [`Recordings::add_exchange`] returns, the exchange survives kill -9 of the
//!   process; a power cut may take what was written in the last moment.
//! - **Order.** Exchanges of one dispatch are read in the order in which they were added.
//! - **Bound.** No dispatch has more than [`RECORDING_BYTES_MAX`].

use async_trait::async_trait;
use model::{DispatchId, ModelApi, Time, TurnId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::LedgerError;

/// The most that is recorded of one dispatch, in bytes of requests and answers.
pub const RECORDING_BYTES_MAX: u64 = 64 << 20;

/// One call of a model, as the agent asked and as it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// When it was over, in milliseconds since 1970.
    pub at: Time,
    /// The turn that the agent worked on; absent where it had none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// The endpoint, by the name it is configured with.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// The dialect of request and answer.
    pub dialect: ModelApi,
    /// The body of the request.
    pub request: String,
    /// The body of the answer: one JSON value, or server-sent events.
    pub answer: String,
    /// Whether the answer came to its end.
    pub whole: bool,
    /// Whether something of either is missing because it was too long.
    pub cut: bool,
}

/// Keeps recordings.
#[async_trait]
pub trait Recordings: Send + Sync + 'static {
    /// Adds an exchange; whether there was room for it.
    ///
    /// # Errors
    /// [`LedgerError::NoDispatch`].
    async fn add_exchange(
        &self,
        dispatch: DispatchId,
        exchange: Exchange,
    ) -> Result<bool, LedgerError>;

    /// The first exchange of a dispatch after this number, with its own; 0 begins.
    async fn exchange_after(
        &self,
        dispatch: DispatchId,
        number: u64,
    ) -> Result<Option<(u64, Exchange)>, LedgerError>;
}
