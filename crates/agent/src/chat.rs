//! One answer of a model over chat completions: the request, and the stream put together.

use std::borrow::Cow;
use std::io::{BufRead, Read, Take};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::{Answer, Connection, Origin};
use crate::message::{Call, Function, Message};

/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The longest line of a stream.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// The most tool calls of one answer.
const CALLS_MAX: usize = 64;
/// The most of an error's text that is shown.
const ERROR_BYTES_MAX: u64 = 4 << 10;

/// What is asked of a model.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: &'a [Cow<'a, Message>],
    pub(crate) tools: &'a Value,
    pub(crate) stream: bool,
    pub(crate) stream_options: StreamOptions,
}

/// What a stream brings beside the answer.
#[derive(Debug, Serialize)]
pub(crate) struct StreamOptions {
    include_usage: bool,
}

impl StreamOptions {
    /// What the answer used: without being asked, many endpoints do not say, and nobody could count.
    pub(crate) const WITH_USAGE: Self = Self { include_usage: true };
}

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
    /// Why it ended, in the words of the model.
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
    /// The answer is not one of chat completions.
    #[error("the model's answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer is longer than is read of one.
    #[error("the model's answer is longer than {} MiB of its stream; ask for less at once", ANSWER_BYTES_MAX >> 20)]
    TooLong,
}

/// Asks, and calls `piece` for every piece of text as it comes.
pub(crate) fn ask(
    origin: &Origin,
    connection: Connection,
    request: &[u8],
    mut piece: impl FnMut(Piece),
) -> Result<Reply, ChatError> {
    let answer = origin.post(connection, "/v1/chat/completions", request)?;
    if answer.status != 200 {
        return Err(refusal(answer));
    }
    if answer.is_event_stream {
        return read_stream(answer.into_body().take(ANSWER_BYTES_MAX), &mut piece);
    }
    let mut whole = Vec::new();
    let mut body = answer.into_body().take(ANSWER_BYTES_MAX);
    body.read_to_end(&mut whole)?;
    if body.limit() == 0 {
        return Err(ChatError::TooLong);
    }
    let mut partial = Partial::default();
    partial.add(&whole, &mut piece)?;
    Ok(partial.finish())
}

fn refusal(answer: Answer) -> ChatError {
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
    piece: &mut impl FnMut(Piece),
) -> Result<Reply, ChatError> {
    let mut partial = Partial::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if body.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if body.limit() == 0 {
            return Err(ChatError::TooLong);
        }
        match line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) {
            Some(b"[DONE]") => return Ok(partial.finish()),
            Some(data) if !data.is_empty() => partial.add(data, piece)?,
            _ => {} // comments, event names, empty lines
        }
    }
    if partial.finish.is_empty() {
        return Err(ChatError::Broken(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(partial.finish())
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorText {
    Object { message: String },
    Text(String),
}

impl ErrorText {
    fn message(self) -> String {
        match self {
            Self::Object { message } | Self::Text(message) => message,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<ErrorText>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    /// A piece of a stream, or all of an answer that does not stream.
    #[serde(alias = "message", default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Deserialize)]
struct CallDelta {
    index: Option<usize>,
    id: Option<String>,
    #[serde(default)]
    function: FunctionDelta,
}

#[derive(Debug, Default, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Arguments>,
}

/// Text that holds JSON, or, from some servers, the JSON itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Json(Value),
}

/// An answer that grows.
#[derive(Debug, Default)]
struct Partial {
    text: String,
    calls: Vec<Call>,
    finish: String,
}

impl Partial {
    fn add(&mut self, data: &[u8], piece: &mut impl FnMut(Piece)) -> Result<(), ChatError> {
        let chunk = serde_json::from_slice::<Chunk>(data)
            .map_err(|error| ChatError::Unreadable(error.to_string()))?;
        if let Some(error) = chunk.error {
            let message = error.message();
            return Err(ChatError::Unavailable { status: 200, message, retry_after: None });
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        if let Some(thought) = choice.delta.reasoning_content.filter(|text| !text.is_empty()) {
            piece(Piece::Thought(thought));
        }
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            piece(Piece::Text(text));
        }
        for call in choice.delta.tool_calls.into_iter().flatten() {
            self.add_call(call)?;
        }
        self.finish = choice.finish_reason.unwrap_or_else(|| std::mem::take(&mut self.finish));
        Ok(())
    }

    fn add_call(&mut self, delta: CallDelta) -> Result<(), ChatError> {
        let index = delta.index.unwrap_or(self.calls.len());
        if index >= CALLS_MAX {
            return Err(ChatError::Unreadable(format!("more than {CALLS_MAX} tool calls at once")));
        }
        while self.calls.len() <= index {
            let (id, function) = (String::new(), Function::default());
            self.calls.push(Call { id, kind: crate::message::function(), function });
        }
        let call = &mut self.calls[index];
        if let Some(id) = delta.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        call.function.name.push_str(&delta.function.name.unwrap_or_default());
        match delta.function.arguments {
            Some(Arguments::Text(text)) => call.function.arguments.push_str(&text),
            Some(Arguments::Json(Value::Null)) | None => {}
            Some(Arguments::Json(json)) => call.function.arguments.push_str(&json.to_string()),
        }
        Ok(())
    }

    fn finish(self) -> Reply {
        Reply { text: self.text, calls: self.calls, finish: self.finish }
    }
}
