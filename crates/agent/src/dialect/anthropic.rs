//! Anthropic Messages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, CALLS_MAX, ErrorText, Hear, call, last_said, object, read, say, too_many};
use crate::chat::{ChatError, Piece, Reply};
use crate::message::{Image, Message};

/// The limit of an answer, which this dialect wants.
const TOKENS_MAX: u32 = 8_192;

/// The request.
pub(super) fn request(asked: &Asked<'_>) -> Value {
    let pictured = last_said(asked.messages);
    let (mut system, mut messages) = (vec![], Vec::<Value>::new());
    for (at, message) in asked.messages.iter().enumerate() {
        let (role, blocks) = match &**message {
            Message::System { content } => {
                system.push(json!({"type": "text", "text": content}));
                continue;
            }
            Message::User { content } => {
                let pictures = asked.images.iter().filter(|_| Some(at) == pictured);
                ("user", pictures.map(picture).chain([text(content)]).collect::<Vec<_>>())
            }
            Message::Summary { content, .. } => ("user", vec![text(content)]),
            Message::Assistant { content, tool_calls } => {
                let calls = tool_calls.iter().map(|call| {
                    let input = object(&call.function.arguments);
                    json!({"type": "tool_use", "id": call.id, "name": call.function.name, "input": input})
                });
                ("assistant", content.iter().map(|it| text(it)).chain(calls).collect())
            }
            Message::Tool { tool_call_id, content } => {
                let failed = content.starts_with("Error: ");
                let result = json!({"type": "tool_result", "tool_use_id": tool_call_id,
                    "content": content, "is_error": failed});
                ("user", vec![result])
            }
        };
        match messages.last_mut().filter(|last| last["role"] == role) {
            Some(last) => {
                if let Some(before) = last["content"].as_array_mut() {
                    before.extend(blocks);
                }
            }
            None => messages.push(json!({"role": role, "content": blocks})),
        }
    }
    let tools = asked.tools.iter().map(
        |tool| json!({"name": tool.name, "description": tool.about, "input_schema": tool.schema}),
    );
    let mut request = json!({
        "model": asked.model, "max_tokens": TOKENS_MAX, "system": system, "messages": messages,
        "stream": true,
    });
    if !asked.tools.is_empty() {
        request["tools"] = tools.collect();
    }
    request
}

/// A text; an empty one is refused by endpoints.
fn text(text: &str) -> Value {
    let text = if text.trim().is_empty() { "[nothing]" } else { text };
    json!({"type": "text", "text": text})
}

fn picture(image: &Image) -> Value {
    let source = json!({"type": "base64", "media_type": image.media, "data": image.data});
    json!({"type": "image", "source": source})
}

/// Anything that a stream says; an answer that does not stream has the same fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    content_block: Option<Block>,
    delta: Option<Delta>,
    error: Option<ErrorText>,
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    thinking: String,
    id: String,
    name: String,
    input: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    text: String,
    thinking: String,
    partial_json: String,
    stop_reason: Option<String>,
}

/// An answer that grows.
#[derive(Debug, Default)]
pub(super) struct Stream {
    reply: Reply,
    done: bool,
}

impl Stream {
    fn block(&mut self, block: Block, piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        say(&block.thinking, Piece::Thought, piece);
        self.text(&block.text, piece);
        if block.kind != "tool_use" {
            return Ok(());
        }
        if self.reply.calls.len() == CALLS_MAX {
            return Err(too_many());
        }
        let input = block.input.filter(|input| input.as_object().is_none_or(|it| !it.is_empty()));
        let arguments = input.map(|input| input.to_string()).unwrap_or_default();
        self.reply.calls.push(call(block.id, block.name, arguments));
        Ok(())
    }

    fn text(&mut self, text: &str, piece: &mut dyn FnMut(Piece)) {
        self.reply.text.push_str(text);
        say(text, Piece::Text, piece);
    }

    fn stop(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.reply.finish = match reason.as_str() {
                "max_tokens" | "model_context_window_exceeded" => "length".to_owned(),
                "refusal" => "content_filter".to_owned(),
                _ => reason,
            };
        }
    }
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        let event: Event = read(data)?;
        if let Some(error) = event.error {
            return Err(error.unavailable());
        }
        if let Some(block) = event.content_block {
            self.block(block, piece)?;
        }
        if let Some(delta) = event.delta {
            say(&delta.thinking, Piece::Thought, piece);
            self.text(&delta.text, piece);
            if let Some(call) = self.reply.calls.last_mut() {
                call.function.arguments.push_str(&delta.partial_json);
            }
            self.stop(delta.stop_reason);
        }
        self.done |= event.kind == "message_stop";
        Ok(())
    }

    fn whole(&mut self, body: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        let whole: Event = read(body)?;
        if let Some(error) = whole.error {
            return Err(error.unavailable());
        }
        for block in whole.content {
            self.block(block, piece)?;
        }
        self.stop(whole.stop_reason);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn reply(self: Box<Self>) -> Reply {
        self.reply
    }
}
