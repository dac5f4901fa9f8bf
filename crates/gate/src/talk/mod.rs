//! The four dialects in which models are asked, each read and written through one form. Knows the
//! wire and nothing else: no endpoint, no key, no caller.

pub(crate) mod form;

mod json;

mod anthropic;
mod chat;
mod gemini;
mod responses;

pub(crate) mod hear;
pub(crate) mod say;
pub(crate) mod send;

#[cfg(test)]
mod round_trip;

pub(crate) use form::Request;
pub(crate) use json::{Few, Keys};

use model::ModelApi;
use serde::Deserialize;

/// The most tools that are looked at; an agent that offers more is told so by silence.
const TOOLS_MAX: usize = 512;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The body says whether it is streamed.
    AsTheBodySays,
    /// The path says it (of Gemini).
    Whole,
    /// The path says it (of Gemini).
    Streamed,
}

/// The request of this body; or what is wrong with it, without a word of it.
pub(crate) fn read(api: ModelApi, wanted: Wanted, body: &[u8]) -> Result<Request, String> {
    let read = match api {
        ModelApi::AnthropicMessages => anthropic::read::read(body),
        ModelApi::OpenaiChat => chat::read::read(body),
        ModelApi::OpenaiResponses => responses::read::read(body),
        ModelApi::Gemini => gemini::read::read(body, wanted == Wanted::Streamed),
    };
    read.map_err(|error| {
        let dialect = crate::refusal::dialect(api);
        let (line, column) = (error.line(), error.column());
        format!("its body is not {dialect} (see line {line} column {column})")
    })
}

/// What the `OpenAI` dialects say about which tool must be called.
fn choice(json: &str) -> Option<form::Choice> {
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
        function: Option<Function>,
    }
    #[derive(Deserialize)]
    struct Function {
        name: String,
    }
    match json {
        "\"auto\"" => Some(form::Choice::Auto),
        "\"none\"" => Some(form::Choice::None),
        "\"required\"" => Some(form::Choice::Any),
        _ => {
            let named: Named = serde_json::from_str(json).ok()?;
            let name = named.name.or(named.function.map(|function| function.name));
            name.map(form::Choice::Tool)
        }
    }
}
