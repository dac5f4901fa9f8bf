//! What changed between two states of a folder, as text that a person can review. Reads only; bounded in what it
//! reads and says.

use std::fmt;

use crate::{
    Changed, Error, FileEntry, FileMode, Repository, TreeId, TreePath,
    lines::{Line, Step, steps},
};

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// Where.
    pub path: TreePath,
    /// What stood there, if anything.
    pub before: Option<FileEntry>,
    /// What stands there now, if anything.
    pub after: Option<FileEntry>,
    /// How its content changed.
    pub body: PatchBody,
}

/// How a file's content changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchBody {
    /// Line by line; empty if only the mode changed.
    Text(Vec<Hunk>),
    /// One side is not text.
    Binary,
    /// Too large to show: see [`PATCH_FILE_BYTES_MAX`] and [`PATCH_BYTES_MAX`].
    TooLarge,
}

/// A stretch of changed lines with three lines around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// First line in the text before, from 1; 0 if it has none.
    pub before_start: usize,
    /// First line in the text after, from 1; 0 if it has none.
    pub after_start: usize,
    /// The lines. One that no line end follows carries `\ No newline at end of file` after a line feed.
    pub lines: Vec<Line>,
}

/// Bytes of a file beyond which it is not compared.
pub const PATCH_FILE_BYTES_MAX: usize = 1 << 20;

/// Bytes that are compared in one call.
pub const PATCH_BYTES_MAX: usize = 16 << 20;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

impl Repository {
    /// What differs between two states, file by file, in the order of [`TreePath`].
    pub fn patch(&self, before: TreeId, after: TreeId) -> Result<Vec<FilePatch>, Error> {
        let mut room = PATCH_BYTES_MAX;
        self.changes(before, after)?
            .into_iter()
            .map(|changed| self.file_patch(changed, &mut room))
            .collect()
    }

    fn file_patch(&self, changed: Changed, room: &mut usize) -> Result<FilePatch, Error> {
        let Changed { path, before, after } = changed;
        let patch = |body| FilePatch { path, before, after, body };
        if before.map(|file| file.blob) == after.map(|file| file.blob) {
            return Ok(patch(PatchBody::Text(Vec::new())));
        }
        if *room == 0 {
            return Ok(patch(PatchBody::TooLarge));
        }
        let (old, new) = (self.content(before)?, self.content(after)?);
        if old.len().max(new.len()) > PATCH_FILE_BYTES_MAX || old.len() + new.len() > *room {
            return Ok(patch(PatchBody::TooLarge));
        }
        *room -= old.len() + new.len();
        Ok(match (text(&old), text(&new)) {
            (Some(old), Some(new)) => patch(PatchBody::Text(hunks(old, new))),
            _ => patch(PatchBody::Binary),
        })
    }

    fn content(&self, file: Option<FileEntry>) -> Result<Vec<u8>, Error> {
        match file {
            Some(FileEntry { mode: FileMode::Submodule, blob }) => {
                Ok(format!("{blob}\n").into_bytes())
            }
            Some(FileEntry { blob, .. }) => self.blob(blob),
            None => Ok(Vec::new()),
        }
    }
}

fn text(content: &[u8]) -> Option<&str> {
    if content.contains(&0) { None } else { str::from_utf8(content).ok() }
}

/// The lines of a text. The last one keeps a mark if nothing ends it, so that it differs from one that is ended.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    match lines.last_mut() {
        Some(last) if last.is_empty() => _ = lines.pop(),
        Some(last) => last.push_str("\n\\ No newline at end of file"),
        None => {}
    }
    lines
}

