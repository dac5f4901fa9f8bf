//! A limit on everything a caller or a model endpoint can make us hold or wait for.

use std::time::Duration;

/// Connections of one dispatch at once; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// The head of one request, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// The header lines of one request, and of one answer of an endpoint.
pub const HEADERS_MAX: usize = 64;
/// The longest value of a header that is passed on, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 1 << 10;
/// Request bodies that one dispatch may have in memory at once, in bytes.
pub const CALLER_BODY_BYTES_MAX: usize = 64 << 20;
/// Request bodies of all dispatches in memory at once, in bytes.
pub const ALL_BODY_BYTES_MAX: usize = 1 << 30;
/// One answer of an endpoint, in bytes; a longer one is broken off.
pub const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// One answer of an endpoint that is translated, in bytes: a part of it is held.
pub const TRANSLATED_BYTES_MAX: usize = 32 << 20;
/// An error of an endpoint that is passed on, in bytes.
pub const ERROR_BYTES_MAX: usize = 64 << 10;
/// How often a request is sent to an endpoint in all.
pub const ATTEMPTS_MAX: u32 = 3;
/// The first wait before a request is sent again; it doubles each time.
pub const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait that an endpoint may ask for before a request is sent again; if it asks for more,
/// its answer is passed on.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// One message to a server of tools, in bytes.
pub const TOOL_REQUEST_BYTES_MAX: usize = 4 << 20;
/// One answer of a server of tools, in bytes; it is held whole.
pub const TOOL_ANSWER_BYTES_MAX: usize = 2 << 20;
/// Tools of one server that can be allowed.
pub const TOOLS_MAX: usize = 128;
/// Tools that one server may describe, all pages together.
pub const TOOLS_LISTED_MAX: usize = 512;
/// Pages of such a list.
pub const TOOL_PAGES_MAX: u32 = 16;
/// Calls of tools that one dispatch makes at once; further ones wait.
pub const TOOL_CALLS_AT_ONCE: usize = 4;
/// Calls of tools that one dispatch may make in all.
pub const TOOL_CALLS_MAX: u32 = 2_000;
/// The arguments of a call that are told whole in the stream of its dispatch, in bytes.
pub const TOOL_ARGUMENTS_TOLD_BYTES_MAX: usize = 8 << 10;
/// How long the name of a person's endpoint may take to be looked up.
pub const LOOK_UP: Duration = Duration::from_secs(10);
/// Endpoints of persons that are tried at once; further ones wait.
pub const TRIES_AT_ONCE: usize = 4;
/// How long such a try may take, its wait included.
pub const TRY: Duration = Duration::from_secs(25);
/// One request that is recorded, in bytes; what is longer is cut.
pub const RECORDED_REQUEST_BYTES_MAX: usize = 4 << 20;
/// One answer that is recorded, in bytes; what is longer is cut.
pub const RECORDED_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Diagnostics that the gate writes into the stream of one dispatch.
pub const DIAGNOSTICS_MAX: u32 = 32;

/// What differs between an installation and a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One request body, in bytes. 1 KiB to 64 MiB; 32 MiB by default.
    pub body_bytes_max: usize,
    /// From the accepted connection, or the answer before, to the whole head of a request. 90 s by
    /// default.
    pub head: Duration,
    /// From the head of a request to the last byte of its body. 60 s by default.
    pub body: Duration,
    /// From the request to the head of an endpoint's answer, all attempts included. 10 min by default:
    /// an answer that is not streamed is thought out first.
    pub first_byte: Duration,
    /// The longest silence inside an endpoint's answer. 5 min by default.
    pub idle: Duration,
    /// How long a caller may leave an answer unread. 5 min by default: a sandbox may be held still.
    pub unread: Duration,
    /// To reach an endpoint at all. 10 s by default.
    pub connect: Duration,
    /// For one request to a server of tools, a new session included. 2 min by default.
    pub tool: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            head: Duration::from_secs(90),
            body: Duration::from_mins(1),
            first_byte: Duration::from_mins(10),
            idle: Duration::from_mins(5),
            unread: Duration::from_mins(5),
            connect: Duration::from_secs(10),
            tool: Duration::from_mins(2),
        }
    }
}
