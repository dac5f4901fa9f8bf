//! A server as a process on a folder of its own, and clients of it. Every wait has a deadline.
//!
//! ```ignore
//! let folder = Folder::new();
//! let server = Server::start(&folder);           // `remit up` on port 0
//! let me = server.client();
//! let mut turn = me.chat(json!({"prompt": "say 3 words"})).await;
//! let frames = turn.rest().await;                // to the end of the stream
//! server.kill();                                 // kill -9
//! let server = Server::start(&folder);           // the same data again
//! ```

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How long anything may take before a test fails: a machine may give a tenth of itself.
pub(crate) const DEADLINE: Duration = Duration::from_mins(5);

/// How long a server may take to stop in order when its test is over.
const STOP: Duration = Duration::from_mins(1);

/// A folder for one test: the data of its server, and the home of its commands.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The program with nothing of this process's environment but the path.
    pub(crate) fn remit(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path())
            .env("REMIT_BACKEND__KIND", backend())
            .env("REMIT_SERVER__DATA", self.data())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.remit(args);
        command.envs(variables.iter().copied());
        let output = output(&mut command, DEADLINE);
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// Runs a command to its end, which must come in time; what it wrote.
pub(crate) fn output(command: &mut Command, deadline: Duration) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().expect("the program starts"), deadline)
}

/// Waits for the end of a program, which must come in time; what it wrote.
pub(crate) fn ended(child: Child, deadline: Duration) -> Output {
    let (done, end) = mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(deadline) else {
        signal(id, rustix::process::Signal::KILL);
        panic!("a program did not end in time");
    };
    output.expect("its output is read")
}

/// The lines that a program prints, as they come.
pub(crate) fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // What follows when nobody listens any more is read, so that the program never waits.
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            let _sent = line.send(text);
        }
    });
    lines
}

/// Asks a program to stop.
pub(crate) fn ask_to_stop(id: u32) {
    signal(id, rustix::process::Signal::TERM);
}

/// Asks, again and again, until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    asked.await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until a day has begun where one is about to end: what is counted by days (UTC) needs one.
pub(crate) async fn within_one_day() {
    const DAY: Duration = Duration::from_hours(24);
    const ENOUGH: Duration = Duration::from_mins(2);
    #[expect(clippy::disallowed_methods, reason = "the day of the server under test")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let gone = now.expect("after 1970").as_secs() % DAY.as_secs();
    let left = DAY.saturating_sub(Duration::from_secs(gone));
    if left < ENOUGH {
        tokio::time::sleep(left).await;
    }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The lines of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"));
        self.out.lines().map(parse).collect()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// The strongest backend that works here.
pub(crate) fn backend() -> &'static str {
    static BACKEND: OnceLock<&str> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_remit"));
        let doctor = output(doctor.args(["doctor", "--json", "--backend", "native"]), DEADLINE);
        let isolates = String::from_utf8_lossy(&doctor.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|finding| finding["what"] == "backend native" && finding["ok"] == true);
        if isolates { "native" } else { "process" }
    })
}

fn signal(id: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    // It may have ended by itself.
    let _sent = rustix::process::kill_process(id.expect("a process id"), signal);
}

/// How a server is started.
pub(crate) struct Start<'a> {
    folder: &'a Folder,
    args: Vec<String>,
    variables: Vec<(String, String)>,
}

impl<'a> Start<'a> {
    pub(crate) fn on(folder: &'a Folder) -> Self {
        Self { folder, args: vec![], variables: vec![] }
    }

