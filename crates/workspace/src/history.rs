//! What was committed when, by whom, and what it changed. Reads only.

use crate::{
    Changed, CommitId, Error, Repository, Signature, Trailer, TreeId, TreePath, id::Oid, trailer,
    tree::EMPTY_TREE,
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
    /// The message's last paragraph if all of it is trailers; none of a foreign commit.
    pub trailers: Vec<Trailer>,
    /// Whether it came from outside and speaks as the platform does: then that is nobody's word here.
    pub foreign: bool,
}

/// A stretch of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The commits, newest first.
    pub records: Vec<Record>,
    /// The last commit that was looked at, if there is more before it.
    pub next: Option<CommitId>,
}

/// Commits that one call looks through at most for those that touch a path.
const LOOKED_AT_MAX: usize = 20_000;

impl Repository {
    /// Whether the folder's newest commit is made on `commit`, or is it. What else lies in the repository (sessions,
    /// held change-sets of others) is no part of the folder. Takes time in proportion to what is asked for the first
    /// time since the folder moved on.
    pub fn is_in_history(&self, commit: CommitId) -> Result<bool, Error> {
        let Some(head) = self.head()? else { return Ok(false) };
        // What is not there at all is no part of it: nobody need walk for that.
        if self.store.size(commit.raw())?.is_none() {
            return Ok(false);
        }
        let parents = |of: &Oid| Ok(self.commit_of(CommitId::new(*of))?.parents);
        self.reach.lock().holds(*head.raw(), *commit.raw(), parents)
    }

    /// The history from `commit` on backwards, along first parents: at most `count` commits, and only those that
    /// changed what stands at `path` (a file or a directory) where one is given.
    pub fn history(
        &self,
        commit: CommitId,
        path: Option<&TreePath>,
        count: usize,
    ) -> Result<History, Error> {
        let (mut records, mut next, mut last) = (Vec::new(), Some(commit), None);
        for _ in 0..LOOKED_AT_MAX {
            let Some(commit) = next.filter(|_| records.len() < count) else { break };
            let record = self.record(commit)?;
            (next, last) = (record.parents.first().copied(), Some(commit));
            if path.map_or(Ok(true), |path| self.touches(&record, path))? {
                records.push(record);
            }
        }
        Ok(History { records, next: last.filter(|_| next.is_some()) })
    }

    fn touches(&self, record: &Record, path: &TreePath) -> Result<bool, Error> {
        let before = match record.parents.first() {
            Some(parent) => self.tree_of(*parent)?,
            None => TreeId::new(EMPTY_TREE),
        };
        let trees = self.trees();
        Ok(before != record.tree && trees.at(&before, path)? != trees.at(&record.tree, path)?)
    }

    /// One commit.
    ///
    /// # Errors
    /// [`Error::NoCommit`].
    pub fn record(&self, commit: CommitId) -> Result<Record, Error> {
        let found = self.commit_of(commit)?;
        let (subject, mut trailers) = trailer::split(&found.message);
        let foreign = self.is_foreign(commit)?;
        trailers.retain(|_| !foreign);
        Ok(Record {
            commit,
            tree: TreeId::new(found.tree),
            parents: found.parents.into_iter().map(CommitId::new).collect(),
            author: Signature::parse(&found.author),
            committer: Signature::parse(&found.committer),
            subject,
            message: found.message,
            trailers,
            foreign,
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
