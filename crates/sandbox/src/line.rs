//! The line to the zygote: starts it, asks it, follows a box until its program runs. Says what
//! the zygote said and decides nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::enter::READY;
use crate::error::Phase;
use crate::order::Request;
use crate::{Error, sys, wire, zygote};

/// How long the zygote may take for one answer.
const ANSWER_SECONDS: i64 = 20;

/// A running zygote. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Line {
    socket: OwnedFd,
    /// Its process id.
    pub(crate) process: i32,
    /// Whether the kernel reaps boxes by itself and remembers how they ended.
    pub(crate) autoreaps: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        // The end of the socket is the order to end; a zygote never does anything long.
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).ok();
        sys::waitpid(self.process).ok();
    }
}

/// What the zygote said, and the socket on which more may follow.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
    more: OwnedFd,
}

impl Answer {
    pub(crate) fn incomplete() -> Error {
        Error::Zygote(io::ErrorKind::UnexpectedEof.into())
    }

    /// The number after the first byte: a pid or a status.
    pub(crate) fn number(&self) -> Result<i32, Error> {
        let digits = self.bytes.get(1..5).and_then(|bytes| bytes.try_into().ok());
        digits.map(i32::from_le_bytes).ok_or_else(Self::incomplete)
    }
}

/// Asks for one thing and waits for the first answer.
pub(crate) fn ask(line: &Line, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Answer, Error> {
    let (here, there) = wire::pair().map_err(Error::host("make a socket pair"))?;
    let mut all = vec![there.as_fd()];
    all.extend(fds);
    wire::send(&line.socket, request.packet().done(), &all).map_err(|error| {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Error::Invalid(
                "arguments, environment and mounts are larger than 160 KiB".to_owned(),
            ),
            _ => Error::Zygote(error),
        }
    })?;
    drop(all);
    drop(there);
    let (bytes, fds) = hear(&here)?;
    match bytes.first() {
        None => Err(Answer::incomplete()),
        Some(&zygote::DONE) => Ok(Answer { bytes, fds, more: here }),
        Some(_) => Err(failed(&bytes)),
    }
}

/// Waits for the next packet, but not for ever.
fn hear(socket: &OwnedFd) -> Result<(Vec<u8>, Vec<OwnedFd>), Error> {
    let deadline = Timespec { tv_sec: ANSWER_SECONDS, tv_nsec: 0 };
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    let ready = loop {
        match poll(&mut polled, Some(&deadline)) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.map_err(|error| Error::Zygote(error.into()))?,
        }
    };
    if ready == 0 {
        return Err(Error::Stuck("start"));
    }
    let mut buffer = vec![0; 64];
    let (count, fds) = match wire::receive(socket, &mut buffer) {
        // The other end died with our packet unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (0, Vec::new()),
        other => other.map_err(Error::Zygote)?,
    };
    buffer.truncate(count);
    Ok((buffer, fds))
}

/// Follows a child until the end of its socket says that it has executed its program.
pub(crate) fn follow(answer: &Answer) -> Result<(), Error> {
    let socket = &answer.more;
    let (ready, _) = hear(socket)?;
    match ready.first() {
        None => return Err(Error::Died),
        Some(&READY) => {}
        Some(_) => return Err(failed(&ready)),
    }
    let (last, _) = hear(socket)?;
    if last.is_empty() { Ok(()) } else { Err(failed(&last)) }
}

/// A phase and an error number.
fn failed(bytes: &[u8]) -> Error {
    let phase = bytes.first().and_then(|code| Phase::from_code(*code));
    let errno = bytes.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes);
    match (phase, errno) {
        (Some(phase), Some(errno)) => {
            Error::Build { phase, source: io::Error::from_raw_os_error(errno) }
        }
        _ => Answer::incomplete(),
    }
}

/// Starts a zygote and waits until it has its root.
pub(crate) fn start(program: Option<&Path>, mount_points: &[PathBuf]) -> Result<Line, Error> {
    let (here, there) = wire::pair().map_err(Error::host("make a socket pair"))?;
    let program = program.unwrap_or(Path::new("/proc/self/exe"));
    let mut command = Command::new(program);
    command.arg0(zygote::NAME).args(mount_points).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let socket = there.as_raw_fd();
    // SAFETY: between fork and exec it makes only system calls on integers.
    unsafe { command.pre_exec(move || sys::become_zygote(socket)) };
    let process = command.spawn().map_err(Error::host(format!("start {}", program.display())))?;
    let pid = i32::try_from(process.id()).map_err(|_| Answer::incomplete())?;
    drop(there);
    let mut line = Line { socket: here, process: pid, autoreaps: false };
    let (hello, _) = hear(&line.socket)?;
    match hello.first() {
        Some(&zygote::DONE) => {
            line.autoreaps = hello.get(1).is_some_and(|byte| *byte != 0);
            Ok(line)
        }
        Some(_) => Err(failed(&hello)),
        None => Err(Answer::incomplete()),
    }
}
