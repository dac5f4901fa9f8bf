//! What a box sees and may use, as its owner says it. Plain data; checked by [`Spec::check`]
//! before anything is built.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::probe::Wall;

/// The most mounts in one box.
const MOUNTS_MAX: usize = 32;
/// The most overlays in one box.
pub(crate) const OVERLAYS_MAX: usize = 8;
/// The most lower folders of all overlays of a box.
pub(crate) const LOWERS_MAX: usize = 8;
/// The most arguments, and the most variables.
const STRINGS_MAX: usize = 4096;

/// A box to build.
#[derive(Debug)]
pub struct Spec {
    /// Names the box's cgroups and its record: 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub id: String,
    /// The program, as an absolute path inside the box, and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment of the program; nothing is added.
    pub env: Vec<(OsString, OsString)>,
    /// Where the program starts, inside the box.
    pub cwd: PathBuf,
    /// What `uname -n` says, 1 to 63 bytes.
    pub hostname: String,
    /// Folders and files of the host, in the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// A folder of the host that appears read-only at `/run`: the place for unix sockets. A
    /// folder, so that a socket can be made anew while the box lives. A socket must be writable
    /// for others (mode 0666) and the folder passable (0711).
    pub run: Option<PathBuf>,
    /// A network namespace from a [`NetPool`](crate::NetPool), by
    /// [`NetNs::handle`](crate::NetNs::handle). Without it the box has a fresh one in which not even loopback is
    /// up.
    pub net: Option<Arc<OwnedFd>>,
    /// The TCP ports that may be connected to and bound.
    pub ports: Ports,
    /// Standard descriptors.
    pub stdio: Stdio,
    /// Bounds on what it uses.
    pub limits: Limits,
    /// Walls without which the box must not start. [`Wall::UNTRUSTED`] by default.
    pub require: Vec<Wall>,
}

impl Spec {
    /// A box that runs `argv` with an empty environment in `/tmp`, without mounts or network.
    pub fn new<A: Into<OsString>>(
        id: impl Into<String>,
        argv: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            id: id.into(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: PathBuf::from("/tmp"),
            hostname: "box".to_owned(),
            mounts: Vec::new(),
            run: None,
            net: None,
            ports: Ports::Any,
            stdio: Stdio::default(),
            limits: Limits::default(),
            require: Wall::UNTRUSTED.to_vec(),
        }
    }

    /// Holds every rule that needs no look at the machine.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_id(&self.id)?;
        let program = self.argv.first().map(Path::new);
        ensure(program.is_some_and(is_plain), "argv[0] must be a plain absolute path")?;
        ensure(self.argv.len() <= STRINGS_MAX, "more than 4096 arguments")?;
        ensure(self.env.len() <= STRINGS_MAX, "more than 4096 variables")?;
        ensure(is_plain(&self.cwd), "cwd must be a plain absolute path")?;
        let hostname = self.hostname.as_bytes();
        let letters =
            hostname.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte));
        ensure((1..=63).contains(&hostname.len()) && letters, "the host name is not one")?;
        ensure(self.mounts.len() <= MOUNTS_MAX, "more than 32 mounts")?;
        for mount in &self.mounts {
            ensure(is_plain(&mount.target), "a target must be a plain absolute path")?;
            ensure(mount.target != Path::new("/"), "a target cannot be the root")?;
        }
        let lowers = self.mounts.iter().map(|mount| match &mount.view {
            View::Overlay { lowers, .. } => lowers.len(),
            View::Bind { .. } => 0,
        });
        ensure(lowers.clone().sum::<usize>() <= LOWERS_MAX, "more than 8 lower folders")?;
        let overlays =
            self.mounts.iter().filter(|mount| matches!(mount.view, View::Overlay { .. }));
        ensure(overlays.count() <= OVERLAYS_MAX, "more than 8 overlays")?;
        let empty = self
            .mounts
            .iter()
            .any(|mount| matches!(&mount.view, View::Overlay { lowers, .. } if lowers.is_empty()));
        ensure(!empty, "an overlay needs a lower folder")?;
        for (key, _) in &self.env {
            let sound = !key.is_empty() && !key.as_bytes().contains(&b'=');
            ensure(sound, "a variable's name is empty or contains '='")?;
        }
        self.limits.check()
    }
}

impl Spec {
    /// The walls without which its mounts cannot be made; as root owners are mapped by mounts.
    pub(crate) fn needs(&self, is_root: bool) -> impl Iterator<Item = Wall> {
        let views = || self.mounts.iter().map(|mount| &mount.view);
        let overlay = views().any(|view| matches!(view, View::Overlay { .. }));
        let mapped = is_root
            && views().any(|view| match view {
                View::Bind { owner, .. } | View::Overlay { owner, .. } => *owner == Owner::Mapped,
            });
        let overlay = overlay.then_some(Wall::Overlay);
        overlay.into_iter().chain(mapped.then_some(Wall::IdMap))
    }
}

/// One thing of the host at one place in the box. Always `nosuid` and `nodev`.
#[derive(Debug, Clone)]
pub struct Mount {
    /// An absolute path inside the box without `.` or `..`. It must be a mount point of the root
    /// ([`Config::mount_points`](crate::Config::mount_points)), lie below one, or lie below an
    /// earlier mount; below a bind it must exist, below an overlay or a mount point it is made.
    pub target: PathBuf,
    /// What appears there.
    pub view: View,
}

