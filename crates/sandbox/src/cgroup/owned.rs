//! Whose the folders of control groups are. A launcher holds a lock on each of its own, which the
//! kernel takes from the dead; nobody removes a folder whose lock he cannot have.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
#[expect(
    clippy::disallowed_types,
    reason = "poisoning is harmless here and parking_lot is a dependency"
)]
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::fs::{FlockOperation, flock};

use super::{DEADLINE, make, subfolders, until};
use crate::Error;

/// The locks a launcher holds.
#[derive(Debug, Default)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(super) struct Owned(Mutex<Vec<File>>);

impl Owned {
    /// Makes folders where they are not there, and holds them from now on.
    pub(super) fn take(&self, folders: impl Iterator<Item = PathBuf>) -> Result<(), Error> {
        let taken = folders.map(|folder| take(&folder)).collect::<Result<_, _>>()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(())
    }
}

/// Another launcher of our name may hold it too, and one that sweeps may hold it for a moment and
/// take the folder with it.
fn take(folder: &Path) -> Result<File, Error> {
    let taken = until(DEADLINE, || {
        let held = make(folder).and_then(|()| {
            let open = File::open(folder).and_then(|file| {
                flock(&file, FlockOperation::NonBlockingLockShared)?;
                Ok(is(&file, folder).then_some(file))
            });
            match open {
                Err(error) if is_in_passing(&error) => Ok(None),
                other => other.map_err(Error::host(format!("hold {}", folder.display()))),
            }
        });
        held.transpose()
    });
    taken.unwrap_or(Err(Error::Stuck("have its cgroups")))
}

fn is_in_passing(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EWOULDBLOCK | libc::ENOENT | libc::ENODEV))
}

/// Whether a file is what stands at a path.
fn is(file: &File, path: &Path) -> bool {
    let known = |seen: fs::Metadata| (seen.dev(), seen.ino());
    let there = fs::metadata(path).ok().map(known);
    there.is_some() && there == file.metadata().ok().map(known)
}

/// Removes the folders of one launcher with the groups in them, if it is dead and nothing runs in
/// any of them. Whether it did.
pub(super) fn remove_dead(folders: &[PathBuf]) -> bool {
    let mut held = Vec::new();
    for folder in folders.iter().filter(|folder| folder.exists()) {
        let Ok(file) = File::open(folder) else { return false };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() || !is(&file, folder) {
            return false;
        }
        held.push((folder, file));
    }
    let dead = !held.is_empty() && held.iter().all(|(folder, _)| is_empty(folder));
    dead && held.iter().all(|(folder, _)| remove(folder))
}

/// Whether no process is in a tree of groups.
fn is_empty(folder: &Path) -> bool {
    let empty = fs::read(folder.join("cgroup.procs")).is_ok_and(|processes| processes.is_empty());
    empty && subfolders(folder).iter().all(|name| is_empty(&folder.join(name)))
}

/// Removes a tree of groups, from its leaves on. The kernel refuses one in which anything runs.
fn remove(folder: &Path) -> bool {
    subfolders(folder).iter().all(|name| remove(&folder.join(name)))
        && fs::remove_dir(folder).is_ok()
}
