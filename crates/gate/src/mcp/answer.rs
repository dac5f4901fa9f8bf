//! Answers an agent that speaks MCP over Streamable HTTP: one message, one answer, no session. What a
//! dispatch was not given does not exist for it. Never breaks off because its caller hangs up: a call
//! that was made is told.

use std::sync::Arc;

use bytes::Bytes;
use engine::json_rpc::Message;
use engine::task::TaskKind;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use model::ServerName;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::call::{self, Called};
use super::wire::{self, Calling, Hello};
use super::{Found, callable, own};
use crate::broker::Serving;
use crate::intake;
use crate::limit::{Limits, TOOL_REQUEST_BYTES_MAX};
use crate::refusal::{Refusal, whole_json};
use crate::relay::Body;

const INVALID: i64 = -32600;
const UNKNOWN_METHOD: i64 = -32601;
const BAD_PARAMS: i64 = -32602;
const UNREADABLE: i64 = -32700;
/// The server behind the gate gives no answer.
const UNANSWERED: i64 = -32000;

/// The server of tools that a caller asks, and what it may call of it.
pub(super) struct Asked<'a> {
    pub(super) serving: &'a Arc<Serving>,
    pub(super) name: ServerName,
    pub(super) found: Found<'a>,
    pub(super) callable: Vec<String>,
}

/// Answers one request to the server of tools of this name.
pub(crate) async fn answer(
    serving: &Arc<Serving>,
    name: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    Asked::of(serving, name)?;
    let limits = Limits {
        body_bytes_max: serving.limits.body_bytes_max.min(TOOL_REQUEST_BYTES_MAX),
        ..serving.limits.clone()
    };
    let body = intake::take(request.into_body(), &serving.room, &limits).await?;
    let (sender, answered) = oneshot::channel();
    let (serving, name) = (Arc::clone(serving), name.to_owned());
    serving.tasks.clone().spawn(TaskKind::Connection, "tools", async move {
        let answer = match Asked::of(&serving, &name) {
            Ok(asked) => Ok(asked.message(&body.bytes).await),
            Err(refusal) => Err(refusal),
        };
        // Who hung up wants no answer.
        drop(sender.send(answer));
    });
    // It is dropped unsent where the task panicked, or the program comes to its end.
    let answer = answered.await.unwrap_or(Ok(Some(wire::error(None, UNANSWERED, "it broke off"))));
    Ok(answer?.map_or_else(accepted, |answer| whole_json(StatusCode::OK, answer)))
}

/// The answer to what needs none.
fn accepted() -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

impl<'a> Asked<'a> {
    fn of(serving: &'a Arc<Serving>, name: &str) -> Result<Self, Refusal> {
        let nothing = || Refusal::NoTools(name.chars().take(64).collect());
        let servers = serving.servers();
        let found = servers.find(name).ok_or_else(nothing)?;
        let told = servers.told().into_iter().find(|told| told.name.as_str() == name);
        let told = told.ok_or_else(nothing)?;
        let callable = callable(&told, &serving.caller);
        if callable.is_empty() {
            Err(nothing())
        } else {
            Ok(Self { serving, name: told.name, found, callable })
        }
    }

    async fn message(&self, body: &[u8]) -> Option<Bytes> {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
            let why = "send one JSON-RPC message; lists of them are not read";
            return Some(wire::error(None, UNREADABLE, why));
        };
        let Some(method) = message.method.as_deref() else {
            return None; // an answer, though nothing is asked of an agent
        };
        message.id?;
        let Some(id) = wire::usable_id(&message) else {
            return Some(wire::error(None, INVALID, "the id must be a number or a short text"));
        };
        let params = message.params.map_or("{}", RawValue::get);
        Some(match method {
            "initialize" => self.hello(id, params),
            "ping" => wire::result(id, json!({})),
            "tools/list" => self.list(id).await,
            "tools/call" => self.call(id, params).await,
            _ => wire::error(Some(id), UNKNOWN_METHOD, "this server has tools and nothing else"),
        })
    }

    fn hello(&self, id: &RawValue, params: &str) -> Bytes {
        let version = serde_json::from_str::<Hello<'_>>(params).unwrap_or_default().version();
        let hello = json!({
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": self.name.as_str(), "version": env!("CARGO_PKG_VERSION")},
        });
        wire::result(id, hello)
    }

    async fn list(&self, id: &RawValue) -> Bytes {
        let tools = match &self.found {
            Found::Own(_) => Ok(own::described()),
            Found::Outside(outside, server) => match self.serving.calls.begin().await {
                Ok(_place) => outside.tools(self.serving, server).await,
                Err(why) => return wire::error(Some(id), UNANSWERED, &why.to_string()),
            },
        };
        match tools {
            Ok(tools) => {
                let tools = tools.iter().map(Box::as_ref).filter(|tool| self.lists(tool));
                wire::result(id, wire::Listed { tools: tools.collect() })
            }
            Err(fault) => {
                self.tell(&fault).await;
                wire::error(Some(id), UNANSWERED, &fault.told(self.name.as_str()))
            }
        }
    }

    /// Whether a tool that a server describes may be called, so that only those are seen.
    fn lists(&self, tool: &RawValue) -> bool {
        let described = serde_json::from_str::<wire::Described<'_>>(tool.get());
        described.is_ok_and(|tool| self.may(&tool.name))
    }

    pub(super) fn may(&self, tool: &str) -> bool {
        self.callable.iter().any(|callable| callable == tool)
    }

    async fn call(&self, id: &RawValue, params: &str) -> Bytes {
        let Ok(calling) = serde_json::from_str::<Calling<'_>>(params) else {
            return wire::error(
                Some(id),
                BAD_PARAMS,
                "name a tool, and its arguments as an object",
            );
        };
        match call::call(self, &calling).await {
            Called::Returned(result) => wire::result(id, &result),
            Called::Unknown(why) => wire::error(Some(id), BAD_PARAMS, &why),
            Called::Stated { code, message } => wire::error(Some(id), code, &message),
        }
    }

    /// Tells people of what they can do something about.
    pub(super) async fn tell(&self, fault: &super::outside::Fault) {
        if fault.concerns_people() {
            self.serving.tell(&fault.told(self.name.as_str())).await;
        }
    }
}
