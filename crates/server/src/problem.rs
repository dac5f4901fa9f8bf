//! Errors in words for outsiders. Every kind has a stable code with a page in `docs/errors`.
//!
//! What went wrong inside never leaves in words: it is logged where it is met, and the caller gets
//! the kind of the problem and what to do next.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::port::LedgerError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::error;
use trust::Reason;

use crate::security::Page;

/// One kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The status of the response.
    pub status: StatusCode,
    /// Its name: stable, with a page `docs/errors/<code>.md`.
    pub code: &'static str,
    /// What it is, in a few words that never change.
    pub title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:ident { code: $code:literal, title: $title:literal })*) => {
        $(
            #[doc = concat!("`", $code, "`: ", $title, ".")]
            pub const $name: Kind =
                Kind { status: StatusCode::$status, code: $code, title: $title };
        )*
        /// Every kind of problem there is.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    MISSING_KEY = UNAUTHORIZED { code: "missing-api-key", title: "Missing API key" }
    INVALID_KEY = UNAUTHORIZED { code: "invalid-api-key", title: "Invalid API key" }
    LOGGED_OUT = UNAUTHORIZED { code: "logged-out", title: "Not logged in any more" }
    BAD_LINK = UNAUTHORIZED { code: "bad-login-link", title: "The login link is not valid" }
    UNDER_SCOPED = FORBIDDEN { code: "under-scoped", title: "The key may not do this" }
    UNTRUSTED_WRITE = FORBIDDEN { code: "untrusted-write", title: "Untrusted input may only propose" }
    NO_RECORDING = FORBIDDEN { code: "recording-not-allowed", title: "Dispatches are not recorded on this server" }
    ROLE_TOO_LOW = FORBIDDEN { code: "role-too-low", title: "Your role in the workspace does not allow it" }
    NOT_INVITED = FORBIDDEN { code: "not-invited", title: "The invitation is for somebody else" }
    FOREIGN_HOST = MISDIRECTED_REQUEST { code: "foreign-host", title: "This host is not served here" }
    FOREIGN_ORIGIN = FORBIDDEN { code: "foreign-origin", title: "Another site's page may not ask this" }
    NOT_FOUND = NOT_FOUND { code: "not-found", title: "There is no such thing" }
    UNKNOWN_SESSION = NOT_FOUND { code: "unknown-session", title: "There is no such conversation" }
    UNKNOWN_DISPATCH = NOT_FOUND { code: "unknown-dispatch", title: "There is no such dispatch" }
    UNKNOWN_WORKSPACE = NOT_FOUND { code: "unknown-workspace", title: "There is no such workspace" }
    UNKNOWN_ENDPOINT = NOT_FOUND { code: "unknown-endpoint", title: "You have no such model endpoint" }
    INVITE_OVER = GONE { code: "invite-over", title: "The invitation is over" }
    UNKNOWN_PROPOSAL = NOT_FOUND { code: "unknown-proposal", title: "There is no such proposal" }
    METHOD = METHOD_NOT_ALLOWED { code: "method-not-allowed", title: "The route does not take this method" }
    CONFLICT = CONFLICT { code: "conflict", title: "It does not fit the present state" }
    PROPOSAL_CHANGED = CONFLICT { code: "proposal-changed", title: "The proposal is not what was shown any more" }
    ALREADY_DECIDED = CONFLICT { code: "already-decided", title: "The proposal is decided already" }
    EXPIRED = CONFLICT { code: "expired", title: "The proposal has expired" }
    REUSED_KEY = CONFLICT { code: "reused-key", title: "The key was used for another request" }
    TOO_LARGE = PAYLOAD_TOO_LARGE { code: "too-large", title: "The request is too large" }
    NOT_CONFORMANT = BAD_REQUEST { code: "not-conformant", title: "The body does not conform to its contract" }
    MALFORMED = BAD_REQUEST { code: "malformed-request", title: "The request cannot be read" }
    INVALID = UNPROCESSABLE_ENTITY { code: "invalid-request", title: "The request is not valid" }
    UNKNOWN_RUNNER = UNPROCESSABLE_ENTITY { code: "unknown-runner", title: "There is no such runner" }
    UNKNOWN_TOOL = UNPROCESSABLE_ENTITY { code: "unknown-tool", title: "There is no such tool" }
    RUNNER_NOT_INSTALLED = UNPROCESSABLE_ENTITY { code: "runner-not-installed", title: "The runner is not installed on this server" }
    RUNNER_NOT_TESTED = UNPROCESSABLE_ENTITY { code: "runner-not-tested", title: "The runner did not pass its test on this server" }
    TIMED_OUT = REQUEST_TIMEOUT { code: "timed-out", title: "The request came too slowly" }
    TOO_MANY = TOO_MANY_REQUESTS { code: "too-many-requests", title: "Too many wait already" }
    UNAVAILABLE = SERVICE_UNAVAILABLE { code: "unavailable", title: "Not possible at the moment" }
    SSH_MISSING = NOT_IMPLEMENTED { code: "ssh-not-installed", title: "Ssh is not installed on this server" }
    GIT_MISSING = NOT_IMPLEMENTED { code: "git-not-installed", title: "Git is not installed on this server" }
    REMOTE_NOT_ALLOWED = FORBIDDEN { code: "remote-not-allowed", title: "The server may not reach this repository" }
    ENDPOINT_NOT_ALLOWED = FORBIDDEN { code: "endpoint-not-allowed", title: "The server may not call this model endpoint" }
    REMOTE_FAILED = BAD_GATEWAY { code: "remote-failed", title: "The outside repository did not do as asked" }
    STORAGE_FULL = INSUFFICIENT_STORAGE { code: "storage-full", title: "The disk takes no more" }
    INTERNAL = INTERNAL_SERVER_ERROR { code: "internal", title: "Our own fault" }
}

