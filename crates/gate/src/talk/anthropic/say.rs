//! Says an answer in Anthropic Messages. Content blocks follow one another and never overlap.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::form::{Piece, Stop};
use super::super::say::{self, Answer, Said, Say, Voice, object};
use crate::usage::Used;

/// The blocks of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thought,
    Call,
}

/// A streamed answer.
pub(crate) struct Stream {
    voice: Voice,
    used: Used,
    stop: Stop,
    /// The block that grows, and how many were before it.
    open: Option<Block>,
    index: usize,
}

impl Stream {
    pub(crate) fn new(voice: Voice) -> Self {
        let used = voice.used;
        Self { voice, used, stop: Stop::End, open: None, index: 0 }
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.extend(event("content_block_stop", json!({ "index": self.index })));
            self.index += 1;
        }
    }

    fn open_block(&mut self, block: Block, content: &Value, out: &mut Vec<u8>) {
        self.close_block(out);
        let start = json!({ "index": self.index, "content_block": content });
        out.extend(event("content_block_start", start));
        self.open = Some(block);
    }

    fn grow(&mut self, block: Block, delta: &Value, out: &mut Vec<u8>) {
        if self.open != Some(block) {
            let empty = match block {
                Block::Text => json!({ "type": "text", "text": "" }),
                Block::Thought => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                Block::Call => return,
            };
            self.open_block(block, &empty, out);
        }
        let delta = json!({ "index": self.index, "delta": delta });
        out.extend(event("content_block_delta", delta));
    }
}

impl Say for Stream {
    fn open(&mut self) -> Bytes {
        let message = message(&self.voice, &json!([]), None, Used { output: 1, ..self.used });
        event("message_start", json!({ "message": message })).into()
    }

    fn piece(&mut self, piece: Piece) -> Bytes {
        let mut out = Vec::new();
        match piece {
            Piece::Text(text) => {
                self.grow(Block::Text, &json!({ "type": "text_delta", "text": text }), &mut out);
            }
            Piece::Thought(text) => {
                let delta = json!({ "type": "thinking_delta", "thinking": text });
                self.grow(Block::Thought, &delta, &mut out);
            }
            Piece::Call { id, name } => {
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                self.open_block(Block::Call, &block, &mut out);
            }
            Piece::Arguments(text) => {
                let delta = json!({ "type": "input_json_delta", "partial_json": text });
                self.grow(Block::Call, &delta, &mut out);
            }
            Piece::Used(used) => self.used = used,
            Piece::Stop(stop) => self.stop = stop,
        }
        out.into()
    }

    fn ping(&self) -> Bytes {
        event("ping", json!({})).into()
    }

    fn close(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.close_block(&mut out);
        let delta = json!({ "stop_reason": stop(self.stop), "stop_sequence": null });
        let end = json!({ "delta": delta, "usage": usage(self.used) });
        out.extend(event("message_delta", end));
        out.extend(event("message_stop", json!({})));
        out.into()
    }

    fn fail(&mut self, why: &str) -> Bytes {
        event("error", json!({ "error": { "type": "api_error", "message": why } })).into()
    }
}

fn event(kind: &str, mut body: Value) -> Vec<u8> {
    body["type"] = kind.into();
    say::event(kind, &body)
}

fn usage(used: Used) -> Value {
    json!({ "input_tokens": used.input, "output_tokens": used.output })
}

fn message(voice: &Voice, content: &Value, stop: Option<&str>, used: Used) -> Value {
    json!({
        "id": format!("msg_{}", voice.id),
        "type": "message",
        "role": "assistant",
        "model": voice.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": usage(used),
    })
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Calls => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refused => "refusal",
    }
}

/// A whole answer.
pub(crate) fn whole(voice: &Voice, answer: &Answer) -> Value {
    let blocks = answer.said.iter().map(|said| match said {
        Said::Text(text) => json!({ "type": "text", "text": text }),
        Said::Thought(text) => json!({ "type": "thinking", "thinking": text, "signature": "" }),
        Said::Call(call) => {
            let input = object(&call.arguments);
            json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
        }
    });
    let content: Value = blocks.collect();
    message(voice, &content, Some(stop(answer.stop)), answer.used)
}
