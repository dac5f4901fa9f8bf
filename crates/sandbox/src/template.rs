//! The root that every box is cloned with: a small tmpfs with read-only trees of the host. Made
//! once per zygote, in its own mount namespace; holds no secret and nothing of any box.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::mounts::{self, Depth, NODEV, NOEXEC, NOSUID, RDONLY};
use crate::order::Class;
use crate::sys;

/// Where a child stands while it builds. Its parent can be passed by the builder alone.
pub(crate) const WORKSHOP: &CStr = c"/.box/in";
/// The scratch of a box, seen from its root.
pub(crate) const SCRATCH: &str = ".box/in/scratch";
/// Folders of every root that a mount may stand on.
pub(crate) const MOUNT_POINTS: [&str; 8] =
    ["/workspace", "/session", "/run", "/tmp", "/home/agent", "/opt", "/mnt", "/srv"];
/// The uid and gid inside every box.
pub(crate) const INSIDE: u32 = 1000;

/// What of `/proc` tells about the host or reaches it, and what covers it. The rest is read-only
/// like all of `/proc`, or is closed to everybody but the owner of the machine.
const MASKS: [(&CStr, &CStr); 16] = [
    (c"/proc/keys", c"none"),
    (c"/proc/key-users", c"none"),
    (c"/proc/kcore", c"none"),
    (c"/proc/kallsyms", c"none"),
    (c"/proc/kmsg", c"none"),
    (c"/proc/modules", c"none"),
    (c"/proc/cmdline", c"none"),
    (c"/proc/config.gz", c"none"),
    (c"/proc/interrupts", c"none"),
    (c"/proc/latency_stats", c"none"),
    (c"/proc/sched_debug", c"none"),
    (c"/proc/timer_list", c"none"),
    (c"/proc/sysrq-trigger", c"none"),
    (c"/proc/acpi", c"void"),
    (c"/proc/asound", c"void"),
    (c"/proc/scsi", c"void"),
];

/// A path to cover, and the name in the workshop of what covers it.
pub(crate) type Mask = (&'static CStr, &'static CStr);

/// The masks that this machine needs: of paths that exist and that others than their owner, who
/// is root, may read, write or enter.
pub(crate) fn masks() -> Vec<Mask> {
    let open_to_others =
        |path: &CStr| rustix::fs::stat(path).is_ok_and(|found| found.st_mode & 0o077 != 0);
    MASKS.into_iter().filter(|(path, _)| open_to_others(path)).collect()
}

/// What landlock lets every box do outside its mounts.
const LOCKS: [(&str, Class); 10] = [
    ("/", Class::List),
    ("/usr", Class::Read),
    ("/bin", Class::Read),
    ("/sbin", Class::Read),
    ("/lib", Class::Read),
    ("/lib32", Class::Read),
    ("/lib64", Class::Read),
    ("/libx32", Class::Read),
    ("/etc", Class::Read),
    ("/dev", Class::Device),
];

/// The folders of the template with their class, opened. A link needs no rule: what it leads to
/// has one.
pub(crate) fn locks() -> io::Result<Vec<(OwnedFd, Class)>> {
    let there = |path: &str| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let open = |(path, class)| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok((openat(CWD, path, flags, Mode::empty())?, class))
    };
    LOCKS.into_iter().filter(|(path, _)| there(path)).map(open).collect()
}

const SYSTEM_TREES: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const ETC_TREES: [&str; 6] =
    ["ssl/certs", "alternatives", "pki", "crypto-policies", "fonts", "ca-certificates"];
const ETC_FILES: [&str; 8] = [
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "mime.types",
    "protocols",
    "services",
    "ssl/openssl.cnf",
    "magic",
];
const ETC_FILE_BYTES_MAX: u64 = 4 << 20;
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Who builds: decides how the workshop is closed and how deep trees are cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    /// The real root: boxes have other uids.
    Root,
    /// An ordinary user: the boxes run as that same user.
    User,
}

impl Builder {
    pub(crate) fn depth(self) -> Depth {
        match self {
            Self::Root => Depth::One,
            Self::User => Depth::Tree,
        }
    }

    /// Boxes with another uid cannot pass a folder of ours; one with our own uid has no
    /// capability to pass a folder that lets nobody.
    fn workshop_mode(self) -> u32 {
        match self {
            Self::Root => 0o700,
            Self::User => 0o000,
        }
    }
}

/// Clones made while the host's files can still be seen.
struct Trees(Vec<(PathBuf, OwnedFd)>);

/// Leaves this process in the template root. It must be alone in a new mount namespace.
pub(crate) fn build(builder: Builder, more_mount_points: &[PathBuf]) -> io::Result<()> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let trees = clone_host_trees(builder)?;
    let files = read_host_files();
    let links = read_host_links();
    let proc = reference_proc()?;
    let options = [(c"mode", c"0755"), (c"size", c"8m"), (c"nr_inodes", c"1024")];
    let root = mounts::create(c"tmpfs", &options, NOSUID | NODEV)?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&root, c"", CWD, c"/proc", onto)?;
    chdir(c"/proc")?;
    lay_out(builder, more_mount_points)?;
    for (path, bytes) in files {
        write(Path::new("etc").join(path), &bytes)?;
    }
    for (name, target) in links {
        symlink(target, name)?;
    }
    for (target, tree) in trees.0 {
        if target.starts_with("dev") {
            write(&target, b"")?;
        } else {
            folder(&target)?;
        }
        let target = CString::new(target.into_os_string().into_encoded_bytes())?;
        mounts::attach_here(tree.as_fd(), &target)?;
    }
    mounts::attach_here(proc.as_fd(), c"proc")?;
    fs::set_permissions(".box", fs::Permissions::from_mode(builder.workshop_mode()))?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")?;
    let root = open_tree(CWD, c"/", OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    sys::mount_setattr(root.as_fd(), RDONLY, None, 0, false)
}

