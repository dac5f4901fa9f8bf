//! How a model is asked and heard, in each of the three dialects. Knows no connection and no session.

mod anthropic;
mod chat;
mod responses;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::chat::{ChatError, Piece, Reply};
use crate::message::{Call, Function, Image, Message};

/// The most tool calls of one answer.
const CALLS_MAX: usize = 64;

/// The dialect in which the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Responses,
    Anthropic,
}

/// What a model is asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: &'a [Cow<'a, Message>],
    /// What the last thing that a person said came with.
    pub(crate) images: &'a [Image],
    pub(crate) tools: &'a [Described],
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) about: String,
    /// The schema of its arguments.
    pub(crate) schema: Value,
}

impl Dialect {
    /// The dialect of this name; where the endpoint speaks one that the agent does not, it is asked in
    /// chat completions, and the gate translates.
    pub(crate) fn read(name: &str) -> Option<Self> {
        match name {
            "openai-chat" | "gemini" => Some(Self::Chat),
            "openai-responses" => Some(Self::Responses),
            "anthropic-messages" => Some(Self::Anthropic),
            _ => None,
        }
    }

    /// Where the model is asked, below the gate.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The request, whose answer is to stream.
    pub(crate) fn request(self, asked: &Asked<'_>) -> Value {
        match self {
            Self::Chat => chat::request(asked),
            Self::Responses => responses::request(asked),
            Self::Anthropic => anthropic::request(asked),
        }
    }

    /// Hears an answer.
    pub(crate) fn hear(self) -> Box<dyn Hear> {
        match self {
            Self::Chat => Box::<chat::Stream>::default(),
            Self::Responses => Box::<responses::Stream>::default(),
            Self::Anthropic => Box::<anthropic::Stream>::default(),
        }
    }
}

/// Hears an answer, whole or piece by piece.
pub(crate) trait Hear {
    /// Reads the data of one event of a stream.
    fn event(&mut self, data: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError>;

    /// Reads an answer that does not stream.
    fn whole(&mut self, body: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError>;

    /// Whether the answer has come to its end.
    fn is_over(&self) -> bool;

    /// What was said.
    fn reply(self: Box<Self>) -> Reply;
}

/// The last message of a person, where pictures belong.
fn last_said(messages: &[Cow<'_, Message>]) -> Option<usize> {
    messages.iter().rposition(|message| matches!(**message, Message::User { .. }))
}

fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, ChatError> {
    serde_json::from_slice(data).map_err(|error| ChatError::Unreadable(error.to_string()))
}

/// Says a piece, unless there is nothing in it.
fn say(text: &str, kind: impl FnOnce(String) -> Piece, piece: &mut dyn FnMut(Piece)) {
    if !text.is_empty() {
        piece(kind(text.to_owned()));
    }
}

fn call(id: String, name: String, arguments: String) -> Call {
    Call { id, kind: crate::message::function(), function: Function { name, arguments } }
}

fn too_many() -> ChatError {
    ChatError::Unreadable(format!("more than {CALLS_MAX} tool calls at once"))
}

/// Arguments as an object: what is none stands in one.
fn object(arguments: &str) -> Value {
    let read = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object);
    let whole = || match arguments.trim() {
        "" => serde_json::json!({}),
        text => serde_json::json!({"input": text}),
    };
    read.unwrap_or_else(whole)
}

/// What an endpoint says of its failure.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ErrorText {
    Object { message: String },
    Text(String),
}

impl ErrorText {
    pub(crate) fn message(self) -> String {
        match self {
            Self::Object { message } | Self::Text(message) => message,
        }
    }

    /// The endpoint failed in the middle of an answer.
    fn unavailable(self) -> ChatError {
        ChatError::Unavailable { status: 200, message: self.message(), retry_after: None }
    }
}

#[cfg(test)]
mod tests;
