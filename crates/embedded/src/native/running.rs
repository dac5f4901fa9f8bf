//! A living box of the native backend.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::{BoxDelta, Door, Exit, Running, Stats};
use model::SandboxId;
use parking_lot::Mutex;
use sandbox::{Child, Wall};
use tracing::warn;

use super::Shared;
use super::build;
use super::place::{Ends, Place, Record};
use crate::pidfd::Pidfd;

/// A box that was started or adopted.
pub(super) struct NativeBox {
    shared: Arc<Shared>,
    place: Place,
    record: Record,
    pid: u32,
    pidfd: Pidfd,
    /// There until it is destroyed. Locked by blocking threads alone, except for a glance.
    child: Arc<Mutex<Option<Child>>>,
    start_time: Duration,
    doors: Vec<Door>,
    worker: Option<UnixListener>,
    armed: bool,
}

impl std::fmt::Debug for NativeBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeBox").field("record", &self.record).finish_non_exhaustive()
    }
}

impl NativeBox {
    /// Holds a child. On an error it is destroyed.
    pub(super) fn new(
        shared: &Arc<Shared>,
        place: Place,
        child: Child,
        mounts: Vec<Option<u32>>,
        ends: Ends,
    ) -> io::Result<Self> {
        let pidfd = child.as_fd().try_clone_to_owned().and_then(Pidfd::new);
        let sandbox = child.id().parse().map_err(io::Error::other);
        let (pidfd, sandbox) = match (pidfd, sandbox) {
            (Ok(pidfd), Ok(sandbox)) => (pidfd, sandbox),
            (Err(error), _) | (_, Err(error)) => {
                let destroyed = child.destroy().map_err(io::Error::other);
                place.remove()?;
                return Err(destroyed.err().unwrap_or(error));
            }
        };
        Ok(Self {
            shared: Arc::clone(shared),
            place,
            record: Record { sandbox, child: child.record(), mounts },
            pid: child.pid(),
            pidfd,
            child: Arc::new(Mutex::new(Some(child))),
            start_time: Duration::ZERO,
            doors: ends.doors,
            worker: Some(ends.worker),
            armed: false,
        })
    }

    /// It was started, in this time; from now on it is destroyed when this is dropped.
    pub(super) fn arm(&mut self, start_time: Duration) {
        self.start_time = start_time;
        self.armed = true;
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Does something that may block with the child.
    async fn with<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Child) -> Result<T, sandbox::Error> + Send + 'static,
    ) -> io::Result<T> {
        let child = Arc::clone(&self.child);
        let work = move || match child.lock().as_mut() {
            Some(child) => work(child).map_err(io::Error::other),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let done = self.shared.tasks.blocking(name, work).await;
        done.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }

    /// A folder of the scratch.
    fn folder(
        &self,
        open: impl FnOnce(&sandbox::Scratch) -> io::Result<OwnedFd>,
    ) -> io::Result<OwnedFd> {
        match self.child.lock().as_ref() {
            Some(child) => open(child.scratch()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for NativeBox {
    fn drop(&mut self) {
        if let Some(child) = self.child.lock().take().filter(|_| self.armed)
            && let Err(error) = end(&self.shared, child, &self.place)
        {
            warn!(sandbox = %self.record.sandbox, %error, "a box could not be destroyed");
        }
    }
}

/// Removes a box and all that is left of it. Blocks for some milliseconds.
fn end(shared: &Shared, child: Child, place: &Place) -> io::Result<()> {
    // A namespace is used again with listeners of its own, and only if nobody listens at the old ones.
    let net = shared.nets.reopen(&child).ok();
    child.destroy().map_err(io::Error::other)?;
    if let Some(net) = net {
        shared.nets.give_back(net);
    }
    place.remove()
}

#[async_trait]
impl Running for NativeBox {
    fn id(&self) -> SandboxId {
        self.record.sandbox
    }

    fn record(&self) -> String {
        self.record.to_json()
    }

    fn start_time(&self) -> Duration {
        self.start_time
    }

    fn doors(&mut self) -> io::Result<Vec<Door>> {
        Ok(std::mem::take(&mut self.doors))
    }

    fn path(&self, in_box: &Path) -> PathBuf {
        in_box.to_owned()
    }

    fn gate_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shared.config.gate_port)
    }

    fn worker(&mut self) -> io::Result<(UnixListener, u32)> {
        let taken = || io::Error::new(io::ErrorKind::NotFound, "it was given out before");
        Ok((self.worker.take().ok_or_else(taken)?, self.pid))
    }

    async fn wait(&self) -> Exit {
        self.pidfd.ended().await;
        let ended = self.with("read how a box ended", |child| {
            let exit = child.wait(Some(Duration::ZERO))?;
            Ok((exit, child.stats().oom_kills.unwrap_or(0)))
        });
        match ended.await {
            Ok((_, kills)) if kills > 0 => Exit::OutOfMemory,
            Ok((Some(sandbox::Exit::Code(code)), _)) => Exit::Code(code),
            Ok((Some(sandbox::Exit::Signal(signal)), _)) => Exit::Signal(signal),
            Ok((Some(sandbox::Exit::Unknown) | None, _)) | Err(_) => Exit::Unknown,
        }
    }

    async fn freeze(&self) -> io::Result<bool> {
        if !self.shared.launcher.report().stands(Wall::Freeze) {
            return Ok(false);
        }
        self.with("freeze a box", |child| child.freeze_all_but_init()).await.map(|()| true)
    }

    async fn thaw(&self) -> io::Result<()> {
        if !self.shared.launcher.report().stands(Wall::Freeze) {
            return Ok(());
        }
        self.with("thaw a box", |child| child.thaw()).await
    }

    fn delta(&self, mount: usize) -> io::Result<BoxDelta> {
        match self.record.mounts.get(mount) {
            Some(&Some(number)) => {
                self.folder(|scratch| build::upper(scratch, number)).map(BoxDelta::Overlay)
            }
            Some(None) => Ok(BoxDelta::None),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn session(&self) -> io::Result<OwnedFd> {
        self.folder(build::session)
    }

    async fn stats(&self) -> Stats {
        let stats = self.with("count a box", |child| Ok(child.stats())).await.unwrap_or_default();
        Stats { memory_bytes: stats.memory_bytes, cpu: stats.cpu, pids: stats.pids }
    }

    async fn kill(&self) -> io::Result<()> {
        self.with("kill a box", |child| child.kill().map(drop)).await
    }

    async fn destroy(mut self: Box<Self>) -> io::Result<()> {
        let Some(child) = self.child.lock().take() else { return Ok(()) };
        // Our own ends first: the namespace is used again only if nobody listens in it.
        self.doors.clear();
        self.worker = None;
        let (shared, place) = (Arc::clone(&self.shared), self.place.clone());
        let ended = move || end(&shared, child, &place);
        let ended = self.shared.tasks.blocking("destroy a box", ended).await;
        ended.unwrap_or_else(|| Err(io::Error::other("it panicked")))
    }
}
