//! A runner: how to drive one CLI agent. Data, never code.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// For people: the command that installs it on the server, where it does not come with Remit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
    /// What is run for a new conversation. `{session}` stands for the agent's own session id (a UUID
    /// derived from ours), `{model}` for the model's name.
    pub argv: Vec<String>,
    /// What is run to continue one; the same as `argv` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_argv: Option<Vec<String>>,
    /// The environment of the agent, whole. The same placeholders, and `{gate}` for the URL of the gate.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What it speaks on its standard streams.
    pub protocol: Protocol,
    /// The dialect in which it calls a model.
    pub model_api: ModelApi,
    /// Files written, read-only for the agent, below `/opt/settings` before it starts: settings that
    /// a workspace cannot change.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The Agent Client Protocol, version 1: JSON-RPC, one message a line.
    Acp,
    /// Claude Code's `--input-format stream-json --output-format stream-json`.
    ClaudeStreamJson,
}

/// The dialect in which an agent calls a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
