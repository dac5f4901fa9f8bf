//! From a held change-set to the proposal that is written of it. The same held change-set always makes
//! the same proposal, so that writing it again after a crash adds nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::event::HeldReason;
use model::{
    CommitId, Dispatch, DispatchId, Event, Label, Launcher, Proposal, ProposalId, SessionId, Time,
    Trigger, UserId, WorkspaceId,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use workspace::{Record, Repository};

use super::ProposalError;
use crate::kill_point::kill_point;
use crate::port::{ProposalRecord, Proposals};
use crate::workspaces::{Workspaces, ours, theirs};

/// How many paths a proposal lists.
const PATHS_MAX: usize = 100;
/// How often writing a proposal is tried before it is left to the next start.
const TRIES: u32 = 3;

/// What turns held change-sets into proposals.
#[derive(Clone)]
pub struct Drafts {
    /// Where they are written.
    pub proposals: Arc<dyn Proposals>,
    /// Where they are held.
    pub workspaces: Workspaces,
    /// How long they can be approved.
    pub life: Duration,
}

impl std::fmt::Debug for Drafts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drafts").field("life", &self.life).finish_non_exhaustive()
    }
}

/// A held change-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChange {
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// The ref that holds it.
    pub reference: String,
    /// The commit on it.
    pub commit: CommitId,
}

impl Drafts {
    /// Writes a proposal for each held change-set that these events tell of, and tells of it behind
    /// its event. What cannot be written now, the next start writes.
    pub(crate) async fn with_proposals(
        &self,
        dispatch: &Dispatch,
        events: Vec<Event>,
    ) -> Vec<Event> {
        let mut told = Vec::with_capacity(events.len());
        for event in events {
            let held = match &event {
                Event::Held { workspace, reference, commit, .. } => Some(HeldChange {
                    workspace: *workspace,
                    reference: reference.clone(),
                    commit: commit.clone(),
                }),
                _ => None,
            };
            told.push(event);
            let Some(held) = held else { continue };
            kill_point("before_proposal");
            told.extend(self.insist(dispatch, held).await);
            kill_point("after_proposal");
        }
        told
    }

    async fn insist(&self, dispatch: &Dispatch, held: HeldChange) -> Option<Event> {
        for _ in 0..TRIES {
            match self.write(dispatch, held.clone()).await {
                Ok(ProposalRecord { proposal, .. }) => {
                    return Some(Event::Proposed {
                        proposal: proposal.id,
                        workspace: proposal.workspace,
                        reason: proposal.reason,
                        paths: proposal.paths,
                    });
                }
                Err(error) => {
                    tracing::error!(dispatch = %dispatch.id, %error, "a proposal was not written");
                }
            }
        }
        None
    }

    /// Writes the proposal of a change-set that a dispatch made, or finds it.
    pub async fn write(
        &self,
        dispatch: &Dispatch,
        held: HeldChange,
    ) -> Result<ProposalRecord, ProposalError> {
        self.write_of(Some(Maker::of(dispatch)), held).await
    }

    /// Writes the proposal of a change-set that a person made by hand, or finds it. Whose it is, the commit says.
    pub async fn write_by_hand(&self, held: HeldChange) -> Result<ProposalRecord, ProposalError> {
        kill_point("before_proposal_by_hand");
        let written = self.write_of(None, held).await;
        kill_point("after_proposal_by_hand");
        written
    }

    async fn write_of(
        &self,
        maker: Option<Maker>,
        held: HeldChange,
    ) -> Result<ProposalRecord, ProposalError> {
        let life = self.life;
        let workspace = held.workspace;
        let draft = self.workspaces.with(workspace, "read a held change-set", move |repository| {
            draft(repository, maker, held, life)
        });
        Ok(self.proposals.add_proposal(draft.await?).await?)
    }
}

/// Who made a change-set, and why.
#[derive(Debug, Clone)]
struct Maker {
    dispatch: Option<DispatchId>,
    session: Option<SessionId>,
    subject: UserId,
    launcher: Launcher,
    trigger: Trigger,
    label: Label,
}

impl Maker {
    fn of(dispatch: &Dispatch) -> Self {
        Self {
            dispatch: Some(dispatch.id),
            session: Some(dispatch.session),
            subject: dispatch.subject,
            launcher: dispatch.launcher.clone(),
            trigger: dispatch.trigger,
            label: dispatch.label.clone(),
        }
    }

