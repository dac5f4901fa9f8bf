//! Drives Codex over its `app-server`: JSON-RPC, one message a line; one process, many turns.
//!
//! It offers the agent nothing but answers to its questions. What sub-agents say is not told, what they
//! do is.

use model::{FailureCode, Runner, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::asks::{Ask, Asks};
use super::codex_ask as ask;
use super::codex_message::{Opened, Question, Turn, Turned, Wrong};
use super::codex_tell::{self, Told};
use super::log::Log;
use super::rpc::{self, ID_BYTES_MAX, INITIALIZE, OPEN, Phase, Rpc, Talk};
use super::spoken::{self, Spoken};
use super::{Adapter, Input, LaunchContext, Process, Step, TurnAsk, failed};
use crate::json_rpc::{Message, RpcError};

/// Drives one Codex.
#[derive(Debug)]
pub(super) struct Codex {
    process: Process,
    /// How the conversation is opened.
    opening: ask::Opening,
    resumes: bool,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    talk: Talk,
    /// The conversation as the agent calls it.
    thread: String,
    /// The running turn as the agent calls it; empty until it has said so.
    turn: String,
    told: Told,
}

impl Codex {
    pub(super) fn new(runner: &Runner, context: LaunchContext) -> Self {
        let process = super::process(runner, &context);
        let snapshot = context.snapshot.as_deref();
        let mut state = snapshot.map_or_else(State::default, |snapshot| {
            serde_json::from_str(snapshot)
                .unwrap_or_else(|_| State { talk: Talk::broken(), ..State::default() })
        });
        state.talk.log.restore_reply(context.reply);
        let opening = ask::Opening {
            thread: context.agent_session.unwrap_or_default(),
            cwd: context.cwd.to_string_lossy().into_owned(),
            approvals: super::permission(runner, context.permission).to_owned(),
            model: context.model,
        };
        Self { process, opening, resumes: context.resumes, state }
    }

    fn response(&mut self, step: &mut Step, incoming: &Message<'_>) {
        let id = incoming.id.and_then(|id| serde_json::from_str::<Value>(id.get()).ok());
        let answer = incoming.answer();
        match (self.state.talk.phase, id) {
            (_, Some(Value::String(_))) => {} // to a stop, which may come too late
            (Phase::Initializing, Some(id)) if id == INITIALIZE => {
                if let Err(error) = answer {
                    return self.break_off(step, FailureCode::AgentStart, &error.shown());
                }
                self.state.talk.phase = Phase::Opening;
                self.open(step);
            }
            (Phase::Opening, Some(id)) if id == OPEN => self.opened(step, answer),
            (Phase::Prompting, Some(id)) if id == self.state.talk.prompt_id() => {
                self.prompted(step, answer);
            }
            _ => self.state.talk.log.diagnose(step, "an answer to nothing that was asked"),
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
                self.state.talk.phase = Phase::Ready;
                let outcome = failed(error.failure_code(), &error.shown());
                self.end(
                    step,
                    if self.state.talk.cancelled { TurnOutcome::Stopped } else { outcome },
                );
            }
            Ok(Ok(turned)) => self.begun(step, &turned.turn),
            Ok(Err(_)) => self.state.talk.log.diagnose(step, "a turn without a name"),
        }
    }

    /// The agent names the turn.
    fn begun(&mut self, step: &mut Step, turn: &Turn<'_>) {
        if self.state.turn.is_empty() && turn.id.len() <= ID_BYTES_MAX {
            self.state.turn = turn.id.to_string();
            if self.state.talk.cancelled {
                self.send_cancel(step);
            }
        }
    }

    fn notified(&mut self, step: &mut Step, method: &str, params: &str) -> serde_json::Result<()> {
        if method == "serverRequest/resolved" {
            self.state
                .talk
                .asks
                .withdraw(&serde_json::from_str::<ask::Resolved>(params)?.request());
        }
        if self.state.talk.phase != Phase::Prompting {
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
                    self.state.talk.phase = Phase::Ready;
                    let stopped = self.state.talk.cancelled.then_some(TurnOutcome::Stopped);
                    self.end(step, stopped.unwrap_or_else(|| turn.outcome()));
                }
            }
            "error" | "warning" => {
                let text = serde_json::from_str::<Wrong<'_>>(params)?.shown();
                self.state.talk.log.diagnose(step, &text);
            }
            _ => {
                let State { told, talk, .. } = &mut self.state;
                codex_tell::tell(told, &mut talk.log, step, (method, params, ours))?;
            }
        }
        Ok(())
    }

    fn requested(&mut self, step: &mut Step, id: &RawValue, method: &str, params: &str) {
        let Some(id) = self.state.talk.request(step, id) else { return };
        let input = self.state.talk.answer_id();
        let Some(question) = Question::read(method, params) else {
            let error = self.state.talk.not_offered(step, method);
            let refusal = Input::line(input, &json!({"id": id, "error": error}));
            return self.state.talk.respond(step, refusal);
        };
        let mut asked = ask::open(input, &id, &question);
        if !self.state.talk.can_ask() {
            asked.answer = Some(super::asks::Answer::Cancelled);
            return self.state.talk.respond(step, ask::answer(&asked));
        }
        let name = self.state.talk.ask_name();
        step.events.push(question.event(&name, &self.state.told));
        self.state.talk.asks.open(name, asked);
    }
}

impl Spoken for Codex {
    fn log(&mut self) -> &mut Log {
        &mut self.state.talk.log
    }

    fn asks(&mut self) -> &mut Asks {
        &mut self.state.talk.asks
    }

    fn read(&mut self, step: &mut Step, line: &str) -> serde_json::Result<()> {
        let incoming = serde_json::from_str::<Message<'_>>(line)?;
        let params = incoming.params.map_or("{}", RawValue::get);
        match (incoming.method.as_deref(), incoming.id) {
            (Some(method), None) => self.notified(step, method, params)?,
            (Some(method), Some(id)) => self.requested(step, id, method, params),
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

impl Rpc for Codex {
    fn talk(&mut self) -> &mut Talk {
        &mut self.state.talk
    }

    fn initialize(&self, step: &mut Step) {
        step.input.push(Input::line(INITIALIZE, &ask::initialize(INITIALIZE)));
    }

    fn open(&self, step: &mut Step) {
        step.input.push(Input {
            id: OPEN,
            bytes: if self.resumes { self.opening.resume(OPEN) } else { self.opening.start(OPEN) },
        });
    }

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let message = ask::prompt(self.state.talk.prompt_id(), &self.state.thread, prompt);
        step.input.push(Input::line(self.state.talk.input_id(super::PROMPT), &message));
    }

    // Once the name of the turn is known.
    fn send_cancel(&self, step: &mut Step) {
        if !self.state.turn.is_empty() {
            let State { thread, turn, .. } = &self.state;
            let bytes = ask::stop(self.state.talk.log.number(), thread, turn);
            step.input.push(Input { id: self.state.talk.input_id(super::CANCEL), bytes });
        }
    }

    fn begins(&mut self, _turn: &TurnAsk) {
        self.state.told = Told::default();
    }

    fn forget_turn(&mut self) {
        self.state.turn.clear();
    }
}

impl Adapter for Codex {
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
        Some(&*self.state.thread).filter(|name| !name.is_empty())
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}
