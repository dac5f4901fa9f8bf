//! The agent: one process in a group of its own, its standard streams, its end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use model::worker_wire::{AgentEnd, AgentSignal, AgentState, INPUT_BYTES_MAX, StartAgent};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::children::{Children, kill_all};
use crate::spool::{Errors, Spool};

/// The ids of input that are remembered, so that none is written twice.
const IDS_MAX: usize = 1_024;
/// What is read from a stream at once.
const READ_BYTES: usize = 16 << 10;

/// The agent of the box, as far as there is one.
#[derive(Debug, Default)]
pub(crate) enum Agent {
    /// None was started yet.
    #[default]
    None,
    /// It runs, or something that it left behind is being ended.
    Running(Running),
    /// It ended, and so did all that it started.
    Exited(AgentEnd),
    /// It could not be started.
    Failed(String),
}

/// An agent that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pid: Pid,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    input: Input,
    end: Option<AgentEnd>,
    /// Everything in the box is being killed.
    purging: bool,
}

/// What goes to the agent's standard input.
#[derive(Debug, Default)]
struct Input {
    /// Whole inputs, not written yet.
    queue: VecDeque<u8>,
    /// The input whose last bytes have not come yet.
    part: Option<(u64, Vec<u8>)>,
    /// The ids that were queued lately, oldest first.
    ids: VecDeque<u64>,
    close: bool,
}

/// An input is longer than inputs are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InputTooLong;

impl Agent {
    /// Starts an agent, unless one runs.
    pub(crate) fn start(&mut self, start: &StartAgent, children: &mut Children) {
        if let Self::Running(_) = self {
            return;
        }
        *self = match Running::spawn(start, children) {
            Ok(running) => Self::Running(running),
            Err(error) => {
                let program = start.argv.first().map(|program| String::from_utf8_lossy(program));
                Self::Failed(format!("cannot start {}: {error}", program.unwrap_or_default()))
            }
        };
    }

    pub(crate) fn state(&self) -> AgentState {
        match self {
            Self::None => AgentState::None,
            Self::Running(_) => AgentState::Running,
            Self::Exited(_) | Self::Failed(_) => AgentState::Ended,
        }
    }

    pub(crate) fn running(&mut self) -> Option<&mut Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::None | Self::Exited(_) | Self::Failed(_) => None,
        }
    }

    /// Whether the agent has come to its end just now: its process and all it left are gone and its
    /// streams are read to their ends.
    pub(crate) fn settle(&mut self) -> bool {
        let Self::Running(running) = self else { return false };
        let Some(end) = running.end else { return false };
        if running.stdout.is_some() || running.stderr.is_some() || running.purging {
            return false;
        }
        *self = Self::Exited(end);
        true
    }
}

