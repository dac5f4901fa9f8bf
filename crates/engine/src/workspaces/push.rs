//! What somebody pushes by git, or pulls from outside: unpacked in a quarantine, taken in by the committer's policy.

use std::path::PathBuf;

use model::{CommitId, WorkspaceId};
pub use workspace::Origin;
use workspace::{Held, Incoming, Otherwise, Quarantine, Received, Why};

use super::files::Hand;
use super::{Workspaces, WorkspacesError, ours, theirs};
use crate::proposal::HeldChange;

/// A push that was not taken, in words for the person. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Others pushed or wrote meanwhile, or it was made on something older.
    #[error("not made on the newest commit: pull first, then push again")]
    Behind,
    /// It was to wait for a decision, and there is none to make.
    #[error("nothing to propose: main holds all of it")]
    NothingNew,
    /// A commit breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// The workspace cannot be written.
    #[error("the workspace cannot be written")]
    Workspace(#[from] WorkspacesError),
}

/// What is to be taken in of a quarantine.
#[derive(Debug)]
pub struct Taking {
    /// The newest commit, as whoever sent it knew it.
    pub from: CommitId,
    /// What it is to become.
    pub tip: CommitId,
    /// From where it comes.
    pub origin: Origin,
    /// Who takes it in.
    pub by: Hand,
    /// What may become of it.
    pub landing: Landing,
}

/// What may become of what is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// A fast-forward; what is none waits for a decision.
    ForwardOrProposal,
    /// A fast-forward; what is none is merged, where the two do not disagree.
    ForwardOrMerge,
    /// It waits for a decision.
    Proposal,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The folder moved on by so many commits.
    Forward(usize),
    /// So many commits came, and the folder moved on to one that joins them with what it held.
    Merged(usize, CommitId),
    /// It waits beside the folder, and a proposal is to be written of it.
    Held(HeldChange),
}

/// A held change-set, as a proposal is written of it.
pub(super) fn held_change(workspace: WorkspaceId, held: &Held) -> HeldChange {
    HeldChange { workspace, reference: held.name.clone(), commit: ours(held.commit) }
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

    /// Takes what lies in a quarantine in: as a fast-forward from one commit to another, or as what
    /// waits for a decision.
    pub async fn take_in(
        &self,
        id: WorkspaceId,
        quarantine: Quarantine,
        taking: Taking,
    ) -> Result<Taken, NotTaken> {
        let Taking { from, tip, origin, by, landing } = taking;
        let (Some(from), Some(tip)) = (theirs(&from), theirs(&tip)) else {
            return Err(NotTaken::Behind);
        };
        let by = by.attribution();
        let name = format!("push-{}", &tip.to_string()[..12]);
        let received = self.with(id, "take a push in", move |repository| {
            let otherwise = match landing {
                Landing::ForwardOrMerge => Otherwise::Merge,
                Landing::ForwardOrProposal => Otherwise::Hold(&name),
                Landing::Proposal => Otherwise::HoldAll(&name),
            };
            repository.receive(&quarantine, &Incoming { from, tip, origin, by: &by, otherwise })
        });
        match received.await? {
            Received::Done { commits } => Ok(Taken::Forward(commits)),
            Received::Merged { commits, commit } => Ok(Taken::Merged(commits, ours(commit))),
            Received::NothingNew => Err(NotTaken::NothingNew),
            Received::Held(held) => Ok(Taken::Held(held_change(id, &held))),
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
