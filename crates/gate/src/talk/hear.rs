//! Hears an answer in the dialect of an endpoint, whole or piece by piece. What an endpoint sends is
//! believed no more than what a caller sends.

use model::ModelApi;

use super::form::{Piece, Stop};
use super::{anthropic, chat, gemini, responses};

/// An answer cannot be understood, or says that it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The endpoint says that it failed, and why, cut short.
    #[error("{0}")]
    Stated(String),
    #[error("its answer is not in the dialect that it is configured with")]
    Garbled,
    #[error("its answer ended before its end")]
    Unended,
}

/// The longest reason of an endpoint that is told, in characters.
const REASON_CHARS_MAX: usize = 1000;

impl Fault {
    pub(super) fn stated(reason: &str) -> Self {
        Self::Stated(reason.chars().take(REASON_CHARS_MAX).collect())
    }
}

/// Hears the events of a streamed answer.
pub(crate) trait Hear: Send {
    /// Adds what the data of one event say.
    fn event(&mut self, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault>;

    /// Whether what was heard is an answer from its beginning to its end.
    fn is_over(&self) -> bool;
}

/// Hears a streamed answer of this dialect. `id` is unique among the answers of a dispatch.
pub(crate) fn streamed(api: ModelApi, id: &str) -> Box<dyn Hear> {
    match api {
        ModelApi::AnthropicMessages => Box::<anthropic::hear::Stream>::default(),
        ModelApi::OpenaiChat => Box::new(chat::hear::Stream::new(id)),
        ModelApi::OpenaiResponses => Box::<responses::hear::Stream>::default(),
        ModelApi::Gemini => Box::new(gemini::hear::Stream::new(id)),
    }
}

/// What a whole answer of this dialect says.
pub(crate) fn whole(api: ModelApi, id: &str, body: &[u8]) -> Result<Vec<Piece>, Fault> {
    match api {
        ModelApi::AnthropicMessages => anthropic::hear::whole(body),
        ModelApi::OpenaiChat => chat::hear::whole(id, body),
        ModelApi::OpenaiResponses => responses::hear::whole(body),
        ModelApi::Gemini => gemini::hear::whole(id, body),
    }
}

/// The reason in the body of an error, wherever the many dialects of servers put it.
pub(crate) fn reason(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let value = value.get(0).unwrap_or(&value);
    let error = value.get("error").unwrap_or(value);
    let said = error.get("message").or(error.get("detail")).unwrap_or(error).as_str()?;
    let Fault::Stated(reason) = Fault::stated(said) else { return None };
    (!reason.trim().is_empty()).then_some(reason)
}

/// How an answer ended that called tools: many servers say no more than that it ended.
pub(super) fn ended(stop: Stop, calls: usize) -> Stop {
    if stop == Stop::End && calls > 0 { Stop::Calls } else { stop }
}

/// Cuts a stream of bytes into the data of its server-sent events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
}

/// What a stream of events says next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Data(Vec<u8>),
    /// A comment: whoever speaks is still there.
    Ping,
}

/// The longest event, in bytes.
const EVENT_BYTES_MAX: usize = 8 << 20;

impl Events {
    /// The events that end in these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, Fault> {
        let mut heard = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(Fault::Garbled);
            }
            if self.line.ends_with(b"\n") {
                heard.extend(self.line());
                self.line.clear();
            }
        }
        Ok(heard)
    }

    /// The last event, should no empty line follow it.
    pub(crate) fn rest(&mut self) -> Option<Heard> {
        let last = self.line();
        self.line.clear();
        if let Some(last) = last {
            return Some(last);
        }
        let data = std::mem::take(&mut self.data);
        (!data.is_empty()).then_some(Heard::Data(data))
    }

    fn line(&mut self) -> Option<Heard> {
        let line = self.line.trim_ascii_end();
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then_some(Heard::Data(data));
        }
        if line.starts_with(b":") {
            return Some(Heard::Ping);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let text = ": ping\r\nevent: a\r\ndata: {\"x\":\r\ndata:1}\r\n\r\n\ndata: [DONE]\n";
        let expected =
            [Heard::Ping, Heard::Data(b"{\"x\":\n1}".to_vec()), Heard::Data(b"[DONE]".to_vec())];
        for cut in 0..=text.len() {
            let mut events = Events::default();
            let mut heard = events.push(&text.as_bytes()[..cut]).expect("short");
            heard.extend(events.push(&text.as_bytes()[cut..]).expect("short"));
            heard.extend(events.rest());
            assert_eq!(heard, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_held() {
        let mut events = Events::default();
        let piece = vec![b'a'; 1 << 20];
        let ended = (0..10).find_map(|_| events.push(&piece).err());
        assert_eq!(ended, Some(Fault::Garbled));
    }

    #[test]
    fn reasons_are_found_and_cut() {
        for body in [
            r#"{"type":"error","error":{"type":"x","message":"why"}}"#,
            r#"{"error":{"message":"why","code":4}}"#,
            r#"[{"error":{"code":400,"message":"why","status":"X"}}]"#,
            r#"{"error":"why"}"#,
            r#"{"detail":"why"}"#,
        ] {
            assert_eq!(reason(body.as_bytes()).as_deref(), Some("why"), "{body}");
        }
        assert_eq!(reason(b"<html>"), None);
        let long = format!("{{\"error\":\"{}\"}}", "x".repeat(1 << 20));
        assert_eq!(reason(long.as_bytes()).map(|reason| reason.len()), Some(REASON_CHARS_MAX));
    }
}
