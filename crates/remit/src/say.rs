//! Words for people and data for programs: data on stdout, talk on stderr.

use std::io::{self, Write};

use serde::Serialize;

/// One line of data.
pub(crate) fn data(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A piece of data that is no whole line.
pub(crate) fn piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// One line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    data(serde_json::to_string(value)?)
}

/// One line for the person at the terminal. Whether anyone reads it changes nothing.
pub(crate) fn talk(line: impl std::fmt::Display) {
    // Nowhere is left to say that nobody can be told.
    let _written = writeln!(io::stderr().lock(), "{line}");
}

/// Text of an agent or a person with everything taken out that could steer a terminal.
pub(crate) fn safe(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
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
