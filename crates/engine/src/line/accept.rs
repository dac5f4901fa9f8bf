//! How a line begins: who calls, and whether it is the worker.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use model::worker_wire::{AgentState, Down, FRAME_BYTES_MAX, Frame, PROTOCOL, Up};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Line;
use super::assemble::Assembler;

/// How long a worker that has called may take to greet.
const GREETING_MAX: Duration = Duration::from_secs(30);

/// The worker did not connect.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The listener does not listen.
    #[error("cannot listen for the worker")]
    Listen(#[source] io::Error),
    /// The worker speaks another version.
    #[error("the worker speaks protocol {theirs}, not {PROTOCOL}")]
    Protocol {
        /// Its version.
        theirs: u16,
    },
    /// The worker has read less from its agent than was made durable before.
    #[error("the output of the agent ends at {end}, but was read up to {cursor}")]
    Rewound {
        /// Where it ends.
        end: u64,
        /// Up to where it was read.
        cursor: u64,
    },
}

/// Makes the listener of a box usable here.
pub fn listener(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl Line {
    /// Waits for the worker, and begins at `cursor`. Whoever else calls is hung up on.
    ///
    /// `worker` is the process id of the worker as this server sees it. Waits for ever where none
    /// calls. Cancel safety: a dropped call may have dropped a connection; the worker calls again.
    pub async fn accept(
        listener: &UnixListener,
        worker: u32,
        cursor: u64,
    ) -> Result<Self, AcceptError> {
        loop {
            let (socket, _) = listener.accept().await.map_err(AcceptError::Listen)?;
            let caller = socket.peer_cred().ok().and_then(|credentials| credentials.pid());
            if caller.is_none_or(|pid| u32::try_from(pid) != Ok(worker)) {
                continue;
            }
            if let Ok(Some((greeting, rest))) = timeout(GREETING_MAX, greeting(&socket)).await {
                return Self::new(socket, &greeting, rest, cursor);
            }
        }
    }

    fn new(
        socket: UnixStream,
        greeting: &Greeting,
        incoming: Vec<u8>,
        cursor: u64,
    ) -> Result<Self, AcceptError> {
        let &Greeting { protocol, agent, first, end } = greeting;
        if protocol != PROTOCOL {
            return Err(AcceptError::Protocol { theirs: protocol });
        }
        if end < cursor {
            return Err(AcceptError::Rewound { end, cursor });
        }
        let mut line = Self {
            socket,
            agent,
            incoming,
            understood: 0,
            outgoing: VecDeque::new(),
            assembler: Assembler::new(cursor, first),
            then: VecDeque::new(),
            acknowledged: cursor,
            told: cursor,
            over: None,
        };
        // Fits: nothing waits yet.
        line.say(&Down::Ack { offset: cursor }).ok();
        Ok(line)
    }
}

/// How a worker opens a connection.
struct Greeting {
    protocol: u16,
    agent: AgentState,
    first: u64,
    end: u64,
}

/// Reads the greeting, and what came after it. `None`: it is not one.
async fn greeting(socket: &UnixStream) -> Option<(Greeting, Vec<u8>)> {
    let mut incoming = Vec::with_capacity(64);
    loop {
        if let Some((frame, length)) = Frame::first(&incoming).ok()? {
            let Up::Hello { protocol, agent, first, end } = Up::decode(frame).ok()? else {
                return None;
            };
            let greeting = Greeting { protocol, agent, first, end };
            return Some((greeting, incoming.split_off(length)));
        }
        socket.readable().await.ok()?;
        match socket.try_read_buf(&mut incoming) {
            Ok(0) => return None,
            Ok(_) if incoming.len() <= FRAME_BYTES_MAX => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return None,
        }
    }
}
