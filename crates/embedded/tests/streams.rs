//! Following streams, on the ledger in one file.

use std::sync::Arc;
use std::time::Duration;

use embedded::sqlite::SqliteLedger;
use embedded::system::{RandomIds, SystemClock};
use engine::conformance::fixture::{Ids, message, new_dispatch};
use engine::port::{Append, Clock, Durability, IdSource, Ledger, LedgerError, NewDispatch};
use engine::streams::follow;
use futures_util::StreamExt;
use model::{DispatchId, End, Entry, Event, EventId, SessionId, State};

const DEADLINE: Duration = Duration::from_mins(2);

struct Place {
    ledger: Arc<SqliteLedger>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { ledger: Arc::new(SqliteLedger::open(folder.path()).expect("opens")), folder }
    }

    async fn writer(&self, dispatch: DispatchId) -> Writer<'_> {
        let epoch = self.ledger.open(dispatch).await.expect("the stream is open").epoch;
        Writer { ledger: &self.ledger, dispatch, epoch }
    }

    /// A dispatch with one entry, and its conversation.
    async fn dispatch(&self) -> (DispatchId, SessionId) {
        let ids = Ids::new();
        let new = NewDispatch {
            events: vec![Event::Queued { ahead: 0 }],
            ..new_dispatch(&ids, ids.user(), "t1", 1)
        };
        let ids = (new.dispatch.id, new.dispatch.session);
        self.ledger.create(new).await.expect("new");
        ids
    }
}

/// Writes one stream, one event a call.
struct Writer<'a> {
    ledger: &'a SqliteLedger,
    dispatch: DispatchId,
    epoch: u32,
}

impl Writer<'_> {
    async fn write(&self, event: Event) {
        let state = match &event {
            Event::Ended { end, .. } => Some(State::Ended(*end)),
            _ => None,
        };
        let text = matches!(event, Event::Message { .. });
        let append = Append {
            dispatch: self.dispatch,
            epoch: self.epoch,
            events: vec![event],
            at: SystemClock.now(),
            state,
            cursor: None,
            recovery: None,
            durability: if text { Durability::Relaxed } else { Durability::Synced },
        };
        self.ledger.append(append).await.expect("the stream is open");
    }
}

fn ended() -> Event {
    Event::Ended { end: End::Reaped, failure: None }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

async fn followed(place: &Place, dispatch: DispatchId, after: EventId) -> Vec<Entry> {
    let stream = follow(place.ledger.clone(), dispatch, after);
    soon(stream.map(|entry| entry.expect("readable")).collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_what_was_what_is_and_the_end() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let writer = place.writer(id).await;
    writer.write(message("early")).await;
    let write = async {
        for number in 0..600_u32 {
            let plan = Event::Plan { steps: Vec::new() };
            let event = if number % 50 == 0 { plan } else { message("word ") };
            writer.write(event).await;
        }
        writer.write(ended()).await;
    };
    let followers = (0..50_u64).map(|n| followed(&place, id, EventId { epoch: 0, n: n % 2 }));
    let (seen, ()) =
        futures_util::future::join(futures_util::future::join_all(followers), write).await;
    for (number, entries) in seen.iter().enumerate() {
        let first = 1 + number as u64 % 2;
        let numbers: Vec<_> = entries.iter().map(|entry| entry.id.n).collect();
        let expected: Vec<_> = (first..first + entries.len() as u64).collect();
        assert_eq!(numbers, expected, "no gap, no double");
        assert!(matches!(entries.last().map(|e| &e.event), Some(Event::Ended { .. })));
    }
    assert_eq!(followed(&place, id, EventId::START).await, seen[0], "replay is what was live");
    let last = seen[0].last().expect("not empty").id;
    assert_eq!(followed(&place, id, last).await, [], "after the end there is nothing");
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_an_error_and_then_over() {
    let place = Place::new();
    let id = DispatchId::from_uuid(RandomIds.uuid());
    let items: Vec<_> = soon(follow(place.ledger.clone(), id, EventId::START).collect()).await;
    assert!(matches!(&items[..], [Err(LedgerError::NoDispatch(of))] if *of == id), "{items:?}");
}

#[tokio::test]
async fn a_follower_goes_on_over_a_restart_of_the_store() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    place.writer(id).await.write(message("before")).await;
    let seen = place.ledger.read(id, EventId::START, 9).await.expect("readable");
    let Place { ledger, folder } = place;
    drop(ledger);
    let ledger = Arc::new(SqliteLedger::open(folder.path()).expect("opens again"));
    let place = Place { ledger, folder };
    place.writer(id).await.write(ended()).await;
    let rest = followed(&place, id, seen.last().expect("two").id).await;
    assert_eq!(rest.iter().map(|entry| entry.id).collect::<Vec<_>>(), [EventId { epoch: 2, n: 3 }]);
}
