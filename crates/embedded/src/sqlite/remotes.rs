//! Which outside repositories workspaces follow. Each call is inside the transaction or snapshot of its caller.

use async_trait::async_trait;
use engine::port::{LedgerError, Remotes};
use engine::remote::Remote;
use model::{UserId, WorkspaceId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteLedger;
use super::failure::Failure;
use super::row::{Id, Text};

#[async_trait]
impl Remotes for SqliteLedger {
    async fn set_remote(&self, workspace: WorkspaceId, remote: Remote) -> Result<(), LedgerError> {
        self.change(move |c| set(c, workspace, &remote)).await
    }

    async fn remote(&self, workspace: WorkspaceId) -> Result<Option<Remote>, LedgerError> {
        self.readers.read(move |c| one(c, workspace)).await
    }

    async fn followed(&self, person: UserId) -> Result<Vec<(WorkspaceId, Remote)>, LedgerError> {
        self.readers.read(move |c| of(c, person)).await
    }
}

fn set(c: &Connection, workspace: WorkspaceId, remote: &Remote) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO remotes (workspace, url, branch) VALUES (?1, ?2, ?3)";
    let row = params![Id(workspace.uuid()), remote.url.to_string(), remote.branch.name()];
    c.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn one(c: &Connection, workspace: WorkspaceId) -> Result<Option<Remote>, Failure> {
    let sql = "SELECT url, branch FROM remotes WHERE workspace = ?1";
    Ok(c.prepare_cached(sql)?.query_row([Id(workspace.uuid())], remote_of).optional()?)
}

fn of(c: &Connection, person: UserId) -> Result<Vec<(WorkspaceId, Remote)>, Failure> {
    let sql = "SELECT r.url, r.branch, r.workspace FROM remotes r \
        JOIN members m ON m.workspace = r.workspace WHERE m.person = ?1";
    let mut statement = c.prepare_cached(sql)?;
    let found = statement.query_map([Id(person.uuid())], |row| {
        Ok((WorkspaceId::from_uuid(row.get::<_, Id>(2)?.0), remote_of(row)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn remote_of(row: &Row<'_>) -> rusqlite::Result<Remote> {
    Ok(Remote { url: row.get::<_, Text<_>>(0)?.0, branch: row.get::<_, Text<_>>(1)?.0 })
}
