//! What the gate costs: the time to the first byte of a streamed answer through it against a direct
//! connection, in one run; and a thousand streams that are open at once. What each used is written to a
//! ledger on this disk, as in a server.
//!
//! `bench [--json] [--rounds N] [--threads N]`. Everything is in this process and on the loopback; build it with
//! `--release`. Bar: the gate adds at most 1 ms (median) to the first byte.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]
#![expect(clippy::disallowed_methods, reason = "a program that measures time")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use embedded::sqlite::SqliteLedger;
use embedded::system::{RandomIds, SystemClock};
use engine::port::{Caller, Door, Gate, OpenGate, Report};
use engine::task::{TaskKind, Tasks};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use gate::{Broker, DayBudgets, Endpoint, EndpointParts, Limits, Secret, Setup};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use model::{Budget, DispatchId, InputTrust, ModelApi, UserId};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use trust::Reach;

type Failure = Box<dyn std::error::Error>;

const STREAMS: usize = 1_000;
const SANDBOXES: usize = 20;
/// The pieces of one answer, after the first.
const PIECES: usize = 100;
/// As large as the first request of a real agent.
const REQUEST_BYTES: usize = 50_000;
const BAR: Duration = Duration::from_millis(1);

/// An endpoint that begins every answer at once and goes on when it is let.
#[derive(Clone)]
struct Upstream {
    open: Arc<AtomicUsize>,
    go: watch::Receiver<bool>,
}

impl Upstream {
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
        request.into_body().collect().await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        let piece = |n: usize| Ok(Frame::data(Bytes::from(format!("data: {{\"n\":{n}}}\n\n"))));
        let mut go = self.go.clone();
        let let_go = async move {
            drop(go.wait_for(|go| *go).await);
            stream::iter(1..=PIECES)
        };
        let rest = stream::once(let_go).flatten().map(piece);
        let body = StreamBody::new(stream::iter([piece(0)]).chain(rest));
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok(response.body(body.boxed_unsync()).expect("plain parts"))
    }
}

async fn serve(tasks: &Tasks, upstream: Upstream) -> Result<SocketAddr, Failure> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let spawner = tasks.clone();
    tasks.spawn(TaskKind::Connection, "endpoint", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let upstream = upstream.clone();
            drop(stream.set_nodelay(true));
            spawner.spawn(TaskKind::Connection, "endpoint connection", async move {
                let service =
                    hyper::service::service_fn(|request| upstream.clone().answer(request));
                let http = hyper::server::conn::http1::Builder::new();
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Ok(address)
}

struct Sandbox {
    url: String,
    _open: Box<dyn OpenGate>,
    _reports: mpsc::Receiver<Report>,
}

async fn sandbox(broker: &Broker, number: u128) -> Result<Sandbox, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/v1/messages", listener.local_addr()?);
    let (reports, reported) = mpsc::channel(STREAMS);
    let caller = Caller {
        dispatch: DispatchId::from_uuid(uuid::Uuid::from_u128(number)),
        subject: UserId::from_uuid(uuid::Uuid::from_u128(1)),
        runner: "bench".parse()?,
        model_api: ModelApi::AnthropicMessages,
        budget: Budget::default(),
        mounts: vec![],
        model: None,
        tools: vec![],
        reach: Reach::of(InputTrust::Trusted, []),
        record: false,
        reports,
    };
    let open = broker.open(caller, vec![Door::Tcp(listener)]).await?;
    Ok(Sandbox { url, _open: open, _reports: reported })
}

/// From the request to the first byte of the body; the rest is read, so that the connection is kept.
async fn first_byte(
    client: &reqwest::Client,
    url: &str,
    body: &Bytes,
) -> Result<Duration, Failure> {
    let asked = Instant::now();
    let mut answer = client.post(url).body(body.clone()).send().await?;
    answer.chunk().await?.ok_or("an empty answer")?;
    let first = asked.elapsed();
    while answer.chunk().await?.is_some() {}
    Ok(first)
}

fn quantile(sorted: &[Duration], of_1000: usize) -> Duration {
    sorted[(sorted.len() - 1) * of_1000 / 1000]
}

/// All streams are open before any goes on; whether each came whole, and how long all took after that.
async fn together(
    client: &reqwest::Client,
    urls: &[&str],
    body: &Bytes,
    upstream: &Upstream,
    go: &watch::Sender<bool>,
) -> Result<Duration, Failure> {
    go.send_replace(false);
    upstream.open.store(0, Ordering::Relaxed);
    let expected: usize = (0..=PIECES).map(|n| format!("data: {{\"n\":{n}}}\n\n").len()).sum();
    let answers = (0..STREAMS).map(|n| client.post(urls[n % urls.len()]).body(body.clone()).send());
    let answers: Vec<_> = join_all(answers).await.into_iter().collect::<Result<_, _>>()?;
    let open = upstream.open.load(Ordering::Relaxed);
    if open != STREAMS {
        return Err(format!("{open} streams are open, not {STREAMS}").into());
    }
    let began = Instant::now();
    go.send_replace(true);
    for whole in join_all(answers.into_iter().map(reqwest::Response::bytes)).await {
        let length = whole?.len();
        if length != expected {
            return Err(format!("a stream has {length} bytes, not {expected}").into());
        }
    }
    Ok(began.elapsed())
}

fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, otherwise: usize| {
        let at = arguments.iter().position(|argument| argument == flag);
        at.and_then(|at| arguments.get(at + 1)).map_or(Ok(otherwise), |number| number.parse())
    };
    let (rounds, threads) = (number("--rounds", 2_000)?, number("--threads", 2)?);
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads).enable_all().build()?;
    let mut result = runtime.block_on(measure(rounds))?;
    result["threads"] = threads.into();
    let json = arguments.iter().any(|argument| argument == "--json");
    let shown = if json { result.to_string() } else { format!("{result:#}") };
    println!("{shown}");
    Ok(())
}

