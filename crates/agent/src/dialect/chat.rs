//! `OpenAI` chat completions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, CALLS_MAX, ErrorText, Hear, call, last_said, read, say, too_many};
use crate::chat::{ChatError, Piece, Reply};
use crate::message::{Image, Message};

/// The request. What the answer used is asked for: without it, many endpoints do not say, and nobody
/// could count.
pub(super) fn request(asked: &Asked<'_>) -> Value {
    let pictured = last_said(asked.messages).filter(|_| !asked.images.is_empty());
    let messages = asked.messages.iter().enumerate().map(|(at, message)| match &**message {
        Message::User { content } if Some(at) == pictured => {
            let pictures = asked.images.iter().map(picture);
            let parts = std::iter::once(json!({"type": "text", "text": content})).chain(pictures);
            json!({"role": "user", "content": parts.collect::<Vec<_>>()})
        }
        Message::Summary { content, .. } => json!({"role": "user", "content": content}),
        message => json!(message),
    });
    let tools = asked.tools.iter().map(|tool| {
        json!({"type": "function", "function": {
            "name": tool.name, "description": tool.about, "parameters": tool.schema,
        }})
    });
    let mut request = json!({
        "model": asked.model,
        "messages": messages.collect::<Vec<_>>(),
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !asked.tools.is_empty() {
        request["tools"] = tools.collect();
    }
    request
}

fn picture(image: &Image) -> Value {
    let url = format!("data:{};base64,{}", image.media, image.data);
    json!({"type": "image_url", "image_url": {"url": url}})
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
pub(super) struct Stream {
    reply: Reply,
    done: bool,
}

impl Stream {
    fn add_call(&mut self, delta: CallDelta) -> Result<(), ChatError> {
        let calls = &mut self.reply.calls;
        let index = delta.index.unwrap_or(calls.len());
        if index >= CALLS_MAX {
            return Err(too_many());
        }
        while calls.len() <= index {
            calls.push(call(String::new(), String::new(), String::new()));
        }
        let call = &mut calls[index];
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
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = read(data)?;
        if let Some(error) = chunk.error {
            return Err(error.unavailable());
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        say(&choice.delta.reasoning_content.unwrap_or_default(), Piece::Thought, piece);
        let text = choice.delta.content.unwrap_or_default();
        self.reply.text.push_str(&text);
        say(&text, Piece::Text, piece);
        for call in choice.delta.tool_calls.into_iter().flatten() {
            self.add_call(call)?;
        }
        if let Some(finish) = choice.finish_reason {
            self.reply.finish = finish;
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], piece: &mut dyn FnMut(Piece)) -> Result<(), ChatError> {
        self.event(body, piece)
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn reply(self: Box<Self>) -> Reply {
        self.reply
    }
}
