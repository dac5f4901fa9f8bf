//! Checks the promises of [`Recordings`].

use model::{DispatchId, ModelApi};

use super::fixture::{Ids, at, new_dispatch, turn_id};
use crate::port::{Exchange, Ledger, LedgerError, RECORDING_BYTES_MAX, Recordings};

/// Checks every promise, each with a store from `fresh`, which may share what is behind it.
///
/// # Panics
/// When a promise is broken.
pub async fn recordings<R: Recordings + Ledger>(fresh: impl AsyncFn() -> R) {
    exchanges_are_read_in_order(&fresh().await).await;
    a_recording_has_a_bound(&fresh().await).await;
}

/// A call that said this.
pub fn exchange(text: &str) -> Exchange {
    Exchange {
        at: at(1),
        turn: Some(turn_id("t1")),
        endpoint: "here".to_owned(),
        model: "m".to_owned(),
        dialect: ModelApi::OpenaiChat,
        request: format!("{{\"say\":\"{text}\"}}"),
        answer: text.to_owned(),
        whole: true,
        cut: false,
    }
}

async fn dispatch(store: &impl Ledger, ids: &Ids) -> DispatchId {
    let new = new_dispatch(ids, ids.user(), "t1", 1);
    let id = new.dispatch.id;
    store.create(new).await.expect("new");
    id
}

async fn all(store: &impl Recordings, dispatch: DispatchId) -> Vec<Exchange> {
    let (mut found, mut after) = (Vec::new(), 0);
    while let Some((number, exchange)) = store.exchange_after(dispatch, after).await.expect("read")
    {
        assert!(number > after, "numbers grow");
        after = number;
        found.push(exchange);
    }
    found
}

async fn exchanges_are_read_in_order(store: &(impl Recordings + Ledger)) {
    let ids = Ids::new();
    let [one, other, silent] =
        [dispatch(store, &ids).await, dispatch(store, &ids).await, dispatch(store, &ids).await];
    let exchanges = ["a", "b \u{1f600} '\u{0}", "c"].map(exchange);
    for exchange in &exchanges {
        assert!(store.add_exchange(one, exchange.clone()).await.expect("added"));
        assert!(store.add_exchange(other, self::exchange("x")).await.expect("added"));
    }
    assert_eq!(all(store, one).await, exchanges);
    assert_eq!(all(store, other).await.len(), 3);
    assert_eq!(all(store, silent).await, []);
    let nobody = DispatchId::from_uuid(ids.uuid());
    let refused = store.add_exchange(nobody, exchange("x")).await;
    assert!(matches!(refused, Err(LedgerError::NoDispatch(it)) if it == nobody), "{refused:?}");
}

async fn a_recording_has_a_bound(store: &(impl Recordings + Ledger)) {
    let ids = Ids::new();
    let dispatch = dispatch(store, &ids).await;
    let long = Exchange { answer: "x".repeat(15 << 20), ..exchange("x") };
    let mut added: u64 = 0;
    while store.add_exchange(dispatch, long.clone()).await.expect("answered") {
        added += 1;
    }
    assert_eq!(added, RECORDING_BYTES_MAX / (15 << 20));
    assert!(store.add_exchange(dispatch, exchange("short")).await.expect("there is still room"));
}
