//! Tools of servers behind the gate (MCP): asked for with the first turn of a process, and called as
//! the model wants. Speaks of the protocol what tools need, and knows no session.

use std::io::{self, Read};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::Described;
use crate::http::{Answer, Origin};
use crate::signal::{Deadline, Signal, Signals, Waited, spawn};
use crate::tools::{Outcome, RESULT_BYTES_MAX, cut};

/// The most servers of one conversation.
const SERVERS_MAX: usize = 16;
/// The most tools of all of them.
const TOOLS_MAX: usize = 128;
/// The longest name of a tool as the model knows it.
const NAME_BYTES_MAX: usize = 64;
/// The longest description, and the longest schema, of a tool.
const ABOUT_BYTES_MAX: usize = 2 << 10;
const SCHEMA_BYTES_MAX: usize = 16 << 10;
/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// How long an answer may take: the gate is less patient.
const PATIENCE: Duration = Duration::from_mins(3);

/// The servers of a conversation, and their tools once they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    servers: Vec<Server>,
    tools: Vec<RemoteTool>,
    asked: bool,
}

#[derive(Debug)]
struct Server {
    name: String,
    origin: Origin,
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteTool {
    /// As the model is told of it.
    pub(crate) described: Described,
    /// For people, as `knowledge.search`.
    pub(crate) shown: String,
    /// Whether its server says that it changes nothing.
    pub(crate) reads: bool,
    server: usize,
    name: String,
}

/// A server gave no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Cancelled,
    Why(String),
}

#[derive(Debug, Deserialize)]
struct Message {
    result: Option<Value>,
    error: Option<Stated>,
}

#[derive(Debug, Deserialize)]
struct Stated {
    message: String,
}

impl Remote {
    /// The servers that a conversation was begun with; those over plain HTTP, as the gate's are.
    pub(crate) fn read(servers: &Value) -> Self {
        let http = |server: &Value| {
            let name = server["name"].as_str()?;
            let origin = Origin::read(server["url"].as_str()?)?;
            Some(Server { name: name.to_owned(), origin })
        };
        let servers = servers.as_array().into_iter().flatten().filter_map(http);
        Self { servers: servers.take(SERVERS_MAX).collect(), ..Self::default() }
    }

    /// All tools.
    pub(crate) fn tools(&self) -> &[RemoteTool] {
        &self.tools
    }

    /// The tool that the model knows by this name.
    pub(crate) fn find(&self, name: &str) -> Option<&RemoteTool> {
        self.tools.iter().find(|tool| tool.described.name == name)
    }

    /// Asks every server for its tools, once; what went wrong, for people.
    pub(crate) fn prepare(&mut self, signals: &Signals) -> Vec<String> {
        if self.asked {
            return vec![];
        }
        self.asked = true;
        let mut wrong = vec![];
        for at in 0..self.servers.len() {
            match self.list(at, signals) {
                Ok(tools) => tools.iter().for_each(|tool| self.add(at, tool)),
                Err(NoAnswer::Cancelled) => {
                    self.asked = false;
                    return wrong;
                }
                Err(NoAnswer::Why(why)) => {
                    let name = &self.servers[at].name;
                    wrong.push(format!("The tools of {name} cannot be had: {why}"));
                }
            }
        }
        wrong
    }

    fn list(&self, server: usize, signals: &Signals) -> Result<Vec<Value>, NoAnswer> {
        let origin = &self.servers[server].origin;
        let client = json!({"name": "remit", "version": env!("CARGO_PKG_VERSION")});
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        ask(origin, "initialize", &hello, signals)?;
        let mut list = ask(origin, "tools/list", &json!({}), signals)?;
        match list["tools"].take() {
            Value::Array(tools) => Ok(tools),
            _ => Err(NoAnswer::Why("it lists none".to_owned())),
        }
    }

    fn add(&mut self, server: usize, tool: &Value) {
        let Some(name) = tool["name"].as_str() else { return };
        let known = format!("{}__{name}", self.servers[server].name);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
        let known: String = known.chars().map(plain).take(NAME_BYTES_MAX).collect();
        if self.tools.len() == TOOLS_MAX || self.find(&known).is_some() {
            return;
        }
        let schema = &tool["inputSchema"];
        let fits = schema.is_object() && schema.to_string().len() <= SCHEMA_BYTES_MAX;
        let schema = if fits { schema.clone() } else { json!({"type": "object"}) };
        let about = cut(tool["description"].as_str().unwrap_or_default(), ABOUT_BYTES_MAX);
        self.tools.push(RemoteTool {
            described: Described { name: known, about, schema },
            shown: format!("{}.{name}", self.servers[server].name),
            reads: tool["annotations"]["readOnlyHint"] == true,
            server,
            name: name.to_owned(),
        });
    }

