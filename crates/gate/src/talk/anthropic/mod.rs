//! Anthropic Messages: `POST /v1/messages`.

pub(super) mod read;
pub(super) mod say;
