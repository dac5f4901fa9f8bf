//! What changed between two states of a folder, as text that a person can review. Reads only; bounded in what it
//! reads and says.

use std::{collections::BTreeSet, fmt};

use crate::{
    Error, FileEntry, FileMode, Flag, Repository, TreeId, TreePath,
    blobs::Blobs,
    rename::{Moved, with_renames},
    text::{self, as_text, has_too_many_lines},
};

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// Where.
    pub path: TreePath,
    /// Where it stood before, if it moved.
    pub from: Option<TreePath>,
    /// What stood there (or at `from`), if anything.
    pub before: Option<FileEntry>,
    /// What stands there now, if anything.
    pub after: Option<FileEntry>,
    /// How its content changed.
    pub body: PatchBody,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is new.
    Added,
    /// It holds something else.
    Modified,
    /// It is gone.
    Deleted,
    /// It moved, and may hold something else.
    Renamed,
    /// It holds the same, in another mode.
    Mode,
}

/// How a file's content changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchBody {
    /// Line by line; empty if only the mode or the place changed.
    Text(Vec<Hunk>),
    /// One side is not text.
    Binary,
    /// Too large to show: see [`PATCH_FILE_BYTES_MAX`], [`PATCH_BYTES_MAX`] and [`PATCH_LINES_MAX`].
    TooLarge,
}

/// A stretch of changed lines with three lines around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// First line in the text before, from 1; the line it follows if it has none.
    pub before_start: usize,
    /// First line in the text after, from 1; the line it follows if it has none.
    pub after_start: usize,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In which of the texts it stands.
    pub side: Side,
    /// Its text, without the line feed.
    pub text: String,
    /// Whether a line feed ends it; only the last line of a text may have none.
    pub ended: bool,
}

/// In which of two texts a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// In both.
    Kept,
    /// Only in the one before.
    Removed,
    /// Only in the one after.
    Added,
}

/// Bytes of a file beyond which it is not compared; nor is one of more than 50,000 lines.
pub const PATCH_FILE_BYTES_MAX: usize = 1 << 20;

/// Bytes that are compared in one call.
pub const PATCH_BYTES_MAX: usize = 16 << 20;

/// Lines that one call shows; a file whose lines do not fit is not shown.
pub const PATCH_LINES_MAX: usize = 50_000;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// What may still be compared and shown.
pub(crate) struct Room {
    bytes: usize,
    lines: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: PATCH_BYTES_MAX, lines: PATCH_LINES_MAX }
    }
}

impl Repository {
    /// What differs between two states, file by file, in the order of [`TreePath`]. A file that went and one that
    /// came, alike in half of what they hold, are one that moved.
    pub fn patch(&self, before: TreeId, after: TreeId) -> Result<Vec<FilePatch>, Error> {
        let blobs = Blobs { store: &self.store, stage: None };
        let changes = with_renames(blobs, self.changes(before, after)?)?;
        let mut room = Room::default();
        changes.into_iter().map(|moved| file_patch(blobs, moved, &mut room)).collect()
    }
}

/// What became of one file, as far as there is room to say it.
pub(crate) fn file_patch(
    blobs: Blobs<'_>,
    moved: Moved,
    room: &mut Room,
) -> Result<FilePatch, Error> {
    let Moved { path, from, before, after } = moved;
    let patch = |body| FilePatch { path, from, before, after, body };
    if before.map(|file| file.blob) == after.map(|file| file.blob) {
        return Ok(patch(PatchBody::Text(Vec::new())));
    }
    let (old_size, new_size) = (size(blobs, before)?, size(blobs, after)?);
    if old_size.max(new_size) > PATCH_FILE_BYTES_MAX || old_size + new_size > room.bytes {
        return Ok(patch(PatchBody::TooLarge));
    }
    room.bytes -= old_size + new_size;
    let (old, new) = (content(blobs, before)?, content(blobs, after)?);
    let (Some(old), Some(new)) = (as_text(&old), as_text(&new)) else {
        return Ok(patch(PatchBody::Binary));
    };
    if has_too_many_lines(old) || has_too_many_lines(new) {
        return Ok(patch(PatchBody::TooLarge));
    }
    let hunks = hunks(old, new);
    let lines = hunks.iter().map(|hunk| hunk.lines.len()).sum();
    Ok(match room.lines.checked_sub(lines) {
        Some(left) => {
            room.lines = left;
            patch(PatchBody::Text(hunks))
        }
        None => patch(PatchBody::TooLarge),
    })
}

