//! Commits that came from outside and speak as the platform does: another server made them, or somebody who poses as
//! one. They are kept as they are, and nothing that they say about themselves is believed here.
//!
//! The list is a file in a commit of its own, on a ref that is given to nobody.

use std::{collections::HashSet, sync::Arc};

use crate::{
    Attribution, BlobId, CommitId, Edit, Error, FileEntry, FileMode, Refusals, Repository, TreeId,
    TreePath,
    commit::{Move, commit_object},
    git::object::Kind,
    id::{Oid, from_hex, to_hex},
    tree::{self, EMPTY_TREE},
};

/// The ref of the list.
const FOREIGN: &str = "refs/remit/foreign";

/// The file that is the list: a name of a commit a line, sorted.
const LIST: &str = "commits";

/// The list as it was read last.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    at: Option<Oid>,
    ids: Arc<HashSet<Oid>>,
}

impl Repository {
    /// Whether what a commit says about itself is nobody's word.
    pub(crate) fn is_foreign(&self, commit: CommitId) -> Result<bool, Error> {
        Ok(self.foreign()?.contains(commit.raw()))
    }

    fn foreign(&self) -> Result<Arc<HashSet<Oid>>, Error> {
        let Some(at) = self.refs.get(FOREIGN)? else { return Ok(Arc::default()) };
        let mut foreign = self.foreign.lock();
        if foreign.at != Some(at) {
            let ids = Arc::new(self.foreign_at(CommitId::new(at))?);
            *foreign = Foreign { at: Some(at), ids };
        }
        Ok(foreign.ids.clone())
    }

    fn foreign_at(&self, commit: CommitId) -> Result<HashSet<Oid>, Error> {
        let list = self.read(commit, &list())?.map(|(_, list)| list).unwrap_or_default();
        let damaged = || Error::damaged("malformed list of foreign commits", commit.raw());
        let lines = list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| from_hex(line).ok_or_else(damaged)).collect()
    }

    /// Notes commits that are about to come in, durably.
    pub(crate) fn note_foreign(&self, ids: &[CommitId], by: &Attribution) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let locked = self.refs.lock()?;
        let from = self.refs.get(FOREIGN)?.map(CommitId::new);
        let mut all = from.map(|from| self.foreign_at(from)).transpose()?.unwrap_or_default();
        all.extend(ids.iter().map(|id| *id.raw()));
        let mut lines: Vec<String> = all.iter().map(|id| to_hex(id) + "\n").collect();
        lines.sort_unstable();
        let mut stage = self.stage();
        let blob = BlobId::new(stage.put(Kind::Blob, lines.concat().as_bytes())?);
        let after = Some(FileEntry { mode: FileMode::Plain, blob });
        let edits = [Edit { path: list(), after }];
        let tree = tree::edit(&self.store, &mut stage, &TreeId::new(EMPTY_TREE), &edits)?;
        let parents: Vec<Oid> = from.iter().map(|from| *from.raw()).collect();
        let commit = commit_object(&mut stage, &tree, &parents, by, &Refusals::default())?;
        let step = Move { name: FOREIGN, from, to: commit };
        if self.publish(stage, step, Some(locked))?.is_moved() {
            return Ok(());
        }
        Err(Error::Damaged { what: "ref moved under its lock", id: FOREIGN.to_owned() })
    }
}

fn list() -> TreePath {
    TreePath::from_checked(LIST.to_owned())
}
