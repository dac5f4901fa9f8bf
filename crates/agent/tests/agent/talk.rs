//! An agent that runs on threads of the test, and who drives it.

use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Write, pipe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use agent::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SESSION: &str = "0190-test";
/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_mins(3);

/// What comes next, which must come in time.
pub(crate) fn soon<T>(what: &str, from: &Receiver<T>) -> T {
    let came = from.recv_timeout(DEADLINE);
    assert!(came.is_ok(), "waited in vain for {what}: {:?}", came.err());
    came.expect("checked just now")
}

/// Folders that outlive an agent.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(TempDir::new().expect("a temporary folder"));
        fs::create_dir(home.workspace()).expect("a fresh folder");
        fs::create_dir(home.sessions()).expect("a fresh folder");
        home
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.0.path().join("workspace")
    }

    pub(crate) fn sessions(&self) -> PathBuf {
        self.0.path().join("session")
    }

    pub(crate) fn session_file(&self) -> PathBuf {
        self.sessions().join(format!("{SESSION}.jsonl"))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.workspace().join(path)).expect("the file is there")
    }

    /// Starts an agent; `settings` are variables beside those it always has.
    pub(crate) fn start(&self, url: &str, settings: &[(&str, &str)]) -> Talk {
        let sessions = self.sessions().display().to_string();
        let config = Config::read(|name| match name {
            "REMIT_GATE_URL" => Some(url.to_owned()),
            "REMIT_MODEL" => Some("scripted".to_owned()),
            "REMIT_SESSION" => Some(SESSION.to_owned()),
            "REMIT_SESSION_FOLDER" => Some(sessions.clone()),
            name => settings.iter().find(|(set, _)| *set == name).map(|(_, to)| (*to).to_owned()),
        });
        let (input, to) = pipe().expect("a pipe");
        let (from, output) = pipe().expect("a pipe");
        let config = config.expect("a good configuration");
        let run = move || agent::run(BufReader::new(input), output, config).expect("runs");
        let thread = thread::spawn(run);
        let (heard, from_agent) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(from).lines().map_while(Result::ok);
            // Ends with the agent, or when nobody listens any more.
            lines.map(|line| heard.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Talk { to: Some(to), from: from_agent, cwd: self.workspace(), thread: Some(thread) }
    }

    /// Starts an agent with a new conversation.
    pub(crate) fn begin(&self, url: &str) -> Talk {
        let mut talk = self.start(url, &[]);
        talk.open();
        talk
    }
}

/// Drives an agent.
#[derive(Debug)]
pub(crate) struct Talk {
    to: Option<PipeWriter>,
    /// Its lines.
    from: Receiver<String>,
    cwd: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            wait_until("the agent ends", || thread.is_finished());
        }
    }
}

/// A turn, from outside.
#[derive(Debug)]
pub(crate) struct Done {
    /// The answer to the prompt: `result` or `error`.
    pub(crate) answer: Value,
    /// The updates before it.
    pub(crate) updates: Vec<Value>,
}

impl Done {
    pub(crate) fn stop_reason(&self) -> &str {
        self.answer["result"]["stopReason"].as_str().unwrap_or("none")
    }

    /// What the agent said.
    pub(crate) fn text(&self) -> String {
        let said = |update: &&Value| update["sessionUpdate"] == "agent_message_chunk";
        let texts = self.updates.iter().filter(said);
        texts.filter_map(|update| update["content"]["text"].as_str()).collect()
    }

    /// What its tools returned.
    pub(crate) fn results(&self) -> Vec<(&str, &str)> {
        let ended = |update: &&Value| update["sessionUpdate"] == "tool_call_update";
        self.updates
            .iter()
            .filter(ended)
            .map(|update| {
                let text = update["content"][0]["content"]["text"].as_str();
                (update["status"].as_str().unwrap_or(""), text.unwrap_or(""))
            })
            .collect()
    }
}

impl Talk {
    pub(crate) fn say(&mut self, message: &Value) {
        let to = self.to.as_mut().expect("open");
        to.write_all(format!("{message}\n").as_bytes()).expect("the agent reads");
    }

    pub(crate) fn hear(&mut self) -> Value {
        serde_json::from_str(&soon("a line of the agent", &self.from)).expect("a message")
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        self.done().answer
    }

    /// Everything up to the answer.
    pub(crate) fn done(&mut self) -> Done {
        let mut updates = Vec::new();
        loop {
            let mut message = self.hear();
            if message["method"] == "session/update" {
                updates.push(message["params"]["update"].take());
            } else {
                return Done { answer: message, updates };
            }
        }
    }

    pub(crate) fn open(&mut self) {
        let cwd = self.cwd.clone();
        let answer = self.ask("session/new", &json!({"cwd": cwd, "mcpServers": []}));
        assert_eq!(answer["result"]["sessionId"], SESSION);
    }

    pub(crate) fn load(&mut self) -> Done {
        let params = json!({"sessionId": SESSION, "cwd": self.cwd, "mcpServers": []});
        self.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "session/load", "params": params}));
        self.done()
    }

    pub(crate) fn prompt(&mut self, text: &str) -> Done {
        self.begin_prompt(text);
        self.done()
    }

    pub(crate) fn begin_prompt(&mut self, text: &str) {
        let prompt = json!([{"type": "text", "text": text}]);
        let params = json!({"sessionId": SESSION, "prompt": prompt});
        self.say(&json!({"jsonrpc": "2.0", "id": 9, "method": "session/prompt", "params": params}));
    }

    pub(crate) fn cancel(&mut self) {
        let params = json!({"sessionId": SESSION});
        self.say(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}));
    }
}

/// Waits until it is so, for as long as a slow machine may take.
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let came = (0..DEADLINE.as_millis() / 10).any(|_| {
        let came = so();
        if !came {
            thread::park_timeout(Duration::from_millis(10));
        }
        came
    });
    assert!(came, "waited in vain for: {what}");
}

/// Whether a process is there.
pub(crate) fn lives(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}
