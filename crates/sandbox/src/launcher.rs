//! The host side: keeps a zygote, prepares what a box needs on the host, and orders it cloned.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
#[expect(
    clippy::disallowed_types,
    reason = "poisoning is harmless here and parking_lot is a dependency"
)]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use rustix::process::geteuid;

use crate::adopt::{Found, Record};
use crate::cgroup::{Group, Groups};
use crate::child::{Child, Place};
use crate::line::{self, Answer, Line};
use crate::mounts::{self, Depth};
use crate::order::{Order, Request};
use crate::plan::{Plan, Source};
use crate::scratch::{self, Scratch, ScratchLimits};
use crate::spec::{Owner, Spec};
use crate::uids::{UidLease, UidRange, Uids};
use crate::{Error, Report, Wall, blocks, net, probe, spec, template};

/// How a launcher works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Names the cgroup folder that holds all boxes of this launcher, and by which a later
    /// process finds them: the same after a restart, different for two servers on one machine.
    /// 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub prefix: String,
    /// The executable of the zygote, whose `main` must call [`zygote_main`](crate::zygote_main)
    /// or [`zygote_main_if_asked`](crate::zygote_main_if_asked). `None`: this very program.
    pub zygote: Option<PathBuf>,
    /// Host uids for boxes, used when this process is root.
    pub uids: UidRange,
    /// Folders of every box's root, beyond `/workspace`, `/session`, `/run`, `/tmp`,
    /// `/home/agent`, `/opt`, `/mnt` and `/srv`, on or below which mounts can stand.
    pub mount_points: Vec<PathBuf>,
}

impl Config {
    /// This program as its own zygote, the default uids, no further mount points.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            zygote: None,
            uids: UidRange::default(),
            mount_points: Vec::new(),
        }
    }
}

/// Starts boxes. May be used by many threads at once; every call blocks for a few milliseconds
/// at most, so a server calls it off its async threads.
///
/// Dropping it ends the zygote, not the boxes.
#[derive(Debug)]
pub struct Launcher {
    pub(crate) core: Arc<Core>,
}

/// What a launcher and its boxes share.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(crate) struct Core {
    config: Config,
    report: Report,
    pub(crate) groups: Groups,
    uids: Arc<Uids>,
    root: bool,
    null: OwnedFd,
    zygote: Mutex<Option<Arc<Line>>>,
}

impl Launcher {
    /// Probes the machine, makes the cgroup folders and starts a zygote. To be called early, in
    /// a process that has few secrets in its memory yet; takes about 10 ms.
    pub fn start(config: Config) -> Result<Self, Error> {
        spec::check_id(&config.prefix)?;
        let report = probe();
        for wall in [Wall::User, Wall::Mount, Wall::Pid] {
            require(&report, wall)?;
        }
        let groups = Groups::find(&config.prefix);
        groups.prepare()?;
        let uids = Uids::new(config.uids, Path::new(blocks::PLACE));
        let root = probe::is_root();
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(Error::host("open /dev/null"))?.into();
        let core = Core { config, report, groups, uids, root, null, zygote: no_zygote() };
        core.line()?;
        Ok(Self { core: Arc::new(core) })
    }

    /// Which walls stand.
    pub fn report(&self) -> &Report {
        &self.core.report
    }

    /// Makes the scratch of a box to come, and leases its uid.
    pub fn scratch(&self, limits: &ScratchLimits) -> Result<Scratch, Error> {
        let core = &self.core;
        let options = limits.options()?;
        let lease = if core.root { core.uids.lease()? } else { UidLease::own(geteuid().as_raw()) };
        let root = if core.root {
            let options: Vec<_> =
                options.iter().map(|(key, value)| (key.as_c_str(), value.as_c_str())).collect();
            mounts::create(c"tmpfs", &options, mounts::NOSUID | mounts::NODEV)
                .map_err(Error::host("make a scratch"))?
        } else {
            core.ask_for_fd(&Request::Scratch { options })?
        };
        let scratch = Scratch::new(root, lease, template::INSIDE);
        scratch.lay_out()?;
        Ok(scratch)
    }

