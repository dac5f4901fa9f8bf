//! A worker that runs as a plain process.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::{BoxDelta, Clock, Door, Exit, Running, Stats};
use engine::task::Tasks;
use model::SandboxId;
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use serde_json::{Value, json};

use super::tree::{self, Identity};
use super::{Places, loopback};
use crate::pidfd::Pidfd;

/// The doors to the gate.
#[derive(Debug)]
pub(super) struct Gate {
    port: u16,
    doors: Vec<Door>,
}

impl Gate {
    /// Listens at a loopback port (0: a free one) and at the socket of the box.
    pub(super) fn open(places: &Places, port: u16) -> io::Result<Self> {
        let tcp: TcpListener = loopback(port)?;
        let port = tcp.local_addr()?.port();
        let unix = listen(places, "gate.sock")?;
        Ok(Self { port, doors: vec![Door::Tcp(tcp), Door::Unix(unix)] })
    }
}

/// Listens in the `/run` of a box, in place of whoever did before.
pub(super) fn listen(places: &Places, name: &str) -> io::Result<UnixListener> {
    let run = places.inside(Path::new("/run"));
    match fs::remove_file(run.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Through the descriptor, because the path of a socket must be short.
    let folder = open_folder(&run)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// A worker and all that is its box.
pub(super) struct ProcessBox {
    places: Places,
    worker: Identity,
    pidfd: Pidfd,
    start_time: Duration,
    port: u16,
    doors: Vec<Door>,
    listener: Option<UnixListener>,
    exit: Mutex<Option<Exit>>,
    armed: bool,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ProcessBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("ProcessBox");
        debug.field("sandbox", &self.places.sandbox).field("worker", &self.worker);
        debug.finish_non_exhaustive()
    }
}

impl ProcessBox {
    pub(super) fn new(
        places: Places,
        worker: Identity,
        start_time: Duration,
        (gate, listener): (Gate, UnixListener),
        (tasks, clock): (Tasks, Arc<dyn Clock>),
    ) -> io::Result<Self> {
        let pid = i32::try_from(worker.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // If the number was given anew, the descriptor is of another process.
        (Identity::of(worker.pid) == Some(worker)).then_some(()).ok_or(Errno::SRCH)?;
        fs::write(places.folder.join("worker"), format!("{} {}\n", worker.pid, worker.started))?;
        Ok(Self {
            places,
            worker,
            pidfd: Pidfd::new(pidfd)?,
            start_time,
            port: gate.port,
            doors: gate.doors,
            listener: Some(listener),
            exit: Mutex::new(None),
            armed: false,
            tasks,
            clock,
        })
    }

    /// From now on the box is destroyed when this is dropped.
    pub(super) fn arm(&mut self) {
        self.armed = true;
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    async fn kill_tree(&self) -> io::Result<()> {
        let (worker, clock) = (self.worker, Arc::clone(&self.clock));
        let kill = move || tree::kill(worker, || clock.instant());
        let killed = self.tasks.blocking("kill a process box", kill).await;
        killed.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }
}

impl Drop for ProcessBox {
    fn drop(&mut self) {
        if self.armed {
            abandon(self.worker, &self.places.folder, &*self.clock);
        }
    }
}

/// Ends a box that nobody will hold. What cannot be removed now, the next sweep removes.
pub(super) fn abandon(worker: Identity, folder: &Path, clock: &dyn Clock) {
    tree::kill(worker, || clock.instant()).ok();
    if let Some(pid) = i32::try_from(worker.pid).ok().and_then(Pid::from_raw) {
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
    }
    fs::remove_dir_all(folder).ok();
}

/// How a worker that has ended did; unknown where it was started by an earlier server.
fn reap(pidfd: &Pidfd) -> Exit {
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        },
        Ok(None) | Err(_) => Exit::Unknown,
    }
}

#[async_trait]
impl Running for ProcessBox {
    fn id(&self) -> SandboxId {
        self.places.sandbox
    }

    fn record(&self) -> String {
        Record {
            sandbox: self.places.sandbox,
            worker: self.worker,
            port: self.port,
            mounts: self.places.mounts.clone(),
            programs: self.places.programs.clone(),
        }
        .to_json()
    }

    fn start_time(&self) -> Duration {
        self.start_time
    }

    fn doors(&mut self) -> io::Result<Vec<Door>> {
        Ok(std::mem::take(&mut self.doors))
    }

    fn path(&self, in_box: &Path) -> PathBuf {
        self.places.path(in_box)
    }

    fn gate_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn worker(&mut self) -> io::Result<(UnixListener, u32)> {
        let taken = || io::Error::new(io::ErrorKind::NotFound, "it was given out before");
        Ok((self.listener.take().ok_or_else(taken)?, self.worker.pid))
    }

    async fn wait(&self) -> Exit {
        self.pidfd.ended().await;
        // What the worker left when it ended by itself goes with it; `destroy` looks again.
        self.kill_tree().await.ok();
        *self.exit.lock().get_or_insert_with(|| reap(&self.pidfd))
    }

    async fn freeze(&self) -> io::Result<bool> {
        Ok(false)
    }

    async fn thaw(&self) -> io::Result<()> {
        Ok(())
    }

    fn delta(&self, mount: usize) -> io::Result<BoxDelta> {
        let target = self.places.mounts.get(mount).ok_or(io::ErrorKind::NotFound)?;
        Ok(BoxDelta::Plain(open_folder(&self.places.inside(target))?))
    }

    fn session(&self) -> io::Result<OwnedFd> {
        open_folder(&self.places.inside(Path::new("/session")))
    }

    async fn stats(&self) -> Stats {
        let worker = self.worker;
        let usage = self.tasks.blocking("count a process box", move || tree::usage(worker)).await;
        let (pids, memory) = usage.unzip();
        Stats { memory_bytes: memory, cpu: None, pids }
    }

    async fn kill(&self) -> io::Result<()> {
        self.kill_tree().await
    }

    async fn destroy(self: Box<Self>) -> io::Result<()> {
        self.kill_tree().await?;
        self.wait().await;
        let folder = self.places.folder.clone();
        let remove = move || match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        let removed = self.tasks.blocking("remove a process box", remove).await;
        removed.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }
}

/// What a later server needs to take a box over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sandbox: SandboxId,
    pub(super) worker: Identity,
    pub(super) port: u16,
    pub(super) mounts: Vec<PathBuf>,
    pub(super) programs: Vec<(PathBuf, PathBuf)>,
}

