//! Reads a stream from anywhere, then live, to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use model::{DispatchId, Entry, Event, EventId};

use crate::port::{Ledger, LedgerError};

/// Entries asked for at once. A reader that does not go on holds no more than these, and the ledger
/// gives fewer where they are long.
const PART: u32 = 256;

/// The entries of a stream after `after`, each once and in order: those that are there, then those
/// to come. Ends after `Ended`, or after the first error; to go on, follow after the last entry.
///
/// Holds at most one part of the stream, and nothing of it while it waits. Dropping it is the way
/// to stop.
pub fn follow(
    ledger: Arc<dyn Ledger>,
    dispatch: DispatchId,
    after: EventId,
) -> impl Stream<Item = Result<Entry, LedgerError>> + Send + 'static {
    let reader = Reader { ledger, dispatch, after, part: VecDeque::new(), over: false };
    unfold(reader, async |mut reader| {
        let next = reader.next().await?;
        Some((next, reader))
    })
}

struct Reader {
    ledger: Arc<dyn Ledger>,
    dispatch: DispatchId,
    after: EventId,
    part: VecDeque<Entry>,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Entry, LedgerError>> {
        if self.over {
            return None;
        }
        if self.part.is_empty() {
            match self.fill().await {
                Ok(Filled::More) => {}
                Ok(Filled::Over) => return None,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        let entry = self.part.pop_front()?;
        self.after = entry.id;
        self.over = matches!(entry.event, Event::Ended { .. });
        if self.part.is_empty() {
            self.part = VecDeque::new(); // an idle reader holds no memory for entries
        }
        Some(Ok(entry))
    }

    /// Waits for entries and reads them.
    async fn fill(&mut self) -> Result<Filled, LedgerError> {
        loop {
            if self.read().await? {
                return Ok(Filled::More);
            }
            self.ledger.wait(self.dispatch, self.after).await;
            if self.read().await? {
                return Ok(Filled::More);
            }
            // Woken without an entry: a stream may be closed with none, or with one seen before.
            let record = self.ledger.record(self.dispatch).await?;
            let record = record.ok_or(LedgerError::NoDispatch(self.dispatch))?;
            if record.state.is_ended() && record.last <= self.after {
                return Ok(Filled::Over);
            }
        }
    }

    /// Reads the next part; whether there was any.
    async fn read(&mut self) -> Result<bool, LedgerError> {
        self.part = self.ledger.read(self.dispatch, self.after, PART).await?.into();
        Ok(!self.part.is_empty())
    }
}

/// Whether there is more.
enum Filled {
    More,
    Over,
}
