//! A tool of a server behind the gate, as a dispatch names it. Says nothing of what it does inside.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name of a server, in bytes: agents put it before the names of its tools.
const SERVER_BYTES_MAX: usize = 24;
/// The longest name of a tool, in bytes.
const TOOL_BYTES_MAX: usize = 128;

/// What a server of tools is called: 1 to 24 characters of `a-z 0-9 -`, a letter first and no dash last.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$"))]
pub struct ServerName(String);

/// A text names no tool and no server of tools.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTool {
    /// It is no name of a server.
    #[error("`{0}` is no name of a server of tools: 1 to 24 of `a-z 0-9 -`, a letter first")]
    Server(String),
    /// It is no name of a tool.
    #[error("`{0}` is no name of a tool: 1 to 128 of `a-z A-Z 0-9 _ - . /`")]
    Tool(String),
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = BadTool;
    fn from_str(text: &str) -> Result<Self, BadTool> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=SERVER_BYTES_MAX).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-');
        if good { Ok(Self(text.to_owned())) } else { Err(BadTool::Server(shown(text))) }
    }
}

impl TryFrom<String> for ServerName {
    type Error = BadTool;
    fn try_from(text: String) -> Result<Self, BadTool> {
        text.parse()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` may be the name of a tool.
pub fn is_tool_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    (1..=TOOL_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// `SERVER`, which is all of its tools that may be called, or `SERVER.TOOL`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolRef {
    /// The server.
    pub server: ServerName,
    /// The tool of it; all of them where absent.
    pub tool: Option<String>,
}

impl ToolRef {
    /// Whether it means this tool.
    pub fn means(&self, server: &ServerName, tool: &str) -> bool {
        self.server == *server && self.tool.as_deref().is_none_or(|named| named == tool)
    }
}

impl FromStr for ToolRef {
    type Err = BadTool;
    fn from_str(text: &str) -> Result<Self, BadTool> {
        let (server, tool) = match text.split_once('.') {
            Some((server, tool)) => (server, Some(tool)),
            None => (text, None),
        };
        if let Some(bad) = tool.filter(|tool| !is_tool_name(tool)) {
            return Err(BadTool::Tool(shown(bad)));
        }
        Ok(Self { server: server.parse()?, tool: tool.map(str::to_owned) })
    }
}

impl fmt::Display for ToolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tool {
            Some(tool) => write!(f, "{}.{tool}", self.server),
            None => write!(f, "{}", self.server),
        }
    }
}

/// What a tool does beyond its answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ToolEffect {
    /// Nothing: it looks something up.
    Reads,
    /// It changes something outside.
    Acts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_named_with_its_server_or_by_its_server_alone() {
        for text in ["tracker", "tracker.search", "a-1.issues.get/one"] {
            let named: ToolRef = text.parse().expect(text);
            assert_eq!(named.to_string(), text);
        }
        let all: ToolRef = "tracker".parse().expect("a server");
        let one: ToolRef = "tracker.search".parse().expect("a tool");
        let tracker: ServerName = "tracker".parse().expect("a name");
        assert!(all.means(&tracker, "any") && one.means(&tracker, "search"));
        assert!(!one.means(&tracker, "any"));
        assert!(!all.means(&"other".parse().expect("a name"), "any"));
    }

    #[test]
    fn what_would_not_fit_a_path_or_a_setting_names_nothing() {
        for bad in ["", ".", "a.", ".b", "A", "1a", "a_b", "a/b", "a b.c", "a-", "a.b c", "a.\"b"] {
            assert!(bad.parse::<ToolRef>().is_err(), "{bad}");
        }
        assert!("x".repeat(25).parse::<ServerName>().is_err());
    }
}
