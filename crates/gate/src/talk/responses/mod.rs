//! `OpenAI` Responses: `POST /v1/responses`.

pub(super) mod hear;
pub(super) mod read;
pub(super) mod say;
pub(super) mod send;
