//! What somebody pushes by git: unpacked in a quarantine, taken in by the committer's policy.

use std::path::PathBuf;

use model::{CommitId, WorkspaceId};
use workspace::{Quarantine, Received, Why};

use super::{Workspaces, WorkspacesError, theirs, view};

/// A push that was not taken, in words for the person. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Others pushed or wrote meanwhile, or it was made on something older.
    #[error("not made on the newest commit: pull first, then push again")]
    Behind,
    /// A commit breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// The workspace cannot be written.
    #[error("the workspace cannot be written")]
    Workspace(#[from] WorkspacesError),
}

impl Workspaces {
    /// A quarantine for what is pushed to a workspace, and where it is.
    pub async fn quarantine(
        &self,
        id: WorkspaceId,
    ) -> Result<(Quarantine, PathBuf), WorkspacesError> {
        self.with(id, "make a quarantine", |repository| {
            let quarantine = repository.quarantine()?;
            let path = quarantine.path().to_owned();
            Ok((quarantine, path))
        })
        .await
    }

    /// Takes what lies in a quarantine in, as a fast-forward from one commit to another; how many
    /// commits came.
    pub async fn take_in(
        &self,
        id: WorkspaceId,
        quarantine: Quarantine,
        from: CommitId,
        tip: CommitId,
    ) -> Result<usize, NotTaken> {
        let (Some(from), Some(tip)) = (theirs(&from), theirs(&tip)) else {
            return Err(NotTaken::Behind);
        };
        let received = self.with(id, "take a push in", move |repository| {
            repository.receive(&quarantine, [from, tip], view::PLATFORM_EMAIL)
        });
        match received.await? {
            Received::Done { commits } => Ok(commits),
            Received::NotForward | Received::Moved => Err(NotTaken::Behind),
            Received::Refused { commit, path, why } => {
                let commit = &commit.to_string()[..12];
                Err(NotTaken::Refused(match why {
                    Why::Policy(reason) => format!("commit {commit}: {path} is refused: {reason}"),
                    Why::Forged => format!(
                        "commit {commit} has a trailer or a committer that only Remit writes: reword it"
                    ),
                    Why::TooMuch => {
                        "too many commits or files, or too large: push less at once".to_owned()
                    }
                }))
            }
        }
    }
}
