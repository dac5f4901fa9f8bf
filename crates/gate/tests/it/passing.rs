//! What passes between a caller and an endpoint, and what does not.

use std::io;
use std::sync::Arc;

use gate::{Endpoint, EndpointParts, Limits, Secret};
use model::{Event, ModelApi};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::support::{
    KEY, Sandbox, Scripted, Step, ask, broker, chunk, endpoint, find, read_answer, request, soon,
    streamed_head, whole,
};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;
const OPENAI: ModelApi = ModelApi::OpenaiChat;

const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"delta\":{\"text\":\"gr\u{fc}\u{df} \\u0000 canary-ke\"}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":34}}\n\n";

#[tokio::test]
async fn a_stream_passes_byte_for_byte_in_whatever_pieces() {
    for size in [1, 2, 3, 7, 64, 4096] {
        let upstream = Scripted::new(move |_| {
            let pieces = STREAM.as_bytes().chunks(size).map(|piece| Step::Send(chunk(piece)));
            let head = Step::Send(streamed_head());
            [head].into_iter().chain(pieces).chain([Step::Send(b"0\r\n\r\n".to_vec())]).collect()
        })
        .await;
        let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
        let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
        let answer = sandbox.post("/v1/messages", &ask("x", true)).await;
        assert_eq!((answer.status, answer.text(), answer.whole), (200, STREAM, true));
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        let Event::Usage { model, input_tokens, output_tokens, .. } = sandbox.report().await else {
            panic!("usage")
        };
        assert_eq!((model.as_str(), input_tokens, output_tokens), ("configured-model", 12, 34));
    }
}

