//! Drives an agent that speaks the Agent Client Protocol, version 1: JSON-RPC, one message a line.
//!
//! It offers the agent nothing: no files, no terminal; what the agent may do is up to its sandbox.

use model::{Event, FailureCode, McpForm, Runner, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::acp_ask as ask;
use super::acp_message::{
    Chunk, Incoming, Initialized, Opened, PermissionRequest, Prompted, RpcError, Update, UpdateKind,
};
use super::asks::{Ask, Asks};
use super::log::Log;
use super::spoken::{self, Spoken};
use super::{
    Adapter, Input, LaunchContext, Process, Step, TurnAsk, acp_update, bound, failed, input_id,
};

const INITIALIZE: u64 = 1;
const OPEN: u64 = 2;
/// The requests of an agent that are refused in words; further ones are not answered.
const REFUSALS_MAX: u32 = 1_000;

/// Drives one agent that speaks ACP.
#[derive(Debug)]
pub(super) struct Acp {
    process: Process,
    /// The conversation as we call it.
    own: String,
    /// The conversation that is to be taken up, as the agent calls it.
    session: String,
    resumes: bool,
    cwd: String,
    /// The servers of tools that it is told of.
    servers: Value,
    /// What was said last; not known after a restart.
    prompt: String,
    /// The turn whose prompt waits for the end of the handshake.
    waiting: Option<TurnAsk>,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    phase: Phase,
    /// The conversation as the agent calls it.
    agent_session: String,
    cancelled: bool,
    /// The conversation was taken up again and no turn of it is over yet.
    #[serde(default)]
    loaded: bool,
    /// What comes is history: some agents tell it when they have said that they are ready.
    #[serde(default)]
    replays: bool,
    requests: u32,
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
    /// `session/new` or `session/load` is not answered; updates are history.
    Opening,
    /// No turn is running.
    Ready,
    /// `session/prompt` is not answered.
    Prompting,
    /// The conversation cannot be had.
    Broken,
}

impl Acp {
    pub(super) fn new(runner: &Runner, context: LaunchContext) -> Self {
        let process = super::process(runner, &context);
        let servers = match runner.mcp {
            Some(McpForm::Acp) => super::acp_servers(&context),
            Some(McpForm::Each(_)) | None => json!([]),
        };
        let snapshot = context.snapshot.as_deref();
        let mut state = snapshot.map_or_else(State::default, |snapshot| {
            serde_json::from_str(snapshot)
                .unwrap_or_else(|_| State { phase: Phase::Broken, ..State::default() })
        });
        state.log.restore_reply(context.reply);
        Self {
            process,
            own: context.session.uuid().to_string(),
            session: context.agent_session.unwrap_or_else(|| context.session.uuid().to_string()),
            resumes: context.resumes,
            servers,
            cwd: context.cwd.to_string_lossy().into_owned(),
            prompt: String::new(),
            waiting: None,
            state,
        }
    }

    fn initialize(step: &mut Step) {
        step.input.push(Input::line(INITIALIZE, &ask::initialize(INITIALIZE)));
    }

    fn open(&self, step: &mut Step) {
        let message = if self.resumes {
            ask::load(OPEN, &self.session, &self.cwd, &self.servers)
        } else {
            ask::new(OPEN, &self.cwd, &self.servers)
        };
        step.input.push(Input::line(OPEN, &message));
    }

    /// The id of the prompt's request, for the agent.
    fn prompt_id(&self) -> u64 {
        OPEN + u64::from(self.state.log.number())
    }

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let message = ask::prompt(self.prompt_id(), &self.state.agent_session, prompt);
        step.input.push(Input::line(self.input_id(super::PROMPT), &message));
    }

    fn send_cancel(&self, step: &mut Step) {
        let message = ask::cancel(&self.state.agent_session);
        step.input.push(Input::line(self.input_id(super::CANCEL), &message));
    }

    fn input_id(&self, input: u32) -> u64 {
        input_id(self.state.log.number(), input)
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
        (self.state.loaded, self.state.replays) = (false, false);
        self.state.asks.clear();
        self.state.log.end(step, outcome);
    }

    fn break_off(&mut self, step: &mut Step, code: FailureCode, message: &str) {
        self.state.phase = Phase::Broken;
        self.end(step, failed(code, message));
        step.close_input = true;
    }

    fn response(&mut self, step: &mut Step, incoming: &Incoming<'_>) {
        let id = incoming.id.and_then(|id| serde_json::from_str::<u64>(id.get()).ok());
        let answer = match (&incoming.error, incoming.result) {
            (Some(error), _) => Err(error),
            (None, result) => Ok(result.map_or("null", RawValue::get)),
        };
        match (self.state.phase, id) {
            (Phase::Initializing, Some(INITIALIZE)) => self.initialized(step, answer),
            (Phase::Opening, Some(OPEN)) => self.opened(step, answer),
            (Phase::Prompting, Some(id)) if id == self.prompt_id() => self.prompted(step, answer),
            _ => self.state.log.diagnose(step, "an answer to nothing that was asked"),
        }
    }

    fn initialized(&mut self, step: &mut Step, answer: Result<&str, &RpcError<'_>>) {
        let agent = match answer.map(serde_json::from_str::<Initialized>) {
            Err(error) => return self.break_off(step, FailureCode::AgentStart, &error.shown()),
            Ok(Err(_)) => Initialized::default(),
            Ok(Ok(agent)) => agent,
        };
        if agent.protocol_version != 1 {
            let message = "the agent does not speak version 1 of the Agent Client Protocol";
            return self.break_off(step, FailureCode::AgentProtocol, message);
        }
        if self.resumes && !agent.agent_capabilities.load_session {
            let message = "the agent cannot continue a conversation (no `loadSession`)";
            return self.break_off(step, FailureCode::Session, message);
        }
        self.state.phase = Phase::Opening;
        self.open(step);
    }

    fn opened(&mut self, step: &mut Step, answer: Result<&str, &RpcError<'_>>) {
        match answer {
            Err(error) if self.resumes => {
                self.break_off(step, FailureCode::Session, &error.shown());
            }
            Err(error) => self.break_off(step, FailureCode::AgentStart, &error.shown()),
            Ok(_) if self.resumes => {
                self.state.agent_session.clone_from(&self.session);
                self.state.loaded = true;
                self.begin_prompt(step);
            }
            Ok(result) => match serde_json::from_str::<Opened<'_>>(result) {
                Ok(opened) if opened.session_id.len() <= 256 => {
                    self.state.agent_session = opened.session_id.into_owned();
                    self.begin_prompt(step);
                }
                _ => {
                    let message = "the agent opened a conversation without a usable id";
                    self.break_off(step, FailureCode::AgentProtocol, message);
                }
            },
        }
    }

    fn prompted(&mut self, step: &mut Step, answer: Result<&str, &RpcError<'_>>) {
        self.state.phase = Phase::Ready;
        let outcome = match answer.map(serde_json::from_str::<Prompted<'_>>) {
            // Some agents that are told to stop say that they came to their end.
            _ if self.state.cancelled => TurnOutcome::Stopped,
            Err(error) => failed(error.failure_code(), &error.shown()),
            Ok(Err(_)) => {
                failed(FailureCode::AgentProtocol, "the agent ended the turn without a reason")
            }
            Ok(Ok(prompted)) => prompted.outcome(),
        };
        self.end(step, outcome);
    }

    fn update(&mut self, step: &mut Step, params: &str) -> serde_json::Result<()> {
        let update = serde_json::from_str::<Update<'_>>(params)?.update.get();
        if self.state.phase != Phase::Prompting {
            return Ok(()); // history, or the idle chatter of an agent
        }
        if self.state.loaded && self.is_history(update)? {
            return Ok(());
        }
        acp_update::tell(&mut self.state.log, step, update)
    }

    /// Whether an update is history that comes late: from something that was said to the agent, and not
    /// now, to its list of commands.
    fn is_history(&mut self, update: &str) -> serde_json::Result<bool> {
        match &*serde_json::from_str::<UpdateKind<'_>>(update)?.session_update {
            "user_message_chunk" => {
                let said = serde_json::from_str::<Chunk<'_>>(update)?;
                self.state.replays |= !self.prompt.contains(&*said.content.shown());
            }
            "available_commands_update" => self.state.replays = false,
            _ => {}
        }
        Ok(self.state.replays)
    }

    fn requested(&mut self, step: &mut Step, id: &RawValue, method: &str, params: &str) {
        self.state.requests = self.state.requests.saturating_add(1);
        let id = serde_json::from_str::<Value>(id.get()).ok();
        let id = id.filter(|id| id.is_string() || id.is_number());
        let id = id.filter(|id| id.to_string().len() <= 256);
        let Some(id) = id.filter(|_| self.state.requests <= REFUSALS_MAX) else {
            return self.state.log.diagnose(step, "a request that is not answered");
        };
        if method != "session/request_permission" {
            let text = format!("the agent asked for `{}`, which is not offered", bound::id(method));
            self.state.log.diagnose(step, &text);
            let error = json!({"code": -32601, "message": "not offered by this client"});
            return self.respond(step, &id, "error", &error);
        }
        match serde_json::from_str::<PermissionRequest<'_>>(params) {
            Ok(request) => self.permission(step, &id, &request),
            Err(error) => {
                let error = json!({"code": -32602, "message": error.to_string()});
                self.respond(step, &id, "error", &error);
            }
        }
    }

    fn permission(&mut self, step: &mut Step, id: &Value, request: &PermissionRequest<'_>) {
        let options = request.shown();
        if self.state.phase != Phase::Prompting || self.state.cancelled || self.state.asks.is_full()
        {
            let outcome = json!({"outcome": {"outcome": "cancelled"}});
            return self.respond(step, id, "result", &outcome);
        }
        if !self.state.log.has(&request.tool_call.id) {
            acp_update::tool_call(&mut self.state.log, step, &request.tool_call);
        }
        let ask = format!("{}-{}", self.state.log.number(), self.state.requests);
        step.events.push(Event::PermissionAsked {
            ask: ask.clone(),
            call: bound::id(&request.tool_call.id),
            title: bound::line(request.tool_call.title.as_deref().unwrap_or("use a tool")),
            options: options.clone(),
        });
        let options = options.into_iter().map(|option| (option.option, option.kind)).collect();
        let (input, request) = (self.answer_id(), id.to_string());
        self.state.asks.open(ask, Ask { input, request, options, answer: None });
    }

    /// The id of the input that answers the request that was just read.
    fn answer_id(&self) -> u64 {
        self.input_id(super::ANSWERS.saturating_add(self.state.requests))
    }

    fn respond(&mut self, step: &mut Step, id: &Value, field: &str, value: &Value) {
        let message = json!({"jsonrpc": "2.0", "id": id, field: value});
        let input = Input::line(self.answer_id(), &message);
        self.state.asks.note(&input);
        step.input.push(input);
    }
}

