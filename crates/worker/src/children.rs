//! Reaps every child, as PID 1 must, and kills everything in the box. Never waits on the main thread.

use std::fs;
use std::io::{self, Write};
#[expect(clippy::disallowed_types, reason = "one lock is not worth a dependency in the box")]
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use model::worker_wire::AgentEnd;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process,
    kill_process_group, wait, waitid,
};

/// The thread that reaps needs little.
const STACK_BYTES: usize = 32 << 10;
/// A child that was reaped, as one thread tells the other: its id, how it ended, with what.
const RECORD_BYTES: usize = 9;

/// A child that was reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) end: AgentEnd,
}

/// The children of this process.
#[derive(Debug)]
pub(crate) struct Children {
    /// Held while a child is being made, so that it is not reaped before it is known.
    #[expect(clippy::disallowed_types, reason = "one lock is not worth a dependency in the box")]
    making: Arc<Mutex<()>>,
    wake: fs::File,
    reaped: OwnedFd,
}

impl Children {
    /// Starts the thread that reaps, and adopts the orphans of all descendants.
    pub(crate) fn reap() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(getpid()))?;
        let (reaped, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reaped, true)?;
        let (woken, wake) = pipe_with(PipeFlags::CLOEXEC)?;
        let children = Self { making: Arc::default(), wake: fs::File::from(wake), reaped };
        let making = Arc::clone(&children.making);
        let reap = move || {
            // Ends only with the process: both pipes live as long as it.
            while reap_one(&making, &tell, &woken).is_ok() {}
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(reap)?;
        Ok(children)
    }

    /// Makes a child. `make` may wait for what it makes.
    pub(crate) fn make<T>(&mut self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let made = {
            let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            make()
        };
        self.wake.write_all(&[0])?;
        made
    }

    /// The next child that was reaped.
    pub(crate) fn next(&mut self) -> Option<Reaped> {
        let mut record = [0; RECORD_BYTES];
        if rustix::io::read(&self.reaped, &mut record) != Ok(RECORD_BYTES) {
            return None;
        }
        let (&pid, rest) = record.split_first_chunk()?;
        let (&[how], value) = rest.split_first_chunk()?;
        let value = i32::from_le_bytes(value.try_into().ok()?);
        let end = if how == 0 { AgentEnd::Code(value) } else { AgentEnd::Signal(value) };
        Some(Reaped { pid: i32::from_le_bytes(pid), end })
    }

    /// Readable when [`next`](Self::next) has something.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.reaped.as_fd()
    }
}

/// Reaps one child, or waits until there is one.
#[expect(clippy::disallowed_types, reason = "one lock is not worth a dependency in the box")]
fn reap_one(making: &Mutex<()>, tell: &OwnedFd, woken: &OwnedFd) -> io::Result<()> {
    match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(_) => {}
        Err(Errno::CHILD) => return rest(woken),
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let reaped = {
        let _making = making.lock().unwrap_or_else(PoisonError::into_inner);
        wait(WaitOptions::NOHANG)
    };
    let Ok(Some((pid, status))) = reaped else { return Ok(()) };
    let mut record = Vec::with_capacity(RECORD_BYTES);
    record.extend(pid.as_raw_nonzero().get().to_le_bytes());
    let (how, value) = how_it_ended(status);
    record.push(how);
    record.extend(value.to_le_bytes());
    rustix::io::write(tell, &record)?;
    Ok(())
}

fn how_it_ended(status: WaitStatus) -> (u8, i32) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (0, code),
        (None, Some(signal)) => (1, signal),
        (None, None) => (1, 0),
    }
}

/// No child, so no descendant: nothing happens until one is made.
fn rest(woken: &OwnedFd) -> io::Result<()> {
    let mut byte = [0; 16];
    match rustix::io::read(woken, &mut byte) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Kills every other process of the box; whether there may be more. Where this process is not PID 1 of
/// a box of its own, these are its children, and each call reaches one generation.
pub(crate) fn kill_all() -> bool {
    if getpid() == Pid::INIT {
        // "Group 1" is how the kernel is told: every process but this one. No fork escapes it.
        return kill_process_group(Pid::INIT, Signal::KILL).is_ok();
    }
    let children = children();
    for &child in &children {
        // A child that is gone in the meantime is what was wanted.
        kill_process(child, Signal::KILL).ok();
    }
    !children.is_empty()
}

fn children() -> Vec<Pid> {
    let mut children = Vec::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    children
}
