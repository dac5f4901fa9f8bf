//! Which walls this machine can build. Asks the kernel by trying, in children that end at once;
//! changes nothing.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::cgroup::Groups;
use crate::sys;

macro_rules! walls {
    ($($(#[$doc:meta])* $name:ident = $says:literal,)+) => {
        /// One thing that keeps a box in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Wall { $($(#[$doc])* $name,)+ }

        impl Wall {
            /// Every wall, in the order of a report.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $says,)+ }
            }
        }
    };
}

walls! {
    /// A user namespace of its own, in which nobody is root.
    User = "user_namespace",
    /// A mount namespace of its own with a root of our making.
    Mount = "mount_namespace",
    /// A pid namespace: other processes cannot be named.
    Pid = "pid_namespace",
    /// A network namespace with loopback at most.
    Net = "network_namespace",
    /// System V and POSIX queues of its own.
    Ipc = "ipc_namespace",
    /// A host name of its own.
    Uts = "uts_namespace",
    /// cgroup paths that say nothing.
    CgroupNs = "cgroup_namespace",
    /// A time namespace.
    Time = "time_namespace",
    /// A host uid that no other box and no account has.
    DistinctUid = "distinct_uid",
    /// The system call filter.
    Seccomp = "seccomp",
    /// landlock, in any version.
    Landlock = "landlock",
    /// landlock over TCP ports (version 4).
    LandlockNet = "landlock_net",
    /// landlock over signals and abstract sockets (version 6).
    LandlockScope = "landlock_scope",
    /// A bound on memory, by cgroup.
    Memory = "memory_limit",
    /// A bound on processes: by cgroup, or by `RLIMIT_NPROC` over a distinct uid.
    Pids = "pids_limit",
    /// Shares and quotas of the processors, by cgroup.
    Cpu = "cpu_limit",
    /// Freezing a whole box.
    Freeze = "freeze",
    /// Killing a whole box at one stroke by cgroup. The pid namespace does it too.
    CgroupKill = "cgroup_kill",
    /// Overlay mounts on a tmpfs, inside a box.
    Overlay = "overlay",
    /// Mounts that map owners, for files of the server's uid.
    IdMap = "idmapped_mounts",
    /// Exit codes by pidfd, also for adopted boxes (Linux 6.15).
    ExitByPidfd = "exit_by_pidfd",
}

impl Wall {
    /// What a box needs before untrusted work may run in it. Bounds on memory and processors are
    /// not among them: whoever wants them adds them.
    pub const UNTRUSTED: &[Self] =
        &[Self::User, Self::Mount, Self::Pid, Self::Net, Self::Ipc, Self::Uts, Self::Seccomp];
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a wall stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does; with a word on how, where there is more than one way.
    Stands(String),
    /// It does not, for this reason.
    Missing(String),
}

/// What [`probe`] found, one line per wall. `Display` prints it for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    walls: Vec<(Wall, Standing)>,
}

impl Report {
    /// Every wall with its standing, in the order of [`Wall::ALL`].
    pub fn walls(&self) -> &[(Wall, Standing)] {
        &self.walls
    }

    /// Whether a wall stands.
    pub fn stands(&self, wall: Wall) -> bool {
        self.missing(wall).is_none()
    }

