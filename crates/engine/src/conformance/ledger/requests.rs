//! Repeated and different requests, and the lists of what was asked.

use model::{DispatchId, EventId, State, TurnId};

use super::super::fixture::{Ids, at, message, new_dispatch, new_turn, texts, turn_id};
use super::{all, opened};
use crate::port::{
    Accepted, Append, DispatchQuery, Idempotency, Ledger, LedgerError, NewDispatch, Page,
};

pub(super) async fn check<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    a_turn_is_accepted_once(&fresh().await).await;
    a_first_turn_is_accepted_once(&fresh().await).await;
    a_key_is_one_request(&fresh().await).await;
    turns_are_listed_oldest_first(&fresh().await).await;
    conversations_are_listed_most_lately_active_first(&fresh().await).await;
    dispatches_are_paged_newest_first(&fresh().await).await;
    what_is_over_is_not_alive(&fresh().await).await;
}

fn conflicts(outcome: &Result<Accepted, LedgerError>) -> bool {
    matches!(outcome, Err(LedgerError::Conflict { .. }))
}

async fn a_turn_is_accepted_once(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = opened(ledger, &ids).await;
    let accepted = ledger.add_turn(new_turn(&new, 1, "t2", 9)).await.expect("open");
    let Accepted::New(turn) = accepted else { unreachable!("nothing was there: {accepted:?}") };
    assert_eq!(turn.accepted, EventId { epoch: 1, n: 3 });
    assert_eq!(turn.number, 2);
    let record = ledger.record(new.dispatch.id).await.expect("readable").expect("there");
    assert_eq!((record.state, record.changed), (State::Running, at(9)));
    assert_eq!(record.last, turn.accepted);
    let again = ledger.add_turn(new_turn(&new, 1, "t2", 10)).await.expect("found");
    assert_eq!(again, Accepted::Before(turn.clone()));
    let by_another = ledger.add_turn(new_turn(&new, 0, "t2", 10)).await.expect("found");
    assert_eq!(by_another, Accepted::Before(turn.clone()), "whoever asks");
    let other = crate::port::NewTurn { prompt: "else".into(), ..new_turn(&new, 1, "t2", 11) };
    let refused = ledger.add_turn(other).await;
    assert!(conflicts(&refused), "{refused:?}");
    assert_eq!(all(ledger, new.dispatch.id, 9).await.len(), 3, "written once");
    let found = ledger.turn(new.session.id, &turn_id("t2")).await.expect("readable");
    assert_eq!(found, Some(turn));
}

async fn a_first_turn_is_accepted_once(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = opened(ledger, &ids).await;
    let same_turn = NewDispatch {
        dispatch: model::Dispatch { id: DispatchId::from_uuid(ids.uuid()), ..new.dispatch.clone() },
        ..new.clone()
    };
    let second = same_turn.dispatch.id;
    let found = ledger.create(same_turn.clone()).await.expect("found");
    assert!(matches!(&found, Accepted::Before(turn) if turn.dispatch == new.dispatch.id));
    let other = model::Start::Ask { turn: turn_id("t1"), prompt: "else".into() };
    let dispatch = model::Dispatch { start: other, ..same_turn.dispatch.clone() };
    let refused = ledger.create(NewDispatch { dispatch, ..same_turn }).await;
    assert!(conflicts(&refused), "{refused:?}");
    assert_eq!(ledger.record(second).await.expect("readable"), None, "nothing was written");
    let twin = new_dispatch(&ids, ids.user(), "t1", 2);
    let dispatch = model::Dispatch { id: new.dispatch.id, ..twin.dispatch.clone() };
    let refused = ledger.create(NewDispatch { dispatch, ..twin }).await;
    assert!(conflicts(&refused), "an id is given once: {refused:?}");
}

fn keyed(ids: &Ids, of: model::UserId, turn: &str, request: u8) -> NewDispatch {
    let key = Idempotency { subject: of, key: "k 1/ä".to_owned(), request: [request; 32] };
    NewDispatch { idempotency: Some(key), ..new_dispatch(ids, of, turn, 1) }
}

async fn a_key_is_one_request(ledger: &impl Ledger) {
    let ids = Ids::new();
    let (jane, joe) = (ids.user(), ids.user());
    let first = keyed(&ids, jane, "t1", 7);
    let Ok(Accepted::New(turn)) = ledger.create(first).await else { unreachable!("new") };
    let again = keyed(&ids, jane, "t2", 7);
    let found = ledger.create(again.clone()).await.expect("found");
    assert_eq!(found, Accepted::Before(turn), "a key is looked at before the turn's id");
    assert_eq!(ledger.record(again.dispatch.id).await.expect("readable"), None);
    let refused = ledger.create(keyed(&ids, jane, "t1", 8)).await;
    assert!(conflicts(&refused), "another request: {refused:?}");
    let of_joe = ledger.create(keyed(&ids, joe, "t1", 8)).await.expect("new");
    assert!(matches!(of_joe, Accepted::New(_)), "keys are each person's own: {of_joe:?}");
}

