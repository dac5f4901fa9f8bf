//! Boxes that are none: the worker as a plain process on copies of the checkouts. For development on
//! machines that cannot isolate. It never runs anything for somebody who is not trusted.

mod copy;
mod running;
mod tree;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::backend::Prepare;
use engine::port::{
    AdoptError, Backend, BoxMount, Clock, Fingerprint, Launch, Running, StartError, Wall,
};
use engine::task::Tasks;
use model::{InputTrust, SandboxId};
use tracing::warn;

use running::ProcessBox;
use tree::Identity;

/// Where this backend keeps its boxes, and what it runs.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The folder for the boxes: each has one, named like it, as long as it lives.
    pub run: PathBuf,
    /// The program `remit-worker`.
    pub worker: PathBuf,
    /// How long a box goes on without a server. 0 s to 24 h.
    pub away_max: Duration,
}

impl ProcessConfig {
    /// The usual settings: a minute without a server.
    pub fn new(run: PathBuf, worker: PathBuf) -> Self {
        Self { run, worker, away_max: Duration::from_mins(1) }
    }
}

/// Runs agents as plain processes. **It does not isolate.**
pub struct ProcessBackend {
    config: ProcessConfig,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ProcessBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessBackend").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The places of one box on the host.
#[derive(Debug, Clone)]
struct Places {
    sandbox: SandboxId,
    /// The folder of the box.
    folder: PathBuf,
    /// The mounts, by their paths in the box.
    mounts: Vec<PathBuf>,
    /// The programs: by their paths on the host, and in the box.
    programs: Vec<(PathBuf, PathBuf)>,
}

/// The folders of a box that are no mounts.
const FOLDERS: [&str; 3] = ["/session", "/run", "/tmp"];

impl ProcessBackend {
    /// A backend that keeps its boxes in a folder, which is made where it is not there.
    pub fn new(config: ProcessConfig, tasks: Tasks, clock: Arc<dyn Clock>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.run)?;
        warn!("the process backend does NOT isolate: agents run as plain processes of this user");
        Ok(Self { config, tasks, clock })
    }

    fn folder(&self, sandbox: SandboxId) -> PathBuf {
        self.config.run.join(sandbox.to_string())
    }
}

#[async_trait]
impl Backend for ProcessBackend {
    fn fingerprint(&self) -> Fingerprint {
        let missing = Some("the process backend isolates nothing; use the native one".to_owned());
        let walls = ["files", "processes", "network", "system calls", "limits"];
        let wall = |name: &str| Wall { name: name.to_owned(), missing: missing.clone() };
        Fingerprint { backend: "process", isolates: false, walls: walls.map(wall).to_vec() }
    }

    async fn start(
        &self,
        launch: Launch,
        prepare: Prepare,
    ) -> Result<Box<dyn Running>, StartError> {
        if launch.input_trust == InputTrust::Untrusted {
            return Err(StartError::Wall {
                wall: "isolation".to_owned(),
                why: "the process backend does not isolate, and what triggered this is not trusted"
                    .to_owned(),
            });
        }
        let begun = self.clock.instant();
        let places = Places {
            sandbox: launch.sandbox,
            folder: self.folder(launch.sandbox),
            mounts: launch.mounts.iter().map(|mount| mount.target.clone()).collect(),
            programs: launch.programs.clone(),
        };
        let (config, clock) = (self.config.clone(), Arc::clone(&self.clock));
        let tasks = self.tasks.clone();
        // The thread ends what it began even when nobody waits for it: an armed box that is dropped
        // is destroyed.
        let build = move || {
            places.make_folder().map_err(kernel("make the folder of the box"))?;
            let mut scaffold =
                Scaffold { folder: places.folder.clone(), worker: None, done: false, clock };
            places.furnish(&launch.mounts, prepare)?;
            let gate = running::Gate::open(&places, 0).map_err(kernel("open the gate"))?;
            let socket = running::listen(&places, "worker.sock").map_err(kernel("listen"))?;
            let worker = places.spawn(&config).map_err(kernel("start the worker"))?;
            scaffold.worker = Some(worker);
            let clock = Arc::clone(&scaffold.clock);
            let elapsed = clock.instant().duration_since(begun);
            let ends = (gate, socket);
            let mut started = ProcessBox::new(places, worker, elapsed, ends, (tasks, clock))
                .map_err(kernel("hold the worker"))?;
            started.arm();
            scaffold.done = true;
            Ok(started)
        };
        let built = self.tasks.blocking("start a process box", build).await;
        let mut started =
            built.unwrap_or_else(|| Err(kernel("start")(io::Error::other("it panicked"))))?;
        started.disarm();
        Ok(Box::new(started))
    }

