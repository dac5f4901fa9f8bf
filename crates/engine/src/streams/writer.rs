//! The one writer of a stream: owns its epoch, keeps the order, and joins pieces of text so that a
//! talkative agent costs one small write in a while and not one for each word.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{DispatchId, EventId, SessionId, State, TurnId};

use super::Step;
use crate::port::{Accepted, Append, Clock, Durability, Ledger, LedgerError, NewTurn, Record};

/// How long a piece of text waits for the next one.
const TEXT_WAITS_MAX: Duration = Duration::from_millis(30);
/// Bytes of text that wait.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// What survives a crash of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The last entry of the stream.
    pub last: EventId,
    /// How far the agent's output is in the stream: the worker may forget every byte before it.
    pub cursor: u64,
}

/// A further turn of a living dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct FurtherTurn {
    /// The conversation.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// Its number in the dispatch: 2 or more.
    pub number: u32,
    /// What was said.
    pub prompt: String,
    /// The new state of the dispatch.
    pub state: State,
}

/// Writes the stream of one dispatch, as the holder of its latest epoch.
///
/// Text (`Message`, `Thought`, with or without a cursor) is kept back for at most 30 ms or 4 KiB and
/// stored relaxed; anything else is stored at once with the text before it, in one synced append.
/// Await [`Writer::due`] beside whatever else is awaited, and [`Writer::flush`] when it completes.
///
/// After [`LedgerError::Full`] what was given is kept: [`Writer::flush`] tries again, and until it
/// succeeds nothing else is taken. After any other error, and after a call that was given up
/// (dropped before its end), it is not known what was stored: every later call is an error, and
/// the stream must be opened anew.
pub struct Writer {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    dispatch: DispatchId,
    epoch: u32,
    stored: Stored,
    waiting: Step,
    waiting_bytes: usize,
    /// Since when text is kept back.
    since: Option<Instant>,
    /// How what is kept back must be stored.
    durability: Durability,
    /// Why what is kept back could not be stored.
    full: Option<String>,
    /// Whether it is unknown what was stored.
    lost: bool,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("dispatch", &self.dispatch)
            .field("epoch", &self.epoch)
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Takes the stream of a dispatch over: every writer before is fenced. Gives what was stored.
    pub async fn open(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        dispatch: DispatchId,
    ) -> Result<(Self, Record), LedgerError> {
        let record = ledger.open(dispatch).await?;
        let writer = Self {
            ledger,
            clock,
            dispatch,
            epoch: record.epoch,
            stored: Stored { last: record.last, cursor: record.cursor },
            waiting: Step::default(),
            waiting_bytes: 0,
            since: None,
            durability: Durability::Relaxed,
            full: None,
            lost: false,
        };
        Ok((writer, record))
    }

    /// The epoch of this writer.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What survives a crash by now.
    pub fn stored(&self) -> Stored {
        self.stored
    }

    /// Writes a step: at once, or, where it is nothing but text, soon.
    pub async fn write(&mut self, step: Step) -> Result<Stored, LedgerError> {
        self.check()?;
        if let Some(why) = &self.full {
            return Err(LedgerError::Full(why.clone()));
        }
        if !step.may_wait() {
            self.durability = Durability::Synced;
        }
        self.waiting_bytes += self.waiting.join(step);
        let may_wait = self.durability == Durability::Relaxed;
        if may_wait && self.waiting_bytes < TEXT_BYTES_MAX {
            self.since.get_or_insert_with(|| self.clock.instant());
            return Ok(self.stored);
        }
        self.flush().await
    }

    /// Writes what is kept back, if anything is.
    pub async fn flush(&mut self) -> Result<Stored, LedgerError> {
        self.check()?;
        if self.waiting.is_empty() {
            self.since = None;
            self.durability = Durability::Relaxed;
            return Ok(self.stored);
        }
        let Step { events, state, cursor, recovery } = self.waiting.clone();
        let (dispatch, epoch, durability) = (self.dispatch, self.epoch, self.durability);
        let at = self.clock.now();
        let append = Append { dispatch, epoch, events, at, state, cursor, recovery, durability };
        self.lost = true;
        let outcome = self.ledger.append(append).await;
        self.note(&outcome);
        self.stored.last = outcome?;
        self.stored.cursor = cursor.unwrap_or(self.stored.cursor);
        self.waiting = Step::default();
        self.waiting_bytes = 0;
        self.since = None;
        self.durability = Durability::Relaxed;
        Ok(self.stored)
    }

    /// Accepts a further turn, after everything that was kept back.
    ///
    /// A [`LedgerError::Conflict`] leaves the writer as it was.
    pub async fn accept_turn(&mut self, turn: FurtherTurn) -> Result<Accepted, LedgerError> {
        self.flush().await?;
        let FurtherTurn { session, turn, number, prompt, state } = turn;
        let (dispatch, epoch, at) = (self.dispatch, self.epoch, self.clock.now());
        let new = NewTurn { dispatch, epoch, session, turn, number, prompt, state, at };
        self.lost = true;
        let outcome = self.ledger.add_turn(new).await;
        self.note(&outcome);
        self.full = None; // the turn is not kept: whoever asked may ask again
        if let Ok(Accepted::New(turn)) = &outcome {
            self.stored.last = turn.accepted;
        }
        outcome
    }

    /// Completes when what is kept back should be flushed; never while nothing is.
    ///
    /// Cancel safety: holds nothing.
    pub async fn due(&self) {
        match self.since {
            Some(since) => tokio::time::sleep_until((since + TEXT_WAITS_MAX).into()).await,
            None => std::future::pending().await,
        }
    }

    fn check(&self) -> Result<(), LedgerError> {
        if self.lost { Err(LedgerError::Unavailable(Box::new(Lost))) } else { Ok(()) }
    }

    /// Takes note of how a call to the ledger came back.
    fn note<T>(&mut self, outcome: &Result<T, LedgerError>) {
        self.full = match outcome {
            Err(LedgerError::Full(why)) => Some(why.clone()),
            _ => None,
        };
        self.lost =
            !matches!(outcome, Ok(_) | Err(LedgerError::Full(_) | LedgerError::Conflict { .. }));
    }
}

/// An earlier call failed, or was given up.
#[derive(Debug, thiserror::Error)]
#[error("it is not known what the last call of this writer stored")]
struct Lost;