async fn turns_are_listed_oldest_first(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = opened(ledger, &ids).await;
    // Names whose order is not that of time.
    for (turn, ms) in [("z", 3), ("a", 4), ("m", 4)] {
        ledger.add_turn(new_turn(&new, 1, turn, ms)).await.expect("open");
    }
    let listed = async |limit| -> Vec<TurnId> {
        let turns = ledger.turns(new.session.id, limit).await.expect("readable");
        turns.into_iter().map(|turn| turn.id).collect()
    };
    assert_eq!(listed(9).await, ["t1", "z", "a", "m"].map(turn_id));
    assert_eq!(listed(2).await, ["a", "m"].map(turn_id), "the newest");
}

async fn conversations_are_listed_most_lately_active_first(ledger: &impl Ledger) {
    let ids = Ids::new();
    let jane = ids.user();
    let [first, second] = [1, 2].map(|ms| new_dispatch(&ids, jane, "t1", ms));
    let stranger = new_dispatch(&ids, ids.user(), "t1", 3);
    for new in [&first, &second, &stranger] {
        ledger.create(new.clone()).await.expect("new");
    }
    let listed = async |limit| -> Vec<_> {
        let sessions = ledger.sessions(jane, limit).await.expect("readable");
        sessions.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(listed(9).await, [second.session.id, first.session.id]);
    ledger.open(first.dispatch.id).await.expect("open");
    ledger.add_turn(new_turn(&first, 1, "t2", 10)).await.expect("open");
    assert_eq!(listed(9).await, [first.session.id, second.session.id]);
    assert_eq!(listed(1).await, [first.session.id]);
    let ended = model::Event::TurnEnded {
        turn: turn_id("t1"),
        outcome: model::TurnOutcome::Completed,
        reply: String::new(),
    };
    ledger.open(second.dispatch.id).await.expect("open");
    let append = Append { events: vec![ended], at: at(90), ..texts(second.dispatch.id, 1, &[]) };
    ledger.append(append).await.expect("open");
    let session = ledger.session(second.session.id).await.expect("readable").expect("there");
    assert_eq!(session.last_active, at(90), "the end of a turn is activity");
    let resumed = new_dispatch(&ids, jane, "t3", 95);
    let session =
        model::Session { last_active: at(95), dispatch: Some(resumed.dispatch.id), ..session };
    let dispatch = model::Dispatch { session: session.id, ..resumed.dispatch };
    ledger
        .create(NewDispatch { dispatch, session: session.clone(), ..resumed })
        .await
        .expect("new");
    let found = ledger.session(session.id).await.expect("readable");
    assert_eq!(found, Some(session), "the next dispatch goes on with it");
}

fn of_page(page: Page<crate::port::Record>) -> (Vec<DispatchId>, bool) {
    (page.items.into_iter().map(|record| record.dispatch.id).collect(), page.more)
}

async fn dispatches_are_paged_newest_first(ledger: &impl Ledger) {
    let ids = Ids::new();
    let jane = ids.user();
    let made: Vec<_> = (0..5).map(|ms| new_dispatch(&ids, jane, "t1", ms)).collect();
    for new in &made {
        ledger.create(new.clone()).await.expect("new");
    }
    ledger.create(new_dispatch(&ids, ids.user(), "t1", 9)).await.expect("new");
    let of_jane = DispatchQuery { subject: Some(jane), limit: 2, ..DispatchQuery::default() };
    let mut found = Vec::new();
    let mut before = None;
    for more in [true, true, false] {
        let query = DispatchQuery { before, ..of_jane.clone() };
        let (page, said) = of_page(ledger.records(query).await.expect("readable"));
        assert_eq!(said, more, "whether there are more");
        found.extend(page);
        before = found.last().copied();
    }
    let newest_first: Vec<_> = made.iter().rev().map(|new| new.dispatch.id).collect();
    assert_eq!(found, newest_first);
    let exact = DispatchQuery { limit: 5, ..of_jane.clone() };
    assert!(!ledger.records(exact).await.expect("readable").more);
    let session = Some(made[3].dispatch.session);
    let query = DispatchQuery { session, limit: 10, ..DispatchQuery::default() };
    let (page, _) = of_page(ledger.records(query).await.expect("readable"));
    assert_eq!(page, [made[3].dispatch.id]);
    let all = DispatchQuery { limit: 1_000, ..DispatchQuery::default() };
    let (page, _) = of_page(ledger.records(all).await.expect("readable"));
    assert!(page.len() >= 6 && page.is_sorted_by(|a, b| a > b), "newest first");
}

async fn what_is_over_is_not_alive(ledger: &impl Ledger) {
    let ids = Ids::new();
    let [first, over, last] =
        [opened(ledger, &ids).await, opened(ledger, &ids).await, opened(ledger, &ids).await];
    let end = Append {
        events: vec![message("bye")],
        state: Some(State::Ended(model::End::Stopped)),
        ..texts(over.dispatch.id, 1, &[])
    };
    ledger.append(end).await.expect("open");
    let ours = [first.dispatch.id, over.dispatch.id, last.dispatch.id];
    let mut live = ledger.live().await.expect("readable");
    live.retain(|record| ours.contains(&record.dispatch.id));
    let live: Vec<_> = live.into_iter().map(|record| record.dispatch.id).collect();
    assert_eq!(live, [ours[0], ours[2]], "oldest first");
    let subject = Some(over.dispatch.subject);
    let query = DispatchQuery { subject, live_only: true, limit: 9, ..DispatchQuery::default() };
    let (page, _) = of_page(ledger.records(query).await.expect("readable"));
    assert_eq!(page, [], "only those that are not over");
}
