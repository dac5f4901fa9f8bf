//! The server's end of the line to a worker: takes the agent's output, line by line, and hands input.
//!
//! Every byte that comes from the socket is hostile: the agent may have taken its worker over. It never
//! costs more than a few times [`model::limit::LINE_BYTES_MAX`], and never makes a line out of a part of one.
//!
//! **Resuming.** A [`Line`] begins at a cursor: the [`end`](FromBox::Line::end) of the last line that
//! the caller has made durable. The worker keeps all output after the last [`Line::ack`]; when the
//! connection is lost, or the server is restarted, a new `Line` goes on without a lost or doubled byte.
//! Lines that were handed out must be acknowledged even when none follows: an agent whose output is
//! not acknowledged comes to stand still.

mod accept;
mod assemble;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use model::worker_wire::{
    AgentEnd, AgentSignal, AgentState, CHUNK_BYTES_MAX, Down, FRAME_BYTES_MAX, Frame,
    INPUT_BYTES_MAX, StartAgent, Up, WireError,
};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::runner::Process;
pub use accept::{AcceptError, listener};
use assemble::Assembler;

/// How long a worker may take nothing of what is written to it.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// The most that waits to be written to a worker.
const OUTGOING_BYTES_MAX: usize = 2 * INPUT_BYTES_MAX;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// How much more of a line that is too long is worth being told.
const OVERLONG_STEP: u64 = 1 << 20;

/// What comes from a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromBox {
    /// The agent runs. Said anew on every connection.
    Started {
        /// Its process id, as seen in the box.
        pid: u32,
    },
    /// A line of the agent's standard output.
    Line {
        /// The line without its end; at most [`model::limit::LINE_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
        /// The offset in the agent's output after this line.
        end: u64,
        /// It was longer, and the rest of it is lost; or its beginning was lost by a restart in the
        /// middle of it, and it is empty.
        overlong: bool,
    },
    /// A line that is too long goes on; it is kept no further. Said about once for each MiB of it.
    Overlong {
        /// So long it is by now, in bytes.
        bytes: u64,
    },
    /// A piece of the agent's standard error.
    Stderr {
        /// The piece.
        bytes: Vec<u8>,
        /// So many bytes before it were dropped.
        dropped: u64,
    },
    /// The agent ended, and all that it started; all its output has come. Said anew on every
    /// connection.
    AgentExited {
        /// Its status, where it exited.
        code: Option<i32>,
        /// The signal that ended it, where one did.
        signal: Option<i32>,
    },
    /// The agent could not be started. Said anew on every connection.
    AgentFailed(String),
    /// The connection is closed. Accept the worker again; if the box lives, it will call.
    Lost,
    /// The worker does not do as workers do: the box is not ours any more and must be destroyed.
    Broken(String),
}

/// Nothing more can be said to a worker.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The worker takes nothing: its agent does not read its input.
    #[error("the worker takes no input; {waiting} bytes are waiting")]
    Stuck {
        /// How much waits.
        waiting: usize,
    },
    /// A program's arguments and environment, or an input, are longer than can be said.
    #[error("it is too long for the worker")]
    TooLong,
    /// The offset was not reached yet.
    #[error("offset {offset} was not reached yet")]
    NotReached {
        /// The offset.
        offset: u64,
    },
}

/// A connection to a worker.
#[derive(Debug)]
pub struct Line {
    socket: UnixStream,
    agent: AgentState,
    incoming: Vec<u8>,
    /// How much of `incoming` is understood.
    understood: usize,
    outgoing: VecDeque<u8>,
    assembler: Assembler,
    /// What comes after the lines that are whole.
    then: VecDeque<FromBox>,
    acknowledged: u64,
    /// Up to where it was told that a line is too long.
    told: u64,
    over: Option<FromBox>,
}

impl Line {
    /// Whether an agent ran when the worker called.
    pub fn agent(&self) -> AgentState {
        self.agent
    }

