//! A bare repository in the server's own directory, and what can be read from it. Only we write it; nothing of the
//! user's or the system's git configuration is honoured, and no program is run.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    Attribution, BlobId, CommitId, Edit, Error, FileEntry, FileMode, Refusals, TreeId, TreePath,
    commit::commit_object,
    foreign::Foreign,
    git::{
        object::{Commit, Kind, parse_commit},
        pack::{Packed, Stage, TEMP_PREFIX, sync_directory, temp_file, temp_path},
        refs::{MAIN, Refs},
        repack,
        store::Store,
        vault::Vault,
    },
    point::Probe,
    reach::Reach,
    tree::{self, EMPTY_TREE, Trees, file_entry},
};

/// A git folder as trusted code sees it: commits, never a work tree. Any number of threads may use it, and any
/// number of processes the same path.
#[derive(Debug)]
pub struct Repository {
    pub(crate) path: PathBuf,
    pub(crate) store: Store,
    pub(crate) refs: Refs,
    /// Where it is kept at rest, if it is not kept where it is.
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) probe: Probe,
    /// Packs that may be there, counted since the last merge.
    packs: AtomicUsize,
    /// What the folder's history is known to hold.
    pub(crate) reach: Mutex<Reach>,
    /// What others vouch for in it.
    pub(crate) foreign: Mutex<Foreign>,
}

/// A git that opens the repository by its path shall do as little as possible by itself.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n\
    \thooksPath = /dev/null\n\tfsmonitor = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
    [receive]\n\tdenyCurrentBranch = refuse\n\tfsckObjects = true\n";

/// A file that a new repository begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Where it stands.
    pub path: TreePath,
    /// Its content.
    pub content: Vec<u8>,
}

impl Repository {
    /// Makes a repository at `path` whose first commit, on `main`, holds `seeds`. It is there whole or not at all,
    /// also after a power cut.
    ///
    /// # Errors
    /// [`Error::Exists`] if anything is at `path`.
    pub fn init(path: &Path, seeds: &[Seed], by: &Attribution) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.to_owned() });
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        let unfinished = Unfinished::first_commit(parent, seeds, by)?;
        match fs::rename(&unfinished.0, path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                return Err(Error::Exists { path: path.to_owned() });
            }
            renamed => renamed.map_err(Error::io("name a repository"))?,
        }
        sync_directory(parent)?;
        Self::open(path)
    }

    /// Opens the repository at `path` and removes what a crash left unfinished in it.
    ///
    /// # Errors
    /// [`Error::NotARepository`]; [`Error::Damaged`] if it borrows objects of another repository, which none of ours
    /// does.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, None)
    }

    pub(crate) fn open_with(path: &Path, vault: Option<Arc<Vault>>) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find a repository"))?;
        if !path.join("HEAD").is_file() || !path.join("objects/pack").is_dir() {
            return Err(Error::NotARepository { path });
        }
        let alternates = path.join("objects/info/alternates");
        if alternates.symlink_metadata().is_ok() {
            return Err(Error::Damaged {
                what: "objects of another repository",
                id: String::new(),
            });
        }
        remove_unfinished(&path);
        remove_unfinished(&path.join("objects/pack"));
        let store = Store::open(&path.join("objects"))?;
        let refs = Refs::new(&path, vault.clone(), Probe::default());
        match refs.recover() {
            Err(Error::ReadOnly { .. }) => {
                tracing::warn!("moves of a read-only repository were not recovered");
            }
            recovered => recovered?,
        }
        let packs = AtomicUsize::new(repack::count(&path.join("objects"))?);
        let (probe, reach, foreign) = Default::default();
        Ok(Self { path, store, refs, vault, probe, packs, reach, foreign })
    }

    /// Calls `probe` at every named point of the commits to come. For tests of crash safety.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.refs = Refs::new(&self.path, self.vault.clone(), probe.clone());
        self.probe = probe;
        self
    }

    /// Where it is: what `git clone` takes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest commit of the folder; `None` if there is none yet.
    pub fn head(&self) -> Result<Option<CommitId>, Error> {
        Ok(self.refs.get(MAIN)?.map(CommitId::new))
    }

    /// The content of a commit, by name.
    pub fn tree_of(&self, commit: CommitId) -> Result<TreeId, Error> {
        Ok(TreeId::new(self.commit_of(commit)?.tree))
    }

    /// The file at `path` in a commit and what it holds (of a link: its target; of a submodule: nothing). `None` if
    /// there is no file.
    pub fn read(
        &self,
        commit: CommitId,
        path: &TreePath,
    ) -> Result<Option<(FileEntry, Vec<u8>)>, Error> {
        let entry = self.trees().at(&self.tree_of(commit)?, path)?;
        let Some(file) = entry.filter(|entry| !entry.is_tree()).map(file_entry) else {
            return Ok(None);
        };
        let content = match file.mode {
            FileMode::Submodule => Vec::new(),
            FileMode::Plain | FileMode::Executable | FileMode::Link => self.blob(file.blob)?,
        };
        Ok(Some((file, content)))
    }

    /// The content of a file by its name in the object database.
    pub fn blob(&self, blob: BlobId) -> Result<Vec<u8>, Error> {
        self.store.get(Kind::Blob, blob.raw())
    }

    /// How many bytes a file has; a submodule, and what is not there, has none.
    pub fn size(&self, file: &FileEntry) -> Result<u64, Error> {
        Ok(self.store.size(file.blob.raw())?.unwrap_or(0) as u64)
    }

    /// [`blob`](Self::blob) of a file of at most `bytes_max` bytes; `None`, without reading it, of a larger one.
    pub fn blob_up_to(&self, blob: BlobId, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.store.size(blob.raw())? {
            Some(bytes) if bytes > bytes_max => Ok(None),
            _ => self.blob(blob).map(Some),
        }
    }

    /// All files of a commit, in the order of [`TreePath`].
    pub fn tree(&self, commit: CommitId) -> Result<Vec<(TreePath, FileEntry)>, Error> {
        let tree = self.tree_of(commit)?;
        let changes = self.trees().changes(&TreeId::new(EMPTY_TREE), &tree)?;
        let files = changes.into_iter().filter_map(|changed| Some((changed.path, changed.after?)));
        Ok(files.collect())
    }

    /// Merges the packs of single commits if there are many; returns how many it merged. Commits do this by
    /// themselves, each fiftieth or so; who calls it between them spares one of them the time.
    pub fn maintain(&self) -> Result<usize, Error> {
        self.packs.store(0, Ordering::Relaxed);
        if repack::count(&self.objects())? <= repack::PACKS_MAX {
            return Ok(0);
        }
        // Once before the lock, so that little is left to sync while others wait for it.
        self.refs.sync_files()?;
        let locked = self.refs.lock()?;
        let merged = repack::merge_small(&self.objects(), &self.probe)?;
        locked.settle()?;
        Ok(merged)
    }

    /// Notes that there is one pack more.
    pub(crate) fn packed(&self) {
        if self.packs.fetch_add(1, Ordering::Relaxed) < repack::PACKS_MAX {
            return;
        }
        if let Err(error) = self.maintain() {
            tracing::warn!(%error, "packs could not be merged");
        }
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::new(&self.objects())
    }

    pub(crate) fn trees(&self) -> Trees<'_> {
        Trees { store: &self.store, stage: None }
    }

    pub(crate) fn commit_of(&self, commit: CommitId) -> Result<Commit, Error> {
        let raw = self.store.find(Kind::Commit, commit.raw())?.ok_or(Error::NoCommit { commit })?;
        parse_commit(&raw, commit.raw())
    }

    fn first_commit(&self, seeds: &[Seed], by: &Attribution) -> Result<(), Error> {
        let mut stage = self.stage();
        let mut edits = Vec::new();
        for seed in seeds {
            let blob = BlobId::new(stage.put(Kind::Blob, &seed.content)?);
            let after = Some(FileEntry { mode: FileMode::Plain, blob });
            edits.push(Edit { path: seed.path.clone(), after });
        }
        edits.sort_by(|one, other| one.path.cmp(&other.path));
        let tree = tree::edit(&self.store, &mut stage, &TreeId::new(EMPTY_TREE), &edits)?;
        let commit = commit_object(&mut stage, &tree, &[], by, &Refusals::default())?;
        let packed = stage.finish()?;
        let synced = || packed.as_ref().map_or(Ok(()), Packed::sync);
        self.refs.lock()?.begin(MAIN, commit.raw(), synced)
    }
}

