//! The ledger: what was asked, where each dispatch stands, what each said or did.
//!
//! Promises of every ledger:
//! - **Durability.** When a call with [`Durability::Synced`] (or one that has no durability to choose)
//!   returns, what it wrote survives kill -9 and a power cut. [`Durability::Relaxed`] entries are
//!   visible at once, survive kill -9 of the process, and are synced with the next synced write.
//! - **Atomicity.** All that one call writes is there, or none of it.
//! - **Order.** Entries of one dispatch stand in the order of their ids, without a gap or a double.
//! - **Cancel safety.** A dropped call wrote all of it or nothing.

use async_trait::async_trait;
use model::{
    Dispatch, DispatchId, Entry, Event, EventId, Session, SessionId, State, Time, Turn, TurnId,
    UserId,
};

/// The ledger did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such dispatch.
    #[error("there is no dispatch {0}")]
    NoDispatch(DispatchId),
    /// The stream has its last entry; nothing can follow.
    #[error("the stream of {0} is closed")]
    Closed(DispatchId),
    /// Another writer has taken the stream over; this one must stop.
    #[error("the stream of {dispatch} is written by epoch {current}, not {ours}")]
    Fenced {
        /// The dispatch.
        dispatch: DispatchId,
        /// The epoch of the caller.
        ours: u32,
        /// The epoch that may write.
        current: u32,
    },
    /// The turn, or the idempotency key, was used before for another request. Nothing was written.
    #[error("`{key}` was used before for another request")]
    Conflict {
        /// The turn's id, or the idempotency key.
        key: String,
    },
    /// The disk is full or read-only: nothing was written, reads go on.
    #[error("the ledger cannot be written: {0}")]
    Full(String),
    /// The store behind it did not answer. The call may or may not have taken effect.
    #[error("the ledger did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How long an entry must survive before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// For pieces of text: visible at once, synced with the next synced write.
    Relaxed,
    /// For everything else: synced when the call returns.
    Synced,
}

/// A dispatch to be written before anything runs.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDispatch {
    /// The dispatch.
    pub dispatch: Dispatch,
    /// The claims of its token, as JSON.
    pub claims: String,
    /// Its conversation; created, or its `last_active` and `dispatch` brought up to date.
    pub session: Session,
    /// The first entries: `Accepted`, `TurnAccepted`, and `Queued` where it must wait.
    pub events: Vec<Event>,
    /// When.
    pub at: Time,
    /// A key that makes a repeated request the same request.
    pub idempotency: Option<Idempotency>,
}

/// A caller's key for one request. Kept for at least 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose key it is.
    pub subject: UserId,
    /// The key. 1 to 200 bytes.
    pub key: String,
    /// SHA-256 of the request as it was asked for, without what the server chose: the same key with
    /// another request is a [`LedgerError::Conflict`].
    pub request: [u8; 32],
}

/// A further turn of a living dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTurn {
    /// The dispatch that will run it.
    pub dispatch: DispatchId,
    /// The epoch of the writer.
    pub epoch: u32,
    /// The conversation.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// Its number in the dispatch: 1 for the first.
    pub number: u32,
    /// What was said.
    pub prompt: String,
    /// The new state of the dispatch.
    pub state: State,
    /// When.
    pub at: Time,
}

/// What became of a dispatch or turn that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It was written.
    New(Turn),
    /// The same turn of the same conversation, or the same idempotency key, was accepted before.
    Before(Turn),
}

/// A dispatch and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The dispatch as accepted.
    pub dispatch: Dispatch,
    /// Where it stands.
    pub state: State,
    /// The epoch of the last writer; 0 until a supervisor has opened it.
    pub epoch: u32,
    /// The last entry of its stream.
    pub last: EventId,
    /// When it came to its state.
    pub changed: Time,
    /// How far the agent's output was read: every byte before this offset is in the stream.
    pub cursor: u64,
    /// What the supervisor needs to take the living sandbox over, in its own words.
    pub recovery: Option<String>,
}