    /// Calls a tool.
    pub(crate) fn call(&self, tool: &RemoteTool, arguments: &Value, signals: &Signals) -> Outcome {
        let params = json!({"name": tool.name, "arguments": arguments});
        match ask(&self.servers[tool.server].origin, "tools/call", &params, signals) {
            Ok(result) => {
                let text = cut(&text_of(&result), RESULT_BYTES_MAX);
                Outcome { text, failed: result["isError"] == true, ..Outcome::default() }
            }
            Err(NoAnswer::Cancelled) => Outcome::cancelled("[stopped; it may have been done]"),
            Err(NoAnswer::Why(why)) => Outcome::failed(why),
        }
    }
}

/// What a tool returned, as a text.
fn text_of(result: &Value) -> String {
    let part = |part: &Value| match part["type"].as_str() {
        Some("text") => part["text"].as_str().unwrap_or_default().to_owned(),
        Some("resource") => part["resource"]["text"].as_str().unwrap_or("[a resource]").to_owned(),
        Some(other) => format!("[{other}]"),
        None => String::new(),
    };
    let parts: Vec<_> = result["content"].as_array().into_iter().flatten().map(part).collect();
    if parts.is_empty() && !result["structuredContent"].is_null() {
        return result["structuredContent"].to_string();
    }
    if parts.is_empty() { "[nothing]".to_owned() } else { parts.join("\n") }
}

fn ask(
    origin: &Origin,
    method: &str,
    params: &Value,
    signals: &Signals,
) -> Result<Value, NoAnswer> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let fetched = fetch(origin, body, signals)?;
    let message: Message = serde_json::from_slice(&fetched)
        .map_err(|error| NoAnswer::Why(format!("its answer cannot be read: {error}")))?;
    match (message.result, message.error) {
        (_, Some(stated)) => Err(NoAnswer::Why(stated.message)),
        (Some(result), None) => Ok(result),
        (None, None) => Err(NoAnswer::Why("it gave no result".to_owned())),
    }
}

/// Posts on a thread, so that a stop breaks it off.
fn fetch(origin: &Origin, body: String, signals: &Signals) -> Result<Vec<u8>, NoAnswer> {
    let broken = |error: io::Error| NoAnswer::Why(format!("it cannot be reached: {error}"));
    let connection = origin.connect().map_err(broken)?;
    let breaker = connection.breaker().map_err(broken)?;
    let (origin, sender, run) = (origin.clone(), signals.sender(), signals.next_run());
    let post = move || {
        let fetched = origin.post(connection, "", body.as_bytes()).and_then(whole);
        sender.send(Signal::Fetched { run, fetched }).ok();
    };
    spawn("tools", post).map_err(broken)?;
    let deadline = Deadline::after(PATIENCE);
    loop {
        match signals.next(deadline) {
            Ok(Signal::Fetched { run: of, fetched }) if of == run => {
                return fetched.map_err(broken)?.map_err(NoAnswer::Why);
            }
            Ok(_) => {} // late, from something that is over
            Err(waited) => {
                breaker.break_off();
                return Err(match waited {
                    Waited::Cancelled => NoAnswer::Cancelled,
                    Waited::TimedOut => NoAnswer::Why("it did not answer in time".to_owned()),
                });
            }
        }
    }
}

/// The body of a good answer.
fn whole(answer: Answer) -> io::Result<Result<Vec<u8>, String>> {
    let status = answer.status;
    let mut body = Vec::new();
    answer.into_body().take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
    Ok(if status == 200 { Ok(body) } else { Err(format!("it answered with status {status}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_every_dialect_and_are_not_doubled() {
        let servers = json!([{"type": "http", "name": "a-b", "url": "http://127.0.0.1:1/mcp/a-b"}]);
        let mut remote = Remote::read(&servers);
        let long = "x".repeat(100);
        for name in ["get.one", "get/one", &long] {
            remote.add(0, &json!({"name": name, "inputSchema": 7}));
        }
        let names: Vec<_> = remote.tools().iter().map(|it| it.described.name.as_str()).collect();
        assert_eq!(names, ["a-b__get_one", &format!("a-b__{}", "x".repeat(59))]);
        assert_eq!(remote.tools()[0].described.schema, json!({"type": "object"}));
        assert_eq!(remote.tools()[0].shown, "a-b.get.one");
    }

    #[test]
    fn a_result_is_a_text_whatever_it_is_made_of() {
        let parts = json!({"content": [{"type": "text", "text": "a"}, {"type": "image"}, 7]});
        assert_eq!(text_of(&parts), "a\n[image]\n");
        assert_eq!(text_of(&json!({"structuredContent": {"n": 1}})), "{\"n\":1}");
        assert_eq!(text_of(&json!(7)), "[nothing]");
    }
}
