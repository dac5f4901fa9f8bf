//! One server a data directory: a lock that the kernel lets go when its holder dies.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file in the data directory that is locked. It holds the process id of the holder.
pub const LOCK_FILE: &str = "lock";

/// The data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server works on it.
    #[error("the data directory {directory} is used by the process {pid}", directory = directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process that holds it, as it says itself; `?` when it has not said so yet.
        pid: String,
    },
    /// The lock file could not be opened, locked or written.
    #[error("cannot lock the data directory {directory}", directory = directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The data directory is ours while this lives.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the directory, which must exist, or says who has it. Never waits.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { directory: directory.to_owned(), source };
        let path = directory.join(LOCK_FILE);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::InUse {
                    directory: directory.to_owned(),
                    pid: holder(&mut file),
                });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match text.trim() {
        pid if read.is_ok() && pid.parse::<u32>().is_ok() => pid.to_owned(),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_directory() {
        let directory = tempfile::tempdir().expect("a folder");
        let first = DataLock::take(directory.path()).expect("free");
        let refused = DataLock::take(directory.path()).expect_err("taken");
        let expected = format!(
            "the data directory {} is used by the process {}",
            directory.path().display(),
            std::process::id()
        );
        assert_eq!(refused.to_string(), expected);
        drop(first);
        DataLock::take(directory.path()).expect("free again");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_of_its_own() {
        let directory = tempfile::tempdir().expect("a folder");
        let refused = DataLock::take(&directory.path().join("none"));
        assert!(matches!(refused, Err(LockError::Io { .. })));
    }
}
