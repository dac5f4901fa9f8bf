//! The git program of this host, for its wire protocol alone: in an environment of its own, within bounds that
//! hold before it is given anything to work on (before it does anything at all where it reaches out), and only on
//! repositories and quarantines that no agent ever wrote. No hook, no configuration of a user or of the system, no
//! prompt. It is gone with who started it.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

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

/// What a run needs that reaches a remote.
pub struct Outward<'a> {
    /// Settings that nobody else may see: they stand in its environment, not among its arguments.
    pub settings: Vec<(&'a str, Zeroizing<String>)>,
    /// The largest file that it may write.
    pub file_bytes_max: u64,
    /// After that it is killed, whoever waits for it.
    pub time_max: Duration,
    /// What it reaches the remote by, as `fd::3`, where it does not do so itself.
    pub connection: Option<Connection<'a>>,
}

/// Two ends of what two programs talk over.
#[derive(Debug)]
pub struct Connection<'a> {
    /// The end that is the program's.
    pub own: UnixStream,
    /// The other one: what is said here first, the program hears.
    pub other: &'a UnixStream,
}

/// The word that lets a program go that was held back.
pub(crate) const GO: &[u8] = b"go\n";

impl std::fmt::Debug for Outward<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outward").field("time_max", &self.time_max).finish_non_exhaustive()
    }
}

/// It could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the git program could not be started")]
pub struct NotStarted(#[from] std::io::Error);

/// One run of it, or of the program that reaches a remote for it. Dropped, all its processes are killed.
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
        settle(&mut command, repository).args(arguments).stderr(Stdio::null());
        start_bounded(command, &self.tasks, time_max, &[])
    }

    /// Starts it to reach a remote. Its standard input is empty.
    pub async fn start_outward(
        &self,
        repository: &Path,
        arguments: &[&str],
        outward: Outward<'_>,
    ) -> Result<GitRun, NotStarted> {
        // It works from its first moment on, so a shell holds it back until its bounds stand.
        let script = match outward.connection {
            None => "read -r _ && exec \"$@\"",
            Some(_) => "read -r _ && exec 3<&0 </dev/null && exec \"$@\"",
        };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(&self.path);
        settle(&mut command, repository).args(arguments).stderr(Stdio::piped());
        let other = outward.connection.map(|Connection { own, other }| {
            command.stdin(OwnedFd::from(own));
            other
        });
        command.env("GIT_CONFIG_COUNT", outward.settings.len().to_string());
        for (number, (key, value)) in outward.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), &**value);
        }
        let file_size = (Resource::Fsize, outward.file_bytes_max);
        let mut run = start_bounded(command, &self.tasks, outward.time_max, &[file_size])?;
        if let Some(mut stdin) = run.child.stdin.take() {
            stdin.write_all(GO).await?;
        }
        if let Some(mut other) = other {
            other.write_all(GO)?;
        }
        Ok(run)
    }
}

/// Starts a program in bounds, which leads a process group. Without its bounds it does not run.
pub(crate) fn start_bounded(
    mut command: Command,
    tasks: &Tasks,
    time_max: Duration,
    further: &[(Resource, u64)],
) -> Result<GitRun, NotStarted> {
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = Group(pid);
    if let Err(error) = bound(pid, further) {
        drop(child.start_kill());
        return Err(NotStarted(error.into()));
    }
    let over = CancellationToken::new();
    let watched = over.clone();
    tasks.spawn(TaskKind::Connection, "git", async move {
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

/// What holds for every run: settings, an empty environment, standard streams.
fn settle<'a>(command: &'a mut Command, repository: &Path) -> &'a mut Command {
    for setting in SETTINGS {
        command.arg("-c").arg(setting);
    }
    command
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
}

/// Before it is given anything to work on.
fn bound(pid: Option<Pid>, further: &[(Resource, u64)]) -> rustix::io::Result<()> {
    let limits =
        [(Resource::As, MEMORY_BYTES_MAX), (Resource::Cpu, CPU_SECONDS_MAX), (Resource::Core, 0)];
    for (resource, max) in limits.into_iter().chain(further.iter().copied()) {
        prlimit(pid, resource, Rlimit { current: Some(max), maximum: Some(max) })?;
    }
    Ok(())
}