async fn measure(rounds: usize) -> Result<Value, Failure> {
    let (go, let_go) = watch::channel(true);
    let upstream = Upstream { open: Arc::default(), go: let_go };
    let tasks = Tasks::new();
    let address = serve(&tasks, upstream.clone()).await?;
    let endpoint = Endpoint::new(EndpointParts {
        name: "bench".into(),
        api: ModelApi::AnthropicMessages,
        base_url: format!("http://{address}"),
        key: Some(Secret::new("a-key-of-the-bench-0123".into())),
        model: "bench".into(),
        models: vec![],
        runners: vec![],
        max_tokens: None,
        prices: vec![],
    })?;
    let clock = Arc::new(SystemClock);
    let folder = tempfile::tempdir()?;
    let book = Arc::new(SqliteLedger::open(folder.path())?);
    let (ids, budgets) = (Arc::new(RandomIds), DayBudgets::default());
    let broker = Broker::new(Setup {
        endpoints: vec![endpoint],
        persons: None,
        servers: vec![],
        knowledge: None,
        limits: Limits::default(),
        tasks: tasks.clone(),
        clock,
        ids,
        recordings: book.clone(),
        book,
        budgets,
    })?;
    let mut sandboxes = Vec::new();
    for number in 0..SANDBOXES {
        sandboxes.push(sandbox(&broker, number as u128).await?);
    }
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let text = "x".repeat(REQUEST_BYTES);
    let body = json!({ "model": "any", "messages": [{ "role": "user", "content": text }] });
    let body = Bytes::from(body.to_string());
    let direct_url = format!("http://{address}/v1/messages");
    let (mut direct, mut gated) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        direct.push(first_byte(&client, &direct_url, &body).await?);
        gated.push(first_byte(&client, &sandboxes[round % SANDBOXES].url, &body).await?);
    }
    direct.sort_unstable();
    gated.sort_unstable();
    let gated_urls: Vec<&str> = sandboxes.iter().map(|sandbox| sandbox.url.as_str()).collect();
    let small = Bytes::from_static(br#"{"model":"any","messages":[]}"#);
    let streams_direct = together(&client, &[&direct_url], &small, &upstream, &go).await?;
    let streams_gated = together(&client, &gated_urls, &small, &upstream, &go).await?;
    let [d50, d99, g50, g99] =
        [(&direct, 500), (&direct, 990), (&gated, 500), (&gated, 990)].map(|(t, q)| quantile(t, q));
    let added = g50.saturating_sub(d50);
    Ok(json!({
        "rounds": rounds,
        "request_bytes": body.len(),
        "first_byte_direct_us": { "p50": microseconds(d50), "p99": microseconds(d99) },
        "first_byte_gate_us": { "p50": microseconds(g50), "p99": microseconds(g99) },
        "added_us": { "p50": microseconds(added), "p99": microseconds(g99.saturating_sub(d99)) },
        "bar_us": microseconds(BAR),
        "met": added <= BAR,
        "streams": { "open_at_once": STREAMS, "pieces_each": PIECES + 1,
            "direct_ms": microseconds(streams_direct) / 1000,
            "gate_ms": microseconds(streams_gated) / 1000 },
        "process_peak_mib": resident_mib(),
    }))
}
