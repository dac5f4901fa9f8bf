//! Detached mounts by the new mount API. Attaches nothing by itself and follows no symlink inside
//! a box; sources on the host are the caller's and are trusted.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::sys;

pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
pub(crate) const IDMAP: u64 = 0x10_0000;
pub(crate) const PRIVATE: u64 = 1 << 18;

/// How deep a clone goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// That mount alone.
    One,
    /// With the mounts below it: what an unprivileged clone must take.
    Tree,
}

/// A detached clone of a host path with the given attributes.
pub(crate) fn clone_path(
    path: &Path,
    attrs: u64,
    userns: Option<BorrowedFd<'_>>,
    depth: Depth,
) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if depth == Depth::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, path, flags)?;
    let attrs = attrs | userns.map_or(0, |_| IDMAP);
    sys::mount_setattr(tree.as_fd(), attrs, userns, PRIVATE, depth == Depth::Tree)?;
    Ok(tree)
}

/// A detached clone of what stands at `path` relative to `dir`, attributes added. For use in a
/// child: allocates nothing.
pub(crate) fn clone_at(dir: BorrowedFd<'_>, path: &CStr, attrs: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(dir, path, flags)?;
    if attrs != 0 {
        sys::mount_setattr(tree.as_fd(), attrs, None, 0, false)?;
    }
    Ok(tree)
}

/// Attaches a detached mount at `target`, in whose path no symlink may stand.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    attach_on(tree, open_plain(target)?.as_fd())
}

/// Attaches a detached mount on an open place.
pub(crate) fn attach_on(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", place, c"", flags)?;
    Ok(())
}

/// Attaches a detached mount at a path below the current folder, which is our own.
pub(crate) fn attach_here(tree: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    move_mount(tree, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Opens a path without reading it and without following any symlink.
pub(crate) fn open_plain(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(CWD, path, flags, Mode::empty(), resolve)?)
}

/// A new file system, created from `options` (an empty value is a flag) and not attached.
pub(crate) fn create(kind: &CStr, options: &[(&CStr, &CStr)], attrs: u64) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&context, *key)?;
        } else {
            fsconfig_set_string(&context, *key, *value)?;
        }
    }
    fsconfig_create(&context)?;
    let attrs = MountAttrFlags::from_bits_retain(u32::try_from(attrs).unwrap_or(u32::MAX));
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}
