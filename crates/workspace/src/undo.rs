//! Takes a commit back by a new one. Never rewrites history, never undoes what others did since.

use crate::{
    Attribution, CommitId, Error, Held, Refusals, Repository, TreeId,
    commit::{Move, Moving, commit_object},
    git::refs::MAIN,
    merge::{Sides, merge},
    tree::{self, EMPTY_TREE},
};

/// What became of taking a commit back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// It is undone in this commit, the newest one: a new one, or the one in which nothing of it was left.
    Done(CommitId),
    /// Some paths were changed since in a way that does not fit. The folder is as it was; what would take the commit
    /// back is held beside it, for somebody to decide.
    Held {
        /// The newest commit.
        head: CommitId,
        /// What is held, with the paths.
        held: Held,
    },
}

impl Repository {
    /// Makes a commit that undoes what `commit` changed against its first parent; what was done since stays. Where that
    /// does not fit, it is held as `refs/remit/held/<hold_as>`.
    ///
    /// # Errors
    /// [`Error::NoCommit`] if it is not part of the folder's history.
    pub fn undo(&self, commit: CommitId, by: &Attribution, hold_as: &str) -> Result<Undone, Error> {
        if !self.is_in_history(commit)? {
            return Err(Error::NoCommit { commit });
        }
        let undone = self.commit_of(commit)?;
        let after = TreeId::new(undone.tree);
        let before = match undone.parents.first() {
            Some(parent) => self.tree_of(CommitId::new(*parent))?,
            None => TreeId::new(EMPTY_TREE),
        };
        for locked in [false, true] {
            let locked = if locked { Some(self.refs.lock()?) } else { None };
            let head = self.head()?.ok_or(Error::Unborn)?;
            let now = self.tree_of(head)?;
            let mut stage = self.stage();
            let sides = Sides { origin: after, ours: before, theirs: now };
            let merged = merge(&self.store, &mut stage, sides)?;
            if !merged.conflicts.is_empty() {
                drop(locked);
                let (seen, ours, refusals) = (after, before, Refusals::default());
                let moving =
                    Moving { repository: self, seen, ours, checkout: commit, by, refusals };
                let held = moving.suggest(self.stage(), hold_as)?;
                return Ok(Undone::Held { head, held });
            }
            let tree = tree::edit(&self.store, &mut stage, &now, &merged.edits)?;
            if tree == now {
                return Ok(Undone::Done(head));
            }
            let parents = [*head.raw()];
            let made = commit_object(&mut stage, &tree, &parents, by, &Refusals::default())?;
            if self
                .publish(stage, Move { name: MAIN, from: Some(head), to: made }, locked)?
                .is_moved()
            {
                return Ok(Undone::Done(made));
            }
        }
        Err(Error::Damaged { what: "ref moved under its lock", id: MAIN.to_owned() })
    }
}
