//! Control groups of boxes, v2 or v1 as the machine has them, below one folder per hierarchy that
//! carries the launcher's prefix. Where there are none, a box is bounded by rlimits alone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, CWD, Mode, OFlags, access, openat};

use crate::spec::Limits;
use crate::{Error, Stats, probe};

/// The v1 controllers we use.
const V1: [&str; 4] = ["memory", "pids", "cpu", "freezer"];
/// The v2 controllers we ask for.
const V2: [&str; 3] = ["memory", "pids", "cpu"];
/// How long the kernel may take to empty or freeze a group.
const DEADLINE: Duration = Duration::from_secs(5);

/// The hierarchies of this machine in which we may make groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Groups {
    prefix: String,
    /// The folder of v2 below which our folder stands, and the controllers it has to give.
    v2: Option<(PathBuf, Vec<String>)>,
    /// Mount points of v1 controllers.
    v1: Vec<(&'static str, PathBuf)>,
}

impl Groups {
    /// Looks; makes nothing.
    pub(crate) fn find(prefix: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let (mut v1, mut v2) = (Vec::new(), None);
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(place), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let place = Path::new(place);
            match kind {
                "cgroup" => v1.extend(V1.into_iter().filter_map(|name| {
                    let ours = options.split(',').any(|option| option == name) && is_ours(place);
                    ours.then(|| (name, place.to_owned()))
                })),
                "cgroup2" if v2.is_none() => v2 = find_v2(place, &own),
                _ => {}
            }
        }
        let has = |name: &str| v2.as_ref().is_some_and(|(_, list)| list.iter().any(|c| c == name));
        // One freezer is enough, and what v2 controls v1 cannot.
        let freezes = v2.is_some();
        v1.retain(|(name, _)| match *name {
            "freezer" => !freezes,
            // A v1 group costs a tenth of a start, and `RLIMIT_NPROC` bounds a distinct uid too.
            "pids" => !has(name) && !probe::is_root(),
            _ => !has(name),
        });
        v1.sort_unstable();
        v1.dedup_by_key(|(name, _)| *name);
        Self { prefix: prefix.to_owned(), v2, v1 }
    }

    /// Makes our folder in each hierarchy and lets v2 controllers down into it.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        for (_, place) in &self.v1 {
            make(&place.join(&self.prefix))?;
        }
        let Some((parent, controllers)) = &self.v2 else { return Ok(()) };
        if !controllers.is_empty() {
            let control = |name: &String| V2.contains(&name.as_str()).then(|| format!("+{name} "));
            let enable: String = controllers.iter().filter_map(control).collect();
            self.enable_below(parent, &enable)?;
            make(&parent.join(&self.prefix))?;
            return write(&parent.join(&self.prefix).join("cgroup.subtree_control"), &enable);
        }
        make(&parent.join(&self.prefix))
    }

    /// A group with processes cannot hand controllers down; if it is we who are in it, we go one
    /// level down first, as a delegated service is expected to.
    fn enable_below(&self, parent: &Path, enable: &str) -> Result<(), Error> {
        let control = parent.join("cgroup.subtree_control");
        match fs::write(&control, enable) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let leaf = parent.join(format!("{}-host", self.prefix));
                make(&leaf)?;
                write(&leaf.join("cgroup.procs"), &std::process::id().to_string())?;
                write(&control, enable)
            }
            other => other.map_err(Error::host(format!("write {}", control.display()))),
        }
    }

    pub(crate) fn memory(&self) -> Option<String> {
        self.how("memory")
    }

    pub(crate) fn pids(&self) -> Option<String> {
        self.how("pids")
    }

    pub(crate) fn cpu(&self) -> Option<String> {
        self.how("cpu")
    }

    pub(crate) fn freezer(&self) -> Option<String> {
        self.kill().or_else(|| self.how("freezer"))
    }

    pub(crate) fn kill(&self) -> Option<String> {
        self.v2.as_ref().map(|_| "cgroup v2".to_owned())
    }

    fn how(&self, controller: &str) -> Option<String> {
        let v2 = self.v2.iter().any(|(_, list)| list.iter().any(|name| name == controller));
        let v1 = self.v1.iter().any(|(name, _)| *name == controller);
        if v2 { Some("cgroup v2".to_owned()) } else { v1.then(|| "cgroup v1".to_owned()) }
    }

    /// The group a box of that id has; does not make it.
    pub(crate) fn group(&self, id: &str) -> Group {
        let below = |place: &Path| place.join(&self.prefix).join(id);
        Group {
            v2: self.v2.as_ref().map(|(parent, list)| (below(parent), list.clone())),
            v1: self.v1.iter().map(|(name, place)| (*name, below(place))).collect(),
            tail: format!("/{}/{id}", self.prefix),
        }
    }

    /// Makes the group of a box with its bounds. Controllers without a bound to hold are left
    /// out, for each costs time.
    pub(crate) fn create(&self, id: &str, limits: &Limits) -> Result<Group, Error> {
        let mut group = self.group(id);
        group.v1.retain(|(name, _)| match *name {
            "memory" => limits.memory_bytes.is_some(),
            "cpu" => limits.cpu.is_some(),
            _ => true,
        });
        if group.exists() {
            return Err(Error::Exists(id.to_owned()));
        }
        // Another launcher of this prefix takes our folder with it when it ends: an earlier server.
        let made = group.make(limits).or_else(|_| self.prepare().and_then(|()| group.make(limits)));
        if let Err(error) = made {
            // What was made is ours and empty; the first failure is the one to tell.
            group.remove().ok();
            return Err(error);
        }
        Ok(group)
    }

    /// The ids of all groups below our folder.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        let v2 = self.v2.iter().map(|(parent, _)| parent);
        let places = v2.chain(self.v1.iter().map(|(_, place)| place));
        let list = |place: &PathBuf| fs::read_dir(place.join(&self.prefix)).ok();
        let folders = places.filter_map(list).flatten().flatten();
        let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes our own folders, if nothing is left in them.
    pub(crate) fn remove_if_empty(&self) {
        let v2 = self.v2.iter().map(|(parent, _)| parent);
        for place in v2.chain(self.v1.iter().map(|(_, place)| place)) {
            // A folder with boxes stays: that is the point of asking the kernel.
            fs::remove_dir(place.join(&self.prefix)).ok();
        }
    }
}

