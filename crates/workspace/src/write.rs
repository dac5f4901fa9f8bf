//! Whole files that a person writes or deletes by hand, onto the newest commit: all of them or none. Never merges,
//! never overwrites what somebody else wrote meanwhile, never writes through a file or over a directory.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Attribution, BlobId, CommitId, Edit, Error, FileEntry, FileMode, Limits, Reason, Refusals,
    Repository, TreeId, TreePath,
    commit::{Move, commit_object},
    content::is_sound_attributes,
    git::{
        object::{Entry, Kind},
        pack::Stage,
        refs::MAIN,
    },
    policy::fold,
    tree::{self, Trees, file_entry},
};

/// One file to write or to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub path: TreePath,
    /// What stands there afterwards; nothing where absent.
    pub content: Option<Vec<u8>>,
}

/// What became of some writes. Except for `Done`, nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All of it stands in this commit, the newest one: a new one, or the one that had it already.
    Done(CommitId),
    /// Since the base, somebody changed these paths.
    Moved {
        /// The newest commit.
        head: CommitId,
        /// Which paths.
        paths: Vec<TreePath>,
    },
    /// There is nothing to delete.
    Absent(TreePath),
    /// A directory or a link stands there, or a file where a directory is needed.
    Occupied(TreePath),
    /// The policy does not let it in.
    Refused {
        /// Which path.
        path: TreePath,
        /// Which rule it breaks.
        reason: Reason,
    },
}

/// Onto a newer head once without the lock; then with it, so that nobody starves.
const ATTEMPTS: [bool; 2] = [false, true];

impl Repository {
    /// Makes `writes`, each of another path, the newest commit. `base` is the commit that the writer saw: a path that
    /// was changed since is not written; without it, whatever stands there is replaced.
    ///
    /// # Errors
    /// [`Error::NoCommit`] if `base` is not part of the folder's history.
    pub fn write(
        &self,
        base: Option<CommitId>,
        writes: &[Write],
        by: &Attribution,
    ) -> Result<Written, Error> {
        if let Some(refused) = check(writes) {
            return Ok(refused);
        }
        if let Some(base) = base
            && !self.is_in_history(base)?
        {
            return Err(Error::NoCommit { commit: base });
        }
        for locked in ATTEMPTS {
            let locked = if locked { Some(self.refs.lock()?) } else { None };
            let head = self.head()?.ok_or(Error::Unborn)?;
            let tree = self.tree_of(head)?;
            let seen = base.map(|base| self.tree_of(base)).transpose()?.unwrap_or(tree);
            let mut stage = self.stage();
            let edits = match self.edits([&seen, &tree], writes, &mut stage)? {
                Ok(edits) => edits,
                Err(Written::Moved { paths, .. }) => return Ok(Written::Moved { head, paths }),
                Err(refused) => return Ok(refused),
            };
            let after = tree::edit(&self.store, &mut stage, &tree, &edits)?;
            if after == tree {
                return Ok(Written::Done(head));
            }
            let parents = [*head.raw()];
            let commit = commit_object(&mut stage, &after, &parents, by, &Refusals::default())?;
            if self
                .publish(stage, Move { name: MAIN, from: Some(head), to: commit }, locked)?
                .is_moved()
            {
                return Ok(Written::Done(commit));
            }
        }
        Err(Error::Damaged { what: "ref moved under its lock", id: MAIN.to_owned() })
    }

