//! What adapters of agents that speak JSON-RPC do alike: two requests open a conversation, one begins a turn, and the
//! agent may ask back.

use model::{FailureCode, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::json_rpc::RpcError;

use super::asks::Asks;
use super::log::Log;
use super::spoken::{self, Spoken};
use super::{Input, Step, TurnAsk, bound, failed, input_id};

/// The id of the first request.
pub(super) const INITIALIZE: u64 = 1;
/// The id of the request that opens the conversation.
pub(super) const OPEN: u64 = 2;
/// The requests of an agent that are answered in one turn.
const REQUESTS_MAX: u32 = 1_000;
/// The longest id of the agent's that is kept.
pub(super) const ID_BYTES_MAX: usize = 256;

impl RpcError<'_> {
    /// What the failure of a prompt was. The protocol has no code for it; an agent may name it in `data`.
    pub(super) fn failure_code(&self) -> FailureCode {
        #[derive(Deserialize)]
        struct Data {
            kind: String,
        }
        let data = self.data.and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
        match (data.as_ref().map(|data| data.kind.as_str()), self.code) {
            (Some("session"), _) => FailureCode::Session,
            (Some("model"), _) => FailureCode::Model,
            (_, -32700 | -32602..=-32600) => FailureCode::AgentProtocol,
            _ => FailureCode::Model,
        }
    }

    /// The error for people.
    pub(super) fn shown(&self) -> String {
        format!("the agent answered with error {}: {}", self.code, bound::line(&self.message))
    }
}

/// Where a conversation stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Nothing was said.
    #[default]
    Fresh,
    /// The first request is not answered.
    Initializing,
    /// The request that opens the conversation is not answered.
    Opening,
    /// No turn is running.
    Ready,
    /// A turn is running.
    Prompting,
    /// The conversation cannot be had.
    Broken,
}

/// What is known of a conversation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Talk {
    pub(super) phase: Phase,
    /// The running turn was told to stop.
    pub(super) cancelled: bool,
    /// How many requests the agent made in this turn.
    pub(super) requests: u32,
    pub(super) asks: Asks,
    pub(super) log: Log,
    /// The turn whose prompt waits for the end of the handshake.
    #[serde(skip)]
    pub(super) waiting: Option<TurnAsk>,
}

impl Talk {
    /// Of a conversation that nothing is known of any more.
    pub(super) fn broken() -> Self {
        Self { phase: Phase::Broken, ..Self::default() }
    }

    /// The id of the prompt's request, for the agent.
    pub(super) fn prompt_id(&self) -> u64 {
        OPEN + u64::from(self.log.number())
    }

    pub(super) fn input_id(&self, input: u32) -> u64 {
        input_id(self.log.number(), input)
    }

    /// The id of the input that answers the request that was just read.
    pub(super) fn answer_id(&self) -> u64 {
        self.input_id(super::ANSWERS.saturating_add(self.requests))
    }

    /// The name of the question that was just read.
    pub(super) fn ask_name(&self) -> String {
        format!("{}-{}", self.log.number(), self.requests)
    }

    /// Counts a request of the agent; its id, if it can be answered.
    pub(super) fn request(&mut self, step: &mut Step, id: &RawValue) -> Option<Value> {
        self.requests = self.requests.saturating_add(1);
        let id = serde_json::from_str::<Value>(id.get()).ok();
        let id = id.filter(|id| id.is_string() || id.is_number());
        let id = id.filter(|id| id.to_string().len() <= ID_BYTES_MAX);
        let id = id.filter(|_| self.requests <= REQUESTS_MAX);
        if id.is_none() {
            self.log.diagnose(step, "a request that is not answered");
        }
        id
    }

    /// Whether a person can be asked now.
    pub(super) fn can_ask(&self) -> bool {
        self.phase == Phase::Prompting && !self.cancelled && !self.asks.is_full()
    }

    /// The error that answers a request for something that is not offered.
    pub(super) fn not_offered(&mut self, step: &mut Step, method: &str) -> Value {
        let text = format!("the agent asked for `{}`, which is not offered", bound::id(method));
        self.log.diagnose(step, &text);
        json!({"code": -32601, "message": "not offered by this client"})
    }

