//! What the worker in a box and the server say to each other, as bytes: pure, bounded, and it never
//! panics, whatever the bytes are. It never reads or writes anything itself.
//!
//! A frame is a kind (1 byte), the length of its payload (4 bytes, little-endian) and the payload. The
//! worker opens a connection with [`Up::Hello`]; the server answers with [`Down::Ack`], from whose
//! offset on the worker sends the agent's output (again). After that both speak freely.
//!
//! Everything that comes `Up` is hostile: the agent may have taken the worker over.

use std::time::Duration;

use crate::limit::LINE_BYTES_MAX;

/// The version both sides must speak.
pub const PROTOCOL: u16 = 1;
/// The longest payload of a frame. A `Start` must fit into it.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
/// The most bytes of a stream that one frame carries.
pub const CHUNK_BYTES_MAX: usize = 32 << 10;
/// The longest input with one id, all its frames together.
pub const INPUT_BYTES_MAX: usize = 8 << 20;
/// The output that a worker keeps until it is acknowledged; then the agent waits. Longer than the
/// longest line, so that a line can be acknowledged when it is whole.
pub const SPOOL_BYTES_MAX: usize = LINE_BYTES_MAX + (256 << 10);
/// The longest message about a failure.
pub const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// The most arguments, and the most variables, of an agent.
pub const WORDS_MAX: usize = 4_096;

const HEADER_BYTES: usize = 5;

/// The other side does not speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame says that it is longer than frames are, or is about to be made so.
    #[error("a frame of {bytes} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// There is no such kind of frame in this direction.
    #[error("there is no frame of kind {kind}")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// The payload is not what its kind has.
    #[error("the payload of a frame of kind {kind} is malformed")]
    Payload {
        /// The kind.
        kind: u8,
    },
}

/// One frame, not yet understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its kind.
    pub kind: u8,
    /// Its payload, at most [`FRAME_BYTES_MAX`] bytes.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes`, and how many bytes it takes. `None`: it is not whole yet.
    pub fn first(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, WireError> {
        let Some((&[kind, a, b, c, d], rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(WireError::TooLong { bytes: length });
        }
        Ok(rest.get(..length).map(|payload| (Self { kind, payload }, HEADER_BYTES + length)))
    }
}

/// How an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEnd {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Whether an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// None was started yet.
    None,
    /// It runs.
    Running,
    /// The last one ended, or could not be started.
    Ended,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up<'a> {
    /// Opens a connection.
    Hello {
        /// [`PROTOCOL`].
        protocol: u16,
        /// Whether an agent runs.
        agent: AgentState,
        /// The offset of the first byte of output that is still kept.
        first: u64,
        /// The offset after the last byte that was read from the agent.
        end: u64,
    },
    /// The agent runs. Said again on every connection.
    Started {
        /// Its process id, as seen in the box.
        pid: u32,
    },
    /// The agent wrote this to its standard output.
    Output {
        /// The offset of the first of these bytes, counted over all agents of the box.
        offset: u64,
        /// At most [`CHUNK_BYTES_MAX`].
        bytes: &'a [u8],
    },
    /// The agent wrote this to its standard error.
    Errors {
        /// So many bytes before these were dropped.
        dropped: u64,
        /// At most [`CHUNK_BYTES_MAX`].
        bytes: &'a [u8],
    },
    /// The agent ended, and all it started with it; no output follows. Said again on every connection.
    AgentExited(AgentEnd),
    /// The agent could not be started. Said again on every connection.
    AgentFailed {
        /// Why, for people. At most [`MESSAGE_BYTES_MAX`]; perhaps not UTF-8.
        message: &'a [u8],
    },
}

/// The signals that may be sent to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSignal {
    /// SIGINT: give up what you do.
    Interrupt,
    /// SIGTERM: end.
    Terminate,
    /// SIGKILL, to the agent and all it started.
    Kill,
}

