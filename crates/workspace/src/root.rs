//! The one way in which trusted code reads a directory that an agent may have written. Never follows a link, leaves
//! the directory or its file system, waits for anything, or takes more than it was told.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use crate::Reason;

/// How every path inside is resolved.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// How every entry inside is opened: a pipe without a writer or a device does not make us wait, nor become our
/// terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// How often a file that changes under us is read again.
const READS_MAX: usize = 3;

/// A directory written by somebody we do not trust, held by descriptor.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

/// An entry of a [`Root`] could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is no such entry.
    #[error("no such entry")]
    Absent,
    /// It is not something that we read, or not what it was a moment ago.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The operating system failed.
    #[error("cannot read the folder")]
    Io(#[source] io::Error),
}

impl From<Errno> for RootError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Absent,
            // A link on the way, a way out, or a link where a file was.
            Errno::LOOP => Self::Refused(Reason::LinkLeadsOut),
            Errno::XDEV => Self::Refused(Reason::OtherFileSystem),
            Errno::ACCESS | Errno::PERM => Self::Refused(Reason::Unreadable),
            Errno::NXIO | Errno::NODEV => Self::Refused(Reason::Device),
            Errno::NAMETOOLONG => Self::Refused(Reason::PathTooLong),
            Errno::AGAIN | Errno::ISDIR => Self::Refused(Reason::Changing),
            errno => Self::Io(errno.into()),
        }
    }
}

/// What stands at a path of a [`Root`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file of this many bytes.
    File {
        /// Its size when it was looked at.
        bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link. Never followed.
    Link,
    /// A pipe, socket or device.
    Special,
}

impl Root {
    /// Takes a directory by descriptor.
    pub fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// Opens a directory by a path that the caller trusts; its last part may not be a link.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Self { directory: fs::openat(CWD, path, directory, Mode::empty())? })
    }

    /// The directory itself.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// What stands at `path`, which is relative.
    pub fn look(&self, path: &Path) -> Result<EntryKind, RootError> {
        let opened = open(self.as_fd(), path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        Ok(kind_of(&fs::fstat(&opened)?))
    }

    /// The content of the regular file at `path`.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] beyond `bytes_max`, [`Reason::Changing`] if it does not hold still.
    pub fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, RootError> {
        Ok(self.read_whole(path, bytes_max)?.content)
    }

    /// The names in the directory at `path` (empty: the root), sorted; at most `entries_max`.
    ///
    /// # Errors
    /// [`Reason::TooMany`] beyond that.
    pub fn list(&self, path: &Path, entries_max: usize) -> Result<Vec<Vec<u8>>, RootError> {
        if path.as_os_str().is_empty() {
            return names(self.as_fd(), entries_max);
        }
        names(self.open_directory(path)?.as_fd(), entries_max)
    }

    /// Opens the directory at `path`.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<OwnedFd, RootError> {
        open_directory_in(self.as_fd(), path)
    }

    /// Reads a file in one piece, again if its stat shows that it changed meanwhile. A single write that takes longer
    /// than the read does not show: who needs more than that reads when the writer is dead.
    pub(crate) fn read_whole(&self, path: &Path, bytes_max: u64) -> Result<Whole, RootError> {
        for _ in 0..READS_MAX {
            let file = open(self.as_fd(), path, READ)?;
            let before = fs::fstat(&file)?;
            let bytes = regular_size(&before)?;
            if bytes > bytes_max {
                return Err(RootError::Refused(Reason::TooLarge));
            }
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            let mut file = File::from(file);
            file.by_ref().take(bytes + 1).read_to_end(&mut content).map_err(read_error)?;
            let after = fs::fstat(&file)?;
            if content.len() as u64 == bytes && same(&before, &after) {
                return Ok(Whole { content, stat: after, file: file.into() });
            }
        }
        Err(RootError::Refused(Reason::Changing))
    }
}

/// A file that was read whole.
pub(crate) struct Whole {
    pub(crate) content: Vec<u8>,
    pub(crate) stat: Stat,
    pub(crate) file: OwnedFd,
}

/// Opens one directory below another.
pub(crate) fn open_directory_in(parent: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, RootError> {
    open(parent, path, READ | OFlags::DIRECTORY)
}

fn open(parent: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, RootError> {
    Ok(rustix::io::retry_on_intr(|| fs::openat2(parent, path, flags, Mode::empty(), RESOLVE))?)
}

/// The entry `name` of an open directory, as it is and not where it leads.
pub(crate) fn stat_in(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, RootError> {
    Ok(fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?)
}

/// The target of the link `name` of an open directory.
pub(crate) fn read_link_in(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, RootError> {
    match fs::readlinkat(parent, name, Vec::with_capacity(256)) {
        Err(Errno::INVAL) => Err(RootError::Refused(Reason::Changing)),
        target => Ok(target?.into_bytes()),
    }
}

/// The names in an open directory, sorted.
pub(crate) fn names(
    directory: BorrowedFd<'_>,
    entries_max: usize,
) -> Result<Vec<Vec<u8>>, RootError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == entries_max {
            return Err(RootError::Refused(Reason::TooMany));
        }
        names.push(name.to_vec());
    }
    names.sort_unstable();
    Ok(names)
}

/// What makes a stat one of a certain content: same file, size and times.
pub(crate) fn same(one: &Stat, other: &Stat) -> bool {
    let times =
        |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    (one.st_dev, one.st_ino, one.st_size) == (other.st_dev, other.st_ino, other.st_size)
        && times(one) == times(other)
}

pub(crate) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn is_executable(stat: &Stat) -> bool {
    stat.st_mode & 0o100 != 0
}

/// The size of a regular file; any other kind is refused by its name.
pub(crate) fn regular_size(stat: &Stat) -> Result<u64, RootError> {
    let reason = match type_of(stat) {
        FileType::RegularFile => return Ok(u64::try_from(stat.st_size).unwrap_or(u64::MAX)),
        FileType::Fifo => Reason::Fifo,
        FileType::Socket => Reason::Socket,
        FileType::CharacterDevice | FileType::BlockDevice => Reason::Device,
        _ => Reason::Changing,
    };
    Err(RootError::Refused(reason))
}

fn kind_of(stat: &Stat) -> EntryKind {
    match type_of(stat) {
        FileType::RegularFile => EntryKind::File {
            bytes: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
            executable: is_executable(stat),
        },
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Special,
    }
}

fn read_error(error: io::Error) -> RootError {
    match Errno::from_io_error(&error) {
        Some(errno) => errno.into(),
        None => RootError::Io(error),
    }
}
