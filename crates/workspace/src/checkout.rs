//! Directories that hold what a commit holds, made once and shared, for sandboxes to mount read-only below their own
//! views. A cache: never durable, never the truth, never written to after it is made.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, linkat, openat},
    io::Errno,
};

use crate::{
    CommitId, Error, Repository, TreeId, git::pack::temp_path, path::Shown, point::Point,
    policy::check_contained, session::make_directory,
};

/// The checkouts of one repository.
#[derive(Debug)]
pub struct Checkouts {
    directory: PathBuf,
    making: Mutex<HashMap<CommitId, Arc<Mutex<()>>>>,
    used: Arc<Mutex<BTreeMap<CommitId, usize>>>,
}

/// A checkout that stays as long as this does.
#[derive(Debug)]
pub struct Checkout {
    commit: CommitId,
    path: PathBuf,
    used: Arc<Mutex<BTreeMap<CommitId, usize>>>,
}

impl Checkout {
    /// The commit it holds.
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// Where it is: files 0644 or 0755, directories 0755, links as committed, no `.git`. Nobody may write there.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let mut used = self.used.lock();
        if let Some(count) = used.get_mut(&self.commit) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.commit);
            }
        }
    }
}

impl Checkouts {
    /// Keeps checkouts in `directory`, which is made if need be. What was left there by an earlier boot of the
    /// machine is removed: it may be incomplete.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let failed = Error::io("open the checkouts");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        fs::create_dir_all(directory).map_err(&failed)?;
        let mark = directory.join("boot");
        if fs::read_to_string(&mark).ok().as_deref() != Some(boot.as_str()) || boot.is_empty() {
            fs::remove_dir_all(directory).map_err(&failed)?;
            fs::create_dir_all(directory).map_err(&failed)?;
            fs::write(&mark, &boot).map_err(&failed)?;
        }
        let directory = std::path::absolute(directory).map_err(&failed)?;
        Ok(Self { directory, making: Mutex::default(), used: Arc::default() })
    }

    /// A directory that holds what `commit` holds: the one that is there, or made now, from that of the commit's
    /// parent if there is one. Callers that ask for the same at once share one.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if the commit (somebody pushed it) holds a name that would lead out of the directory
    /// or make a repository in it.
    pub fn checkout(&self, repository: &Repository, commit: CommitId) -> Result<Checkout, Error> {
        let checkout = self.hold(commit);
        if checkout.path.exists() {
            return Ok(checkout);
        }
        let making = Arc::clone(self.making.lock().entry(commit).or_default());
        let made = {
            let _first = making.lock();
            if checkout.path.exists() {
                Ok(())
            } else {
                self.make(repository, commit, &checkout.path)
            }
        };
        self.making.lock().remove(&commit);
        made.map(|()| checkout)
    }

    /// Removes the checkouts that no [`Checkout`] holds, except `keep`: the heads worth keeping warm, and those which
    /// sandboxes adopted from an earlier process use. Returns how many it removed.
    pub fn collect(&self, keep: &[CommitId]) -> Result<usize, Error> {
        let failed = Error::io("collect the checkouts");
        let keep: HashSet<CommitId> = keep.iter().copied().collect();
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let name = entry.file_name();
            let Some(commit) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if keep.contains(&commit) {
                continue;
            }
            let doomed = temp_path(&self.directory);
            {
                // Held while it is renamed away, so that nobody is handed a path that is about to go.
                let used = self.used.lock();
                if used.contains_key(&commit) {
                    continue;
                }
                fs::rename(entry.path(), &doomed).map_err(&failed)?;
            }
            fs::remove_dir_all(&doomed).map_err(&failed)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Counts a user before the path is looked at: see `collect`.
    fn hold(&self, commit: CommitId) -> Checkout {
        *self.used.lock().entry(commit).or_default() += 1;
        let path = self.directory.join(commit.to_string());
        Checkout { commit, path, used: Arc::clone(&self.used) }
    }

    fn make(&self, repository: &Repository, commit: CommitId, path: &Path) -> Result<(), Error> {
        let temp = temp_path(&self.directory);
        let made = self.fill(repository, commit, &temp).and_then(|()| {
            repository.probe.reach(Point::CheckoutWritten);
            match fs::rename(&temp, path) {
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    fs::remove_dir_all(&temp).map_err(Error::io("remove a checkout"))
                }
                renamed => renamed.map_err(Error::io("name a checkout")),
            }
        });
        if made.is_err() && fs::remove_dir_all(&temp).is_err() {
            tracing::warn!("an unfinished checkout could not be removed");
        }
        made
    }

    fn fill(&self, repository: &Repository, commit: CommitId, temp: &Path) -> Result<(), Error> {
        let failed = |errno: Errno| Error::io("open a checkout")(errno.into());
        fs::create_dir(temp).map_err(Error::io("make a checkout"))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let into = openat(CWD, temp, flags, Mode::empty()).map_err(failed)?;
        let tree = repository.tree_of(commit)?;
        let (near, _held) = self.near(repository, commit)?;
        let near = near.as_ref().map(|(fd, tree)| (fd.as_fd(), tree));
        fill_directory(repository, into.as_fd(), &tree, near)
    }

    /// The checkout of the nearest ancestor that has one, to link unchanged files from.
    fn near(&self, repository: &Repository, commit: CommitId) -> Result<Near, Error> {
        for record in repository.log(commit, ANCESTORS_MAX)?.into_iter().skip(1) {
            let held = self.hold(record.commit);
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            if let Ok(directory) = openat(CWD, &held.path, flags, Mode::empty()) {
                return Ok((Some((directory, record.tree)), Some(held)));
            }
        }
        Ok((None, None))
    }
}

type Near = (Option<(OwnedFd, TreeId)>, Option<Checkout>);

/// How far back a checkout to link from is looked for.
const ANCESTORS_MAX: usize = 8;

/// Writes a tree into a fresh directory, linking files that stand the same in the checkout `near`.
fn fill_directory(
    repository: &Repository,
    into: BorrowedFd<'_>,
    tree: &TreeId,
    near: Option<(BorrowedFd<'_>, &TreeId)>,
) -> Result<(), Error> {
    let tree = repository.trees().read(tree.raw())?;
    let Some((from, near)) = near else { return repository.write_tree(into, &tree, None, 0) };
    let near = repository.trees().read(near.raw())?;
    for (name, entry) in &tree {
        check_contained(name)
            .map_err(|reason| Error::NotAllowed { path: Shown::new(name), reason })?;
        let twin = near.get(name).filter(|twin| twin.mode == entry.mode);
        if entry.is_tree() {
            let directory = make_directory(into, name, None)?;
            let below = twin.and_then(|twin| Some((open_below(from, name)?, TreeId::new(twin.id))));
            let below = below.as_ref().map(|(fd, tree)| (fd.as_fd(), tree));
            fill_directory(repository, directory.as_fd(), &TreeId::new(entry.id), below)?;
        } else if !twin.is_some_and(|twin| twin == entry && link(from, into, name)) {
            repository.write_file(into, name, entry, None)?;
        }
    }
    Ok(())
}

fn open_below(from: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(from, name, flags, Mode::empty()).ok()
}

/// Gives a file of another checkout a second name here; `false` if it has too many or the file system cannot.
fn link(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &[u8]) -> bool {
    linkat(from, name, into, name, AtFlags::empty()).is_ok()
}
