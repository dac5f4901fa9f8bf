//! Order, atomicity, fencing and the end of a stream.

use model::{DispatchId, End, Entry, Event, EventId, State};

use super::super::fixture::{Ids, at, new_dispatch, new_turn, texts, turn_id};
use super::{all, assert_no_gap, opened, text_of};
use crate::port::{Accepted, Append, Ledger, LedgerError, Record};

pub(super) async fn check<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    what_was_created_is_there(&fresh().await).await;
    entries_stand_in_order(&fresh().await).await;
    reading_goes_on_after_any_id(&fresh().await).await;
    long_streams_are_read_in_parts(&fresh().await).await;
    state_cursor_and_recovery_change_with_the_entries(&fresh().await).await;
    a_writer_of_an_older_epoch_is_fenced(&fresh().await).await;
    nothing_follows_the_end(&fresh().await).await;
    what_is_not_there_is_said_so(&fresh().await).await;
}

async fn what_was_created_is_there(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = new_dispatch(&ids, ids.user(), "t1", 7);
    let id = new.dispatch.id;
    let accepted = ledger.create(new.clone()).await.expect("new");
    let Accepted::New(turn) = accepted else { unreachable!("nothing was there: {accepted:?}") };
    assert_eq!((turn.dispatch, turn.session, turn.number), (id, new.dispatch.session, 1));
    assert_eq!(turn.prompt, "what t1 asks");
    assert_eq!(turn.accepted, EventId { epoch: 0, n: 2 }, "the entry that accepted it");
    let record = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(record.dispatch, new.dispatch);
    assert_eq!((record.state, record.epoch, record.cursor), (State::Queued, 0, 0));
    assert_eq!((record.last, record.changed), (EventId { epoch: 0, n: 2 }, at(7)));
    assert_eq!(record.recovery, None);
    let entries = ledger.read(id, EventId::START, 10).await.expect("readable");
    let expected = new.events.iter().zip(1..).map(|(event, n)| Entry {
        id: EventId { epoch: 0, n },
        at: at(7),
        event: event.clone(),
    });
    assert_eq!(entries, expected.collect::<Vec<_>>());
    let session = ledger.session(new.session.id).await.expect("readable");
    assert_eq!(session, Some(new.session.clone()));
    let found = ledger.turn(new.session.id, &turn_id("t1")).await.expect("readable");
    assert_eq!(found, Some(turn));
}