/// Directories of an empty repository, outer before inner.
const DIRECTORIES: [&str; 9] = [
    "",
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
    "refs/remit",
    "refs/remit/sessions",
];

pub(crate) fn lay_out(path: &Path) -> Result<(), Error> {
    for directory in DIRECTORIES {
        fs::create_dir(path.join(directory)).map_err(Error::io("make a repository"))?;
    }
    for (name, content) in [("HEAD", format!("ref: {MAIN}\n")), ("config", CONFIG.to_owned())] {
        let (mut file, temp) = temp_file(path)?;
        file.write_all(content.as_bytes()).map_err(Error::io("make a repository"))?;
        file.sync_all().map_err(Error::sync("a repository"))?;
        temp.rename(&path.join(name))?;
    }
    DIRECTORIES.iter().rev().try_for_each(|directory| sync_directory(&path.join(directory)))
}

/// A repository in the making, gone again unless it got its name.
pub(crate) struct Unfinished(pub(crate) PathBuf);

impl Unfinished {
    /// One that is whole but for its name, in `parent`.
    pub(crate) fn first_commit(
        parent: &Path,
        seeds: &[Seed],
        by: &Attribution,
    ) -> Result<Self, Error> {
        remove_unfinished(parent);
        let unfinished = Self(temp_path(parent));
        lay_out(&unfinished.0)?;
        Repository::open(&unfinished.0)?.first_commit(seeds, by)?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.exists() && fs::remove_dir_all(&self.0).is_err() {
            tracing::warn!("an unfinished repository could not be removed");
        }
    }
}

/// Removes files and directories that processes which are gone left behind. What cannot be removed does no harm.
pub(crate) fn remove_unfinished(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(TEMP_PREFIX));
        let owner = owner.and_then(|rest| rest.split('_').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let remove = if is_directory { fs::remove_dir_all } else { fs::remove_file };
            remove(entry.path()).ok();
        }
    }
}
