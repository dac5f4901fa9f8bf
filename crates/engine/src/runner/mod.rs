//! Drives one agent: what it says becomes events, what people say becomes its input.
//!
//! An [`Adapter`] is a state machine and nothing else: no IO, no clock, no task. Every line it reads
//! was written by an agent that may be hostile; whatever stands in it, an adapter never panics, never
//! grows without bound, and takes ids of the agent for display only.

mod acp;
mod acp_ask;
mod acp_message;
mod acp_update;
mod asks;
mod bound;
mod claude;
mod claude_message;
mod codex;
mod codex_ask;
mod codex_message;
mod codex_tell;
mod definitions;
mod line_rule;
mod lines;
mod log;
mod rpc;
mod spoken;
pub mod tested;

pub use definitions::builtin_runners;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use model::event::Failure;
use model::{
    Event, FailureCode, McpForm, Mode, ModelApi, Permission, Program, Protocol, Runner, ServerName,
    SessionId, TurnId, TurnOutcome,
};

/// Drives one agent over its life: one process, one conversation, many turns.
///
/// **Restart.** After a crash of the server, a new adapter is made with the last stored
/// [`snapshot`](Self::snapshot), [`resume`](Self::resume) is called once, and then every line after
/// the stored cursor. That nothing is lost or doubled rests on two rules:
/// - whoever stores the cursor stores the snapshot in the same transaction, when it has changed;
/// - whoever carries [`Input`]s drops those whose id has been there before.
///
/// What an adapter does not say, because its caller knows it better: [`Event::TurnStarted`],
/// [`Event::PermissionAnswered`], [`Event::TurnEnded`], and [`Event::Usage`] and
/// [`Event::Brokered`], which are the gate's.
pub trait Adapter: Debug + Send {
    /// The program to start.
    fn process(&self) -> Process;

    /// Begins a turn. The first one also begins the conversation, or takes it up again. Not to be
    /// called while a turn is running: that is answered with a diagnostic and changes nothing.
    fn turn(&mut self, turn: &TurnAsk) -> Step;

    /// Goes on after a restart; `turn` is the turn that has begun and is not over. Repeats, under the
    /// ids that they had, the inputs that may not have reached the agent.
    fn resume(&mut self, turn: Option<&TurnAsk>) -> Step;

    /// Reads one line of the agent's output, without its end. `overlong`: it was longer than
    /// [`model::limit::LINE_BYTES_MAX`], and the rest of it is lost.
    fn line(&mut self, line: &[u8], overlong: bool) -> Step;

    /// Asks the agent to stop the turn. The turn is over when a later step says so; an agent that
    /// does not obey must be ended from outside. Calls after the first one do nothing.
    fn cancel(&mut self) -> Step;

    /// Answers a question ([`Event::PermissionAsked`]) with one of its options, or refuses it. A
    /// question that is not open, or an option that it does not have: no input, no event.
    fn answer(&mut self, ask: &str, option: Option<&str>) -> Step;

    /// The program has ended. Ends the turn, if one is running.
    fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Step;

    /// The conversation as the agent calls it, once it has said so: what [`LaunchContext`] needs when it
    /// is continued. None where the agent takes ours.
    fn agent_session(&self) -> Option<&str> {
        None
    }

    /// All that a later adapter needs to go on, except the text of the reply, which stands in the
    /// events. At most 64 KiB; changes seldom.
    fn snapshot(&self) -> String;
}

/// A turn to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnAsk {
    /// The turn.
    pub turn: TurnId,
    /// 1 for the first turn of the dispatch; grows by one.
    pub number: u32,
    /// What is said to the agent. At most [`model::limit::PROMPT_BYTES_MAX`] bytes.
    pub prompt: String,
}

/// What follows from one thing that happened: to be done in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// What the agent said or did. Each is at most [`model::limit::EVENT_BYTES_MAX`] bytes of JSON.
    pub events: Vec<Event>,
    /// What is to be written to the agent's standard input, in order.
    pub input: Vec<Input>,
    /// Interrupt the agent: what it runs now is to end.
    pub interrupt: bool,
    /// The turn is over, in this way.
    pub turn: Option<TurnOutcome>,
    /// The last message of the agent, at most 64 KiB; empty unless the turn is over.
    pub reply: String,
    /// The agent is of no further use: close its input, and end it if it does not end by itself.
    pub close_input: bool,
}

