//! What is said to Codex's `app-server`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Input;
use super::asks::{Answer, Ask};
use super::codex_message::Question;

/// The kind of the options of a question about a tool of a server, which is answered in words of its own.
const OF_A_SERVER: &str = "server";

/// The first request. It opts into no more than stopping what a command left running.
pub(super) fn initialize(id: u64) -> Value {
    let client = json!({"name": "remit", "title": null, "version": env!("CARGO_PKG_VERSION")});
    let params = json!({"clientInfo": client, "capabilities": {"experimentalApi": true}});
    json!({"id": id, "method": "initialize", "params": params})
}

/// How a conversation is opened.
#[derive(Debug)]
pub(super) struct Opening {
    /// The conversation that is to be taken up, as the agent calls it.
    pub(super) thread: String,
    pub(super) cwd: String,
    /// When it asks: its own word.
    pub(super) approvals: String,
    pub(super) model: String,
}

impl Opening {
    /// Begins a conversation.
    pub(super) fn start(&self, id: u64) -> Vec<u8> {
        opened(id, "thread/start", &self.params())
    }

    /// Takes a conversation up again, without its history.
    pub(super) fn resume(&self, id: u64) -> Vec<u8> {
        let mut params = self.params();
        params["threadId"] = json!(self.thread);
        params["excludeTurns"] = json!(true);
        opened(id, "thread/resume", &params)
    }

    /// What counts for a conversation whatever it began with. Its own sandbox is off: it stands in ours.
    fn params(&self) -> Value {
        json!({
            "cwd": self.cwd,
            "model": self.model,
            "approvalPolicy": self.approvals,
            "approvalsReviewer": "user",
            "sandbox": "danger-full-access",
        })
    }
}

/// The end of the handshake, and the conversation with it.
fn opened(id: u64, method: &str, params: &Value) -> Vec<u8> {
    let begun = json!({"method": "initialized"});
    let open = json!({"id": id, "method": method, "params": params});
    format!("{begun}\n{open}\n").into_bytes()
}

/// Says something.
pub(super) fn prompt(id: u64, thread: &str, prompt: &str) -> Value {
    let params = json!({"threadId": thread, "input": [{"type": "text", "text": prompt}]});
    json!({"id": id, "method": "turn/start", "params": params})
}

/// Stops the turn, and before it what its commands run: they would go on without it.
pub(super) fn stop(number: u32, thread: &str, turn: &str) -> Vec<u8> {
    let clean = json!({
        "id": format!("clean-{number}"),
        "method": "thread/backgroundTerminals/clean",
        "params": {"threadId": thread},
    });
    let stop = json!({
        "id": format!("stop-{number}"),
        "method": "turn/interrupt",
        "params": {"threadId": thread, "turnId": turn},
    });
    format!("{clean}\n{stop}\n").into_bytes()
}

/// A question as it waits for its answer.
pub(super) fn open(input: u64, id: &Value, question: &Question<'_>) -> Ask {
    let options = ["allow_once", "reject_once"];
    let kind = |option| if question.is_of_a_server() { OF_A_SERVER } else { option };
    Ask {
        input,
        request: id.to_string(),
        options: options.map(|option| (option.to_owned(), kind(option).to_owned())).to_vec(),
        answer: None,
    }
}

/// The input that answers a question.
pub(super) fn answer(ask: &Ask) -> Input {
    let answer = match &ask.answer {
        Some(Answer::Option(option)) if option == "allow_once" => "accept",
        Some(Answer::Option(_) | Answer::Refused) => "decline",
        Some(Answer::Cancelled) | None => "cancel",
    };
    let result = if ask.options.iter().any(|(_, kind)| kind == OF_A_SERVER) {
        let content = (answer == "accept").then(|| json!({}));
        json!({"action": answer, "content": content})
    } else {
        json!({"decision": answer})
    };
    let id = serde_json::from_str::<Value>(&ask.request).unwrap_or_default();
    Input::line(ask.input, &json!({"id": id, "result": result}))
}

/// A question needs no answer any more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resolved {
    request_id: Value,
}

impl Resolved {
    /// The id of its request, as it is kept.
    pub(super) fn request(&self) -> String {
        self.request_id.to_string()
    }
}