    /// Why a wall is missing; `None` if it stands.
    pub fn missing(&self, wall: Wall) -> Option<&str> {
        match self.walls.iter().find(|(found, _)| *found == wall) {
            Some((_, Standing::Missing(reason))) => Some(reason),
            Some((_, Standing::Stands(_))) => None,
            None => Some("not probed"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (wall, standing) in &self.walls {
            match standing {
                Standing::Stands(how) if how.is_empty() => {
                    writeln!(f, "{:20} stands", wall.name())?;
                }
                Standing::Stands(how) => writeln!(f, "{:20} stands ({how})", wall.name())?,
                Standing::Missing(why) => writeln!(f, "{:20} missing: {why}", wall.name())?,
            }
        }
        Ok(())
    }
}

/// Whether this process has the rights of the machine's root.
pub(crate) fn is_root() -> bool {
    let admin = capabilities(None).is_ok_and(|sets| {
        sets.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID)
    });
    geteuid().is_root() && admin
}

/// Tries every wall. Takes some milliseconds; the answer holds until the next boot or a change of
/// the system's settings.
pub fn probe() -> Report {
    let groups = Groups::find("probe");
    let walls = Wall::ALL.iter().map(|wall| (*wall, standing(*wall, &groups))).collect();
    Report { walls }
}

fn standing(wall: Wall, groups: &Groups) -> Standing {
    match wall {
        Wall::User => namespace(0),
        Wall::Mount => namespace(libc::CLONE_NEWNS),
        Wall::Pid => namespace(libc::CLONE_NEWPID),
        Wall::Net => namespace(libc::CLONE_NEWNET),
        Wall::Ipc => namespace(libc::CLONE_NEWIPC),
        Wall::Uts => namespace(libc::CLONE_NEWUTS),
        Wall::CgroupNs => namespace(libc::CLONE_NEWCGROUP),
        Wall::Time => namespace(libc::CLONE_NEWTIME),
        Wall::DistinctUid => rooted("without root every box has the uid of the server"),
        Wall::Seccomp => told(seccomp()),
        Wall::Landlock => landlock(1),
        Wall::LandlockNet => landlock(4),
        Wall::LandlockScope => landlock(6),
        Wall::Memory => by(groups.memory(), "no memory controller is ours"),
        Wall::Pids => pids(groups),
        Wall::Cpu => by(groups.cpu(), "no cpu controller is ours"),
        Wall::Freeze => by(groups.whole(), "no cgroup v2 is ours"),
        Wall::CgroupKill => by(groups.whole(), "no cgroup v2 is ours"),
        Wall::Overlay => told(overlay()),
        Wall::IdMap => idmap(),
        Wall::ExitByPidfd => told(exit_by_pidfd()),
    }
}

fn told(result: io::Result<()>) -> Standing {
    match result {
        Ok(()) => Standing::Stands(String::new()),
        Err(error) => Standing::Missing(error.to_string()),
    }
}

fn by(how: Option<String>, why: &str) -> Standing {
    how.map_or_else(|| Standing::Missing(why.to_owned()), Standing::Stands)
}

fn rooted(why: &str) -> Standing {
    if is_root() { Standing::Stands(String::new()) } else { Standing::Missing(why.to_owned()) }
}

fn namespace(flag: libc::c_int) -> Standing {
    #[expect(clippy::cast_sign_loss, reason = "clone flags are bits")]
    let flags = (libc::CLONE_NEWUSER | flag) as u32;
    told(sys::in_child(flags.into(), || 0).map(drop))
}

fn landlock(least: u32) -> Standing {
    match sys::landlock_abi() {
        Ok(abi) if abi >= least => Standing::Stands(format!("version {abi}")),
        Ok(abi) => Standing::Missing(format!("the kernel has version {abi}, not {least}")),
        Err(error) => Standing::Missing(error.to_string()),
    }
}

fn pids(groups: &Groups) -> Standing {
    match groups.pids() {
        Some(how) => Standing::Stands(how),
        None if is_root() => Standing::Stands("RLIMIT_NPROC of a distinct uid".to_owned()),
        None => Standing::Missing("no pids controller is ours and the uid is shared".to_owned()),
    }
}

/// In a child: a filter that lets everything through.
fn seccomp() -> io::Result<()> {
    let all = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 }];
    worked(sys::in_child(0, || {
        let set = rustix::thread::set_no_new_privs(true);
        code(set.map_err(io::Error::from).and_then(|()| sys::seccomp(&all)))
    })?)
}

/// In a child that is root of nothing but itself: an overlay whose upper is a tmpfs.
fn overlay() -> io::Result<()> {
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {} 1\n", geteuid().as_raw())),
        (c"/proc/self/gid_map", format!("0 {} 1\n", getegid().as_raw())),
    ];
    let flags = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u32;
    worked(sys::in_child(flags.into(), || code(try_overlay(&maps)))?)
}

fn try_overlay(maps: &[(&CStr, String)]) -> io::Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    for (file, map) in maps {
        let file = openat(CWD, *file, OFlags::WRONLY, Mode::empty())?;
        rustix::io::write(&file, map.as_bytes())?;
    }
    let tmpfs = crate::mounts::create(c"tmpfs", &[], 0)?;
    rustix::process::chdir(c"/")?;
    crate::mounts::attach(tmpfs.as_fd(), c"/proc")?;
    rustix::process::chdir(c"/proc")?;
    for name in [c"lower", c"upper", c"work"] {
        mkdirat(CWD, name, Mode::from_raw_mode(0o755))?;
    }
    let options = [
        (c"lowerdir", c"lower"),
        (c"upperdir", c"upper"),
        (c"workdir", c"work"),
        (c"userxattr", c""),
    ];
    crate::mounts::create(c"overlay", &options, 0).map(drop)
}

fn idmap() -> Standing {
    if !is_root() {
        return Standing::Missing("without root no file of the host can be mapped".to_owned());
    }
    // `mount_setattr` and idmapped mounts came in 5.12, for overlay layers in 5.19; a kernel with
    // landlock version 2 (5.19) has them for the usual file systems.
    if Path::new("/proc/self/ns/user").exists() && sys::landlock_abi().is_ok_and(|abi| abi >= 2) {
        Standing::Stands(String::new())
    } else {
        Standing::Missing("the kernel is older than 5.19".to_owned())
    }
}

fn exit_by_pidfd() -> io::Result<()> {
    match sys::clone3(sys::CloneInto { flags: 0, cgroup: None })? {
        sys::Cloned::Child => sys::exit_now(7),
        sys::Cloned::Parent { pidfd, .. } => {
            sys::wait_status(&pidfd)?;
            let known = sys::pid_info(pidfd.as_fd()).is_some_and(|info| info.exit.is_some());
            if known { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOTTY)) }
        }
    }
}

/// For the end of a child: 0, or the error number.
fn code(result: io::Result<()>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EINVAL), |()| 0)
}

/// What the child's end says.
fn worked(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}
