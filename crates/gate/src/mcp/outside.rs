//! Asks a server of tools outside, over Streamable HTTP, with the credential that only the gate has.
//! Never follows a redirect, never makes a call again that may have been made.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::json_rpc::Message;
use futures_util::StreamExt;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OnceCell;

use super::Calls;
use super::server::Server;
use super::wire::{self, Page};
use crate::broker::Serving;
use crate::limit::{HEADER_VALUE_BYTES_MAX, Limits, TOOL_ANSWER_BYTES_MAX, TOOL_PAGES_MAX};
use crate::redact::Redactor;
use crate::talk::hear::{Events, Heard};
use crate::upstream;

/// The version of the protocol that is asked for; a server answers with one of its own.
const VERSION: &str = "2025-06-18";
/// The longest reason of a server that is passed on, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// Calls servers of tools.
#[derive(Debug)]
pub(crate) struct Outside {
    client: reqwest::Client,
    limits: Limits,
}

/// What a server is to be told with every request of one dispatch.
#[derive(Debug)]
pub(crate) struct Session {
    id: Option<HeaderValue>,
    version: HeaderValue,
}

/// There is no answer that can be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It does not know the session any more; nothing was done.
    #[error("it does not know its session any more")]
    Gone,
    #[error("it cannot be reached: {0}")]
    Unreachable(&'static str),
    #[error("it did not answer within {0} s")]
    Silent(u64),
    #[error("its answer is longer than {TOOL_ANSWER_BYTES_MAX} bytes: ask for less")]
    TooLong,
    #[error("its answer is not one of the Model Context Protocol")]
    Garbled,
    #[error("it refused the key that it is configured with ({0})")]
    Key(u16),
    #[error("it failed with status {0}")]
    Status(u16),
    /// It answers with an error of its own.
    #[error("{message}")]
    Stated { code: i64, message: String },
}

impl Fault {
    /// In words, for the agent and for people.
    pub(super) fn told(&self, server: &str) -> String {
        format!("the server of tools `{server}` gave no answer: {self}")
    }

    /// Whether it is a fault of the installation.
    pub(super) fn concerns_people(&self) -> bool {
        !matches!(self, Self::TooLong | Self::Stated { .. })
    }
}

/// The result of `initialize`, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Welcome {
    protocol_version: String,
}

impl Outside {
    pub(super) fn new(limits: &Limits) -> Result<Self, reqwest::Error> {
        Ok(Self { client: upstream::client(limits)?, limits: limits.clone() })
    }

    /// All tools of a server that it is configured with, each once, as it describes them.
    pub(super) async fn tools(
        &self,
        serving: &Serving,
        server: &Server,
    ) -> Result<Vec<Box<RawValue>>, Fault> {
        let limit = self.limits.tool;
        let listed = tokio::time::timeout(limit, self.pages(serving, server)).await;
        listed.unwrap_or(Err(Fault::Silent(limit.as_secs())))
    }

