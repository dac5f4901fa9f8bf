//! Streams from both ends, on the ledger in one file.

use std::sync::Arc;
use std::time::Duration;

use embedded::sqlite::SqliteLedger;
use embedded::system::{RandomIds, SystemClock};
use engine::conformance::fixture::{Ids, message, new_dispatch};
use engine::port::{Accepted, IdSource, Ledger, LedgerError, NewDispatch};
use engine::streams::{FurtherTurn, Step, Writer, follow};
use futures_util::StreamExt;
use model::{DispatchId, End, Entry, Event, EventId, SessionId, State};

const DEADLINE: Duration = Duration::from_secs(20);

struct Place {
    ledger: Arc<SqliteLedger>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { ledger: Arc::new(SqliteLedger::open(folder.path()).expect("opens")), folder }
    }

    async fn writer(&self, dispatch: DispatchId) -> Writer {
        let ledger: Arc<dyn Ledger> = self.ledger.clone();
        let opened = Writer::open(ledger, Arc::new(SystemClock), dispatch).await;
        opened.expect("the stream is open").0
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

    async fn stream(&self, dispatch: DispatchId) -> Vec<Event> {
        let mut after = EventId { epoch: 0, n: 1 };
        let mut events = Vec::new();
        loop {
            let part = self.ledger.read(dispatch, after, 1_000).await.expect("readable");
            let Some(last) = part.last() else { return events };
            after = last.id;
            events.extend(part.into_iter().map(|entry| entry.event));
        }
    }
}

fn text(text: &str, cursor: u64) -> Step {
    Step { cursor: Some(cursor), ..Step::events(vec![message(text)]) }
}

fn ended() -> Step {
    let events = vec![Event::Ended { end: End::Reaped, failure: None }];
    Step { state: Some(State::Ended(End::Reaped)), ..Step::events(events) }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

async fn followed(place: &Place, dispatch: DispatchId, after: EventId) -> Vec<Entry> {
    let stream = follow(place.ledger.clone(), dispatch, after);
    soon(stream.map(|entry| entry.expect("readable")).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn words_become_one_entry_that_waits_for_nobody_for_long() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let mut writer = place.writer(id).await;
    for (word, cursor) in [("one ", 4), ("two ", 8), ("three", 13)] {
        let stored = writer.write(text(word, cursor)).await.expect("open");
        assert_eq!((stored.cursor, stored.last.n), (0, 1), "kept back");
    }
    soon(writer.due()).await;
    let stored = writer.flush().await.expect("open");
    assert_eq!((stored.cursor, stored.last), (13, EventId { epoch: 1, n: 2 }));
    assert_eq!(place.stream(id).await, [message("one two three")]);
    let record = place.ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(record.cursor, 13);
    let idle = tokio::time::timeout(Duration::from_millis(60), writer.due()).await;
    assert!(idle.is_err(), "nothing is due");
}

#[tokio::test]
async fn what_is_more_than_text_takes_the_text_before_it_along() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let mut writer = place.writer(id).await;
    writer.write(text("before", 6)).await.expect("open");
    let plan = Event::Plan { steps: Vec::new() };
    let step = Step { state: Some(State::Starting), ..Step::events(vec![plan.clone()]) };
    let stored = writer.write(step).await.expect("open");
    assert_eq!((stored.cursor, stored.last.n), (6, 3));
    assert_eq!(place.stream(id).await, [message("before"), plan]);
    let record = place.ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(record.state, State::Starting);
}

#[tokio::test]
async fn much_text_does_not_wait() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let mut writer = place.writer(id).await;
    let stored = writer.write(text(&"x".repeat(100_000), 100_000)).await.expect("open");
    assert_eq!(stored.cursor, 100_000);
    let texts = place.stream(id).await;
    assert_eq!(texts.len(), 4, "in pieces that one event may hold");
}

#[tokio::test]
async fn a_turn_is_accepted_after_the_text_before_it() {
    let place = Place::new();
    let (id, session) = place.dispatch().await;
    let mut writer = place.writer(id).await;
    writer.write(text("before", 6)).await.expect("open");
    let further = |prompt: &str| FurtherTurn {
        session,
        turn: "t2".parse().expect("a name"),
        number: 2,
        prompt: prompt.to_owned(),
        state: State::Running,
    };
    let accepted = writer.accept_turn(further("more")).await.expect("open");
    assert!(matches!(&accepted, Accepted::New(turn) if turn.accepted.n == 3), "{accepted:?}");
    let refused = writer.accept_turn(further("else")).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
    writer.write(ended()).await.expect("a conflict does no harm");
    let stream = place.stream(id).await;
    assert!(matches!(&stream[..], [Event::Message { .. }, Event::TurnAccepted { .. }, _]));
}

#[tokio::test]
async fn a_fenced_writer_writes_nothing_ever_after() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let mut zombie = place.writer(id).await;
    let mut writer = place.writer(id).await;
    let refused = zombie.write(ended()).await;
    assert!(matches!(refused, Err(LedgerError::Fenced { ours: 1, current: 2, .. })), "{refused:?}");
    assert!(matches!(zombie.write(ended()).await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(zombie.flush().await, Err(LedgerError::Unavailable(_))));
    writer.write(ended()).await.expect("open");
    assert_eq!(place.stream(id).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_what_was_what_is_and_the_end() {
    let place = Place::new();
    let (id, _) = place.dispatch().await;
    let mut writer = place.writer(id).await;
    writer.write(text("early", 5)).await.expect("open");
    writer.flush().await.expect("open");
    let write = async {
        for number in 0..600_u32 {
            let plan = Event::Plan { steps: Vec::new() };
            let event = if number % 50 == 0 { plan } else { message("word ") };
            writer.write(Step::events(vec![event])).await.expect("open");
        }
        writer.write(ended()).await.expect("open");
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
    let mut writer = place.writer(id).await;
    writer.write(text("before", 6)).await.expect("open");
    writer.flush().await.expect("open");
    let seen = place.ledger.read(id, EventId::START, 9).await.expect("readable");
    let Place { ledger, folder } = place;
    drop(writer);
    drop(ledger);
    let ledger = Arc::new(SqliteLedger::open(folder.path()).expect("opens again"));
    let place = Place { ledger, folder };
    let mut writer = place.writer(id).await;
    writer.write(ended()).await.expect("open");
    let rest = followed(&place, id, seen.last().expect("two").id).await;
    assert_eq!(rest.iter().map(|entry| entry.id).collect::<Vec<_>>(), [EventId { epoch: 2, n: 3 }]);
}
