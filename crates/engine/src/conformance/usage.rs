//! Checks the promises of [`UsageBook`].

use model::{DispatchId, Time, UserId};

use super::fixture::{Ids, turn_id};
use crate::port::{
    Charge, Charged, ModelCall, Tokens, Usage, UsageBook, UsageBy, UsageQuery, UsageRow,
};

/// A day that begins at this time, which no clock of a test tells.
const DAY: u64 = 86_400_000;
const MORNING: u64 = 20_000 * DAY;

/// Checks every promise, each with a book from `fresh`, which may share what is behind it.
///
/// # Panics
/// When a promise is broken.
pub async fn usage<B: UsageBook>(fresh: impl AsyncFn() -> B) {
    a_call_is_added_once(&fresh().await).await;
    what_was_used_is_added_up_by_what_is_asked_for(&fresh().await).await;
    what_was_not_said_is_not_made_up(&fresh().await).await;
    what_is_charged_has_the_time_of_its_call(&fresh().await).await;
}

struct Who {
    dispatch: DispatchId,
    subject: UserId,
}

impl Who {
    fn new(ids: &Ids) -> Self {
        Self { dispatch: DispatchId::from_uuid(ids.uuid()), subject: ids.user() }
    }

    fn call(&self, ids: &Ids, model: &str, ms: u64) -> ModelCall {
        ModelCall {
            id: ids.uuid(),
            dispatch: self.dispatch,
            subject: self.subject,
            turn: Some(turn_id("t1")),
            at: Time::from_ms(MORNING + ms),
            endpoint: "here".to_owned(),
            model: model.to_owned(),
            tokens: Some(Tokens { input: 100, cached: 40, output: 7 }),
            cost_micros: Some(11),
            charge: Charge { requests: 1, tokens: 107, micros: 11 },
        }
    }

    fn query(&self, by: UsageBy) -> UsageQuery {
        UsageQuery {
            by,
            subject: Some(self.subject),
            dispatch: None,
            from: Time::from_ms(MORNING),
            until: Time::from_ms(MORNING + 2 * DAY),
            limit: 10,
        }
    }
}

/// So many of [`Who::call`].
fn times(n: u64) -> Usage {
    Usage {
        requests: n,
        unknown: 0,
        unpriced: 0,
        tokens: Tokens { input: n * 100, cached: n * 40, output: n * 7 },
        cost_micros: Some(n * 11),
    }
}

async fn a_call_is_added_once(book: &impl UsageBook) {
    let ids = Ids::new();
    let who = Who::new(&ids);
    let call = who.call(&ids, "m", 0);
    for _ in 0..2 {
        book.add_call(call.clone()).await.expect("added");
    }
    let other = ModelCall { model: "other".to_owned(), ..call };
    book.add_call(other).await.expect("as it was");
    let used = book.usage_of(vec![who.dispatch]).await.expect("readable");
    assert_eq!(used, [(who.dispatch, times(1))]);
    let nobody = Who::new(&ids);
    assert_eq!(book.usage_of(vec![nobody.dispatch]).await.expect("readable"), []);
}

async fn what_was_used_is_added_up_by_what_is_asked_for(book: &impl UsageBook) {
    let ids = Ids::new();
    let (who, stranger) = (Who::new(&ids), Who::new(&ids));
    let later = Who { dispatch: DispatchId::from_uuid(ids.uuid()), subject: who.subject };
    let second = ModelCall { turn: Some(turn_id("t0")), ..who.call(&ids, "m", 5) };
    for call in [
        who.call(&ids, "m", 0),
        second,
        later.call(&ids, "n", DAY),
        later.call(&ids, "n", 2 * DAY - 1),
        later.call(&ids, "n", DAY + 3),
        later.call(&ids, "outside", 2 * DAY),
        stranger.call(&ids, "m", 0),
    ] {
        book.add_call(call).await.expect("added");
    }
    let row = |key: &str, n| UsageRow { key: key.to_owned(), usage: times(n) };
    let check = async |query: UsageQuery, expected: &[UsageRow]| {
        let page = book.usage(query.clone()).await.expect("readable");
        assert_eq!((page.items.as_slice(), page.more), (expected, false), "{query:?}");
    };
    check(who.query(UsageBy::Day), &[row("2024-10-05", 3), row("2024-10-04", 2)]).await;
    let (first, last) = (who.dispatch.to_string(), later.dispatch.to_string());
    check(who.query(UsageBy::Dispatch), &[row(&last, 3), row(&first, 2)]).await;
    check(who.query(UsageBy::Model), &[row("here/n", 3), row("here/m", 2)]).await;
    let of_first = UsageQuery { dispatch: Some(who.dispatch), ..who.query(UsageBy::Turn) };
    check(of_first, &[row("t1", 1), row("t0", 1)]).await;
    let one = UsageQuery { limit: 1, ..who.query(UsageBy::Day) };
    let page = book.usage(one).await.expect("readable");
    assert_eq!((page.items, page.more), (vec![row("2024-10-05", 3)], true));
    let everybody = UsageQuery { subject: None, ..who.query(UsageBy::Model) };
    let models = book.usage(everybody).await.expect("readable").items;
    let m = models.iter().find(|row| row.key == "here/m").expect("somebody's");
    assert!(m.usage.requests >= 3, "the stranger's too: {m:?}");
}

async fn what_was_not_said_is_not_made_up(book: &impl UsageBook) {
    let ids = Ids::new();
    let who = Who::new(&ids);
    let silent = ModelCall { tokens: None, cost_micros: None, ..who.call(&ids, "m", 0) };
    book.add_call(silent).await.expect("added");
    let used = book.usage_of(vec![who.dispatch]).await.expect("readable");
    let nothing = Usage { requests: 1, unknown: 1, unpriced: 1, ..Usage::default() };
    assert_eq!(used, [(who.dispatch, nothing)]);
    book.add_call(who.call(&ids, "m", 1)).await.expect("added");
    let used = book.usage_of(vec![who.dispatch]).await.expect("readable");
    let one = Usage { requests: 2, unknown: 1, unpriced: 1, ..times(1) };
    assert_eq!(used, [(who.dispatch, one)]);
}

async fn what_is_charged_has_the_time_of_its_call(book: &impl UsageBook) {
    let ids = Ids::new();
    let (who, stranger) = (Who::new(&ids), Who::new(&ids));
    let since = Time::from_ms(MORNING + 10);
    let everybody = book.charged(Charged::Everybody(since)).await.expect("readable");
    let silent = ModelCall { tokens: None, cost_micros: None, ..who.call(&ids, "m", 10) };
    for call in [who.call(&ids, "m", 9), silent, stranger.call(&ids, "m", 11)] {
        book.add_call(call).await.expect("added");
    }
    let one = Charge { requests: 1, tokens: 107, micros: 11 };
    let of = async |whose| book.charged(whose).await.expect("readable");
    assert_eq!(of(Charged::Person(who.subject, since)).await, one);
    assert_eq!(of(Charged::Dispatch(who.dispatch)).await, one.plus(one));
    let nobody = Charged::Dispatch(DispatchId::from_uuid(ids.uuid()));
    assert_eq!(of(nobody).await, Charge::default());
    let more = of(Charged::Everybody(since)).await;
    assert!(more.requests >= everybody.requests + 2, "{everybody:?} then {more:?}");
}
