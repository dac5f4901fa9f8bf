//! The taint label of a sandbox: what it has read, and whose secrets it may know.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ServerName;

/// What stands before the name of a server of tools among the sources.
const TOOLS: &str = "tools:";

/// What a sandbox has mixed into itself. It only ever rises.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The untrusted sources it has read, by name; none means that all input was trusted.
    pub integrity: BTreeSet<String>,
    /// Whose secrets it may hold.
    pub secrecy: BTreeSet<String>,
}

impl Label {
    /// This label raised by `other`: the union of both.
    #[must_use]
    pub fn raised_by(mut self, other: &Self) -> Self {
        self.integrity.extend(other.integrity.iter().cloned());
        self.secrecy.extend(other.secrecy.iter().cloned());
        self
    }

    /// The source that a server of tools is.
    pub fn of_tools(server: &ServerName) -> String {
        format!("{TOOLS}{server}")
    }

    /// Whether it may hold the words of a stranger that nobody asked for: of a mail, a transcript. What
    /// servers of tools answer was asked for.
    pub fn holds_strangers_words(&self) -> bool {
        self.integrity.iter().any(|source| !source.starts_with(TOOLS))
    }

    /// Whether nothing untrusted was read.
    pub fn is_trusted(&self) -> bool {
        self.integrity.is_empty()
    }
}
