//! A conversation with a model, and what the model answers, whatever the dialect. Holds what the
//! dialects have in common; of what only one of them knows, nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::usage::Used;

/// A model is asked to go on with a conversation.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Whether the answer is wanted piece by piece.
    pub(crate) stream: bool,
    /// Whether a streamed answer shall say what it used (of chat completions).
    pub(crate) include_usage: bool,
    /// Everything said by the system, in order.
    pub(crate) system: Vec<String>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Option<Choice>,
    /// Whether several tools may be called at once.
    pub(crate) parallel: Option<bool>,
    pub(crate) sampling: Sampling,
    pub(crate) format: Option<Format>,
    /// How hard the model shall think, in a word of the `OpenAI` dialects.
    pub(crate) effort: Option<String>,
    /// What no other dialect can carry, and without which the request would mean something else.
    pub(crate) foreign: Option<&'static str>,
    /// How tools are called in the dialect of the caller, where that is not how functions are.
    pub(crate) names: Names,
}

/// Tools of the Responses dialect that are no plain functions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// Tools that take a text and not arguments.
    pub(crate) custom: BTreeSet<String>,
    /// Tools that stand in a namespace, by the one name they have elsewhere.
    pub(crate) spaces: BTreeMap<String, Spaced>,
}

/// A tool in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spaced {
    pub(crate) space: String,
    pub(crate) name: String,
}

/// How the next word is drawn.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u64>,
    pub(crate) stop: Vec<String>,
}

/// What an answer must look like.
#[derive(Debug)]
pub(crate) enum Format {
    /// Any JSON.
    Json,
    /// JSON of this schema.
    Schema { name: Option<String>, schema: Box<RawValue> },
}

/// Whether tools must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Auto,
    None,
    Any,
    Tool(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    User,
    Model,
}

/// What one side said or did.
#[derive(Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) who: Who,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Thought(String),
    Image(Image),
    Call(Call),
    Outcome(Outcome),
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// In base64.
    Inline {
        media: String,
        data: String,
    },
    Url(String),
}

/// The model calls a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON as the model wrote it, which may be none; of a custom tool, its text as `{"input": …}`.
    pub(crate) arguments: String,
}

/// What a tool returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of the call.
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) images: Vec<Image>,
    pub(crate) failed: bool,
}

/// A tool that is offered.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) about: Option<String>,
    /// A JSON schema; in requests of Gemini's older form, the types in capitals.
    pub(crate) schema: Option<Box<RawValue>>,
}

/// A piece of an answer. Arguments belong to the call before them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Thought(String),
    Call { id: String, name: String },
    Arguments(String),
    Used(Used),
    Stop(Stop),
}

/// Why an answer is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    End,
    /// It calls tools and waits for what they return.
    Calls,
    /// As many tokens as it may have.
    Length,
    /// The model, or whoever runs it, will not say more.
    Refused,
}

impl Request {
    /// Adds to the last turn if it is of the same side and of the same sort, else begins one.
    pub(crate) fn add(&mut self, who: Who, part: Part) {
        let outcome = |part: &Part| matches!(part, Part::Outcome(_));
        let grows = |turn: &&mut Turn| {
            turn.who == who
                && (who == Who::Model || turn.parts.iter().all(outcome) && outcome(&part))
        };
        match self.turns.last_mut().filter(grows) {
            Some(turn) => turn.parts.push(part),
            None => self.turns.push(Turn { who, parts: vec![part] }),
        }
    }

    /// The tool that made this call, as it was called in the conversation.
    pub(crate) fn caller(&self, id: &str) -> Option<&str> {
        let parts = self.turns.iter().flat_map(|turn| &turn.parts);
        let mut calls = parts.filter_map(|part| match part {
            Part::Call(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        });
        calls.next_back()
    }
}

/// A tool in a namespace, under the one name it has in dialects that know no namespaces.
pub(crate) fn flat(space: &str, name: &str) -> String {
    format!("{space}__{name}")
}