    async fn pages(&self, serving: &Serving, server: &Server) -> Result<Vec<Box<RawValue>>, Fault> {
        let (mut tools, mut cursor) = (vec![], None::<String>);
        let (mut names, mut left) = (BTreeSet::new(), TOOL_ANSWER_BYTES_MAX);
        for _ in 0..TOOL_PAGES_MAX {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let params = to_raw_value(&params).expect("plain data");
            let page = self.ask(&serving.calls, server, "tools/list", &params).await?;
            let page: Page = serde_json::from_str(page.get()).map_err(|_| Fault::Garbled)?;
            for tool in page.tools.0 {
                let described = serde_json::from_str::<wire::Described<'_>>(tool.get());
                let Ok(wire::Described { name }) = described else { continue };
                if server.tools.contains_key(&*name) && names.insert(name.into_owned()) {
                    left = left.checked_sub(tool.get().len()).ok_or(Fault::TooLong)?;
                    tools.push(tool);
                }
            }
            cursor = page.next_cursor.filter(|cursor| cursor.len() <= HEADER_VALUE_BYTES_MAX);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// What a tool returns.
    pub(super) async fn call(
        &self,
        serving: &Serving,
        server: &Server,
        tool: &str,
        arguments: &RawValue,
    ) -> Result<Box<RawValue>, Fault> {
        let params = wire::Calling { name: tool.into(), arguments: Some(arguments) };
        let params = to_raw_value(&params).expect("plain data");
        let result = self.ask(&serving.calls, server, "tools/call", &params).await?;
        if result.get().starts_with('{') { Ok(result) } else { Err(Fault::Garbled) }
    }

    /// Asks, in the session of the dispatch; in a new one if the server forgot it.
    async fn ask(
        &self,
        calls: &Calls,
        server: &Server,
        method: &str,
        params: &RawValue,
    ) -> Result<Box<RawValue>, Fault> {
        let limit = self.limits.tool;
        let asked = async {
            let session = calls.session(&server.name);
            match self.within(&session, server, method, params).await {
                Err(Fault::Gone) => {
                    calls.forget(&server.name, &session);
                    self.within(&calls.session(&server.name), server, method, params).await
                }
                answered => answered,
            }
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(Fault::Silent(limit.as_secs())))
    }

    async fn within(
        &self,
        session: &Arc<OnceCell<Session>>,
        server: &Server,
        method: &str,
        params: &RawValue,
    ) -> Result<Box<RawValue>, Fault> {
        let session = session.get_or_try_init(|| self.begin(server)).await?;
        let message = wire::request(2, method, params);
        let answer = self.post(server, Some(session), message).await?;
        self.answer(server, answer, 2).await
    }

    /// Begins a session.
    async fn begin(&self, server: &Server) -> Result<Session, Fault> {
        let params = json!({
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "remit", "version": env!("CARGO_PKG_VERSION")},
        });
        let params = to_raw_value(&params).expect("plain data");
        let hello = wire::request(1, "initialize", &params);
        let answer = self.post(server, None, hello).await?;
        let id = answer.headers().get("mcp-session-id").cloned();
        let id = id.filter(|id| id.len() <= HEADER_VALUE_BYTES_MAX);
        let welcome = self.answer(server, answer, 1).await?;
        let welcome: Welcome = serde_json::from_str(welcome.get()).map_err(|_| Fault::Garbled)?;
        let version =
            Some(welcome.protocol_version).filter(|it| it.len() <= HEADER_VALUE_BYTES_MAX);
        let version = version.and_then(|version| HeaderValue::from_str(&version).ok());
        let session = Session { id, version: version.ok_or(Fault::Garbled)? };
        let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let taken = self.post(server, Some(&session), begun.to_string()).await?;
        if taken.status().is_success() { Ok(session) } else { Err(refused(taken.status())) }
    }

    async fn post(
        &self,
        server: &Server,
        session: Option<&Session>,
        message: String,
    ) -> Result<reqwest::Response, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, accept);
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(server.credential());
        if let Some(session) = session {
            let version = HeaderName::from_static("mcp-protocol-version");
            headers.insert(version, session.version.clone());
            let id = session.id.clone();
            headers.extend(id.map(|id| (HeaderName::from_static("mcp-session-id"), id)));
        }
        let request = self.client.post(server.url.clone()).headers(headers);
        let sent = request.body(message).send().await;
        let answer = sent.map_err(|error| {
            Fault::Unreachable(if error.is_connect() {
                "connecting failed, its name was not found, or its certificate is not trusted"
            } else {
                "it closed the connection or did not answer in HTTP"
            })
        })?;
        if answer.status() == StatusCode::NOT_FOUND && session.is_some_and(|it| it.id.is_some()) {
            return Err(Fault::Gone);
        }
        Ok(answer)
    }

    /// The result in an answer, which is one message or a stream of events that holds it.
    async fn answer(
        &self,
        server: &Server,
        answer: reqwest::Response,
        id: u64,
    ) -> Result<Box<RawValue>, Fault> {
        if !answer.status().is_success() {
            return Err(refused(answer.status()));
        }
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let streams = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut from = answer.bytes_stream();
        let (mut whole, mut events, mut left) =
            (BytesMut::new(), Events::default(), TOOL_ANSWER_BYTES_MAX);
        while let Some(bytes) = from.next().await {
            let why = "it broke its answer off";
            let bytes = bytes.map_err(|_| Fault::Unreachable(why))?;
            left = left.checked_sub(bytes.len()).ok_or(Fault::TooLong)?;
            if !streams {
                whole.extend_from_slice(&bytes);
                continue;
            }
            for heard in events.push(&bytes).map_err(|_| Fault::Garbled)? {
                if let Heard::Data(data) = heard
                    && let Some(result) = result(server, data.into(), id)?
                {
                    return Ok(result);
                }
            }
        }
        let last = match events.rest() {
            Some(Heard::Data(data)) if streams => data.into(),
            _ => whole.freeze(),
        };
        result(server, last, id)?.ok_or(Fault::Garbled)
    }
}

/// The result in a message, if it answers the request with this id; the key is not in it.
fn result(server: &Server, message: Bytes, id: u64) -> Result<Option<Box<RawValue>>, Fault> {
    let mut redactor = Redactor::new(server.key.as_ref());
    let mut clean = BytesMut::from(redactor.pass(message));
    clean.extend_from_slice(&redactor.rest());
    let message: Message<'_> = serde_json::from_slice(&clean).map_err(|_| Fault::Garbled)?;
    let ours = message.id.is_some_and(|it| it.get() == id.to_string());
    if message.method.is_some() || !ours {
        return Ok(None); // it tells of its progress, or asks what nobody here answers
    }
    if let Some(error) = message.error {
        let message = error.message.chars().take(REASON_CHARS_MAX).collect();
        return Err(Fault::Stated { code: error.code, message });
    }
    Ok(message.result.map(RawValue::to_owned))
}

fn refused(status: StatusCode) -> Fault {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Key(status.as_u16()),
        status => Fault::Status(status.as_u16()),
    }
}
