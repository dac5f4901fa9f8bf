//! Boxes behind every wall the kernel offers, on this machine, without a daemon: crate `sandbox` with
//! the worker as PID 1, copy-on-write views of the checkouts, and the doors of the gate held outside.
//!
//! A box has a folder `<run>/<sandbox>/` with its sockets and its record; all that it writes is in a
//! scratch in memory, bounded in bytes and files, which goes with it.

mod build;
mod place;
mod running;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::backend::Prepare;
use engine::port::{AdoptError, Backend, Clock, Fingerprint, Launch, Running, StartError, Wall};
use engine::task::Tasks;
use model::SandboxId;
use sandbox::{Found, Launcher, NetPool};
use tracing::warn;

use place::{Place, Record};
use running::NativeBox;

/// Where this backend keeps its boxes, and what it runs.
#[derive(Debug, Clone)]
pub struct NativeConfig {
    /// The folder for the boxes: each has one, named like it, as long as it lives.
    pub run: PathBuf,
    /// The program `remit-worker`; others must be allowed to read and execute the file.
    pub worker: PathBuf,
    /// The executable of the zygote. `None`: this very program, whose `main` begins with
    /// [`sandbox::zygote_main_if_asked`].
    pub zygote: Option<PathBuf>,
    /// Names the cgroup folder of all boxes: the same after a restart, another one for another server
    /// on this machine. 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub prefix: String,
    /// The port on which the gate listens inside every box.
    pub gate_port: u16,
    /// How many prepared network namespaces are kept.
    pub namespaces: usize,
    /// How long a box goes on without a server. 0 s to 24 h.
    pub away_max: Duration,
}

impl NativeConfig {
    /// The usual settings: this program as its own zygote, the gate at port 8700, 8 namespaces, a
    /// minute without a server.
    pub fn new(run: PathBuf, worker: PathBuf, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        let (gate_port, namespaces, away_max) = (8700, 8, Duration::from_mins(1));
        Self { run, worker, zygote: None, prefix, gate_port, namespaces, away_max }
    }
}

/// Builds isolated boxes.
pub struct NativeBackend {
    shared: Arc<Shared>,
}

/// What the backend and its boxes share.
struct Shared {
    config: NativeConfig,
    launcher: Arc<Launcher>,
    nets: NetPool,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for NativeBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeBackend").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl NativeBackend {
    /// Probes the machine and starts the zygote. Blocks for some 10 ms; to be called early, where few
    /// secrets are in memory. An error names the wall that cannot be built here at all.
    pub fn new(
        config: NativeConfig,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.run)
            .map_err(build::kernel("make the folder of the boxes"))?;
        let settings = sandbox::Config {
            zygote: config.zygote.clone(),
            ..sandbox::Config::new(config.prefix.clone())
        };
        let launcher = Arc::new(Launcher::start(settings).map_err(build::refused)?);
        let nets = NetPool::new(Arc::clone(&launcher), vec![config.gate_port], config.namespaces);
        Ok(Self { shared: Arc::new(Shared { config, launcher, nets, tasks, clock }) })
    }

    /// Prepares network namespaces until enough wait. Blocks about a millisecond for each; to be
    /// called once, off the async threads.
    pub fn warm(&self) -> Result<(), StartError> {
        self.shared.nets.fill().map_err(build::refused)
    }
}

#[async_trait]
impl Backend for NativeBackend {
    fn fingerprint(&self) -> Fingerprint {
        let report = self.shared.launcher.report();
        let walls = report.walls().iter().map(|(wall, _)| Wall {
            name: wall.name().to_owned(),
            missing: report.missing(*wall).map(str::to_owned),
        });
        // Without one of these nothing is started here.
        let isolates = sandbox::Wall::UNTRUSTED.iter().all(|wall| report.stands(*wall));
        Fingerprint { backend: "native", isolates, walls: walls.collect() }
    }

    async fn start(
        &self,
        launch: Launch,
        prepare: Prepare,
    ) -> Result<Box<dyn Running>, StartError> {
        let begun = self.shared.clock.instant();
        let shared = Arc::clone(&self.shared);
        // The thread ends what it began even when nobody waits for it: an armed box that is dropped
        // is destroyed.
        let build = move || build::build(&shared, &launch, prepare, begun);
        let built = self.shared.tasks.blocking("start a box", build).await;
        let panicked = || Err(build::kernel("start")(io::Error::other("it panicked")));
        let mut started = built.unwrap_or_else(panicked)?;
        started.disarm();
        Ok(Box::new(started))
    }

