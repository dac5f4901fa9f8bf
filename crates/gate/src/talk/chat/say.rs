//! Says an answer in `OpenAI` chat completions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::form::{Piece, Stop};
use super::super::say::{Answer, Said, Say, Voice, bare};
use crate::usage::Used;

/// A streamed answer.
pub(crate) struct Stream {
    voice: Voice,
    used: Used,
    stop: Stop,
    /// How many tools were called.
    calls: usize,
}

impl Stream {
    pub(crate) fn new(voice: Voice) -> Self {
        let used = voice.used;
        Self { voice, used, stop: Stop::End, calls: 0 }
    }

    fn chunk(&self, delta: &Value, stop: Option<&str>) -> Vec<u8> {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": stop });
        bare(&completion(&self.voice, "chat.completion.chunk", &json!([choice])))
    }
}

impl Say for Stream {
    fn open(&mut self) -> Bytes {
        self.chunk(&json!({ "role": "assistant", "content": "" }), None).into()
    }

    fn piece(&mut self, piece: Piece) -> Bytes {
        let delta = match piece {
            Piece::Text(text) => json!({ "content": text }),
            Piece::Thought(text) => json!({ "reasoning_content": text }),
            Piece::Call { id, name } => {
                self.calls += 1;
                let function = json!({ "name": name, "arguments": "" });
                let index = self.calls - 1;
                let call =
                    json!({ "index": index, "id": id, "type": "function", "function": function });
                json!({ "tool_calls": [call] })
            }
            Piece::Arguments(text) if self.calls > 0 => {
                let index = self.calls - 1;
                json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] })
            }
            Piece::Arguments(_) => return Bytes::new(),
            Piece::Used(used) => {
                self.used = used;
                return Bytes::new();
            }
            Piece::Stop(stop) => {
                self.stop = stop;
                return Bytes::new();
            }
        };
        self.chunk(&delta, None).into()
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(b": ping\n\n")
    }

    fn close(&mut self) -> Bytes {
        let mut out = self.chunk(&json!({}), Some(stop(self.stop)));
        if self.voice.include_usage {
            let mut last = completion(&self.voice, "chat.completion.chunk", &json!([]));
            last["usage"] = usage(self.used);
            out.extend(bare(&last));
        }
        out.extend(b"data: [DONE]\n\n");
        out.into()
    }

    fn fail(&mut self, why: &str) -> Bytes {
        let error = json!({ "message": why, "type": "server_error", "param": null, "code": null });
        bare(&json!({ "error": error })).into()
    }
}

fn completion(voice: &Voice, object: &str, choices: &Value) -> Value {
    json!({
        "id": format!("chatcmpl_{}", voice.id),
        "object": object,
        "created": 0,
        "model": voice.model,
        "choices": choices,
    })
}

fn usage(used: Used) -> Value {
    let Used { input, output, .. } = used;
    let total = input.saturating_add(output);
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Calls => "tool_calls",
        Stop::Length => "length",
        Stop::Refused => "content_filter",
    }
}

/// A whole answer.
pub(crate) fn whole(voice: &Voice, answer: &Answer) -> Value {
    let mut message = json!({ "role": "assistant", "content": answer.text() });
    let thoughts = answer.said.iter().filter_map(|said| match said {
        Said::Thought(text) => Some(text.as_str()),
        Said::Text(_) | Said::Call(_) => None,
    });
    let thoughts: Vec<_> = thoughts.collect();
    if !thoughts.is_empty() {
        message["reasoning_content"] = thoughts.concat().into();
    }
    let calls: Vec<_> = answer
        .calls()
        .map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        })
        .collect();
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": stop(answer.stop) });
    let mut whole = completion(voice, "chat.completion", &json!([choice]));
    whole["usage"] = usage(answer.used);
    whole
}