/// Bytes for the agent's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Never the same for two inputs of one process, and the same again when it is repeated after a
    /// restart. Ids say nothing about order.
    pub id: u64,
    /// What is written, its newline included.
    pub bytes: Vec<u8>,
}

/// A program to be started as the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment, whole.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub cwd: PathBuf,
}

/// What an adapter must know before its agent starts.
#[derive(Debug, Clone)]
pub struct LaunchContext {
    /// The conversation.
    pub session: SessionId,
    /// Whether it is continued from its session file.
    pub resumes: bool,
    /// The conversation as the agent calls it, where it is continued and the agent chose the name.
    pub agent_session: Option<String>,
    /// Whether the agent asks before it acts.
    pub permission: Permission,
    /// Where the agent starts, as `/workspace`.
    pub cwd: PathBuf,
    /// Where the agent reaches the gate, as `http://127.0.0.1:8700`.
    pub gate_url: String,
    /// The model's name.
    pub model: String,
    /// The dialect of the endpoint that answers.
    pub api: ModelApi,
    /// The most that may be done to any of its workspaces.
    pub access: Mode,
    /// The servers of tools of which it may call anything; each at `<gate>/mcp/<name>`.
    pub servers: Vec<ServerName>,
    /// [`Adapter::snapshot`] of the adapter before a restart.
    pub snapshot: Option<String>,
    /// What the agent had said in the turn that a restart interrupted: [`reply_so_far`] of the events
    /// of that turn; empty otherwise.
    pub reply: String,
}

/// The adapter that drives `runner`.
pub fn adapter(runner: &Runner, context: LaunchContext) -> Box<dyn Adapter> {
    match runner.protocol {
        Protocol::Acp => Box::new(acp::Acp::new(runner, context)),
        Protocol::ClaudeStreamJson => Box::new(claude::Claude::new(runner, context)),
        Protocol::CodexAppServer => Box::new(codex::Codex::new(runner, context)),
        Protocol::Jsonl | Protocol::Text => Box::new(lines::Lines::new(runner, context)),
    }
}

/// Whether what `runner` runs is on this host: its folder, and the first thing below `/opt/runner`
/// that its command names. Looks at the file system; the built-in agent is always there.
pub fn is_installed(runner: &Runner) -> bool {
    let Program::Folder(folder) = &runner.program else { return true };
    let mut argv = runner.argv.iter().map(|word| for_this_machine(word));
    let program = argv.find_map(|word| word.strip_prefix(RUNNER_ROOT).map(str::to_owned));
    match program {
        Some(program) => folder.join(program).exists(),
        None => folder.is_dir(),
    }
}

/// The program that `runner` runs for this conversation.
fn process(runner: &Runner, context: &LaunchContext) -> Process {
    let session = context.session.uuid().to_string();
    let permission = permission(runner, context.permission);
    let servers = servers(runner, context);
    let api = match context.api {
        ModelApi::AnthropicMessages => "anthropic-messages",
        ModelApi::OpenaiChat => "openai-chat",
        ModelApi::OpenaiResponses => "openai-responses",
        ModelApi::Gemini => "gemini",
    };
    let access = match context.access {
        Mode::ReadOnly => "ro",
        Mode::ReadWrite => "rw",
        Mode::Propose => "propose",
    };
    let fill = |text: &String| {
        for_this_machine(text)
            .replace("{session}", &session)
            .replace("{permission}", permission)
            .replace("{model}", &context.model)
            .replace("{mcp}", &servers)
            .replace("{api}", api)
            .replace("{access}", access)
            .replace("{gate}", &context.gate_url)
    };
    let argv = match &runner.resume_argv {
        Some(resume) if context.resumes => resume,
        _ => &runner.argv,
    };
    Process {
        argv: argv.iter().map(fill).collect(),
        env: runner.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
        cwd: context.cwd.clone(),
    }
}

