//! Between `clone` and `exec`: the child builds its own walls, in the one order in which each is
//! still allowed to. Never allocates, locks or returns; a failure goes out as (phase, errno).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_char, c_int};
use rustix::fs::CWD;
use rustix::process::{Gid, Uid, chdir, setsid, umask};
use rustix::thread::{
    UnshareFlags, clear_ambient_capability_set, set_no_new_privs, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::error::Phase;
use crate::order::{Class, Order, Step};
use crate::template::Mask;
use crate::{landlock, mounts, sys, template};

/// The byte that says: everything stands, the program is executed next.
pub(crate) const READY: u8 = 0xff;

/// All that a child needs, prepared by the zygote.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) order: &'a Order,
    /// `order.argv` as C wants it, null last.
    pub(crate) argv: &'a [*const c_char],
    /// `order.env` as C wants it, null last.
    pub(crate) envp: &'a [*const c_char],
    pub(crate) stdio: &'a [OwnedFd],
    pub(crate) scratch: &'a OwnedFd,
    pub(crate) trees: &'a [OwnedFd],
    pub(crate) masks: &'a [Mask],
    pub(crate) locks: &'a [(OwnedFd, Class)],
    pub(crate) filter: &'a [libc::sock_filter],
    pub(crate) landlock_abi: u32,
    pub(crate) go: &'a OwnedFd,
    pub(crate) reply: &'a OwnedFd,
}

type Failed = (Phase, io::Error);

fn at(phase: Phase) -> impl FnOnce(io::Error) -> Failed {
    move |error| (phase, error)
}

fn errno(phase: Phase) -> impl FnOnce(rustix::io::Errno) -> Failed {
    move |error| (phase, error.into())
}

/// Becomes the box. On failure says so through the reply socket and ends.
pub(crate) fn enter(entry: &Entry<'_>) -> ! {
    let status = match build(entry) {
        Ok(()) => become_program(entry),
        Err((phase, error)) => (phase, error, entry.reply.as_raw_fd()),
    };
    let (phase, error, reply) = status;
    report(reply, phase, &error);
    sys::exit_now(127)
}

fn report(reply: c_int, phase: Phase, error: &io::Error) {
    let [a, b, c, d] = error.raw_os_error().unwrap_or(0).to_le_bytes();
    sys::send_bytes(reply, &[phase.code(), a, b, c, d]);
}

fn build(entry: &Entry<'_>) -> Result<(), Failed> {
    wait_for_maps(entry.go.as_fd())?;
    sys::reset_signals();
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    setsid().map_err(errno(Phase::Session))?;
    sys::unshare(UnshareFlags::NEWCGROUP).map_err(at(Phase::CgroupNs))?;
    sys::sethostname(entry.order.hostname.as_bytes()).map_err(at(Phase::Hostname))?;
    enter_workshop(entry)?;
    take_ids(entry.order.inside)?;
    mount_proc(entry.masks)?;
    mount_terminals()?;
    for step in &entry.order.steps {
        take(entry, step)?;
    }
    Ok(())
}

/// The zygote writes one byte once uid, gid and cgroups are set; its end is an end.
fn wait_for_maps(go: BorrowedFd<'_>) -> Result<(), Failed> {
    let mut byte = [0_u8; 1];
    match rustix::io::read(go, &mut byte) {
        Ok(1) => Ok(()),
        Ok(_) => Err((Phase::Go, io::ErrorKind::BrokenPipe.into())),
        Err(error) => Err((Phase::Go, error.into())),
    }
}

/// Stands in the folder that only the builder of a box can pass, while we still are the builder:
/// later paths are relative to it.
fn enter_workshop(entry: &Entry<'_>) -> Result<(), Failed> {
    chdir(template::WORKSHOP).map_err(errno(Phase::Scratch))?;
    mounts::attach_here(entry.scratch.as_fd(), c"scratch").map_err(at(Phase::Scratch))
}

fn take_ids(inside: u32) -> Result<(), Failed> {
    let (uid, gid) = (Uid::from_raw(inside), Gid::from_raw(inside));
    set_thread_res_gid(gid, gid, gid).map_err(errno(Phase::Ids))?;
    set_thread_res_uid(uid, uid, uid).map_err(errno(Phase::Ids))
}

fn mount_proc(masks: &[Mask]) -> Result<(), Failed> {
    let attrs = mounts::RDONLY | mounts::NOSUID | mounts::NODEV | mounts::NOEXEC;
    let options = [(c"hidepid", c"invisible")];
    let proc = mounts::create(c"proc", &options, attrs).map_err(at(Phase::Proc))?;
    mounts::attach(proc.as_fd(), c"/proc").map_err(at(Phase::Proc))?;
    for (path, cover) in masks {
        mask(path, cover).map_err(at(Phase::Mask))?;
    }
    Ok(())
}

