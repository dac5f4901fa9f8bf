//! A gate with one door or more, callers that may misbehave, and an endpoint that follows a script.

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded::sqlite::SqliteLedger;
use embedded::system::{RandomIds, SystemClock};
use engine::port::{Caller, Door, Gate, OpenGate, Report, Usage, UsageBook};
use engine::task::{TaskKind, Tasks};
use gate::{Broker, DayBudgets, Endpoint, EndpointParts, Limits, Secret, Server, Setup};
use model::{Budget, DispatchId, Event, InputTrust, Mode, ModelApi, ToolRef, UserId};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use trust::Reach;
use uuid::Uuid;

/// The key of every endpoint here; nobody but the endpoint may ever see it.
pub(crate) const KEY: &str = "canary-key-7f3a91c2d4e5";

/// Nothing here takes this long, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Waits for what must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// A broker, and the ledger that it writes usage to.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) ledger: Arc<SqliteLedger>,
    _folder: tempfile::TempDir,
}

impl House {
    /// What the calls of a sandbox used.
    pub(crate) async fn usage(&self, sandbox: &Sandbox) -> Usage {
        let used = self.ledger.usage_of(vec![sandbox.dispatch()]).await.expect("readable");
        used.first().map(|(_, usage)| *usage).unwrap_or_default()
    }
}

impl std::ops::Deref for House {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.broker
    }
}

pub(crate) fn broker(endpoints: Vec<Endpoint>, limits: Limits) -> House {
    broker_with(endpoints, limits, DayBudgets::default())
}

pub(crate) fn with_servers(servers: Vec<Server>) -> House {
    house(vec![], servers, Limits::default(), DayBudgets::default())
}

pub(crate) fn broker_with(endpoints: Vec<Endpoint>, limits: Limits, budgets: DayBudgets) -> House {
    house(endpoints, vec![], limits, budgets)
}

fn house(
    endpoints: Vec<Endpoint>,
    servers: Vec<Server>,
    limits: Limits,
    budgets: DayBudgets,
) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Arc::new(SqliteLedger::open(folder.path()).expect("a ledger"));
    let setup = Setup {
        endpoints,
        persons: None,
        servers,
        knowledge: None,
        limits,
        tasks: Tasks::new(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        book: ledger.clone(),
        recordings: ledger.clone(),
        budgets,
    };
    House { broker: Broker::new(setup).expect("a broker"), ledger, _folder: folder }
}

pub(crate) fn endpoint(api: ModelApi, address: SocketAddr) -> Endpoint {
    Endpoint::new(endpoint_parts(api, address)).expect("a good endpoint")
}

pub(crate) fn endpoint_parts(api: ModelApi, address: SocketAddr) -> EndpointParts {
    EndpointParts {
        name: "scripted".into(),
        api,
        base_url: format!("http://{address}"),
        key: Some(Secret::new(KEY.into())),
        model: "configured-model".into(),
        models: Vec::new(),
        runners: Vec::new(),
        max_tokens: None,
        prices: Vec::new(),
    }
}

fn dispatch(address: SocketAddr) -> DispatchId {
    DispatchId::from_uuid(Uuid::from_u128(u128::from(address.port())))
}

/// One sandbox, as far as the gate knows it.
pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) open: Option<Box<dyn OpenGate>>,
}

impl Sandbox {
    pub(crate) async fn new(broker: &Broker, model_api: ModelApi) -> Self {
        Self::with_unix(broker, model_api, None).await
    }

    pub(crate) async fn of_budget(broker: &Broker, model_api: ModelApi, budget: Budget) -> Self {
        Self::with(broker, (model_api, "test", budget), None).await
    }

    pub(crate) async fn of_runner(broker: &Broker, model_api: ModelApi, runner: &str) -> Self {
        Self::with(broker, (model_api, runner, Budget::default()), None).await
    }

    /// A sandbox that was given these tools, and whose dispatch has this reach.
    pub(crate) async fn with_tools(broker: &Broker, tools: &[&str], reach: Reach) -> Self {
        let tools = tools.iter().map(|tool| tool.parse().expect("a tool")).collect();
        let told = (ModelApi::OpenaiChat, "test", Budget::default());
        Self::given(broker, told, None, (tools, reach)).await
    }

    pub(crate) async fn with_unix(
        broker: &Broker,
        model_api: ModelApi,
        socket: Option<&Path>,
    ) -> Self {
        Self::with(broker, (model_api, "test", Budget::default()), socket).await
    }

    async fn with(broker: &Broker, told: (ModelApi, &str, Budget), socket: Option<&Path>) -> Self {
        let reach = Reach::of(InputTrust::Trusted, [Mode::ReadWrite]);
        Self::given(broker, told, socket, (vec![], reach)).await
    }

    async fn given(
        broker: &Broker,
        (model_api, runner, budget): (ModelApi, &str, Budget),
        socket: Option<&Path>,
        (given, reach): (Vec<ToolRef>, Reach),
    ) -> Self {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = tcp.local_addr().expect("an address");
        let mut doors = vec![Door::Tcp(tcp)];
        doors.extend(socket.map(|path| Door::Unix(UnixListener::bind(path).expect("a socket"))));
        let (sender, reports) = mpsc::channel(64);
        let caller = Caller {
            dispatch: dispatch(address),
            subject: UserId::from_uuid(Uuid::from_u128(1)),
            runner: runner.parse().expect("a name"),
            model_api,
            budget,
            mounts: vec![],
            model: None,
            tools: given,
            reach,
            record: true,
            reports: sender,
        };
        let open = soon(broker.open(caller, doors)).await.expect("open doors");
        Self { address, reports, open: Some(open) }
    }