    /// A further argument of `remit up`.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// A setting, as `limits.idle_s`.
    pub(crate) fn setting(self, key: &str, value: &str) -> Self {
        let name = format!("REMIT_{}", key.replace('.', "__").to_uppercase());
        self.variable(&name, value)
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits until it is ready.
    #[track_caller]
    pub(crate) fn server(self) -> Server {
        match self.attempt() {
            Ok(server) => server,
            Err((status, log)) => panic!("the server did not start: {status}\n{log}"),
        }
    }

    /// Starts it; how it ended and what it said when it did not come to be ready.
    pub(crate) fn attempt(self) -> Result<Server, (ExitStatus, String)> {
        let mut command = self.folder.remit(&["up", "--json", "--listen", "127.0.0.1:0"]);
        command.args(&self.args).envs(self.variables);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::<Mutex<String>>::default();
        let stderr = child.stderr.take().expect("piped");
        let copy = log.clone();
        let logged = std::thread::spawn(move || collect(stderr, &copy));
        let stdout = child.stdout.take().expect("piped");
        let (line, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut text = String::new();
            let read = stdout.read_line(&mut text);
            // The test may have ended; what follows is read so that the server never waits.
            let _sent = line.send(read.map(|_| text));
            let _rest = stdout.read_to_end(&mut Vec::new());
        });
        let first = first.recv_timeout(DEADLINE);
        let first = first.ok().and_then(Result::ok).unwrap_or_default();
        let Ok(ready) = serde_json::from_str::<Value>(&first) else {
            let _ended = child.kill();
            let status = child.wait().expect("waited for");
            logged.join().expect("the log is read");
            let log = format!("{first}{}", log.lock());
            return Err((status, log));
        };
        Ok(Server { child, log, ready })
    }
}

fn collect(mut from: impl Read, to: &Mutex<String>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        to.lock().push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

/// A running `remit up`. Stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    /// The first line it printed.
    pub(crate) ready: Value,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(folder: &Folder) -> Self {
        Start::on(folder).server()
    }

    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().expect("a url")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// A client with the seeded person's key.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.url(), self.ready["key"].as_str())
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.url(), self.ready["admin_key"].as_str())
    }

    /// A client without a key.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(self.url(), None)
    }

    /// Another person with a key of these scopes; their id.
    pub(crate) async fn person(&self, name: &str, scopes: &str) -> (Client, String) {
        let admin = self.admin();
        let person = json!({"email": format!("{name}@example.org"), "name": name});
        let person = admin.post("/admin/users", person).await.ok();
        let id = person["user_id"].as_str().expect("an id").to_owned();
        let key = admin.post(&format!("/admin/users/{id}/tokens?scopes={scopes}"), json!({})).await;
        let key = key.expect(StatusCode::CREATED);
        (Client::new(self.url(), key["token"].as_str()), id)
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.ended();
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        ask_to_stop(self.pid());
    }

    /// Asks it to stop, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.ended()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        assert!(self.ends_within(DEADLINE), "the server did not end in time:\n{}", self.log());
        self.child.wait().expect("waited for")
    }

    fn ends_within(&self, deadline: Duration) -> bool {
        let id = rustix::process::Pid::from_child(&self.child);
        let pidfd = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty());
        let pidfd = pidfd.expect("its process is there until it is waited for");
        let deadline = rustix::event::Timespec::try_from(deadline).expect("small");
        let mut over = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut over, Some(&deadline)).expect("polled") == 1
    }
}

/// Stopped in order where it still runs, so that a test leaves no sandbox and no cgroup behind.
impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.ask_to_stop();
            if !self.ends_within(STOP) {
                // It ended just now, then, or does so now.
                let _killed = self.child.kill();
            }
            let _gone = self.child.wait();
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "only the log tells why a test failed")]
            {
                eprintln!("--- the server's log\n{}", self.log());
            }
        }
    }
}

