//! `OpenAI` chat completions: `POST /v1/chat/completions`.

pub(super) mod hear;
pub(super) mod read;
pub(super) mod say;
pub(super) mod send;