/// A problem as one caller is told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind it is.
    pub kind: Kind,
    /// What happened and what to do next, for people.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// One more field for programs, as the present revision of what changed meanwhile.
    pub more: Option<Box<(&'static str, Value)>>,
}

/// The most characters of a caller's own words that are said back to it.
const ECHO_CHARS_MAX: usize = 300;

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = detail.chars().take(ECHO_CHARS_MAX).collect();
        Self { kind, detail, retry_after: None, more: None }
    }

    /// A problem of this kind, in its own words.
    pub fn plain(kind: Kind) -> Self {
        Self::new(kind, kind.title)
    }

    /// The same, to be tried again after a while.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same, with one more field for programs.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more = Some(Box::new((name, value)));
        self
    }

    /// The problem behind a status that came without one.
    fn of_status(status: StatusCode) -> Self {
        let kind = KINDS.iter().find(|kind| kind.status == status);
        let fallback = if status.is_server_error() { INTERNAL } else { MALFORMED };
        Self::plain(kind.copied().unwrap_or(fallback))
    }

    fn body(&self, form: Form) -> (HeaderValue, String) {
        let (content_type, mut body) = match form {
            Form::Words => {
                let text = format!("{}\n", self.detail);
                return (HeaderValue::from_static("text/plain; charset=utf-8"), text);
            }
            Form::Detail => ("application/json", json!({ "detail": self.detail })),
            Form::Problem => (
                "application/problem+json",
                serde_json::to_value(Details::of(self)).unwrap_or_default(),
            ),
        };
        if let Some((name, value)) = self.more.as_deref() {
            body[*name] = value.clone();
        }
        (HeaderValue::from_static(content_type), body.to_string())
    }
}

/// An error in full, as RFC 9457 has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Details<'a> {
    /// Stands for the code.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, in a few words that never change.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What happened and what to do next, for people.
    detail: &'a str,
    /// What it is, for programs.
    code: Code,
}

impl<'a> Details<'a> {
    fn of(problem: &'a Problem) -> Self {
        let Kind { status, code, title } = problem.kind;
        let kind = format!("urn:remit:error:{code}");
        Self { kind, title, status: status.as_u16(), detail: &problem.detail, code: Code(code) }
    }
}

