//! Proposals: what an untrusted dispatch, or a conflicting one, suggests, and what a person decides.
//!
//! An approval is bound by its digest to the bytes that were shown, is written down before anything
//! lands, and lands once, whoever asks how often, also after a crash in between. Who may decide is
//! the caller's question to [`trust::authorize()`].

mod draft;
mod shown;

mod land;

use std::sync::Arc;

use model::{CommitId, Intent, ProposalId, Standing, Time, UserId, WorkspaceId};
use sha2::{Digest, Sha256};
use workspace::{Approval, Attribution, Repository, Trailer};

pub use draft::{Drafts, HeldChange};
pub use land::Unfinished;
pub use shown::Shown;
pub use workspace::{Choice, ChoiceError, FileChoice, Take};

use crate::kill_point::kill_point;
use crate::port::{Clock, IdSource, Ledger, LedgerError, ProposalRecord, ProposalState};
use crate::workspaces::{WorkspacesError, ours, platform, theirs};

/// How often a decision is begun again because another one came between.
const TRIES: u32 = 4;

/// Something could not be done about a proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    Unknown(ProposalId),
    /// What was shown is not what is there now. Nothing was done; it is shown anew.
    #[error("{0} changed since it was shown")]
    Changed(ProposalId),
    /// Somebody decided otherwise.
    #[error("{0} is decided already")]
    Decided(ProposalId),
    /// Nobody decided in time.
    #[error("{0} has expired")]
    Expired(ProposalId),
    /// It cannot be taken as it was chosen. Nothing was done.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// Its folder did not do as asked.
    #[error(transparent)]
    Workspace(#[from] WorkspacesError),
    /// The store did not do as asked.
    #[error(transparent)]
    Store(#[from] LedgerError),
}

/// What proposals need.
#[derive(Clone)]
pub struct Parts {
    /// Where they are written, and where they are held.
    pub drafts: Drafts,
    /// The dispatches that made them.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh names.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("drafts", &self.drafts).finish_non_exhaustive()
    }
}

/// Shows and decides proposals.
#[derive(Clone)]
pub struct Inbox(Parts);

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inbox").field(&self.0.drafts).finish()
    }
}

/// What a person approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approve {
    /// The proposal.
    pub id: ProposalId,
    /// Who approves.
    pub by: UserId,
    /// The digest of what was shown.
    pub digest: String,
    /// What is taken of it.
    pub choice: Choice,
}

impl Inbox {
    /// An inbox over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// One proposal, as it was made and as it stands.
    pub async fn record(&self, id: ProposalId) -> Result<ProposalRecord, ProposalError> {
        let found = self.0.drafts.proposals.proposal(id).await?;
        found.ok_or(ProposalError::Unknown(id))
    }

    /// One proposal against the folder as it stands now.
    pub async fn show(&self, id: ProposalId) -> Result<Shown, ProposalError> {
        let (record, now) = (self.record(id).await?, self.0.clock.now());
        let workspace = record.proposal.workspace;
        let show = move |repository: &Repository| shown::shown(repository, record, now);
        Ok(self.0.drafts.workspaces.with(workspace, "show a proposal", show).await?)
    }

    /// Writes the proposal of a change-set that a person made by hand, or finds it.
    pub async fn write_by_hand(&self, held: HeldChange) -> Result<ProposalRecord, ProposalError> {
        self.0.drafts.write_by_hand(held).await
    }

