//! Brings an approval that is written down to its end, and writes what a crash left unwritten.

use std::time::Duration;

use model::{CommitId, DispatchId, Intent, Standing, WorkspaceId};
use workspace::{Attribution, Landing};

use super::draft::unwritten;
use super::{HeldChange, Inbox, ProposalError};
use crate::kill_point::kill_point;
use crate::port::ProposalRecord;
use crate::workspaces::{ours, platform, theirs};

/// How long a start waits until it tries again what it could not finish.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it tries.
const TRIES: u32 = 12;

/// What a start found unfinished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Held change-sets that nothing was written of.
    pub written: usize,
    /// Approvals that were carried out now.
    pub landed: usize,
    /// What could not be brought to its end.
    pub left: usize,
}

impl Inbox {
    /// Brings an approval to its end; the commit that it became.
    ///
    /// # Errors
    /// [`ProposalError::Changed`]: it could not land, for its paths changed since; it waits again.
    pub(super) async fn finish(
        &self,
        record: &ProposalRecord,
        intent: Intent,
    ) -> Result<CommitId, ProposalError> {
        let (id, workspace) = (record.proposal.id, record.proposal.workspace);
        let prepared = intent.prepared.clone();
        let at = self.0.clock.now();
        let landing =
            self.0.drafts.workspaces.with(workspace, "land an approval", move |repository| {
                let prepared = theirs(&prepared).ok_or(workspace::Error::Unborn)?;
                let ready = repository.record(prepared)?;
                let by = Attribution {
                    author: ready.author,
                    committer: platform(at),
                    message: ready.subject,
                    trailers: ready.trailers,
                };
                repository.land(prepared, &by)
            });
        let landing = landing.await?;
        kill_point("after_landing");
        let from = Standing::Approving { intent: intent.clone() };
        let name = intent.name.clone();
        let (to, outcome) = match landing {
            Landing::Landed(commit) | Landing::Before(commit) => {
                let commit = ours(commit);
                (Standing::Approved { intent, commit: commit.clone() }, Ok(commit))
            }
            Landing::Moved(paths) => {
                let paths: Vec<_> = paths.iter().take(5).map(ToString::to_string).collect();
                tracing::info!(%workspace, proposal = %id, ?paths, "an approval came too late");
                (Standing::Open, Err(ProposalError::Changed(id)))
            }
        };
        self.0.drafts.proposals.decide(id, from, to).await?;
        kill_point("after_decision");
        self.forget(workspace, name).await;
        outcome
    }

    /// Brings to its end what an earlier server left: each held change-set has its proposal, and each
    /// approval that was written down has landed or waits again.
    pub async fn recover(&self) -> Unfinished {
        let mut found = Unfinished::default();
        for try_number in 1..=TRIES {
            let left = self.recover_once(&mut found).await;
            found.left = left;
            if left == 0 {
                break;
            }
            if try_number < TRIES {
                tokio::time::sleep(AGAIN).await;
            }
        }
        if found != Unfinished::default() {
            tracing::info!(?found, "unfinished proposals are taken up");
        }
        found
    }

    /// How many things could not be brought to their end.
    async fn recover_once(&self, found: &mut Unfinished) -> usize {
        let mut left = 0;
        let mut note = |error: ProposalError| {
            tracing::error!(%error, "a proposal could not be taken up");
            left += 1;
        };
        match self.0.drafts.proposals.approving().await {
            Ok(records) => {
                for record in records {
                    let Standing::Approving { intent } = record.standing.clone() else { continue };
                    match self.finish(&record, intent).await {
                        Ok(_) => found.landed += 1,
                        Err(ProposalError::Changed(_)) => {}
                        Err(error) => note(error),
                    }
                }
            }
            Err(error) => note(error.into()),
        }
        for workspace in self.0.drafts.workspaces.with_held().await {
            match self.write_missing(workspace).await {
                Ok(written) => found.written += written,
                Err(error) => note(error),
            }
        }
        left
    }

    async fn write_missing(&self, workspace: WorkspaceId) -> Result<usize, ProposalError> {
        let mut written = 0;
        for held in unwritten(&self.0.drafts, workspace).await? {
            if is_by_hand(&held) {
                self.0.drafts.write_by_hand(held).await?;
            } else {
                let Some(dispatch) = maker(&held) else { continue };
                let Some(record) = self.0.ledger.record(dispatch).await? else { continue };
                self.0.drafts.write(&record.dispatch, held).await?;
            }
            written += 1;
        }
        Ok(written)
    }
}

/// Whether a person held a change-set: by a push, or by taking back what others built on.
fn is_by_hand(held: &HeldChange) -> bool {
    let name = held.reference.rsplit('/').next().unwrap_or_default();
    name.starts_with("push-") || name.starts_with("revert-")
}

/// The dispatch that a held change-set is named after: `dsp_…`, or that with a number.
fn maker(held: &HeldChange) -> Option<DispatchId> {
    let name = held.reference.rsplit('/').next()?;
    name.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_change_set_names_its_dispatch() {
        let id = DispatchId::from_uuid(uuid::Uuid::from_u128(5));
        let of = |name: String| {
            maker(&HeldChange {
                workspace: WorkspaceId::from_uuid(uuid::Uuid::from_u128(1)),
                reference: format!("refs/remit/held/{name}"),
                commit: "a".repeat(40).parse().expect("a commit"),
            })
        };
        assert_eq!(of(id.to_string()), Some(id));
        assert_eq!(of(format!("{id}-12")), Some(id));
        assert_eq!(of("push-12".to_owned()), None);
        let by_hand = |name: &str| {
            is_by_hand(&HeldChange {
                workspace: WorkspaceId::from_uuid(uuid::Uuid::from_u128(1)),
                reference: format!("refs/remit/held/{name}"),
                commit: "a".repeat(40).parse().expect("a commit"),
            })
        };
        assert!(by_hand("push-12") && by_hand("revert-12-2") && !by_hand(&id.to_string()));
    }
}
