//! What is said to an agent in the Agent Client Protocol.

use serde_json::{Value, json};

use super::Input;
use super::asks::{Answer, Ask};

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The first request. It offers the agent nothing.
pub(super) fn initialize(id: u64) -> Value {
    let params = json!({
        "protocolVersion": 1,
        "clientCapabilities": {
            "fs": {"readTextFile": false, "writeTextFile": false},
            "terminal": false,
        },
        "clientInfo": {"name": "remit", "version": env!("CARGO_PKG_VERSION")},
    });
    request(id, "initialize", &params)
}

/// Begins a conversation.
pub(super) fn new(id: u64, cwd: &str, servers: &Value) -> Value {
    request(id, "session/new", &json!({"cwd": cwd, "mcpServers": servers}))
}

/// Takes a conversation up again.
pub(super) fn load(id: u64, session: &str, cwd: &str, servers: &Value) -> Value {
    let params = json!({"sessionId": session, "cwd": cwd, "mcpServers": servers});
    request(id, "session/load", &params)
}

/// Says something.
pub(super) fn prompt(id: u64, session: &str, prompt: &str) -> Value {
    let params = json!({"sessionId": session, "prompt": [{"type": "text", "text": prompt}]});
    request(id, "session/prompt", &params)
}

/// Stops the turn.
pub(super) fn cancel(session: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}})
}

/// The input that answers a question.
pub(super) fn answer(ask: &Ask) -> Input {
    let refusal = || ask.options.iter().find(|(_, kind)| kind.starts_with("reject"));
    let option = match &ask.answer {
        Some(Answer::Option(option)) => Some(option),
        Some(Answer::Refused) => refusal().map(|(option, _)| option),
        Some(Answer::Cancelled) | None => None,
    };
    let outcome = match option {
        Some(option) => json!({"outcome": "selected", "optionId": option}),
        None => json!({"outcome": "cancelled"}),
    };
    let id = serde_json::from_str::<Value>(&ask.request).unwrap_or_default();
    let message = json!({"jsonrpc": "2.0", "id": id, "result": {"outcome": outcome}});
    Input::line(ask.input, &message)
}