/// A client of the HTTP API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Client {
    pub(crate) fn new(url: &str, key: Option<&str>) -> Self {
        // No connection is kept: the server closes one that is idle, just when a busy machine uses it again.
        let http =
            reqwest::Client::builder().no_proxy().timeout(DEADLINE).pool_max_idle_per_host(0);
        let http = http.build();
        let http = http.expect("a client");
        Self { http, url: url.to_owned(), key: key.map(str::to_owned) }
    }

    /// The same person, where another server on the same data is.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// A request with the key, to be added to.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method: Method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request("POST", path).json(&body)).await
    }

    /// Writes a file by hand, whatever stands there; what is answered.
    pub(crate) async fn put(&self, path: &str, content: &str, workspace: &str) -> Value {
        let route = format!("/agent/workspace/file?workspace={workspace}");
        let body = json!({"path": path, "content": content});
        Answer::of(self.request("PUT", &route).json(&body)).await.ok()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request("DELETE", path)).await
    }

    /// Says something; the stream of the answer.
    pub(crate) async fn chat(&self, body: Value) -> Stream {
        self.chat_from(body, None).await
    }

    /// The same, resumed after a frame.
    pub(crate) async fn chat_from(&self, body: Value, last: Option<&str>) -> Stream {
        let mut request = self.request("POST", "/agent/chat").json(&body);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Stream::of(request).await
    }

    /// A turn from beginning to end.
    pub(crate) async fn turn(&self, body: Value) -> Turn {
        self.chat(body).await.turn().await
    }

    /// The same with a model that is chosen for it.
    pub(crate) async fn turn_with(&self, model: Option<&str>, body: Value) -> Turn {
        let path = model.map_or_else(String::new, |model| format!("?model={model}"));
        let request = self.request("POST", &format!("/agent/chat{path}")).json(&body);
        Stream::of(request).await.turn().await
    }

    /// All that a dispatch said and did so far, as entries.
    pub(crate) async fn events(&self, dispatch: &str) -> Vec<Value> {
        let path = format!("/agent/dispatches/{dispatch}/events?follow=false");
        let response = self.request("GET", &path).header("accept", "application/jsonl").send();
        let text = response.await.expect("answered").text().await.expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    }

    /// Waits until a dispatch is in a state, as `idle` or `ended`; the dispatch.
    pub(crate) async fn until(&self, dispatch: &str, state: &str) -> Value {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let shown = self.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
                if shown["state"] == state {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{dispatch} did not come to be {state}"))
    }
}

/// A field of a form: its name, the name of the file if it is one, its content.
pub(crate) type Field<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// A request with a form.
pub(crate) fn form(
    request: reqwest::RequestBuilder,
    fields: &[Field<'_>],
) -> reqwest::RequestBuilder {
    const BOUNDARY: &str = "b0undary";
    let mut body = vec![];
    for (name, file, content) in fields {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}");
        body.extend_from_slice(format!("{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    request.header("content-type", kind).body(body)
}

/// A turn that is over.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) dispatch: String,
    pub(crate) session: String,
    pub(crate) frames: Vec<Frame>,
}

impl Turn {
    /// The data of the first frame of this type.
    #[track_caller]
    pub(crate) fn find(&self, kind: &str) -> &Value {
        let found = self.frames.iter().find(|frame| frame.data["type"] == kind);
        &found.unwrap_or_else(|| panic!("no {kind} in {:#?}", self.frames)).data
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.find("done")["ok"], true, "{:#?}", self.frames);
        self
    }

    pub(crate) fn reply(&self) -> &str {
        self.find("done")["reply"].as_str().expect("a reply")
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.expect("text") }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }
}

/// One frame of server-sent events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// Its bytes, without the empty line.
    pub(crate) raw: String,
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// Server-sent events as they come.
pub(crate) struct Stream {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Stream {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let status = response.status();
        let kind = response.headers()["content-type"].clone();
        assert_eq!((status, kind.as_bytes()), (StatusCode::OK, b"text/event-stream".as_slice()));
        Self { response, buffer: vec![] }
    }

    /// The same of a server that may go away; none when it has.
    pub(crate) async fn attempt(request: reqwest::RequestBuilder) -> Option<Self> {
        let response = request.send().await.ok()?;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        Some(Self { response, buffer: vec![] })
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        self.response.headers()[name].to_str().expect("text").to_owned()
    }

    /// The next frame, comments skipped; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(DEADLINE, self.read()).await.expect("a frame in time")
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let raw: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let raw = String::from_utf8(raw[..end].to_vec()).expect("text");
                if raw.starts_with(':') {
                    continue;
                }
                return Some(Frame::read(raw));
            }
            let piece = self.response.chunk().await.ok().flatten()?;
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// All frames to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = vec![];
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// A turn to its end.
    pub(crate) async fn turn(mut self) -> Turn {
        let (dispatch, session) = (self.header("x-unit-id"), self.header("x-chat-session"));
        Turn { dispatch, session, frames: self.rest().await }
    }
}

impl Frame {
    fn read(raw: String) -> Self {
        let field = |name: &str| {
            let line = raw.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {raw}")).to_owned()
        };
        let data = serde_json::from_str(&field("data: ")).expect("json");
        Self { id: field("id: "), event: field("event: "), data, raw }
    }
}
