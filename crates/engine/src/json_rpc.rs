//! JSON-RPC as agents and servers of tools speak it: one message, of which nothing is copied.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Anything that the other side sends: a request, a notification, or the answer to a request.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// What its answer carries, or whose answer it is.
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    /// What is asked for or told; absent in an answer.
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    /// With what.
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    /// What came of a request.
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    /// Why nothing came of it.
    #[serde(borrow)]
    pub error: Option<RpcError<'a>>,
}

impl<'a> Message<'a> {
    /// What it answers to a request.
    pub fn answer(&self) -> Result<&'a str, &RpcError<'a>> {
        match (&self.error, self.result) {
            (Some(error), _) => Err(error),
            (None, result) => Ok(result.map_or("null", RawValue::get)),
        }
    }
}

/// Why the other side does not do what it was asked for.
#[derive(Debug, Deserialize)]
pub struct RpcError<'a> {
    /// Which kind of error.
    #[serde(default)]
    pub code: i64,
    /// The error in words.
    #[serde(borrow, default)]
    pub message: Cow<'a, str>,
    /// What else is said about it.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}
