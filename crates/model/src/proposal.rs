//! A change-set that waits for a person: what it is, and where it stands.

use serde::{Deserialize, Serialize};

use crate::event::HeldReason;
use crate::{
    CommitId, DispatchId, Label, Launcher, ProposalId, SessionId, Time, Trigger, UserId,
    WorkspaceId,
};

/// What an untrusted dispatch, or a conflicting one, suggests. Immutable once written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Its id, which follows from the workspace and the commit that holds it.
    pub id: ProposalId,
    /// The workspace that it would change.
    pub workspace: WorkspaceId,
    /// The ref that holds it.
    pub reference: String,
    /// The commit on that ref: what it changed against its parent is the change-set.
    pub commit: CommitId,
    /// Why it was not applied by itself.
    pub reason: HeldReason,
    /// The dispatch that made it; absent if no dispatch did.
    pub dispatch: Option<DispatchId>,
    /// The conversation of that dispatch.
    pub session: Option<SessionId>,
    /// On whose behalf it was made.
    pub subject: UserId,
    /// What started it.
    pub launcher: Launcher,
    /// Why it was started.
    pub trigger: Trigger,
    /// What its maker had read.
    pub label: Label,
    /// For people, one line.
    pub title: String,
    /// The first paths that it changed, at most 100.
    pub paths: Vec<String>,
    /// Why a reader should look twice: the flags of all its files.
    pub flags: Vec<String>,
    /// When it was made, to the second.
    pub created: Time,
    /// From when on it cannot be approved any more.
    pub expires: Time,
}

/// Where a proposal stands. That it has expired is not stored: it follows from the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Standing {
    /// It waits for a decision.
    Open,
    /// Its approval is written down and is being carried out.
    Approving {
        /// What is carried out.
        intent: Intent,
    },
    /// What was chosen of it has landed.
    Approved {
        /// What was carried out.
        intent: Intent,
        /// The commit that it became.
        commit: CommitId,
    },
    /// It was turned down.
    Denied {
        /// By whom.
        by: UserId,
        /// When.
        at: Time,
        /// Why, in their words.
        reason: Option<String>,
    },
}

/// An approval, bound to the bytes that it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// By whom.
    pub by: UserId,
    /// When.
    pub at: Time,
    /// Of what was shown.
    pub digest: String,
    /// SHA-256, in hexadecimal, of what was chosen: the same choice again is the same approval.
    pub request: String,
    /// The commit that holds exactly what was chosen, on the folder as it was shown.
    pub prepared: CommitId,
    /// Under which name that commit is kept until it has landed.
    pub name: String,
}
