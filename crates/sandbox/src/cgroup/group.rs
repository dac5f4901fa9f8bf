//! The control groups of one box.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::limits::{limits_v1, limits_v2};
use super::{DEADLINE, make, until, write};
use crate::spec::Limits;
use crate::{Error, Stats, probe};

/// What of a box is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Every process.
    All,
    /// Every process but this one.
    AllBut(u32),
}

/// The control groups of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) v2: Option<(PathBuf, Vec<String>)>,
    pub(super) v1: Vec<(&'static str, PathBuf)>,
    /// How the paths of its processes end in `/proc/<pid>/cgroup`.
    pub(super) tail: String,
}

impl Group {
    /// Makes it, with its bounds.
    pub(super) fn make(&self, limits: &Limits) -> Result<(), Error> {
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
        let tails = [self.tail.clone(), format!("{}{AWAKE}", self.tail)];
        paths.lines().any(|line| tails.iter().any(|tail| line.ends_with(tail)))
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.folders_v2().chain(self.v1.iter().map(|(_, place)| place.clone()))
    }

    fn folders_v2(&self) -> impl Iterator<Item = PathBuf> {
        self.v2.iter().flat_map(|(place, _)| [place.clone(), awake_beside(place)])
    }

    /// Stops what is to be held still and waits until that is so. On an error everything goes on.
    pub(crate) fn freeze(&self, held: Held) -> Result<(), Error> {
        let place = self.v2()?;
        let frozen = match held {
            Held::All => set_frozen(place, true),
            Held::AllBut(pid) => freeze_around(place, &awake_beside(place), pid),
        };
        // What failed is told, not that it could not be undone.
        frozen.inspect_err(|_| drop(self.thaw()))
    }

    /// Lets everything go on.
    pub(crate) fn thaw(&self) -> Result<(), Error> {
        let place = self.v2()?;
        set_frozen(place, false)?;
        processes(&awake_beside(place)).into_iter().try_for_each(|pid| enter(place, pid))
    }

    fn v2(&self) -> Result<&Path, Error> {
        let reason = || "no cgroup v2 is ours".to_owned();
        let missing = || Error::Missing { wall: probe::Wall::Freeze, reason: reason() };
        self.v2.as_ref().map(|(place, _)| place.as_path()).ok_or_else(missing)
    }

    fn v1(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|(name, _)| *name == controller);
        found.map(|(_, place)| place.as_path())
    }

    /// Every process in it, in any hierarchy.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        self.folders().flat_map(|place| processes(&place)).collect()
    }

    /// Kills everything in it. Without v2 one process after another, until none is left.
    pub(crate) fn kill(&self) {
        for place in self.folders_v2() {
            // A group that is gone has nothing to kill; what else fails shows in `remove`.
            fs::write(place.join("cgroup.kill"), "1").ok();
        }
        if self.v2.is_none() {
            for pid in self.pids() {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
        }
    }

    /// Removes it, waiting for processes that are about to be gone.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for place in self.folders() {
            let gone = until(DEADLINE, || match fs::remove_dir(&place) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => None,
                Err(error) if error.kind() != io::ErrorKind::NotFound => Some(Err(error)),
                _ => Some(Ok(())),
            });
            gone.ok_or(Error::Stuck("leave its cgroup"))?
                .map_err(Error::host(format!("remove {}", place.display())))?;
        }
        Ok(())
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

/// The processes in a group itself.
fn processes(place: &Path) -> Vec<u32> {
    let text = fs::read_to_string(place.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Moves a process into a group, if it lives.
fn enter(place: &Path, pid: u32) -> Result<(), Error> {
    match fs::write(place.join("cgroup.procs"), pid.to_string()) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other.map_err(Error::host(format!("move a process to {}", place.display()))),
    }
}

/// Freezes a group after one process left it. What that one forked meanwhile would go on, so then
/// nothing is frozen.
fn freeze_around(place: &Path, awake: &Path, first: u32) -> Result<(), Error> {
    make(awake)?;
    enter(awake, first)?;
    set_frozen(place, true)?;
    let alone = processes(awake).iter().all(|pid| *pid == first);
    if alone { Ok(()) } else { Err(Error::Stuck("freeze")) }
}

/// No id ends so.
const AWAKE: &str = ".awake";

/// Where PID 1 stands, beside the rest, while only the rest is frozen: so nobody needs to be
/// gathered, and PID 1 is not frozen even for a moment.
fn awake_beside(place: &Path) -> PathBuf {
    PathBuf::from(format!("{}{AWAKE}", place.display()))
}

/// The id of the box a group is of.
pub(super) fn id_of(group: &str) -> &str {
    group.strip_suffix(AWAKE).unwrap_or(group)
}

fn set_frozen(place: &Path, frozen: bool) -> Result<(), Error> {
    write(&place.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    settled(place, frozen)
}

/// Waits until all of a group has heard.
fn settled(place: &Path, frozen: bool) -> Result<(), Error> {
    let wanted = format!("frozen {}", u8::from(frozen));
    let reached = until(DEADLINE, || {
        let events = fs::read_to_string(place.join("cgroup.events")).ok()?;
        events.lines().any(|line| line == wanted).then_some(())
    });
    reached.ok_or(Error::Stuck(if frozen { "freeze" } else { "thaw" }))
}
