//! The zygote: one thread, no environment, no secret. It holds the template root and clones boxes
//! from it; for a host without rights it also makes the mounts. It decides nothing: every order
//! comes from the host program that started it, and it ends when that closes the socket.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::c_char;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::enter::{self, Entry};
use crate::error::Phase;
use crate::mounts;
use crate::order::{Class, Order, Request};
use crate::sys::{self, CloneInto, Cloned};
use crate::template::{self, Builder};
use crate::{net, scratch, seccomp, wire};

/// `argv[0]` of a zygote.
pub(crate) const NAME: &str = "sandbox-zygote";
/// The descriptor of the command socket.
const SOCKET: i32 = 3;
/// First byte of an answer that is not a failure.
pub(crate) const DONE: u8 = 0xfe;

const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS) as u64
    | libc::CLONE_NEWTIME as u64;
const NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// Acts as the zygote if this process was started as one, and then never returns. The first line
/// of `main` in a program that starts a [`Launcher`](crate::Launcher).
pub fn zygote_main_if_asked() {
    if std::env::args_os().next().is_some_and(|name| name == NAME) {
        zygote_main();
    }
}

/// Acts as the zygote. Never returns: ends the process when the host program is gone, with code
/// 1 and a message for the host if it could not begin.
pub fn zygote_main() -> ! {
    let socket = sys::own(SOCKET);
    let points: Vec<_> = std::env::args_os().skip(1).map(|point: OsString| point.into()).collect();
    let code = match Zygote::begin(&points) {
        Ok(mut zygote) => {
            let hello = [DONE, zygote.autoreaps.into()];
            let said = wire::send(&socket, &hello, &[]);
            i32::from(said.and_then(|()| zygote.serve(&socket)).is_err())
        }
        Err(error) => {
            let answer = failure(Phase::Scratch, &error);
            i32::from(wire::send(&socket, &answer, &[]).is_err()) + 1
        }
    };
    sys::exit_now(code)
}

fn failure(phase: Phase, error: &io::Error) -> [u8; 5] {
    let [a, b, c, d] = error.raw_os_error().unwrap_or(libc::EINVAL).to_le_bytes();
    [phase.code(), a, b, c, d]
}

#[derive(Debug)]
struct Zygote {
    /// `/proc` of the host, for the maps of children.
    proc: OwnedFd,
    /// The mount namespace that shows the host's files.
    outer: OwnedFd,
    /// The mount namespace of the template.
    inner: OwnedFd,
    /// Our own network namespace.
    net: OwnedFd,
    masks: Vec<template::Mask>,
    /// Folders of the template for landlock.
    locks: Vec<(OwnedFd, Class)>,
    filter: Vec<libc::sock_filter>,
    landlock_abi: u32,
    autoreaps: bool,
    /// See [`keep_hierarchies_fast`].
    _fast: Option<OwnedFd>,
}

impl Zygote {
    fn begin(points: &[PathBuf]) -> io::Result<Self> {
        sys::new_session_keyring();
        let builder = if crate::probe::is_root() { Builder::Root } else { Builder::User };
        if builder == Builder::User {
            own_user_namespace()?;
        }
        sys::unshare(UnshareFlags::NEWNS)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = openat(CWD, c"/proc", flags, Mode::empty())?;
        let masks = template::masks();
        let outer = namespace(&proc, "mnt")?;
        let net = namespace(&proc, "net")?;
        sys::unshare(UnshareFlags::NEWNS)?;
        let inner = namespace(&proc, "mnt")?;
        template::build(builder, points)?;
        let locks = template::locks()?;
        let fast = keep_hierarchies_fast();
        let autoreaps = exit_is_remembered()?;
        sys::autoreap(autoreaps);
        let filter = seccomp::filter();
        let landlock_abi = sys::landlock_abi().unwrap_or(0);
        Ok(Self {
            proc,
            outer,
            inner,
            net,
            masks,
            locks,
            filter,
            landlock_abi,
            autoreaps,
            _fast: fast,
        })
    }

