//! Writes a request in the dialect of an endpoint. What the dialect cannot carry is refused, where
//! the request would mean something else without it; docs/guide/models.md lists the rest.

use model::ModelApi;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::form::{Image, Request};
use super::{anthropic, chat, gemini, responses};

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) api: ModelApi,
    pub(crate) model: &'a str,
    /// The most tokens that the endpoint takes as a limit of an answer.
    pub(crate) max_tokens: Option<u64>,
}

impl Target<'_> {
    pub(super) fn capped(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.max_tokens) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        }
    }
}

/// The temperature, if it is not the one that every model has anyway: many take no other.
#[expect(clippy::float_cmp, reason = "1 is what agents write when they mean the default")]
pub(super) fn temperature(request: &Request) -> Option<f64> {
    request.sampling.temperature.filter(|temperature| *temperature != 1.0)
}

/// The body of the request; or what of it cannot be said there.
pub(crate) fn write(request: &Request, target: &Target<'_>) -> Result<Value, &'static str> {
    if let Some(foreign) = request.foreign {
        return Err(foreign);
    }
    match target.api {
        ModelApi::AnthropicMessages => Ok(anthropic::send::write(request, target)),
        ModelApi::OpenaiChat => Ok(chat::send::write(request, target)),
        ModelApi::OpenaiResponses => Ok(responses::send::write(request, target)),
        ModelApi::Gemini => gemini::send::write(request, target),
    }
}

/// Whether a body holds about as many values as a conversation has. One that is made of little else
/// would take much more memory than its size when its values are looked at.
pub(crate) fn is_modest(body: &[u8]) -> bool {
    const FREE: usize = 50_000;
    let values = body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    values <= FREE + body.len() / 8
}

/// A tool's schema; one that takes nothing where there is none.
pub(super) fn schema(schema: Option<&RawValue>) -> Value {
    let value = schema.and_then(|schema| serde_json::from_str(schema.get()).ok());
    let value = value.filter(|value: &Value| value.is_object());
    value.unwrap_or_else(|| json!({ "type": "object", "properties": {} }))
}

/// Arguments as the object they should be; what is none is wrapped into one.
pub(super) fn object(arguments: &str) -> Value {
    super::say::object(arguments)
}

/// An id that every dialect takes.
pub(super) fn id(id: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let id: String = id.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    if id.is_empty() { "call".to_owned() } else { id }
}

/// A picture as an address.
pub(super) fn url(image: &Image) -> String {
    match image {
        Image::Inline { media, data } => format!("data:{media};base64,{data}"),
        Image::Url(url) => url.clone(),
    }
}
