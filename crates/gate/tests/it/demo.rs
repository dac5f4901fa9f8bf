//! The demo model through a door: both dialects, whole and streamed, and a thousand of them at once.

use std::time::Duration;

use futures_util::future::join_all;
use gate::Limits;
use model::{Event, ModelApi};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{Sandbox, ask, broker, request, soon};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;
const PATHS: [&str; 2] = ["/v1/messages", "/v1/chat/completions"];

fn words(count: usize) -> String {
    (1..=count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ")
}

/// The text of a streamed answer of either dialect.
fn streamed(body: &str) -> String {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = lines
        .filter(|line| *line != "[DONE]")
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = |event: Value| {
        let delta = event["delta"]["text"].as_str();
        delta.or(event["choices"][0]["delta"]["content"].as_str()).unwrap_or("").to_owned()
    };
    events.map(text).collect()
}

#[tokio::test]
async fn it_speaks_both_dialects_whole_and_streamed() {
    let broker = broker(Vec::new(), Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    for path in PATHS {
        let whole = sandbox.post(path, &ask("say 20 words", false)).await.json();
        let text = whole["content"][0]["text"].as_str();
        let text = text.or(whole["choices"][0]["message"]["content"].as_str());
        assert_eq!(text, Some(words(20).as_str()));
        assert_eq!(whole["model"], "remit-demo");
        let answer = sandbox.post(path, &ask("say 20 words", true)).await;
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        assert_eq!(streamed(answer.text()), words(20));
        assert!(answer.whole);
        for _ in 0..2 {
            let Event::Usage { model, output_tokens: 20, .. } = sandbox.report().await else {
                panic!("usage of 20 words")
            };
            assert_eq!(model, "remit-demo");
        }
    }
}

#[tokio::test]
async fn it_sleeps_and_wakes_when_its_caller_leaves() {
    let broker = broker(Vec::new(), Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let answer = sandbox.post(PATHS[0], &ask("sleep 0.2", false)).await;
    assert!(answer.text().contains("I slept for 0.2 s."), "{}", answer.text());
    let Event::Usage { elapsed_ms, .. } = sandbox.report().await else { panic!("usage") };
    assert!(elapsed_ms >= 200, "{elapsed_ms}");
    for stream in [false, true] {
        let mut connection = sandbox.connect().await;
        let question = request("POST", PATHS[0], "", &ask("sleep 600", stream));
        connection.write_all(question.as_bytes()).await.expect("a request sent");
        let asleep = tokio::time::timeout(Duration::from_millis(100), sandbox.reports.recv()).await;
        assert!(asleep.is_err());
        drop(connection);
        assert!(matches!(sandbox.report().await, Event::Usage { .. }));
    }
}

#[tokio::test]
async fn garbage_is_refused_in_the_dialect_that_was_asked() {
    let broker = broker(Vec::new(), Limits::default());
    let sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let deep = format!("{{\"messages\":{}", "[".repeat(1 << 20));
    for path in PATHS {
        for body in ["", "{", "[]", "{\"messages\":1}", "{\"messages\":[{\"role\":1}]}", &deep] {
            let answer = sandbox.post(path, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{body:.40}");
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let broker = broker(Vec::new(), Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let body = ask("say 5 words", false);
    let count = sandbox.post("/v1/messages/count_tokens", &body).await.json();
    assert_eq!(count["input_tokens"], body.len().div_ceil(4));
    assert!(sandbox.reports.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once_lose_no_word() {
    const SANDBOXES: usize = 20;
    const STREAMS: usize = 50;
    let broker = broker(Vec::new(), Limits::default());
    let mut sandboxes = Vec::new();
    for _ in 0..SANDBOXES {
        sandboxes.push(Sandbox::new(&broker, ANTHROPIC).await);
    }
    let expected = words(400);
    let body = ask("sleep 0.5; say 400 words", true);
    let streams = sandboxes
        .iter()
        .flat_map(|sandbox| (0..STREAMS).map(|n| sandbox.post(PATHS[n % 2], &body)));
    for answer in soon(join_all(streams)).await {
        assert!(answer.whole);
        assert!(streamed(answer.text()).ends_with(&expected));
    }
    for sandbox in &mut sandboxes {
        for _ in 0..STREAMS {
            assert!(matches!(sandbox.report().await, Event::Usage { .. }));
        }
    }
}
