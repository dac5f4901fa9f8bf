//! The one writable file system of a box: a tmpfs with a bound on bytes and files. Made before
//! the box and readable after it, through a descriptor; attached nowhere on the host.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, chmodat, chownat, mkdirat, openat};
use rustix::io::Errno;

use crate::Error;
use crate::template;
use crate::uids::UidLease;

/// Bounds on a scratch. The memory is used only as files are written, and counts as the box's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScratchLimits {
    /// Bytes of all files together. At least 64 KiB.
    pub bytes: u64,
    /// Files, folders and links together. At least 64.
    pub inodes: u64,
}

impl Default for ScratchLimits {
    /// 512 MiB, 100,000 files.
    fn default() -> Self {
        Self { bytes: 512 << 20, inodes: 100_000 }
    }
}

impl ScratchLimits {
    pub(crate) fn options(&self) -> Result<Vec<(CString, CString)>, Error> {
        if self.bytes < 64 << 10 || self.inodes < 64 {
            return Err(Error::Invalid("a scratch needs 64 KiB and 64 inodes".to_owned()));
        }
        let text = |text: String| CString::new(text).expect("digits hold no NUL");
        let option = |key: &CStr, value: String| (key.to_owned(), text(value));
        Ok(vec![
            option(c"size", self.bytes.to_string()),
            option(c"nr_inodes", self.inodes.to_string()),
            option(c"mode", "0755".to_owned()),
        ])
    }
}

/// A scratch: the folders `session`, `home` and `tmp` of the box, which appear there as
/// `/session`, `/home/agent` and `/tmp`, and `upper/<n>` of its overlays.
///
/// Trusted code may put files there before the box starts and read them at any time, also when
/// the box is dead; while it lives, everything in there is hostile and moves: open it by
/// `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`. Dropping the last descriptor frees it.
#[derive(Debug)]
pub struct Scratch {
    root: OwnedFd,
    lease: UidLease,
    inside: u32,
}

impl Scratch {
    pub(crate) fn new(root: OwnedFd, lease: UidLease, inside: u32) -> Self {
        Self { root, lease, inside }
    }

    /// The folder that holds everything.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The uid and gid of the box on the host: what trusted code gives files to (by `chown`) that
    /// the box may change.
    pub fn uid(&self) -> u32 {
        self.lease.uid()
    }

    /// The uid and gid the box sees itself as.
    pub fn uid_inside(&self) -> u32 {
        self.inside
    }

    /// Never gives the uid back: somebody may still run with it.
    pub(crate) fn keep_uid(&mut self) {
        self.lease.keep();
    }

    /// Lays out the folders of a new scratch.
    pub(crate) fn lay_out(&self) -> Result<(), Error> {
        for name in ["session", "home", "tmp"] {
            self.make_owned(Path::new(name))?;
        }
        let sticky = Mode::from_raw_mode(0o1777);
        chmodat(&self.root, "tmp", sticky, rustix::fs::AtFlags::empty())
            .map_err(Error::host("open the tmp of a scratch to all"))
    }

    /// Makes a folder that belongs to us.
    pub(crate) fn make(&self, path: &Path) -> Result<(), Error> {
        match mkdirat(&self.root, path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(Error::host(format!("make {} in a scratch", path.display()))(error)),
        }
    }

    /// Makes a folder that belongs to the box.
    pub(crate) fn make_owned(&self, path: &Path) -> Result<(), Error> {
        self.make(path)?;
        let (uid, gid) = (Uid::from_raw(self.uid()), Gid::from_raw(self.uid()));
        if self.lease.is_own() {
            return Ok(());
        }
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        chownat(&self.root, path, Some(uid), Some(gid), flags)
            .map_err(Error::host(format!("give {} of a scratch to its box", path.display())))
    }

    /// Makes an empty file that belongs to us.
    pub(crate) fn touch(&self, path: &Path) -> Result<(), Error> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        openat(&self.root, path, flags, Mode::from_raw_mode(0o444))
            .map(drop)
            .map_err(Error::host(format!("make {} in a scratch", path.display())))
    }
}

/// The root folder of a living box, through its PID 1.
pub(crate) fn root_of(pid: u32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, &path, flags, Mode::empty()).map_err(Error::host(format!("open {path}")))
}

/// The scratch below the root of a box. Takes a right over that folder which an ordinary user has
/// in the zygote's user namespace alone.
pub(crate) fn open_below(root: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(root, template::SCRATCH, flags, Mode::empty())?)
}
