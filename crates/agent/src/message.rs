//! The messages of a conversation with a model, as the session file has them.

use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Message {
    /// What the agent is told about itself. Never in a session file.
    System { content: String },
    /// What a person said.
    User { content: String },
    /// What the model said, and which tools it wants to be called.
    Assistant {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call>,
    },
    /// What a tool returned.
    Tool { tool_call_id: String, content: String },
    /// What was said before, in short: instead of it, the first so many messages are not sent any more.
    Summary { content: String, covers: usize },
}

/// A tool call as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: String,
    #[serde(rename = "type", default = "function")]
    pub(crate) kind: String,
    pub(crate) function: Function,
}

/// The tool and its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// JSON, if the model did well.
    pub(crate) arguments: String,
}

/// A picture that a person showed: for the turn that it came with, and in no session file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) media: String,
    /// In base64.
    pub(crate) data: String,
}

pub(crate) fn function() -> String {
    "function".to_owned()
}