    /// Takes what was chosen into the folder, exactly and once, and returns the commit that it became.
    /// The same approval again gets the same answer.
    pub async fn approve(&self, approve: Approve) -> Result<CommitId, ProposalError> {
        let request = request_of(&approve);
        for _ in 0..TRIES {
            let record = self.record(approve.id).await?;
            match &record.standing {
                Standing::Approved { intent, commit } if intent.request == request => {
                    return Ok(commit.clone());
                }
                Standing::Approved { .. } | Standing::Denied { .. } => {
                    return Err(ProposalError::Decided(approve.id));
                }
                Standing::Approving { intent } => {
                    let same = intent.request == request;
                    let landed = self.finish(&record, intent.clone()).await;
                    return match landed {
                        Ok(commit) if same => Ok(commit),
                        Ok(_) => Err(ProposalError::Decided(approve.id)),
                        // It could not land, and waits again.
                        Err(ProposalError::Changed(_)) if !same => continue,
                        Err(error) => Err(error),
                    };
                }
                Standing::Open => {}
            }
            if record.state(self.0.clock.now()) == ProposalState::Expired {
                return Err(ProposalError::Expired(approve.id));
            }
            let intent = self.make_ready(&record, &approve, &request).await?;
            kill_point("before_intent");
            let approving = Standing::Approving { intent: intent.clone() };
            let stands = self.0.drafts.proposals.decide(approve.id, Standing::Open, approving);
            let stands = stands.await?.ok_or(ProposalError::Unknown(approve.id))?;
            kill_point("after_intent");
            match &stands.standing {
                Standing::Approving { intent: written } if *written == intent => {
                    return self.finish(&record, intent).await;
                }
                // Somebody else was quicker.
                _ => self.forget(record.proposal.workspace, intent.name).await,
            }
        }
        Err(ProposalError::Changed(approve.id))
    }

    /// Turns a proposal down.
    pub async fn deny(
        &self,
        id: ProposalId,
        by: UserId,
        reason: Option<String>,
    ) -> Result<(), ProposalError> {
        for _ in 0..TRIES {
            let record = self.record(id).await?;
            match &record.standing {
                Standing::Denied { .. } => return Ok(()),
                Standing::Approved { .. } => return Err(ProposalError::Decided(id)),
                Standing::Approving { intent } => {
                    // It waits again if it could not land.
                    match self.finish(&record, intent.clone()).await {
                        Ok(_) => return Err(ProposalError::Decided(id)),
                        Err(ProposalError::Changed(_)) => continue,
                        Err(error) => return Err(error),
                    }
                }
                Standing::Open => {}
            }
            let denied = Standing::Denied { by, at: self.0.clock.now(), reason: reason.clone() };
            let stands = self.0.drafts.proposals.decide(id, Standing::Open, denied.clone()).await?;
            if stands.ok_or(ProposalError::Unknown(id))?.standing == denied {
                kill_point("after_decision");
                return Ok(());
            }
        }
        Err(ProposalError::Changed(id))
    }

    /// Makes a commit of what was chosen, if what is there is what was shown.
    async fn make_ready(
        &self,
        record: &ProposalRecord,
        approve: &Approve,
        request: &str,
    ) -> Result<Intent, ProposalError> {
        let id = approve.id;
        let (at, record) = (self.0.clock.now(), record.clone());
        let name = format!("{id}-{}", self.0.ids.uuid().simple());
        let workspace = record.proposal.workspace;
        let (of, kept_as) = (approve.clone(), name.clone());
        let ready =
            self.0.drafts.workspaces.with(workspace, "make an approval", move |repository| {
                ready(repository, &record, &of, &kept_as, at)
            });
        let prepared = ready.await?.ok_or(ProposalError::Changed(id))??;
        Ok(Intent {
            by: approve.by,
            at,
            digest: approve.digest.clone(),
            request: request.to_owned(),
            prepared: ours(prepared),
            name,
        })
    }

    async fn forget(&self, workspace: WorkspaceId, name: String) {
        let forget = move |repository: &Repository| repository.forget_approval(&name);
        let forgotten = self.0.drafts.workspaces.with(workspace, "forget an approval", forget);
        if let Err(error) = forgotten.await {
            tracing::warn!(%workspace, %error, "what an approval left behind stays");
        }
    }
}

/// The commit of what was chosen; `None` if what is there is not what was shown. Blocks.
fn ready(
    repository: &Repository,
    record: &ProposalRecord,
    approve: &Approve,
    name: &str,
    at: Time,
) -> Result<Option<Result<workspace::CommitId, ChoiceError>>, workspace::Error> {
    let held = theirs(&record.proposal.commit).ok_or(workspace::Error::Unborn)?;
    let head = repository.head()?.ok_or(workspace::Error::Unborn)?;
    if shown::digest(record, &repository.review(held, head)?) != approve.digest {
        return Ok(None);
    }
    let by = attribution(repository, record, approve, at)?;
    let approval = Approval { held, head, choice: &approve.choice, by: &by, name };
    repository.prepare(&approval).map(Some)
}

