//! Blocks of host uids, each held by one launcher of this machine at a time, whatever program it is in. Never lends a
//! block in which anything runs: boxes outlive the launcher that started them.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Error;

/// Where root's launchers see each other's blocks. Gone after a restart of the machine, like every box.
pub(crate) const PLACE: &str = "/run/sandbox-uids";

/// How many uids a block has.
const UIDS: u32 = 256;

/// The block that a uid is in.
pub(crate) fn block_of(uid: u32) -> u32 {
    uid / UIDS
}

/// The uids of a block.
pub(crate) fn uids_of(block: u32) -> impl Iterator<Item = u32> {
    let first = block.saturating_mul(UIDS);
    first..=first.saturating_add(UIDS - 1)
}

/// A block that nobody else can hold until this is dropped or this process is dead: the kernel keeps the lock.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) block: u32,
    _lock: File,
}

/// The blocks of one machine.
#[derive(Debug)]
pub(crate) struct Blocks(PathBuf);

impl Blocks {
    pub(crate) fn at(place: &Path) -> Self {
        Self(place.to_owned())
    }

    /// Holds a block, unless another launcher does.
    pub(crate) fn hold(&self, block: u32) -> Result<Option<Held>, Error> {
        let doing = || format!("hold host uids in {}", self.0.display());
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::host(doing())(error));
            }
            _ => {}
        }
        let mut options = File::options();
        options.write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let lock = options.open(self.0.join(block.to_string())).map_err(Error::host(doing()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Held { block, _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::host(doing())(error)),
        }
    }
}

/// The blocks in which a process runs.
pub(crate) fn inhabited() -> Result<BTreeSet<u32>, Error> {
    let processes = fs::read_dir("/proc").map_err(Error::host("list processes"))?;
    let mut blocks = BTreeSet::new();
    for process in processes.flatten() {
        // One that ends meanwhile lives in none.
        let Ok(status) = fs::read_to_string(process.path().join("status")) else { continue };
        blocks.extend(uids(&status).map(block_of));
    }
    Ok(blocks)
}

/// The uids of a process, by what `/proc/<pid>/status` says: real, effective, saved and of files. A dead one that
/// nobody waited for yet has none.
fn uids(status: &str) -> impl Iterator<Item = u32> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let is_dead = field("State:").is_some_and(|state| state.trim().starts_with(['Z', 'X']));
    let line = field("Uid:").filter(|_| !is_dead);
    line.unwrap_or_default().split_whitespace().filter_map(|uid| uid.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_in_its_block() {
        assert_eq!(uids_of(block_of(2_000_000_000)).count(), UIDS as usize);
        assert!(uids_of(block_of(2_000_000_000)).any(|uid| uid == 2_000_000_000));
    }

    #[test]
    fn every_uid_of_a_process_is_read() {
        let status = "Name:\tUid: 7\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t9\t9\t9\t9\n";
        assert_eq!(uids(status).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(uids("State:\tZ (zombie)\nUid:\t1\t2\t3\t4\n").count(), 0);
        assert_eq!(uids("").count(), 0);
    }

    #[test]
    fn this_process_is_somewhere() {
        let own = rustix::process::getuid().as_raw();
        assert!(inhabited().unwrap().contains(&block_of(own)));
    }
}
