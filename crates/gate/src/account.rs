//! What one call of a model is accounted with. Settled once: before the body of its answer ends, whose last
//! words its caller may have read by then, or else when the call is given up. Never holds a prompt or an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::port::{Charge, Exchange, LedgerError, ModelCall, ModelPrice, Report, Tokens};
use engine::task::TaskKind;
use model::{Event, ModelApi, TurnId};
use serde::Deserialize;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::broker::Serving;
use crate::budget::{Hold, UsedUp};
use crate::demo;
use crate::price;
use crate::refusal::Refusal;
use crate::route::Ask;
use crate::talk::say::{self, Voice};
use crate::tape::Tape;
use crate::translate::Told;
use crate::usage::{Framing, Meter, Used};

/// How often a record is tried again, each time after twice as long.
const TRIES: u32 = 9;
/// After how long a record is tried again first.
const TRY_AFTER: Duration = Duration::from_millis(25);

/// The tokens of an answer that a call holds whose request names no limit.
const ANSWER_TOKENS: u64 = 8_192;

/// Who answers a call, and at what price.
pub(crate) struct Billed<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) model: &'a str,
    /// What the model costs, if anybody said.
    pub(crate) price: Option<&'a ModelPrice>,
    /// The most tokens that the endpoint takes as the limit of an answer.
    pub(crate) max_tokens: Option<u64>,
}

/// What a call used, as far as its answer has come.
pub(crate) struct Account {
    serving: Arc<Serving>,
    started: Instant,
    api: ModelApi,
    endpoint: String,
    model: String,
    price: Option<ModelPrice>,
    /// The turn that the agent worked on when it called.
    turn: Option<TurnId>,
    /// About how many tokens the request has, for an endpoint that does not say.
    asked: u64,
    /// What it holds of budgets until it is settled; nothing where only tokens are counted, which is nobody's
    /// usage.
    hold: Option<Hold>,
    /// Watches the answer that the caller gets.
    pub(crate) meter: Meter,
    /// What it will have used when its answer is whole, where that is known.
    pub(crate) promised: Option<Used>,
    /// What it used, where who translates the answer says it.
    pub(crate) told: Option<Told>,
    /// What is said, where it is recorded.
    tape: Option<Tape>,
    came: Came,
}

/// How much of an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// It was refused, or never reached its endpoint: nothing was used.
    Nothing,
    /// It may be on its way, or have broken off.
    Part,
    Whole,
}

impl Account {
    /// A call that begins as soon as no budget stands against it.
    pub(crate) async fn begin(
        serving: &Arc<Serving>,
        billed: Billed<'_>,
        ask: &Ask,
    ) -> Result<Self, Refusal> {
        let asked = demo::tokens(ask.body.bytes.len());
        let hold = if ask.call.counts() {
            None
        } else {
            let hold = || {
                let limit = answer_max(&ask.body.bytes);
                let output = limit.map_or(ANSWER_TOKENS, |most| {
                    billed.max_tokens.map_or(most, |limit| limit.min(most))
                });
                charge(billed.price, Used { input: asked, cached: 0, output })
            };
            Some(serving.admit(hold).await?)
        };
        Ok(Self {
            serving: Arc::clone(serving),
            started: serving.clock().instant(),
            api: ask.call.api(),
            endpoint: billed.endpoint.to_owned(),
            model: billed.model.to_owned(),
            price: billed.price.cloned(),
            turn: serving.turn(),
            asked,
            tape: (serving.caller.record && hold.is_some()).then(|| Tape::new(&ask.body.bytes)),
            hold,
            meter: Meter::new(Framing::Json),
            promised: None,
            told: None,
            came: Came::Part,
        })
    }

    /// It was refused, or never reached its endpoint.
    pub(crate) fn used_nothing(&mut self) {
        self.came = Came::Nothing;
    }

    /// Its answer came to its end.
    pub(crate) fn is_whole(&mut self) {
        self.came = Came::Whole;
    }

    /// Looks at the next bytes of the answer; the budget that they pass, if they pass one. An answer
    /// that is not streamed passes none: half of it would be of no use, and is paid for all the same.
    pub(crate) fn watch(&mut self, bytes: &[u8]) -> Option<UsedUp> {
        self.meter.watch(bytes);
        if self.meter.framing() == Framing::Json {
            return None;
        }
        self.hold.as_ref()?.passed(|| self.charge(self.used()))
    }

    /// The caller gets these bytes next.
    pub(crate) fn said(&mut self, bytes: &[u8]) {
        if let Some(tape) = &mut self.tape {
            tape.hear(bytes);
        }
    }

    /// Has the turn ended, whose budget is used up.
    pub(crate) async fn exhaust(&self, used_up: &UsedUp) {
        self.serving.exhaust(used_up).await;
    }

