//! The messages of a conversation with a model, as chat completions and the session file have them.

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

pub(crate) fn function() -> String {
    "function".to_owned()
}
