//! Says an answer in `OpenAI` Responses: items that follow one another, each begun, grown and ended
//! by events of its own, and all of them again in the last one.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::form::{Call, Names, Piece, Stop};
use super::super::say::{self, Answer, Said, Say, Voice, object};
use crate::usage::Used;

/// A streamed answer.
pub(crate) struct Stream {
    voice: Voice,
    used: Used,
    stop: Stop,
    /// The events so far.
    number: u64,
    /// The item that grows.
    open: Option<Said>,
    /// Those before it, as they ended.
    ended: Vec<Value>,
}

impl Stream {
    pub(crate) fn new(voice: Voice) -> Self {
        let used = voice.used;
        Self { voice, used, stop: Stop::End, number: 0, open: None, ended: Vec::new() }
    }

    fn event(&mut self, kind: &str, mut body: Value) -> Vec<u8> {
        body["type"] = kind.into();
        body["sequence_number"] = self.number.into();
        self.number += 1;
        say::event(kind, &body)
    }

    /// Where the item that grows stands.
    fn place(&self, said: &Said) -> Value {
        let index = self.ended.len();
        let id = item_id(&self.voice, index, said);
        match said {
            Said::Text(_) => json!({ "item_id": id, "output_index": index, "content_index": 0 }),
            Said::Thought(_) => json!({ "item_id": id, "output_index": index, "summary_index": 0 }),
            Said::Call(_) => json!({ "item_id": id, "output_index": index }),
        }
    }

    fn begin(&mut self, said: Said, out: &mut Vec<u8>) {
        self.end(out);
        let index = self.ended.len();
        let begun = item(&self.voice, index, &said, Progress::Begun);
        let added = json!({ "output_index": index, "item": begun });
        out.extend(self.event("response.output_item.added", added));
        let mut place = self.place(&said);
        match &said {
            Said::Text(_) => {
                place["part"] = json!({ "type": "output_text", "text": "", "annotations": [] });
                out.extend(self.event("response.content_part.added", place));
            }
            Said::Thought(_) => {
                place["part"] = json!({ "type": "summary_text", "text": "" });
                out.extend(self.event("response.reasoning_summary_part.added", place));
            }
            Said::Call(_) => {}
        }
        self.open = Some(said);
    }

    /// Adds to the item that grows.
    fn grow(&mut self, more: &str, out: &mut Vec<u8>) {
        let Some(mut said) = self.open.take() else { return };
        let (text, kind) = match &mut said {
            Said::Text(text) => (text, "response.output_text.delta"),
            Said::Thought(text) => (text, "response.reasoning_summary_text.delta"),
            Said::Call(call) if is_custom(&self.voice.names, call) => {
                call.arguments.push_str(more);
                self.open = Some(said);
                return;
            }
            Said::Call(call) => (&mut call.arguments, "response.function_call_arguments.delta"),
        };
        text.push_str(more);
        let mut place = self.place(&said);
        place["delta"] = more.into();
        out.extend(self.event(kind, place));
        self.open = Some(said);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(said) = self.open.take() else { return };
        let mut place = self.place(&said);
        match &said {
            Said::Text(text) => {
                let mut part = place.clone();
                place["text"] = text.as_str().into();
                out.extend(self.event("response.output_text.done", place));
                part["part"] = json!({ "type": "output_text", "text": text, "annotations": [] });
                out.extend(self.event("response.content_part.done", part));
            }
            Said::Thought(text) => {
                let mut part = place.clone();
                place["text"] = text.as_str().into();
                out.extend(self.event("response.reasoning_summary_text.done", place));
                part["part"] = json!({ "type": "summary_text", "text": text });
                out.extend(self.event("response.reasoning_summary_part.done", part));
            }
            Said::Call(call) if is_custom(&self.voice.names, call) => {
                place["input"] = input(call).into();
                out.extend(self.event("response.custom_tool_call_input.done", place));
            }
            Said::Call(call) => {
                place["arguments"] = call.arguments.as_str().into();
                out.extend(self.event("response.function_call_arguments.done", place));
            }
        }
        let index = self.ended.len();
        let ended = item(&self.voice, index, &said, Progress::Ended);
        let done = json!({ "output_index": index, "item": ended });
        out.extend(self.event("response.output_item.done", done));
        self.ended.push(ended);
    }
}

impl Say for Stream {
    fn open(&mut self) -> Bytes {
        let response = response(&self.voice, "in_progress", &json!([]), None);
        let mut out = self.event("response.created", json!({ "response": response }));
        out.extend(self.event("response.in_progress", json!({ "response": response })));
        out.into()
    }

