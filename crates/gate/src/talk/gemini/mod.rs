//! Gemini: `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.

mod schema;

pub(super) mod hear;
pub(super) mod read;
pub(super) mod say;
pub(super) mod send;