/// A program to be started as the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartAgent {
    /// The program and its arguments. At least one, at most [`WORDS_MAX`].
    pub argv: Vec<Vec<u8>>,
    /// Its environment, whole. At most [`WORDS_MAX`].
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it starts.
    pub cwd: Vec<u8>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down<'a> {
    /// Starts the agent. Refused, as [`Up::AgentFailed`], when one runs.
    Start(StartAgent),
    /// For the agent's standard input. Bytes of one id are written together, when the last of them
    /// has come; an id that was written before is dropped.
    Input {
        /// The id.
        id: u64,
        /// Whether these are the last bytes of this id.
        last: bool,
        /// At most [`CHUNK_BYTES_MAX`].
        bytes: &'a [u8],
    },
    /// Closes the agent's standard input after all that was written before.
    CloseInput,
    /// Everything before this offset is durable, or needed no more.
    Ack {
        /// The offset.
        offset: u64,
    },
    /// Sends a signal to the agent.
    Signal(AgentSignal),
    /// Ends the agent, and then the box: SIGTERM, then SIGKILL to everything.
    Stop {
        /// How long the agent has to obey. In milliseconds, at most some 49 days.
        grace: Duration,
    },
}

const HELLO: u8 = 1;
const STARTED: u8 = 2;
const OUTPUT: u8 = 3;
const ERRORS: u8 = 4;
const AGENT_EXITED: u8 = 5;
const AGENT_FAILED: u8 = 6;
const START: u8 = 64;
const INPUT: u8 = 65;
const CLOSE_INPUT: u8 = 66;
const ACK: u8 = 67;
const SIGNAL: u8 = 68;
const STOP: u8 = 69;

impl<'a> Up<'a> {
    /// Adds the frame to `to`; leaves it as it was on an error.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), WireError> {
        match *self {
            Self::Hello { protocol, agent, first, end } => frame(to, HELLO, |to| {
                to.extend(protocol.to_le_bytes());
                to.push(agent as u8);
                to.extend(first.to_le_bytes());
                to.extend(end.to_le_bytes());
            }),
            Self::Started { pid } => frame(to, STARTED, |to| to.extend(pid.to_le_bytes())),
            Self::Output { offset, bytes } => frame(to, OUTPUT, |to| {
                to.extend(offset.to_le_bytes());
                to.extend(bytes);
            }),
            Self::Errors { dropped, bytes } => frame(to, ERRORS, |to| {
                to.extend(dropped.to_le_bytes());
                to.extend(bytes);
            }),
            Self::AgentExited(end) => frame(to, AGENT_EXITED, |to| {
                let (how, value) = match end {
                    AgentEnd::Code(code) => (0, code),
                    AgentEnd::Signal(signal) => (1, signal),
                };
                to.push(how);
                to.extend(value.to_le_bytes());
            }),
            Self::AgentFailed { message } => frame(to, AGENT_FAILED, |to| to.extend(message)),
        }
    }

    /// Understands a frame.
    pub fn decode(frame: Frame<'a>) -> Result<Self, WireError> {
        let mut from = Reader(frame.payload);
        let up = match frame.kind {
            HELLO => from.hello(),
            STARTED => from.u32().map(|pid| Self::Started { pid }),
            OUTPUT => {
                from.u64().and_then(|offset| Some(Self::Output { offset, bytes: from.chunk()? }))
            }
            ERRORS => {
                from.u64().and_then(|dropped| Some(Self::Errors { dropped, bytes: from.chunk()? }))
            }
            AGENT_EXITED => from.agent_end().map(Self::AgentExited),
            AGENT_FAILED => {
                from.rest(MESSAGE_BYTES_MAX).map(|message| Self::AgentFailed { message })
            }
            kind => return Err(WireError::Kind { kind }),
        };
        up.filter(|_| from.0.is_empty()).ok_or(WireError::Payload { kind: frame.kind })
    }
}

