//! The connection to the server: comes and goes, is asked for again with bounded back-off.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::worker_wire::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX, Frame, Up};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};

/// The first pause between two calls, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_LAST: Duration = Duration::from_millis(250);
/// What waits to be written before more is made.
const OUTGOING_BYTES: usize = 2 * CHUNK_BYTES_MAX;
/// What is read from the server at once.
const READ_BYTES: usize = 16 << 10;

/// The way to the server.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    connection: Option<Connection>,
    retry_at: Instant,
    pause: Duration,
    /// When the server was last known to be there.
    heard: Instant,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// How many of the outgoing bytes are written.
    written: usize,
    /// The server has answered the greeting.
    welcome: bool,
}

impl Link {
    pub(crate) fn new(path: PathBuf, now: Instant) -> Self {
        Self { path, connection: None, retry_at: now, pause: RETRY_FIRST, heard: now }
    }

    /// Calls the server, if it is time to. Whether a greeting is due.
    pub(crate) fn call(&mut self, now: Instant) -> bool {
        if self.connection.is_some() || now < self.retry_at {
            return false;
        }
        let connected = dial(&self.path);
        self.retry_at = now + self.pause;
        self.pause = (self.pause * 2).min(RETRY_LAST);
        self.connection = connected.ok().map(|socket| Connection {
            socket,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            written: 0,
            welcome: false,
        });
        self.connection.is_some()
    }

    /// Gives the connection up.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        if self.connection.take().is_some_and(|connection| connection.welcome) {
            self.heard = now;
            self.pause = RETRY_FIRST;
        }
        self.retry_at = self.retry_at.max(now + self.pause);
    }

    /// When to call next; `None` while connected.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.connection.is_none().then_some(self.retry_at)
    }

    /// Since when the server has been away; `None` while it is there.
    pub(crate) fn away_since(&self) -> Option<Instant> {
        (!self.welcome()).then_some(self.heard)
    }

    /// Whether the server listens to more than a greeting.
    pub(crate) fn welcome(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.welcome)
    }

    pub(crate) fn welcomed(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.welcome = true;
            self.heard = now;
            self.pause = RETRY_FIRST;
        }
    }

    pub(crate) fn socket(&self) -> Option<&OwnedFd> {
        self.connection.as_ref().map(|connection| &connection.socket)
    }

    /// Whether something waits to be written.
    pub(crate) fn has_outgoing(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.outgoing.is_empty())
    }

    /// Whether more may be said now.
    pub(crate) fn has_room(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|c| c.welcome && c.outgoing.len() - c.written < OUTGOING_BYTES)
    }

    /// Says something, or nothing while the server is away.
    pub(crate) fn say(&mut self, up: &Up<'_>) {
        if let Some(connection) = &mut self.connection {
            // Everything the worker says is cut to what a frame holds.
            up.encode(&mut connection.outgoing).ok();
        }
    }

    /// Writes what the server takes. An error: the connection is lost.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        while connection.written < connection.outgoing.len() {
            let bytes = &connection.outgoing[connection.written..];
            match send(&connection.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => connection.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        connection.outgoing.drain(..connection.written);
        connection.written = 0;
        Ok(())
    }

    /// Reads once. An error, which the end is too: the connection is lost.
    pub(crate) fn read(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let mut buffer = [0; READ_BYTES];
        match rustix::io::read(&connection.socket, &mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                connection.incoming.extend(&buffer[..count]);
                Ok(())
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what was read and is not understood yet; [`put_back`](Self::put_back) returns the rest.
    pub(crate) fn take_incoming(&mut self) -> Vec<u8> {
        self.connection.as_mut().map(|c| std::mem::take(&mut c.incoming)).unwrap_or_default()
    }

    /// Returns what was not understood, less the first `taken` bytes.
    pub(crate) fn put_back(&mut self, mut incoming: Vec<u8>, taken: usize) {
        let Some(connection) = &mut self.connection else { return };
        if taken < incoming.len() {
            incoming.drain(..taken);
            connection.incoming = incoming;
        }
    }
}

/// Whether `bytes` begin with a whole frame or can still become one.
pub(crate) fn first_frame(bytes: &[u8]) -> io::Result<Option<(Frame<'_>, usize)>> {
    debug_assert!(bytes.len() <= 2 * FRAME_BYTES_MAX);
    Frame::first(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub(crate) fn dial(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
