//! Waiting for a stream: nobody is forgotten, and nobody waits for what cannot come.

use std::pin::pin;
use std::task::Poll;

use futures_util::future::{join, join_all, poll_fn};
use model::{DispatchId, End, EventId, State};

use super::super::fixture::{Ids, soon, texts};
use super::opened;
use crate::port::{Append, Durability, Ledger};

pub(super) async fn check<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    waiting_ends_at_once_when_there_is_something(&fresh().await).await;
    waiting_ends_with_an_entry_or_the_end(&fresh().await).await;
    a_wait_may_be_given_up(&fresh().await).await;
    a_thousand_wait_for_one_stream(&fresh().await).await;
    an_entry_wakes_only_its_own_stream(&fresh().await).await;
    no_wake_up_is_lost(&fresh().await).await;
}

/// Whether a wait is not over after it had every chance to be.
async fn still_waits(ledger: &impl Ledger, dispatch: DispatchId, after: EventId) -> bool {
    let mut wait = pin!(ledger.wait(dispatch, after));
    // A read of its own takes as long as whatever the wait asks of the store.
    for _ in 0..3 {
        if poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await.is_ready() {
            return false;
        }
        ledger.record(dispatch).await.expect("readable");
    }
    true
}

async fn waiting_ends_at_once_when_there_is_something(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    soon("an entry that is there", ledger.wait(id, EventId::START)).await;
    soon("an entry that is there", ledger.wait(id, EventId { epoch: 0, n: 1 })).await;
    let last = EventId { epoch: 0, n: 2 };
    assert!(still_waits(ledger, id, last).await, "there is nothing after it");
    assert!(still_waits(ledger, id, EventId { epoch: 0, n: 7 }).await, "nor after that");
    let none = DispatchId::from_uuid(ids.uuid());
    soon("a stream that is not there", ledger.wait(none, EventId::START)).await;
    let end = Append { state: Some(State::Ended(End::Stopped)), ..texts(id, 1, &["bye"]) };
    let last = ledger.append(end).await.expect("open");
    soon("a closed stream", ledger.wait(id, last)).await;
}

async fn waiting_ends_with_an_entry_or_the_end(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let mut last = EventId { epoch: 0, n: 2 };
    for durability in [Durability::Synced, Durability::Relaxed] {
        let append = Append { durability, ..texts(id, 1, &["a"]) };
        let (appended, ()) =
            soon("an entry", join(ledger.append(append), ledger.wait(id, last))).await;
        last = appended.expect("open");
    }
    // An end without an entry of its own.
    let end = Append { state: Some(State::Ended(End::Stopped)), ..texts(id, 1, &[]) };
    let (ended, ()) = soon("the end", join(ledger.append(end), ledger.wait(id, last))).await;
    assert_eq!(ended.expect("open"), last);
}

async fn a_wait_may_be_given_up(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let last = EventId { epoch: 0, n: 2 };
    for _ in 0..50 {
        assert!(still_waits(ledger, id, last).await);
    }
    let wait = ledger.wait(id, last);
    let (appended, ()) = soon("an entry", join(ledger.append(texts(id, 1, &["a"])), wait)).await;
    appended.expect("open");
}

async fn a_thousand_wait_for_one_stream(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let follow = async || {
        let mut seen = EventId { epoch: 0, n: 2 };
        while seen.n < 12 {
            ledger.wait(id, seen).await;
            let entries = ledger.read(id, seen, 100).await.expect("readable");
            for entry in entries {
                assert_eq!(entry.id.n, seen.n + 1, "no gap, no double");
                seen = entry.id;
            }
        }
    };
    let write = async {
        for _ in 0..10 {
            ledger.append(texts(id, 1, &["a"])).await.expect("open");
        }
    };
    let followers = join_all((0..1_000).map(|_| follow()));
    soon("a thousand to see ten entries", join(followers, write)).await;
}

async fn an_entry_wakes_only_its_own_stream(ledger: &impl Ledger) {
    let ids = Ids::new();
    let [busy, idle] = [opened(ledger, &ids).await, opened(ledger, &ids).await];
    let last = EventId { epoch: 0, n: 2 };
    let mut wait = pin!(ledger.wait(idle.dispatch.id, last));
    for _ in 0..5 {
        let poll = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
        assert!(poll.is_pending(), "nothing happened here");
        ledger.append(texts(busy.dispatch.id, 1, &["a"])).await.expect("open");
    }
}

/// Two who answer each other would hang at the first wake-up that is lost.
async fn no_wake_up_is_lost(ledger: &impl Ledger) {
    const ROUNDS: u64 = 150;
    let ids = Ids::new();
    let ping = opened(ledger, &ids).await.dispatch.id;
    let pong = opened(ledger, &ids).await.dispatch.id;
    let answer = async |hear: DispatchId, say: DispatchId, first: bool| {
        let say_it = async || {
            let append = Append { durability: Durability::Relaxed, ..texts(say, 1, &["x"]) };
            ledger.append(append).await.expect("open");
        };
        if first {
            say_it().await;
        }
        for round in 0..ROUNDS {
            let heard = match round {
                0 => EventId { epoch: 0, n: 2 },
                _ => EventId { epoch: 1, n: 2 + round },
            };
            ledger.wait(hear, heard).await;
            say_it().await;
        }
    };
    soon("the game", join(answer(ping, pong, true), answer(pong, ping, false))).await;
}