    fn serve(&mut self, socket: &OwnedFd) -> io::Result<()> {
        let mut buffer = vec![0; wire::PACKET_BYTES_MAX];
        loop {
            let (count, fds) = wire::receive(socket, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let Some((reply, fds)) = split(fds) else { continue };
            let Some(packet) = buffer.get(..count) else { continue };
            let answered = match Request::parse(packet) {
                Some(request) => self.answer(request, &reply, &fds),
                None => Err((Phase::Clone, io::ErrorKind::InvalidData.into())),
            };
            if let Err((phase, error)) = answered {
                // The host hears of it by the end of its socket if not by this.
                drop(wire::send(&reply, &failure(phase, &error), &[]));
            }
        }
    }

    fn answer(
        &self,
        request: Request,
        reply: &OwnedFd,
        fds: &[OwnedFd],
    ) -> Result<(), (Phase, io::Error)> {
        let at = |phase| move |error| (phase, error);
        match request {
            Request::Spawn(order) => self.spawn(&order, reply, fds),
            Request::UserNs { inside, outside } => {
                let fd = self.user_namespace(inside, outside).map_err(at(Phase::MapIds))?;
                give(reply, &[fd.as_fd()]).map_err(at(Phase::MapIds))
            }
            Request::Tree { source, attrs } => {
                let tree = self.tree(&source, attrs).map_err(at(Phase::Attach))?;
                give(reply, &[tree.as_fd()]).map_err(at(Phase::Attach))
            }
            Request::Scratch { options } => {
                let options: Vec<_> =
                    options.iter().map(|(key, value)| (key.as_c_str(), value.as_c_str())).collect();
                let attrs = mounts::NOSUID | mounts::NODEV;
                let scratch = mounts::create(c"tmpfs", &options, attrs);
                give(reply, &[scratch.map_err(at(Phase::Scratch))?.as_fd()])
                    .map_err(at(Phase::Scratch))
            }
            Request::NetNs { ports } => {
                let made = self.net_namespace(&ports, fds.first());
                let made = made.map_err(at(Phase::JoinNet))?;
                let mut all = vec![made.namespace.as_fd(), made.sockstat.as_fd()];
                all.extend(made.listeners.iter().map(AsFd::as_fd));
                give(reply, &all).map_err(at(Phase::JoinNet))
            }
            Request::Reap { pid } => {
                let status = reap(pid).map_err(at(Phase::Exec))?;
                let [a, b, c, d] = status.to_le_bytes();
                wire::send(reply, &[DONE, a, b, c, d], &[]).map_err(at(Phase::Exec))
            }
            Request::Open => {
                let none = || (Phase::Scratch, io::ErrorKind::InvalidInput.into());
                let root = fds.first().ok_or_else(none)?;
                let scratch = scratch::open_below(root).map_err(at(Phase::Scratch))?;
                give(reply, &[scratch.as_fd()]).map_err(at(Phase::Scratch))
            }
        }
    }

    fn spawn(
        &self,
        order: &Order,
        reply: &OwnedFd,
        fds: &[OwnedFd],
    ) -> Result<(), (Phase, io::Error)> {
        let bad = || (Phase::Clone, io::Error::from(io::ErrorKind::InvalidInput));
        let given = Given::split(order, fds).ok_or_else(bad)?;
        if let Some(net) = given.net {
            enter_net(net).map_err(|error| (Phase::JoinNet, error))?;
        }
        let started = self.clone_box(order, &given, reply);
        if given.net.is_some() {
            enter_net(self.net.as_fd()).map_err(|error| (Phase::JoinNet, error))?;
        }
        started
    }

    fn clone_box(
        &self,
        order: &Order,
        given: &Given<'_>,
        reply: &OwnedFd,
    ) -> Result<(), (Phase, io::Error)> {
        let (argv, envp) = (pointers(&order.argv), pointers(&order.env));
        let (go, sender) = wire::pair().map_err(|error| (Phase::Clone, error))?;
        let entry = Entry {
            order,
            argv: &argv,
            envp: &envp,
            stdio: given.stdio,
            scratch: given.scratch,
            trees: given.trees,
            masks: &self.masks,
            locks: &self.locks,
            filter: &self.filter,
            landlock_abi: self.landlock_abi,
            go: &go,
            reply,
        };
        let flags = if order.net { NAMESPACES } else { NAMESPACES | NEWNET };
        let into = CloneInto { flags, cgroup: given.cgroup };
        let cloned = sys::clone3(into).map_err(|error| (Phase::Clone, error))?;
        let Cloned::Parent { pid, pidfd } = cloned else {
            drop(sender);
            enter::enter(&entry);
        };
        // Without the go-ahead the child ends by itself as soon as `sender` is dropped.
        self.map_ids(pid, (order.inside, order.outside)).map_err(|error| (Phase::MapIds, error))?;
        for procs in given.procs {
            let digits = pid.to_string();
            rustix::io::write(procs, digits.as_bytes())
                .map_err(|error| (Phase::JoinCgroup, error.into()))?;
        }
        let [a, b, c, d] = pid.to_le_bytes();
        wire::send(reply, &[DONE, a, b, c, d], &[pidfd.as_fd()])
            .map_err(|error| (Phase::Go, error))?;
        wire::send(&sender, &[1], &[]).map_err(|error| (Phase::Go, error))
    }

    /// Maps one uid and gid of a new user namespace to one of ours.
    fn map_ids(&self, pid: i32, (inside, outside): (u32, u32)) -> io::Result<()> {
        let write = |file: &str, text: &str| -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = openat(&self.proc, format!("{pid}/{file}"), flags, Mode::empty())?;
            rustix::io::write(file, text.as_bytes())?;
            Ok(())
        };
        let line = format!("{inside} {outside} 1\n");
        write("setgroups", "deny")?;
        write("uid_map", &line)?;
        write("gid_map", &line)
    }