/// How a folder or file of the host appears.
#[derive(Debug, Clone)]
pub enum View {
    /// The thing itself.
    Bind {
        /// A folder or file of the host.
        source: PathBuf,
        /// Whether the box may write to it.
        mode: Mode,
        /// Whom its files belong to inside the box.
        owner: Owner,
    },
    /// A private copy-on-write view; what the box changes lands in the folder `upper/<n>` of its
    /// scratch, `n` counting the overlays of the box from 0 in their order. Deleted names are
    /// character devices 0/0 there; replaced folders carry the attribute `user.overlay.opaque`.
    Overlay {
        /// Folders of the host, the topmost first. They must not change while the box lives.
        lowers: Vec<PathBuf>,
        /// Whom the files of the lowers belong to inside the box.
        owner: Owner,
    },
}

/// Whether a box may write somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Read-only, by the kernel.
    ReadOnly,
    /// Writable.
    ReadWrite,
}

/// Whom files of the host belong to inside a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// To whom they belong on the host, who is nobody in the box: readable as far as their mode
    /// lets others.
    Unmapped,
    /// What belongs to the uid and gid of this process on the host belongs to the box, by an
    /// idmapped mount. Needs [`Wall::IdMap`] where the box has its own uid.
    Mapped,
}

/// TCP ports a box may use, by landlock (version 4 on).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Any port. The network namespace is empty but for loopback, so this reaches the listeners
    /// held from outside and what the box itself serves.
    Any,
    /// It connects to these and binds none.
    Only(Vec<u16>),
}

/// The standard descriptors of a box; what is `None` is `/dev/null`.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Option<OwnedFd>,
    /// Descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Descriptor 2.
    pub stderr: Option<OwnedFd>,
}

/// Bounds on a box. Memory counts tmpfs pages too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes, by cgroup. `None`: unbounded. At least 1 MiB.
    pub memory_bytes: Option<u64>,
    /// Processes and threads, by cgroup where there is one and by `RLIMIT_NPROC` everywhere.
    /// 1 to 32,768.
    pub pids: u32,
    /// Share of the processors. `None`: like everybody.
    pub cpu: Option<Cpu>,
    /// The largest file it can write, in bytes.
    pub file_bytes: u64,
    /// Open descriptors per process. 16 to 1,048,576.
    pub open_files: u64,
}

/// A share of the processors, by cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Weight against others, 1 to 10,000; 100 is usual.
    pub weight: u32,
    /// At most so many thousandths of one processor. 10 to 1,000,000.
    pub quota_milli: Option<u32>,
}

impl Default for Limits {
    /// 2 GiB of memory, 512 processes, files of 1 GiB, 4,096 descriptors.
    fn default() -> Self {
        Self {
            memory_bytes: Some(2 << 30),
            pids: 512,
            cpu: None,
            file_bytes: 1 << 30,
            open_files: 4096,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), Error> {
        ensure(
            self.memory_bytes.is_none_or(|bytes| bytes >= 1 << 20),
            "less than 1 MiB of memory",
        )?;
        ensure((1..=32_768).contains(&self.pids), "pids must be 1 to 32768")?;
        ensure((16..=1 << 20).contains(&self.open_files), "open_files must be 16 to 1048576")?;
        let Some(cpu) = self.cpu else { return Ok(()) };
        ensure((1..=10_000).contains(&cpu.weight), "the cpu weight must be 1 to 10000")?;
        let quota = cpu.quota_milli.unwrap_or(1000);
        ensure((10..=1_000_000).contains(&quota), "the cpu quota must be 10 to 1000000")
    }
}

pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let letters = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    ensure((1..=64).contains(&id.len()) && letters, "an id is 1 to 64 of a-z A-Z 0-9 _ -")
}

fn ensure(holds: bool, rule: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Invalid(rule.to_owned())) }
}

/// Absolute, without `.`, `..` or NUL; a dot that begins a name (`/.git`) is fine.
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.first() == Some(&b'/')
        && !bytes.contains(&0)
        && bytes.split(|byte| *byte == b'/').all(|part| part != b"." && part != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_absolute_and_goes_nowhere_but_down() {
        for good in ["/", "/a", "/a/b", "/a/.git", "/..a"] {
            assert!(is_plain(Path::new(good)), "{good}");
        }
        for bad in ["", "a", "./a", "/a/..", "/../a", "/a/./b", "/a/../b", "/a\0"] {
            assert!(!is_plain(Path::new(bad)), "{bad}");
        }
    }

    #[test]
    fn a_specification_that_breaks_a_rule_is_refused() {
        let check = |change: fn(&mut Spec)| {
            let mut spec = Spec::new("box", ["/usr/bin/true"]);
            change(&mut spec);
            assert!(matches!(spec.check(), Err(Error::Invalid(_))), "{spec:?}");
        };
        Spec::new("box", ["/usr/bin/true"]).check().unwrap();
        check(|spec| spec.id = "../x".to_owned());
        check(|spec| spec.argv.clear());
        check(|spec| spec.argv[0] = "true".into());
        check(|spec| spec.cwd = PathBuf::from("tmp"));
        check(|spec| spec.hostname = "a b".to_owned());
        check(|spec| spec.env.push(("A=B".into(), "c".into())));
        check(|spec| spec.limits.pids = 0);
        check(|spec| spec.limits.open_files = 1);
        check(|spec| spec.limits.memory_bytes = Some(0));
        check(|spec| spec.limits.cpu = Some(Cpu { weight: 0, quota_milli: None }));
        check(|spec| {
            let view = View::Overlay { lowers: Vec::new(), owner: Owner::Mapped };
            spec.mounts.push(Mount { target: PathBuf::from("/workspace"), view });
        });
    }
}
