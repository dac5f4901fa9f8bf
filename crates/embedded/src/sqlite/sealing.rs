//! Sealing of rows, as functions that statements call: `seal(text, workspace, what, …)` and `unseal(text, what, …)`, where
//! the rest names the row, and `blind(bytes, workspace)` for what is only compared. In a ledger in the clear they give
//! back what they are given.
//!
//! Sealed is what people and agents said, and what tells of it: bodies, claims, prompts, titles, proposals, recordings. Not sealed are
//! ids, times, numbers, names and mail addresses.

use std::sync::Arc;

use model::WorkspaceId;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};
use seal::Keyring;

use super::row::Id;

/// How rows are kept.
#[derive(Debug, Clone)]
pub enum Sealing {
    /// In the clear.
    Off,
    /// Under the keys of the workspaces that they belong to.
    On(Arc<Keyring>),
}

/// What the clear rows of a ledger become when it is sealed: every column with a text in it that is sealed.
///
/// A column that is sealed in a statement elsewhere is sealed here in the same words. The key of an entry has
/// its dispatch above the [`NUMBER_BITS`](super::row::NUMBER_BITS).
const SEAL_ALL: &str = "
UPDATE dispatches SET
    body = seal(body, home, 'dispatch', no), claims = seal(claims, home, 'claims', no)
    FROM (SELECT h.no AS its, s.home FROM heads h JOIN sessions s ON s.id = h.session)
    WHERE its = no;
UPDATE entries SET body = seal(body, home, 'entry', key)
    FROM (SELECT h.no AS its, s.home FROM heads h JOIN sessions s ON s.id = h.session)
    WHERE its = key >> 24;
UPDATE recordings SET body = seal(body, home, 'exchange', key)
    FROM (SELECT h.no AS its, s.home FROM heads h JOIN sessions s ON s.id = h.session)
    WHERE its = key >> 24;
UPDATE heads SET recovery = NULL;
UPDATE idempotency SET request = blind(request, home)
    FROM (SELECT t.no AS its, s.home FROM turns t JOIN sessions s ON s.id = t.session)
    WHERE its = turn_no;
UPDATE turns SET prompt = seal(prompt, home, 'prompt', session, turn)
    FROM (SELECT id AS its, home FROM sessions)
    WHERE its = session;
UPDATE sessions SET title = seal(title, home, 'title', id);
UPDATE proposal_standings SET standing = seal(standing, workspace, 'standing', proposal)
    FROM (SELECT id AS its, workspace FROM proposals)
    WHERE its = proposal;
UPDATE proposals SET
    body = seal(body, workspace, 'proposal', id),
    standing = seal(standing, workspace, 'standing', id);
INSERT INTO sealing (rows) VALUES ('unswept');
";

impl Sealing {
    /// Gives a connection the functions.
    pub(super) fn install(&self, connection: &Connection) -> Result<()> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        let ring = self.clone();
        connection.create_scalar_function("seal", -1, flags, move |call| ring.seal(call))?;
        let ring = self.clone();
        connection.create_scalar_function("unseal", -1, flags, move |call| ring.unseal(call))?;
        let ring = self.clone();
        connection.create_scalar_function("blind", 2, flags, move |call| ring.blind(call))
    }

    fn seal(&self, call: &Context<'_>) -> Result<Option<String>> {
        let Some(text) = text(call)? else { return Ok(None) };
        let Self::On(ring) = self else { return Ok(Some(text.to_owned())) };
        let name = Name::of(call, 2);
        let key = ring.key_or_new(workspace(call)?).map_err(failed)?;
        key.rows.seal_text(&name.parts(), text).map(Some).map_err(failed)
    }

    fn unseal(&self, call: &Context<'_>) -> Result<Option<String>> {
        let Some(text) = text(call)? else { return Ok(None) };
        let Self::On(ring) = self else { return Ok(Some(text.to_owned())) };
        let name = Name::of(call, 1);
        ring.open_text("a row", &name.parts(), text).map(Some).map_err(failed)
    }

    fn blind(&self, call: &Context<'_>) -> Result<Vec<u8>> {
        let bytes = call.get_raw(0).as_blob().map_err(Error::from)?;
        let Self::On(ring) = self else { return Ok(bytes.to_vec()) };
        let key = ring.key_or_new(workspace(call)?).map_err(failed)?;
        Ok(key.rows.blind_mark(bytes).to_vec())
    }
}

/// Seals all rows of a ledger in the clear at once, or none of them. How many dispatches are not over, if
/// that is why none was: their sandboxes stand on folders in the clear.
pub(super) fn seal_all(connection: &mut Connection) -> Result<std::result::Result<(), u64>> {
    let live: i64 =
        connection.query_row("SELECT count(*) FROM heads WHERE live", [], |row| row.get(0))?;
    if live > 0 {
        return Ok(Err(live.cast_unsigned()));
    }
    let all = connection.transaction()?;
    all.execute_batch(SEAL_ALL)?;
    all.commit()?;
    Ok(Ok(()))
}

/// Leaves nothing of rows that were there in the clear in the file or in its log, once.
pub(super) fn sweep(connection: &Connection) -> Result<()> {
    if !connection.prepare("SELECT 1 FROM sealing WHERE rows = 'unswept'")?.exists([])? {
        return Ok(());
    }
    connection.execute_batch("VACUUM")?;
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Err(failed(StillRead));
    }
    connection.execute_batch("UPDATE sealing SET rows = 'sealed'")
}

/// Another process reads the file.
#[derive(Debug, thiserror::Error)]
#[error("another process reads the ledger")]
struct StillRead;

/// Whether the rows of a ledger are sealed.
pub(super) fn is_sealed(connection: &Connection) -> Result<bool> {
    connection.prepare("SELECT 1 FROM sealing")?.exists([])
}

fn text<'a>(call: &'a Context<'_>) -> Result<Option<&'a str>> {
    call.get_raw(0).as_str_or_null().map_err(Error::from)
}

fn workspace(call: &Context<'_>) -> Result<WorkspaceId> {
    call.get::<Id>(1).map(|id| WorkspaceId::from_uuid(id.0))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::UserFunctionError(Box::new(error))
}

/// What a row is called, in the parts that a statement says.
struct Name(Vec<Vec<u8>>);

impl Name {
    fn of(call: &Context<'_>, from: usize) -> Self {
        let part = |at| match call.get_raw(at) {
            ValueRef::Null => Vec::new(),
            ValueRef::Integer(number) => number.to_be_bytes().to_vec(),
            ValueRef::Real(number) => number.to_be_bytes().to_vec(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        };
        Self((from..call.len()).map(part).collect())
    }

    fn parts(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}