    fn piece(&mut self, piece: Piece) -> Bytes {
        let mut out = Vec::new();
        match piece {
            Piece::Text(text) => {
                if !matches!(self.open, Some(Said::Text(_))) {
                    self.begin(Said::Text(String::new()), &mut out);
                }
                self.grow(&text, &mut out);
            }
            Piece::Thought(text) => {
                if !matches!(self.open, Some(Said::Thought(_))) {
                    self.begin(Said::Thought(String::new()), &mut out);
                }
                self.grow(&text, &mut out);
            }
            Piece::Call { id, name } => {
                let call = Call { id, name, arguments: String::new() };
                self.begin(Said::Call(call), &mut out);
            }
            Piece::Arguments(text) if matches!(self.open, Some(Said::Call(_))) => {
                self.grow(&text, &mut out);
            }
            Piece::Arguments(_) => {}
            Piece::Used(used) => self.used = used,
            Piece::Stop(stop) => self.stop = stop,
        }
        out.into()
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(b": ping\n\n")
    }

    fn close(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.end(&mut out);
        let (status, reason) = status(self.stop);
        let output = std::mem::take(&mut self.ended).into();
        let mut whole = response(&self.voice, status, &output, reason);
        whole["usage"] = usage(self.used);
        let kind = format!("response.{status}");
        out.extend(self.event(&kind, json!({ "response": whole })));
        out.into()
    }

    fn fail(&mut self, why: &str) -> Bytes {
        let mut failed = response(&self.voice, "failed", &json!([]), None);
        failed["error"] = json!({ "code": "server_error", "message": why });
        self.event("response.failed", json!({ "response": failed })).into()
    }
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begun,
    Ended,
}

fn is_custom(names: &Names, call: &Call) -> bool {
    names.custom.contains(&call.name)
}

/// The text that a custom tool is called with.
fn input(call: &Call) -> String {
    match object(&call.arguments).get("input").and_then(Value::as_str) {
        Some(input) => input.to_owned(),
        None => call.arguments.clone(),
    }
}

fn item_id(voice: &Voice, index: usize, said: &Said) -> String {
    let kind = match said {
        Said::Text(_) => "msg",
        Said::Thought(_) => "rs",
        Said::Call(call) if is_custom(&voice.names, call) => "ctc",
        Said::Call(_) => "fc",
    };
    format!("{kind}_{}_{index}", voice.id)
}

fn item(voice: &Voice, index: usize, said: &Said, progress: Progress) -> Value {
    let id = item_id(voice, index, said);
    let ended = progress == Progress::Ended;
    let status = if ended { "completed" } else { "in_progress" };
    match said {
        Said::Text(text) => {
            let part = json!({ "type": "output_text", "text": text, "annotations": [] });
            let content = if ended { json!([part]) } else { json!([]) };
            json!({
                "id": id, "type": "message", "status": status, "role": "assistant",
                "content": content,
            })
        }
        Said::Thought(text) => {
            let part = json!({ "type": "summary_text", "text": text });
            let summary = if ended { json!([part]) } else { json!([]) };
            json!({ "id": id, "type": "reasoning", "summary": summary })
        }
        Said::Call(call) if is_custom(&voice.names, call) => json!({
            "id": id, "type": "custom_tool_call", "status": status, "call_id": call.id,
            "name": call.name, "input": if ended { input(call) } else { String::new() },
        }),
        Said::Call(call) => {
            let mut item = json!({
                "id": id, "type": "function_call", "status": status, "call_id": call.id,
                "name": call.name, "arguments": call.arguments,
            });
            if let Some(spaced) = voice.names.spaces.get(&call.name) {
                item["namespace"] = spaced.space.as_str().into();
                item["name"] = spaced.name.as_str().into();
            }
            item
        }
    }
}

fn response(voice: &Voice, status: &str, output: &Value, incomplete: Option<&str>) -> Value {
    json!({
        "id": format!("resp_{}", voice.id),
        "object": "response",
        "created_at": 0,
        "status": status,
        "model": voice.model,
        "output": output,
        "error": null,
        "incomplete_details": incomplete.map(|reason| json!({ "reason": reason })),
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
    })
}

fn usage(used: Used) -> Value {
    let Used { input, output, .. } = used;
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": input.saturating_add(output),
    })
}

fn status(stop: Stop) -> (&'static str, Option<&'static str>) {
    match stop {
        Stop::End | Stop::Calls => ("completed", None),
        Stop::Length => ("incomplete", Some("max_output_tokens")),
        Stop::Refused => ("incomplete", Some("content_filter")),
    }
}

/// A whole answer.
pub(crate) fn whole(voice: &Voice, answer: &Answer) -> Value {
    let items = answer.said.iter().enumerate();
    let output: Value =
        items.map(|(index, said)| item(voice, index, said, Progress::Ended)).collect();
    let (status, reason) = status(answer.stop);
    let mut whole = response(voice, status, &output, reason);
    whole["usage"] = usage(answer.used);
    whole
}
