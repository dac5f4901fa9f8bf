//! One answer of a model: asked for, and heard to its end, whatever the dialect.

use std::io::{BufRead, Read, Take};

use serde::Deserialize;

use crate::dialect::{Dialect, ErrorText, Hear};
use crate::http::{Answer, Connection, Origin};
use crate::message::Call;

/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The longest line of a stream.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// The most that is read of what follows the end of an answer.
const REST_BYTES_MAX: u64 = 64 << 10;
/// The most of an error's text that is shown.
const ERROR_BYTES_MAX: u64 = 4 << 10;

/// A piece of an answer, as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Said.
    Text(String),
    /// Thought.
    Thought(String),
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) calls: Vec<Call>,
    /// Why it ended, in the words of chat completions or of the model.
    pub(crate) finish: String,
}

/// A model did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChatError {
    /// The connection was refused or broke. It may help to try again.
    #[error("the connection to the model broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other side is busy or in trouble. It may help to try again.
    #[error("the model is not available (HTTP {status}): {message}")]
    Unavailable {
        status: u16,
        message: String,
        /// After how many seconds, as the other side says.
        retry_after: Option<u64>,
    },
    /// The request was refused.
    #[error("the model refused the request (HTTP {status}): {message}")]
    Refused { status: u16, message: String },
    /// The answer is not one of the dialect.
    #[error("the model's answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer is longer than is read of one.
    #[error("the model's answer is longer than {} MiB of its stream; ask for less at once", ANSWER_BYTES_MAX >> 20)]
    TooLong,
}

impl ChatError {
    /// Whether the conversation is longer than the model takes, in the many words of endpoints.
    pub(crate) fn is_too_much(&self) -> bool {
        let Self::Refused { status: 400 | 413 | 422, message } = self else { return false };
        let message = message.to_ascii_lowercase();
        let has = |word: &str| message.contains(word);
        has("too long")
            || has("too large")
            || has("too many tokens")
            || (has("context") && ["length", "window", "size", "exceed"].into_iter().any(has))
            || (has("token") && (has("maximum") || has("exceed")))
    }
}

/// Asks, and calls `piece` for every piece of text as it comes.
pub(crate) fn ask(
    dialect: Dialect,
    origin: &Origin,
    connection: Connection,
    request: &[u8],
    mut piece: impl FnMut(Piece),
) -> Result<Reply, ChatError> {
    let answer = origin.post(connection, dialect.path(), request)?;
    if answer.status != 200 {
        return Err(refusal(answer));
    }
    let mut hear = dialect.hear();
    if answer.is_event_stream {
        let body = answer.into_body().take(ANSWER_BYTES_MAX);
        return read_stream(body, hear, &mut piece);
    }
    let mut whole = Vec::new();
    let mut body = answer.into_body().take(ANSWER_BYTES_MAX);
    body.read_to_end(&mut whole)?;
    if body.limit() == 0 {
        return Err(ChatError::TooLong);
    }
    hear.whole(&whole, &mut piece)?;
    Ok(hear.reply())
}

fn refusal(answer: Answer) -> ChatError {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: ErrorText,
    }
    let (status, retry_after) = (answer.status, answer.retry_after);
    let mut text = Vec::new();
    answer.into_body().take(ERROR_BYTES_MAX).read_to_end(&mut text).ok();
    let text = String::from_utf8_lossy(&text).into_owned();
    let message =
        serde_json::from_str::<ErrorBody>(&text).map_or(text, |body| body.error.message());
    match status {
        408 | 425 | 429 | 500..=599 => ChatError::Unavailable { status, message, retry_after },
        _ => ChatError::Refused { status, message },
    }
}

fn read_stream(
    mut body: Take<impl BufRead>,
    mut hear: Box<dyn Hear>,
    piece: &mut dyn FnMut(Piece),
) -> Result<Reply, ChatError> {
    let mut line = Vec::new();
    while !hear.is_over() {
        line.clear();
        if body.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            let reply = hear.reply();
            if reply.finish.is_empty() {
                return Err(ChatError::Broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
            return Ok(reply);
        }
        if body.limit() == 0 {
            return Err(ChatError::TooLong);
        }
        match line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) {
            Some(data) if !data.is_empty() => hear.event(data, piece)?,
            _ => {} // comments, event names, empty lines
        }
    }
    // What was used is written down before the answer has its end: so it is waited for.
    body.take(REST_BYTES_MAX).read_to_end(&mut line).ok();
    Ok(hear.reply())
}
