//! What one call of a model is accounted with. Settled once: before its caller sees the end of the
//! answer, or else when the call is given up. Never holds a prompt or an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::port::{Charge, LedgerError, ModelCall, Tokens};
use engine::task::TaskKind;
use model::{Event, TurnId};
use tracing::{error, warn};

use crate::broker::Serving;
use crate::demo;
use crate::price::Price;
use crate::translate::Told;
use crate::usage::{Framing, Meter, Used};

/// How often a record is tried again, each time after twice as long.
const TRIES: u32 = 9;
/// After how long a record is tried again first.
const TRY_AFTER: Duration = Duration::from_millis(25);

/// What a call used, as far as its answer has come.
pub(crate) struct Account {
    serving: Arc<Serving>,
    started: Instant,
    endpoint: String,
    model: String,
    /// What the model costs, if anybody said.
    price: Option<Price>,
    /// The turn that the agent worked on when it called.
    turn: Option<TurnId>,
    /// About how many tokens the request has, for an endpoint that does not say.
    asked: u64,
    /// Watches the answer, where it is passed on as it is.
    pub(crate) meter: Meter,
    /// What it used, where that is known without reading the answer.
    pub(crate) known: Option<Used>,
    /// What it used, where who translates the answer says it.
    pub(crate) told: Option<Told>,
    settled: bool,
}

impl Account {
    /// A call that begins now. `request_bytes` is the size of what is asked.
    pub(crate) fn new(
        serving: &Arc<Serving>,
        endpoint: &str,
        model: &str,
        request_bytes: usize,
    ) -> Self {
        Self {
            serving: Arc::clone(serving),
            started: serving.clock().instant(),
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            turn: serving.turn(),
            asked: demo::tokens(request_bytes),
            meter: Meter::new(Framing::Json),
            known: None,
            told: None,
            settled: false,
        }
    }

    /// Only the tokens of a request are counted: that is nobody's usage.
    pub(crate) fn free(mut self) -> Self {
        self.settled = true;
        self
    }

    /// It was refused, or never reached its endpoint.
    pub(crate) fn used_nothing(&mut self) {
        self.known = Some(Used::default());
    }

    fn used(&self) -> Option<Used> {
        // What is said to the caller of a translated answer holds numbers also where none were heard.
        let heard = || self.told.as_ref().map_or(self.meter.used(), |told| *told.lock());
        self.known.or_else(heard)
    }

    /// What counts against budgets: what is known, or else about as much as passed by.
    fn charge(&self, used: Option<Used>) -> Charge {
        let about = || Used { input: self.asked, cached: 0, output: self.meter.about() };
        let used = used.unwrap_or_else(about);
        let micros = self.price.as_ref().map_or(0, |price| price.cost(used));
        Charge { requests: 1, tokens: used.input.saturating_add(used.output), micros }
    }

    fn close(&self) -> Closed {
        let used = self.used();
        let caller = &self.serving.caller;
        let tokens = |used: Used| Tokens {
            input: used.input,
            cached: used.cached.min(used.input),
            output: used.output,
        };
        let call = ModelCall {
            id: self.serving.fresh_id(),
            dispatch: caller.dispatch,
            subject: caller.subject,
            turn: self.turn.clone(),
            at: self.serving.clock().now(),
            endpoint: self.endpoint.clone(),
            model: self.model.clone(),
            tokens: used.map(tokens),
            cost_micros: self.price.as_ref().zip(used).map(|(price, used)| price.cost(used)),
            charge: self.charge(used),
        };
        let elapsed = self.serving.clock().instant().saturating_duration_since(self.started);
        let event = used.filter(|used| *used != Used::default()).map(|used| Event::Usage {
            model: self.model.clone(),
            input_tokens: used.input,
            output_tokens: used.output,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        Closed { serving: Arc::clone(&self.serving), call, event }
    }

    /// Waits until what it used is written down and told.
    pub(crate) async fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.close().keep().await;
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.settled {
            let keep = self.close().keep();
            self.serving.tasks.spawn(TaskKind::Connection, "record of usage", keep);
        }
    }
}

/// A call that is over.
struct Closed {
    serving: Arc<Serving>,
    call: ModelCall,
    event: Option<Event>,
}

impl Closed {
    /// Writes the record, then tells the supervisor. One that is gone wants to hear nothing.
    async fn keep(self) {
        let Self { serving, call, event } = self;
        let mut wait = TRY_AFTER;
        for attempt in 1..=TRIES {
            match serving.book().add_call(call.clone()).await {
                Ok(()) => break,
                Err(problem @ (LedgerError::Full(_) | LedgerError::Unavailable(_)))
                    if attempt < TRIES =>
                {
                    warn!(dispatch = %call.dispatch, %problem, "a record of usage is tried again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(problem) => {
                    error!(dispatch = %call.dispatch, %problem, "a record of usage is lost");
                    break;
                }
            }
        }
        if let Some(event) = event {
            drop(serving.caller.reports.send(event).await);
        }
    }
}
