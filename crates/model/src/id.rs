//! Ids that never mix: each says its kind, sorts by time, and is checked when read.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// The text does not begin with the prefix of this kind of id.
    #[error("`{text}` is not an id of the form {prefix}_…")]
    Prefix {
        /// What was given, cut to 64 characters.
        text: String,
        /// The prefix that this kind of id has.
        prefix: &'static str,
    },
    /// The part after the prefix is not 26 digits of Crockford's base 32 in lower case.
    #[error("`{text}` has no valid id after its prefix")]
    Body {
        /// What was given, cut to 64 characters.
        text: String,
    },
    /// The name has a character, or a length, that names do not have.
    #[error(
        "`{text}` is not a name: use 1 to 64 of a-z, A-Z, 0-9, `_`, `-`, `.`, not starting with `.` or `-`"
    )]
    Name {
        /// What was given, cut to 64 characters.
        text: String,
    },
    /// The text is not a git object id.
    #[error("`{text}` is not a commit id: 40 hexadecimal digits")]
    Commit {
        /// What was given, cut to 64 characters.
        text: String,
    },
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..DIGITS).rev().map(|digit| ALPHABET[(bits >> (digit * 5)) as usize & 31] as char).collect()
}

fn decode(body: &str) -> Option<Uuid> {
    if body.len() != DIGITS || body.as_bytes()[0] > b'7' {
        return None;
    }
    let mut digits = body.bytes().map(|byte| ALPHABET.iter().position(|&letter| letter == byte));
    let bits =
        digits.try_fold(0_u128, |bits, digit| Some((bits << 5) | u128::try_from(digit?).ok()?))?;
    Some(Uuid::from_u128(bits))
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$")))]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id with these bits. Take them from an `IdSource`.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bits of this id.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let body = text
                    .strip_prefix(concat!($prefix, "_"))
                    .ok_or_else(|| BadId::Prefix { text: shown(text), prefix: $prefix })?;
                decode(body).map(Self).ok_or_else(|| BadId::Body { text: shown(text) })
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )*};
}

ids! {
    /// One run of an agent.
    DispatchId = "dsp";
    /// One sandbox: a box that was built for a dispatch.
    SandboxId = "sbx";
    /// A git folder.
    WorkspaceId = "wsp";
    /// A person.
    UserId = "usr";
    /// A change-set that waits for a person.
    ProposalId = "prp";
    /// A key of the public API.
    KeyId = "key";
    /// An invitation to a workspace.
    InviteId = "inv";
    /// A conversation, continued by its session file.
    SessionId = "ses";
    /// Something that somebody entrusted to this server and that is never shown again.
    SecretId = "sec";
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        /// 1 to 64 characters of `a-z A-Z 0-9 _ - . :`, not starting with `.` or `-`.
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = "^[a-zA-Z0-9_:][a-zA-Z0-9_.:-]{0,63}$"))]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId::Name { text: shown(text) })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )*};
}
pub(crate) use names;

names! {
    /// What people call a workspace; unique for its owner.
    WorkspaceName;
    /// One message to an agent and all it did about it; chosen by the client, or by us.
    TurnId;
    /// What a person calls a model endpoint of their own; unique for them.
    EndpointName;
}

/// Whether `text` may name something.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('.')
        && !text.starts_with('-')
}

/// A commit of a workspace: 40 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{40}$"))]
pub struct CommitId(String);

impl CommitId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 40 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::Commit { text: shown(text) })
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        for bits in [0, 1, u128::MAX, 0x0190_0000_0000_7000_8000_0000_0000_0000] {
            let id = DispatchId::from_uuid(Uuid::from_u128(bits));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), 30);
        }
    }

    #[test]
    fn ids_sort_as_their_texts_do() {
        let [a, b] = [5, 6_u128 << 100].map(|bits| DispatchId::from_uuid(Uuid::from_u128(bits)));
        assert!(a < b && a.to_string() < b.to_string());
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let user = UserId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(matches!(user.parse::<DispatchId>(), Err(BadId::Prefix { prefix: "dsp", .. })));
    }

    #[test]
    fn a_body_that_is_no_number_of_128_bits_is_refused() {
        for body in [
            "",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000u",
            "é0000000000000000000000000",
        ] {
            let text = format!("dsp_{body}");
            assert!(matches!(text.parse::<DispatchId>(), Err(BadId::Body { .. })), "{text}");
        }
    }

    #[test]
    fn names_have_neither_slashes_nor_spaces_nor_leading_dots() {
        for good in ["u_jane", "home", "a.b-c:1"] {
            assert!(good.parse::<TurnId>().is_ok(), "{good}");
        }
        for bad in ["", ".git", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<TurnId>().is_err(), "{bad}");
        }
    }
}