/// Who an approved commit is by: the author of what was held; and who let it in.
fn attribution(
    repository: &Repository,
    record: &ProposalRecord,
    approve: &Approve,
    at: Time,
) -> Result<Attribution, workspace::Error> {
    let held = theirs(&record.proposal.commit).ok_or(workspace::Error::Unborn)?;
    let held = repository.record(held)?;
    let kept = ["Dispatch", "Subject", "Launcher", "Turn", "Label"];
    let mut trailers: Vec<Trailer> =
        held.trailers.into_iter().filter(|it| kept.contains(&it.key())).collect();
    let extent = match &approve.choice {
        Choice::All => "all",
        Choice::Files(_) => "chosen files",
    };
    let facts = [
        ("Proposal", record.proposal.id.to_string()),
        ("Approved-by", approve.by.to_string()),
        ("Approved", extent.to_owned()),
    ];
    trailers.extend(facts.iter().filter_map(|(key, value)| Trailer::new(key, value).ok()));
    Ok(Attribution {
        author: held.author,
        committer: platform(at),
        message: held.subject,
        trailers,
    })
}

/// Names the form of [`request_of`]. It is stored: a change of the form is a new name.
const REQUEST_FORM: &str = "remit approval 1";

/// SHA-256, in hexadecimal, of what is asked for, whoever asks and in whatever order files are named: each part with
/// its length before it.
fn request_of(approve: &Approve) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    };
    add(REQUEST_FORM.as_bytes());
    add(approve.digest.as_bytes());
    match &approve.choice {
        Choice::All => add(b"all"),
        Choice::Files(files) => {
            add(b"files");
            let mut files: Vec<&FileChoice> = files.iter().collect();
            files.sort_by(|one, other| one.path.cmp(&other.path));
            for FileChoice { path, take } in files {
                add(path.as_bytes());
                match take {
                    Take::Whole => add(b"whole"),
                    Take::Content(content) => {
                        add(b"content");
                        add(content);
                    }
                    Take::Hunks(hunks) => {
                        add(b"hunks");
                        let hunks: Vec<String> = hunks.iter().map(ToString::to_string).collect();
                        add(hunks.join(",").as_bytes());
                    }
                }
            }
        }
    }
    shown::hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(choice: Choice) -> String {
        let id = ProposalId::from_uuid(uuid::Uuid::from_u128(1));
        let by = UserId::from_uuid(uuid::Uuid::from_u128(2));
        request_of(&Approve { id, by, digest: "d1".to_owned(), choice })
    }

    fn file(path: &str, take: Take) -> FileChoice {
        FileChoice { path: path.to_owned(), take }
    }

    #[test]
    fn the_form_of_a_request_never_changes() {
        let hunks = Take::Hunks([0, 12].into());
        let files = vec![
            file("a", Take::Whole),
            file("b", hunks),
            file("c", Take::Content(b"new\n".to_vec())),
        ];
        assert_eq!(
            [request(Choice::All), request(Choice::Files(files))],
            [
                "9da221ba4bcabd6e4dd7dd14a41055afc310186283db96528814a20edc321d90",
                "b2e7e9df08bf60a9c179d6345ee59594638f9dbad49c6bc1cb77e37a24cfba86"
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn one_request_is_one_whatever_its_order_and_no_two_are_taken_for_each_other() {
        let (one, other) = (file("a", Take::Whole), file("b", Take::Whole));
        let both = request(Choice::Files(vec![one.clone(), other.clone()]));
        assert_eq!(both, request(Choice::Files(vec![other, one.clone()])));
        let content = |text: &str| Take::Content(text.as_bytes().to_vec());
        let choices = [
            Choice::All,
            Choice::Files(vec![]),
            Choice::Files(vec![one]),
            Choice::Files(vec![file("a", Take::Hunks([].into()))]),
            Choice::Files(vec![file("a", Take::Hunks([1, 2].into()))]),
            Choice::Files(vec![file("a", Take::Hunks([12].into()))]),
            Choice::Files(vec![file("a", content("whole"))]),
            Choice::Files(vec![file("a", content("")), file("whole", content(""))]),
        ];
        let requests: std::collections::BTreeSet<_> = choices.into_iter().map(request).collect();
        assert_eq!(requests.len(), 8);
    }
}