fn folder(path: impl AsRef<Path>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let path = path.as_ref();
    path.parent().map_or(Ok(()), folder)?;
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}

/// Folders, links and files that need nothing of the host, in the current folder.
fn lay_out(builder: Builder, more_mount_points: &[PathBuf]) -> io::Result<()> {
    let more = more_mount_points.iter().map(PathBuf::as_path);
    for point in MOUNT_POINTS.iter().map(Path::new).chain(more) {
        folder(point.strip_prefix("/").unwrap_or(point))?;
    }
    for name in ["proc", "sys", "var", "etc", "dev/pts", "root", ".box/in/scratch"] {
        folder(name)?;
    }
    for lower in 0..crate::spec::LOWERS_MAX {
        folder(format!(".box/in/lower/{lower}"))?;
    }
    for (name, mode) in [("sys", 0o555), ("root", builder.workshop_mode())] {
        fs::set_permissions(name, fs::Permissions::from_mode(mode))?;
    }
    write(".box/in/none", b"")?;
    folder(".box/in/void")?;
    symlink("/tmp", "var/tmp")?;
    symlink("/run", "var/run")?;
    symlink("/tmp", "dev/shm")?;
    symlink("pts/ptmx", "dev/ptmx")?;
    symlink("/proc/self/fd", "dev/fd")?;
    for (name, fd) in [("stdin", 0), ("stdout", 1), ("stderr", 2)] {
        symlink(format!("/proc/self/fd/{fd}"), format!("dev/{name}"))?;
    }
    symlink("/proc/self/mounts", "etc/mtab")?;
    write_accounts()
}

fn write_accounts() -> io::Result<()> {
    let passwd = format!(
        "agent:x:{INSIDE}:{INSIDE}:agent:/home/agent:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n"
    );
    write("etc/passwd", passwd.as_bytes())?;
    let group = format!("agent:x:{INSIDE}:\nnogroup:x:65534:\n");
    write("etc/group", group.as_bytes())?;
    write("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")?;
    write("etc/resolv.conf", b"")?;
    write("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
}

fn clone_host_trees(builder: Builder) -> io::Result<Trees> {
    let mut trees = Vec::new();
    let system = RDONLY | NOSUID | NODEV;
    for name in SYSTEM_TREES {
        let path = Path::new("/").join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            trees.push((PathBuf::from(name), clone(&path, system, builder)?));
        }
    }
    for name in ETC_TREES {
        let path = Path::new("/etc").join(name);
        if fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
            let attrs = system | NOEXEC;
            trees.push((Path::new("etc").join(name), clone(&path, attrs, builder)?));
        }
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if path.exists() {
            let attrs = RDONLY | NOSUID | NOEXEC;
            trees.push((Path::new("dev").join(name), clone(&path, attrs, builder)?));
        }
    }
    Ok(Trees(trees))
}

fn clone(path: &Path, attrs: u64, builder: Builder) -> io::Result<OwnedFd> {
    mounts::clone_path(path, attrs, None, builder.depth())
}

/// Small public files of `/etc` whose content a program may need.
fn read_host_files() -> Vec<(&'static str, Vec<u8>)> {
    let small = |name: &&str| {
        let found = fs::metadata(Path::new("/etc").join(name));
        let public = |found: fs::Metadata| {
            found.is_file()
                && found.len() <= ETC_FILE_BYTES_MAX
                && found.permissions().mode() & 0o004 != 0
        };
        found.is_ok_and(public)
    };
    let read = |name| Some((name, fs::read(Path::new("/etc").join(name)).ok()?));
    ETC_FILES.into_iter().filter(small).filter_map(read).collect()
}

/// Where `/bin` and its like are links into `/usr`, they are so in the box.
fn read_host_links() -> Vec<(&'static str, PathBuf)> {
    let read = |name: &'static str| Some((name, fs::read_link(Path::new("/").join(name)).ok()?));
    SYSTEM_TREES.into_iter().filter_map(read).collect()
}

/// A `/proc` of a pid namespace in which nobody lives: the kernel lets an unprivileged box mount
/// its own `/proc` only where a whole one can be seen already. The box's own covers it.
fn reference_proc() -> io::Result<OwnedFd> {
    const FAILED: i32 = 255;
    let flags = (libc::CLONE_NEWPID | libc::CLONE_FILES) as u64;
    let code = sys::in_child(flags, || {
        let proc = mounts::create(c"proc", &[], NOSUID | NODEV | NOEXEC);
        proc.map_or(FAILED, IntoRawFd::into_raw_fd)
    })?;
    if code == FAILED {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(sys::own(code))
}