/// Terminals of the box's own; nobody outside has one of them.
fn mount_terminals() -> Result<(), Failed> {
    let options = [(c"ptmxmode", c"0666"), (c"mode", c"0600")];
    let attrs = mounts::NOSUID | mounts::NOEXEC;
    let terminals = mounts::create(c"devpts", &options, attrs).map_err(at(Phase::Terminals))?;
    mounts::attach(terminals.as_fd(), c"/dev/pts").map_err(at(Phase::Terminals))
}

fn mask(path: &CStr, cover: &CStr) -> io::Result<()> {
    let place = mounts::open_plain(path)?;
    let cover = mounts::clone_at(CWD, cover, 0)?;
    mounts::attach_on(cover.as_fd(), place.as_fd())
}

fn take(entry: &Entry<'_>, step: &Step) -> Result<(), Failed> {
    match step {
        Step::Tree { tree, target } => {
            let bad = || (Phase::Attach, io::ErrorKind::InvalidInput.into());
            let tree = entry.trees.get(*tree).ok_or_else(bad)?;
            mounts::attach(tree.as_fd(), target).map_err(at(Phase::Attach))
        }
        Step::Scratch { source, target, attrs } => {
            let tree = mounts::clone_at(CWD, source, *attrs).map_err(at(Phase::Attach))?;
            mounts::attach(tree.as_fd(), target).map_err(at(Phase::Attach))
        }
        Step::Overlay { lower, upper, work, target } => {
            let options: [(&CStr, &CStr); 8] = [
                (c"lowerdir", lower),
                (c"upperdir", upper),
                (c"workdir", work),
                (c"userxattr", c""),
                (c"redirect_dir", c"nofollow"),
                (c"metacopy", c"off"),
                (c"index", c"off"),
                (c"xino", c"off"),
            ];
            let attrs = mounts::NOSUID | mounts::NODEV;
            let overlay =
                mounts::create(c"overlay", &options, attrs).map_err(at(Phase::Overlay))?;
            mounts::attach(overlay.as_fd(), target).map_err(at(Phase::Overlay))
        }
    }
}

/// The last steps. The reply socket moves to descriptor 3, so the caller needs its number.
fn become_program(entry: &Entry<'_>) -> (Phase, io::Error, c_int) {
    let order = entry.order;
    if let Err((phase, error)) = renounce(entry) {
        return (phase, error, entry.reply.as_raw_fd());
    }
    if let Err(error) = keep_only_stdio(entry) {
        return (Phase::Stdio, error, entry.reply.as_raw_fd());
    }
    if let Err(error) = sys::seccomp(entry.filter) {
        return (Phase::Seccomp, error, REPLY);
    }
    sys::send_bytes(REPLY, &[READY]);
    let Some(program) = order.argv.first() else {
        return (Phase::Exec, io::ErrorKind::InvalidInput.into(), REPLY);
    };
    // SAFETY: the zygote ended both arrays with a null pointer and keeps the strings alive.
    let error = unsafe { sys::execve(program, entry.argv, entry.envp) };
    (Phase::Exec, error, REPLY)
}

/// Where the reply socket stands at the end.
const REPLY: c_int = 3;

fn renounce(entry: &Entry<'_>) -> Result<(), Failed> {
    let order = entry.order;
    chdir(order.cwd.as_c_str()).map_err(errno(Phase::Cwd))?;
    for (resource, bound) in &order.rlimits {
        sys::setrlimit(*resource, *bound).map_err(at(Phase::Rlimit))?;
    }
    clear_ambient_capability_set().map_err(errno(Phase::Capabilities))?;
    sys::drop_bounding_set().map_err(at(Phase::Capabilities))?;
    sys::lock_secure_bits().map_err(at(Phase::Capabilities))?;
    sys::drop_capabilities().map_err(at(Phase::Capabilities))?;
    set_no_new_privs(true).map_err(errno(Phase::NoNewPrivs))?;
    landlock::restrict(entry.landlock_abi, entry.locks, &order.locks, order.ports.as_deref())
        .map_err(at(Phase::Landlock))
}

/// Descriptors 0, 1 and 2 are what was given, 3 the reply socket until exec; no other stays.
fn keep_only_stdio(entry: &Entry<'_>) -> io::Result<()> {
    for (number, fd) in (0..).zip(entry.stdio) {
        sys::dup_onto(fd.as_raw_fd(), number, 0)?;
    }
    sys::dup_onto(entry.reply.as_raw_fd(), REPLY, libc::FD_CLOEXEC)?;
    sys::close_from(4)
}
