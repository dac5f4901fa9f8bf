//! Passes an answer on as it comes: no byte waits for another. Watches it for what it used, and
//! breaks it off when it falls silent or never ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::port::Clock;
use engine::task::{TaskKind, Tasks};
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::Event;
use tokio::sync::mpsc;

use crate::limit::ANSWER_BYTES_MAX;
use crate::redact::Redactor;
use crate::translate::Told;
use crate::usage::{Meter, Used};

/// The body of every answer of the gate.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer broke off; the connection is closed so that the caller sees it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the endpoint broke its answer off")]
    Endpoint,
    #[error("the endpoint fell silent in its answer")]
    Idle,
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

/// Reports what a call used, once: at its end, or when it is given up.
pub(crate) struct Account {
    pub(crate) reports: mpsc::Sender<Event>,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Instant,
    pub(crate) model: String,
    pub(crate) meter: Meter,
    /// What it used, where that is known without reading the answer.
    pub(crate) known: Option<Used>,
    /// What it used, where who translates the answer says it.
    pub(crate) told: Option<Told>,
    pub(crate) settled: bool,
}

impl Account {
    fn event(&self) -> Option<Event> {
        let told = self.told.as_ref().and_then(|told| *told.lock());
        let used = self.known.or(told).or(self.meter.used())?;
        let elapsed = self.clock.instant().saturating_duration_since(self.started);
        Some(Event::Usage {
            model: self.model.clone(),
            input_tokens: used.input,
            output_tokens: used.output,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Waits until the report is taken. A supervisor that is gone wants none.
    async fn settle(&mut self) {
        if let (false, Some(event)) = (self.settled, self.event()) {
            drop(self.reports.send(event).await);
        }
        self.settled = true;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let (false, Some(event)) = (self.settled, self.event()) {
            let reports = self.reports.clone();
            self.tasks.spawn(TaskKind::Connection, "report of usage", async move {
                drop(reports.send(event).await);
            });
        }
    }
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
                let State::Open { left } = state else { return None };
                let (item, state) = relay.next(left).await?;
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
                    return Some((Err(broken), State::Over));
                }
                Err(_) => return Some((Err(Broken::Idle), State::Over)),
            };
            self.account.meter.watch(&bytes);
            let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                return Some((Err(Broken::Endless), State::Over));
            };
            left = rest;
            let bytes = self.redactor.pass(bytes);
            if !bytes.is_empty() {
                return Some((Ok(bytes), State::Open { left }));
            }
        }
    }

    /// The report is taken before the caller sees the end.
    async fn end(&mut self) -> Option<(Result<Bytes, Broken>, State)> {
        self.account.settle().await;
        let rest = self.redactor.rest();
        (!rest.is_empty()).then_some((Ok(rest), State::Over))
    }
}

enum State {
    Open { left: u64 },
    Over,
}
