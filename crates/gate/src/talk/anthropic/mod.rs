//! Anthropic Messages: `POST /v1/messages`.

pub(super) mod hear;
pub(super) mod read;
pub(super) mod say;
pub(super) mod send;
