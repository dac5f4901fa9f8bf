//! Follows the stream of a dispatch for one reader, who is told when nothing happens and who is
//! left when the server stops.
//!
//! Pull, not push: nothing is read before the reader has room, so a slow or absent reader holds one
//! part of the stream and never the dispatch.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use engine::port::{Ledger, LedgerError};
use engine::streams;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use model::{DispatchId, Entry, EventId};
use tokio_util::sync::CancellationToken;

/// Entries that a reader of the past reads at once.
const PART: u32 = 256;

type Entries = Pin<Box<dyn Stream<Item = Result<Entry, LedgerError>> + Send>>;

/// A reader of one stream.
pub(crate) struct Follow {
    entries: Entries,
    stopping: CancellationToken,
}

/// What a reader does at the end of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Waits for more, to the end of the dispatch.
    ForMore,
    /// Stops.
    Never,
}

/// What a reader got.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next entry.
    Entry(Box<Entry>),
    /// Nothing for as long as was to be waited.
    Nothing,
    /// There will be no more, or not from this server.
    Over,
}

impl Follow {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        stopping: CancellationToken,
        dispatch: DispatchId,
        after: EventId,
        waits: Waits,
    ) -> Self {
        let entries: Entries = match waits {
            Waits::ForMore => Box::pin(streams::follow(ledger, dispatch, after)),
            Waits::Never => Box::pin(past(ledger, dispatch, after)),
        };
        Self { entries, stopping }
    }

    /// The next entry, waiting for it at most `patience`.
    ///
    /// Cancel safety: a dropped call lost nothing.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Next, LedgerError> {
        tokio::select! {
            biased;
            entry = self.entries.next() => match entry {
                Some(entry) => Ok(Next::Entry(Box::new(entry?))),
                None => Ok(Next::Over),
            },
            () = self.stopping.cancelled() => Ok(Next::Over),
            () = tokio::time::sleep(patience) => Ok(Next::Nothing),
        }
    }
}

/// The entries that are there.
fn past(
    ledger: Arc<dyn Ledger>,
    dispatch: DispatchId,
    after: EventId,
) -> impl Stream<Item = Result<Entry, LedgerError>> + Send {
    let parts = unfold(Some(after), move |after| {
        let ledger = ledger.clone();
        async move {
            match ledger.read(dispatch, after?, PART).await {
                Ok(part) => {
                    let last = part.last()?.id;
                    Some((part.into_iter().map(Ok).collect::<Vec<_>>(), Some(last)))
                }
                Err(problem) => Some((vec![Err(problem)], None)),
            }
        }
    });
    parts.flat_map(futures_util::stream::iter)
}
