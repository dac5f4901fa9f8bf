//! Control groups of boxes, v2 or v1 as the machine has them, below one folder per hierarchy that
//! carries the launcher's prefix. Where there are none, a box is bounded by rlimits alone.

mod group;
mod limits;
mod owned;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

pub(crate) use group::{Group, Held};
use owned::Owned;

use crate::spec::Limits;
use crate::{Error, mounts, probe};

/// The v1 controllers we use. Not its freezer: what it froze cannot even be killed, so that a box
/// would wait for ever for a dead server.
const V1: [&str; 3] = ["memory", "pids", "cpu"];
/// The v2 controllers we ask for.
const V2: [&str; 3] = ["memory", "pids", "cpu"];
/// How long the kernel may take to empty or freeze a group.
const DEADLINE: Duration = Duration::from_secs(30);

/// The hierarchies of this machine in which we may make groups.
#[derive(Debug)]
pub(crate) struct Groups {
    prefix: String,
    /// The folder of v2 below which our folder stands, and the controllers it has to give.
    v2: Option<(PathBuf, Vec<String>)>,
    /// Mount points of v1 controllers.
    v1: Vec<(&'static str, PathBuf)>,
    /// What says to other launchers that our folders are in use.
    owned: Owned,
    /// The v2 hierarchy, where nobody else has mounted it.
    _mount: Option<OwnedFd>,
}

impl Groups {
    /// Looks; makes nothing but, as root where v2 is mounted nowhere, a mount that nobody sees.
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
        let mount = if v2.is_none() { own_v2() } else { None };
        if let Some(mount) = &mount {
            v2 = find_v2(&PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())), &own);
        }
        let has = |name: &str| v2.as_ref().is_some_and(|(_, list)| list.iter().any(|c| c == name));
        // What v2 controls v1 cannot.
        v1.retain(|(name, _)| match *name {
            // A v1 group costs a tenth of a start, and `RLIMIT_NPROC` bounds a distinct uid too.
            "pids" => !has(name) && !probe::is_root(),
            _ => !has(name),
        });
        v1.sort_unstable();
        v1.dedup_by_key(|(name, _)| *name);
        Self { prefix: prefix.to_owned(), v2, v1, owned: Owned::default(), _mount: mount }
    }

    /// Makes our folder in each hierarchy, says that it is ours and lets v2 controllers down into
    /// it.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        self.owned.take(self.places().map(|place| place.join(&self.prefix)))?;
        let Some((parent, controllers)) = &self.v2 else { return Ok(()) };
        if controllers.is_empty() {
            return Ok(());
        }
        let control = |name: &String| V2.contains(&name.as_str()).then(|| format!("+{name} "));
        let enable: String = controllers.iter().filter_map(control).collect();
        self.enable_below(parent, &enable)?;
        write(&parent.join(&self.prefix).join("cgroup.subtree_control"), &enable)
    }

    /// Removes the folders of other launchers, among those whose name `is_one` says to be theirs,
    /// that are dead and of whose boxes nothing lives. Returns the names.
    pub(crate) fn sweep_dead(&self, is_one: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut names: BTreeSet<_> = self.places().flat_map(|place| subfolders(place)).collect();
        names.retain(|name| *name != self.prefix && is_one(name));
        names.retain(|name| {
            let folders: Vec<_> = self.places().map(|place| place.join(name)).collect();
            let swept = owned::remove_dead(&folders);
            if swept && let Some((parent, _)) = &self.v2 {
                // Where the launcher went out of the way, if it had to; the kernel keeps it if it lives.
                fs::remove_dir(parent.join(host(name))).ok();
            }
            swept
        });
        names
    }

    /// The folders below which ours stand.
    fn places(&self) -> impl Iterator<Item = &PathBuf> {
        self.v2.iter().map(|(parent, _)| parent).chain(self.v1.iter().map(|(_, place)| place))
    }

    /// A group with processes cannot hand controllers down; if it is we who are in it, we go one
    /// level down first, as a delegated service is expected to.
    fn enable_below(&self, parent: &Path, enable: &str) -> Result<(), Error> {
        let control = parent.join("cgroup.subtree_control");
        match fs::write(&control, enable) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let leaf = parent.join(host(&self.prefix));
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

    /// How a whole box is frozen, and killed.
    pub(crate) fn whole(&self) -> Option<String> {
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
        let names = self.places().flat_map(|place| subfolders(&place.join(&self.prefix)));
        names.map(|name| group::id_of(&name).to_owned()).collect()
    }

    /// Removes our own folders, if nothing is left in them.
    pub(crate) fn remove_if_empty(&self) {
        for place in self.places() {
            // A folder with boxes stays: that is the point of asking the kernel.
            fs::remove_dir(place.join(&self.prefix)).ok();
        }
    }
}

/// Where a launcher of a prefix itself stands that had to go out of the way.
fn host(prefix: &str) -> String {
    format!("{prefix}-host")
}

/// The names of the folders in a folder; none where it is gone.
fn subfolders(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The v2 hierarchy as root can always have it.
fn own_v2() -> Option<OwnedFd> {
    let attrs = mounts::NOSUID | mounts::NODEV | mounts::NOEXEC;
    let mount = probe::is_root().then(|| mounts::create(c"cgroup2", &[], attrs));
    mount?.ok()
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