fn is_ours(place: &Path) -> bool {
    access(place, Access::WRITE_OK).is_ok()
}

/// The folder of v2 we may build in: the one we are in, or the root of a hierarchy of ours.
fn find_v2(mount: &Path, own: &str) -> Option<(PathBuf, Vec<String>)> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let delegated = mount.join(own);
    let parent = [delegated, mount.to_owned()].into_iter().find(|place| {
        is_ours(place)
            && is_ours(&place.join("cgroup.procs"))
            && (probe::is_root() || place != mount)
    })?;
    let controllers = fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
    let usable = is_ours(&parent.join("cgroup.subtree_control"));
    let controllers = if usable { controllers } else { String::new() };
    Some((parent, controllers.split_whitespace().map(str::to_owned).collect()))
}

fn make(place: &Path) -> Result<(), Error> {
    match fs::create_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(Error::host(format!("make the cgroup {}", place.display()))),
    }
}

fn write(file: &Path, value: &str) -> Result<(), Error> {
    fs::write(file, value).map_err(Error::host(format!("write {value:?} to {}", file.display())))
}

/// The control groups of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    v2: Option<(PathBuf, Vec<String>)>,
    v1: Vec<(&'static str, PathBuf)>,
    /// How the paths of its processes end in `/proc/<pid>/cgroup`.
    tail: String,
}

impl Group {
    fn make(&self, limits: &Limits) -> Result<(), Error> {
        if let Some((place, controllers)) = &self.v2 {
            make(place)?;
            let has = |name: &str| controllers.iter().any(|controller| controller == name);
            limits_v2(place, limits, has)?;
        }
        for (name, place) in &self.v1 {
            make(place)?;
            limits_v1(name, place, limits)?;
        }
        Ok(())
    }

    /// A descriptor of the v2 group to be born in, and the files to write a pid to for v1.
    pub(crate) fn open(&self) -> Result<(Option<OwnedFd>, Vec<OwnedFd>), Error> {
        let open = |path: &Path, flags: OFlags| {
            openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
                .map_err(Error::host(format!("open {}", path.display())))
        };
        let v2 = self.v2.as_ref().map(|(place, _)| open(place, OFlags::RDONLY)).transpose()?;
        let procs =
            self.v1.iter().map(|(_, place)| open(&place.join("cgroup.procs"), OFlags::WRONLY));
        Ok((v2, procs.collect::<Result<_, _>>()?))
    }

    /// Whether there is any group at all to recognise the box by.
    pub(crate) fn exists(&self) -> bool {
        self.folders().any(|place| place.exists())
    }

    /// Whether a process is in it, by what the kernel says of the process.
    pub(crate) fn holds(&self, pid: u32) -> bool {
        let paths = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        paths.lines().any(|line| line.ends_with(&self.tail))
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.v2.iter().map(|(place, _)| place).chain(self.v1.iter().map(|(_, place)| place))
    }

