//! The git program of this host, for its wire protocol alone: in an environment of its own, within
//! bounds, and only on repositories and quarantines that no agent ever wrote. No hook, no
//! configuration of a user or of the system, no prompt. It is gone with who started it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::task::{TaskKind, Tasks};

/// Where it is looked for; the environment is not asked.
const PLACES: [&str; 3] = ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"];
/// Memory that one of its processes may have.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// Seconds of a processor that one of its processes may use.
const CPU_SECONDS_MAX: u64 = 300;

/// What holds for every call.
const SETTINGS: [&str; 14] = [
    "safe.directory=*",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.packedGitLimit=512m",
    "core.bigFileThreshold=16m",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "pack.deltaCacheSize=64m",
    "transfer.hideRefs=refs",
    "transfer.hideRefs=!refs/heads/main",
    "uploadpack.allowFilter=false",
    "protocol.allow=never",
];

/// The git program.
#[derive(Debug, Clone)]
pub struct GitProgram {
    path: PathBuf,
    tasks: Tasks,
}

/// It could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the git program could not be started")]
pub struct NotStarted(#[from] std::io::Error);

/// One run of it. Dropped, all its processes are killed.
#[derive(Debug)]
pub struct GitRun {
    /// The process, with its standard streams.
    pub child: Child,
    _group: Group,
    _watch: DropGuard,
}

#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself.
            let _ended = kill_process_group(group, Signal::KILL);
        }
    }
}

impl GitProgram {
    /// The program, where this host has it.
    pub fn find(tasks: &Tasks) -> Option<Self> {
        let path = PLACES.iter().map(Path::new).find(|path| path.is_file())?;
        Some(Self { path: path.to_owned(), tasks: tasks.clone() })
    }

    /// Starts it on the repository at `repository`, with standard streams to write to and read from.
    /// After `time_max` it is killed, whoever waits for it.
    pub fn start(
        &self,
        repository: &Path,
        arguments: &[&str],
        time_max: Duration,
    ) -> Result<GitRun, NotStarted> {
        let mut command = Command::new(&self.path);
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        let mut child = command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_DIR", repository)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = Group(pid);
        if let Err(error) = bound(pid) {
            // Without its bounds it is not to run.
            drop(child.start_kill());
            return Err(NotStarted(error.into()));
        }
        let over = CancellationToken::new();
        let watched = over.clone();
        self.tasks.spawn(TaskKind::Connection, "git", async move {
            tokio::select! {
                () = watched.cancelled() => {}
                () = tokio::time::sleep(time_max) => {
                    tracing::warn!("the git program took too long and was ended");
                    drop(Group(pid));
                }
            }
        });
        Ok(GitRun { child, _group: group, _watch: over.drop_guard() })
    }
}

/// Before it is given anything to work on.
fn bound(pid: Option<Pid>) -> rustix::io::Result<()> {
    let limits =
        [(Resource::As, MEMORY_BYTES_MAX), (Resource::Cpu, CPU_SECONDS_MAX), (Resource::Core, 0)];
    for (resource, max) in limits {
        prlimit(pid, resource, Rlimit { current: Some(max), maximum: Some(max) })?;
    }
    Ok(())
}
