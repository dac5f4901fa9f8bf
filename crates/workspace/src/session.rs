//! An agent's session folder, kept per session on a ref of its own, so that a fresh sandbox goes on where the last
//! one ended. Restores only beneath the directory it is given.

use std::os::fd::BorrowedFd;

use crate::{
    Attribution, Changed, CommitId, Error, Limits, Reason, Refusals, Repository, Root, StatCache,
    TreeId,
    commit::{Move, commit_object},
    fill::{To, write_tree},
    git::refs::is_plain_name,
    path::Shown,
    tree::{self, EMPTY_TREE, Trees},
    walk::{Folder, Ignore, Source},
};

/// What saving a session did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The session's newest commit, durable. `None` if the folder is empty and nothing was ever saved.
    pub commit: Option<CommitId>,
    /// What changed since the last save.
    pub changed: Vec<Changed>,
    /// What was left out.
    pub refusals: Refusals,
}

/// Who shall own restored files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id, as the host counts.
    pub uid: u32,
    /// Group id, as the host counts.
    pub gid: u32,
}

impl Repository {
    /// Commits the session folder `root` to the ref of `session` (letters, digits, `_`, `-`, `.`). Files that `cache`
    /// knows are not read again: keep one per session.
    ///
    /// The folder's branch is not touched. Two saves of one session at once: the later one wins, both are kept in
    /// its history.
    pub fn save_session(
        &self,
        session: &str,
        root: &Root,
        cache: &mut StatCache,
        by: &Attribution,
    ) -> Result<Saved, Error> {
        let name = session_ref(session)?;
        loop {
            let parent = self.refs.get(&name)?.map(CommitId::new);
            let origin = match parent {
                Some(parent) => self.tree_of(parent)?,
                None => TreeId::new(EMPTY_TREE),
            };
            let folder = Folder { root, source: Source::Plain, ignore: Ignore::Nothing };
            let delta = self.delta_from(origin, folder, &Limits::SESSION, cache)?;
            let (mut stage, refusals) = (delta.stage, delta.refusals);
            let tree = tree::edit(&self.store, &mut stage, &origin, &delta.edits)?;
            if tree == origin {
                return Ok(Saved { commit: parent, changed: Vec::new(), refusals });
            }
            let changed =
                Trees { store: &self.store, stage: Some(&stage) }.changes(&origin, &tree)?;
            let parents: Vec<_> = parent.iter().map(|parent| *parent.raw()).collect();
            let commit = commit_object(&mut stage, &tree, &parents, by, &refusals)?;
            let step = Move { name: &name, from: parent, to: commit };
            if self.publish(stage, step, None)?.is_moved() {
                return Ok(Saved { commit: Some(commit), changed, refusals });
            }
        }
    }

    /// The newest saved state of a session.
    pub fn session(&self, session: &str) -> Result<Option<CommitId>, Error> {
        Ok(self.refs.get(&session_ref(session)?)?.map(CommitId::new))
    }

    /// Writes the newest saved state of a session into an empty directory, owned by `owner`, and returns which it
    /// was; `None`, and nothing written, if there is none. Does not sync.
    ///
    /// # Errors
    /// [`Error::Damaged`] if what is saved cannot be read; [`Error::NotAllowed`] if it holds a name that no folder
    /// may have; both before anything runs on it. The directory may then hold a part.
    pub fn restore_session(
        &self,
        session: &str,
        into: BorrowedFd<'_>,
        owner: Owner,
    ) -> Result<Option<CommitId>, Error> {
        let Some(commit) = self.session(session)? else { return Ok(None) };
        let tree = self.trees().read(self.tree_of(commit)?.raw())?;
        write_tree(self, into, &tree, To { owner: Some(owner), depth: 0 })?;
        Ok(Some(commit))
    }
}

fn session_ref(session: &str) -> Result<String, Error> {
    if !is_plain_name(session) {
        let path = Shown::new(session.as_bytes());
        return Err(Error::NotAllowed { path, reason: Reason::ControlCharacter });
    }
    Ok(format!("refs/remit/sessions/{session}"))
}
