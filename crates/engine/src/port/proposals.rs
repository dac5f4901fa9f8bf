//! Proposals: what waits for a person, and what they decided.
//!
//! Promises of every store of proposals:
//! - **Durability.** When a call that writes returns, what it wrote survives kill -9 and a power cut.
//! - **Once.** A proposal is added once, and moves from where it stands only if it stands there: of
//!   two decisions at once, one happens.
//! - **Memory.** Every standing that a proposal ever had stays written down.
//! - **Cancel safety.** A dropped call wrote all of it or nothing.

use async_trait::async_trait;
use model::{CommitId, Proposal, ProposalId, Standing, Time, WorkspaceId};

use super::ledger::{LedgerError, Page};

/// A proposal and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalRecord {
    /// The proposal as it was made.
    pub proposal: Proposal,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a proposal stands, as people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposalState {
    /// It waits for a decision, or its approval is being carried out.
    Open,
    /// What was chosen of it has landed.
    Approved,
    /// It was turned down.
    Denied,
    /// Nobody decided in time.
    Expired,
}

impl ProposalRecord {
    /// Where it stands at a time.
    pub fn state(&self, now: Time) -> ProposalState {
        match self.standing {
            Standing::Open if now >= self.proposal.expires => ProposalState::Expired,
            Standing::Open | Standing::Approving { .. } => ProposalState::Open,
            Standing::Approved { .. } => ProposalState::Approved,
            Standing::Denied { .. } => ProposalState::Denied,
        }
    }
}

/// Which proposals, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalQuery {
    /// Those of these workspaces. At most 1,000.
    pub workspaces: Vec<WorkspaceId>,
    /// Only those that stand so at `now`.
    pub state: Option<ProposalState>,
    /// The time that tells which have expired.
    pub now: Time,
    /// Only those older than this one.
    pub before: Option<ProposalId>,
    /// At most so many. 1 to 1,000.
    pub limit: u32,
}

/// What waits for a person, and what they decided.
#[async_trait]
pub trait Proposals: Send + Sync + 'static {
    /// Adds a proposal that stands open; one of that id stays as it is. Returns the one that is there.
    async fn add_proposal(&self, proposal: Proposal) -> Result<ProposalRecord, LedgerError>;

    /// One proposal.
    async fn proposal(&self, id: ProposalId) -> Result<Option<ProposalRecord>, LedgerError>;

    /// A page of proposals.
    async fn proposals(&self, query: ProposalQuery) -> Result<Page<ProposalRecord>, LedgerError>;

    /// Moves a proposal that stands at `from` to `to`. Returns it as it stands then: not at `to` if it
    /// did not stand at `from`; `None` if there is no such proposal.
    async fn decide(
        &self,
        id: ProposalId,
        from: Standing,
        to: Standing,
    ) -> Result<Option<ProposalRecord>, LedgerError>;

    /// Those whose approval is written down and was not seen to have been carried out.
    async fn approving(&self) -> Result<Vec<ProposalRecord>, LedgerError>;

    /// The commits that hold the proposals of a workspace, whatever became of them.
    async fn proposed_commits(&self, workspace: WorkspaceId) -> Result<Vec<CommitId>, LedgerError>;

    /// Every standing that a proposal has had, oldest first.
    async fn standings(&self, id: ProposalId) -> Result<Vec<Standing>, LedgerError>;
}
