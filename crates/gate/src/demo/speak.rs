//! Puts the demo model's answer on the wire, in either dialect, whole or piece by piece. Long answers
//! are made as they are read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use model::ModelApi;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::MODEL;
use super::act::{Answer, Speech};
use super::conversation::Conversation;
use super::tools::Call;
use crate::usage::Used;

/// While it sleeps, a streamed answer shows in this rhythm that it lives.
const PING: Duration = Duration::from_secs(10);
/// The words of one piece.
const PIECE_WORDS: usize = 4;

/// An answer, and what it answers.
pub(super) struct Said {
    pub(super) api: ModelApi,
    pub(super) conversation: Conversation,
    pub(super) answer: Answer,
    pub(super) used: Used,
}

/// The bytes of the answer. Sleeps where the answer does; dropped, it sleeps no more.
pub(super) fn speak(said: Said) -> BoxStream<'static, Bytes> {
    let pause = said.answer.pause;
    if !said.conversation.stream {
        let whole = async move {
            tokio::time::sleep(pause).await;
            Bytes::from(said.whole().to_string())
        };
        return stream::once(whole).boxed();
    }
    let (first, ping) = (said.first(), said.ping());
    let waiting = stream::unfold(Instant::now() + pause, move |until| {
        let ping = ping.clone();
        async move {
            let next = (Instant::now() + PING).min(until);
            tokio::time::sleep_until(next).await;
            (next < until).then_some((ping, until))
        }
    });
    let opening = stream::iter([first]);
    opening.chain(waiting).chain(stream::iter(said.events())).boxed()
}

impl Said {
    fn id(&self, kind: &str) -> String {
        let turns = self.conversation.turns.len();
        format!("{kind}_demo{turns}")
    }

    /// Unique in its conversation.
    fn call_id(&self) -> String {
        format!("toolu_demo{}", self.conversation.calls() + 1)
    }

    fn text(&self) -> String {
        self.answer.speech.iter().flat_map(pieces).collect()
    }

    fn whole(&self) -> Value {
        match self.api {
            ModelApi::AnthropicMessages => self.anthropic_whole(),
            ModelApi::OpenaiChat => self.openai_whole(),
        }
    }

    fn first(&self) -> Bytes {
        match self.api {
            ModelApi::AnthropicMessages => event(
                "message_start",
                &json!({ "message": self.anthropic_message(&json!([]), None, 1) }),
            ),
            ModelApi::OpenaiChat => {
                self.chunk(&json!({ "role": "assistant", "content": "" }), None)
            }
        }
    }

    fn ping(&self) -> Bytes {
        match self.api {
            ModelApi::AnthropicMessages => event("ping", &json!({})),
            ModelApi::OpenaiChat => Bytes::from_static(b": ping\n\n"),
        }
    }

    fn events(self) -> Box<dyn Iterator<Item = Bytes> + Send> {
        match self.api {
            ModelApi::AnthropicMessages => Box::new(self.anthropic_events()),
            ModelApi::OpenaiChat => Box::new(self.openai_events()),
        }
    }

    fn anthropic_message(&self, content: &Value, stop: Option<&str>, output: u64) -> Value {
        json!({
            "id": self.id("msg"),
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": null,
            "usage": { "input_tokens": self.used.input, "output_tokens": output },
        })
    }

