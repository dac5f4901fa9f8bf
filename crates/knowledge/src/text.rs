//! Full-text search over the pages of one workspace: an index of `SQLite` in memory. Holds text as data; what matched
//! is told by pieces, never by markup.

use std::time::Duration;

use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::Serialize;

use crate::link;
use crate::query;

/// A page that was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Hit {
    /// Where it stands.
    pub path: String,
    /// What it is called.
    pub title: String,
    /// What it says around the words, in order.
    pub pieces: Vec<Piece>,
    /// How well it fits; higher is better. Comparable within one answer only.
    pub score: f64,
}

/// A piece of what a page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// Whether it is what was looked for.
    #[serde(rename = "match")]
    pub matches: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hits {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Whether some files were too large, or too many, to be searched as a whole.
    pub partial: bool,
}

/// What is known of a file under its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) path: &'a str,
    pub(crate) title: &'a str,
    /// Aliases, tags, type, id.
    pub(crate) names: &'a str,
    pub(crate) body: &'a str,
}

/// The index.
#[derive(Debug)]
pub(crate) struct Text {
    connection: Connection,
}

/// A word in the title weighs ten times as much as one in the body; one among the names, six.
const SCHEMA: &str = "PRAGMA temp_store = MEMORY;
    CREATE VIRTUAL TABLE page USING fts5(
        path, title, names, body, tokenize = \"unicode61 remove_diacritics 2\");
    INSERT INTO page (page, rank) VALUES ('rank', 'bm25(4.0, 10.0, 6.0, 1.0)');";

/// Marks of what matched, which no indexed text contains.
const MARKS: [char; 2] = ['\u{1}', '\u{2}'];
/// Words around a match.
const AROUND: u32 = 24;
/// Steps of the database's machine between two looks at how long a question takes.
const STEPS: i32 = 10_000;
/// How many such looks a question may take: some seconds of work.
const LOOKS_MAX: u32 = 5_000;
/// The most time that a statement waits for another, of which there is none.
const WAIT: Duration = Duration::ZERO;

impl Text {
    pub(crate) fn new() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.busy_timeout(WAIT)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// Runs `work` as one transaction; what it did is undone if it fails.
    pub(crate) fn together<T, E: From<rusqlite::Error>>(
        &mut self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.connection.transaction()?;
        let done = work(&Writing(&transaction))?;
        transaction.commit()?;
        Ok(done)
    }

    /// Looks for what was typed; the best `limit` hits. Nothing where there is no word in it.
    pub(crate) fn search(&mut self, typed: &str, limit: usize) -> rusqlite::Result<Vec<Hit>> {
        let Some(query) = query::parse(typed) else { return Ok(vec![]) };
        let mut looks = 0;
        self.connection.progress_handler(
            STEPS,
            Some(move || {
                looks += 1;
                looks > LOOKS_MAX
            }),
        )?;
        let found = self.run(&query, limit);
        self.connection.progress_handler(0, None::<fn() -> bool>)?;
        found
    }

    fn run(&self, query: &str, limit: usize) -> rusqlite::Result<Vec<Hit>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT path, title, snippet(page, -1, char(1), char(2), '…', ?2), -rank \
             FROM page WHERE page MATCH ?1 ORDER BY rank LIMIT ?3",
        )?;
        let row = params![query, AROUND, i64::try_from(limit).unwrap_or(i64::MAX)];
        let hits = statement.query_map(row, |row| {
            let around: String = row.get(2)?;
            Ok(Hit {
                path: row.get(0)?,
                title: row.get(1)?,
                pieces: pieces(&around),
                score: row.get(3)?,
            })
        })?;
        hits.collect()
    }
}

/// What may be done to the index in one transaction.
pub(crate) struct Writing<'a>(&'a Connection);

impl Writing<'_> {
    /// Adds a file and tells under which number.
    pub(crate) fn add(&self, row: Row<'_>) -> rusqlite::Result<i64> {
        let sql = "INSERT INTO page (path, title, names, body) VALUES (?1, ?2, ?3, ?4)";
        let clean =
            |text: &str| text.replace(|letter: char| letter.is_control() && letter != '\n', " ");
        let (title, body) = (clean(row.title), clean(row.body));
        self.0.prepare_cached(sql)?.execute(params![row.path, title, clean(row.names), body])?;
        Ok(self.0.last_insert_rowid())
    }

    pub(crate) fn remove(&self, number: i64) -> rusqlite::Result<()> {
        self.0.prepare_cached("DELETE FROM page WHERE rowid = ?1")?.execute([number])?;
        Ok(())
    }
}

/// Splits what the index cut out at its marks.
fn pieces(around: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, part) in around.split(MARKS).enumerate() {
        if !part.is_empty() {
            pieces.push(Piece { text: part.to_owned(), matches: number % 2 == 1 });
        }
    }
    pieces
}

/// Names in one text, cut to what is searched.
pub(crate) fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| link::cut(name)).collect();
    names.join("\n")
}
