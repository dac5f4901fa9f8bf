//! `OpenAI` Responses: `POST /v1/responses`.

pub(super) mod read;
pub(super) mod say;
