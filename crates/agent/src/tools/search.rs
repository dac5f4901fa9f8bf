//! Searching a text in files: bounded in files, bytes and hits, and stopped with the turn.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::text_of;
use super::{Outcome, RESULT_BYTES_MAX, cut};
use crate::signal::Signals;

/// The most files of one search.
const FILES_MAX: usize = 20_000;
/// The most lines that are shown.
const HITS_MAX: usize = 200;
/// Larger files are passed over.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most of one line that is shown.
const HIT_BYTES_MAX: usize = 300;

/// The lines below `root` that contain `pattern`, as `path:line: text` with paths relative to `cwd`.
pub(super) fn search(root: &Path, pattern: &str, cwd: &Path, signals: &Signals) -> Outcome {
    if pattern.is_empty() {
        return Outcome::failed("the pattern is empty".to_owned());
    }
    if let Err(error) = fs::metadata(root) {
        return Outcome::failed(format!("{}: {error}", root.display()));
    }
    let exact = pattern.chars().any(char::is_uppercase);
    let holds = |line: &str| {
        if exact { line.contains(pattern) } else { line.to_lowercase().contains(pattern) }
    };
    let (mut hits, mut files, mut open) = (Vec::new(), 0, vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        if signals.cancelled() {
            return Outcome::cancelled("The search was stopped.");
        }
        if files >= FILES_MAX || hits.len() >= HITS_MAX {
            hits.push("[there may be more; search in a smaller folder]".to_owned());
            break;
        }
        if path.is_dir() {
            open.extend(entries(&path));
            continue;
        }
        files += 1;
        let Ok(Ok(text)) = text_of(&path, FILE_BYTES_MAX) else { continue };
        let name = path.strip_prefix(cwd).unwrap_or(&path).display();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| holds(line)) {
            hits.push(format!("{name}:{}: {}", number + 1, cut(line.trim_end(), HIT_BYTES_MAX)));
            if hits.len() >= HITS_MAX {
                break;
            }
        }
    }
    if hits.is_empty() {
        return Outcome {
            text: format!("No line of {files} files contains it."),
            ..Outcome::default()
        };
    }
    Outcome { text: cut(&hits.join("\n"), RESULT_BYTES_MAX), ..Outcome::default() }
}

/// What lies in a folder, last name first, so that it is visited in the order of names. Links are not
/// followed, and a `.git` is not entered.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()))
        .filter(|entry| entry.file_name() != ".git")
        .map(|entry| entry.path())
        .take(FILES_MAX)
        .collect::<Vec<_>>();
    paths.sort_by(|a, b| b.cmp(a));
    paths
}