impl Running {
    fn spawn(start: &StartAgent, children: &mut Children) -> io::Result<Self> {
        let word = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
        let mut argv = start.argv.iter().map(word);
        let mut command = Command::new(argv.next().unwrap_or_default());
        command
            .args(argv)
            .env_clear()
            .envs(start.env.iter().map(|(name, value)| (word(name), word(value))))
            .current_dir(PathBuf::from(word(&start.cwd)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = children.make(|| command.spawn())?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let running = Self {
            pid: pid.ok_or(io::ErrorKind::InvalidData)?,
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: child.stdout.take().map(OwnedFd::from),
            stderr: child.stderr.take().map(OwnedFd::from),
            input: Input::default(),
            end: None,
            purging: false,
        };
        for stream in [&running.stdin, &running.stdout, &running.stderr].into_iter().flatten() {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A child was reaped. If it was the agent, all that it started ends with it.
    pub(crate) fn reaped(&mut self, pid: i32, end: AgentEnd) {
        if self.end.is_none() && pid == self.pid.as_raw_nonzero().get() {
            self.end = Some(end);
            self.stdin = None;
            self.purge();
        }
    }

    pub(crate) fn signal(&mut self, signal: AgentSignal) {
        if self.end.is_some() {
            return;
        }
        let signal = match signal {
            AgentSignal::Interrupt => Signal::INT,
            AgentSignal::Terminate => Signal::TERM,
            AgentSignal::Kill => return self.purge(),
        };
        // A group that is gone in the meantime is told of by its end.
        kill_process_group(self.pid, signal).ok();
    }

    /// Kills everything in the box; to be called again while [`purging`](Self::purging).
    pub(crate) fn purge(&mut self) {
        self.purging = kill_all();
    }

    pub(crate) fn purging(&self) -> bool {
        self.purging
    }

    /// The streams to be waited for: input (where there is something to write), output, errors.
    pub(crate) fn streams(&self) -> [Option<&OwnedFd>; 3] {
        let stdin = self.stdin.as_ref().filter(|_| !self.input.queue.is_empty());
        [stdin, self.stdout.as_ref(), self.stderr.as_ref()]
    }

    /// Adds bytes of one input; an id that was there before is dropped.
    pub(crate) fn input(&mut self, id: u64, last: bool, bytes: &[u8]) -> Result<(), InputTooLong> {
        self.input.add(id, last, bytes)?;
        self.write();
        Ok(())
    }

    /// Forgets an input whose last bytes did not come: it will come again, whole.
    pub(crate) fn forget_part(&mut self) {
        self.input.part = None;
    }

    pub(crate) fn close_input(&mut self) {
        self.input.close = true;
        self.write();
    }

    /// Whether the agent reads so slowly that no more input should be taken.
    pub(crate) fn input_full(&self) -> bool {
        self.stdin.is_some() && self.input.queue.len() > INPUT_BYTES_MAX
    }

    /// Writes to the agent what it takes.
    pub(crate) fn write(&mut self) {
        let Some(stdin) = &self.stdin else {
            self.input.queue = VecDeque::new();
            return;
        };
        while !self.input.queue.is_empty() {
            match rustix::io::write(stdin, self.input.queue.as_slices().0) {
                Ok(count) => drop(self.input.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.stdin = None;
                    break;
                }
            }
        }
        self.input.queue = VecDeque::new();
        if self.input.close {
            self.stdin = None;
        }
    }

    /// Reads output into the spool, as far as there is room.
    pub(crate) fn read_output(&mut self, spool: &mut Spool) {
        let room = spool.room().min(READ_BYTES);
        if room > 0 && read(&mut self.stdout, room, |bytes| spool.add(bytes)) {
            self.stdout = None;
        }
    }

    /// Reads errors.
    pub(crate) fn read_errors(&mut self, errors: &mut Errors) {
        if read(&mut self.stderr, READ_BYTES, |bytes| errors.add(bytes)) {
            self.stderr = None;
        }
    }
}

/// Reads once; whether the stream is at its end.
fn read(stream: &mut Option<OwnedFd>, max: usize, add: impl FnOnce(&[u8])) -> bool {
    let Some(fd) = stream else { return false };
    let mut buffer = [0; READ_BYTES];
    match rustix::io::read(fd, &mut buffer[..max]) {
        Ok(0) => true,
        Ok(count) => {
            add(&buffer[..count]);
            false
        }
        Err(Errno::AGAIN | Errno::INTR) => false,
        Err(_) => true,
    }
}

impl Input {
    fn add(&mut self, id: u64, last: bool, bytes: &[u8]) -> Result<(), InputTooLong> {
        if self.ids.contains(&id) {
            return Ok(());
        }
        let mut whole = match self.part.take() {
            Some((of, part)) if of == id => part,
            _ => Vec::new(),
        };
        if whole.len() + bytes.len() > INPUT_BYTES_MAX {
            return Err(InputTooLong);
        }
        whole.extend(bytes);
        if !last {
            self.part = Some((id, whole));
            return Ok(());
        }
        self.queue.extend(whole);
        if self.ids.len() == IDS_MAX {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_taken_whole_and_once() {
        let mut input = Input::default();
        input.add(7, false, b"he").unwrap();
        assert!(input.queue.is_empty(), "half an input must not be written");
        input.add(7, true, b"llo").unwrap();
        input.add(7, false, b"he").unwrap();
        input.add(7, true, b"llo").unwrap();
        input.add(3, true, b"!").unwrap();
        assert_eq!(input.queue, b"hello!");
    }

    #[test]
    fn the_part_of_another_input_is_not_mixed_in() {
        let mut input = Input::default();
        input.add(1, false, b"lost").unwrap();
        input.add(2, true, b"two").unwrap();
        input.add(1, true, b"one").unwrap();
        assert_eq!(input.queue, b"twoone");
    }

    #[test]
    fn an_endless_input_is_refused() {
        let mut input = Input::default();
        let chunk = vec![0; INPUT_BYTES_MAX / 2];
        input.add(1, false, &chunk).unwrap();
        input.add(1, false, &chunk).unwrap();
        assert_eq!(input.add(1, false, b"x"), Err(InputTooLong));
    }
}