    fn anthropic_stop(&self) -> &'static str {
        if self.answer.call.is_some() { "tool_use" } else { "end_turn" }
    }

    fn anthropic_whole(&self) -> Value {
        let mut content = Vec::new();
        if !self.answer.speech.is_empty() {
            content.push(json!({ "type": "text", "text": self.text() }));
        }
        if let Some(Call { tool, arguments }) = &self.answer.call {
            let id = self.call_id();
            content.push(json!({ "type": "tool_use", "id": id, "name": tool, "input": arguments }));
        }
        self.anthropic_message(&content.into(), Some(self.anthropic_stop()), self.used.output)
    }

    fn anthropic_events(self) -> impl Iterator<Item = Bytes> + Send {
        let stop = self.anthropic_stop();
        let id = self.call_id();
        let Answer { speech, call, .. } = self.answer;
        let speaks = usize::from(!speech.is_empty());
        let open = json!({ "type": "text", "text": "" });
        let close = event("content_block_stop", &json!({ "index": 0 }));
        let opened = event("content_block_start", &json!({ "index": 0, "content_block": open }));
        let said = speech.into_iter().flat_map(|speech| pieces(&speech)).map(|text| {
            let delta = json!({ "type": "text_delta", "text": text });
            event("content_block_delta", &json!({ "index": 0, "delta": delta }))
        });
        let called = call.into_iter().flat_map(move |call| anthropic_call(speaks, &id, &call));
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        let usage = json!({ "output_tokens": self.used.output });
        let end = [
            event("message_delta", &json!({ "delta": delta, "usage": usage })),
            event("message_stop", &json!({})),
        ];
        let spoken = std::iter::once(opened).chain(said).chain([close]);
        spoken.take(if speaks == 0 { 0 } else { usize::MAX }).chain(called).chain(end)
    }

    fn openai_stop(&self) -> &'static str {
        if self.answer.call.is_some() { "tool_calls" } else { "stop" }
    }

    fn openai_usage(&self) -> Value {
        let Used { input, output } = self.used;
        let total = input + output;
        json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
    }

    fn openai_whole(&self) -> Value {
        let content = (!self.answer.speech.is_empty()).then(|| self.text());
        let mut message = json!({ "role": "assistant", "content": content });
        if let Some(call) = &self.answer.call {
            message["tool_calls"] = json!([openai_call(&self.call_id(), call)]);
        }
        json!({
            "id": self.id("chatcmpl"),
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [{ "index": 0, "message": message, "finish_reason": self.openai_stop() }],
            "usage": self.openai_usage(),
        })
    }

    fn chunk(&self, delta: &Value, stop: Option<&str>) -> Bytes {
        openai_chunk(&self.id("chatcmpl"), delta, stop)
    }

    fn openai_events(self) -> impl Iterator<Item = Bytes> + Send {
        let (stop, id, call_id) = (self.openai_stop(), self.id("chatcmpl"), self.call_id());
        let mut end = vec![openai_chunk(&id, &json!({}), Some(stop))];
        if self.conversation.include_usage {
            let usage = self.openai_usage();
            let last = json!({
                "id": id, "object": "chat.completion.chunk", "created": 0, "model": MODEL,
                "choices": [], "usage": usage,
            });
            end.push(Bytes::from(format!("data: {last}\n\n")));
        }
        end.push(Bytes::from_static(b"data: [DONE]\n\n"));
        let Answer { speech, call, .. } = self.answer;
        let called = call.map(|call| {
            let mut call = openai_call(&call_id, &call);
            call["index"] = 0.into();
            openai_chunk(&id, &json!({ "tool_calls": [call] }), None)
        });
        let spoken = speech.into_iter().flat_map(|speech| pieces(&speech));
        spoken
            .map(move |text| openai_chunk(&id, &json!({ "content": text }), None))
            .chain(called)
            .chain(end)
    }
}

/// A tool call in three events; the arguments in two pieces, as real models send them.
fn anthropic_call(index: usize, id: &str, call: &Call) -> Vec<Bytes> {
    let block = json!({ "type": "tool_use", "id": id, "name": call.tool, "input": {} });
    let arguments = Value::Object(call.arguments.clone()).to_string();
    let (first, second) = arguments.split_at(1);
    let mut events =
        vec![event("content_block_start", &json!({ "index": index, "content_block": block }))];
    events.extend([first, second].map(|part| {
        let delta = json!({ "type": "input_json_delta", "partial_json": part });
        event("content_block_delta", &json!({ "index": index, "delta": delta }))
    }));
    events.push(event("content_block_stop", &json!({ "index": index })));
    events
}

fn openai_call(id: &str, call: &Call) -> Value {
    let arguments = Value::Object(call.arguments.clone()).to_string();
    json!({ "id": id, "type": "function", "function": { "name": call.tool, "arguments": arguments } })
}

fn openai_chunk(id: &str, delta: &Value, stop: Option<&str>) -> Bytes {
    let chunk = json!({
        "id": id,
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": [{ "index": 0, "delta": delta, "finish_reason": stop }],
    });
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn event(kind: &str, body: &Value) -> Bytes {
    let mut body = body.clone();
    body["type"] = kind.into();
    Bytes::from(format!("event: {kind}\ndata: {body}\n\n"))
}

/// What is said, in the pieces in which it is streamed.
fn pieces(speech: &Speech) -> Box<dyn Iterator<Item = String> + Send> {
    match speech {
        Speech::Text(text) => {
            let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
            let pieces: Vec<String> = words.chunks(PIECE_WORDS).map(<[_]>::concat).collect();
            Box::new(pieces.into_iter())
        }
        Speech::Words(words) => {
            let words = *words;
            let word = move |n| if n == words { format!("w{n}") } else { format!("w{n} ") };
            let starts = (1..=words).step_by(PIECE_WORDS);
            Box::new(
                starts.map(move |start| {
                    (start..=words).take(PIECE_WORDS).map(word).collect::<String>()
                }),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_cut_into_pieces() {
        let pieces: Vec<_> = pieces(&Speech::Words(6)).collect();
        assert_eq!(pieces, ["w1 w2 w3 w4 ", "w5 w6"]);
        assert_eq!(super::pieces(&Speech::Words(0)).count(), 0);
    }

    #[test]
    fn a_text_in_pieces_is_the_text() {
        let text = "one  two\nthree äöü four five six\n";
        let pieces: Vec<_> = pieces(&Speech::Text(text.into())).collect();
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), text);
    }
}
