//! The landlock wall: files by class, TCP by port, no signal or abstract socket across the border.
//! Runs between `clone` and `exec`: never allocates.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::order::Class;
use crate::{mounts, sys};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// Rights that mean something on a file, not only beneath a folder.
const ON_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 2;
const SCOPE_ALL: u64 = 0b11;

/// Every right over files that version `abi` knows.
fn handled_files(abi: u32) -> u64 {
    let bits = match abi {
        0 | 1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << bits) - 1
}

fn rights(class: Class) -> u64 {
    let devices = MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV;
    match class {
        Class::List => READ_DIR,
        Class::Read => EXECUTE | READ_FILE | READ_DIR,
        Class::Write => !devices,
        Class::Device => READ_FILE | READ_DIR | WRITE_FILE | IOCTL_DEV,
    }
}

/// Puts this thread under the rules, as far as version `abi` goes; with 0 does nothing.
/// `shared` are places that every box has, opened once; `locks` are those of this one.
pub(crate) fn restrict(
    abi: u32,
    shared: &[(OwnedFd, Class)],
    locks: &[(CString, Class)],
    ports: Option<&[u64]>,
) -> io::Result<()> {
    if abi == 0 {
        return Ok(());
    }
    let files = handled_files(abi);
    let net = if abi >= 4 && ports.is_some() { BIND_TCP | CONNECT_TCP } else { 0 };
    let scopes = if abi >= 6 { SCOPE_ALL } else { 0 };
    let size = match abi {
        0..=3 => 8,
        4..=5 => 16,
        _ => 24,
    };
    let rules = sys::landlock_create(&[files, net, scopes], size)?;
    for (place, class) in shared {
        sys::landlock_path(rules.as_fd(), rights(*class) & files, place.as_fd())?;
    }
    for (path, class) in locks {
        let place = mounts::open_plain(path)?;
        let wanted = rights(*class) & files;
        let folder = sys::landlock_path(rules.as_fd(), wanted, place.as_fd());
        if folder.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL)) {
            sys::landlock_path(rules.as_fd(), wanted & ON_FILES, place.as_fd())?;
        } else {
            folder?;
        }
    }
    if net != 0 {
        for port in ports.unwrap_or_default() {
            let port = u16::try_from(*port).map_err(|_| io::ErrorKind::InvalidInput)?;
            sys::landlock_port(rules.as_fd(), CONNECT_TCP, port)?;
        }
    }
    sys::landlock_restrict(rules.as_fd())
}
