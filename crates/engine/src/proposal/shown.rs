//! A proposal as a person is shown it, and the digest that binds an approval to what was shown.

use model::diff::FileDiff;
use model::{CommitId, Time};
use sha2::{Digest, Sha256};
use workspace::{Conflict, FileEntry, FileMode, Refusals, Repository, Review, Reviewed};

use crate::port::{ProposalRecord, ProposalState};
use crate::workspaces::diff::{file_diff, file_diffs};
use crate::workspaces::{ours, theirs};

/// A proposal as a person is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The proposal and where it stands.
    pub record: ProposalRecord,
    /// Where it stands now.
    pub state: ProposalState,
    /// What its change-set was made from.
    pub base: CommitId,
    /// The folder that it is shown against; its base once it is decided.
    pub head: CommitId,
    /// The paths where it disagrees with the folder.
    pub conflicts: Vec<String>,
    /// What would change now; what it had changed once it is decided.
    pub files: Vec<FileDiff>,
    /// What no commit may hold: `(path, reason)`, made safe to show.
    pub refused: Vec<(String, String)>,
    /// What an approval must name.
    pub digest: String,
}

/// Shows a proposal. Blocks.
pub(super) fn shown(
    repository: &Repository,
    record: ProposalRecord,
    now: Time,
) -> Result<Shown, workspace::Error> {
    let state = record.state(now);
    let held = theirs(&record.proposal.commit).ok_or(workspace::Error::Unborn)?;
    if state != ProposalState::Open {
        return decided(repository, record, state, held);
    }
    let head = repository.head()?.ok_or(workspace::Error::Unborn)?;
    let review = repository.review(held, head)?;
    let disagrees = |file: &&Reviewed| file.conflict.is_some();
    let conflicts = review.files.iter().filter(disagrees).map(|file| file.patch.path.to_string());
    let shown =
        |file: &Reviewed| FileDiff { conflict: file.conflict.is_some(), ..file_diff(&file.patch) };
    Ok(Shown {
        digest: digest(&record, &review),
        state,
        base: ours(review.base),
        head: ours(head),
        conflicts: conflicts.collect(),
        files: review.files.iter().map(shown).collect(),
        refused: refused(&review.refused),
        record,
    })
}

fn decided(
    repository: &Repository,
    record: ProposalRecord,
    state: ProposalState,
    held: workspace::CommitId,
) -> Result<Shown, workspace::Error> {
    let commit = repository.record(held)?;
    let base = commit.parents.first().copied().unwrap_or(held);
    let files = repository.patch(repository.tree_of(base)?, commit.tree)?;
    Ok(Shown {
        record,
        state,
        base: ours(base),
        head: ours(base),
        conflicts: vec![],
        files: file_diffs(&files),
        refused: vec![],
        digest: String::new(),
    })
}

fn refused(refusals: &Refusals) -> Vec<(String, String)> {
    let one = |it: &workspace::Refusal| (it.path.as_str().to_owned(), it.reason.word().to_owned());
    refusals.listed.iter().map(one).collect()
}

/// SHA-256, in hexadecimal, of what an approval is bound to: of each changed file its place, its
/// content and its mode before and afterwards, by name, and whether it is in conflict.
pub(super) fn digest(record: &ProposalRecord, review: &Review) -> String {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    add(&record.proposal.id.to_string());
    for file in &review.files {
        add(file.patch.path.as_str());
        add(file.patch.from.as_ref().map_or("", workspace::TreePath::as_str));
        file.entries().iter().for_each(|entry| add(&entry_text(*entry)));
        add(match file.conflict {
            None => "clean",
            Some(Conflict::Content) => "content",
            Some(Conflict::Place) => "place",
        });
    }
    hex(&hasher.finalize())
}

fn entry_text(entry: Option<FileEntry>) -> String {
    let Some(entry) = entry else { return "-".to_owned() };
    let mode = match entry.mode {
        FileMode::Plain => "plain",
        FileMode::Executable => "executable",
        FileMode::Link => "link",
        FileMode::Submodule => "submodule",
    };
    format!("{mode} {}", entry.blob)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}
