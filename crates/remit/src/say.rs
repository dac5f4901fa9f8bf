//! Words for people and data for programs: data on stdout, talk on stderr.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// Whoever reads the data has read enough, as `head` does.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Whether a command ended because nobody reads any more what it prints.
pub(crate) fn is_reader_gone(problem: &anyhow::Error) -> bool {
    let inner = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<ReaderGone>().map(drop)
    };
    problem.chain().any(|cause| inner(cause).is_some())
}

/// One line of data.
pub(crate) fn data(line: impl fmt::Display) -> io::Result<()> {
    piece(&format!("{line}\n"))
}

/// A piece of data that is no whole line.
pub(crate) fn piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|problem| match problem.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone),
        _ => problem,
    })
}

/// One line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    data(serde_json::to_string(value)?)
}

/// A folder or a file that a command made or found: its path, or an object with it.
pub(crate) fn path(path: &Path, as_json: bool) -> io::Result<()> {
    if as_json { json(&json!({"path": path.to_string_lossy()})) } else { data(path.display()) }
}

/// One line for the person at the terminal. Whether anyone reads it changes nothing.
pub(crate) fn talk(line: impl fmt::Display) {
    // Nowhere is left to say that nobody can be told.
    let _written = writeln!(io::stderr().lock(), "{line}");
}

/// Text of an agent or a person with everything taken out that could steer a terminal.
pub(crate) fn safe(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// A value as it stands in a row.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => safe(text),
        Value::Null => "-".to_owned(),
        other => safe(&other.to_string()),
    }
}

/// Items as rows of these fields, or one JSON object a line.
pub(crate) fn list(items: &[Value], fields: &[&str], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(items.iter().try_for_each(json)?);
    }
    let row = |item: &Value| fields.iter().map(|field| cell(&item[*field])).collect();
    Ok(table(fields, &items.iter().map(row).collect::<Vec<_>>())?)
}

/// Rows in columns that are as wide as they must be.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let width = |at: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in [&head].into_iter().chain(rows) {
        let cells: Vec<_> =
            row.iter().enumerate().map(|(at, cell)| format!("{cell:<w$}", w = width(at))).collect();
        data(cells.join("  ").trim_end())?;
    }
    Ok(())
}
