//! What a person is in a workspace. Membership is the platform's own data: no dispatch can write it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person is in a workspace. Whoever is more may do all that one who is less may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads its files and its history; agents on their behalf see it read-only.
    Viewer,
    /// Changes its files, too: by hand, by push, and by agents.
    Contributor,
    /// Decides who is a member, too, and what the workspace is for.
    Owner,
}

impl Role {
    /// The word for it, as it is stored and sent.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Contributor => "contributor",
            Self::Owner => "owner",
        }
    }

    /// The role with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Contributor, Self::Owner].into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_from_its_word() {
        for role in [Role::Viewer, Role::Contributor, Role::Owner] {
            assert_eq!(Role::of_word(role.word()), Some(role));
            assert_eq!(serde_json::to_value(role).expect("plain data"), role.word());
        }
        assert_eq!(Role::of_word("admin"), None);
        assert!(Role::Viewer < Role::Contributor && Role::Contributor < Role::Owner);
    }
}
