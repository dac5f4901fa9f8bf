//! The one writer of a dispatch's stream: gathers what happens, joins pieces of text, writes it with
//! the state and the cursor in one transaction, and tries again where that can help.

use std::sync::Arc;
use std::time::Duration;

use model::{DispatchId, Event, EventId, Happened, State};

use crate::kill_point::kill_point;
use crate::port::{Append, Clock, Durability, Ledger, LedgerError, Record};

/// Pieces of text of one message are joined up to this size.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// When so many events wait they are written at once.
const PENDING_MAX: usize = 128;
/// When so much text waits it is written at once.
const PENDING_BYTES_MAX: usize = 128 << 10;
/// How often a write is tried again, each time after twice as long.
const TRIES: u32 = 9;
/// After how long a write is tried again first.
const TRY_AFTER: Duration = Duration::from_millis(25);

/// Writes one stream.
pub(crate) struct Writer {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    dispatch: DispatchId,
    epoch: u32,
    state: State,
    last: EventId,
    pending: Vec<Event>,
    text_bytes: usize,
    /// How far the agent's output is understood, and how far that is written.
    reached: u64,
    written: u64,
    /// What was stored last.
    recovery: Option<String>,
}

impl Writer {
    /// Goes on writing a stream that was taken over.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, record: &Record) -> Self {
        Self {
            ledger,
            clock,
            dispatch: record.dispatch.id,
            epoch: record.epoch,
            state: record.state,
            last: record.last,
            pending: vec![],
            text_bytes: 0,
            reached: record.cursor,
            written: record.cursor,
            recovery: record.recovery.clone(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many entries the stream has.
    pub(crate) fn count(&self) -> u64 {
        self.last.n
    }

    /// How far the agent's output is understood.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    pub(crate) fn set_reached(&mut self, reached: u64) {
        self.reached = reached;
    }

    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether something waits that readers should see without delay.
    pub(crate) fn is_urgent(&self) -> bool {
        // What an answer used interests nobody before what the answer leads to.
        let waits = |event: &Event| is_text(event) || matches!(event, Event::Usage { .. });
        !self.pending.iter().all(waits)
    }

    /// Whether so much waits that it must be written before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX || self.text_bytes >= PENDING_BYTES_MAX
    }

    /// Gathers what happened; a piece of text joins the piece before it.
    pub(crate) fn push(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if let Event::Message { text, .. } | Event::Thought { text, .. } = &event {
                self.text_bytes += text.len();
            }
            if let Some(last) = self.pending.last_mut()
                && join(last, &event)
            {
                continue;
            }
            self.pending.push(event);
        }
    }

    /// Notes what the ledger wrote in another call of this same writer.
    pub(crate) fn note(&mut self, last: EventId, state: State) {
        (self.last, self.state) = (last, state);
    }

    /// Writes what was gathered, and what changes with it.
    pub(crate) async fn write(
        &mut self,
        happened: Option<Happened>,
        recovery: Option<String>,
    ) -> Result<(), LedgerError> {
        let state = match happened.map(|happened| self.state.after(happened)) {
            None => None,
            Some(Ok(state)) => Some(state),
            Some(Err(impossible)) => {
                tracing::error!(dispatch = %self.dispatch, %impossible, "a state was skipped");
                None
            }
        };
        let recovery = recovery.filter(|recovery| Some(recovery) != self.recovery.as_ref());
        let nothing = self.pending.is_empty() && state.is_none() && recovery.is_none();
        if nothing && self.reached == self.written {
            return Ok(());
        }
        // That the agent was handed a turn must not be forgotten: it would be handed over twice.
        let hands_over = matches!(happened, Some(Happened::Started | Happened::Message));
        let relaxed = !hands_over && self.pending.iter().all(is_relaxed);
        let append = Append {
            dispatch: self.dispatch,
            epoch: self.epoch,
            events: std::mem::take(&mut self.pending),
            at: self.clock.now(),
            state,
            cursor: Some(self.reached),
            recovery,
            durability: if relaxed { Durability::Relaxed } else { Durability::Synced },
        };
        self.text_bytes = 0;
        kill_point("before_append");
        self.last = match self.append(&append).await {
            Ok(last) => last,
            Err(error) => {
                self.pending = append.events;
                return Err(error);
            }
        };
        kill_point("after_append");
        self.state = state.unwrap_or(self.state);
        self.written = self.reached;
        self.recovery = append.recovery.or(self.recovery.take());
        Ok(())
    }

    async fn append(&self, append: &Append) -> Result<EventId, LedgerError> {
        let mut wait = TRY_AFTER;
        for _ in 1..TRIES {
            match self.ledger.append(append.clone()).await {
                Err(error @ (LedgerError::Unavailable(_) | LedgerError::Full(_))) => {
                    tracing::warn!(dispatch = %self.dispatch, %error, "an entry is tried again");
                }
                done => return done,
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            if let Some(last) = self.took_effect(append).await {
                return Ok(last);
            }
        }
        self.ledger.append(append.clone()).await
    }

    /// Whether a call that had no answer was done all the same.
    async fn took_effect(&self, append: &Append) -> Option<EventId> {
        let record = self.ledger.record(self.dispatch).await.ok()??;
        let due = self.last.n + append.events.len() as u64;
        let ours = record.epoch == self.epoch && record.last.n == due;
        let whole = append.state.is_none_or(|state| state == record.state);
        (ours && whole && !append.events.is_empty()).then_some(record.last)
    }
}

fn is_text(event: &Event) -> bool {
    matches!(event, Event::Message { .. } | Event::Thought { .. })
}

/// Whether it need not be synced by itself: text, and the start of a box, which the turn's start
/// follows at once. The power cut that could take it takes the box too.
fn is_relaxed(event: &Event) -> bool {
    is_text(event) || matches!(event, Event::SandboxStarted { .. })
}

/// Joins a piece of text to the one before it, if both are of one item.
fn join(last: &mut Event, next: &Event) -> bool {
    let (kept, item, text) = match (last, next) {
        (Event::Message { item: a, text: kept }, Event::Message { item, text })
        | (Event::Thought { item: a, text: kept }, Event::Thought { item, text })
            if a == item =>
        {
            (kept, item, text)
        }
        _ => return false,
    };
    let fits = kept.len() + text.len() + item.len() <= TEXT_BYTES_MAX;
    if fits {
        kept.push_str(text);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(item: &str, text: &str) -> Event {
        Event::Message { item: item.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn pieces_of_one_message_become_one_and_those_of_two_do_not() {
        let mut first = message("a", "one ");
        assert!(join(&mut first, &message("a", "two")));
        assert_eq!(first, message("a", "one two"));
        assert!(!join(&mut first, &message("b", "three")));
        let thought = Event::Thought { item: "a".to_owned(), text: "hm".to_owned() };
        assert!(!join(&mut first, &thought));
    }

    #[test]
    fn a_joined_piece_has_a_bound() {
        let mut first = message("a", &"x".repeat(TEXT_BYTES_MAX - 10));
        assert!(!join(&mut first, &message("a", &"y".repeat(11))));
    }
}