    async fn adopt(&self, record: &str) -> Result<Box<dyn Running>, AdoptError> {
        let record = Record::parse(record)
            .ok_or_else(|| AdoptError::Destroyed("the record cannot be read".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        let adopt = move || adopt(&shared, record);
        let adopted = self.shared.tasks.blocking("adopt a box", adopt).await;
        let panicked = || Err(AdoptError::Destroyed("it panicked".to_owned()));
        Ok(Box::new(adopted.unwrap_or_else(panicked)?))
    }

    async fn sweep(&self, keep: &[SandboxId]) -> io::Result<usize> {
        let (shared, keep) = (Arc::clone(&self.shared), keep.to_vec());
        let swept = self.shared.tasks.blocking("sweep boxes", move || sweep(&shared, &keep)).await;
        swept.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }
}

fn adopt(shared: &Arc<Shared>, record: Record) -> Result<NativeBox, AdoptError> {
    let place = Place::new(&shared.config.run, record.sandbox);
    let failed = |error: &dyn std::fmt::Display| AdoptError::Destroyed(error.to_string());
    let child = match shared.launcher.adopt(&record.child) {
        Ok(Found::Alive(child)) => child,
        Ok(Found::Gone) => {
            place.remove().ok();
            return Err(AdoptError::Gone);
        }
        Err(error) => return Err(failed(&error)),
    };
    let ends = (|| {
        if shared.launcher.report().stands(sandbox::Wall::Freeze) {
            // The earlier server may have died while the box was frozen.
            child.thaw().map_err(io::Error::other)?;
        }
        let net = shared.nets.reopen(&child).map_err(io::Error::other)?;
        place.open(&net)
    })();
    match ends {
        Ok(ends) => NativeBox::new(shared, place, child, record.mounts, ends)
            .map_err(|error| failed(&error)),
        Err(error) => {
            if let Err(stuck) = child.destroy() {
                warn!(sandbox = %record.sandbox, error = %stuck, "a box could not be destroyed");
            }
            place.remove().ok();
            Err(failed(&error))
        }
    }
}

/// Finds boxes by their folders, and by their cgroups.
fn sweep(shared: &Shared, keep: &[SandboxId]) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(&shared.config.run)? {
        let name = entry?.file_name();
        let Some(sandbox) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if keep.contains(&sandbox) {
            continue;
        }
        let place = Place::new(&shared.config.run, sandbox);
        if let Some(record) = place.record()
            && let Ok(Found::Alive(child)) = shared.launcher.adopt(&record.child)
        {
            child.destroy().map_err(io::Error::other)?;
        }
        place.remove()?;
        swept += 1;
    }
    let known: Vec<String> = keep.iter().map(ToString::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // A box with a cgroup and without a folder: its server died between the two.
    swept += shared.launcher.sweep(&known).map_err(io::Error::other)?.len();
    let prefix = &shared.config.prefix;
    // Of servers that were killed and whose data folders nobody serves any more.
    shared.launcher.sweep_dead(|name| is_of_a_server(name, prefix));
    Ok(swept)
}

/// Whether a cgroup folder is named like ours, which is a word and digits: `remit-0123456789ab`.
fn is_of_a_server(name: &str, ours: &str) -> bool {
    let split =
        |name: &str| name.rsplit_once('-').map(|(word, rest)| (word.to_owned(), rest.len()));
    let digits = name.rsplit('-').next().unwrap_or_default();
    split(ours).is_some()
        && split(name) == split(ours)
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_of_a_server;

    #[test]
    fn the_folder_of_another_server_is_known_by_its_name() {
        let check = |name, is| assert_eq!(is_of_a_server(name, "remit-0123456789ab"), is, "{name}");
        check("remit-ba9876543210", true);
        check("remit-ba98765432", false);
        check("remit-house-of-boxes", false);
        check("remit-someoneelses", false);
        check("other-ba9876543210", false);
        check("remit-ba9876543210-host", false);
        assert!(!is_of_a_server("system", "remit"));
    }
}