fn hunks(before: &str, after: &str) -> Vec<Hunk> {
    let (old, new) = (lines(before), lines(after));
    let (old_lines, new_lines): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let steps = steps(&old_lines, &new_lines);
    let changed: Vec<usize> = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| **step != Step::Keep)
        .map(|(at, _)| at)
        .collect();
    let near = |one: &usize, other: &usize| other - one <= 2 * CONTEXT;
    let ranges = changed.chunk_by(near).map(|group| {
        let first = group[0].saturating_sub(CONTEXT);
        let last = (group[group.len() - 1] + CONTEXT + 1).min(steps.len());
        first..last
    });
    let mut cursor = Cursor { old: &old_lines, new: &new_lines, at: (0, 0) };
    let mut done = 0;
    ranges
        .map(|range| {
            steps[done..range.start].iter().for_each(|step| drop(cursor.take(*step)));
            done = range.end;
            let (x, y) = cursor.at;
            let lines: Vec<Line> = steps[range].iter().map(|step| cursor.take(*step)).collect();
            let start = |from: usize, to: usize| if from == to { from } else { from + 1 };
            let (before_start, after_start) = (start(x, cursor.at.0), start(y, cursor.at.1));
            Hunk { before_start, after_start, lines }
        })
        .collect()
}

struct Cursor<'a> {
    old: &'a [&'a str],
    new: &'a [&'a str],
    at: (usize, usize),
}

impl Cursor<'_> {
    fn take(&mut self, step: Step) -> Line {
        let (x, y) = self.at;
        match step {
            Step::Keep => {
                self.at = (x + 1, y + 1);
                Line::Kept(self.old[x].to_owned())
            }
            Step::Remove => {
                self.at = (x + 1, y);
                Line::Removed(self.old[x].to_owned())
            }
            Step::Add => {
                self.at = (x, y + 1);
                Line::Added(self.new[y].to_owned())
            }
        }
    }
}

impl Hunk {
    fn counts(&self) -> (usize, usize) {
        let added = self.lines.iter().filter(|line| matches!(line, Line::Added(_))).count();
        let removed = self.lines.iter().filter(|line| matches!(line, Line::Removed(_))).count();
        (self.lines.len() - added, self.lines.len() - removed)
    }
}

/// As `git diff` writes it, and `git apply` reads it (binary and large files are only named).
impl fmt::Display for FilePatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        writeln!(out, "diff --git {} {}", quoted("a/", path), quoted("b/", path))?;
        let mode = |file: FileEntry| format!("{:o}", file.mode.raw());
        match (self.before, self.after) {
            (None, Some(file)) => writeln!(out, "new file mode {}", mode(file))?,
            (Some(file), None) => writeln!(out, "deleted file mode {}", mode(file))?,
            (Some(old), Some(new)) if old.mode != new.mode => {
                writeln!(out, "old mode {}\nnew mode {}", mode(old), mode(new))?;
            }
            _ => {}
        }
        let hunks = match &self.body {
            PatchBody::Text(hunks) if hunks.is_empty() => return Ok(()),
            PatchBody::Text(hunks) => hunks,
            PatchBody::Binary | PatchBody::TooLarge => return writeln!(out, "Binary files differ"),
        };
        let side = |prefix, file: Option<FileEntry>| match file {
            Some(_) => quoted(prefix, path),
            None => "/dev/null".to_owned(),
        };
        writeln!(out, "--- {}\n+++ {}", side("a/", self.before), side("b/", self.after))?;
        hunks.iter().try_for_each(|hunk| write!(out, "{hunk}"))
    }
}

impl fmt::Display for Hunk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.counts();
        writeln!(out, "@@ -{},{before} +{},{after} @@", self.before_start, self.after_start)?;
        self.lines.iter().try_for_each(|line| match line {
            Line::Kept(text) => writeln!(out, " {text}"),
            Line::Removed(text) => writeln!(out, "-{text}"),
            Line::Added(text) => writeln!(out, "+{text}"),
        })
    }
}

/// A path as git quotes it when it has to.
fn quoted(prefix: &str, path: &TreePath) -> String {
    let special = |letter: char| letter == '"' || letter == '\\' || letter.is_control();
    let text = path.as_str();
    if !text.contains(special) {
        return format!("{prefix}{text}");
    }
    let escaped = text.chars().fold(String::new(), |mut escaped, letter| {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            _ if letter.is_control() => escaped.push('?'),
            _ => escaped.push(letter),
        }
        escaped
    });
    format!("\"{prefix}{escaped}\"")
}
