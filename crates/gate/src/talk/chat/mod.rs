//! `OpenAI` chat completions: `POST /v1/chat/completions`.

pub(super) mod read;
pub(super) mod say;
