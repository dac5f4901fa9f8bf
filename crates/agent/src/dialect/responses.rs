//! `OpenAI` Responses, with the whole conversation in every request: nothing is kept elsewhere.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, CALLS_MAX, ErrorText, Hear, call, last_said, read, say, too_many};
use crate::chat::{ChatError, Piece, Reply};
use crate::message::{Image, Message};

/// The request.
pub(super) fn request(asked: &Asked<'_>) -> Value {
    let pictured = last_said(asked.messages);
    let (mut instructions, mut input) = (vec![], vec![]);
    for (at, message) in asked.messages.iter().enumerate() {
        match &**message {
            Message::System { content } => instructions.push(content.as_str()),
            Message::User { content } => {
                let pictures = asked.images.iter().filter(|_| Some(at) == pictured).map(picture);
                let text = json!({"type": "input_text", "text": content});
                let content: Vec<_> = std::iter::once(text).chain(pictures).collect();
                input.push(json!({"type": "message", "role": "user", "content": content}));
            }
            Message::Summary { content, .. } => input.push(said("user", "input_text", content)),
            Message::Assistant { content, tool_calls } => {
                input.extend(content.iter().map(|it| said("assistant", "output_text", it)));
                input.extend(tool_calls.iter().map(|call| {
                    json!({"type": "function_call", "call_id": call.id,
                        "name": call.function.name, "arguments": call.function.arguments})
                }));
            }
            Message::Tool { tool_call_id, content } => {
                input.push(json!({"type": "function_call_output", "call_id": tool_call_id,
                    "output": content}));
            }
        }
    }
    let tools = asked.tools.iter().map(|tool| {
        json!({"type": "function", "name": tool.name, "description": tool.about,
            "parameters": tool.schema, "strict": false})
    });
    let mut request = json!({
        "model": asked.model, "instructions": instructions.join("\n\n"), "input": input,
        "stream": true, "store": false,
    });
    if !asked.tools.is_empty() {
        request["tools"] = tools.collect();
    }
    request
}

fn said(role: &str, kind: &str, text: &str) -> Value {
    json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]})
}

fn picture(image: &Image) -> Value {
    let url = format!("data:{};base64,{}", image.media, image.data);
    json!({"type": "input_image", "image_url": url})
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    delta: Option<Value>,
    item: Option<Item>,
    response: Option<Response>,
    message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    output: Vec<Item>,
    incomplete_details: Option<Incomplete>,
    error: Option<ErrorText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Incomplete {
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    call_id: String,
    name: String,
    arguments: String,
    content: Vec<Part>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    text: String,
    refusal: String,
}

/// An answer that grows.
#[derive(Debug, Default)]
pub(super) struct Stream {
    reply: Reply,
    done: bool,
}

impl Stream {
    fn text(&mut self, text: &str, piece: &mut dyn FnMut(Piece)) {
        self.reply.text.push_str(text);
        say(text, Piece::Text, piece);
    }

    /// A call is taken when it is whole.
    fn add_call(&mut self, item: Item) -> Result<(), ChatError> {
        if item.kind != "function_call" {
            return Ok(());
        }
        if self.reply.calls.len() == CALLS_MAX {
            return Err(too_many());
        }
        self.reply.calls.push(call(item.call_id, item.name, item.arguments));
        Ok(())
    }

    fn end(&mut self, response: &Response) {
        let why = response.incomplete_details.as_ref().map(|why| why.reason.as_str());
        let finish = match why {
            Some("max_output_tokens") => "length",
            Some("content_filter") => "content_filter",
            _ => "stop",
        };
        finish.clone_into(&mut self.reply.finish);
    }
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        if data == b"[DONE]" {
            return Ok(());
        }
        let event: Event = read(data)?;
        let delta = event.delta.as_ref().and_then(Value::as_str).unwrap_or_default();
        match event.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => self.text(delta, piece),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                say(delta, Piece::Thought, piece);
            }
            "response.output_item.done" => self.add_call(event.item.unwrap_or_default())?,
            "response.completed" | "response.incomplete" => {
                self.end(&event.response.unwrap_or_default());
                self.done = true;
            }
            "response.failed" | "error" => {
                let said = event.response.and_then(|response| response.error);
                let said = said.map(ErrorText::message).or(event.message);
                let text = said.unwrap_or_else(|| "it gave no reason".to_owned());
                return Err(ErrorText::Text(text).unavailable());
            }
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        let mut response: Response = read(body)?;
        if let Some(error) = response.error.take() {
            return Err(error.unavailable());
        }
        for item in std::mem::take(&mut response.output) {
            for part in &item.content {
                self.text(&part.text, piece);
                self.text(&part.refusal, piece);
            }
            self.add_call(item)?;
        }
        self.end(&response);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn reply(self: Box<Self>) -> Reply {
        self.reply
    }
}