impl Record {
    fn to_json(&self) -> String {
        json!({
            "backend": "process",
            "sandbox": self.sandbox,
            "pid": self.worker.pid,
            "started": self.worker.started,
            "port": self.port,
            "mounts": self.mounts,
            "programs": self.programs,
        })
        .to_string()
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(text).ok()?;
        (record["backend"] == "process").then_some(())?;
        Some(Self {
            sandbox: record["sandbox"].as_str()?.parse().ok()?,
            worker: Identity {
                pid: record["pid"].as_u64()?.try_into().ok()?,
                started: record["started"].as_u64()?,
            },
            port: record["port"].as_u64()?.try_into().ok()?,
            mounts: serde_json::from_value(record["mounts"].clone()).ok()?,
            programs: serde_json::from_value(record["programs"].clone()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_another_backend_s_is_refused() {
        let record = Record {
            sandbox: "sbx_00000000000000000000000007".parse().unwrap(),
            worker: Identity { pid: 12, started: 34 },
            port: 8700,
            mounts: vec!["/workspace".into()],
            programs: vec![("/usr/bin/true".into(), "/opt/true".into())],
        };
        let text = record.to_json();
        assert_eq!(Record::parse(&text.replace("process", "native")), None);
        assert_eq!(Record::parse("{"), None);
        assert_eq!(Record::parse(&text), Some(record));
    }
}
