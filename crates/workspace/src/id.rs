//! Names of git objects, one type a kind, so that a tree is never taken for a commit. Never looks anything up.

use std::{fmt, str::FromStr};

/// Length of an object name in bytes (SHA-1).
pub(crate) const ID_BYTES: usize = 20;

/// The raw name of an object whose kind the code around it knows.
pub(crate) type Oid = [u8; ID_BYTES];

/// A text is not the 40 lower-case hexadecimal digits of an object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object name of 40 hexadecimal digits")]
pub struct IdError;

macro_rules! object_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Oid);

        impl $name {
            pub(crate) const fn new(raw: Oid) -> Self {
                Self(raw)
            }

            pub(crate) const fn raw(&self) -> &Oid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({})", stringify!($name), to_hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                from_hex(text.as_bytes()).map(Self).ok_or(IdError)
            }
        }
    )+};
}

object_ids! {
    /// One state of a folder with its author and its parents. Shown as 40 hexadecimal digits.
    CommitId;
    /// The content of a folder, without history.
    TreeId;
    /// The content of a file.
    BlobId;
}

impl TreeId {
    /// The folder without a file, which repositories need not hold.
    pub const EMPTY: Self = Self(crate::tree::EMPTY_TREE);
}

pub(crate) fn to_hex(raw: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(raw.len() * 2);
    for byte in raw {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

pub(crate) fn from_hex(text: &[u8]) -> Option<Oid> {
    if text.len() != ID_BYTES * 2 {
        return None;
    }
    let mut raw = [0; ID_BYTES];
    for (byte, pair) in raw.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(raw)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_shown() {
        let id = CommitId::new([0xa7; ID_BYTES]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("a7a7".parse::<CommitId>(), Err(IdError));
        assert_eq!("G".repeat(40).parse::<TreeId>(), Err(IdError));
        assert_eq!("A".repeat(40).parse::<BlobId>(), Err(IdError));
    }
}
