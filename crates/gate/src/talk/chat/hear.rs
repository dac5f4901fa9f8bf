//! Hears an answer in `OpenAI` chat completions, as the many servers that speak it say it.

use serde::Deserialize;

use super::super::form::{Piece, Stop};
use super::super::hear::{Fault, Hear, ended};
use crate::usage::{Details, Used, cached};

/// A streamed answer.
pub(crate) struct Stream {
    id: String,
    calls: Calls,
    stopped: bool,
    over: bool,
}

/// The calls so far.
#[derive(Default)]
struct Calls {
    made: usize,
    /// The last one: its number among the calls of the answer and its id.
    last: Option<(u64, String)>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Box<serde_json::value::RawValue>>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<CallForm>>,
}

#[derive(Deserialize)]
struct CallForm {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

impl Usage {
    fn used(&self) -> Used {
        let count = |count: Option<u64>| count.unwrap_or(0);
        Used {
            input: count(self.prompt_tokens),
            cached: cached(self.prompt_tokens_details.as_ref()),
            output: count(self.completion_tokens),
        }
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "tool_calls" | "function_call" => Stop::Calls,
        "length" => Stop::Length,
        "content_filter" => Stop::Refused,
        _ => Stop::End,
    }
}

impl Stream {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), calls: Calls::default(), stopped: false, over: false }
    }
}

impl Hear for Stream {
    fn event(&mut self, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        if data == b"[DONE]" {
            self.over = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data).map_err(|_| Fault::Garbled)?;
        if chunk.error.is_some_and(|error| error.get() != "null") {
            let reason = super::super::hear::reason(data);
            return Err(Fault::stated(reason.as_deref().unwrap_or("it gave no reason")));
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            if let Some(delta) = choice.delta {
                delta.add_to(&self.id, &mut self.calls, pieces)?;
            }
            if let Some(reason) = choice.finish_reason {
                pieces.push(Piece::Stop(ended(stop(&reason), self.calls.made)));
                self.stopped = true;
            }
        }
        pieces.extend(chunk.usage.map(|usage| Piece::Used(usage.used())));
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over || self.stopped
    }
}

impl Delta {
    fn add_to(self, id: &str, calls: &mut Calls, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        pieces.extend(said(self.reasoning_content.or(self.reasoning)).map(Piece::Thought));
        pieces.extend(said(self.content).map(Piece::Text));
        pieces.extend(said(self.refusal).map(Piece::Text));
        for call in self.tool_calls.into_iter().flatten() {
            call.add_to(id, calls, pieces)?;
        }
        Ok(())
    }
}

impl CallForm {
    /// A call begins with a number or an id that the last one has not; servers leave out either.
    fn add_to(self, id: &str, calls: &mut Calls, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let Function { name, arguments } =
            self.function.unwrap_or(Function { name: None, arguments: None });
        let given = self.id.filter(|id| !id.is_empty());
        let begins = match (&calls.last, self.index, &given) {
            (None, ..) => true,
            (Some((last, _)), Some(index), None) if index < *last => return Err(Fault::Garbled),
            (Some((last, last_id)), index, given) => {
                index.is_some_and(|index| index != *last)
                    || given.as_ref().is_some_and(|given| given != last_id)
            }
        };
        if begins {
            let name = name.ok_or(Fault::Garbled)?;
            calls.made += 1;
            let call_id = given.unwrap_or_else(|| format!("call_{id}_{}", calls.made));
            let index = self.index.or(calls.last.as_ref().map(|(last, _)| last + 1)).unwrap_or(0);
            calls.last = Some((index, call_id.clone()));
            pieces.push(Piece::Call { id: call_id, name });
        }
        let arguments = arguments.filter(|arguments| !arguments.is_empty());
        pieces.extend(arguments.map(Piece::Arguments));
        Ok(())
    }
}

/// A whole answer.
pub(crate) fn whole(id: &str, body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let chunk: Chunk = serde_json::from_slice(body).map_err(|_| Fault::Garbled)?;
    let choice = chunk.choices.into_iter().next().ok_or(Fault::Garbled)?;
    let (mut pieces, mut calls) = (Vec::new(), Calls::default());
    choice.delta.ok_or(Fault::Garbled)?.add_to(id, &mut calls, &mut pieces)?;
    pieces.extend(chunk.usage.map(|usage| Piece::Used(usage.used())));
    let reason = choice.finish_reason.as_deref().unwrap_or("stop");
    pieces.push(Piece::Stop(ended(stop(reason), calls.made)));
    Ok(pieces)
}
