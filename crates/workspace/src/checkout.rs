//! Directories that hold what a commit holds, made once and shared, for sandboxes to mount read-only below their own
//! views. A cache: never durable, never the truth, never written to after it is made.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use crate::{
    Changed, CommitId, Error, Repository, TreeId,
    fill::{advance, fill, plan},
    git::pack::temp_path,
    point::Point,
    repository::remove_unfinished,
};

/// The checkouts of one repository.
#[derive(Debug)]
pub struct Checkouts {
    directory: PathBuf,
    making: Mutex<HashMap<CommitId, Arc<Mutex<()>>>>,
    used: Arc<Mutex<BTreeMap<CommitId, usize>>>,
    /// Those that are there and made by this process.
    made: Mutex<HashSet<CommitId>>,
}

/// A checkout that stays as it is for as long as this is held; afterwards its directory may be removed or become
/// that of a later commit at any time.
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
    /// machine is removed: it may be incomplete. Only one at a time may open a directory.
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
        remove_unfinished(directory);
        let directory = std::path::absolute(directory).map_err(&failed)?;
        Ok(Self {
            directory,
            making: Mutex::default(),
            used: Arc::default(),
            made: Mutex::default(),
        })
    }

    /// A directory that holds what `commit` holds: the one that is there, or made now. If a near ancestor of the commit
    /// has a checkout that nobody uses, that one is changed, in time proportional to the difference; if it is used,
    /// unchanged files get a second name. Callers that ask for the same at once share one.
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
                self.made.lock().remove(&commit);
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
        let made = self.write(repository, commit, &temp).and_then(|()| {
            repository.probe.reach(Point::CheckoutWritten);
            match fs::rename(&temp, path) {
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    fs::remove_dir_all(&temp).map_err(Error::io("remove a checkout"))
                }
                renamed => renamed.map_err(Error::io("name a checkout")),
            }
        });
        match made {
            Ok(()) => _ = self.made.lock().insert(commit),
            Err(_) => remove(&temp),
        }
        made
    }

    /// Writes the checkout under its temporary name, in the cheapest way there is.
    fn write(&self, repository: &Repository, commit: CommitId, temp: &Path) -> Result<(), Error> {
        let tree = repository.tree_of(commit)?;
        if let Some(changes) = self.take_over(repository, commit, temp)? {
            match advance(repository, temp, &changes) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(%commit, %error, "a checkout is made anew");
                    remove(temp);
                }
            }
        }
        fs::create_dir(temp).map_err(Error::io("make a checkout"))?;
        let into =
            open_directory(temp).map_err(|errno| Error::io("open a checkout")(errno.into()))?;
        let (near, _held) = self.near(repository, commit)?;
        let near = near.as_ref().map(|(fd, tree)| (fd.as_fd(), tree));
        fill(repository, into.as_fd(), &tree, near)
    }

    /// Moves the checkout of the nearest ancestor to `temp` if nobody uses it, and says what to change in it.
    fn take_over(
        &self,
        repository: &Repository,
        commit: CommitId,
        temp: &Path,
    ) -> Result<Option<Vec<Changed>>, Error> {
        let ancestors = repository.log(commit, ANCESTORS_MAX)?.into_iter().skip(1);
        let path = |commit: CommitId| self.directory.join(commit.to_string());
        let Some(nearest) = ancestors.into_iter().find(|record| path(record.commit).exists())
        else {
            return Ok(None);
        };
        let Some(changes) = plan(repository, nearest.tree, repository.tree_of(commit)?)? else {
            return Ok(None);
        };
        // Held while it is renamed away, as in `collect`.
        let used = self.used.lock();
        // One that an earlier process made may be below a sandbox that it left running.
        let free = !used.contains_key(&nearest.commit) && self.made.lock().remove(&nearest.commit);
        let taken = free && fs::rename(path(nearest.commit), temp).is_ok();
        Ok(taken.then_some(changes))
    }

    /// The checkout of the nearest ancestor that has one, to link unchanged files from.
    fn near(&self, repository: &Repository, commit: CommitId) -> Result<Near, Error> {
        for record in repository.log(commit, ANCESTORS_MAX)?.into_iter().skip(1) {
            let held = self.hold(record.commit);
            if let Ok(directory) = open_directory(&held.path) {
                return Ok((Some((directory, record.tree)), Some(held)));
            }
        }
        Ok((None, None))
    }
}

type Near = (Option<(OwnedFd, TreeId)>, Option<Checkout>);

/// How far back a checkout to begin with is looked for.
const ANCESTORS_MAX: usize = 8;

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Removes what was not finished. What cannot be removed now is removed when the checkouts are opened again.
fn remove(temp: &Path) {
    if temp.exists() && fs::remove_dir_all(temp).is_err() {
        tracing::warn!("an unfinished checkout could not be removed");
    }
}