    /// A user namespace that says: what belongs to `inside` on disk belongs to `outside`.
    fn user_namespace(&self, inside: u32, outside: u32) -> io::Result<OwnedFd> {
        let (hold, release) = wire::pair()?;
        let flags = libc::CLONE_NEWUSER as u64;
        match sys::clone3(CloneInto { flags, cgroup: None })? {
            Cloned::Child => {
                drop(release);
                let mut byte = [0_u8; 1];
                let ended = rustix::io::read(&hold, &mut byte);
                sys::exit_now(i32::from(ended.is_err()))
            }
            Cloned::Parent { pid, .. } => {
                self.map_ids(pid, (inside, outside))?;
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let path = format!("{pid}/ns/user");
                let namespace = openat(&self.proc, path, flags, Mode::empty())?;
                drop(release);
                if !self.autoreaps {
                    reap(u32::try_from(pid).unwrap_or(0))?;
                }
                Ok(namespace)
            }
        }
    }

    /// A clone of a host path, made where the host's files can be seen.
    fn tree(&self, source: &CString, attrs: u64) -> io::Result<OwnedFd> {
        let kind = Some(LinkNameSpaceType::Mount);
        move_into_link_name_space(self.outer.as_fd(), kind)?;
        let path = Path::new(std::ffi::OsStr::from_bytes(source.as_bytes()));
        let tree = mounts::clone_path(path, attrs, None, Builder::User.depth());
        move_into_link_name_space(self.inner.as_fd(), kind)?;
        tree
    }

    fn net_namespace(&self, ports: &[u64], old: Option<&OwnedFd>) -> io::Result<net::Made> {
        let made = match old {
            Some(old) => enter_net(old.as_fd()).and_then(|()| net::open(&self.proc, ports)),
            None => net::make(&self.proc, ports),
        };
        enter_net(self.net.as_fd())?;
        made
    }
}

/// The descriptors of an order by their meaning.
struct Given<'a> {
    stdio: &'a [OwnedFd],
    scratch: &'a OwnedFd,
    net: Option<BorrowedFd<'a>>,
    cgroup: Option<BorrowedFd<'a>>,
    procs: &'a [OwnedFd],
    trees: &'a [OwnedFd],
}

impl<'a> Given<'a> {
    fn split(order: &Order, fds: &'a [OwnedFd]) -> Option<Self> {
        let (stdio, fds) = fds.split_at_checked(3)?;
        let (scratch, fds) = fds.split_first()?;
        let (net, fds) = fds.split_at_checked(order.net.into())?;
        let (cgroup, fds) = fds.split_at_checked(order.cgroup.into())?;
        let (procs, trees) = fds.split_at_checked(order.procs)?;
        let (net, cgroup) = (net.first().map(AsFd::as_fd), cgroup.first().map(AsFd::as_fd));
        Some(Self { stdio, scratch, net, cgroup, procs, trees })
    }
}

fn split(mut fds: Vec<OwnedFd>) -> Option<(OwnedFd, Vec<OwnedFd>)> {
    if fds.is_empty() {
        return None;
    }
    let reply = fds.remove(0);
    Some((reply, fds))
}

fn give(reply: &OwnedFd, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    wire::send(reply, &[DONE], fds)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

fn enter_net(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}

/// A descriptor of this thread's namespace of a kind.
pub(crate) fn namespace(proc: &OwnedFd, kind: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(proc, format!("thread-self/ns/{kind}"), flags, Mode::empty())?)
}

/// Where an ordinary user gets the right to mount: a namespace in which it is root.
fn own_user_namespace() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {} 1\n", uid.as_raw()))?;
    write("gid_map", format!("0 {} 1\n", gid.as_raw()))
}

/// A v1 migration of an otherwise quiet machine waits a grace period (about 10 ms) unless some
/// hierarchy is mounted with `favordynmods`. One of our own, without controllers and held by our
/// mount namespace alone, spares the host's hierarchies a change. Where it is refused, or where
/// there is no v1, nothing is lost but time.
fn keep_hierarchies_fast() -> Option<OwnedFd> {
    let options = [(c"none", c""), (c"name", c"sandbox"), (c"favordynmods", c"")];
    let attrs = mounts::NOSUID | mounts::NODEV | mounts::NOEXEC;
    mounts::create(c"cgroup", &options, attrs).ok()
}

/// Whether a pidfd tells how its process ended after that has been reaped (Linux 6.15).
fn exit_is_remembered() -> io::Result<bool> {
    match sys::clone3(CloneInto { flags: 0, cgroup: None })? {
        Cloned::Child => sys::exit_now(7),
        Cloned::Parent { pidfd, .. } => {
            sys::wait_status(&pidfd)?;
            let exit = sys::pid_info(pidfd.as_fd()).and_then(|info| info.exit);
            Ok(exit == Some(7 << 8))
        }
    }
}

fn reap(pid: u32) -> io::Result<i32> {
    let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    sys::waitpid(pid)
}
