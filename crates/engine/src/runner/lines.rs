//! Drives an agent whose program is run once a turn: the prompt is its standard input, its lines are
//! explained by a table of the runner, its end is the turn's.
//!
//! A shell in the box runs the program again for each turn, so that one sandbox serves a whole
//! conversation. It is handed the length of a prompt and then the prompt, never as an argument.

use model::{Event, FailureCode, LineRule, Protocol, Runner, Tell, ToolStatus, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::line_rule::{fits, kind, plan, text, truth};
use super::log::{Call, Log, Voice};
use super::{Adapter, Input, LaunchContext, Process, Step, TurnAsk, bound, failed, input_id};

/// Runs `$1` with the first prompt and `$2` with each later one. An interrupt ends the program, not
/// the shell.
const ONCE_A_TURN: &str = r#"trap : INT
prompt=$(mktemp) || exit 1
run=$1
while IFS= read -r bytes; do
    head -c "$bytes" > "$prompt" || exit 1
    eval "$run" < "$prompt"
    printf '\n{"remit":"turn-over","status":%s}\n' "$?"
    run=$2
done"#;
/// What the shell says when the program has ended.
const OVER: &str = r#"{"remit":"turn-over","status":"#;

/// Drives one agent that is run once a turn.
#[derive(Debug)]
pub(super) struct Lines {
    process: Process,
    /// None: what it writes is what it says.
    rules: Vec<LineRule>,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct State {
    /// The program wrote something in this dispatch.
    begun: bool,
    /// The shell in the box is gone.
    broken: bool,
    cancelled: bool,
    /// The agent said that the turn came to its end.
    done: bool,
    /// The agent said why it failed.
    failed: Option<String>,
    /// Empty lines of plain text that may be followed by more.
    blank: usize,
    log: Log,
}

impl Lines {
    pub(super) fn new(runner: &Runner, context: LaunchContext) -> Self {
        let first = super::process(runner, &context);
        let next = super::process(runner, &LaunchContext { resumes: true, ..context.clone() });
        let shell = ["/bin/sh", "-c", ONCE_A_TURN, "sh"].map(str::to_owned);
        let commands = [command(&first.argv), command(&next.argv)];
        let process = Process { argv: [shell.as_slice(), &commands].concat(), ..first };
        let snapshot = context.snapshot.as_deref();
        let mut state = snapshot.map_or_else(State::default, |snapshot| {
            serde_json::from_str(snapshot)
                .unwrap_or_else(|_| State { broken: true, ..State::default() })
        });
        state.log.restore_reply(context.reply);
        let rules = match runner.protocol {
            Protocol::Jsonl => runner.lines.clone(),
            Protocol::Text
            | Protocol::Acp
            | Protocol::ClaudeStreamJson
            | Protocol::CodexAppServer => vec![],
        };
        Self { process, rules, state }
    }

    fn prompt(&self, step: &mut Step, prompt: &str) {
        let id = input_id(self.state.log.number(), super::PROMPT);
        let bytes = format!("{}\n{prompt}", prompt.len()).into_bytes();
        step.input.push(Input { id, bytes });
    }

    fn read(&mut self, step: &mut Step, line: &str) {
        if let Some(status) = line.strip_prefix(OVER).and_then(|rest| rest.strip_suffix('}')) {
            return self.over(step, status.parse().unwrap_or(-1));
        }
        if !self.state.log.is_running() {
            return; // something the program left behind
        }
        if self.rules.is_empty() {
            return self.say_plainly(step, line);
        }
        if line.trim().is_empty() {
            return;
        }
        self.state.begun = true;
        let value = match serde_json::from_str::<Value>(line) {
            Ok(value) => value,
            Err(error) => {
                let text = format!("a line that is no JSON ({error}): {}", bound::line(line));
                return self.state.log.diagnose(step, &text);
            }
        };
        if let Some(at) = self.rules.iter().position(|rule| fits(rule, &value)) {
            self.tell(step, at, &value);
        } else {
            let text = format!("a line that no rule explains: {}", bound::line(line));
            self.state.log.diagnose(step, &text);
        }
    }

    /// Plain text: empty lines at the end of it are not a part of it.
    fn say_plainly(&mut self, step: &mut Step, line: &str) {
        if line.trim().is_empty() {
            self.state.blank += 1;
            return;
        }
        self.state.begun = true;
        let blank = std::mem::take(&mut self.state.blank);
        let ended = if self.state.log.has_message() { 1 + blank.min(bound::LIST_MAX) } else { 0 };
        let text = format!("{}{line}", "\n".repeat(ended));
        self.state.log.text(step, Voice::Message, &text);
    }

    fn tell(&mut self, step: &mut Step, at: usize, value: &Value) {
        let rule = &self.rules[at];
        let said = text(rule.text.as_deref(), value).unwrap_or_default();
        match rule.tell {
            Tell::Piece => self.state.log.text(step, Voice::Message, &said),
            Tell::ThoughtPiece => self.state.log.text(step, Voice::Thought, &said),
            Tell::Message | Tell::Thought => {
                let voice =
                    if rule.tell == Tell::Message { Voice::Message } else { Voice::Thought };
                self.state.log.close_item();
                self.state.log.text(step, voice, &said);
                self.state.log.close_item();
            }
            Tell::ToolCall => self.called(step, at, value),
            Tell::ToolEnd => self.returned(step, at, value),
            Tell::Plan => step.events.extend(plan(rule, value)),
            Tell::Done => self.state.done = true,
            Tell::Failed => self.state.failed = Some(bound::line(&said)),
            Tell::Diagnostic => self.state.log.diagnose(step, &said),
            Tell::Nothing => {}
        }
    }

    fn called(&mut self, step: &mut Step, at: usize, value: &Value) {
        let rule = &self.rules[at];
        let Some(call) = text(rule.call.as_deref(), value) else { return };
        if self.state.log.knows(&call) {
            return;
        }
        let tool = text(rule.tool.as_deref(), value).unwrap_or_else(|| "tool".to_owned());
        let arguments = rule.arguments.as_deref().and_then(|pointer| value.pointer(pointer));
        let title = text(rule.title.as_deref(), value);
        let title = title.unwrap_or_else(|| super::claude_message::title(&tool, arguments));
        let call = Call {
            id: &call,
            tool: &tool,
            title: &title,
            kind: rule.kind.unwrap_or_else(|| kind(&tool)),
            arguments: arguments.map(|it| bound::value(it.clone())),
            locations: super::claude_message::location(arguments).into_iter().collect(),
        };
        self.state.log.call(step, call);
    }

    fn returned(&mut self, step: &mut Step, at: usize, value: &Value) {
        self.called(step, at, value);
        let rule = &self.rules[at];
        let Some(call) = text(rule.call.as_deref(), value) else { return };
        let failed = rule.failed.as_deref().is_some_and(|pointer| truth(pointer, value));
        step.events.push(Event::ToolUpdate {
            call: bound::id(&call),
            tool: self.state.log.dress(&call),
            status: Some(if failed { ToolStatus::Failed } else { ToolStatus::Completed }),
            title: None,
            arguments: None,
            result: text(rule.result.as_deref(), value).map(|result| bound::result(&result)),
            diffs: vec![],
        });
    }

    /// The program has ended, and with it the turn.
    fn over(&mut self, step: &mut Step, status: i32) {
        let says_done = self.rules.iter().any(|rule| rule.tell == Tell::Done);
        let ended = format!("the agent ended with status {status}");
        let outcome = match (&self.state.failed, status) {
            _ if self.state.cancelled => TurnOutcome::Stopped,
            (Some(why), _) => failed(FailureCode::Model, why),
            (None, _) if self.state.done => TurnOutcome::Completed,
            (None, 126 | 127) if !self.state.begun => failed(FailureCode::AgentStart, &ended),
            (None, 0) if !says_done => TurnOutcome::Completed,
            (None, 0) => {
                failed(FailureCode::AgentProtocol, "the agent ended without saying it was done")
            }
            (None, _) => failed(FailureCode::AgentDied, &ended),
        };
        self.state.log.end(step, outcome);
    }
}

impl Adapter for Lines {
    fn process(&self) -> Process {
        self.process.clone()
    }

    fn turn(&mut self, turn: &TurnAsk) -> Step {
        let mut step = Step::default();
        if self.state.log.is_running() {
            self.state.log.diagnose(&mut step, "a turn was asked for while one is running");
            return step;
        }
        self.state.log.begin(turn);
        let State { begun, broken, .. } = self.state;
        let log = std::mem::take(&mut self.state.log);
        self.state = State { begun, broken, log, ..State::default() };
        if broken {
            let message = "the agent cannot be run any more";
            self.state.log.end(&mut step, failed(FailureCode::AgentStart, message));
            step.close_input = true;
            return step;
        }
        self.prompt(&mut step, &turn.prompt);
        step
    }

    fn resume(&mut self, turn: Option<&TurnAsk>) -> Step {
        let mut step = Step::default();
        match turn {
            Some(turn) if turn.number > self.state.log.number() => return self.turn(turn),
            Some(turn) if self.state.log.is_running() => self.prompt(&mut step, &turn.prompt),
            Some(_) => self.state.log.say_outcome(&mut step),
            None => {}
        }
        step.interrupt = self.state.log.is_running() && self.state.cancelled;
        step
    }

    fn line(&mut self, line: &[u8], overlong: bool) -> Step {
        let mut step = Step::default();
        if overlong {
            self.state.log.diagnose(&mut step, "a line that is too long was dropped");
        } else {
            self.read(&mut step, &String::from_utf8_lossy(line));
        }
        step
    }

    fn cancel(&mut self) -> Step {
        let running = self.state.log.is_running();
        let interrupt = running && !std::mem::replace(&mut self.state.cancelled, running);
        Step { interrupt, ..Step::default() }
    }

    fn answer(&mut self, _ask: &str, _option: Option<&str>) -> Step {
        Step::default()
    }

    fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Step {
        let mut step = Step::default();
        let State { begun, cancelled, .. } = self.state;
        self.state.broken = true;
        self.state.log.end(&mut step, super::exit_outcome(begun, cancelled, code, signal));
        step
    }

    fn snapshot(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}

/// Words as one command of a shell.
fn command(argv: &[String]) -> String {
    let word = |word: &String| {
        let mut quoted = String::with_capacity(word.len() + 2);
        quoted.push('"');
        for letter in word.chars() {
            if matches!(letter, '"' | '\\' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted.push('"');
        quoted
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn words_stay_words() {
        let words = ["a b", "$(x)", "\"q\"", "`y`", "back\\slash"].map(str::to_owned);
        let done = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("printf '%s\\n' {}", command(&words))])
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&done.stdout), words.join("\n") + "\n");
    }
}
