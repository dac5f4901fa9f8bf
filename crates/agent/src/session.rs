//! A conversation as a file: one JSON message a line, appended as it is said.
//!
//! A last line without an end is one that was being written when the agent was killed: it is taken
//! off. Anything else that cannot be read is an error, never a guess.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::message::{Call, Message};

/// The largest session file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The form of the file that is written.
const FORM: u32 = 1;
/// What a tool call is told whose tool was never run.
const INTERRUPTED: &str = "The call was interrupted; it is not known how far it came.";

/// A session file was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The id cannot be the name of a file.
    #[error("`{0}` is no id of a session")]
    Id(String),
    /// There is no such session.
    #[error("there is no session `{0}`: its file is missing")]
    Missing(String),
    /// A new session was asked for under an id that is taken.
    #[error("there is a session `{0}` already; load it to continue it")]
    Taken(String),
    /// The file is not one that we wrote.
    #[error("the file of session `{id}` cannot be read: line {line} {what}")]
    Garbage { id: String, line: usize, what: String },
    /// The disk did not do as asked.
    #[error("the file of the session cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

/// A conversation whose messages are in a file.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    file: File,
    messages: Vec<Message>,
    /// How many tools were called so far.
    calls: u64,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    remit_session: u32,
    id: String,
}

impl Session {
    /// Begins a conversation.
    pub(crate) fn create(folder: &Path, id: &str) -> Result<Self, SessionError> {
        let path = folder.join(file_name(id)?);
        let mut file = match OpenOptions::new().append(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SessionError::Taken(id.to_owned()));
            }
            opened => opened?,
        };
        write_line(&mut file, &Head { remit_session: FORM, id: id.to_owned() })?;
        Ok(Self { id: id.to_owned(), file, messages: Vec::new(), calls: 0 })
    }

    /// Takes a conversation up again.
    pub(crate) fn load(folder: &Path, id: &str) -> Result<Self, SessionError> {
        let path = folder.join(file_name(id)?);
        if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return Err(SessionError::Missing(id.to_owned()));
        }
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut bytes = Vec::new();
        Read::take(&mut file, FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let garbage = |line, what: &str| SessionError::Garbage {
            id: id.to_owned(),
            line,
            what: what.to_owned(),
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(garbage(0, "is beyond the largest size of the file"));
        }
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate();
        let head = lines.next().and_then(|(_, line)| serde_json::from_slice::<Head>(line).ok());
        match head {
            Some(head) if head.remit_session == FORM => {}
            Some(_) => return Err(garbage(1, "names a form that this version cannot read")),
            None => return Err(garbage(1, "is not the head of a session file")),
        }
        let mut messages = Vec::new();
        for (number, line) in lines {
            let message = serde_json::from_slice(line)
                .map_err(|error| garbage(number + 1, &format!("is no message: {error}")))?;
            messages.push(message);
        }
        file.set_len(whole as u64)?;
        let calls = messages.iter().map(|message| calls_of(message).len() as u64).sum();
        let mut session = Self { id: id.to_owned(), file, messages, calls };
        session.settle(INTERRUPTED)?;
        Ok(session)
    }

    /// What was said.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message, in the file before anything follows from it.
    pub(crate) fn add(&mut self, message: Message) -> io::Result<()> {
        write_line(&mut self.file, &message)?;
        self.calls += calls_of(&message).len() as u64;
        self.messages.push(message);
        Ok(())
    }

    /// The id of the tool call that comes after `before` others: unique in the conversation.
    pub(crate) fn call_id(&self, before: usize) -> String {
        format!("call_{}", self.calls + before as u64 + 1)
    }

    /// Answers every tool call that has no result: a model refuses a conversation with open calls.
    pub(crate) fn settle(&mut self, result: &str) -> io::Result<()> {
        let asked = self.messages.iter().rposition(|message| !calls_of(message).is_empty());
        let Some(asked) = asked else { return Ok(()) };
        let answered = |id: &str| {
            self.messages[asked..].iter().any(
                |message| matches!(message, Message::Tool { tool_call_id, .. } if tool_call_id == id),
            )
        };
        let calls = calls_of(&self.messages[asked]).iter().map(|call| call.id.clone());
        for tool_call_id in calls.filter(|id| !answered(id)).collect::<Vec<_>>() {
            self.add(Message::Tool { tool_call_id, content: result.to_owned() })?;
        }
        Ok(())
    }
}

fn calls_of(message: &Message) -> &[Call] {
    match message {
        Message::Assistant { tool_calls, .. } => tool_calls,
        Message::System { .. }
        | Message::User { .. }
        | Message::Tool { .. }
        | Message::Summary { .. } => &[],
    }
}

fn file_name(id: &str) -> Result<String, SessionError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=64).contains(&id.len()) || !id.bytes().all(allowed) {
        return Err(SessionError::Id(id.chars().take(64).collect()));
    }
    Ok(format!("{id}.jsonl"))
}

fn write_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}
