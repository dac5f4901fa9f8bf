//! Says an answer in a dialect, whole or piece by piece. Holds as much of it as the dialect repeats
//! at the end.

use bytes::Bytes;
use model::ModelApi;
use serde_json::Value;

use super::form::{Call, Names, Piece, Stop};
use super::{anthropic, chat, gemini, responses};
use crate::usage::Used;

/// Who speaks, and to whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Voice {
    /// Of this answer; unique among those of a dispatch.
    pub(crate) id: String,
    pub(crate) model: String,
    /// Whether a stream of chat completions ends with what was used.
    pub(crate) include_usage: bool,
    /// How the caller calls its tools.
    pub(crate) names: Names,
    /// What was used, as far as it is known before the answer.
    pub(crate) used: Used,
}

/// Says an answer piece by piece: `open` first, then the pieces, then `close` or `fail`.
pub(crate) trait Say: Send {
    fn open(&mut self) -> Bytes;
    fn piece(&mut self, piece: Piece) -> Bytes;
    /// Shows that the answer is still on its way.
    fn ping(&self) -> Bytes;
    fn close(&mut self) -> Bytes;
    /// The answer breaks off, and why.
    fn fail(&mut self, why: &str) -> Bytes;
}

/// Says answers in this dialect.
pub(crate) fn streamed(api: ModelApi, voice: Voice) -> Box<dyn Say> {
    match api {
        ModelApi::AnthropicMessages => Box::new(anthropic::say::Stream::new(voice)),
        ModelApi::OpenaiChat => Box::new(chat::say::Stream::new(voice)),
        ModelApi::OpenaiResponses => Box::new(responses::say::Stream::new(voice)),
        ModelApi::Gemini => Box::new(gemini::say::Stream::new(voice)),
    }
}

/// An answer as a whole, in this dialect.
pub(crate) fn whole(api: ModelApi, voice: &Voice, answer: &Answer) -> Value {
    match api {
        ModelApi::AnthropicMessages => anthropic::say::whole(voice, answer),
        ModelApi::OpenaiChat => chat::say::whole(voice, answer),
        ModelApi::OpenaiResponses => responses::say::whole(voice, answer),
        ModelApi::Gemini => gemini::say::whole(voice, answer),
    }
}

/// An answer as a whole.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) said: Vec<Said>,
    pub(crate) stop: Stop,
    pub(crate) used: Used,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Text(String),
    Thought(String),
    Call(Call),
}

impl Answer {
    /// Grows by the next piece.
    pub(crate) fn add(&mut self, piece: Piece) {
        match (piece, self.said.last_mut()) {
            (Piece::Text(more), Some(Said::Text(text)))
            | (Piece::Thought(more), Some(Said::Thought(text))) => text.push_str(&more),
            (Piece::Text(text), _) => self.said.push(Said::Text(text)),
            (Piece::Thought(text), _) => self.said.push(Said::Thought(text)),
            (Piece::Call { id, name }, _) => {
                self.said.push(Said::Call(Call { id, name, arguments: String::new() }));
            }
            (Piece::Arguments(more), Some(Said::Call(call))) => call.arguments.push_str(&more),
            (Piece::Arguments(_), _) => {}
            (Piece::Used(used), _) => self.used = used,
            (Piece::Stop(stop), _) => self.stop = stop,
        }
    }

    /// Everything said aloud.
    pub(crate) fn text(&self) -> Option<String> {
        let texts = self.said.iter().filter_map(|said| match said {
            Said::Text(text) => Some(text.as_str()),
            Said::Thought(_) | Said::Call(_) => None,
        });
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| texts.concat())
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.said.iter().filter_map(|said| match said {
            Said::Call(call) => Some(call),
            Said::Text(_) | Said::Thought(_) => None,
        })
    }
}

/// Arguments as the object they should be; what is none is wrapped into one.
pub(crate) fn object(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        Ok(other) => serde_json::json!({ "input": other }),
        Err(_) => serde_json::json!({ "input": arguments }),
    }
}

/// One server-sent event with a name.
pub(super) fn event(kind: &str, body: &Value) -> Vec<u8> {
    format!("event: {kind}\ndata: {body}\n\n").into_bytes()
}

/// One server-sent event without one.
pub(super) fn bare(body: &Value) -> Vec<u8> {
    format!("data: {body}\n\n").into_bytes()
}
