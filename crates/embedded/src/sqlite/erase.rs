//! Removes a workspace with all that is told of it. Each call is inside the transaction or snapshot of its caller.

use engine::port::Removal;
use model::WorkspaceId;
use rusqlite::{Connection, OptionalExtension};

use super::failure::Failure;
use super::row::{Id, entry_key};

/// Whether it is its owner's oldest by name.
const IS_HOME: &str = "SELECT NOT EXISTS (SELECT 1 FROM workspaces e WHERE e.owner = w.owner \
    AND (e.created, e.id) < (w.created, w.id)) FROM workspaces w WHERE w.id = ?1";

const LIVE: &str = "SELECT count(*) FROM heads h JOIN sessions s ON s.id = h.session \
    WHERE s.home = ?1 AND h.live";

/// Dispatches of conversations at home in the workspace.
const ITS_DISPATCHES: &str =
    "SELECT h.no FROM heads h JOIN sessions s ON s.id = h.session WHERE s.home = ?1";

/// What goes of each.
const ITS_STREAM: [&str; 2] = [
    "DELETE FROM entries WHERE key BETWEEN ?1 AND ?2",
    "DELETE FROM recordings WHERE key BETWEEN ?1 AND ?2",
];

/// What goes then, in this order.
const ITS_ROWS: [&str; 11] = [
    "DELETE FROM idempotency WHERE turn_no IN (SELECT t.no FROM turns t \
     JOIN sessions s ON s.id = t.session WHERE s.home = ?1)",
    "DELETE FROM turns WHERE session IN (SELECT id FROM sessions WHERE home = ?1)",
    "DELETE FROM heads WHERE session IN (SELECT id FROM sessions WHERE home = ?1)",
    "DELETE FROM sessions WHERE home = ?1",
    "DELETE FROM proposal_standings WHERE proposal IN \
     (SELECT id FROM proposals WHERE workspace = ?1)",
    "DELETE FROM proposals WHERE workspace = ?1",
    "DELETE FROM invites WHERE workspace = ?1",
    "DELETE FROM removals WHERE workspace = ?1",
    "DELETE FROM members WHERE workspace = ?1",
    "DELETE FROM remotes WHERE workspace = ?1",
    "DELETE FROM workspaces WHERE id = ?1",
];

/// Workspaces whose folders may be there and are nobody's.
const NOTE: &str = "INSERT INTO removed_workspaces (id) VALUES (?1) ON CONFLICT DO NOTHING";
const FORGET: &str = "DELETE FROM removed_workspaces WHERE id = ?1";

/// See [`engine::port::Directory::remove_workspace`].
pub(super) fn workspace(c: &Connection, id: WorkspaceId) -> Result<Removal, Failure> {
    let id = Id(id.uuid());
    let is_home = c.prepare_cached(IS_HOME)?.query_row([id], |row| row.get::<_, bool>(0));
    match is_home.optional()? {
        None => return Ok(Removal::Unknown),
        Some(true) => return Ok(Removal::Home),
        Some(false) => {}
    }
    let live: i64 = c.prepare_cached(LIVE)?.query_row([id], |row| row.get(0))?;
    if live > 0 {
        return Ok(Removal::Live(live.cast_unsigned()));
    }
    let mut dispatches = c.prepare_cached(ITS_DISPATCHES)?;
    let mut rows = dispatches.query([id])?;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        for sql in ITS_STREAM {
            c.prepare_cached(sql)?.execute([entry_key(no, 0), entry_key(no, u64::MAX)])?;
        }
        c.prepare_cached("DELETE FROM dispatches WHERE no = ?1")?.execute([no])?;
    }
    for rows in ITS_ROWS {
        c.prepare_cached(rows)?.execute([id])?;
    }
    c.prepare_cached(NOTE)?.execute([id])?;
    Ok(Removal::Done)
}

/// See [`engine::port::Directory::begin_workspace`].
pub(super) fn begin(c: &Connection, id: WorkspaceId) -> Result<(), Failure> {
    c.prepare_cached(NOTE)?.execute([Id(id.uuid())])?;
    Ok(())
}

/// What was begun is a workspace now.
pub(super) fn added(c: &Connection, id: WorkspaceId) -> Result<(), Failure> {
    c.prepare_cached(FORGET)?.execute([Id(id.uuid())])?;
    Ok(())
}

/// See [`engine::port::Directory::removed`].
pub(super) fn removed(c: &Connection) -> Result<Vec<WorkspaceId>, Failure> {
    let mut statement = c.prepare_cached("SELECT id FROM removed_workspaces")?;
    let ids = statement.query_map([], |row| Ok(WorkspaceId::from_uuid(row.get::<_, Id>(0)?.0)))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// See [`engine::port::Directory::forget_removed`].
pub(super) fn forget(c: &Connection, id: WorkspaceId) -> Result<(), Failure> {
    let of_nobody = "DELETE FROM remotes WHERE workspace = ?1 \
        AND NOT EXISTS (SELECT 1 FROM workspaces WHERE id = ?1)";
    for sql in [of_nobody, FORGET] {
        c.prepare_cached(sql)?.execute([Id(id.uuid())])?;
    }
    Ok(())
}