/// The word by which an agent is told whether to ask.
fn permission(runner: &Runner, permission: Permission) -> &str {
    runner.permissions.as_ref().map_or("", |words| match permission {
        Permission::Auto => &words.auto,
        Permission::Ask => &words.ask,
    })
}

/// What stands for `{mcp}`.
fn servers(runner: &Runner, context: &LaunchContext) -> String {
    let Some(McpForm::Each(each)) = &runner.mcp else { return String::new() };
    let one = |name: &ServerName| {
        each.replace("{name}", name.as_str()).replace("{url}", &server_url(context, name))
    };
    context.servers.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The servers of tools as the Agent Client Protocol has them.
fn acp_servers(context: &LaunchContext) -> serde_json::Value {
    let one = |name| {
        let url = server_url(context, name);
        serde_json::json!({"type": "http", "name": name, "url": url, "headers": []})
    };
    context.servers.iter().map(one).collect()
}

/// Where an agent reaches a server of tools.
fn server_url(context: &LaunchContext, name: &ServerName) -> String {
    format!("{}/mcp/{name}", context.gate_url)
}

/// A word of a runner, or a package of it, for the processor of this machine.
pub fn for_this_machine(word: &str) -> String {
    let arm = cfg!(target_arch = "aarch64");
    word.replace("{arch}", if arm { "arm64" } else { "x64" })
        .replace("{machine}", if arm { "aarch64" } else { "x86_64" })
}

impl Input {
    fn line(id: u64, message: &serde_json::Value) -> Self {
        Self { id, bytes: format!("{message}\n").into_bytes() }
    }
}

/// Where the folder of a runner stands in a box.
const RUNNER_ROOT: &str = "/opt/runner/";

/// The input that is the prompt of a turn.
const PROMPT: u32 = 1;
/// The input that stops a turn.
const CANCEL: u32 = 2;
/// The inputs that answer requests of the agent begin here.
const ANSWERS: u32 = 0x100;

/// The id of an input that belongs to a turn.
fn input_id(turn: u32, input: u32) -> u64 {
    u64::from(turn) << 32 | u64::from(input)
}

fn failed(code: FailureCode, message: &str) -> TurnOutcome {
    TurnOutcome::Failed { failure: Failure { code, message: message.to_owned() } }
}

/// How a turn ended in which the agent's program ended. `begun`: the agent had taken up the conversation.
fn exit_outcome(
    begun: bool,
    cancelled: bool,
    code: Option<i32>,
    signal: Option<i32>,
) -> TurnOutcome {
    let how = match (code, signal) {
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        (Some(code), None) => format!("ended with status {code}"),
        (None, None) => "ended".to_owned(),
    };
    match (cancelled, begun) {
        (true, _) => TurnOutcome::Stopped,
        (false, true) => {
            failed(FailureCode::AgentDied, &format!("the agent {how} in the middle of the turn"))
        }
        (false, false) => {
            let message = format!("the agent {how} before it took up the conversation");
            failed(FailureCode::AgentStart, &message)
        }
    }
}

/// The longest reply of a turn that is kept, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// The last message in these events of one turn, at most 64 KiB of it.
pub fn reply_so_far<'a>(events: impl IntoIterator<Item = &'a Event>) -> String {
    let mut reply = Reply::default();
    events.into_iter().for_each(|event| reply.add(event));
    reply.text
}

/// The last message of the agent, as it grows.
#[derive(Debug, Default)]
struct Reply {
    item: String,
    text: String,
}

impl Reply {
    fn add(&mut self, event: &Event) {
        let Event::Message { item, text } = event else { return };
        if *item != self.item {
            self.item.clone_from(item);
            self.text.clear();
        }
        let room = REPLY_BYTES_MAX.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(item: &str, text: &str) -> Event {
        Event::Message { item: item.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_reply_is_the_last_message_and_not_the_ones_before() {
        let events = [message("a", "let me see"), message("b", "it "), message("b", "is done")];
        assert_eq!(reply_so_far(&events), "it is done");
    }

    #[test]
    fn a_reply_is_cut_between_characters() {
        let reply = reply_so_far(&[message("a", &"€".repeat(30_000))]);
        assert_eq!(reply, "€".repeat(REPLY_BYTES_MAX / 3));
    }
}