async fn entries_stand_in_order(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let last = ledger.append(texts(id, 1, &["a", "b"])).await.expect("open");
    assert_eq!(last, EventId { epoch: 1, n: 4 });
    assert_eq!(ledger.open(id).await.expect("open").epoch, 2);
    let last = ledger.append(texts(id, 2, &["c"])).await.expect("open");
    assert_eq!(last, EventId { epoch: 2, n: 5 });
    let nothing = ledger.append(texts(id, 2, &[])).await.expect("open");
    assert_eq!(nothing, last, "nothing to add: the last one");
    let entries = all(ledger, id, 100).await;
    assert_no_gap(&entries);
    assert_eq!(entries[2..].iter().map(text_of).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(ledger.record(id).await.expect("readable").expect("there").last, last);
}

async fn reading_goes_on_after_any_id(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    ledger.append(texts(id, 1, &["a", "b"])).await.expect("open"); // 1-3 1-4
    ledger.open(id).await.expect("open");
    ledger.open(id).await.expect("open");
    ledger.append(texts(id, 3, &["c", "d"])).await.expect("open"); // 3-5 3-6
    for (epoch, n, expected) in [
        (0, 0, 6),
        (0, 2, 4),
        (1, 3, 3),
        (1, 4, 2),
        (3, 5, 1),
        (3, 6, 0),
        // Ids that a power cut took, or that never were.
        (0, 9, 4),
        (1, 1, 4),
        (1, 400, 2),
        (2, 1, 2),
        (2, 6, 2),
        (3, 1, 2),
        (3, 400, 0),
        (9, 1, 0),
        (u32::MAX, u64::MAX, 0),
    ] {
        let after = EventId { epoch, n };
        let found = ledger.read(id, after, 100).await.expect("readable");
        assert!(found.iter().all(|entry| entry.id > after), "after {after}");
        assert_eq!(found.len(), expected, "after {after}");
    }
}

async fn long_streams_are_read_in_parts(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let long = "x".repeat(100_000);
    for _ in 0..3 {
        ledger.append(texts(id, 1, &[long.as_str(); 10])).await.expect("open");
    }
    for limit in [1, 7, 100] {
        let entries = all(ledger, id, limit).await;
        assert_no_gap(&entries);
        assert_eq!(entries.len(), 32, "read {limit} at a time");
    }
}

async fn state_cursor_and_recovery_change_with_the_entries(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let first = Append {
        state: Some(State::Starting),
        cursor: Some(17),
        recovery: Some("box 1".to_owned()),
        at: at(60),
        ..texts(id, 1, &["a"])
    };
    ledger.append(first).await.expect("open");
    let record = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!((record.state, record.cursor, record.changed), (State::Starting, 17, at(60)));
    assert_eq!(record.recovery.as_deref(), Some("box 1"));
    ledger
        .append(Append { cursor: Some(20), at: at(70), ..texts(id, 1, &[]) })
        .await
        .expect("open");
    let after = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(after.cursor, 20, "also without an entry");
    assert_eq!((after.state, after.changed), (State::Starting, at(60)), "stay as they were");
    assert_eq!((after.recovery, after.last), (record.recovery, record.last), "stay as they were");
    let stale = Append { state: Some(State::Running), cursor: Some(99), ..texts(id, 0, &["b"]) };
    assert!(ledger.append(stale).await.is_err());
    let unchanged = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!((unchanged.state, unchanged.cursor), (State::Starting, 20), "all or nothing");
    assert_eq!(ledger.open(id).await.expect("open"), Record { epoch: 2, ..unchanged });
}

async fn a_writer_of_an_older_epoch_is_fenced(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = opened(ledger, &ids).await;
    let id = new.dispatch.id;
    ledger.open(id).await.expect("open");
    for ours in [0, 1, 3, u32::MAX] {
        let refused = ledger.append(texts(id, ours, &["zombie"])).await;
        assert!(
            matches!(refused, Err(LedgerError::Fenced { current: 2, ours: said, dispatch })
                if said == ours && dispatch == id),
            "epoch {ours}: {refused:?}"
        );
        let refused = ledger.add_turn(new_turn(&new, ours, "t2", 9)).await;
        assert!(matches!(refused, Err(LedgerError::Fenced { .. })), "epoch {ours}: {refused:?}");
    }
    assert_eq!(all(ledger, id, 10).await.len(), 2, "nothing was written");
    let turn = ledger.turn(new.session.id, &turn_id("t2")).await.expect("readable");
    assert_eq!(turn, None, "nothing was written");
}

async fn nothing_follows_the_end(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = opened(ledger, &ids).await;
    let id = new.dispatch.id;
    let end = Append {
        events: vec![Event::Ended { end: End::Reaped, failure: None }],
        state: Some(State::Ended(End::Reaped)),
        ..texts(id, 1, &[])
    };
    let last = ledger.append(end.clone()).await.expect("open");
    let closed = |error: LedgerError| matches!(error, LedgerError::Closed(of) if of == id);
    assert!(ledger.append(end).await.is_err_and(closed), "one end");
    assert!(ledger.append(texts(id, 1, &["late"])).await.is_err_and(closed));
    assert!(ledger.append(texts(id, 1, &[])).await.is_err_and(closed));
    assert!(ledger.add_turn(new_turn(&new, 1, "t2", 9)).await.is_err_and(closed));
    assert!(ledger.open(id).await.is_err_and(closed));
    let before = ledger.add_turn(new_turn(&new, 1, "t1", 9)).await.expect("asked before");
    assert!(matches!(before, Accepted::Before(_)), "a repeated request is answered");
    let record = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!((record.state, record.last), (State::Ended(End::Reaped), last));
    assert_eq!(all(ledger, id, 10).await.len(), 3);
}

async fn what_is_not_there_is_said_so(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = DispatchId::from_uuid(ids.uuid());
    let none = |error: LedgerError| matches!(error, LedgerError::NoDispatch(of) if of == id);
    assert!(ledger.append(texts(id, 0, &["a"])).await.is_err_and(none));
    assert!(ledger.open(id).await.is_err_and(none));
    assert!(ledger.read(id, EventId::START, 1).await.is_err_and(none));
    assert_eq!(ledger.record(id).await.expect("readable"), None);
    assert_eq!(ledger.session(ids.session()).await.expect("readable"), None);
    assert_eq!(ledger.turn(ids.session(), &turn_id("t")).await.expect("readable"), None);
    assert_eq!(ledger.turns(ids.session(), 9).await.expect("readable"), []);
    assert_eq!(ledger.sessions(ids.user(), 9).await.expect("readable"), []);
}
