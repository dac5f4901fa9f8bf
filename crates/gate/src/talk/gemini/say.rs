//! Says an answer in Gemini's dialect. A call is said when it is whole.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::form::{Call, Piece, Stop};
use super::super::say::{Answer, Said, Say, Voice, bare, object};
use crate::usage::Used;

/// A streamed answer.
pub(crate) struct Stream {
    voice: Voice,
    used: Used,
    stop: Stop,
    /// The call that grows.
    call: Option<Call>,
}

impl Stream {
    pub(crate) fn new(voice: Voice) -> Self {
        let used = voice.used;
        Self { voice, used, stop: Stop::End, call: None }
    }

    fn parts(&self, parts: &Value) -> Vec<u8> {
        bare(&response(&self.voice, parts, None))
    }

    fn end_call(&mut self) -> Vec<u8> {
        let call = self.call.take();
        call.map_or_else(Vec::new, |call| self.parts(&json!([part(&Said::Call(call))])))
    }
}

impl Say for Stream {
    fn open(&mut self) -> Bytes {
        self.parts(&json!([])).into()
    }

    fn piece(&mut self, piece: Piece) -> Bytes {
        match piece {
            Piece::Text(text) => {
                let mut out = self.end_call();
                out.extend(self.parts(&json!([part(&Said::Text(text))])));
                out.into()
            }
            Piece::Thought(text) => {
                let mut out = self.end_call();
                out.extend(self.parts(&json!([part(&Said::Thought(text))])));
                out.into()
            }
            Piece::Call { id, name } => {
                let out = self.end_call();
                self.call = Some(Call { id, name, arguments: String::new() });
                out.into()
            }
            Piece::Arguments(text) => {
                if let Some(call) = &mut self.call {
                    call.arguments.push_str(&text);
                }
                Bytes::new()
            }
            Piece::Used(used) => {
                self.used = used;
                Bytes::new()
            }
            Piece::Stop(stop) => {
                self.stop = stop;
                Bytes::new()
            }
        }
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(b": ping\n\n")
    }

    fn close(&mut self) -> Bytes {
        let mut out = self.end_call();
        let mut last = response(&self.voice, &json!([{ "text": "" }]), Some(self.stop));
        last["usageMetadata"] = usage(self.used);
        out.extend(bare(&last));
        out.into()
    }

    fn fail(&mut self, why: &str) -> Bytes {
        bare(&json!({ "error": { "code": 500, "message": why, "status": "INTERNAL" } })).into()
    }
}

fn response(voice: &Voice, parts: &Value, stop: Option<Stop>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
    if let Some(stop) = stop {
        candidate["finishReason"] = finish(stop).into();
    }
    json!({ "candidates": [candidate], "modelVersion": voice.model, "responseId": voice.id })
}

fn usage(used: Used) -> Value {
    let Used { input, output, .. } = used;
    let total = input.saturating_add(output);
    json!({ "promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": total })
}

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Calls => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refused => "SAFETY",
    }
}

fn part(said: &Said) -> Value {
    match said {
        Said::Text(text) => json!({ "text": text }),
        Said::Thought(text) => json!({ "text": text, "thought": true }),
        Said::Call(Call { id, name, arguments }) => {
            json!({ "functionCall": { "id": id, "name": name, "args": object(arguments) } })
        }
    }
}

/// A whole answer.
pub(crate) fn whole(voice: &Voice, answer: &Answer) -> Value {
    let parts: Value = answer.said.iter().map(part).collect();
    let mut whole = response(voice, &parts, Some(answer.stop));
    whole["usageMetadata"] = usage(answer.used);
    whole
}