    /// Starts the agent. The answer is [`FromBox::Started`] or [`FromBox::AgentFailed`].
    pub fn start(&mut self, process: &Process) -> Result<(), LineError> {
        use std::os::unix::ffi::OsStrExt;
        let word = |text: &String| text.clone().into_bytes();
        self.say(&Down::Start(StartAgent {
            argv: process.argv.iter().map(word).collect(),
            env: process.env.iter().map(|(name, value)| (word(name), word(value))).collect(),
            cwd: process.cwd.as_os_str().as_bytes().to_vec(),
        }))
    }

    /// Writes to the agent's standard input; an id that was written before is dropped by the worker.
    /// At most [`INPUT_BYTES_MAX`].
    pub fn input(&mut self, id: u64, bytes: &[u8]) -> Result<(), LineError> {
        if bytes.len() > INPUT_BYTES_MAX {
            return Err(LineError::TooLong);
        }
        let mut rest = bytes;
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK_BYTES_MAX));
            self.say(&Down::Input { id, last: after.is_empty(), bytes: chunk })?;
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
        }
    }

    /// Closes the agent's standard input after all that was written to it.
    pub fn close_input(&mut self) -> Result<(), LineError> {
        self.say(&Down::CloseInput)
    }

    /// Says that every line that ends at or before `offset` is durable. The worker forgets them.
    pub fn ack(&mut self, offset: u64) -> Result<(), LineError> {
        if offset > self.assembler.end() {
            return Err(LineError::NotReached { offset });
        }
        if offset > self.acknowledged {
            self.acknowledged = offset;
            self.say(&Down::Ack { offset })?;
        }
        self.ack_overlong()
    }

    /// A line that is longer than what a worker keeps is acknowledged while it comes: its rest is not
    /// kept anyway.
    fn ack_overlong(&mut self) -> Result<(), LineError> {
        match self.assembler.overlong_from() {
            Some(from) if from <= self.acknowledged => {
                let offset = self.assembler.end();
                if offset > self.acknowledged {
                    self.acknowledged = offset;
                    self.say(&Down::Ack { offset })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends a signal to the agent.
    pub fn signal(&mut self, signal: AgentSignal) -> Result<(), LineError> {
        self.say(&Down::Signal(signal))
    }

    /// Ends the agent, by force after `grace`, and then the box.
    pub fn stop(&mut self, grace: Duration) -> Result<(), LineError> {
        self.say(&Down::Stop { grace })
    }

    /// What comes next from the box. After [`FromBox::Lost`] and [`FromBox::Broken`] nothing else does.
    ///
    /// What was said to the worker, and is not written yet, is written while this waits. Cancel
    /// safety: a dropped call has lost nothing.
    pub async fn next(&mut self) -> FromBox {
        loop {
            if let Some(ready) = self.ready() {
                return ready;
            }
            if let Some(overlong) = self.overlong() {
                return overlong;
            }
            if let Err(over) = self.exchange().await {
                self.over = Some(over);
            }
        }
    }

    /// Closes the connection and waits until that is done. The worker will call again.
    pub async fn hang_up(&mut self) {
        self.over = Some(FromBox::Lost);
        // An error means that it is closed already.
        self.socket.shutdown().await.ok();
    }

    /// Waits until everything that was said is written, or cannot be.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            timeout(WRITE_MAX, self.socket.writable()).await??;
            self.write()?;
        }
        Ok(())
    }

    fn say(&mut self, down: &Down<'_>) -> Result<(), LineError> {
        if self.over.is_some() {
            return Ok(()); // `next` tells.
        }
        let mut frame = Vec::new();
        down.encode(&mut frame).map_err(|_| LineError::TooLong)?;
        if self.outgoing.len() + frame.len() > OUTGOING_BYTES_MAX {
            return Err(LineError::Stuck { waiting: self.outgoing.len() });
        }
        self.outgoing.extend(frame);
        // Whether the connection is lost, `next` finds out.
        self.write().ok();
        Ok(())
    }

    /// What has come and was not handed out.
    fn ready(&mut self) -> Option<FromBox> {
        loop {
            if let Some(line) = self.assembler.next() {
                let assemble::Assembled { bytes, end, overlong } = line;
                return Some(FromBox::Line { bytes, end, overlong });
            }
            if let Some(next) = self.then.pop_front() {
                return Some(next);
            }
            match self.understand() {
                Ok(true) => {}
                Ok(false) => return self.over.clone(),
                Err(why) => {
                    let broken = FromBox::Broken(why);
                    self.incoming.clear();
                    self.understood = 0;
                    self.over = Some(broken.clone());
                    return Some(broken);
                }
            }
        }
    }

    /// Understands one frame. `false`: there is no whole one.
    fn understand(&mut self) -> Result<bool, String> {
        let explain = |error: WireError| error.to_string();
        let rest = &self.incoming[self.understood..];
        let Some((frame, length)) = Frame::first(rest).map_err(explain)? else {
            // A line that is idle holds no memory.
            self.incoming = self.incoming.split_off(self.understood);
            self.understood = 0;
            return Ok(false);
        };
        let up = Up::decode(frame).map_err(explain)?;
        self.understood += length;
        match up {
            Up::Hello { .. } => return Err("the worker greets twice".to_owned()),
            Up::Started { pid } => self.then.push_back(FromBox::Started { pid }),
            Up::Output { offset, bytes } => {
                let expected = self.assembler.end();
                if offset != expected {
                    return Err(format!("output {offset} came where {expected} was due"));
                }
                self.assembler.add(bytes);
            }
            Up::Errors { dropped, bytes } => {
                self.then.push_back(FromBox::Stderr { bytes: bytes.to_vec(), dropped });
            }
            Up::AgentExited(end) => {
                if let Some(assemble::Assembled { bytes, end, overlong }) = self.assembler.last() {
                    self.then.push_back(FromBox::Line { bytes, end, overlong });
                }
                let (code, signal) = match end {
                    AgentEnd::Code(code) => (Some(code), None),
                    AgentEnd::Signal(signal) => (None, Some(signal)),
                };
                self.then.push_back(FromBox::AgentExited { code, signal });
            }
            Up::AgentFailed { message } => {
                let message = String::from_utf8_lossy(message).into_owned();
                self.then.push_back(FromBox::AgentFailed(message));
            }
        }
        Ok(true)
    }

    /// What is to be told of a line that is too long and has no end yet.
    fn overlong(&mut self) -> Option<FromBox> {
        let (from, end) = (self.assembler.overlong_from()?, self.assembler.end());
        if end < from.max(self.told).saturating_add(OVERLONG_STEP) {
            return None;
        }
        self.told = end;
        Some(FromBox::Overlong { bytes: end - from })
    }

    /// Reads or writes, whichever can be done first.
    async fn exchange(&mut self) -> Result<(), FromBox> {
        if self.ack_overlong().is_err() {
            return Err(FromBox::Broken("the worker takes no acknowledgement".to_owned()));
        }
        let ready = if self.outgoing.is_empty() {
            self.socket.readable().await.map(|()| tokio::io::Ready::READABLE)
        } else {
            let both = self.socket.ready(Interest::READABLE | Interest::WRITABLE);
            timeout(WRITE_MAX, both).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
        };
        let ready = ready.map_err(|_| FromBox::Lost)?;
        if ready.is_writable() {
            // A worker that cannot be written to may still have something to say.
            if self.write().is_err() {
                self.outgoing = VecDeque::new();
            }
        }
        if ready.is_readable() {
            self.read()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.socket.try_write(self.outgoing.as_slices().0) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing = VecDeque::new();
        Ok(())
    }

    fn read(&mut self) -> Result<(), FromBox> {
        debug_assert!(self.incoming.len() <= FRAME_BYTES_MAX + READ_BYTES);
        self.incoming.reserve(READ_BYTES);
        match self.socket.try_read_buf(&mut self.incoming) {
            Ok(0) => Err(FromBox::Lost),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(FromBox::Lost),
        }
    }
}
