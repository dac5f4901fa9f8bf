//! A runner: how to drive one CLI agent. Data, never code.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ToolKind;
use crate::id::{BadId, is_name, names};

names! {
    /// What a runner is called, as `remit` or `claude-code`.
    RunnerName;
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// How to drive one CLI agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runner {
    /// Its name.
    pub name: RunnerName,
    /// One sentence for people.
    pub title: String,
    /// The version that was pinned and tested; absent for the built-in agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its program comes from.
    pub program: Program,
    /// The packages that are its program, where `remit runner install` can fetch them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// What is run for a new conversation. `{session}` stands for the agent's own session id (a UUID
    /// derived from ours), `{model}` for the model's name, `{permission}` for the word of
    /// [`Permissions`], `{access}` for `rw`, `propose` or `ro`, `{api}` for the dialect of the endpoint
    /// that answers, `{mcp}` for what [`McpForm::Each`] makes of the servers of tools, `{arch}` for
    /// `x64` or `arm64` and `{machine}` for `x86_64` or `aarch64`.
    pub argv: Vec<String>,
    /// What is run to continue one; the same as `argv` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_argv: Option<Vec<String>>,
    /// The environment of the agent, whole. The same placeholders, and `{gate}` for the URL of the gate.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What it speaks on its standard streams.
    pub protocol: Protocol,
    /// How lines become events; for [`Protocol::Jsonl`] alone. The first rule that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineRule>,
    /// The dialect in which it calls a model.
    pub model_api: ModelApi,
    /// The words by which it is told whether to ask; absent: it cannot ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// How it is told of the servers of tools (MCP) behind the gate; absent: it cannot call any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpForm>,
    /// Files written, read-only for the agent, below `/opt/settings` before it starts: settings that
    /// a workspace cannot change.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// The packages that are the program of a runner, each with its exact version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Packages of npm, as `name@1.2.3`. `{arch}` stands for `x64` or `arm64`. No lifecycle script of
    /// any package is run.
    pub npm: Vec<String>,
}

/// The words by which a runner is told whether to ask before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// It asks nothing: the sandbox is the boundary.
    pub auto: String,
    /// It asks before it changes something or runs a command.
    pub ask: String,
}

/// How an agent is told of the servers of tools behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum McpForm {
    /// With its conversation, as the Agent Client Protocol has it.
    Acp,
    /// By `{mcp}` in its arguments and environment: this text once a server, separated by commas.
    /// `{name}` stands for its name, `{url}` for its URL.
    Each(String),
}

/// What one kind of line of a `jsonl` agent means.
///
/// The value of a field is a JSON pointer into the line where it begins with `/`, else the value
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineRule {
    /// JSON pointers and the text (or number, or truth value) that stands there in such a line; `*`
    /// for any.
    pub when: BTreeMap<String, String>,
    /// What it means.
    pub tell: Tell,
    /// The text of a message, a thought or a diagnostic; why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The id of a tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The tool, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The call in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What kind of tool it is: always a word of [`ToolKind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ToolKind>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// What it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Whether it failed: the text `failed`, `error` or `declined`, or the truth value `true`, says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The list of the steps of a plan, and where in each of them its text and its state stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<[String; 3]>,
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// A piece of what the agent says.
    Piece,
    /// Something the agent said, whole.
    Message,
    /// A piece of what it thinks.
    ThoughtPiece,
    /// Something it thought, whole.
    Thought,
    /// It calls a tool.
    ToolCall,
    /// A tool call is over. One that was not told before is told now.
    ToolEnd,
    /// What it means to do.
    Plan,
    /// The turn came to its end. It is over when the program has ended.
    Done,
    /// The turn failed.
    Failed,
    /// Something for people who look for a fault.
    Diagnostic,
    /// Nothing.
    Nothing,
}

/// Where the program of a runner comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Program {
    /// Our own binary, mounted read-only at `/opt/remit`.
    BuiltIn,
    /// A folder of the host, mounted read-only at `/opt/runner`. In a file, a relative one stands below
    /// the server's data folder.
    Folder(PathBuf),
}

/// What an agent speaks on its standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The Agent Client Protocol, version 1: JSON-RPC, one message a line.
    Acp,
    /// Claude Code's `--input-format stream-json --output-format stream-json`.
    ClaudeStreamJson,
    /// Codex's `app-server`: JSON-RPC, one message a line.
    CodexAppServer,
    /// JSON, one object a line, which [`Runner::lines`] explains. The program is run once a turn, with
    /// the prompt as its standard input.
    Jsonl,
    /// Plain text: all of it is what the agent says. The program is run as with [`Self::Jsonl`].
    Text,
}

/// The dialect in which an agent calls a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelApi {
    /// `POST /v1/messages`.
    AnthropicMessages,
    /// `POST /v1/chat/completions`.
    OpenaiChat,
    /// `POST /v1/responses`.
    OpenaiResponses,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    Gemini,
}

