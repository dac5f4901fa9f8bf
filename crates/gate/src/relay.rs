//! Passes an answer on as it comes: no byte waits for another. Watches it for what it used, and
//! breaks it off when it falls silent or never ends.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::account::Account;
use crate::budget::UsedUp;
use crate::limit::ANSWER_BYTES_MAX;
use crate::redact::Redactor;

/// The body of every answer of the gate.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer broke off; the connection is closed so that the caller sees it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the endpoint broke its answer off")]
    Endpoint,
    #[error("the endpoint was removed by its owner")]
    Removed,
    #[error("the endpoint fell silent in its answer")]
    Idle,
    #[error("the answer passed a budget")]
    Budget,
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Endless,
}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An answer on its way.
pub(crate) struct Relay {
    pub(crate) from: BoxStream<'static, Result<Bytes, Broken>>,
    pub(crate) idle: Duration,
    pub(crate) redactor: Redactor,
    pub(crate) account: Account,
}

impl Relay {
    /// The body that the caller reads.
    pub(crate) fn into_body(self) -> Body {
        StreamBody::new(self.into_stream().map_ok(Frame::data)).boxed_unsync()
    }

    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
        stream::unfold(
            (self, State::Open { left: ANSWER_BYTES_MAX }),
            |(mut relay, state)| async move {
                let (item, state) = match state {
                    State::Open { left } => relay.next(left).await?,
                    State::Cut => {
                        // What was said last goes out while this waits; an error would drop it.
                        tokio::task::yield_now().await;
                        (Err(Broken::Budget), State::Over)
                    }
                    State::Over => return None,
                };
                Some((item, (relay, state)))
            },
        )
    }

    async fn next(&mut self, mut left: u64) -> Option<(Result<Bytes, Broken>, State)> {
        loop {
            let bytes = match tokio::time::timeout(self.idle, self.from.next()).await {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(None) => return self.end().await,
                Ok(Some(Err(broken))) => {
                    // What was said before goes out while this waits; an error would drop it.
                    tokio::task::yield_now().await;
                    return Some(self.break_off(broken).await);
                }
                Err(_) => return Some(self.break_off(Broken::Idle).await),
            };
            if let Some(used_up) = self.account.watch(&bytes) {
                return Some(self.cut(&used_up).await);
            }
            let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                return Some(self.break_off(Broken::Endless).await);
            };
            left = rest;
            let bytes = self.redactor.pass(bytes);
            self.account.said(&bytes);
            if !bytes.is_empty() {
                return Some((Ok(bytes), State::Open { left }));
            }
        }
    }

    async fn break_off(&mut self, broken: Broken) -> (Result<Bytes, Broken>, State) {
        self.account.settle().await;
        (Err(broken), State::Over)
    }

    /// Ends the answer that passed a budget, and has the turn ended.
    async fn cut(&mut self, used_up: &UsedUp) -> (Result<Bytes, Broken>, State) {
        let last = self.account.last_words(used_up);
        self.account.settle().await;
        self.account.exhaust(used_up).await;
        (Ok(last), State::Cut)
    }

    /// What was used is written down before the body ends.
    async fn end(&mut self) -> Option<(Result<Bytes, Broken>, State)> {
        let rest = self.redactor.rest();
        self.account.said(&rest);
        self.account.is_whole();
        self.account.settle().await;
        (!rest.is_empty()).then_some((Ok(rest), State::Over))
    }
}

enum State {
    Open {
        left: u64,
    },
    /// It passed a budget and the caller was told so; now its connection ends.
    Cut,
    Over,
}
