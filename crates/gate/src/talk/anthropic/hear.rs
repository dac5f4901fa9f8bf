//! Hears an answer in Anthropic Messages.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::form::{Piece, Stop};
use super::super::hear::{Fault, Hear};
use crate::usage::Used;

/// A streamed answer.
#[derive(Default)]
pub(crate) struct Stream {
    used: Option<Used>,
    over: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    message: Option<Message>,
    content_block: Option<Block>,
    delta: Option<Delta>,
    usage: Option<Usage>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct Usage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Usage {
    fn raise(&self, used: &mut Option<Used>) {
        let used = used.get_or_insert_default();
        let input =
            [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let input = input.into_iter().flatten().fold(0, u64::saturating_add);
        used.input = used.input.max(input);
        used.cached = used.cached.max(self.cache_read_input_tokens.unwrap_or(0));
        used.output = used.output.max(self.output_tokens.unwrap_or(0));
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "tool_use" => Stop::Calls,
        "max_tokens" | "model_context_window_exceeded" => Stop::Length,
        "refusal" => Stop::Refused,
        _ => Stop::End,
    }
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let event: Event = serde_json::from_slice(data).map_err(|_| Fault::Garbled)?;
        if let Some(failure) = event.error {
            return Err(Fault::stated(&failure.message));
        }
        let usage = event.message.and_then(|message| message.usage);
        for usage in usage.into_iter().chain(event.usage) {
            usage.raise(&mut self.used);
        }
        pieces.extend(event.content_block.into_iter().flat_map(Block::begun));
        if let Some(delta) = event.delta {
            pieces.extend(delta.text.map(Piece::Text));
            pieces.extend(delta.thinking.map(Piece::Thought));
            pieces.extend(delta.partial_json.map(Piece::Arguments));
            if let Some(reason) = delta.stop_reason {
                pieces.push(Piece::Stop(stop(&reason)));
            }
        }
        if event.kind == "message_stop" {
            pieces.extend(self.used.map(Piece::Used));
            self.over = true;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

impl Block {
    /// What a block that begins says already; a call's arguments follow it.
    fn begun(self) -> Vec<Piece> {
        let said = |text: String| (!text.is_empty()).then_some(text);
        match self.kind.as_str() {
            "tool_use" => vec![Piece::Call {
                id: self.id.unwrap_or_default(),
                name: self.name.unwrap_or_default(),
            }],
            "text" => self.text.and_then(said).map(Piece::Text).into_iter().collect(),
            "thinking" => self.thinking.and_then(said).map(Piece::Thought).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn whole(mut self) -> Vec<Piece> {
        let input = self.input.take();
        let mut pieces = self.begun();
        if let (Some(Piece::Call { .. }), Some(input)) = (pieces.first(), input) {
            pieces.push(Piece::Arguments(input.get().to_owned()));
        }
        pieces
    }
}

/// A whole answer.
pub(crate) fn whole(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let message: Message = serde_json::from_slice(body).map_err(|_| Fault::Garbled)?;
    let mut used = None;
    if let Some(usage) = message.usage {
        usage.raise(&mut used);
    }
    let stop = message.stop_reason.as_deref().map(stop).ok_or(Fault::Garbled)?;
    let mut pieces: Vec<_> = message.content.into_iter().flat_map(Block::whole).collect();
    pieces.extend(used.map(Piece::Used));
    pieces.push(Piece::Stop(stop));
    Ok(pieces)
}