/// Entries to add to a stream, and what changes with them in the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The epoch of the writer, as [`Ledger::open`] gave it.
    pub epoch: u32,
    /// What happened, in order. May be empty.
    pub events: Vec<Event>,
    /// When.
    pub at: Time,
    /// The new state; [`State::Ended`] closes the stream.
    pub state: Option<State>,
    /// How far the agent's output has been read now.
    pub cursor: Option<u64>,
    /// What the supervisor needs to take the living sandbox over; stays as it was where absent.
    pub recovery: Option<String>,
    /// How long it must survive.
    pub durability: Durability,
}

/// Which dispatches, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DispatchQuery {
    /// Only those of this person.
    pub subject: Option<UserId>,
    /// Only those of this conversation.
    pub session: Option<SessionId>,
    /// Only those that are not over.
    pub live_only: bool,
    /// Only those older than this one.
    pub before: Option<DispatchId>,
    /// At most so many. 1 to 1,000.
    pub limit: u32,
}

/// A part of a longer list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more.
    pub more: bool,
}

/// What was asked, where each dispatch stands, what each said or did.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Writes a dispatch with its first turn (number 1), or finds what was accepted before.
    ///
    /// The first entries are written under epoch 0. The state is [`State::Queued`]. The idempotency
    /// key is looked up first, then the turn's id in its conversation; the same id with another
    /// prompt is a [`LedgerError::Conflict`].
    async fn create(&self, new: NewDispatch) -> Result<Accepted, LedgerError>;

    /// Takes the stream of a dispatch over: returns its record with a new epoch, one above the last.
    /// From now on every writer of an older epoch is refused as [`LedgerError::Fenced`]. A stream
    /// that is over is not taken over but [`LedgerError::Closed`].
    async fn open(&self, dispatch: DispatchId) -> Result<Record, LedgerError>;

    /// Adds entries and returns the id of the last one (the stream's last where there is none to add).
    async fn append(&self, append: Append) -> Result<EventId, LedgerError>;

    /// Writes a further turn with its `TurnAccepted` entry, or finds the one accepted before, even
    /// when the dispatch is over by now. The same id with another prompt is a
    /// [`LedgerError::Conflict`].
    async fn add_turn(&self, turn: NewTurn) -> Result<Accepted, LedgerError>;

    /// At most `limit` entries after `after`, in order. Fewer do not mean that the stream is at its end.
    ///
    /// After means of a later epoch, or of the same epoch with a higher number. So a reader that saw
    /// relaxed entries which a power cut took misses nothing of what the next writer wrote.
    async fn read(
        &self,
        dispatch: DispatchId,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// One dispatch and where it stands.
    async fn record(&self, dispatch: DispatchId) -> Result<Option<Record>, LedgerError>;

    /// Dispatches, newest first.
    async fn records(&self, query: DispatchQuery) -> Result<Page<Record>, LedgerError>;

    /// Every dispatch that is not over, oldest first: what a start finds after a crash.
    async fn live(&self) -> Result<Vec<Record>, LedgerError>;

    /// One turn of a conversation.
    async fn turn(&self, session: SessionId, turn: &TurnId) -> Result<Option<Turn>, LedgerError>;

    /// The turns of a conversation, oldest first, at most `limit` of the newest.
    async fn turns(&self, session: SessionId, limit: u32) -> Result<Vec<Turn>, LedgerError>;

    /// One conversation.
    async fn session(&self, session: SessionId) -> Result<Option<Session>, LedgerError>;

    /// The conversations of a person, most lately active first.
    async fn sessions(&self, subject: UserId, limit: u32) -> Result<Vec<Session>, LedgerError>;

    /// Waits until the stream of `dispatch` has an entry after `after`, or is closed.
    ///
    /// Costs nothing while nothing happens; thousands may wait at once. Returns at once when the
    /// dispatch is not there, or the ledger cannot be read, so that the reader finds out.
    async fn wait(&self, dispatch: DispatchId, after: EventId);
}
