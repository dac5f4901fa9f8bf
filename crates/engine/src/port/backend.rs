//! A backend builds boxes.
//!
//! Promises of every backend:
//! - A box that [`Backend::start`] returned is gone, with all its processes, mounts, cgroups, folders
//!   and ids, when [`Running::destroy`] returns. A start that failed leaves nothing.
//! - A box outlives the server's death. The next server takes it over by [`Backend::adopt`] or removes
//!   it by [`Backend::sweep`]; nothing inside outlives its worker, which is PID 1 of the box.
//! - What a launch requires and the machine cannot build is a [`StartError::Wall`], never a weaker box.

use std::fmt::Debug;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use model::{InputTrust, Limits, Mode, SandboxId};

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The name of the box.
    pub sandbox: SandboxId,
    /// Whether what triggered the dispatch may be believed; a backend that does not isolate refuses
    /// untrusted ones.
    pub input_trust: InputTrust,
    /// The workspaces. One: at `/workspace`. Several: each at `/workspace/<name>`.
    pub mounts: Vec<BoxMount>,
    /// Host folders and files, read-only in the box: (host path, path in the box).
    pub programs: Vec<(PathBuf, PathBuf)>,
    /// What it may use.
    pub limits: Limits,
}

/// One workspace of a box.
#[derive(Debug, Clone)]
pub struct BoxMount {
    /// The immutable checkout that it begins with.
    pub checkout: PathBuf,
    /// Where it stands in the box, as `/workspace`.
    pub target: PathBuf,
    /// `ReadOnly` is a read-only mount of the kernel; with the other modes the agent works on a
    /// copy-on-write view and never on the checkout.
    pub mode: Mode,
}

/// One way from the box to the gate. The listener is the identity of the caller: it belongs to one box.
#[derive(Debug)]
pub enum Door {
    /// Listens on a loopback port inside the box's own network.
    Tcp(TcpListener),
    /// Listens at `/run/gate.sock` of the box.
    Unix(UnixListener),
}

/// The backend, as it is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// `native`, `process`, …
    pub backend: &'static str,
    /// Whether it isolates at all.
    pub isolates: bool,
    /// Every wall it knows, and whether it stands here.
    pub walls: Vec<Wall>,
}

/// One wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Its name, as `seccomp`.
    pub name: String,
    /// Why it does not stand, and what would make it; absent when it stands.
    pub missing: Option<String>,
}

/// A box was not built. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A wall that is required cannot be built here.
    #[error("the wall `{wall}` cannot be built: {why}")]
    Wall {
        /// The wall.
        wall: String,
        /// Why, and what would help.
        why: String,
    },
    /// The machine has no room for another box now (memory, processes, namespaces): try again later.
    #[error("no room for another sandbox: {0}")]
    Exhausted(String),
    /// A folder that was to be mounted is not there or cannot be mounted.
    #[error("cannot mount {path}")]
    Mount {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel refused a step.
    #[error("cannot {step}")]
    Kernel {
        /// What was tried.
        step: String,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

/// A living box was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is gone.
    #[error("the sandbox is gone")]
    Gone,
    /// It lives but cannot be taken over; it has been destroyed.
    #[error("the sandbox could not be taken over: {0}")]
    Destroyed(String),
}

/// How the worker of a box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The kernel killed it, or something in its box, for want of memory.
    OutOfMemory,
    /// It is gone; how is not known (it was adopted).
    Unknown,
}

/// What a box uses now. What the machine cannot tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time so far.
    pub cpu: Option<Duration>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What an agent changed in one mount: to be read through a walker that trusts nothing.
#[derive(Debug)]
pub enum BoxDelta {
    /// The mount cannot be written.
    None,
    /// The upper directory of an overlay over the checkout.
    Overlay(OwnedFd),
    /// A whole folder, made as a copy of the checkout.
    Plain(OwnedFd),
}

/// Builds boxes.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// What it is and which walls stand here.
    fn fingerprint(&self) -> Fingerprint;

    /// Makes an empty, owned scratch and starts a box whose PID 1 is the worker.
    ///
    /// `prepare` is called with the descriptor of the folder that will be `/session`, before the first
    /// instruction of the box, to put the session file there; the backend gives the files to the box's
    /// user. Cancel safety: a dropped call leaves nothing behind.
    async fn start(&self, launch: Launch, prepare: Prepare)
    -> Result<Box<dyn Running>, StartError>;

    /// Takes a living box of an earlier server over, by its record.
    async fn adopt(&self, record: &str) -> Result<Box<dyn Running>, AdoptError>;

    /// Removes every box of an earlier server that is not in `keep`; how many there were.
    async fn sweep(&self, keep: &[SandboxId]) -> std::io::Result<usize>;
}

/// Fills `/session` before the box starts. Runs on a thread that may block.
pub type Prepare = Box<dyn FnOnce(OwnedFd) -> std::io::Result<()> + Send>;

/// A living box. Dropping it does not end it.
#[async_trait]
pub trait Running: Debug + Send + Sync + 'static {
    /// Its name.
    fn id(&self) -> SandboxId;

    /// What [`Backend::adopt`] needs.
    fn record(&self) -> String;

    /// From the call of `start` to the first instruction of the worker; zero when it was adopted.
    fn start_time(&self) -> Duration;

    /// The doors of its gate; given out once, later calls return none.
    fn doors(&mut self) -> std::io::Result<Vec<Door>>;

    /// Where the agent finds what [`Launch`] puts at `in_box`: the same path where the box has a file
    /// system of its own, a path of the host where it has none. For mounts, programs, `/session`,
    /// `/run` and `/tmp`, and what is in them.
    fn path(&self, in_box: &Path) -> PathBuf;

    /// The URL at which the agent reaches the gate, as `http://127.0.0.1:8700`.
    fn gate_url(&self) -> String;

    /// The socket at which the worker calls, and the process id (as seen by this server) of the worker:
    /// nobody else is answered. Given out once.
    fn worker(&mut self) -> std::io::Result<(UnixListener, u32)>;

    /// Waits for the end of the worker, and so of the box. May be called again.
    async fn wait(&self) -> Exit;

    /// Stops every process of the box but the worker from running, so that its files hold still: the
    /// worker can still end a box whose server died now. `false`: cannot be done on this machine.
    async fn freeze(&self) -> std::io::Result<bool>;

    /// Lets them run again.
    async fn thaw(&self) -> std::io::Result<()>;

    /// What the agent changed in the mount with this number. Readable also after the box is dead.
    fn delta(&self, mount: usize) -> std::io::Result<BoxDelta>;

    /// The folder that is `/session`. Readable also after the box is dead.
    fn session(&self) -> std::io::Result<OwnedFd>;

    /// What it uses now.
    async fn stats(&self) -> Stats;

    /// Kills everything in the box at once. It is over when [`wait`](Self::wait) returns.
    async fn kill(&self) -> std::io::Result<()>;

    /// Kills it and removes all that is left: processes, mounts, cgroups, folders, ids.
    async fn destroy(self: Box<Self>) -> std::io::Result<()>;
}