/// The content of a submodule, as far as a comparison shows it: which commit it points to.
const SUBMODULE_BYTES: usize = 41;

fn size(blobs: Blobs<'_>, file: Option<FileEntry>) -> Result<usize, Error> {
    match file {
        Some(FileEntry { mode: FileMode::Submodule, .. }) => Ok(SUBMODULE_BYTES),
        Some(FileEntry { blob, .. }) => blobs.size(blob),
        None => Ok(0),
    }
}

fn content(blobs: Blobs<'_>, file: Option<FileEntry>) -> Result<Vec<u8>, Error> {
    match file {
        Some(FileEntry { mode: FileMode::Submodule, blob }) => Ok(format!("{blob}\n").into_bytes()),
        Some(FileEntry { blob, .. }) => blobs.get(blob),
        None => Ok(Vec::new()),
    }
}

/// The changed stretches of two texts, each with [`CONTEXT`] lines around it; those whose surroundings touch are one.
pub(crate) fn hunks(before: &str, after: &str) -> Vec<Hunk> {
    let (old, new) = (text::lines(before.as_bytes()), text::lines(after.as_bytes()));
    let steps = text::steps(before.as_bytes(), after.as_bytes());
    let near =
        |one: &text::Step, next: &text::Step| next.before.start - one.before.end <= 2 * CONTEXT;
    steps.chunk_by(near).map(|group| hunk(&old, &new, group)).collect()
}

fn hunk(old: &[&[u8]], new: &[&[u8]], group: &[text::Step]) -> Hunk {
    let (first, last) = (&group[0], &group[group.len() - 1]);
    let lead = first.before.start.min(CONTEXT);
    let (x, y) = (first.before.start - lead, first.after.start - lead);
    let end = (last.before.end + CONTEXT).min(old.len());
    let mut lines = Vec::new();
    let mut at = x;
    for step in group {
        lines.extend(old[at..step.before.start].iter().map(|raw| line(Side::Kept, raw)));
        lines.extend(old[step.before.clone()].iter().map(|raw| line(Side::Removed, raw)));
        lines.extend(new[step.after.clone()].iter().map(|raw| line(Side::Added, raw)));
        at = step.before.end;
    }
    lines.extend(old[at..end].iter().map(|raw| line(Side::Kept, raw)));
    let mut hunk = Hunk { before_start: x, after_start: y, lines };
    let (before, after) = hunk.counts();
    hunk.before_start += usize::from(before > 0);
    hunk.after_start += usize::from(after > 0);
    hunk
}

fn line(side: Side, raw: &[u8]) -> Line {
    let (text, ended) = match raw.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (raw, false),
    };
    Line { side, text: String::from_utf8_lossy(text).into_owned(), ended }
}

/// The text before with only the hunks of these numbers, from 0, done to it. `hunks` are those of a patch of `before`.
pub fn with_hunks(before: &str, hunks: &[Hunk], chosen: &BTreeSet<usize>) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let mut text = String::with_capacity(before.len());
    let mut at = 0;
    for (_, hunk) in hunks.iter().enumerate().filter(|(number, _)| chosen.contains(number)) {
        let (count, _) = hunk.counts();
        let start = hunk.before_start - usize::from(count > 0);
        text.extend(old[at..start].iter().copied());
        for line in hunk.lines.iter().filter(|line| line.side != Side::Removed) {
            text.push_str(&line.text);
            if line.ended {
                text.push('\n');
            }
        }
        at = start + count;
    }
    text.extend(old[at..].iter().copied());
    text
}