#[tokio::test]
async fn no_byte_waits_for_the_next() {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let upstream = Scripted::new(move |_| {
        vec![
            Step::Send(streamed_head()),
            Step::Send(chunk(b"data: 1\n\n")),
            Step::Await(Arc::clone(&waits)),
            Step::Send(chunk(b"data: 2\n\n")),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let broker = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&broker, OPENAI).await;
    let mut connection = sandbox.connect().await;
    let question = request("POST", "/v1/chat/completions", "", &ask("x", true));
    connection.write_all(question.as_bytes()).await.expect("a request sent");
    let mut read = Vec::new();
    while find(&read, b"data: 1\n\n").is_none() {
        soon(connection.read_buf(&mut read)).await.expect("the first piece");
    }
    go.notify_one();
    soon(connection.read_to_end(&mut read)).await.expect("the rest");
    assert!(find(&read, b"data: 2\n\n").is_some());
}

#[tokio::test]
async fn a_request_passes_but_for_its_model_and_its_key() {
    let answer = r#"{"usage":{"prompt_tokens":3,"completion_tokens":4},"a":1}"#;
    let upstream = Scripted::always(whole("200 OK", "", answer)).await;
    let both = [ANTHROPIC, OPENAI].map(|api| endpoint(api, upstream.address));
    let broker = broker(both.to_vec(), Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let body =
        "{ \"messages\" :[1e2, \"\\u00e4\u{e4}\"],\n \"model\":\"mine\" , \"z\":{\"model\":2}}";
    let headers = "authorization: Bearer stolen\r\nx-api-key: stolen\r\ncookie: stolen\r\nproxy-authorization: stolen\r\nanthropic-version: 2024-01-01\r\nanthropic-beta: b1\r\naccept-encoding: gzip\r\nx-forwarded-for: stolen\r\n";
    for (path, key) in [
        ("/v1/messages?beta=true", format!("x-api-key: {KEY}\r\n")),
        ("/v1/chat/completions?stolen=1", format!("authorization: Bearer {KEY}\r\n")),
    ] {
        let got = sandbox.send(&request("POST", path, headers, body)).await;
        assert_eq!(got.text(), answer);
        assert!(matches!(
            sandbox.report().await,
            Event::Usage { input_tokens: 3, output_tokens: 4, .. }
        ));
        let seen = upstream.seen.lock().pop().expect("a request");
        let (head, sent) = seen.split_once("\r\n\r\n").expect("a body");
        assert_eq!(sent, body.replace("\"mine\"", "\"configured-model\""));
        let head = format!("{}\r\n", head.to_ascii_lowercase());
        assert!(head.contains(&key.to_ascii_lowercase()), "{head}");
        assert!(head.contains("accept-encoding: identity"), "{head}");
        for gone in ["stolen", "cookie", "gzip", "x-forwarded", "evil"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
        let anthropic = path.contains("messages");
        assert_eq!(head.contains("anthropic-version: 2024-01-01\r\nanthropic-beta: b1"), anthropic);
        assert_eq!(head.starts_with("post /v1/messages?beta=true http/1.1"), anthropic, "{head}");
    }
}

/// Everything that is logged while the tests of this thread run.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_key_is_seen_by_the_endpoint_alone() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let talks = |status: &str| {
        let headers =
            format!("x-request-id: {KEY}\r\nset-cookie: {KEY}\r\nx-ratelimit-key: a{KEY}\r\n");
        whole(status, &headers, &format!(r#"{{"error":{{"message":"bad key {KEY}{KEY}"}}}}"#))
    };
    let statuses = [
        "200 OK",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "418 x",
        "500 x",
        "302 x",
    ];
    for status in statuses {
        let upstream = Scripted::always(talks(status)).await;
        let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
        let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
        let answer = sandbox.post("/v1/messages", &ask("secret-prompt", false)).await;
        assert!(find(&answer.raw, KEY.as_bytes()).is_none(), "{status}: {answer:?}");
        assert!(upstream.seen.lock()[0].contains(KEY), "the endpoint itself gets it");
        drop(sandbox.open.take());
        while let Some(event) = soon(sandbox.reports.recv()).await {
            assert!(!format!("{event:?}").contains(KEY), "{event:?}");
        }
        assert!(!format!("{broker:?}").contains(KEY));
    }
    tracing::info!("the log is read");
    let log = log.0.lock();
    assert!(find(&log, b"the log is read").is_some());
    assert!(find(&log, KEY.as_bytes()).is_none(), "the key was logged");
    assert!(find(&log, b"secret-prompt").is_none(), "a prompt was logged");
}

#[tokio::test]
async fn counting_tokens_passes_and_is_not_a_use() {
    let upstream = Scripted::always(whole("200 OK", "", r#"{"input_tokens":7}"#)).await;
    let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let count = sandbox.post("/v1/messages/count_tokens", &ask("x", false)).await;
    assert_eq!(count.json()["input_tokens"], 7);
    assert!(upstream.seen.lock()[0].starts_with("POST /v1/messages/count_tokens HTTP/1.1"));
    assert!(sandbox.reports.try_recv().is_err());
}

#[tokio::test]
async fn a_full_stream_of_reports_holds_the_caller_not_the_gate() {
    let answer = whole("200 OK", "", r#"{"usage":{"input_tokens":1,"output_tokens":1}}"#);
    let upstream = Scripted::always(answer).await;
    let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
    let mut full = Sandbox::new(&broker, ANTHROPIC).await;
    for _ in 0..64 {
        full.post("/v1/messages", &ask("x", false)).await;
    }
    let mut held = full.connect().await;
    let question = request("POST", "/v1/messages", "", &ask("x", false));
    held.write_all(question.as_bytes()).await.expect("a request sent");
    let other = Sandbox::new(&broker, ANTHROPIC).await;
    assert_eq!(other.post("/v1/messages", &ask("x", false)).await.status, 200);
    for _ in 0..65 {
        assert!(matches!(full.report().await, Event::Usage { .. }));
    }
    assert!(read_answer(held).await.whole);
}

#[test]
fn a_key_has_no_printed_form() {
    assert!(!format!("{:?}", Secret::new(KEY.into())).contains(KEY));
}

/// Two endpoints: one for all, and one for the runner `special` that others reach by name.
#[tokio::test]
async fn a_caller_reaches_the_endpoint_of_its_runner_or_the_one_it_names() {
    let answer = whole("200 OK", "", r#"{"content":[],"stop_reason":"end_turn"}"#);
    let (first, second) = (Scripted::always(answer.clone()).await, Scripted::always(answer).await);
    let named = |name: &str, address, runners: &[&str]| {
        Endpoint::new(EndpointParts {
            name: name.into(),
            api: ANTHROPIC,
            base_url: format!("http://{address}"),
            key: Some(Secret::new(KEY.into())),
            model: format!("{name}-1"),
            models: vec![format!("{name}-2")],
            runners: runners.iter().map(|runner| runner.parse().expect("a name")).collect(),
            max_tokens: None,
            prices: Vec::new(),
        })
        .expect("an endpoint")
    };
    let check = async |runner: &str, asked: &str, upstream: &Scripted, model: &str| {
        let endpoints =
            vec![named("one", first.address, &[]), named("two", second.address, &["test"])];
        let broker = broker(endpoints, Limits::default());
        let sandbox = Sandbox::of_runner(&broker, ANTHROPIC, runner).await;
        let body = ask("x", false).replace("whatever", asked);
        let answer = sandbox.post("/v1/messages", &body).await;
        assert_eq!(answer.status, 200, "{runner} {asked}: {}", answer.text());
        let seen = upstream.seen.lock().pop().expect("a request");
        assert!(seen.contains(&format!("\"model\":\"{model}\"")), "{runner} {asked}: {seen}");
    };
    check("other", "whatever", &first, "one-1").await;
    check("other", "one-2", &first, "one-2").await;
    check("other", "two/two-2", &second, "two-2").await;
    check("test", "whatever", &second, "two-1").await;
    check("test", "one/one-1", &first, "one-1").await;
    check("test", "vendor/model", &second, "two-1").await;
    let broker = broker(
        vec![named("one", first.address, &[]), named("two", second.address, &[])],
        Limits::default(),
    );
    let sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let answer = sandbox.post("/v1/messages", &ask("x", false).replace("whatever", "two/x")).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "model_not_allowed"));
    assert_eq!((first.requests(), second.requests()), (0, 0), "nothing was sent");
}
