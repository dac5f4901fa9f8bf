//! Which backend builds the sandboxes, and whether it may.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use embedded::native::{NativeBackend, NativeConfig};
use embedded::process::{ProcessBackend, ProcessConfig};
use engine::port::{Backend, Clock, Wall};
use engine::task::{TaskKind, Tasks};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::Config;
use crate::exit::{Exit, Failed};

/// What the worker program is called.
const WORKER: &str = "remit-worker";

/// The backend that is configured, where it may work: one that is to isolate has every wall that
/// untrusted agents need. Walls beyond those are told in the log when they are missing, and what needs
/// them is refused when it is asked for.
pub(crate) fn build(
    config: &Config,
    data: &Path,
    tasks: &Tasks,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Backend>> {
    let backend = open(config, data, tasks, clock)?;
    let fingerprint = backend.fingerprint();
    if !fingerprint.isolates {
        return Ok(backend);
    }
    let needed = |name: &str| sandbox::Wall::UNTRUSTED.iter().any(|wall| wall.name() == name);
    for Wall { name, missing } in &fingerprint.walls {
        match missing {
            Some(why) if needed(name) => {
                return Err(no_walls(format!("`{name}` cannot be built: {why}")).into());
            }
            Some(why) => warn!(wall = %name, %why, "a wall does not stand"),
            None => {}
        }
    }
    Ok(backend)
}

/// The backend that is configured, whatever walls it lacks: to be looked at.
pub(crate) fn open(
    config: &Config,
    data: &Path,
    tasks: &Tasks,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Backend>> {
    let worker = worker(config)?;
    let run = data.join("run");
    let away_max = Duration::from_secs(config.number("limits.away_s"));
    if config.text("backend.kind") == Some("process") {
        let process = ProcessConfig { away_max, ..ProcessConfig::new(run, worker) };
        let backend = ProcessBackend::new(process, tasks.clone(), clock);
        return Ok(Arc::new(backend.context("cannot make the folder of sandboxes")?));
    }
    let native = NativeConfig { away_max, ..NativeConfig::new(run, worker, prefix(data)) };
    let backend = NativeBackend::new(native, tasks.clone(), clock).map_err(no_walls)?;
    let backend = Arc::new(backend);
    warm(backend.clone(), tasks.clone());
    Ok(backend)
}

/// Prepares what the first sandboxes need, while the server begins to serve.
fn warm(backend: Arc<NativeBackend>, tasks: Tasks) {
    tasks.clone().spawn(TaskKind::Connection, "warm", async move {
        let warmed = tasks.blocking("warm the backend", move || backend.warm()).await;
        if let Some(Err(problem)) = warmed {
            warn!(%problem, "no network namespace could be prepared; the first sandboxes will be slower");
        }
    });
}

fn no_walls(why: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Unavailable, format!("this machine cannot isolate: {why}"))
        .next("`remit doctor` says more; --backend process works without walls, for development")
}

/// A name that goes with a data folder: the same after a restart, never another's. Its cgroups have it.
pub(crate) fn prefix(data: &Path) -> String {
    let hash = Sha256::digest(data.as_os_str().as_encoded_bytes());
    let digits: Vec<_> = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("remit-{}", digits.concat())
}

/// The worker program: as configured, or beside this one.
pub(crate) fn worker(config: &Config) -> anyhow::Result<PathBuf> {
    let path = match config.text("backend.worker") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe().context("cannot find this program")?.with_file_name(WORKER),
    };
    path.canonicalize().map_err(|problem| {
        let what = format!("the worker program {} cannot be used: {problem}", path.display());
        Failed::new(Exit::Config, what)
            .next(
                "install `remit-worker` beside `remit` (`cargo build -p remit` makes both), or name it in backend.worker",
            )
            .into()
    })
}