/// The name of a kind of problem.
#[derive(Debug, Serialize)]
struct Code(&'static str);

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<_> = KINDS.iter().map(|kind| kind.code).collect();
        let about = "What an error is. Each has a page `docs/errors/<code>.md`.";
        schemars::json_schema!({"type": "string", "description": about, "enum": codes})
    }
}

/// In which form an error is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"detail": …}`.
    Detail,
    /// RFC 9457.
    Problem,
    /// Plain words, which git shows to its user.
    Words,
}

impl Form {
    /// As the request's `Accept` asks.
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter().any(|accept| {
            accept.to_str().is_ok_and(|accept| accept.contains("application/problem+json"))
        });
        if accepts { Self::Problem } else { Self::Detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts an error response into words, in the form that was asked for. Others pass unchanged, as does
/// a page of ours, which says it itself.
pub(crate) fn in_words(mut response: Response, form: Form) -> Response {
    let status = response.status();
    let is_page = response.extensions().get::<Page>().is_some();
    if is_page || (!status.is_client_error() && !status.is_server_error()) {
        return response;
    }
    let problem =
        response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::of_status(status));
    let (content_type, body) = problem.body(form);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Some(wait) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        // Git asks its user for a password where it is told so.
        let asks = if form == Form::Words { "Basic realm=\"Remit\"" } else { "Bearer" };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(asks));
    }
    *response.body_mut() = body.into();
    response
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::ScopeMissing(_) | Reason::MoreThanOwn => {
                Self::new(UNDER_SCOPED, reason.to_string())
            }
            Reason::RoleTooLow => Self::new(ROLE_TOO_LOW, reason.to_string()),
            Reason::UntrustedMayNotWrite
            | Reason::UntrustedMayNotCall
            | Reason::ProposerMayNotAct => Self::new(UNTRUSTED_WRITE, reason.to_string()),
            Reason::NotYours => Self::plain(NOT_FOUND),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(problem: LedgerError) -> Self {
        match problem {
            LedgerError::NoDispatch(_) => Self::plain(UNKNOWN_DISPATCH),
            LedgerError::Closed(_) => Self::new(CONFLICT, "the dispatch is over"),
            LedgerError::Conflict { .. } => Self::new(REUSED_KEY, problem.to_string()),
            LedgerError::Full(_) => {
                error!(%problem, "the ledger cannot be written");
                Self::new(
                    STORAGE_FULL,
                    "nothing was written; free disk space on the server, then ask again",
                )
            }
            LedgerError::Fenced { .. } | LedgerError::Unavailable(_) => {
                error!(%problem, "the ledger failed");
                Self::new(UNAVAILABLE, "the store did not answer; ask again in a moment")
                    .retry_after(Duration::from_secs(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: Option<&'static str>, problem: Problem) -> (HeaderMap, Value) {
        let mut asked = HeaderMap::new();
        if let Some(accept) = accept {
            asked.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let response = in_words(problem.into_response(), Form::asked(&asked));
        let (parts, body) = response.into_parts();
        let bytes = futures_util::FutureExt::now_or_never(axum::body::to_bytes(body, 4096))
            .expect("a body in memory")
            .expect("small");
        (parts.headers, serde_json::from_slice(&bytes).expect("json"))
    }

    #[test]
    fn an_error_is_a_detail_unless_problem_details_are_asked_for() {
        let (headers, body) = check(None, Problem::plain(MISSING_KEY));
        assert_eq!(body, json!({"detail": "Missing API key"}));
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let (headers, body) = check(
            Some("application/problem+json"),
            Problem::new(TOO_MANY, "wait").retry_after(Duration::from_secs(3)),
        );
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers[header::RETRY_AFTER], "3");
        assert_eq!(
            body,
            json!({"type": "urn:remit:error:too-many-requests", "title": "Too many wait already",
                   "status": 429, "detail": "wait", "code": "too-many-requests"})
        );
    }

    #[test]
    fn a_bare_status_is_put_into_words_and_a_code_stands_once() {
        let response = in_words(StatusCode::METHOD_NOT_ALLOWED.into_response(), Form::Detail);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        for (at, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[at + 1..].iter().all(|other| other.code != kind.code), "{}", kind.code);
        }
    }
}
