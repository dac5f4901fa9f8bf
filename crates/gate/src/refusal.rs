//! Why a caller did not get what it asked for, said in its own dialect. Never says a key, an address
//! behind the gate, or anything of another caller.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use model::ModelApi;
use serde_json::json;

use crate::budget::UsedUp;
use crate::relay::Body;

/// Why a caller did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the gate serves nothing here: use POST /v1/messages, /v1/messages/count_tokens, /v1/chat/completions, /v1/responses or /v1beta/models/MODEL:generateContent, :streamGenerateContent?alt=sse, :countTokens, or GET /v1/models, /v1beta/models or /health, or POST /mcp/NAME"
    )]
    NotFound,
    #[error(
        "this dispatch was given no tools of a server `{0}`: name it where the dispatch begins, as `tools=NAME`"
    )]
    NoTools(String),
    #[error("this path takes {allowed} requests only")]
    Method { allowed: &'static str },
    #[error("the request body is larger than {bytes_max} bytes: send less")]
    TooLarge { bytes_max: usize },
    #[error("the request body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the request body broke off before its end")]
    BrokenBody,
    #[error("too much is being sent to models at once: wait a second and send it again")]
    Crowded,
    #[error("the request is not valid: {0}")]
    BadRequest(String),
    #[error(
        "the request holds {what}, which cannot be said to the model endpoint `{endpoint}` in {speaks}: leave it out, or configure an endpoint that speaks the dialect of the request"
    )]
    Foreign { what: &'static str, endpoint: String, speaks: &'static str },
    #[error(
        "the model endpoint `{endpoint}` does not offer that model: ask for another, or have it added to the endpoint's `models`"
    )]
    Model { endpoint: String },
    #[error(
        "there is no model endpoint `{endpoint}` for this dispatch any more: its owner removed or changed it; begin a conversation with another model"
    )]
    Gone { endpoint: String },
    #[error(
        "this server does not call the model endpoint `{endpoint}` any more: whoever runs it must name its host in `model.persons`"
    )]
    NotNamed { endpoint: String },
    #[error("{0}")]
    Budget(UsedUp),
    #[error("the model endpoint `{endpoint}` answered with an error: {reason}")]
    Stated { endpoint: String, status: u16, reason: String },
    #[error(
        "the model endpoint `{endpoint}` cannot be reached: {why}. Check its base_url and the network of the server, then send it again"
    )]
    Unreachable { endpoint: String, why: &'static str },
    #[error(
        "the model endpoint `{endpoint}` did not begin to answer within {seconds} s: send it again, or ask for less"
    )]
    Silent { endpoint: String, seconds: u64 },
    #[error(
        "the model endpoint `{endpoint}` answered with a redirect, which is not followed with a key: set its base_url to where it really is"
    )]
    Redirect { endpoint: String },
    #[error(
        "the model endpoint `{endpoint}` refused the key it is configured with ({status}): whoever configured it must set another"
    )]
    Key { endpoint: String, status: u16 },
    #[error(
        "the model endpoint `{endpoint}` failed with {status} and gave no reason that can be read"
    )]
    Failed { endpoint: String, status: u16 },
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoTools(_) => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenBody | Self::BadRequest(_) | Self::Foreign { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Model { .. } | Self::Gone { .. } | Self::NotNamed { .. } => StatusCode::FORBIDDEN,
            Self::Budget(_) => StatusCode::PAYMENT_REQUIRED,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable { .. } | Self::Redirect { .. } => StatusCode::BAD_GATEWAY,
            Self::Silent { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Key { status, .. }
            | Self::Failed { status, .. }
            | Self::Stated { status, .. } => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
        }
    }

    /// One stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoTools(_) => "no_tools",
            Self::Method { .. } => "method_not_allowed",
            Self::TooLarge { .. } => "body_too_large",
            Self::TooSlow { .. } => "body_too_slow",
            Self::BrokenBody => "body_broken",
            Self::Crowded => "crowded",
            Self::BadRequest(_) => "bad_request",
            Self::Foreign { .. } => "not_translatable",
            Self::Model { .. } => "model_not_allowed",
            Self::Gone { .. } => "endpoint_removed",
            Self::NotNamed { .. } => "endpoint_not_allowed",
            Self::Budget(_) => "budget_exhausted",
            Self::Stated { .. } => "endpoint_error",
            Self::Unreachable { .. } => "endpoint_unreachable",
            Self::Silent { .. } => "endpoint_silent",
            Self::Redirect { .. } => "endpoint_redirects",
            Self::Key { .. } => "endpoint_refused_key",
            Self::Failed { .. } => "endpoint_failed",
        }
    }

    /// Whether the people who look at the dispatch should see it: it is a fault of the installation.
    pub(crate) fn concerns_people(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Redirect { .. }
                | Self::Key { .. }
                | Self::Failed { .. }
                | Self::Gone { .. }
                | Self::NotNamed { .. }
        )
    }

    /// The answer, in the dialect of the caller. A body that was not read whole closes the connection.
    pub(crate) fn answer(&self, api: ModelApi) -> Response<Body> {
        let body = match api {
            ModelApi::AnthropicMessages => json!({
                "type": "error",
                "error": { "type": self.anthropic(), "message": self.to_string(), "code": self.code() },
            }),
            ModelApi::OpenaiChat | ModelApi::OpenaiResponses => json!({
                "error": {
                    "message": self.to_string(),
                    "type": self.openai(),
                    "param": null,
                    "code": self.code(),
                },
            }),
            ModelApi::Gemini => json!({
                "error": {
                    "code": self.status().as_u16(),
                    "message": self.to_string(),
                    "status": self.gemini(),
                    "details": [{
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": self.code(),
                        "domain": "gate",
                    }],
                },
            }),
        };
        let mut response = whole_json(self.status(), body.to_string().into());
        if matches!(self, Self::Crowded) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn anthropic(&self) -> &'static str {
        match self.status().as_u16() {
            400 | 405 | 408 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            _ => "api_error",
        }
    }

    fn gemini(&self) -> &'static str {
        match self.status().as_u16() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            402 | 429 => "RESOURCE_EXHAUSTED",
            502 | 503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            status if status < 500 => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        }
    }

    fn openai(&self) -> &'static str {
        match self.status().as_u16() {
            401 => "authentication_error",
            402 => "insufficient_quota",
            403 => "permission_error",
            429 => "rate_limit_error",
            status if status < 500 => "invalid_request_error",
            _ => "server_error",
        }
    }
}

/// What a dialect is called in messages.
pub(crate) fn dialect(api: ModelApi) -> &'static str {
    match api {
        ModelApi::AnthropicMessages => "Anthropic Messages",
        ModelApi::OpenaiChat => "OpenAI chat completions",
        ModelApi::OpenaiResponses => "OpenAI Responses",
        ModelApi::Gemini => "Gemini",
    }
}

/// An answer that is known whole.
pub(crate) fn whole_json(status: StatusCode, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
