//! The Agent Client Protocol, version 1, from the agent's side: one conversation, one turn at a time.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use model::Mode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Config;
use crate::client::{Client, chunk, tool_call, tool_result};
use crate::mcp::Remote;
use crate::message::{Image, Message};
use crate::session::{Session, SessionError};
use crate::signal::{Signals, Steering};
use crate::tools::{Outcome, Tool};
use crate::turn::{Stop, Turn, TurnError};

/// The longest message that is read.
const LINE_BYTES_MAX: u64 = model::limit::LINE_BYTES_MAX as u64;
/// The pictures of one prompt, the longest of them in base64, and what they may be.
const IMAGES_MAX: usize = 8;
const IMAGE_BYTES_MAX: usize = 4 << 20;
const IMAGE_MEDIA: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// The stack of the thread that runs a turn.
const STACK_BYTES: usize = 1 << 20;

/// What the driver of the agent sends.
#[derive(Debug, Deserialize)]
struct Incoming {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
}

/// A request is refused.
#[derive(Debug)]
struct Refusal {
    code: i64,
    message: String,
    /// What it was, for programs: `session` or `model`.
    kind: Option<&'static str>,
}

impl Refusal {
    fn new(code: i64, message: &str) -> Self {
        Self { code, message: message.to_owned(), kind: None }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self { code: -32010, message: error.to_string(), kind: Some("session") }
    }
}

impl From<TurnError> for Refusal {
    fn from(error: TurnError) -> Self {
        let kind = match &error {
            TurnError::Model(_) => "model",
            TurnError::Io(_) => "session",
        };
        Self { code: -32020, message: error.to_string(), kind: Some(kind) }
    }
}

/// The conversation, and whether a turn has it.
#[derive(Debug)]
enum Talk {
    None,
    Idle(Box<Idle>),
    Running { session: String, steering: Steering, turn: JoinHandle<Option<Box<Idle>>> },
}

/// What a turn takes with it and gives back.
#[derive(Debug)]
struct Idle {
    session: Session,
    cwd: PathBuf,
    allowed: BTreeSet<String>,
    remote: Remote,
    /// How much text the model is sent at most.
    room: usize,
}

/// Answers what is read until there is nothing more; then the running turn is stopped.
#[derive(Debug)]
pub(crate) struct Server {
    config: Arc<Config>,
    client: Arc<Client>,
    talk: Talk,
}

impl Server {
    pub(crate) fn new(config: Config, client: Client) -> Self {
        Self { config: Arc::new(config), client: Arc::new(client), talk: Talk::None }
    }

    /// Serves until the end of `input`, or until nothing can be said any more.
    pub(crate) fn serve(mut self, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let served = loop {
            line.clear();
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
            if let Err(error) = self.read(&line) {
                break Err(error);
            }
        };
        if let Talk::Running { steering, turn, .. } = self.talk {
            steering.cancel();
            turn.join().ok();
        }
        served
    }

