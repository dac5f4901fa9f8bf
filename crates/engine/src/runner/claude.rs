//! Drives Claude Code over its `stream-json` on both standard streams: one process, many turns.
//!
//! What the model says comes twice, in pieces and whole; it is told once. What sub-agents say is not
//! told, what they do is.

use model::event::PermissionOption;
use model::{Event, FailureCode, Runner, ToolStatus, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::asks::{Answer, Ask, Asks};
use super::claude_message::{
    Block, Line, Message, Request, StreamEvent, TurnResult, diffs, kind_of, location, title,
};
use super::log::{Call, Log, Voice};
use super::spoken::{self, Spoken};
use super::{Adapter, Input, LaunchContext, Process, Step, TurnAsk, bound, input_id};

/// The requests of an agent that are answered in one turn.
const REQUESTS_MAX: u32 = 1_000;
/// The longest id of a request that is answered.
const REQUEST_ID_BYTES_MAX: usize = 256;

/// Drives one Claude Code.
#[derive(Debug)]
pub(super) struct Claude {
    process: Process,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The agent has taken up the conversation.
    begun: bool,
    /// The conversation cannot be had.
    broken: bool,
    cancelled: bool,
    requests: u32,
    asks: Asks,
    partial: Partial,
    log: Log,
}

/// The message that comes in pieces, and what of it has come so.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Partial {
    message: String,
    text: bool,
    thought: bool,
}

impl Claude {
    pub(super) fn new(runner: &Runner, context: LaunchContext) -> Self {
        let process = super::process(runner, &context);
        let snapshot = context.snapshot.as_deref();
        let mut state = snapshot.map_or_else(State::default, |snapshot| {
            serde_json::from_str(snapshot)
                .unwrap_or_else(|_| State { broken: true, ..State::default() })
        });
        state.log.restore_reply(context.reply);
        Self { process, state }
    }

