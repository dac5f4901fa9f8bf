//! Boxes to check, and what is done with them.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{InputTrust, Limits, Mode, SandboxId};
use tokio::net::UnixListener;

use super::Ground;
use crate::conformance::fixture::{DEADLINE, Ids};
use crate::line::{FromBox, Line, listener};
use crate::port::backend::Prepare;
use crate::port::{Backend, BoxDelta, BoxMount, Launch, Running, Wall};
use crate::runner::Process;

/// A ground with a backend on it.
pub(super) struct Field<'a> {
    pub(super) ground: &'a dyn Ground,
    pub(super) backend: Arc<dyn Backend>,
    ids: Ids,
}

/// A box with the line to its worker.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) running: Box<dyn Running>,
    pub(super) line: Line,
    listener: UnixListener,
    worker: u32,
    /// Everything before it was acknowledged.
    cursor: u64,
}

impl<'a> Field<'a> {
    pub(super) async fn new(ground: &'a dyn Ground) -> Self {
        Self { ground, backend: ground.backend().await, ids: Ids::new() }
    }

    pub(super) fn isolates(&self) -> bool {
        self.backend.fingerprint().isolates
    }

    /// Whether the wall of this name stands, where the backend knows it.
    pub(super) fn stands(&self, wall: &str) -> bool {
        let fingerprint = self.backend.fingerprint();
        let missing = |known: &Wall| known.name == wall && known.missing.is_some();
        fingerprint.isolates && !fingerprint.walls.iter().any(missing)
    }

    /// A box with one workspace that may be written.
    pub(super) fn launch(&self) -> Launch {
        Launch {
            sandbox: SandboxId::from_uuid(self.ids.uuid()),
            input_trust: InputTrust::Trusted,
            mounts: vec![self.mount("/workspace", Mode::ReadWrite)],
            programs: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// A mount of a new checkout that has `note.md` and `folder/deep.md`.
    pub(super) fn mount(&self, target: &str, mode: Mode) -> BoxMount {
        let checkout = self.ground.folder().join(self.ids.uuid().to_string());
        fs::create_dir_all(checkout.join("folder")).expect("a folder for checkouts");
        fs::write(checkout.join("note.md"), "as it was\n").expect("a folder for checkouts");
        fs::write(checkout.join("folder/deep.md"), "deep\n").expect("a folder for checkouts");
        BoxMount { checkout, target: PathBuf::from(target), mode }
    }

    /// A box whose worker has called.
    pub(super) async fn start(&self, launch: Launch) -> Alive {
        self.start_prepared(launch, Box::new(|_| Ok(()))).await
    }

    pub(super) async fn start_prepared(&self, launch: Launch, prepare: Prepare) -> Alive {
        let started = soon("a box starts", self.backend.start(launch, prepare)).await;
        Alive::new(started.expect("a box starts"), 0).await
    }

    /// Waits until nothing is left of any box.
    pub(super) async fn nothing_is_left(&self) {
        until("nothing is left of a box", || self.ground.left().is_empty()).await;
    }
}

impl Alive {
    pub(super) async fn new(mut running: Box<dyn Running>, cursor: u64) -> Self {
        let (socket, worker) = running.worker().expect("the first to ask for the worker's socket");
        let listener = listener(socket).expect("a socket that listens");
        let accepted = soon("the worker calls", Line::accept(&listener, worker, cursor)).await;
        let line = accepted.expect("the worker greets");
        Self { running, line, listener, worker, cursor }
    }

    /// Loses the connection and takes the worker's next call.
    pub(super) async fn reconnect(&mut self) {
        self.line.hang_up().await;
        let again =
            soon("the worker calls", Line::accept(&self.listener, self.worker, self.cursor));
        self.line = again.await.expect("the worker greets");
    }

    /// Runs `sh -c script` as the agent, in the first workspace.
    pub(super) async fn run(&mut self, script: &str) {
        let process = Process {
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            cwd: self.running.path(Path::new("/workspace")),
        };
        self.line.start(&process).expect("room for a start");
        let answer = self.next().await;
        assert!(matches!(answer, FromBox::Started { .. }), "the agent starts: {answer:?}");
    }

    pub(super) async fn next(&mut self) -> FromBox {
        soon("the box says something", self.line.next()).await
    }

    /// The next line of the agent's output.
    pub(super) async fn line(&mut self) -> String {
        loop {
            match self.next().await {
                FromBox::Line { bytes, end, .. } => {
                    self.ack(end);
                    return String::from_utf8(bytes).expect("text");
                }
                FromBox::Stderr { .. } => {}
                other => unreachable!("a line was due: {other:?}"),
            }
        }
    }

    /// The agent's output to its end; what it says on standard error is its failure's explanation.
    pub(super) async fn output(&mut self) -> (Vec<String>, Option<i32>) {
        let mut lines = Vec::new();
        loop {
            match self.next().await {
                FromBox::Line { bytes, end, .. } => {
                    self.ack(end);
                    lines.push(String::from_utf8(bytes).expect("text"));
                }
                FromBox::AgentExited { code, .. } => return (lines, code),
                FromBox::Stderr { .. } => {}
                other => unreachable!("output was due: {other:?}"),
            }
        }
    }

    fn ack(&mut self, end: u64) {
        self.line.ack(end).expect("an offset that was reached");
        self.cursor = end;
    }

    /// Ends the box, whatever it does.
    pub(super) async fn destroy(self) {
        soon("a box is destroyed", self.running.destroy()).await.expect("a box can be destroyed");
    }
}

pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => unreachable!("waited in vain: {what}"),
    }
}

/// Waits for a condition that nobody announces.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let often = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, often).await;
}

/// What stands in a file of a folder that is given as a descriptor.
pub(super) fn text(folder: &OwnedFd, name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).ok()
}

/// The folder in which the changes of a mount are.
pub(super) fn changes(running: &dyn Running, mount: usize) -> Option<OwnedFd> {
    match running.delta(mount).expect("the changes of a mount can be read") {
        BoxDelta::None => None,
        BoxDelta::Overlay(folder) | BoxDelta::Plain(folder) => Some(folder),
    }
}
