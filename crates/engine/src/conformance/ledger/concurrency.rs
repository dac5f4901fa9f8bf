//! Many writers at once, relaxed entries, and calls that are given up.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{join_all, poll_fn};
use model::EventId;

use super::super::fixture::{Ids, new_dispatch, soon, texts};
use super::{all, assert_no_gap, opened, text_of};
use crate::port::{Accepted, Append, Durability, Ledger, LedgerError};

pub(super) async fn check<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    one_of_many_equal_requests_is_new(&fresh().await).await;
    many_writers_do_not_disturb_each_other(&fresh().await).await;
    one_that_fails_does_not_fail_the_others(&fresh().await).await;
    of_many_who_take_over_one_may_write(&fresh().await).await;
    relaxed_entries_are_visible_at_once_and_in_order(&fresh().await).await;
    a_dropped_call_wrote_all_or_nothing(&fresh().await).await;
}

async fn one_of_many_equal_requests_is_new(ledger: &impl Ledger) {
    let ids = Ids::new();
    let new = new_dispatch(&ids, ids.user(), "t1", 1);
    let outcomes = join_all((0..32).map(|_| ledger.create(new.clone()))).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("taken")).collect();
    let count = outcomes.iter().filter(|outcome| matches!(outcome, Accepted::New(_))).count();
    assert_eq!(count, 1, "one is new, the others are told");
    assert_eq!(all(ledger, new.dispatch.id, 10).await.len(), 2);
}

async fn many_writers_do_not_disturb_each_other(ledger: &impl Ledger) {
    const WRITERS: usize = 16;
    let ids = Ids::new();
    let mut streams = Vec::new();
    for _ in 0..WRITERS {
        streams.push(opened(ledger, &ids).await.dispatch.id);
    }
    let write = async |id| {
        for number in 0..20 {
            let text = number.to_string();
            let last = ledger.append(texts(id, 1, &[&text, "and"])).await.expect("open");
            assert_eq!(last, EventId { epoch: 1, n: 2 * number + 4 });
            let found = ledger.read(id, EventId { epoch: 1, n: last.n - 1 }, 9).await;
            assert_eq!(found.expect("readable").len(), 1, "who was answered sees it");
        }
    };
    soon("writing", join_all(streams.iter().map(|&id| write(id)))).await;
    for id in streams {
        let entries = all(ledger, id, 1_000).await;
        assert_no_gap(&entries);
        assert_eq!(entries.len(), 42);
    }
}

async fn one_that_fails_does_not_fail_the_others(ledger: &impl Ledger) {
    let ids = Ids::new();
    let good = opened(ledger, &ids).await.dispatch.id;
    let fenced = opened(ledger, &ids).await.dispatch.id;
    let appends = (0..40).map(|number| match number % 4 {
        0 => ledger.append(texts(fenced, 7, &["zombie"])),
        _ => ledger.append(texts(good, 1, &["a", "b", "c"])),
    });
    let outcomes = soon("writing", join_all(appends)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match number % 4 {
            0 => assert!(matches!(outcome, Err(LedgerError::Fenced { .. })), "{outcome:?}"),
            _ => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
    assert_eq!(all(ledger, good, 100).await.len(), 2 + 90);
    assert_eq!(all(ledger, fenced, 100).await.len(), 2);
}

async fn of_many_who_take_over_one_may_write(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let outcomes = join_all((0..10).map(|_| ledger.open(id))).await;
    let mut epochs: Vec<_> = outcomes.into_iter().map(|o| o.expect("open").epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (2..=11).collect::<Vec<_>>(), "each its own");
    let outcomes =
        join_all(epochs.iter().map(|&epoch| ledger.append(texts(id, epoch, &["x"])))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "the last one");
    assert!(outcomes[9].is_ok());
}

async fn relaxed_entries_are_visible_at_once_and_in_order(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    for number in 0..100_u64 {
        let text = number.to_string();
        let durability = if number % 10 == 9 { Durability::Synced } else { Durability::Relaxed };
        let append = Append { durability, ..texts(id, 1, &[&text]) };
        let last = ledger.append(append).await.expect("open");
        let before = EventId { epoch: 1, n: last.n - 1 };
        let found = ledger.read(id, before, 9).await.expect("readable");
        assert_eq!(found.iter().map(text_of).collect::<Vec<_>>(), [&text]);
    }
    let record = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(record.last, EventId { epoch: 1, n: 102 });
    let entries = all(ledger, id, 1_000).await;
    assert_no_gap(&entries);
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(entries[2..].iter().map(text_of).collect::<Vec<_>>(), expected);
}

/// Polls a call so many times, then drops it. Whether it came to its end before.
async fn give_up_after<F: Future>(polls: u32, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    for _ in 0..polls {
        let poll = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if let Poll::Ready(outcome) = poll {
            return Some(outcome);
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn a_dropped_call_wrote_all_or_nothing(ledger: &impl Ledger) {
    let ids = Ids::new();
    let id = opened(ledger, &ids).await.dispatch.id;
    let mut answered = 0;
    for number in 0..60_u32 {
        let append = Append { cursor: Some(number.into()), ..texts(id, 1, &["a", "b", "c"]) };
        if let Some(outcome) = give_up_after(number % 6, ledger.append(append)).await {
            outcome.expect("open");
            answered += 1;
        }
    }
    // What was given up may still be on its way; what is asked later comes after it.
    let last = ledger.append(texts(id, 1, &["end"])).await.expect("open");
    let entries = all(ledger, id, 1_000).await;
    assert_no_gap(&entries);
    assert_eq!(entries.last().map(|entry| entry.id), Some(last));
    let texts: Vec<_> = entries[2..].iter().map(text_of).collect();
    let (end, whole) = texts.split_last().expect("not empty");
    assert_eq!(*end, "end");
    assert!(whole.chunks(3).all(|chunk| chunk == ["a", "b", "c"]), "whole or absent");
    assert!(whole.len() / 3 >= answered, "what was answered is there");
}
