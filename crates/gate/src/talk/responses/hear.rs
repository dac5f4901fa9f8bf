//! Hears an answer in `OpenAI` Responses.

use serde::Deserialize;

use super::super::form::{Piece, Stop};
use super::super::hear::{Fault, Hear, ended};
use crate::usage::{Details, Used, cached};

/// A streamed answer.
#[derive(Default)]
pub(crate) struct Stream {
    calls: usize,
    /// Whether the arguments of the last call came piece by piece.
    told: bool,
    over: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    item: Option<Item>,
    delta: Option<String>,
    response: Option<Response>,
    message: Option<String>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    #[serde(default)]
    content: Option<Vec<Part>>,
    #[serde(default)]
    summary: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    output: Vec<Item>,
    status: Option<String>,
    usage: Option<Usage>,
    incomplete_details: Option<Incomplete>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        if data == b"[DONE]" {
            return Ok(());
        }
        let event: Event = serde_json::from_slice(data).map_err(|_| Fault::Garbled)?;
        match event.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                pieces.extend(event.delta.map(Piece::Text));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                pieces.extend(event.delta.map(Piece::Thought));
            }
            "response.function_call_arguments.delta" => {
                self.told = true;
                pieces.extend(event.delta.map(Piece::Arguments));
            }
            "response.output_item.added" => {
                let call = event.item.and_then(|item| item.call());
                self.calls += usize::from(call.is_some());
                self.told &= call.is_none();
                pieces.extend(call);
            }
            "response.output_item.done" => {
                let item = event.item.filter(|item| item.kind == "function_call" && !self.told);
                pieces.extend(item.and_then(|item| item.arguments).map(Piece::Arguments));
                self.told = true;
            }
            "response.completed" | "response.incomplete" => {
                let response = event.response.ok_or(Fault::Garbled)?;
                pieces.extend(response.end(self.calls));
                self.over = true;
            }
            "response.failed" | "error" => {
                let stated = event.response.and_then(|response| response.error).or(event.error);
                let reason = stated.map(|failure| failure.message).or(event.message);
                return Err(Fault::stated(&reason.unwrap_or_default()));
            }
            _ => {}
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

impl Item {
    fn call(&self) -> Option<Piece> {
        (self.kind == "function_call").then(|| Piece::Call {
            id: self.call_id.clone().unwrap_or_default(),
            name: self.name.clone().unwrap_or_default(),
        })
    }

    fn whole(self) -> Vec<Piece> {
        let mut pieces: Vec<_> = self.call().into_iter().collect();
        match self.kind.as_str() {
            "function_call" => pieces.extend(self.arguments.map(Piece::Arguments)),
            "message" => {
                let parts = self.content.into_iter().flatten();
                let texts = parts.filter_map(|part| part.text.or(part.refusal));
                pieces.extend(texts.map(Piece::Text));
            }
            "reasoning" => {
                let texts = self.summary.into_iter().flatten().filter_map(|part| part.text);
                pieces.extend(texts.map(Piece::Thought));
            }
            _ => {}
        }
        pieces
    }
}

impl Response {
    fn end(&self, calls: usize) -> Vec<Piece> {
        let count = |count: Option<u64>| count.unwrap_or(0);
        let used = self.usage.as_ref().map(|usage| {
            let (input, output) = (count(usage.input_tokens), count(usage.output_tokens));
            let cached = cached(usage.input_tokens_details.as_ref());
            Piece::Used(Used { input, cached, output })
        });
        let reason = self.incomplete_details.as_ref().and_then(|it| it.reason.as_deref());
        let stop = match reason {
            Some("content_filter") => Stop::Refused,
            Some(_) => Stop::Length,
            None => ended(Stop::End, calls),
        };
        used.into_iter().chain([Piece::Stop(stop)]).collect()
    }
}

/// A whole answer.
pub(crate) fn whole(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let mut response: Response = serde_json::from_slice(body).map_err(|_| Fault::Garbled)?;
    if let Some(failure) = response.error.take() {
        return Err(Fault::stated(&failure.message));
    }
    let output = std::mem::take(&mut response.output);
    if response.status.is_none() && output.is_empty() {
        return Err(Fault::Garbled);
    }
    let calls = output.iter().filter(|item| item.kind == "function_call").count();
    let mut pieces: Vec<_> = output.into_iter().flat_map(Item::whole).collect();
    pieces.extend(response.end(calls));
    Ok(pieces)
}