    fn read(&mut self, line: &[u8]) -> io::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let incoming = match serde_json::from_slice::<Incoming>(line) {
            Ok(incoming) => incoming,
            Err(error) => {
                let refusal = Refusal::new(-32700, &format!("not a message: {error}"));
                return respond(&self.client, &Value::Null, Err(refusal));
            }
        };
        match (incoming.method.as_deref(), incoming.id) {
            (Some("session/prompt"), Some(id)) => {
                let begun = self.prompt(&id, &incoming.params);
                begun.or_else(|refusal| respond(&self.client, &id, Err(refusal)))
            }
            (Some(method), Some(id)) => {
                let answer = self.request(method, &incoming.params);
                respond(&self.client, &id, answer)
            }
            (Some("session/cancel"), None) => {
                if let Talk::Running { steering, .. } = &self.talk {
                    steering.cancel();
                }
                Ok(())
            }
            (Some(_), None) => Ok(()), // a notification that we do not know
            (None, Some(id)) => {
                self.answered(&id, &incoming.result);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value, Refusal> {
        match method {
            "initialize" => Ok(json!({
                "protocolVersion": 1,
                "agentCapabilities": {
                    "loadSession": true,
                    "mcpCapabilities": {"http": true, "sse": false},
                    "promptCapabilities": {"image": true, "audio": false, "embeddedContext": true},
                },
                "agentInfo": {"name": "remit", "version": env!("CARGO_PKG_VERSION")},
                "authMethods": [],
            })),
            "session/new" => self.open(params),
            "session/load" => self.load(params),
            _ => Err(Refusal::new(-32601, &format!("there is no method `{method}`"))),
        }
    }

    fn open(&mut self, params: &Value) -> Result<Value, Refusal> {
        self.must_be_free()?;
        let cwd = cwd_of(params)?;
        let id = self.config.session.clone().map_or_else(fresh_id, Ok)?;
        let session = Session::create(&self.config.sessions, &id)?;
        self.rest(session, cwd, params);
        Ok(json!({"sessionId": id}))
    }

    fn load(&mut self, params: &Value) -> Result<Value, Refusal> {
        self.must_be_free()?;
        let cwd = cwd_of(params)?;
        let id = params["sessionId"].as_str().unwrap_or_default();
        let session = Session::load(&self.config.sessions, id)?;
        replay(&self.client, &session, &cwd)
            .map_err(|error| Refusal::new(-32603, &error.to_string()))?;
        self.rest(session, cwd, params);
        Ok(json!({}))
    }

    /// The conversation waits for its first turn here.
    fn rest(&mut self, session: Session, cwd: PathBuf, params: &Value) {
        let remote = Remote::read(&params["mcpServers"]);
        let (allowed, room) = (BTreeSet::new(), self.config.context_bytes_max);
        self.talk = Talk::Idle(Box::new(Idle { session, cwd, allowed, remote, room }));
    }

    fn must_be_free(&self) -> Result<(), Refusal> {
        match self.talk {
            Talk::None => Ok(()),
            Talk::Idle(_) | Talk::Running { .. } => {
                Err(Refusal::new(-32600, "this process has its conversation already"))
            }
        }
    }

    /// Begins a turn on a thread of its own, which answers the request.
    fn prompt(&mut self, id: &Value, params: &Value) -> Result<(), Refusal> {
        let prompt = text_of(&params["prompt"]);
        let images = images_of(&params["prompt"])?;
        let mut idle = self.take_idle(params["sessionId"].as_str().unwrap_or_default())?;
        let (signals, steering) = Signals::new();
        let session = idle.session.id.clone();
        let (config, client) = (Arc::clone(&self.config), Arc::clone(&self.client));
        let (id, over) = (id.clone(), steering.clone());
        let run = move || {
            let Idle { session, cwd, allowed, remote, room } = &mut *idle;
            let (config, client) = (&*config, &*client);
            let turn =
                Turn { config, client, session, cwd, signals, allowed, remote, room, images };
            let ended = catch_unwind(AssertUnwindSafe(|| turn.run(prompt)));
            let sound = ended.is_ok();
            let answer = ended.map_or_else(
                |panic| Err(panicked(&*panic)),
                |ended| {
                    ended.map(|stop| json!({"stopReason": reason(stop)})).map_err(Refusal::from)
                },
            );
            over.end();
            respond(client, &id, answer).ok();
            sound.then_some(idle)
        };
        let thread = thread::Builder::new().name("turn".to_owned()).stack_size(STACK_BYTES);
        let turn = thread.spawn(run).map_err(|error| Refusal::new(-32603, &error.to_string()))?;
        self.talk = Talk::Running { session, steering, turn };
        Ok(())
    }

    /// The conversation, if it is this one and no turn is running.
    fn take_idle(&mut self, session: &str) -> Result<Box<Idle>, Refusal> {
        match std::mem::replace(&mut self.talk, Talk::None) {
            Talk::Idle(idle) if idle.session.id == session => Ok(idle),
            Talk::Running { session: id, steering, turn } if id == session => {
                if !steering.is_over() {
                    self.talk = Talk::Running { session: id, steering, turn };
                    return Err(Refusal::new(-32600, "a turn is running; cancel it first"));
                }
                let gone = || Refusal::new(-32603, "the turn before broke the conversation");
                turn.join().ok().flatten().ok_or_else(gone)
            }
            other => {
                self.talk = other;
                Err(Refusal::new(-32602, "there is no such session; open or load it first"))
            }
        }
    }

    fn answered(&self, id: &Value, result: &Value) {
        if let (Talk::Running { steering, .. }, Some(id)) = (&self.talk, id.as_str()) {
            let option = result["outcome"]["optionId"].as_str().map(str::to_owned);
            steering.answer(id.to_owned(), option);
        }
    }
}

fn respond(client: &Client, id: &Value, answer: Result<Value, Refusal>) -> io::Result<()> {
    client.send(&match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(Refusal { code, message, kind }) => {
            let mut error = json!({"code": code, "message": message});
            if let Some(kind) = kind {
                error["data"] = json!({"kind": kind});
            }
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    })
}

/// The folder in which the agent works.
fn cwd_of(params: &Value) -> Result<PathBuf, Refusal> {
    let cwd = params["cwd"].as_str().map(PathBuf::from).filter(|cwd| cwd.is_absolute());
    cwd.ok_or_else(|| Refusal::new(-32602, "`cwd` must be an absolute path"))
}

/// Says again what was said before.
fn replay(client: &Client, session: &Session, cwd: &Path) -> io::Result<()> {
    let say = |update: &Value| client.update(&session.id, update);
    for message in session.messages() {
        match message {
            Message::System { .. } | Message::Summary { .. } => {}
            Message::User { content } => say(&chunk("user_message_chunk", content))?,
            Message::Assistant { content, tool_calls } => {
                if let Some(content) = content {
                    say(&chunk("agent_message_chunk", content))?;
                }
                for call in tool_calls {
                    let tool = Tool::read(&call.function, Mode::ReadWrite, &Remote::default()).ok();
                    say(&tool_call(call, tool.as_ref(), cwd))?;
                }
            }
            Message::Tool { tool_call_id, content } => {
                let outcome = Outcome { text: content.clone(), ..Outcome::default() };
                say(&tool_result(tool_call_id, &outcome))?;
            }
        }
    }
    Ok(())
}

/// The text of a prompt: its blocks, one below the other.
fn text_of(blocks: &Value) -> String {
    let text = |block: &Value| {
        let text = block["text"].as_str().or_else(|| block["resource"]["text"].as_str());
        text.or_else(|| block["uri"].as_str()).map(str::to_owned)
    };
    blocks.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>().join("\n")
}

/// The pictures of a prompt; what cannot be shown to any model is refused.
fn images_of(blocks: &Value) -> Result<Vec<Image>, Refusal> {
    let blocks = blocks.as_array().into_iter().flatten();
    let images: Vec<_> = blocks
        .filter(|block| block["type"] == "image")
        .map(|block| Image {
            media: block["mimeType"].as_str().unwrap_or_default().to_owned(),
            data: block["data"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    let refused = |why: &str| Err(Refusal::new(-32602, why));
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if images.len() > IMAGES_MAX {
        return refused("a prompt has at most 8 pictures");
    }
    for Image { media, data } in &images {
        if !IMAGE_MEDIA.contains(&media.as_str()) {
            return refused("a picture must be image/png, image/jpeg, image/gif or image/webp");
        }
        if data.is_empty() || data.len() > IMAGE_BYTES_MAX || !data.bytes().all(base64) {
            return refused("a picture must be base64 of at most 3 MiB");
        }
    }
    Ok(images)
}

fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn => "end_turn",
        Stop::Cancelled => "cancelled",
        Stop::MaxTokens => "max_tokens",
        Stop::MaxTurnRequests => "max_turn_requests",
        Stop::Refusal => "refusal",
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Refusal {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Refusal::new(-32603, &format!("the agent broke: {}", text.unwrap_or_default()))
}

/// An id that nobody has had.
fn fresh_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| Refusal::new(-32603, &format!("no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