    fn v1(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|(name, _)| *name == controller);
        found.map(|(_, place)| place.as_path())
    }

    /// Every process in it, in any hierarchy.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        let read = |place: &PathBuf| fs::read_to_string(place.join("cgroup.procs")).ok();
        let texts: Vec<_> = self.folders().filter_map(read).collect();
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills everything in it. Without v2 one process after another, until none is left.
    pub(crate) fn kill(&self) {
        if let Some((place, _)) = &self.v2 {
            // A group that is gone has nothing to kill; what else fails shows in `remove`.
            fs::write(place.join("cgroup.kill"), "1").ok();
        } else {
            self.freeze_v1("THAWED").ok();
            for pid in self.pids() {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
        }
    }

    /// Removes it, waiting for processes that are about to be gone.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for place in self.folders() {
            let gone = until(DEADLINE, || match fs::remove_dir(place) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => None,
                Err(error) if error.kind() != io::ErrorKind::NotFound => Some(Err(error)),
                _ => Some(Ok(())),
            });
            gone.ok_or(Error::Stuck("leave its cgroup"))?
                .map_err(Error::host(format!("remove {}", place.display())))?;
        }
        Ok(())
    }

    /// Freezes or thaws all of it and waits until that is so.
    pub(crate) fn set_frozen(&self, frozen: bool) -> Result<(), Error> {
        let doing = if frozen { "freeze" } else { "thaw" };
        let Some((place, _)) = &self.v2 else {
            let state = if frozen { "FROZEN" } else { "THAWED" };
            return self.freeze_v1(state);
        };
        write(&place.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = format!("frozen {}", u8::from(frozen));
        let reached = until(DEADLINE, || {
            let events = fs::read_to_string(place.join("cgroup.events")).ok()?;
            events.lines().any(|line| line == wanted).then_some(())
        });
        reached.ok_or(Error::Stuck(doing))
    }

    fn freeze_v1(&self, state: &str) -> Result<(), Error> {
        let reason = || "neither cgroup v2 nor a v1 freezer is ours".to_owned();
        let place = self
            .v1("freezer")
            .ok_or_else(|| Error::Missing { wall: probe::Wall::Freeze, reason: reason() })?;
        let file = place.join("freezer.state");
        write(&file, state)?;
        let reached = || fs::read_to_string(&file).is_ok_and(|now| now.trim() == state);
        until(DEADLINE, || reached().then_some(())).ok_or(Error::Stuck("freeze"))
    }

    pub(crate) fn stats(&self) -> Stats {
        let number = |place: Option<&Path>, file: &str| {
            fs::read_to_string(place?.join(file)).ok()?.trim().parse().ok()
        };
        let v2 = self.v2.as_ref().map(|(place, _)| place.as_path());
        let field = |place: Option<&Path>, file: &str, name: &str| {
            let text = fs::read_to_string(place?.join(file)).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        let memory_bytes = number(v2, "memory.current")
            .or_else(|| number(self.v1("memory"), "memory.usage_in_bytes"));
        let memory_bytes_max = number(v2, "memory.peak")
            .or_else(|| number(self.v1("memory"), "memory.max_usage_in_bytes"));
        let pids = number(v2, "pids.current")
            .or_else(|| number(self.v1("pids"), "pids.current"))
            .or_else(|| self.exists().then(|| self.pids().len() as u64));
        let cpu = field(v2, "cpu.stat", "usage_usec ").map(Duration::from_micros);
        let oom_kills = field(v2, "memory.events", "oom_kill ")
            .or_else(|| field(self.v1("memory"), "memory.oom_control", "oom_kill "));
        Stats { memory_bytes, memory_bytes_max, pids, cpu, oom_kills }
    }
}

fn limits_v2(place: &Path, limits: &Limits, has: impl Fn(&str) -> bool) -> Result<(), Error> {
    if has("memory")
        && let Some(bytes) = limits.memory_bytes
    {
        write(&place.join("memory.max"), &bytes.to_string())?;
        write(&place.join("memory.oom.group"), "1")?;
        // Absent without swap accounting, where there is nothing to bound.
        fs::write(place.join("memory.swap.max"), "0").ok();
    }
    if has("pids") {
        write(&place.join("pids.max"), &limits.pids.to_string())?;
    }
    if has("cpu")
        && let Some(cpu) = limits.cpu
    {
        write(&place.join("cpu.weight"), &cpu.weight.to_string())?;
        if let Some(milli) = cpu.quota_milli {
            write(&place.join("cpu.max"), &format!("{} 100000", u64::from(milli) * 100))?;
        }
    }
    Ok(())
}

fn limits_v1(controller: &str, place: &Path, limits: &Limits) -> Result<(), Error> {
    match (controller, limits.memory_bytes, limits.cpu) {
        ("memory", Some(bytes), _) => {
            write(&place.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // Absent without swap accounting, where there is nothing to bound.
            fs::write(place.join("memory.memsw.limit_in_bytes"), bytes.to_string()).ok();
        }
        ("pids", ..) => write(&place.join("pids.max"), &limits.pids.to_string())?,
        ("cpu", _, Some(cpu)) => {
            let shares = (u64::from(cpu.weight) * 1024 / 100).max(2);
            write(&place.join("cpu.shares"), &shares.to_string())?;
            if let Some(milli) = cpu.quota_milli {
                let quota = u64::from(milli) * 100;
                write(&place.join("cpu.cfs_quota_us"), &quota.to_string())?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Asks until there is an answer, a millisecond apart; `None` when the deadline is over.
pub(crate) fn until<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..deadline.as_millis().max(1) {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // Interrupted early is as good.
        rustix::event::poll(&mut [], Some(&pause)).ok();
    }
    ask()
}