impl Hunk {
    /// How many lines of the text before it has, and of the text after.
    pub fn counts(&self) -> (usize, usize) {
        let added = self.lines.iter().filter(|line| line.side == Side::Added).count();
        let removed = self.lines.iter().filter(|line| line.side == Side::Removed).count();
        (self.lines.len() - added, self.lines.len() - removed)
    }
}

impl FilePatch {
    /// What became of the file.
    pub fn status(&self) -> Status {
        match (&self.from, self.before, self.after) {
            (Some(_), ..) => Status::Renamed,
            (None, None, _) => Status::Added,
            (None, _, None) => Status::Deleted,
            (None, Some(before), Some(after)) if before.blob == after.blob => Status::Mode,
            (None, Some(_), Some(_)) => Status::Modified,
        }
    }

    /// Why a reader should look twice, in order.
    pub fn flags(&self) -> Vec<Flag> {
        Flag::of(&self.path, self.before, self.after)
    }
}

/// As `git diff` writes it, and `git apply` reads it (binary and large files are only named).
impl fmt::Display for FilePatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        let from = self.from.as_ref().unwrap_or(path);
        writeln!(out, "diff --git {} {}", quoted("a/", from), quoted("b/", path))?;
        let mode = |file: FileEntry| format!("{:o}", file.mode.raw());
        match (self.before, self.after) {
            (None, Some(file)) => writeln!(out, "new file mode {}", mode(file))?,
            (Some(file), None) => writeln!(out, "deleted file mode {}", mode(file))?,
            (Some(old), Some(new)) if old.mode != new.mode => {
                writeln!(out, "old mode {}\nnew mode {}", mode(old), mode(new))?;
            }
            _ => {}
        }
        if self.from.is_some() {
            writeln!(out, "rename from {}\nrename to {}", quoted("", from), quoted("", path))?;
        }
        let hunks = match &self.body {
            PatchBody::Text(hunks) if hunks.is_empty() => return Ok(()),
            PatchBody::Text(hunks) => hunks,
            PatchBody::Binary | PatchBody::TooLarge => return writeln!(out, "Binary files differ"),
        };
        let side = |prefix, path, file: Option<FileEntry>| match file {
            Some(_) => quoted(prefix, path),
            None => "/dev/null".to_owned(),
        };
        writeln!(out, "--- {}", side("a/", from, self.before))?;
        writeln!(out, "+++ {}", side("b/", path, self.after))?;
        hunks.iter().try_for_each(|hunk| write!(out, "{hunk}"))
    }
}

impl fmt::Display for Hunk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.counts();
        writeln!(out, "@@ -{},{before} +{},{after} @@", self.before_start, self.after_start)?;
        self.lines.iter().try_for_each(|line| {
            let mark = match line.side {
                Side::Kept => ' ',
                Side::Removed => '-',
                Side::Added => '+',
            };
            writeln!(out, "{mark}{}", line.text)?;
            if line.ended { Ok(()) } else { writeln!(out, "\\ No newline at end of file") }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str) {
        let hunks = hunks(before, after);
        let all: BTreeSet<usize> = (0..hunks.len()).collect();
        assert_eq!(with_hunks(before, &hunks, &all), after);
        assert_eq!(with_hunks(before, &hunks, &BTreeSet::new()), before);
        // Taking the rest of the way from any part of it ends in the same place.
        for number in 0..hunks.len() {
            let part = with_hunks(before, &hunks, &BTreeSet::from([number]));
            assert_ne!(part, before, "hunk {number} of {before:?} to {after:?} does nothing");
            let rest = super::hunks(&part, after);
            assert_eq!(rest.len(), hunks.len() - 1, "{before:?} to {after:?} by {part:?}");
        }
    }

    #[test]
    fn hunks_are_taken_over_one_by_one() {
        let long = (0..60).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        check("", "");
        check("", "a\nb");
        check("a\nb", "");
        check("a", "a\n");
        check(&long, &long.replace("line 0\n", "").replace("line 30\n", "other\nand more\n"));
        check(&long, &format!("first\n{}", long.replace("line 59\n", "last, unended")));
        check(&long.replace("line 20\n", ""), &long.replace("line 40\n", ""));
    }
}