/// A runner that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRunner {
    /// Nothing is run.
    #[error("`{0}` is empty: it must name a program")]
    NoProgram(&'static str),
    /// A package without its exact version: what was tested would not be what is installed.
    #[error(
        "`install.npm` holds `{0}`, which must be a name and an exact version, as `name@1.2.3`"
    )]
    Package(String),
    /// A file of the settings would not stand below their folder.
    #[error("`settings` holds `{0}`, which must be a plain relative path")]
    Setting(String),
    /// Something can be installed, and nowhere to.
    #[error("`install` needs a `program` that is a relative folder")]
    Nowhere,
    /// Only an agent that speaks ACP is told of servers of tools in it.
    #[error(
        "`mcp = \"acp\"` belongs to the protocol `acp`; others have `mcp = {{ each = \"…\" }}`"
    )]
    Mcp,
    /// Only a `jsonl` agent has rules for its lines, and it must have some.
    #[error("`lines` belongs to the protocol `jsonl`, which must have it")]
    Lines,
    /// A rule lacks something.
    #[error("rule {rule} of `lines` needs `{field}`")]
    Rule {
        /// Which one, from 1.
        rule: usize,
        /// What it lacks.
        field: &'static str,
    },
}

impl Runner {
    /// Refuses what cannot be run as it says. Does not look at any file.
    pub fn check(&self) -> Result<(), BadRunner> {
        let none = |argv: &[String]| argv.first().is_none_or(String::is_empty);
        if none(&self.argv) {
            return Err(BadRunner::NoProgram("argv"));
        }
        if self.resume_argv.as_deref().is_some_and(none) {
            return Err(BadRunner::NoProgram("resume_argv"));
        }
        if let Some(install) = &self.install {
            let bad = install.npm.iter().find(|package| !is_pinned(package));
            if let Some(bad) = bad {
                return Err(BadRunner::Package(shown(bad)));
            }
            let nested = matches!(&self.program, Program::Folder(folder) if folder.is_relative());
            if !nested || install.npm.is_empty() {
                return Err(BadRunner::Nowhere);
            }
        }
        if let Some(bad) = self.settings.keys().find(|path| !is_plain_path(path)) {
            return Err(BadRunner::Setting(shown(bad)));
        }
        if self.mcp == Some(McpForm::Acp) && self.protocol != Protocol::Acp {
            return Err(BadRunner::Mcp);
        }
        if (self.protocol == Protocol::Jsonl) == self.lines.is_empty() {
            return Err(BadRunner::Lines);
        }
        let lacks = |(at, rule): (usize, &LineRule)| {
            rule.lacks().map(|field| BadRunner::Rule { rule: at + 1, field })
        };
        self.lines.iter().enumerate().find_map(lacks).map_or(Ok(()), Err)
    }
}

impl LineRule {
    fn lacks(&self) -> Option<&'static str> {
        if self.when.is_empty() {
            return Some("when");
        }
        match self.tell {
            Tell::Piece | Tell::Message | Tell::ThoughtPiece | Tell::Thought | Tell::Diagnostic => {
                self.text.is_none().then_some("text")
            }
            Tell::ToolCall | Tell::ToolEnd => self.call.is_none().then_some("call"),
            Tell::Plan => self.steps.is_none().then_some("steps"),
            Tell::Done | Tell::Failed | Tell::Nothing => None,
        }
    }
}

/// `name@1.2.3`, the name perhaps with a scope: nothing that a package manager would read as a flag,
/// a path, an address or a range.
fn is_pinned(package: &str) -> bool {
    let Some((name, version)) = package.rsplit_once('@') else { return false };
    let plain = |text: &str, more: &[u8]| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().all(fits)
    };
    let part = |text: &str| plain(text, b"-._{}");
    let named = match name.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name))
        }
        None => part(name),
    };
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let exact = numbers.split('.').count() == 3
        && numbers.split('.').all(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()));
    named && exact && plain(version, b"-.+")
}

fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    path.len() <= 200 && path.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_version_is_pinned() {
        for good in ["a@1.2.3", "@scope/a-b@0.1.0-rc.1", "node-linux-{arch}@24.21.0"] {
            assert!(is_pinned(good), "{good}");
        }
        for bad in [
            "a",
            "a@",
            "a@1",
            "a@^1.2.3",
            "a@1.x.0",
            "a@latest",
            "--flag@1.2.3",
            "../a@1.2.3",
            "https://x/a@1.2.3",
            "@/a@1.2.3",
            "a b@1.2.3",
            "a@1.2.3 b",
            "git+ssh:x@1.2.3",
            "@1.2.3",
        ] {
            assert!(!is_pinned(bad), "{bad}");
        }
    }

    #[test]
    fn settings_stay_below_their_folder() {
        assert!(is_plain_path("a/b.json"));
        for bad in ["", "/a", "a/../b", "a//b", ".", "a/"] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