    /// The steps that the writes are, each path checked against what the writer saw and what stands there now.
    fn edits(
        &self,
        [seen, now]: [&TreeId; 2],
        writes: &[Write],
        stage: &mut Stage,
    ) -> Result<Result<Vec<Edit>, Written>, Error> {
        let trees = self.trees();
        let known = self.store.known();
        let mut moved = Vec::new();
        let mut edits = Vec::new();
        for Write { path, content } in writes {
            let (before, stands) = (trees.at(seen, path)?, trees.at(now, path)?);
            let after = match content {
                Some(content) => {
                    let executable =
                        stands.map(file_entry).filter(|it| it.mode == FileMode::Executable);
                    let mode = executable.map_or(FileMode::Plain, |it| it.mode);
                    let id = crate::git::store::hash(Kind::Blob, content)?;
                    if !known.has(&id) {
                        stage.put_hashed(Kind::Blob, id, content)?;
                    }
                    Some(FileEntry { mode, blob: BlobId::new(id) })
                }
                None => None,
            };
            if before != stands && stands.map(file_entry) != after {
                moved.push(path.clone());
                continue;
            }
            match (&after, stands) {
                (None, None) => return Ok(Err(Written::Absent(path.clone()))),
                (None, Some(entry)) if entry.is_tree() => {
                    return Ok(Err(Written::Occupied(path.clone())));
                }
                (Some(_), Some(entry)) if !is_file(entry) => {
                    return Ok(Err(Written::Occupied(path.clone())));
                }
                (Some(_), None) => {
                    if let Some(refused) = beside(&trees, now, path)? {
                        return Ok(Err(refused));
                    }
                }
                _ => {}
            }
            edits.push(Edit { path: path.clone(), after });
        }
        if !moved.is_empty() {
            // The head is filled in by who knows it.
            let head = CommitId::new(*now.raw());
            return Ok(Err(Written::Moved { head, paths: moved }));
        }
        edits.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Ok(edits))
    }
}

fn is_file(entry: Entry) -> bool {
    !entry.is_tree() && matches!(file_entry(entry).mode, FileMode::Plain | FileMode::Executable)
}

/// Whether a new path can stand beside what is there: not below a file, and no twin of a name.
fn beside(trees: &Trees<'_>, tree: &TreeId, path: &TreePath) -> Result<Option<Written>, Error> {
    let mut directory = trees.read(tree.raw())?;
    for name in path.names() {
        match directory.get(name.as_bytes()) {
            Some(entry) if entry.is_tree() => directory = trees.read(&entry.id)?,
            Some(_) => return Ok(Some(Written::Occupied(path.clone()))),
            None => {
                let folded = fold(name);
                let twin =
                    directory.keys().any(|other| fold(&String::from_utf8_lossy(other)) == folded);
                let refused = || Written::Refused { path: path.clone(), reason: Reason::CaseTwin };
                return Ok(twin.then(refused));
            }
        }
    }
    Ok(None)
}

/// What can be said of the writes by themselves.
fn check(writes: &[Write]) -> Option<Written> {
    let limits = Limits::WORKSPACE;
    let refused = |path: &TreePath, reason| Some(Written::Refused { path: path.clone(), reason });
    let mut total = 0_u64;
    let mut names: HashMap<String, &str> = HashMap::new();
    let mut files: BTreeMap<&str, &TreePath> = BTreeMap::new();
    for (count, Write { path, content }) in writes.iter().enumerate() {
        if count >= limits.changes_max {
            return refused(path, Reason::TooMany);
        }
        let Some(content) = content else { continue };
        let bytes = content.len() as u64;
        total += bytes;
        if bytes > limits.file_bytes_max {
            return refused(path, Reason::TooLarge);
        }
        if total > limits.total_bytes_max {
            return refused(path, Reason::TotalTooLarge);
        }
        if path.name() == ".gitattributes" && !is_sound_attributes(content) {
            return refused(path, Reason::Attributes);
        }
        let text = path.as_str();
        for end in text.match_indices('/').map(|(at, _)| at).chain([text.len()]) {
            let above = &text[..end];
            if *names.entry(fold(above)).or_insert(above) != above {
                return refused(path, Reason::CaseTwin);
            }
        }
        files.insert(text, path);
    }
    // A file of these writes stands where another one of them needs a directory.
    for path in files.values() {
        let text = path.as_str();
        if text.match_indices('/').any(|(at, _)| files.contains_key(&text[..at])) {
            return Some(Written::Occupied((*path).clone()));
        }
    }
    None
}
