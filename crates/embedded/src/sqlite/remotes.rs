//! Which outside repositories workspaces follow. Each call is inside the transaction or snapshot of its caller.

use async_trait::async_trait;
use engine::port::{LedgerError, Remotes};
use engine::remote::Remote;
use model::WorkspaceId;
use rusqlite::{Connection, OptionalExtension, params};

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
}

fn set(c: &Connection, workspace: WorkspaceId, remote: &Remote) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO remotes (workspace, url, branch) VALUES (?1, ?2, ?3)";
    let row = params![Id(workspace.uuid()), remote.url.to_string(), remote.branch.name()];
    c.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn one(c: &Connection, workspace: WorkspaceId) -> Result<Option<Remote>, Failure> {
    let sql = "SELECT url, branch FROM remotes WHERE workspace = ?1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Remote { url: row.get::<_, Text<_>>(0)?.0, branch: row.get::<_, Text<_>>(1)?.0 })
    };
    Ok(c.prepare_cached(sql)?.query_row([Id(workspace.uuid())], row).optional()?)
}