    /// Builds a box and returns once its program is executed. On failure nothing of it is left,
    /// its scratch included.
    pub fn spawn(&self, spec: Spec, scratch: Scratch) -> Result<Child, Error> {
        spec.check()?;
        let core = &self.core;
        for wall in spec.require.iter().copied().chain(spec.needs(core.root)) {
            require(&core.report, wall)?;
        }
        let plan = Plan::new(&spec, &scratch, &core.config.mount_points)?;
        let trees = plan.sources.iter().map(|source| core.tree(source, scratch.uid()));
        let trees = trees.collect::<Result<Vec<_>, _>>()?;
        let stdio = standard_descriptors(&spec.stdio, &core.null);
        let outside = if core.root { scratch.uid() } else { 0 };
        let order = plan.order(&spec, outside)?;
        let group = core.groups.create(&spec.id, &spec.limits)?;
        let parts = Parts {
            stdio: &stdio,
            scratch: scratch.dir(),
            net: spec.net.as_deref(),
            trees: &trees,
        };
        match core.clone_box(order, &group, &parts) {
            Ok(process) => {
                Ok(Child::new(spec.id, process, Place { group, scratch, core: Arc::clone(core) }))
            }
            Err(error) => {
                group.kill();
                group.remove()?;
                Err(error)
            }
        }
    }

    /// Takes over a box that an earlier process recorded, or finds that it is gone; of a box that
    /// is gone, what was left is removed.
    pub fn adopt(&self, record: &Record) -> Result<Found, Error> {
        record.find(&self.core)
    }

    /// Ends and removes every box of this launcher's prefix whose id is not among `known`.
    /// Returns the ids it removed. Finds boxes by their cgroups: where a machine gives none,
    /// unknown boxes are found by nobody.
    pub fn sweep(&self, known: &[&str]) -> Result<Vec<String>, Error> {
        let mut swept = Vec::new();
        for id in self.core.groups.ids() {
            if !known.contains(&id.as_str()) {
                let group = self.core.groups.group(&id);
                group.kill();
                group.remove()?;
                swept.push(id);
            }
        }
        Ok(swept)
    }

    /// Removes the cgroup folders of other launchers that are dead, such as were killed and will
    /// not start again, where nothing of their boxes lives. `is_prefix` says of a folder's name
    /// whether it is a prefix of a launcher; those that live hold a lock, which the kernel knows.
    /// Returns the prefixes.
    pub fn sweep_dead(&self, is_prefix: impl Fn(&str) -> bool) -> BTreeSet<String> {
        self.core.groups.sweep_dead(is_prefix)
    }

    pub(crate) fn net_namespace(
        &self,
        ports: &[u16],
        old: Option<OwnedFd>,
    ) -> Result<net::Made, Error> {
        let ports: Vec<_> = ports.iter().map(|port| u64::from(*port)).collect();
        if !self.core.root {
            let old: Vec<_> = old.iter().map(AsFd::as_fd).collect();
            let answer = self.core.ask(&Request::NetNs { ports }, &old)?;
            let mut fds = answer.fds.into_iter();
            let namespace = fds.next().ok_or_else(Answer::incomplete)?;
            let sockstat = fds.next().ok_or_else(Answer::incomplete)?;
            return Ok(net::Made { namespace, sockstat, listeners: fds.collect() });
        }
        let made = net::on_thread(|| {
            let proc = std::fs::File::open("/proc")?.into();
            match old {
                Some(old) => net::enter(&old).and_then(|()| net::open(&proc, &ports)),
                None => net::make(&proc, &ports),
            }
        });
        made.map_err(Error::host("prepare a network namespace"))
    }

    /// The process id of the zygote, for tests and diagnosis.
    pub fn zygote_pid(&self) -> Result<u32, Error> {
        let line = self.core.line()?;
        Ok(u32::try_from(line.process).unwrap_or(0))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.groups.remove_if_empty();
    }
}

#[expect(clippy::disallowed_types, reason = "as above")]
fn no_zygote() -> Mutex<Option<Arc<Line>>> {
    Mutex::new(None)
}

fn require(report: &Report, wall: Wall) -> Result<(), Error> {
    match report.missing(wall) {
        None => Ok(()),
        Some(reason) => Err(Error::Missing { wall, reason: reason.to_owned() }),
    }
}

/// Descriptors 0, 1 and 2 of a box, with `null` for what is not given.
fn standard_descriptors<'a>(stdio: &'a spec::Stdio, null: &'a OwnedFd) -> [BorrowedFd<'a>; 3] {
    [&stdio.stdin, &stdio.stdout, &stdio.stderr].map(|fd| fd.as_ref().unwrap_or(null).as_fd())
}

/// The descriptors of a box on the host.
struct Parts<'a> {
    stdio: &'a [BorrowedFd<'a>],
    scratch: BorrowedFd<'a>,
    net: Option<&'a OwnedFd>,
    trees: &'a [OwnedFd],
}

