//! Which outside repository each workspace follows. Platform data: no dispatch writes it, and no credential is part of
//! it.
//!
//! Every write is synced when the call returns, and whole or absent.

use async_trait::async_trait;
use model::{UserId, WorkspaceId};

use super::ledger::LedgerError;
use crate::remote::Remote;

/// Which outside repositories workspaces follow.
#[async_trait]
pub trait Remotes: Send + Sync + 'static {
    /// Says which one a workspace follows from now on.
    async fn set_remote(&self, workspace: WorkspaceId, remote: Remote) -> Result<(), LedgerError>;

    /// The one that a workspace follows, if it follows any.
    async fn remote(&self, workspace: WorkspaceId) -> Result<Option<Remote>, LedgerError>;

    /// What the workspaces follow that a person is a member of, in no order; those that follow nothing are left out.
    async fn followed(&self, person: UserId) -> Result<Vec<(WorkspaceId, Remote)>, LedgerError>;
}
