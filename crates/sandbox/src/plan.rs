//! Turns a [`Spec`] into an [`Order`]: decides where each mount stands and makes what it stands
//! on, in the scratch. Follows nothing that a box has written.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use crate::mounts::{NODEV, NOSUID, RDONLY};
use crate::order::{Class, Order, Step};
use crate::spec::{Mode, Mount, Owner, Ports, Spec, View};
use crate::{Error, Scratch, template};

/// A detached tree to be cloned from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) attrs: u64,
    pub(crate) owner: Owner,
}

/// What lies under a path of the box, as far as making a mount point below it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ground {
    /// A folder of the scratch in which the box's own things can be made.
    Owned(PathBuf),
    /// A folder of the scratch that only carries mount points.
    Shelf(PathBuf),
    /// Something of the host, which we do not touch.
    Foreign,
}

/// A plan in the making.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    scratch: &'a Scratch,
    points: &'a [PathBuf],
    ground: BTreeMap<PathBuf, Ground>,
    shelves: usize,
    overlays: usize,
    lowers: usize,
    pub(crate) sources: Vec<Source>,
    pub(crate) steps: Vec<Step>,
    pub(crate) locks: Vec<(CString, Class)>,
}

impl<'a> Plan<'a> {
    /// Plans the mounts of `spec`. `points` are mount points beyond the usual ones.
    pub(crate) fn new(
        spec: &Spec,
        scratch: &'a Scratch,
        points: &'a [PathBuf],
    ) -> Result<Self, Error> {
        let mut plan = Self {
            scratch,
            points,
            ground: BTreeMap::new(),
            shelves: 0,
            overlays: 0,
            lowers: 0,
            sources: Vec::new(),
            steps: Vec::new(),
            locks: Vec::new(),
        };
        plan.lock(Path::new("/proc"), Class::Read)?;
        for (name, target) in [("tmp", "/tmp"), ("home", "/home/agent"), ("session", "/session")] {
            plan.own_folder(name, Path::new(target))?;
        }
        if let Some(run) = &spec.run {
            plan.bind(Path::new("/run"), run, Mode::ReadOnly, Owner::Unmapped)?;
        }
        for mount in &spec.mounts {
            plan.mount(mount)?;
        }
        Ok(plan)
    }

    /// The order, once the trees of `sources` are cloned.
    pub(crate) fn order(self, spec: &Spec, outside: u32) -> Result<Order, Error> {
        let argv = spec.argv.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?;
        let env = spec.env.iter().map(|(key, value)| {
            let both = [key.as_bytes(), b"=", value.as_bytes()].concat();
            text(OsStr::from_bytes(&both))
        });
        Ok(Order {
            argv,
            env: env.collect::<Result<_, _>>()?,
            cwd: text(spec.cwd.as_os_str())?,
            hostname: text(OsStr::new(&spec.hostname))?,
            inside: template::INSIDE,
            outside,
            steps: self.steps,
            rlimits: rlimits(spec),
            locks: self.locks,
            ports: match &spec.ports {
                Ports::Any => None,
                Ports::Only(ports) => Some(ports.iter().map(|port| u64::from(*port)).collect()),
            },
            net: spec.net.is_some(),
            cgroup: false,
            procs: 0,
        })
    }

    fn own_folder(&mut self, name: &str, target: &Path) -> Result<(), Error> {
        let source = text(Path::new("scratch").join(name).as_os_str())?;
        self.steps.push(Step::Scratch { source, target: text(target.as_os_str())?, attrs: 0 });
        self.ground.insert(target.to_owned(), Ground::Owned(PathBuf::from(name)));
        self.lock(target, Class::Write)
    }

    fn mount(&mut self, mount: &Mount) -> Result<(), Error> {
        match &mount.view {
            View::Bind { source, mode, owner } => self.bind(&mount.target, source, *mode, *owner),
            View::Overlay { lowers, owner } => self.overlay(&mount.target, lowers, *owner),
        }
    }

    fn bind(
        &mut self,
        target: &Path,
        source: &Path,
        mode: Mode,
        owner: Owner,
    ) -> Result<(), Error> {
        let found =
            fs::metadata(source).map_err(Error::host(format!("bind {}", source.display())))?;
        self.stand(target, found.is_dir())?;
        let (class, attrs) = match mode {
            Mode::ReadOnly => (Class::Read, RDONLY),
            Mode::ReadWrite => (Class::Write, 0),
        };
        self.tree(source, attrs, owner, text(target.as_os_str())?);
        self.ground.insert(target.to_owned(), Ground::Foreign);
        self.lock(target, class)
    }

