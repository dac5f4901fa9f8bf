//! Reading, writing, editing and listing files. Only regular files are opened: a pipe or a device
//! that lies in a folder would hold the turn up.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Diff, Edit, Outcome, RESULT_BYTES_MAX, Read, Write, cut};

/// The largest file that is read or edited.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// The most lines of one reading.
const LINES_MAX: usize = 2_000;
/// The most entries of a listing.
const ENTRIES_MAX: usize = 500;

/// The text of a regular file; the error is what the model is told.
pub(super) fn text_of(path: &Path, bytes_max: u64) -> io::Result<Result<String, String>> {
    let shown = path.display();
    let found = fs::metadata(path).map_err(|error| at(path, &error))?;
    if !found.is_file() {
        return Ok(Err(format!("{shown} is not a regular file")));
    }
    if found.len() > bytes_max {
        let size = found.len();
        return Ok(Err(format!("{shown} has {size} bytes; the most that is read is {bytes_max}")));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(|error| at(path, &error))?
        .take(bytes_max)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).map_err(|_| format!("{shown} is not text in UTF-8")))
}

/// Lines of a file.
pub(super) fn read(path: &Path, ask: &Read) -> io::Result<Outcome> {
    let text = match text_of(path, FILE_BYTES_MAX)? {
        Ok(text) => text,
        Err(why) => return Ok(Outcome::failed(why)),
    };
    let first = ask.offset.unwrap_or(1).max(1);
    let most = ask.limit.unwrap_or(LINES_MAX).min(LINES_MAX);
    let mut lines = text.split_inclusive('\n').skip(first - 1);
    let kept = lines.by_ref().take(most).collect::<String>();
    let missing = lines.count();
    let mut shown = cut(&kept, RESULT_BYTES_MAX);
    if missing > 0 {
        let next = first + most;
        shown = format!("{shown}\n[{missing} more lines; read on from line {next}]");
    }
    Ok(Outcome::done(shown))
}

/// A whole file.
pub(super) fn write(path: &Path, ask: &Write) -> io::Result<Outcome> {
    let old = match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Ok(Outcome::failed(format!("{} is not a regular file", path.display())));
        }
        Ok(_) => text_of(path, FILE_BYTES_MAX)?.ok(),
        Err(_) => None,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    }
    fs::write(path, &ask.content).map_err(|error| at(path, &error))?;
    let text = format!("Wrote {} bytes to {}.", ask.content.len(), path.display());
    let diff = Diff { path: path.to_owned(), old, new: ask.content.clone() };
    Ok(Outcome { diff: Some(diff), ..Outcome::done(text) })
}

/// One passage of a file.
pub(super) fn edit(path: &Path, ask: &Edit) -> io::Result<Outcome> {
    let text = match text_of(path, FILE_BYTES_MAX)? {
        Ok(text) => text,
        Err(why) => return Ok(Outcome::failed(why)),
    };
    if ask.old.is_empty() {
        return Ok(Outcome::failed("`old` is empty; use write_file for a whole file".to_owned()));
    }
    match text.matches(&ask.old).count() {
        1 => {}
        0 => return Ok(Outcome::failed(format!("`old` does not stand in {}", path.display()))),
        times => {
            let why = format!("`old` stands {times} times in {}; give more of it", path.display());
            return Ok(Outcome::failed(why));
        }
    }
    fs::write(path, text.replacen(&ask.old, &ask.new, 1)).map_err(|error| at(path, &error))?;
    let diff = Diff { path: path.to_owned(), old: Some(ask.old.clone()), new: ask.new.clone() };
    let text = format!("Edited {}.", path.display());
    Ok(Outcome { diff: Some(diff), ..Outcome::done(text) })
}

/// The names in a folder, folders with a slash.
pub(super) fn list(path: &Path) -> io::Result<Outcome> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| at(path, &error))? {
        let entry = entry?;
        let slash = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let missing = names.len().saturating_sub(ENTRIES_MAX);
    names.truncate(ENTRIES_MAX);
    if missing > 0 {
        names.push(format!("[{missing} more]"));
    }
    let shown = if names.is_empty() { "The folder is empty.".to_owned() } else { names.join("\n") };
    Ok(Outcome::done(cut(&shown, RESULT_BYTES_MAX)))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