impl Core {
    /// Clones the box and follows it until its program runs.
    fn clone_box(
        &self,
        mut order: Order,
        group: &Group,
        parts: &Parts<'_>,
    ) -> Result<(u32, OwnedFd), Error> {
        let (cgroup, procs) = group.open()?;
        order.cgroup = cgroup.is_some();
        order.procs = procs.len();
        let mut fds = parts.stdio.to_vec();
        fds.push(parts.scratch);
        fds.extend(parts.net.map(AsFd::as_fd));
        fds.extend(cgroup.as_ref().map(AsFd::as_fd));
        fds.extend(procs.iter().map(AsFd::as_fd));
        fds.extend(parts.trees.iter().map(AsFd::as_fd));
        let mut answer = self.ask(&Request::Spawn(Box::new(order)), &fds)?;
        let pid = u32::try_from(answer.number()?).map_err(|_| Answer::incomplete())?;
        let pidfd = answer.fds.pop().ok_or_else(Answer::incomplete)?;
        match line::follow(&answer) {
            Ok(()) => Ok((pid, pidfd)),
            Err(error) => {
                let signal = rustix::process::Signal::KILL;
                // It may have ended by itself already.
                rustix::process::pidfd_send_signal(&pidfd, signal).ok();
                self.reap_if_needed(pid).ok();
                Err(error)
            }
        }
    }

    /// Clones a path of the host as the box is to see it.
    fn tree(&self, source: &Source, uid: u32) -> Result<OwnedFd, Error> {
        let doing = || format!("clone {}", source.path.display());
        if !self.root {
            let text = CString::new(source.path.as_os_str().as_bytes())
                .map_err(|_| Error::Invalid("a path contains a zero byte".to_owned()))?;
            return self.ask_for_fd(&Request::Tree { source: text, attrs: source.attrs });
        }
        let ours = geteuid().as_raw();
        let map =
            match source.owner {
                Owner::Mapped => Some(self.uids.map(uid, || {
                    self.ask_for_fd(&Request::UserNs { inside: ours, outside: uid })
                })?),
                Owner::Unmapped => None,
            };
        let map = map.as_deref().map(AsFd::as_fd);
        mounts::clone_path(&source.path, source.attrs, map, Depth::One)
            .map_err(Error::host(doing()))
    }

    fn ask_for_fd(&self, request: &Request) -> Result<OwnedFd, Error> {
        self.ask(request, &[])?.fds.pop().ok_or_else(Answer::incomplete)
    }

    /// The scratch of a living box of an earlier process.
    pub(crate) fn open_scratch(&self, pid: u32, uid: u32) -> Result<Scratch, Error> {
        let above = scratch::root_of(pid)?;
        let root = if self.root {
            scratch::open_below(&above)
                .map_err(Error::host(format!("open the scratch of {pid}")))?
        } else {
            let mut answer = self.ask(&Request::Open, &[above.as_fd()])?;
            answer.fds.pop().ok_or_else(Answer::incomplete)?
        };
        let lease = if self.root { self.uids.adopt(uid) } else { UidLease::own(uid) };
        Ok(Scratch::new(root, lease, template::INSIDE))
    }

    /// The wait status of a box, where only its parent, the zygote, can know it.
    pub(crate) fn reap_if_needed(&self, pid: u32) -> Result<Option<i32>, Error> {
        if self.line()?.autoreaps {
            return Ok(None);
        }
        self.ask(&Request::Reap { pid }, &[])?.number().map(Some)
    }

    /// Asks the zygote; starts another one if it is gone and asks that, once.
    fn ask(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Answer, Error> {
        let line = self.line()?;
        match line::ask(&line, request, fds) {
            Err(Error::Zygote(_)) => {
                self.forget(&line);
                line::ask(&*self.line()?, request, fds)
            }
            other => other,
        }
    }

    fn line(&self) -> Result<Arc<Line>, Error> {
        let mut zygote = self.zygote.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = &*zygote {
            return Ok(Arc::clone(line));
        }
        let line = Arc::new(line::start(self.config.zygote.as_deref(), &self.config.mount_points)?);
        *zygote = Some(Arc::clone(&line));
        Ok(line)
    }

    fn forget(&self, dead: &Arc<Line>) {
        let mut zygote = self.zygote.lock().unwrap_or_else(PoisonError::into_inner);
        if zygote.as_ref().is_some_and(|line| Arc::ptr_eq(line, dead)) {
            *zygote = None;
        }
    }
}
