//! Where an agent finds what its runner names: a backend without a file system of its own has things
//! at other paths. Pure.

use std::path::{Path, PathBuf};

use crate::runner::Process;

/// Where the program of the built-in agent stands in a box.
pub(super) const BUILT_IN: &str = "/opt/remit/remit";
/// What a runner may name in a box; none begins with another.
const ROOTS: [&str; 7] =
    [BUILT_IN, "/opt/runner", "/opt/settings", "/workspace", "/session", "/run", "/tmp"];

/// The program with every path of the box where it really is.
pub(super) fn found(process: Process, there: impl Fn(&Path) -> PathBuf) -> Process {
    let moved = ROOTS.into_iter().map(|root| {
        let there = there(Path::new(root)).to_string_lossy().into_owned();
        (root, there)
    });
    let moved: Vec<(&str, String)> = moved.filter(|(root, there)| root != there).collect();
    let word = |word: String| moved_in(&word, &moved);
    Process {
        argv: process.argv.into_iter().map(word).collect(),
        env: process.env.into_iter().map(|(name, value)| (name, word(value))).collect(),
        cwd: process.cwd,
    }
}

/// Replaces each path wherever one begins in `word`, in one pass.
fn moved_in(word: &str, moved: &[(&str, String)]) -> String {
    let mut done = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(letter) = rest.chars().next() {
        let begins = done.is_empty() || word[..word.len() - rest.len()].ends_with([':', '=', '"']);
        let hit = moved.iter().filter(|_| begins).find_map(|(root, there)| {
            let after = rest.strip_prefix(root)?;
            (after.is_empty() || after.starts_with(['/', ':', '"'])).then_some((there, after))
        });
        if let Some((there, after)) = hit {
            done.push_str(there);
            rest = after;
        } else {
            done.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::moved_in;

    #[test]
    fn a_path_is_found_wherever_it_begins_and_nowhere_else() {
        let moved = [("/session", "/tmp/x/session".to_owned()), ("/tmp", "/tmp/x/tmp".to_owned())];
        let check = |word: &str, expected: &str| assert_eq!(moved_in(word, &moved), expected);
        check("/session", "/tmp/x/session");
        check("/session/a:/tmp", "/tmp/x/session/a:/tmp/x/tmp");
        check("--dir=/session/b", "--dir=/tmp/x/session/b");
        check("/sessions", "/sessions");
        check("/my/session", "/my/session");
        check("nöthing", "nöthing");
    }
}