    /// Answers the request that was just read.
    pub(super) fn respond(&mut self, step: &mut Step, input: Input) {
        self.asks.note(&input);
        step.input.push(input);
    }
}

/// What is particular to one protocol over JSON-RPC.
pub(super) trait Rpc: Spoken {
    fn talk(&mut self) -> &mut Talk;

    /// Says the first request.
    fn initialize(&self, step: &mut Step);

    /// Says the request that opens the conversation.
    fn open(&self, step: &mut Step);

    /// Says what begins a turn.
    fn prompt(&self, step: &mut Step, prompt: &str);

    /// Says that the running turn is to stop.
    fn send_cancel(&self, step: &mut Step);

    /// Takes note of a turn that begins.
    fn begins(&mut self, turn: &TurnAsk);

    /// Forgets what concerns the running turn alone.
    fn forget_turn(&mut self);

    /// The conversation is open: says what waits.
    fn begin_prompt(&mut self, step: &mut Step) {
        self.talk().phase = Phase::Ready;
        if let Some(ask) = self.talk().waiting.take() {
            self.talk().phase = Phase::Prompting;
            self.prompt(step, &ask.prompt);
        }
    }

    /// Ends the turn.
    fn end(&mut self, step: &mut Step, outcome: TurnOutcome) {
        self.forget_turn();
        let talk = self.talk();
        talk.waiting = None;
        talk.asks.clear();
        talk.log.end(step, outcome);
    }

    /// Ends the conversation.
    fn break_off(&mut self, step: &mut Step, code: FailureCode, message: &str) {
        self.talk().phase = Phase::Broken;
        self.end(step, failed(code, message));
        step.close_input = true;
    }
}

/// What [`Spoken::repeat`] does.
pub(super) fn repeat(adapter: &mut impl Rpc, step: &mut Step, turn: Option<&TurnAsk>) {
    if let Some(turn) = turn {
        adapter.talk().waiting = Some(turn.clone());
    }
    match (adapter.talk().phase, turn) {
        (Phase::Initializing, _) => adapter.initialize(step),
        (Phase::Opening, _) => adapter.open(step),
        (Phase::Prompting, Some(turn)) => adapter.prompt(step, &turn.prompt),
        _ => {}
    }
}

/// What [`Adapter::turn`](super::Adapter::turn) does.
pub(super) fn turn(adapter: &mut impl Rpc, turn: &TurnAsk) -> Step {
    let mut step = Step::default();
    if !spoken::begin(adapter, &mut step, turn) {
        return step;
    }
    adapter.begins(turn);
    let talk = adapter.talk();
    (talk.cancelled, talk.requests) = (false, 0);
    talk.waiting = Some(turn.clone());
    match talk.phase {
        Phase::Fresh => {
            talk.phase = Phase::Initializing;
            adapter.initialize(&mut step);
        }
        Phase::Ready => adapter.begin_prompt(&mut step),
        Phase::Broken => {
            let message = "the conversation with the agent could not be opened";
            adapter.break_off(&mut step, FailureCode::AgentStart, message);
        }
        Phase::Initializing | Phase::Opening | Phase::Prompting => {}
    }
    step
}

/// What [`Adapter::cancel`](super::Adapter::cancel) does.
pub(super) fn cancel<A: Rpc>(adapter: &mut A) -> Step {
    let mut step = Step::default();
    let talk = adapter.talk();
    if !talk.log.is_running() || talk.cancelled {
        return step;
    }
    talk.cancelled = true;
    if talk.phase == Phase::Prompting {
        step.input.extend(talk.asks.cancel().iter().map(A::answer_to));
        adapter.send_cancel(&mut step);
    } else {
        adapter.end(&mut step, TurnOutcome::Stopped);
    }
    step
}

/// What [`Adapter::exited`](super::Adapter::exited) does.
pub(super) fn exited(adapter: &mut impl Rpc, code: Option<i32>, signal: Option<i32>) -> Step {
    let mut step = Step::default();
    let talk = adapter.talk();
    let begun = matches!(talk.phase, Phase::Ready | Phase::Prompting);
    let outcome = super::exit_outcome(begun, talk.cancelled, code, signal);
    talk.phase = Phase::Broken;
    adapter.end(&mut step, outcome);
    step
}
