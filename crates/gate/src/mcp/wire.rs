//! The messages of the Model Context Protocol as far as they are looked at: JSON-RPC, one at a time.
//! What is passed on is passed on as it came.

use std::borrow::Cow;

use bytes::Bytes;
use engine::json_rpc::Message;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::talk::Few;

/// The versions of the protocol that are spoken here, newest first.
const VERSIONS: &[&str] = &["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The longest id of a request, in bytes.
const ID_BYTES_MAX: usize = 256;

/// The id of a message, if an answer can carry it.
pub(super) fn usable_id<'a>(message: &Message<'a>) -> Option<&'a RawValue> {
    let id = message.id?;
    let plain =
        id.get().starts_with(['"', '-']) || id.get().starts_with(|c: char| c.is_ascii_digit());
    (plain && id.get().len() <= ID_BYTES_MAX).then_some(id)
}

/// What an agent says when it begins.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hello<'a> {
    #[serde(borrow)]
    protocol_version: Cow<'a, str>,
}

impl Hello<'_> {
    /// The version that is spoken with it: its own, if that is known here.
    pub(super) fn version(&self) -> &'static str {
        let known = VERSIONS.iter().find(|version| **version == self.protocol_version);
        known.copied().unwrap_or(VERSIONS[0])
    }
}

/// A tool is called.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Calling<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// One page of a list of tools.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) tools: Few<Box<RawValue>, { crate::limit::TOOLS_LISTED_MAX }>,
    pub(super) next_cursor: Option<String>,
}

/// What of a tool's description is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Described<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
}

/// What of a tool's result is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Returned {
    pub(super) is_error: bool,
}

#[derive(Serialize)]
struct Requested<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a RawValue,
}

#[derive(Serialize)]
struct Answered<'a, R> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: R,
}

#[derive(Serialize)]
struct Failed<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: Value,
}

/// The tools of a server, as it describes them.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    pub(super) tools: Vec<&'a RawValue>,
}

/// A request of our own.
pub(super) fn request(id: u64, method: &str, params: &RawValue) -> String {
    let request = Requested { jsonrpc: "2.0", id, method, params };
    serde_json::to_string(&request).expect("plain data")
}

/// The answer to a request. What is raw in it goes as it came: it may be what no value of ours can hold.
pub(super) fn result(id: &RawValue, result: impl Serialize) -> Bytes {
    let answer = Answered { jsonrpc: "2.0", id, result };
    serde_json::to_vec(&answer).expect("plain data").into()
}

/// Why a request is not answered.
pub(super) fn error(id: Option<&RawValue>, code: i64, message: &str) -> Bytes {
    let answer = Failed { jsonrpc: "2.0", id, error: json!({"code": code, "message": message}) };
    serde_json::to_vec(&answer).expect("plain data").into()
}

/// A text that a tool returns.
pub(super) fn text(text: &str, failed: bool) -> Box<RawValue> {
    let result = json!({"content": [{"type": "text", "text": text}], "isError": failed});
    serde_json::value::to_raw_value(&result).expect("plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client or a server that sent it had seen "it broke off" instead of an answer.
    #[test]
    fn what_no_value_can_hold_is_passed_on_as_it_came() {
        let raw = |text: String| RawValue::from_string(text).expect("JSON");
        let id = raw("1e999".to_owned());
        let deep = raw(format!("{{\"in\":{}1{}}}", "[".repeat(200), "]".repeat(200)));
        let listed = result(&id, Listed { tools: vec![&deep] });
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1e999,"result":{{"tools":[{deep}]}}}}"#);
        assert_eq!(listed, expected.as_bytes());
        let refused = error(Some(&id), -32601, "no");
        assert!(refused.starts_with(br#"{"jsonrpc":"2.0","id":1e999,"error":{"#), "{refused:?}");
    }
}
