//! Checks the promises of [`Ledger`], all but those that need a crash.

mod concurrency;
mod requests;
mod streams;
mod waiting;

use model::{DispatchId, Entry, Event, EventId};

use super::fixture::{Ids, new_dispatch};
use crate::port::{Ledger, NewDispatch};

/// Checks every promise, each with a ledger from `fresh`, which may share its store.
///
/// # Panics
/// When a promise is broken.
pub async fn ledger<L: Ledger>(fresh: impl AsyncFn() -> L) {
    streams::check(&fresh).await;
    requests::check(&fresh).await;
    concurrency::check(&fresh).await;
    waiting::check(&fresh).await;
}

/// A dispatch that was created, and opened once: epoch 1.
async fn opened(ledger: &impl Ledger, ids: &Ids) -> NewDispatch {
    let new = new_dispatch(ids, ids.user(), "t1", 1);
    ledger.create(new.clone()).await.expect("new");
    let record = ledger.open(new.dispatch.id).await.expect("open");
    assert_eq!(record.epoch, 1);
    new
}

/// The whole stream, read in parts of `limit`.
async fn all(ledger: &impl Ledger, dispatch: DispatchId, limit: u32) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(EventId::START, |entry| entry.id);
        let part = ledger.read(dispatch, after, limit).await.expect("readable");
        assert!(part.len() <= limit as usize, "no more than asked for");
        if part.is_empty() {
            return entries;
        }
        entries.extend(part);
    }
}

fn assert_no_gap(entries: &[Entry]) {
    for (entry, n) in entries.iter().zip(1..) {
        assert_eq!(entry.id.n, n, "numbers grow by one");
    }
    let epochs = entries.iter().map(|entry| entry.id.epoch);
    assert!(epochs.is_sorted(), "epochs grow");
}

fn text_of(entry: &Entry) -> &str {
    match &entry.event {
        Event::Message { text, .. } => text,
        _ => "",
    }
}