    fn input_id(&self, input: u32) -> u64 {
        input_id(self.state.log.number(), input)
    }

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let content = json!([{"type": "text", "text": prompt}]);
        let message = json!({
            "type": "user",
            "message": {"role": "user", "content": content},
            "parent_tool_use_id": null,
        });
        step.input.push(Input::line(self.input_id(super::PROMPT), &message));
    }

    fn interrupt(&self, step: &mut Step) {
        let message = json!({
            "type": "control_request",
            "request_id": format!("interrupt-{}", self.state.log.number()),
            "request": {"subtype": "interrupt"},
        });
        step.input.push(Input::line(self.input_id(super::CANCEL), &message));
    }

    fn end(&mut self, step: &mut Step, outcome: TurnOutcome) {
        self.state.asks.clear();
        self.state.log.end(step, outcome);
    }

    /// A piece of a message, as it comes.
    fn piece(&mut self, step: &mut Step, event: &StreamEvent<'_>) {
        match (&*event.kind, &event.message, &event.content_block, &event.delta) {
            ("message_start", Some(message), _, _) => {
                let message = bound::id(&message.id);
                self.state.partial = Partial { message, ..Partial::default() };
                self.state.log.close_item();
            }
            ("content_block_start", _, Some(block), _) => {
                self.state.log.close_item();
                if block.kind == "tool_use" {
                    self.called(step, block, None);
                }
            }
            ("content_block_delta", _, _, Some(delta)) => {
                if let Some(text) = delta.text.as_deref() {
                    self.state.partial.text = true;
                    self.state.log.text(step, Voice::Message, text);
                }
                if let Some(text) = delta.thinking.as_deref() {
                    self.state.partial.thought = true;
                    self.state.log.text(step, Voice::Thought, text);
                }
            }
            _ => {}
        }
    }

    /// A message of the model, whole, or one block of it.
    fn said(&mut self, step: &mut Step, line: &Line<'_>) -> serde_json::Result<()> {
        let message =
            serde_json::from_str::<Message<'_>>(line.message.map_or("null", RawValue::get))?;
        let in_pieces = bound::id(&message.id) == self.state.partial.message;
        let ours = line.parent_tool_use_id.is_none();
        for block in message.blocks() {
            match (&*block.kind, &block.text, &block.thinking) {
                ("tool_use", _, _) => self.called(step, &block, block.input),
                ("text", Some(text), _) if ours && !(in_pieces && self.state.partial.text) => {
                    self.state.log.close_item();
                    self.state.log.text(step, Voice::Message, text);
                }
                ("thinking", _, Some(text))
                    if ours && !(in_pieces && self.state.partial.thought) =>
                {
                    self.state.log.close_item();
                    self.state.log.text(step, Voice::Thought, text);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A tool call: first without arguments, then with them.
    fn called(&mut self, step: &mut Step, block: &Block<'_>, input: Option<&RawValue>) {
        let (Some(id), Some(tool)) = (&block.id, &block.name) else { return };
        let arguments = bound::arguments(input);
        let title = title(tool, arguments.as_ref());
        if self.state.log.knows(id) {
            step.events.push(Event::ToolUpdate {
                call: bound::id(id),
                tool: arguments.as_ref().and_then(|_| self.state.log.dress(id)),
                status: Some(ToolStatus::InProgress),
                title: Some(bound::line(&title)),
                arguments,
                result: None,
                diffs: vec![],
            });
        } else {
            let locations = location(arguments.as_ref()).into_iter().collect();
            let call = Call { id, tool, title: &title, kind: kind_of(tool), arguments, locations };
            self.state.log.call(step, call);
        }
    }

    /// What tools returned.
    fn returned(&mut self, step: &mut Step, line: &Line<'_>) -> serde_json::Result<()> {
        let message =
            serde_json::from_str::<Message<'_>>(line.message.map_or("null", RawValue::get))?;
        for block in message.blocks() {
            let Some(id) = block.tool_use_id.as_deref().filter(|id| self.state.log.has(id)) else {
                continue;
            };
            let failed = block.is_error.unwrap_or(false);
            step.events.push(Event::ToolUpdate {
                call: bound::id(id),
                tool: self.state.log.dress(id),
                status: Some(if failed { ToolStatus::Failed } else { ToolStatus::Completed }),
                title: None,
                arguments: None,
                result: block.result().map(|result| bound::result(&result)),
                diffs: diffs(line.tool_use_result),
            });
        }
        Ok(())
    }

    fn result(&mut self, step: &mut Step, result: &TurnResult<'_>) {
        // Stopped while the model speaks, it calls the turn a success.
        let outcome = if self.state.cancelled {
            TurnOutcome::Stopped
        } else {
            result.outcome(self.state.begun)
        };
        if let (TurnOutcome::Completed, false, Some(text)) =
            (&outcome, self.state.log.has_message(), &result.result)
        {
            self.state.log.text(step, Voice::Message, text);
        }
        if !self.state.begun {
            self.state.broken = true;
            step.close_input = true;
        }
        self.end(step, outcome);
    }

    fn requested(&mut self, step: &mut Step, line: &Line<'_>) -> serde_json::Result<()> {
        let id = line.request_id.as_deref().unwrap_or_default();
        self.state.requests = self.state.requests.saturating_add(1);
        if self.state.requests > REQUESTS_MAX || id.len() > REQUEST_ID_BYTES_MAX {
            self.state.log.diagnose(step, "a request that is not answered");
            return Ok(());
        }
        let request =
            serde_json::from_str::<Request<'_>>(line.request.map_or("null", RawValue::get))?;
        let input = self.input_id(super::ANSWERS.saturating_add(self.state.requests));
        if request.subtype != "can_use_tool" {
            let kind = bound::id(&request.subtype);
            let text = format!("the agent asked for `{kind}`, which is not offered");
            self.state.log.diagnose(step, &text);
            let response = json!({"subtype": "error", "request_id": id, "error": "not offered"});
            let message = json!({"type": "control_response", "response": response});
            let input = Input::line(input, &message);
            self.state.asks.note(&input);
            step.input.push(input);
            return Ok(());
        }
        let request_id = json!(id).to_string();
        let options = [("allow_once", "Allow"), ("reject_once", "Refuse")];
        let kinds = options.map(|(option, _)| (option.to_owned(), option.to_owned())).to_vec();
        let mut ask = Ask { input, request: request_id, options: kinds, answer: None };
        let waits = self.state.log.is_running() && !self.state.cancelled;
        if !waits || self.state.asks.is_full() {
            ask.answer = Some(Answer::Cancelled);
            let input = answer(&ask);
            self.state.asks.note(&input);
            step.input.push(input);
            return Ok(());
        }
        let ask_id = format!("{}-{}", self.state.log.number(), self.state.requests);
        self.state.asks.open(ask_id.clone(), ask);
        let option = |(option, name): (&str, &str)| PermissionOption {
            option: option.to_owned(),
            name: name.to_owned(),
            kind: option.to_owned(),
        };
        let arguments = bound::arguments(request.input);
        step.events.push(Event::PermissionAsked {
            ask: ask_id,
            call: bound::id(request.tool_use_id.as_deref().unwrap_or_default()),
            title: bound::line(&title(&request.tool_name, arguments.as_ref())),
            options: options.map(option).to_vec(),
        });
        Ok(())
    }
}

impl Spoken for Claude {
    fn log(&mut self) -> &mut Log {
        &mut self.state.log
    }

    fn asks(&mut self) -> &mut Asks {
        &mut self.state.asks
    }

    fn read(&mut self, step: &mut Step, text: &str) -> serde_json::Result<()> {
        let line = serde_json::from_str::<Line<'_>>(text)?;
        match &*line.kind {
            "control_request" => return self.requested(step, &line),
            "control_cancel_request" => {
                let id = json!(line.request_id).to_string();
                self.state.asks.withdraw(&id);
                return Ok(());
            }
            "system" => {
                match line.subtype.as_deref() {
                    Some("init") => self.state.begun = true,
                    Some("api_retry") => {
                        let text = "the model could not be reached; the agent tries again";
                        self.state.log.diagnose(step, text);
                    }
                    _ => {}
                }
                return Ok(());
            }
            "control_response" | "keep_alive" | "rate_limit_event" | "tool_progress" => {
                return Ok(());
            }
            _ if !self.state.log.is_running() => return Ok(()), // the idle chatter of an agent
            "result" => self.result(step, &serde_json::from_str(text)?),
            "stream_event" if line.parent_tool_use_id.is_none() => {
                self.piece(step, &serde_json::from_str(line.event.map_or("null", RawValue::get))?);
            }
            "stream_event" => {}
            "assistant" => self.said(step, &line)?,
            "user" => self.returned(step, &line)?,
            other => {
                let text = format!("a line of unknown kind `{}`", bound::id(other));
                self.state.log.diagnose(step, &text);
            }
        }
        Ok(())
    }

    fn repeat(&mut self, step: &mut Step, turn: Option<&TurnAsk>) {
        if let Some(turn) = turn {
            self.prompt(step, &turn.prompt);
        }
    }

    fn repeat_stop(&self, step: &mut Step) {
        if self.state.log.is_running() && self.state.cancelled {
            self.interrupt(step);
        }
    }

    fn answer_to(ask: &Ask) -> Input {
        answer(ask)
    }
}

impl Adapter for Claude {
    fn process(&self) -> Process {
        self.process.clone()
    }

    fn turn(&mut self, turn: &TurnAsk) -> Step {
        let mut step = Step::default();
        if !spoken::begin(self, &mut step, turn) {
            return step;
        }
        (self.state.cancelled, self.state.requests) = (false, 0);
        if self.state.broken {
            let message = "the conversation with the agent could not be opened";
            self.end(&mut step, super::failed(FailureCode::AgentStart, message));
            step.close_input = true;
            return step;
        }
        self.prompt(&mut step, &turn.prompt);
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
        if self.state.log.is_running() && !self.state.cancelled {
            self.state.cancelled = true;
            step.input.extend(self.state.asks.cancel().iter().map(answer));
            self.interrupt(&mut step);
        }
        step
    }

    fn answer(&mut self, ask: &str, option: Option<&str>) -> Step {
        spoken::answer(self, ask, option)
    }

    fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Step {
        let mut step = Step::default();
        let (begun, cancelled) = (self.state.begun, self.state.cancelled);
        self.state.broken = true;
        self.end(&mut step, super::exit_outcome(begun, cancelled, code, signal));
        step
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}

/// The input that answers a question.
fn answer(ask: &Ask) -> Input {
    let answer = match &ask.answer {
        Some(Answer::Option(option)) if option == "allow_once" => json!({"behavior": "allow"}),
        Some(Answer::Option(_) | Answer::Refused) => {
            json!({"behavior": "deny", "message": "The person refused this call."})
        }
        Some(Answer::Cancelled) | None => {
            json!({"behavior": "deny", "message": "The turn was stopped.", "interrupt": true})
        }
    };
    let id = serde_json::from_str::<Value>(&ask.request).unwrap_or_default();
    let response = json!({"subtype": "success", "request_id": id, "response": answer});
    Input::line(ask.input, &json!({"type": "control_response", "response": response}))
}