impl<'a> Down<'a> {
    /// Adds the frame to `to`; leaves it as it was on an error.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), WireError> {
        match self {
            Self::Start(start) => frame(to, START, |to| start.encode(to)),
            Self::Input { id, last, bytes } => frame(to, INPUT, |to| {
                to.extend(id.to_le_bytes());
                to.push(u8::from(*last));
                to.extend(*bytes);
            }),
            Self::CloseInput => frame(to, CLOSE_INPUT, |_| {}),
            Self::Ack { offset } => frame(to, ACK, |to| to.extend(offset.to_le_bytes())),
            Self::Signal(signal) => frame(to, SIGNAL, |to| to.push(*signal as u8)),
            Self::Stop { grace } => frame(to, STOP, |to| {
                let millis = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
                to.extend(millis.to_le_bytes());
            }),
        }
    }

    /// Understands a frame.
    pub fn decode(frame: Frame<'a>) -> Result<Self, WireError> {
        let mut from = Reader(frame.payload);
        let down = match frame.kind {
            START => from.start_agent().map(Self::Start),
            INPUT => from
                .u64()
                .and_then(|id| Some(Self::Input { id, last: from.flag()?, bytes: from.chunk()? })),
            CLOSE_INPUT => Some(Self::CloseInput),
            ACK => from.u64().map(|offset| Self::Ack { offset }),
            SIGNAL => from.signal().map(Self::Signal),
            STOP => from
                .u32()
                .map(|millis| Self::Stop { grace: Duration::from_millis(u64::from(millis)) }),
            kind => return Err(WireError::Kind { kind }),
        };
        down.filter(|_| from.0.is_empty()).ok_or(WireError::Payload { kind: frame.kind })
    }
}

impl StartAgent {
    fn encode(&self, to: &mut Vec<u8>) {
        count(to, self.argv.len());
        self.argv.iter().for_each(|argument| word(to, argument));
        count(to, self.env.len());
        for (name, value) in &self.env {
            word(to, name);
            word(to, value);
        }
        word(to, &self.cwd);
    }
}

fn frame(to: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) -> Result<(), WireError> {
    let start = to.len();
    to.extend([kind, 0, 0, 0, 0]);
    payload(to);
    let bytes = to.len() - start - HEADER_BYTES;
    match u32::try_from(bytes) {
        Ok(length) if bytes <= FRAME_BYTES_MAX => {
            to[start + 1..start + HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        _ => {
            to.truncate(start);
            Err(WireError::TooLong { bytes })
        }
    }
}

fn count(to: &mut Vec<u8>, count: usize) {
    to.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn word(to: &mut Vec<u8>, word: &[u8]) {
    count(to, word.len());
    to.extend(word);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn rest(&mut self, max: usize) -> Option<&'a [u8]> {
        let rest = std::mem::take(&mut self.0);
        (rest.len() <= max).then_some(rest)
    }

    fn chunk(&mut self) -> Option<&'a [u8]> {
        self.rest(CHUNK_BYTES_MAX)
    }

    fn word(&mut self) -> Option<Vec<u8>> {
        let length = self.u32()? as usize;
        let (word, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(word.to_vec())
    }

    fn words<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        (count <= WORDS_MAX).then(|| (0..count).map(|_| each(self)).collect())?
    }

    fn start_agent(&mut self) -> Option<StartAgent> {
        let argv = self.words(Self::word)?;
        let env = self.words(|from| Some((from.word()?, from.word()?)))?;
        let cwd = self.word()?;
        (!argv.is_empty()).then_some(StartAgent { argv, env, cwd })
    }

    fn hello(&mut self) -> Option<Up<'a>> {
        let protocol = self.array().map(u16::from_le_bytes)?;
        let agent = match self.byte()? {
            0 => AgentState::None,
            1 => AgentState::Running,
            2 => AgentState::Ended,
            _ => return None,
        };
        let (first, end) = (self.u64()?, self.u64()?);
        (first <= end).then_some(Up::Hello { protocol, agent, first, end })
    }

    fn agent_end(&mut self) -> Option<AgentEnd> {
        match (self.byte()?, self.array().map(i32::from_le_bytes)?) {
            (0, code) => Some(AgentEnd::Code(code)),
            (1, signal) => Some(AgentEnd::Signal(signal)),
            _ => None,
        }
    }

    fn signal(&mut self) -> Option<AgentSignal> {
        match self.byte()? {
            0 => Some(AgentSignal::Interrupt),
            1 => Some(AgentSignal::Terminate),
            2 => Some(AgentSignal::Kill),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "worker_wire_tests.rs"]
mod tests;