    fn overlay(&mut self, target: &Path, lowers: &[PathBuf], owner: Owner) -> Result<(), Error> {
        self.stand(target, true)?;
        let mut places = Vec::new();
        for lower in lowers {
            let place = format!("lower/{}", self.lowers);
            self.lowers += 1;
            self.tree(lower, RDONLY, owner, text(OsStr::new(&place))?);
            places.push(place);
        }
        let number = self.overlays;
        self.overlays += 1;
        for folder in ["upper", "work"] {
            self.scratch.make(Path::new(folder))?;
        }
        let upper = PathBuf::from(format!("upper/{number}"));
        self.scratch.make_owned(&upper)?;
        self.scratch.make_owned(Path::new(&format!("work/{number}")))?;
        self.steps.push(Step::Overlay {
            lower: text(OsStr::new(&places.join(":")))?,
            upper: text(OsStr::new(&format!("scratch/upper/{number}")))?,
            work: text(OsStr::new(&format!("scratch/work/{number}")))?,
            target: text(target.as_os_str())?,
        });
        self.ground.insert(target.to_owned(), Ground::Owned(upper));
        self.lock(target, Class::Write)
    }

    fn tree(&mut self, source: &Path, attrs: u64, owner: Owner, target: CString) {
        self.steps.push(Step::Tree { tree: self.sources.len(), target });
        let attrs = attrs | NOSUID | NODEV;
        self.sources.push(Source { path: source.to_owned(), attrs, owner });
    }

    fn lock(&mut self, path: &Path, class: Class) -> Result<(), Error> {
        self.locks.push((text(path.as_os_str())?, class));
        Ok(())
    }

    /// Sees to it that something stands at `target` to mount on.
    fn stand(&mut self, target: &Path, is_folder: bool) -> Result<(), Error> {
        if self.is_point(target) || self.ground.contains_key(target) {
            return Ok(());
        }
        let below = target.ancestors().skip(1);
        let known = below.clone().find_map(|path| Some((path.to_owned(), self.ground.get(path)?)));
        if let Some((above, ground)) = known {
            let ground = ground.clone();
            return self.make_below(&ground, &above, target, is_folder);
        }
        let point = below.map(Path::to_owned).find(|path| self.is_point(path));
        let point =
            point.ok_or_else(|| Error::NoMountPoint { target: target.display().to_string() })?;
        let shelf = PathBuf::from(format!("shelf/{}", self.shelves));
        self.shelves += 1;
        self.scratch.make(Path::new("shelf"))?;
        self.scratch.make(&shelf)?;
        let source = text(Path::new("scratch").join(&shelf).as_os_str())?;
        let at = text(point.as_os_str())?;
        self.steps.push(Step::Scratch { source, target: at, attrs: RDONLY });
        self.lock(&point, Class::Read)?;
        let ground = Ground::Shelf(shelf);
        self.ground.insert(point.clone(), ground.clone());
        self.make_below(&ground, &point, target, is_folder)
    }

    fn make_below(
        &self,
        ground: &Ground,
        above: &Path,
        target: &Path,
        is_folder: bool,
    ) -> Result<(), Error> {
        let (base, owned) = match ground {
            Ground::Owned(base) => (base, true),
            Ground::Shelf(base) => (base, false),
            Ground::Foreign => return Ok(()), // it must be there; the box says so if not
        };
        let relative = target.strip_prefix(above).unwrap_or(target);
        let mut path = base.clone();
        let last = relative.components().count();
        for (number, part) in relative.components().enumerate() {
            path.push(part);
            match (number + 1 == last && !is_folder, owned) {
                (true, _) => self.scratch.touch(&path)?,
                (false, true) => self.scratch.make_owned(&path)?,
                (false, false) => self.scratch.make(&path)?,
            }
        }
        Ok(())
    }

    fn is_point(&self, path: &Path) -> bool {
        template::MOUNT_POINTS.iter().any(|point| Path::new(point) == path)
            || self.points.iter().any(|point| point == path)
    }
}

fn text(value: &OsStr) -> Result<CString, Error> {
    CString::new(value.as_bytes())
        .map_err(|_| Error::Invalid("a string contains a zero byte".to_owned()))
}

/// Bounds a process cannot raise again; never above what we have ourselves.
fn rlimits(spec: &Spec) -> Vec<(u64, u64)> {
    let limits = &spec.limits;
    let bounds = [
        (libc::RLIMIT_CORE, Resource::Core, 0),
        (libc::RLIMIT_FSIZE, Resource::Fsize, limits.file_bytes),
        (libc::RLIMIT_NOFILE, Resource::Nofile, limits.open_files),
        (libc::RLIMIT_NPROC, Resource::Nproc, limits.pids.into()),
    ];
    let ours = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    bounds.map(|(number, resource, bound)| (number.into(), bound.min(ours(resource)))).to_vec()
}
