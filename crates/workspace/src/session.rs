//! An agent's session folder, kept per session on a ref of its own, so that a fresh sandbox goes on where the last
//! one ended. Restores only beneath the directory it is given.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fchown, mkdirat, openat, symlinkat};

use crate::{
    Attribution, Changed, CommitId, Error, FileMode, Limits, Reason, Refusals, Repository, Root,
    StatCache, TreeId,
    commit::{Move, commit_object},
    git::{
        object::{Entry, Kind, Tree},
        refs::is_plain_name,
    },
    path::Shown,
    policy::check_contained,
    tree::{self, EMPTY_TREE, Trees},
    walk::{Folder, Source},
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

/// Directories inside each other that are restored; saving takes fewer.
const DEPTH_MAX: usize = 128;

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
            let folder = Folder { root, source: Source::Plain };
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
            if self.publish(stage, Move { name: &name, from: parent, to: commit }, None)? {
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
        self.write_tree(into, &tree, Some(owner), 0)?;
        Ok(Some(commit))
    }

    /// Writes a tree into a directory that holds none of its names.
    pub(crate) fn write_tree(
        &self,
        into: BorrowedFd<'_>,
        tree: &Tree,
        owner: Option<Owner>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Damaged { what: "bottomless tree", id: String::new() });
        }
        for (name, entry) in tree {
            check_contained(name)
                .map_err(|reason| Error::NotAllowed { path: Shown::new(name), reason })?;
            if entry.is_tree() {
                let directory = make_directory(into, name, owner)?;
                self.write_tree(
                    directory.as_fd(),
                    &self.trees().read(&entry.id)?,
                    owner,
                    depth + 1,
                )?;
            } else {
                self.write_file(into, name, entry, owner)?;
            }
        }
        Ok(())
    }

    pub(crate) fn write_file(
        &self,
        into: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        owner: Option<Owner>,
    ) -> Result<(), Error> {
        let failed = |errno: rustix::io::Errno| Error::io("write a checkout")(errno.into());
        let file = tree::file_entry(*entry);
        let mode = match file.mode {
            // git, too, makes an empty directory of these.
            FileMode::Submodule => return make_directory(into, name, owner).map(drop),
            FileMode::Link => {
                let target = self.store.get(Kind::Blob, &entry.id)?;
                symlinkat(target.as_slice(), into, name).map_err(failed)?;
                if let Some((uid, gid)) = ids(owner) {
                    chownat(into, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                }
                return Ok(());
            }
            FileMode::Executable => 0o755,
            FileMode::Plain => 0o644,
        };
        let content = self.store.get(Kind::Blob, &entry.id)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(into, name, flags, Mode::from_raw_mode(mode)).map_err(failed)?;
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let written =
                rustix::io::retry_on_intr(|| rustix::io::write(&file, rest)).map_err(failed)?;
            rest = &rest[written..];
        }
        if let Some((uid, gid)) = ids(owner) {
            fchown(&file, uid, gid).map_err(failed)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)
    }
}

/// Makes a directory and opens it, whatever is done to its name meanwhile.
pub(crate) fn make_directory(
    into: BorrowedFd<'_>,
    name: &[u8],
    owner: Option<Owner>,
) -> Result<std::os::fd::OwnedFd, Error> {
    let failed = |errno: rustix::io::Errno| Error::io("make a directory")(errno.into());
    mkdirat(into, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = openat(into, name, flags, Mode::empty()).map_err(failed)?;
    if let Some((uid, gid)) = ids(owner) {
        fchown(&directory, uid, gid).map_err(failed)?;
    }
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755)).map_err(failed)?;
    Ok(directory)
}

fn ids(owner: Option<Owner>) -> Option<(Option<Uid>, Option<Gid>)> {
    owner.map(|Owner { uid, gid }| (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

fn session_ref(session: &str) -> Result<String, Error> {
    if !is_plain_name(session) {
        let path = Shown::new(session.as_bytes());
        return Err(Error::NotAllowed { path, reason: Reason::ControlCharacter });
    }
    Ok(format!("refs/remit/sessions/{session}"))
}
