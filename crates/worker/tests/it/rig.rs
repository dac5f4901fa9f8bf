//! A worker that runs on this machine, without a box, and what tests ask about it.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use engine::line::{FromBox, Line, listener};
use engine::runner::Process;
use tempfile::TempDir;
use tokio::net::UnixListener;

/// A worker of its own, with the folder and the socket where it calls.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) listener: Option<UnixListener>,
    pub(crate) worker: Child,
}

impl Rig {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::after(arguments, |_| {})
    }

    /// As [`new`](Self::new); `first` is done at the socket before the worker can call there.
    pub(crate) fn after(arguments: &[&str], first: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = listen(&folder.path().join("worker.sock"));
        first(&folder.path().join("worker.sock"));
        let worker = Command::new(env!("CARGO_BIN_EXE_worker"))
            .arg(folder.path().join("worker.sock"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, listener: Some(listener), worker }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("worker.sock")
    }

    /// The server comes up, again.
    pub(crate) fn listen(&mut self) {
        self.listener = Some(listen(&self.socket()));
    }

    pub(crate) async fn accept(&self, cursor: u64) -> Line {
        let listener = self.listener.as_ref().unwrap();
        soon(Line::accept(listener, self.worker.id(), cursor)).await.unwrap()
    }

    /// A line on which `sh -c script` runs.
    pub(crate) async fn run(&self, script: &str) -> Line {
        let mut line = self.accept(0).await;
        line.start(&shell(script)).unwrap();
        assert!(matches!(soon(line.next()).await, FromBox::Started { .. }));
        line
    }

    /// Waits for the end of the worker.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the worker ends", || {
            status = self.worker.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap_or_else(|| ExitStatus::from_raw(-1))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.worker.kill().ok();
        self.worker.wait().ok();
    }
}

fn listen(path: &Path) -> UnixListener {
    fs::remove_file(path).ok();
    listener(std::os::unix::net::UnixListener::bind(path).unwrap()).unwrap()
}

pub(crate) fn shell(script: &str) -> Process {
    Process {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        cwd: PathBuf::from("/"),
    }
}

/// How long anything may take before a test fails: a machine may give a tenth of itself.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// What must happen within a time in which it happens even on a busy machine.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it takes too long")
}

/// Waits for a condition that nobody announces.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let often = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(DEADLINE, often).await;
    held.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// The lines of an agent until it ends, acknowledged as they come, and the code it ends with.
pub(crate) async fn to_the_end(line: &mut Line) -> (Vec<String>, Option<i32>) {
    let mut lines = Vec::new();
    loop {
        match soon(line.next()).await {
            FromBox::Line { bytes, end, overlong: false } => {
                lines.push(String::from_utf8(bytes).unwrap());
                line.ack(end).unwrap();
            }
            FromBox::AgentExited { code, .. } => return (lines, code),
            FromBox::Stderr { .. } | FromBox::Started { .. } => {}
            other => panic!("{other:?} after {} lines", lines.len()),
        }
    }
}

/// Whether a process lives and is no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// A number of kibibytes that the kernel knows of a process.
pub(crate) fn kib(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many bytes a process has read so far.
pub(crate) fn bytes_read(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Children of a process, zombies included.
pub(crate) fn children(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    lists.map(|list| list.unwrap_or_default().split_whitespace().count()).sum()
}
