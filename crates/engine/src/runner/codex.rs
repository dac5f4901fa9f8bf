//! Drives Codex over its `app-server`: JSON-RPC, one message a line; one process, many turns.
//!
//! It offers the agent nothing but answers to its questions. What sub-agents say is not told, what they
//! do is.

use model::{FailureCode, Runner, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::acp_message::{Incoming, RpcError};
use super::asks::{Ask, Asks};
use super::codex_ask as ask;
use super::codex_message::{Opened, Question, Turn, Turned, Wrong};
use super::codex_tell::{self, Told};
use super::log::Log;
use super::spoken::{self, Spoken};
use super::{Adapter, Input, LaunchContext, Process, Step, TurnAsk, bound, failed, input_id};

const INITIALIZE: u64 = 1;
const OPEN: u64 = 2;
/// The requests of an agent that are answered in one turn.
const REQUESTS_MAX: u32 = 1_000;
/// The longest id of the agent's that is kept.
const ID_BYTES_MAX: usize = 256;

/// Drives one Codex.
#[derive(Debug)]
pub(super) struct Codex {
    process: Process,
    /// How the conversation is opened.
    opening: ask::Opening,
    resumes: bool,
    /// The turn whose prompt waits for the end of the handshake.
    waiting: Option<TurnAsk>,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    phase: Phase,
    /// The conversation as the agent calls it.
    thread: String,
    /// The running turn as the agent calls it; empty until it has said so.
    turn: String,
    cancelled: bool,
    requests: u32,
    told: Told,
    asks: Asks,
    log: Log,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Nothing was said.
    #[default]
    Fresh,
    /// `initialize` is not answered.
    Initializing,
    /// `thread/start` or `thread/resume` is not answered.
    Opening,
    /// No turn is running.
    Ready,
    /// A turn is running.
    Prompting,
    /// The conversation cannot be had.
    Broken,
}

impl Codex {
    pub(super) fn new(runner: &Runner, context: LaunchContext) -> Self {
        let process = super::process(runner, &context);
        let snapshot = context.snapshot.as_deref();
        let mut state = snapshot.map_or_else(State::default, |snapshot| {
            serde_json::from_str(snapshot)
                .unwrap_or_else(|_| State { phase: Phase::Broken, ..State::default() })
        });
        state.log.restore_reply(context.reply);
        let opening = ask::Opening {
            thread: context.agent_session.unwrap_or_default(),
            cwd: context.cwd.to_string_lossy().into_owned(),
            approvals: super::permission(runner, context.permission).to_owned(),
            model: context.model,
        };
        Self { process, opening, resumes: context.resumes, waiting: None, state }
    }

    fn initialize(step: &mut Step) {
        step.input.push(Input::line(INITIALIZE, &ask::initialize(INITIALIZE)));
    }

    fn open(&self, step: &mut Step) {
        step.input.push(Input {
            id: OPEN,
            bytes: if self.resumes { self.opening.resume(OPEN) } else { self.opening.start(OPEN) },
        });
    }

    /// The id of the prompt's request, for the agent.
    fn prompt_id(&self) -> u64 {
        OPEN + u64::from(self.state.log.number())
    }

    fn input_id(&self, input: u32) -> u64 {
        input_id(self.state.log.number(), input)
    }

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let message = ask::prompt(self.prompt_id(), &self.state.thread, prompt);
        step.input.push(Input::line(self.input_id(super::PROMPT), &message));
    }

    /// Stops the running turn, once its name is known.
    fn send_cancel(&self, step: &mut Step) {
        if !self.state.turn.is_empty() {
            let State { thread, turn, .. } = &self.state;
            let bytes = ask::stop(self.state.log.number(), thread, turn);
            step.input.push(Input { id: self.input_id(super::CANCEL), bytes });
        }
    }

    fn begin_prompt(&mut self, step: &mut Step) {
        self.state.phase = Phase::Ready;
        if let Some(ask) = self.waiting.take() {
            self.state.phase = Phase::Prompting;
            self.prompt(step, &ask.prompt);
        }
    }

    fn end(&mut self, step: &mut Step, outcome: TurnOutcome) {
        self.waiting = None;
        self.state.turn.clear();
        self.state.asks.clear();
        self.state.log.end(step, outcome);
    }

    fn break_off(&mut self, step: &mut Step, code: FailureCode, message: &str) {
        self.state.phase = Phase::Broken;
        self.end(step, failed(code, message));
        step.close_input = true;
    }

    fn response(&mut self, step: &mut Step, incoming: &Incoming<'_>) {
        let id = incoming.id.and_then(|id| serde_json::from_str::<Value>(id.get()).ok());
        let answer = match (&incoming.error, incoming.result) {
            (Some(error), _) => Err(error),
            (None, result) => Ok(result.map_or("null", RawValue::get)),
        };
        match (self.state.phase, id) {
            (_, Some(Value::String(_))) => {} // to a stop, which may come too late
            (Phase::Initializing, Some(id)) if id == INITIALIZE => {
                if let Err(error) = answer {
                    return self.break_off(step, FailureCode::AgentStart, &error.shown());
                }
                self.state.phase = Phase::Opening;
                self.open(step);
            }
            (Phase::Opening, Some(id)) if id == OPEN => self.opened(step, answer),
            (Phase::Prompting, Some(id)) if id == self.prompt_id() => self.prompted(step, answer),
            _ => self.state.log.diagnose(step, "an answer to nothing that was asked"),
        }
    }

    fn opened(&mut self, step: &mut Step, answer: Result<&str, &RpcError<'_>>) {
        let code = if self.resumes { FailureCode::Session } else { FailureCode::AgentStart };
        match answer.map(serde_json::from_str::<Opened<'_>>) {
            Err(error) => self.break_off(step, code, &error.shown()),
            Ok(Ok(opened)) if (1..=ID_BYTES_MAX).contains(&opened.thread.id.len()) => {
                self.state.thread = opened.thread.id.into_owned();
                self.begin_prompt(step);
            }
            Ok(_) => {
                let message = "the agent opened a conversation without a usable id";
                self.break_off(step, FailureCode::AgentProtocol, message);
            }
        }
    }

    /// The agent has taken the prompt, or has not.
    fn prompted(&mut self, step: &mut Step, answer: Result<&str, &RpcError<'_>>) {
        match answer.map(serde_json::from_str::<Turned<'_>>) {
            Err(error) => {
                self.state.phase = Phase::Ready;
                let outcome = failed(error.failure_code(), &error.shown());
                self.end(step, if self.state.cancelled { TurnOutcome::Stopped } else { outcome });
            }
            Ok(Ok(turned)) => self.begun(step, &turned.turn),
            Ok(Err(_)) => self.state.log.diagnose(step, "a turn without a name"),
        }
    }

    /// The agent names the turn.
    fn begun(&mut self, step: &mut Step, turn: &Turn<'_>) {
        if self.state.turn.is_empty() && turn.id.len() <= ID_BYTES_MAX {
            self.state.turn = turn.id.to_string();
            if self.state.cancelled {
                self.send_cancel(step);
            }
        }
    }

    fn notified(&mut self, step: &mut Step, method: &str, params: &str) -> serde_json::Result<()> {
        if method == "serverRequest/resolved" {
            self.state.asks.withdraw(&serde_json::from_str::<ask::Resolved>(params)?.request());
        }
        if self.state.phase != Phase::Prompting {
            return Ok(()); // the idle chatter of an agent
        }
        let ours = self.state.thread == *serde_json::from_str::<codex_tell::Of<'_>>(params)?.thread;
        match method {
            "turn/started" if ours => {
                self.begun(step, &serde_json::from_str::<Turned<'_>>(params)?.turn);
            }
            "turn/completed" if ours => {
                let turn = serde_json::from_str::<Turned<'_>>(params)?.turn;
                if turn.id == *self.state.turn || self.state.turn.is_empty() {
                    self.state.phase = Phase::Ready;
                    let stopped = self.state.cancelled.then_some(TurnOutcome::Stopped);
                    self.end(step, stopped.unwrap_or_else(|| turn.outcome()));
                }
            }
            "error" | "warning" => {
                let text = serde_json::from_str::<Wrong<'_>>(params)?.shown();
                self.state.log.diagnose(step, &text);
            }
            _ => {
                let State { told, log, .. } = &mut self.state;
                codex_tell::tell(told, log, step, (method, params, ours))?;
            }
        }
        Ok(())
    }

    fn requested(&mut self, step: &mut Step, id: &RawValue, method: &str, params: &str) {
        self.state.requests = self.state.requests.saturating_add(1);
        let id = serde_json::from_str::<Value>(id.get()).ok();
        let id = id.filter(|id| id.is_string() || id.is_number());
        let id = id.filter(|id| id.to_string().len() <= ID_BYTES_MAX);
        let Some(id) = id.filter(|_| self.state.requests <= REQUESTS_MAX) else {
            return self.state.log.diagnose(step, "a request that is not answered");
        };
        let input = self.input_id(super::ANSWERS.saturating_add(self.state.requests));
        let Some(question) = Question::read(method, params) else {
            let text = format!("the agent asked for `{}`, which is not offered", bound::id(method));
            self.state.log.diagnose(step, &text);
            let error = json!({"code": -32601, "message": "not offered by this client"});
            let input = Input::line(input, &json!({"id": id, "error": error}));
            self.state.asks.note(&input);
            return step.input.push(input);
        };
        let mut asked = ask::open(input, &id, &question);
        let waits = self.state.phase == Phase::Prompting && !self.state.cancelled;
        if !waits || self.state.asks.is_full() {
            asked.answer = Some(super::asks::Answer::Cancelled);
            let input = ask::answer(&asked);
            self.state.asks.note(&input);
            return step.input.push(input);
        }
        let name = format!("{}-{}", self.state.log.number(), self.state.requests);
        step.events.push(question.event(&name, &self.state.told));
        self.state.asks.open(name, asked);
    }
}

impl Spoken for Codex {
    fn log(&mut self) -> &mut Log {
        &mut self.state.log
    }

    fn asks(&mut self) -> &mut Asks {
        &mut self.state.asks
    }

    fn read(&mut self, step: &mut Step, line: &str) -> serde_json::Result<()> {
        let incoming = serde_json::from_str::<Incoming<'_>>(line)?;
        let params = incoming.params.map_or("{}", RawValue::get);
        match (incoming.method.as_deref(), incoming.id) {
            (Some(method), None) => self.notified(step, method, params)?,
            (Some(method), Some(id)) => self.requested(step, id, method, params),
            (None, _) => self.response(step, &incoming),
        }
        Ok(())
    }

    fn repeat(&mut self, step: &mut Step, turn: Option<&TurnAsk>) {
        if let Some(turn) = turn {
            self.waiting = Some(turn.clone());
        }
        match (self.state.phase, &self.waiting) {
            (Phase::Initializing, _) => Self::initialize(step),
            (Phase::Opening, _) => self.open(step),
            (Phase::Prompting, Some(ask)) => self.prompt(step, &ask.prompt),
            _ => {}
        }
    }

    fn repeat_stop(&self, step: &mut Step) {
        if self.state.phase == Phase::Prompting && self.state.cancelled {
            self.send_cancel(step);
        }
    }

    fn answer_to(ask: &Ask) -> Input {
        ask::answer(ask)
    }
}

impl Adapter for Codex {
    fn process(&self) -> Process {
        self.process.clone()
    }

    fn turn(&mut self, turn: &TurnAsk) -> Step {
        let mut step = Step::default();
        if !spoken::begin(self, &mut step, turn) {
            return step;
        }
        (self.state.cancelled, self.state.requests) = (false, 0);
        self.state.told = Told::default();
        self.waiting = Some(turn.clone());
        match self.state.phase {
            Phase::Fresh => {
                self.state.phase = Phase::Initializing;
                Self::initialize(&mut step);
            }
            Phase::Ready => self.begin_prompt(&mut step),
            Phase::Broken => {
                let message = "the conversation with the agent could not be opened";
                self.break_off(&mut step, FailureCode::AgentStart, message);
            }
            Phase::Initializing | Phase::Opening | Phase::Prompting => {}
        }
        step
    }

    fn resume(&mut self, turn: Option<&TurnAsk>) -> Step {
        spoken::resume(self, turn)
    }

    fn line(&mut self, line: &[u8], overlong: bool) -> Step {
        spoken::line(self, line, overlong)
    }

    fn cancel(&mut self) -> Step {
        let mut step = Step::default();
        if !self.state.log.is_running() || self.state.cancelled {
            return step;
        }
        self.state.cancelled = true;
        if self.state.phase == Phase::Prompting {
            step.input.extend(self.state.asks.cancel().iter().map(ask::answer));
            self.send_cancel(&mut step);
        } else {
            self.end(&mut step, TurnOutcome::Stopped);
        }
        step
    }

    fn answer(&mut self, ask: &str, option: Option<&str>) -> Step {
        spoken::answer(self, ask, option)
    }

    fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Step {
        let mut step = Step::default();
        let begun = matches!(self.state.phase, Phase::Ready | Phase::Prompting);
        let cancelled = self.state.cancelled;
        self.state.phase = Phase::Broken;
        self.end(&mut step, super::exit_outcome(begun, cancelled, code, signal));
        step
    }

    fn agent_session(&self) -> Option<&str> {
        Some(&*self.state.thread).filter(|name| !name.is_empty())
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}