impl Spoken for Acp {
    fn log(&mut self) -> &mut Log {
        &mut self.state.log
    }

    fn asks(&mut self) -> &mut Asks {
        &mut self.state.asks
    }

    fn read(&mut self, step: &mut Step, line: &str) -> serde_json::Result<()> {
        let incoming = serde_json::from_str::<Incoming<'_>>(line)?;
        let params = incoming.params.map_or("null", RawValue::get);
        match (incoming.method.as_deref(), incoming.id) {
            (Some("session/update"), None) => self.update(step, params)?,
            (Some(method), Some(id)) => self.requested(step, id, method, params),
            (Some(method), None) if method.starts_with('_') => {} // a vendor's own
            (Some(method), None) => {
                let text = format!("a notification of unknown kind `{}`", bound::id(method));
                self.state.log.diagnose(step, &text);
            }
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

impl Adapter for Acp {
    fn process(&self) -> Process {
        self.process.clone()
    }

    fn turn(&mut self, turn: &TurnAsk) -> Step {
        let mut step = Step::default();
        if !spoken::begin(self, &mut step, turn) {
            return step;
        }
        (self.state.cancelled, self.state.requests) = (false, 0);
        self.prompt.clone_from(&turn.prompt);
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
        Some(&*self.state.agent_session).filter(|name| !name.is_empty() && *name != self.own)
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}