    async fn adopt(&self, record: &str) -> Result<Box<dyn Running>, AdoptError> {
        let record = running::Record::parse(record)
            .ok_or_else(|| AdoptError::Destroyed("the record cannot be read".to_owned()))?;
        let places = Places {
            sandbox: record.sandbox,
            folder: self.folder(record.sandbox),
            mounts: record.mounts,
            programs: record.programs,
        };
        let (tasks, clock) = (self.tasks.clone(), Arc::clone(&self.clock));
        let (worker, port) = (record.worker, record.port);
        let adopt = move || {
            if !worker.lives() {
                running::abandon(worker, &places.folder, &*clock);
                return Err(AdoptError::Gone);
            }
            let adopted = (|| {
                let gate = running::Gate::open(&places, port)?;
                let socket = running::listen(&places, "worker.sock")?;
                let shared = (tasks, Arc::clone(&clock));
                let ends = (gate, socket);
                ProcessBox::new(places.clone(), worker, Duration::ZERO, ends, shared)
            })();
            adopted.map_err(|error: io::Error| {
                running::abandon(worker, &places.folder, &*clock);
                AdoptError::Destroyed(error.to_string())
            })
        };
        let adopted = self.tasks.blocking("adopt a process box", adopt).await;
        let lost = || Err(AdoptError::Destroyed("it panicked".to_owned()));
        Ok(Box::new(adopted.unwrap_or_else(lost)?))
    }

    async fn sweep(&self, keep: &[SandboxId]) -> io::Result<usize> {
        let (run, keep) = (self.config.run.clone(), keep.to_vec());
        let clock = Arc::clone(&self.clock);
        let sweep = move || {
            let mut swept = 0;
            for entry in fs::read_dir(&run)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(sandbox) = name.to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                if !keep.contains(&sandbox) {
                    let worker =
                        known_worker(&entry.path()).or_else(|| tree::named(&arg0(sandbox)));
                    if let Some(worker) = worker {
                        tree::kill(worker, || clock.instant())?;
                    }
                    fs::remove_dir_all(entry.path())?;
                    swept += 1;
                }
            }
            Ok(swept)
        };
        let swept = self.tasks.blocking("sweep process boxes", sweep).await;
        swept.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }
}

impl Places {
    /// Where something of the box is on the host.
    fn path(&self, in_box: &Path) -> PathBuf {
        let program = self.programs.iter().find_map(|(host, target)| {
            in_box.strip_prefix(target).ok().map(|rest| joined(host, rest))
        });
        if let Some(program) = program {
            return program;
        }
        let ours = |target: &Path| in_box.starts_with(target) || target.starts_with(in_box);
        let is_ours = in_box != Path::new("/")
            && (self.mounts.iter().any(|mount| ours(mount))
                || FOLDERS.iter().any(|folder| in_box.starts_with(folder)));
        if is_ours { self.inside(in_box) } else { in_box.to_owned() }
    }

    fn inside(&self, in_box: &Path) -> PathBuf {
        let root = self.folder.join("root");
        in_box.strip_prefix("/").map_or(root.clone(), |rest| root.join(rest))
    }

    /// Makes the folder of the box, which is not there yet.
    fn make_folder(&self) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.folder)
    }

    /// Makes what is in the folder of the box.
    fn furnish(&self, mounts: &[BoxMount], prepare: Prepare) -> Result<(), StartError> {
        let mut make = fs::DirBuilder::new();
        make.mode(0o700).recursive(true);
        for folder in FOLDERS {
            make.create(self.inside(Path::new(folder))).map_err(kernel("make a folder"))?;
        }
        for mount in mounts {
            let path = self.inside(&mount.target);
            let failed = |source| StartError::Mount { path: mount.checkout.clone(), source };
            make.create(&path).map_err(failed)?;
            copy::copy(&mount.checkout, &path).map_err(failed)?;
        }
        let session = running::open_folder(&self.inside(Path::new("/session")));
        session.and_then(prepare).map_err(kernel("prepare the session"))
    }

    fn spawn(&self, config: &ProcessConfig) -> io::Result<Identity> {
        let child = Command::new(&config.worker)
            .arg0(arg0(self.sandbox))
            // Relative, because the path of a socket must be short.
            .arg("worker.sock")
            .args(["--away", &config.away_max.as_secs_f64().to_string()])
            .env_clear()
            .current_dir(self.inside(Path::new("/run")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Identity::of(child.id()).ok_or_else(|| rustix::io::Errno::SRCH.into())
    }
}

/// By this name the worker of a box is found.
fn arg0(sandbox: SandboxId) -> String {
    format!("remit-worker {sandbox}")
}

fn known_worker(folder: &Path) -> Option<Identity> {
    let text = fs::read_to_string(folder.join("worker")).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    Some(Identity { pid: pid.parse().ok()?, started: started.parse().ok()? })
}

fn joined(host: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { host.to_owned() } else { host.join(rest) }
}

fn kernel(step: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Kernel { step: step.to_owned(), source }
}

/// What there is of a box that is being built; gone when it is not done.
struct Scaffold {
    folder: PathBuf,
    worker: Option<Identity>,
    done: bool,
    clock: Arc<dyn Clock>,
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        match self.worker {
            _ if self.done => {}
            Some(worker) => running::abandon(worker, &self.folder, &*self.clock),
            None => drop(fs::remove_dir_all(&self.folder)),
        }
    }
}

/// A free port, or this one, on which only this machine can call.
fn loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}
