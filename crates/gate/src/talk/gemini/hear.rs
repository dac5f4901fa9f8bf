//! Hears an answer in Gemini's dialect. Calls come whole, and often without an id: they get one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::form::{Piece, Stop};
use super::super::hear::{Fault, Hear, ended};
use crate::usage::Used;

/// A streamed answer; a whole one is its only chunk.
pub(crate) struct Stream {
    id: String,
    calls: usize,
    over: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    usage_metadata: Option<Usage>,
    prompt_feedback: Option<Feedback>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    thought: Option<bool>,
    function_call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    name: String,
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct Usage {
    prompt_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Stream {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), calls: 0, over: false }
    }

    fn part(&mut self, part: Part, pieces: &mut Vec<Piece>) {
        match part {
            Part { function_call: Some(call), .. } => {
                self.calls += 1;
                let id = call.id.filter(|id| !id.is_empty());
                let id = id.unwrap_or_else(|| format!("call_{}_{}", self.id, self.calls));
                pieces.push(Piece::Call { id, name: call.name });
                let arguments = call.args.map_or_else(|| "{}".to_owned(), |it| it.get().to_owned());
                pieces.push(Piece::Arguments(arguments));
            }
            Part { text: Some(text), thought, .. } if !text.is_empty() => {
                let thought = thought == Some(true);
                pieces.push(if thought { Piece::Thought(text) } else { Piece::Text(text) });
            }
            Part { .. } => {}
        }
    }
}

impl Usage {
    fn used(&self) -> Used {
        let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
        Used {
            input: sum(self.prompt_token_count, self.tool_use_prompt_token_count),
            cached: self.cached_content_token_count.unwrap_or(0),
            output: sum(self.candidates_token_count, self.thoughts_token_count),
        }
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "STOP" | "FINISH_REASON_UNSPECIFIED" => Stop::End,
        "MAX_TOKENS" => Stop::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Stop::Refused,
        _ => Stop::End,
    }
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let chunk: Chunk = serde_json::from_slice(data).map_err(|_| Fault::Garbled)?;
        if let Some(failure) = chunk.error {
            return Err(Fault::stated(&failure.message));
        }
        if chunk.prompt_feedback.and_then(|feedback| feedback.block_reason).is_some() {
            pieces.push(Piece::Stop(Stop::Refused));
            self.over = true;
        }
        if let Some(candidate) = chunk.candidates.into_iter().next() {
            for part in candidate.content.into_iter().flat_map(|content| content.parts) {
                self.part(part, pieces);
            }
            if let Some(reason) = candidate.finish_reason {
                pieces.push(Piece::Stop(ended(stop(&reason), self.calls)));
                self.over = true;
            }
        }
        pieces.extend(chunk.usage_metadata.map(|usage| Piece::Used(usage.used())));
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// A whole answer.
pub(crate) fn whole(id: &str, body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let (mut stream, mut pieces) = (Stream::new(id), Vec::new());
    stream.event(body, &mut pieces)?;
    if stream.over { Ok(pieces) } else { Err(Fault::Unended) }
}
