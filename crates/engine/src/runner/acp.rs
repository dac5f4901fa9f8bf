//! Drives an agent that speaks the Agent Client Protocol, version 1: JSON-RPC, one message a line.
//!
//! It offers the agent nothing: no files, no terminal; what the agent may do is up to its sandbox.

use model::{Event, FailureCode, McpForm, Runner, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::acp_ask as ask;
use super::acp_message::{
    Chunk, Initialized, Opened, PermissionRequest, Prompted, Update, UpdateKind,
};
use super::asks::{Ask, Asks};
use super::log::Log;
use super::rpc::{self, ID_BYTES_MAX, INITIALIZE, OPEN, Phase, Rpc, Talk};
use super::spoken::{self, Spoken};
use super::{Adapter, Input, LaunchContext, Process, Step, TurnAsk, acp_update, bound, failed};
use crate::json_rpc::{Message, RpcError};

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
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    talk: Talk,
    /// The conversation as the agent calls it.
    agent_session: String,
    /// The conversation was taken up again and no turn of it is over yet.
    #[serde(default)]
    loaded: bool,
    /// What comes is history: some agents tell it when they have said that they are ready.
    #[serde(default)]
    replays: bool,
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
                .unwrap_or_else(|_| State { talk: Talk::broken(), ..State::default() })
        });
        state.talk.log.restore_reply(context.reply);
        Self {
            process,
            own: context.session.uuid().to_string(),
            session: context.agent_session.unwrap_or_else(|| context.session.uuid().to_string()),
            resumes: context.resumes,
            servers,
            cwd: context.cwd.to_string_lossy().into_owned(),
            prompt: String::new(),
            state,
        }
    }

    fn response(&mut self, step: &mut Step, incoming: &Message<'_>) {
        let id = incoming.id.and_then(|id| serde_json::from_str::<u64>(id.get()).ok());
        let answer = incoming.answer();
        match (self.state.talk.phase, id) {
            (Phase::Initializing, Some(INITIALIZE)) => self.initialized(step, answer),
            (Phase::Opening, Some(OPEN)) => self.opened(step, answer),
            (Phase::Prompting, Some(id)) if id == self.state.talk.prompt_id() => {
                self.prompted(step, answer);
            }
            _ => self.state.talk.log.diagnose(step, "an answer to nothing that was asked"),
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
        self.state.talk.phase = Phase::Opening;
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
                Ok(opened) if opened.session_id.len() <= ID_BYTES_MAX => {
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
        self.state.talk.phase = Phase::Ready;
        let outcome = match answer.map(serde_json::from_str::<Prompted<'_>>) {
            // Some agents that are told to stop say that they came to their end.
            _ if self.state.talk.cancelled => TurnOutcome::Stopped,
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
        if self.state.talk.phase != Phase::Prompting {
            return Ok(()); // history, or the idle chatter of an agent
        }
        if self.state.loaded && self.is_history(update)? {
            return Ok(());
        }
        acp_update::tell(&mut self.state.talk.log, step, update)
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
        let Some(id) = self.state.talk.request(step, id) else { return };
        if method != "session/request_permission" {
            let error = self.state.talk.not_offered(step, method);
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
        if !self.state.talk.can_ask() {
            let outcome = json!({"outcome": {"outcome": "cancelled"}});
            return self.respond(step, id, "result", &outcome);
        }
        if !self.state.talk.log.has(&request.tool_call.id) {
            acp_update::tool_call(&mut self.state.talk.log, step, &request.tool_call);
        }
        let ask = self.state.talk.ask_name();
        step.events.push(Event::PermissionAsked {
            ask: ask.clone(),
            call: bound::id(&request.tool_call.id),
            title: bound::line(request.tool_call.title.as_deref().unwrap_or("use a tool")),
            options: options.clone(),
        });
        let options = options.into_iter().map(|option| (option.option, option.kind)).collect();
        let (input, request) = (self.state.talk.answer_id(), id.to_string());
        self.state.talk.asks.open(ask, Ask { input, request, options, answer: None });
    }

    fn respond(&mut self, step: &mut Step, id: &Value, field: &str, value: &Value) {
        let message = json!({"jsonrpc": "2.0", "id": id, field: value});
        let input = Input::line(self.state.talk.answer_id(), &message);
        self.state.talk.respond(step, input);
    }
}

impl Spoken for Acp {
    fn log(&mut self) -> &mut Log {
        &mut self.state.talk.log
    }

    fn asks(&mut self) -> &mut Asks {
        &mut self.state.talk.asks
    }

    fn read(&mut self, step: &mut Step, line: &str) -> serde_json::Result<()> {
        let incoming = serde_json::from_str::<Message<'_>>(line)?;
        let params = incoming.params.map_or("null", RawValue::get);
        match (incoming.method.as_deref(), incoming.id) {
            (Some("session/update"), None) => self.update(step, params)?,
            (Some(method), Some(id)) => self.requested(step, id, method, params),
            (Some(method), None) if method.starts_with('_') => {} // a vendor's own
            (Some(method), None) => {
                let text = format!("a notification of unknown kind `{}`", bound::id(method));
                self.state.talk.log.diagnose(step, &text);
            }
            (None, _) => self.response(step, &incoming),
        }
        Ok(())
    }

    fn repeat(&mut self, step: &mut Step, turn: Option<&TurnAsk>) {
        rpc::repeat(self, step, turn);
    }

    fn repeat_stop(&self, step: &mut Step) {
        if self.state.talk.phase == Phase::Prompting && self.state.talk.cancelled {
            self.send_cancel(step);
        }
    }

    fn answer_to(ask: &Ask) -> Input {
        ask::answer(ask)
    }
}

impl Rpc for Acp {
    fn talk(&mut self) -> &mut Talk {
        &mut self.state.talk
    }

    fn initialize(&self, step: &mut Step) {
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

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let message = ask::prompt(self.state.talk.prompt_id(), &self.state.agent_session, prompt);
        step.input.push(Input::line(self.state.talk.input_id(super::PROMPT), &message));
    }

    fn send_cancel(&self, step: &mut Step) {
        let message = ask::cancel(&self.state.agent_session);
        step.input.push(Input::line(self.state.talk.input_id(super::CANCEL), &message));
    }

    fn begins(&mut self, turn: &TurnAsk) {
        self.prompt.clone_from(&turn.prompt);
    }

    fn forget_turn(&mut self) {
        (self.state.loaded, self.state.replays) = (false, false);
    }
}

impl Adapter for Acp {
    fn process(&self) -> Process {
        self.process.clone()
    }

    fn turn(&mut self, turn: &TurnAsk) -> Step {
        rpc::turn(self, turn)
    }

    fn resume(&mut self, turn: Option<&TurnAsk>) -> Step {
        spoken::resume(self, turn)
    }

    fn line(&mut self, line: &[u8], overlong: bool) -> Step {
        spoken::line(self, line, overlong)
    }

    fn cancel(&mut self) -> Step {
        rpc::cancel(self)
    }

    fn answer(&mut self, ask: &str, option: Option<&str>) -> Step {
        spoken::answer(self, ask, option)
    }

    fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Step {
        rpc::exited(self, code, signal)
    }

    fn agent_session(&self) -> Option<&str> {
        Some(&*self.state.agent_session).filter(|name| !name.is_empty() && *name != self.own)
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}
