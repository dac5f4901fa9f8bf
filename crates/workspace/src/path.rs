//! Paths inside a folder: checked for storing, and made safe for showing. Never touches a file system.

use std::{cmp::Ordering, fmt};

use crate::policy::{Limits, Reason, check_name};

/// A path below the root of a folder that a commit may hold: relative, `/` between names, each name allowed by the
/// policy, never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TreePath(String);

impl TreePath {
    /// Checks a path somebody gave. Limits: those of [`Limits::WORKSPACE`].
    ///
    /// # Errors
    /// The first rule that the path breaks.
    pub fn new(text: &str) -> Result<Self, Reason> {
        let limits = &Limits::WORKSPACE;
        if text.is_empty() {
            return Err(Reason::EmptyName);
        }
        if text.len() > limits.path_bytes_max {
            return Err(Reason::PathTooLong);
        }
        if text.split('/').count() > limits.depth_max {
            return Err(Reason::TooDeep);
        }
        text.split('/').try_for_each(|name| check_name(name.as_bytes()).map(drop))?;
        Ok(Self(text.to_owned()))
    }

    /// A path whose every name was checked already.
    pub(crate) fn from_checked(text: String) -> Self {
        Self(text)
    }

    /// The path as text, names separated by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name of the path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories above it, from the top.
    pub(crate) fn above(&self) -> impl Iterator<Item = Self> {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].to_owned()))
    }

    /// The path of what stands at `inner` in this directory.
    pub(crate) fn below(&self, inner: &Self) -> Self {
        Self(format!("{}/{}", self.0, inner.0))
    }

    /// The path of what is called `name` in the directory that holds this.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let inside = self.0.len() - self.name().len();
        Self(format!("{}{name}", &self.0[..inside]))
    }

    /// Whether `self` is a directory above `other`.
    pub(crate) fn is_above(&self, other: &Self) -> bool {
        other.0.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// By name, directory by directory, so that everything below a directory directly follows it.
impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes of a hostile path as they may be shown or logged: at most 200 characters, nothing that a terminal, a log
/// or a git trailer could take for more than text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shown(String);

/// Characters of a path that are shown at most.
const SHOWN_CHARS_MAX: usize = 200;

impl Shown {
    /// Makes `raw` safe to show: what is not printable ASCII or an alphanumeric letter becomes an escape.
    pub fn new(raw: &[u8]) -> Self {
        let mut text = String::new();
        let mut room = SHOWN_CHARS_MAX;
        for chunk in raw.utf8_chunks() {
            for letter in chunk.valid().chars() {
                push(&mut text, &mut room, letter);
            }
            for byte in chunk.invalid() {
                push_escape(&mut text, &mut room, &format!("\\x{byte:02x}"));
            }
            if room == 0 {
                text.push('…');
                break;
            }
        }
        Self(text)
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push(text: &mut String, room: &mut usize, letter: char) {
    let plain = letter == ' ' || letter.is_ascii_graphic() || letter.is_alphanumeric();
    if !plain || letter == '\\' {
        push_escape(text, room, &letter.escape_default().to_string());
    } else if *room > 0 {
        *room -= 1;
        text.push(letter);
    }
}

fn push_escape(text: &mut String, room: &mut usize, escape: &str) {
    if *room >= escape.len() {
        *room -= escape.len();
        text.push_str(escape);
    } else {
        *room = 0;
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_directory_follows_it() {
        let mut paths: Vec<_> =
            ["a.b", "a/z", "a", "a-c", "a/b/c"].map(|text| TreePath::new(text).unwrap()).into();
        paths.sort();
        let order: Vec<_> = paths.iter().map(TreePath::as_str).collect();
        assert_eq!(order, ["a", "a/b/c", "a/z", "a-c", "a.b"]);
    }

    #[test]
    fn a_hostile_path_cannot_add_a_line() {
        assert_eq!(Shown::new(b"a\nDispatch: x").as_str(), "a\\nDispatch: x");
        assert_eq!(Shown::new(b"\xff\x1b[31m").as_str(), "\\xff\\u{1b}[31m");
        assert_eq!(Shown::new("\u{202e}gnp.exe".as_bytes()).as_str(), "\\u{202e}gnp.exe");
        assert!(Shown::new(&[b'x'; 10_000]).as_str().chars().count() <= SHOWN_CHARS_MAX + 1);
    }
}