    /// The person who held it by hand, as the platform wrote it into the commit.
    fn by_hand(record: &Record) -> Option<Self> {
        let subject = record.trailers.iter().find(|trailer| trailer.key() == "Subject")?;
        let subject: UserId = subject.value().parse().ok()?;
        Some(Self {
            dispatch: None,
            session: None,
            subject,
            launcher: Launcher::User(subject),
            trigger: Trigger::Message,
            label: Label::default(),
        })
    }
}

/// What a held commit, and who made it, say. Blocks.
fn draft(
    repository: &Repository,
    maker: Option<Maker>,
    held: HeldChange,
    life: Duration,
) -> Result<Proposal, workspace::Error> {
    let HeldChange { workspace, reference, commit } = held;
    let raw = theirs(&commit).ok_or(workspace::Error::Unborn)?;
    let record = repository.record(raw)?;
    let maker = maker.or_else(|| Maker::by_hand(&record)).ok_or(workspace::Error::Unborn)?;
    let before = match record.parents.first() {
        Some(base) => repository.tree_of(*base)?,
        None => workspace::TreeId::EMPTY,
    };
    let files = repository.patch(before, record.tree)?;
    let paths = files.iter().take(PATHS_MAX).map(|file| file.path.to_string()).collect();
    let flags: BTreeSet<_> = files.iter().flat_map(workspace::FilePatch::flags).collect();
    let conflict = |it: &workspace::Trailer| it.key() == "Held" && it.value() == "conflict";
    let seconds = u64::try_from(record.committer.seconds).unwrap_or(0);
    let created = Time::from_ms(seconds.saturating_mul(1_000));
    Ok(Proposal {
        id: id_of(workspace, &commit, created),
        workspace,
        reference,
        commit,
        reason: if record.trailers.iter().any(conflict) {
            HeldReason::Conflict
        } else {
            HeldReason::ProposeOnly
        },
        dispatch: maker.dispatch,
        session: maker.session,
        subject: maker.subject,
        launcher: maker.launcher,
        trigger: maker.trigger,
        label: maker.label,
        title: record.subject,
        paths,
        flags: flags.into_iter().map(|flag| flag.word().to_owned()).collect(),
        created,
        expires: created + life,
    })
}

/// The id of the proposal of a held commit: sorts by its time, and is the same whenever it is asked.
fn id_of(workspace: WorkspaceId, commit: &CommitId, created: Time) -> ProposalId {
    let mut hasher = Sha256::new();
    hasher.update(workspace.uuid().as_bytes());
    hasher.update(commit.as_str());
    let hash: [u8; 32] = hasher.finalize().into();
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    let builder = uuid::Builder::from_unix_timestamp_millis(created.as_ms(), &random);
    let uuid: Uuid = builder.into_uuid();
    ProposalId::from_uuid(uuid)
}

/// The held change-sets of a workspace that nothing was written of yet.
pub(super) async fn unwritten(
    drafts: &Drafts,
    workspace: WorkspaceId,
) -> Result<Vec<HeldChange>, ProposalError> {
    let written: BTreeSet<String> = drafts
        .proposals
        .proposed_commits(workspace)
        .await?
        .into_iter()
        .map(|commit| commit.as_str().to_owned())
        .collect();
    let held = drafts.workspaces.with(workspace, "list what is held", Repository::held).await?;
    let left = held.into_iter().filter(|(_, commit)| !written.contains(&commit.to_string()));
    let change = |(name, commit)| HeldChange {
        workspace,
        reference: format!("refs/remit/held/{name}"),
        commit: ours(commit),
    };
    Ok(left.map(change).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_commit_has_one_id_that_sorts_by_its_time() {
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(7));
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().expect("a commit");
        let id = |digit, ms| id_of(workspace, &commit(digit), Time::from_ms(ms));
        assert_eq!(id("a", 1_000), id("a", 1_000));
        assert_ne!(id("a", 1_000), id("b", 1_000));
        assert!(id("f", 1_000) < id("0", 2_000));
        let other = WorkspaceId::from_uuid(Uuid::from_u128(8));
        assert_ne!(id("a", 1_000), id_of(other, &commit("a"), Time::from_ms(1_000)));
    }
}
