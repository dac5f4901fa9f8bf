//! What was committed when, by whom, and what it changed. Reads only.

use crate::{
    Changed, CommitId, Error, Repository, Signature, Trailer, TreeId, trailer, tree::EMPTY_TREE,
};

/// A commit as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub commit: CommitId,
    /// The content it stands for.
    pub tree: TreeId,
    /// The commits it was made on; the first one is the folder's state before.
    pub parents: Vec<CommitId>,
    /// The person for whom it was made.
    pub author: Signature,
    /// Who made it.
    pub committer: Signature,
    /// The first line of the message.
    pub subject: String,
    /// The whole message.
    pub message: String,
    /// The message's last paragraph if all of it is trailers.
    pub trailers: Vec<Trailer>,
}

impl Repository {
    /// One commit.
    ///
    /// # Errors
    /// [`Error::NoCommit`].
    pub fn record(&self, commit: CommitId) -> Result<Record, Error> {
        let found = self.commit_of(commit)?;
        let (subject, trailers) = trailer::split(&found.message);
        Ok(Record {
            commit,
            tree: TreeId::new(found.tree),
            parents: found.parents.into_iter().map(CommitId::new).collect(),
            author: Signature::parse(&found.author),
            committer: Signature::parse(&found.committer),
            subject,
            message: found.message,
            trailers,
        })
    }

    /// `commit` and what came before it along first parents, newest first; at most `count`.
    pub fn log(&self, commit: CommitId, count: usize) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut next = Some(commit);
        while let Some(commit) = next.filter(|_| records.len() < count) {
            let record = self.record(commit)?;
            next = record.parents.first().copied();
            records.push(record);
        }
        Ok(records)
    }

    /// What a commit changed against its first parent; of the first commit: everything it holds.
    pub fn diff(&self, commit: CommitId) -> Result<Vec<Changed>, Error> {
        let record = self.commit_of(commit)?;
        let before = match record.parents.first() {
            Some(parent) => self.tree_of(CommitId::new(*parent))?,
            None => TreeId::new(EMPTY_TREE),
        };
        self.changes(before, TreeId::new(record.tree))
    }

    /// What differs between two states of the folder.
    pub fn changes(&self, before: TreeId, after: TreeId) -> Result<Vec<Changed>, Error> {
        self.trees().changes(&before, &after)
    }
}