    pub(crate) fn dispatch(&self) -> DispatchId {
        dispatch(self.address)
    }

    /// Sends a request and reads the answer whole.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(&request("POST", path, "authorization: Bearer mine\r\n", body)).await
    }

    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut connection = self.connect().await;
        soon(connection.write_all(request.as_bytes())).await.expect("a request sent");
        read_answer(connection).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.expect("an open door")
    }

    pub(crate) async fn report(&mut self) -> Event {
        event(soon(self.reports.recv()).await.expect("a report"))
    }

    /// Waits until a budget is reported as used up; why.
    pub(crate) async fn exhausted(&mut self) -> String {
        loop {
            if let Report::Exhausted(why) = soon(self.reports.recv()).await.expect("a report") {
                return why;
            }
        }
    }
}

/// What is reported for the stream.
pub(crate) fn event(report: Report) -> Event {
    match report {
        Report::Event(event) => event,
        Report::Exhausted(why) => panic!("{why}"),
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    /// Without its chunked framing.
    pub(crate) body: Vec<u8>,
    /// Whether it came to its proper end.
    pub(crate) whole: bool,
    pub(crate) raw: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a code").to_owned()
    }
}

pub(crate) async fn read_answer(mut from: impl AsyncRead + AsyncWrite + Unpin) -> Answer {
    let mut raw = Vec::new();
    // A connection that is reset ends the answer too; whether it was whole shows below.
    drop(soon(from.read_to_end(&mut raw)).await);
    let end = find(&raw, b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.get(9..12)).expect("a status");
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let rest = &raw[end + 4..];
    let (body, whole) = match headers.get("content-length") {
        Some(length) => (rest.to_vec(), rest.len().to_string() == *length),
        None => unchunked(rest),
    };
    Answer { status: status.parse().expect("a number"), headers, body, whole, raw }
}

fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            break;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
    (body, false)
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// One thing that a scripted endpoint does with a connection.
pub(crate) enum Step {
    Send(Vec<u8>),
    Await(Arc<Notify>),
    Hang,
}

/// An endpoint that answers its n-th request by a script, and remembers what it was asked.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// Told each time a caller hangs up on us.
    pub(crate) left: Arc<Notify>,
    tasks: Tasks,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

impl Scripted {
    pub(crate) async fn new(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let (seen, left) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Notify::new()));
        let tasks = Tasks::new();
        let stop = tasks.stopping();
        let (noted, told, spawner) = (Arc::clone(&seen), Arc::clone(&left), tasks.clone());
        tasks.spawn(TaskKind::Connection, "scripted endpoint", async move {
            let script = Arc::new(script);
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (noted, told, script) = (noted.clone(), told.clone(), script.clone());
                let stop = stop.clone();
                spawner.spawn(TaskKind::Connection, "scripted connection", async move {
                    stop.run_until_cancelled(serve(stream, &noted, &told, &*script)).await;
                });
            }
        });
        Self { address, seen, left, tasks }
    }

    /// Always the same answer.
    pub(crate) async fn always(answer: String) -> Self {
        Self::new(move |_| vec![Step::Send(answer.clone().into_bytes())]).await
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().len()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    left: &Notify,
    script: &(dyn Fn(usize) -> Vec<Step> + Send + Sync),
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock();
        seen.push(request);
        seen.len() - 1
    };
    for step in script(number) {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    left.notify_one();
                    return;
                }
            }
            Step::Await(go) => go.notified().await,
            Step::Hang => {
                let mut byte = [0];
                drop(stream.read(&mut byte).await);
                left.notify_one();
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut raw = Vec::new();
    loop {
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
        let Some(end) = find(&raw, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&raw[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        if raw.len() >= end + 4 + length {
            return Some(String::from_utf8_lossy(&raw).into_owned());
        }
    }
}

/// A whole answer of an endpoint.
pub(crate) fn whole(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// The head of a streamed answer.
pub(crate) fn streamed_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
}

/// One piece of a streamed answer.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Where a caller of this dialect asks.
pub(crate) fn path(api: ModelApi, stream: bool) -> &'static str {
    match (api, stream) {
        (ModelApi::AnthropicMessages, _) => "/v1/messages",
        (ModelApi::OpenaiChat, _) => "/v1/chat/completions",
        (ModelApi::OpenaiResponses, _) => "/v1/responses",
        (ModelApi::Gemini, false) => "/v1beta/models/mine:generateContent",
        (ModelApi::Gemini, true) => "/v1beta/models/mine:streamGenerateContent?alt=sse",
    }
}

/// A small request of this dialect, with one thing said.
pub(crate) fn ask_in(api: ModelApi, text: &str, stream: bool) -> String {
    match api {
        ModelApi::AnthropicMessages | ModelApi::OpenaiChat => return ask(text, stream),
        ModelApi::OpenaiResponses => {
            serde_json::json!({ "model": "whatever", "stream": stream, "input": text })
        }
        ModelApi::Gemini => {
            serde_json::json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] })
        }
    }
    .to_string()
}

/// A small request of the two older dialects, with one thing said.
pub(crate) fn ask(text: &str, stream: bool) -> String {
    serde_json::json!({
        "model": "whatever",
        "max_tokens": 100,
        "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
}