    /// What a caller hears last whose streamed answer is cut.
    pub(crate) fn last_words(&self, why: &UsedUp) -> Bytes {
        say::streamed(self.api, Voice::default()).fail(&why.to_string())
    }

    fn used(&self) -> Option<Used> {
        // What is said to the caller of a translated answer holds numbers also where none were heard.
        let heard = || self.told.as_ref().map_or(self.meter.used(), |told| *told.lock());
        match (self.came, self.promised) {
            (Came::Nothing, _) => Some(Used::default()),
            (Came::Part, Some(used)) => {
                Some(Used { output: used.output.min(self.meter.about()), ..used })
            }
            (Came::Whole, Some(used)) => Some(used),
            (Came::Part | Came::Whole, None) => heard(),
        }
    }

    /// What counts against budgets: what was said, and of what was not said, about as much as passed
    /// by.
    fn charge(&self, used: Option<Used>) -> Charge {
        let about = Used { input: self.asked, cached: 0, output: self.meter.about() };
        let counted = match (used, self.came) {
            (None, _) => about,
            (Some(used), Came::Nothing | Came::Whole) => used,
            (Some(used), Came::Part) => Used { output: used.output.max(about.output), ..used },
        };
        charge(self.price.as_ref(), counted)
    }

    fn close(&mut self, hold: Hold) -> Closed {
        let used = self.used();
        let (charge, now) = (self.charge(used), self.serving.clock().now());
        hold.settle(charge, now);
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
            at: now,
            endpoint: self.endpoint.clone(),
            model: self.model.clone(),
            tokens: used.map(tokens),
            cost_micros: self
                .price
                .as_ref()
                .zip(used)
                .map(|(price, used)| price::cost(price, used)),
            charge,
        };
        let elapsed = self.serving.clock().instant().saturating_duration_since(self.started);
        let event = used.filter(|used| *used != Used::default()).map(|used| Event::Usage {
            model: self.model.clone(),
            input_tokens: used.input,
            output_tokens: used.output,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        let exchange = self.tape.take().filter(|_| self.came != Came::Nothing).map(|tape| {
            tape.into(Exchange {
                at: now,
                turn: self.turn.clone(),
                endpoint: self.endpoint.clone(),
                model: self.model.clone(),
                dialect: self.api,
                request: String::new(),
                answer: String::new(),
                whole: self.came == Came::Whole,
                cut: false,
            })
        });
        Closed { serving: Arc::clone(&self.serving), call, event, exchange }
    }

    /// Waits until what it used is written down and told. That is done also where nobody waits: many
    /// callers leave as soon as they have read the last word.
    pub(crate) async fn settle(&mut self) {
        if let Some(hold) = self.hold.take() {
            let (kept, is_kept) = oneshot::channel::<()>();
            self.keep_with(hold, kept);
            // It is dropped when all is done.
            drop(is_kept.await);
        }
    }

    fn keep_with<T: Send + 'static>(&mut self, hold: Hold, kept: T) {
        let keep = self.close(hold).keep();
        self.serving.tasks.spawn(TaskKind::Connection, "record of usage", async move {
            keep.await;
            drop(kept);
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.keep_with(hold, ());
        }
    }
}

/// What counts of a call that used so much.
fn charge(price: Option<&ModelPrice>, used: Used) -> Charge {
    let tokens = used.input.saturating_add(used.output);
    Charge { requests: 1, tokens, micros: price.map_or(0, |it| price::cost(it, used)) }
}

/// The limit of the answer that a request names, in whatever dialect.
fn answer_max(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        max_tokens: Option<u64>,
        max_completion_tokens: Option<u64>,
        max_output_tokens: Option<u64>,
        #[serde(rename = "generationConfig")]
        generation: Option<Generation>,
    }
    #[derive(Deserialize)]
    struct Generation {
        #[serde(rename = "maxOutputTokens")]
        max: Option<u64>,
    }
    let head: Head = serde_json::from_slice(body).ok()?;
    let stated = head.max_completion_tokens.or(head.max_tokens).or(head.max_output_tokens);
    stated.or(head.generation.and_then(|generation| generation.max))
}

/// A call that is over.
struct Closed {
    serving: Arc<Serving>,
    call: ModelCall,
    event: Option<Event>,
    exchange: Option<Exchange>,
}

impl Closed {
    /// Writes the record, then tells the supervisor. One that is gone wants to hear nothing.
    async fn keep(self) {
        let Self { serving, call, event, exchange } = self;
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
        if let Some(exchange) = exchange {
            let dispatch = call.dispatch;
            match serving.recordings().add_exchange(dispatch, exchange).await {
                Ok(true) => {}
                Ok(false) => warn!(%dispatch, "a recording is full"),
                Err(problem) => error!(%dispatch, %problem, "an exchange was not recorded"),
            }
        }
        if let Some(event) = event {
            drop(serving.caller.reports.send(Report::Event(event)).await);
        }
    }
}
