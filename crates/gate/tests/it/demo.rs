//! The demo model through a door: every dialect, whole and streamed, and a thousand of them at once.

use std::time::Duration;

use futures_util::future::join_all;
use gate::Limits;
use model::{Event, ModelApi};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Sandbox, ask, ask_in, broker, path, request, soon};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;
const DIALECTS: [ModelApi; 4] =
    [ANTHROPIC, ModelApi::OpenaiChat, ModelApi::OpenaiResponses, ModelApi::Gemini];
const PATHS: [&str; 2] = ["/v1/messages", "/v1/chat/completions"];

fn words(count: usize) -> String {
    (1..=count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ")
}

/// The text of a streamed answer of any dialect.
fn streamed(body: &str) -> String {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = lines
        .filter(|line| *line != "[DONE]")
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = |event: Value| {
        let delta = event["delta"]["text"].as_str();
        let delta = delta.or(event["choices"][0]["delta"]["content"].as_str());
        let delta = delta.or(event["candidates"][0]["content"]["parts"][0]["text"].as_str());
        let responses = event["type"] == "response.output_text.delta";
        delta.or(event["delta"].as_str().filter(|_| responses)).unwrap_or("").to_owned()
    };
    events.map(text).collect()
}

/// The text of a whole answer of any dialect.
fn text(whole: &Value) -> Option<&str> {
    let text = whole["content"][0]["text"].as_str();
    let text = text.or(whole["choices"][0]["message"]["content"].as_str());
    let text = text.or(whole["output"][0]["content"][0]["text"].as_str());
    text.or(whole["candidates"][0]["content"]["parts"][0]["text"].as_str())
}

#[tokio::test]
async fn it_speaks_every_dialect_whole_and_streamed() {
    let broker = broker(Vec::new(), Limits::default());
    for api in DIALECTS {
        let mut sandbox = Sandbox::new(&broker, api).await;
        let question = ask_in(api, "say 20 words", false);
        let whole = sandbox.post(path(api, false), &question).await.json();
        assert_eq!(text(&whole), Some(words(20).as_str()), "{api:?}");
        let model = whole.get("model").or(whole.get("modelVersion"));
        assert_eq!(model.and_then(Value::as_str), Some("remit-demo"));
        let question = ask_in(api, "say 20 words", true);
        let answer = sandbox.post(path(api, true), &question).await;
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        assert_eq!(streamed(answer.text()), words(20), "{api:?}");
        assert!(answer.whole);
        for _ in 0..2 {
            let Event::Usage { model, output_tokens: 20, .. } = sandbox.report().await else {
                panic!("usage of 20 words")
            };
            assert_eq!(model, "remit-demo");
        }
    }
}

/// Offered a shell, it calls it in the words of the dialect; told what the shell printed, it says so.
#[tokio::test]
async fn it_calls_tools_in_the_younger_dialects() {
    let broker = broker(Vec::new(), Limits::default());
    let schema = json!({
        "type": "object",
        "properties": { "cmd": { "type": "string" } },
        "required": ["cmd"],
    });
    let sandbox = Sandbox::new(&broker, ModelApi::OpenaiResponses).await;
    let said = json!({ "type": "message", "role": "user",
        "content": [{ "type": "input_text", "text": "run ls" }] });
    let wrapped = json!({ "type": "message", "role": "user",
        "content": [{ "type": "input_text", "text": "<environment_context>\nrun rm\n</environment_context>" }] });
    let tools = json!([{ "type": "function", "name": "exec_command", "strict": false, "parameters": schema },
        { "type": "namespace", "name": "agents", "tools": [] }, { "type": "web_search" }]);
    let mut question =
        json!({ "model": "m", "stream": true, "tools": tools, "input": [wrapped, said] });
    let path_ = path(ModelApi::OpenaiResponses, true);
    let answer = sandbox.post(path_, &question.to_string()).await;
    let events: Vec<Value> = events(answer.text());
    let numbers: Vec<_> = events.iter().map(|it| it["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).map(Some).collect::<Vec<_>>());
    let last = events.last().expect("an end");
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.completed"), &json!("completed"))
    );
    let call = &last["response"]["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("exec_command")));
    assert_eq!(call["arguments"], r#"{"cmd":"ls"}"#);
    let output = "Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 0\nOutput:\na.md\n";
    let returned =
        json!({ "type": "function_call_output", "call_id": call["call_id"], "output": output });
    let input = question["input"].as_array_mut().expect("a list");
    input.extend([call.clone(), returned]);
    let answer = sandbox.post(path_, &question.to_string()).await;
    assert!(
        streamed(answer.text()).ends_with("I ran `ls`; it printed:\na.md"),
        "{}",
        answer.text()
    );

    let sandbox = Sandbox::new(&broker, ModelApi::Gemini).await;
    let tools = json!([{ "functionDeclarations": [{ "name": "run_shell_command",
        "parametersJsonSchema": { "properties": { "command": {} }, "required": ["command"] } }] }]);
    let said = json!({ "role": "user", "parts": [
        { "text": "<session_context>\nrun rm\n</session_context>" }, { "text": "run ls" }] });
    let mut question = json!({ "tools": tools, "contents": [said] });
    let path_ = path(ModelApi::Gemini, true);
    let answer = sandbox.post(path_, &question.to_string()).await;
    let events: Vec<Value> = self::events(answer.text());
    let called = events.iter().find_map(|event| {
        let part = &event["candidates"][0]["content"]["parts"][0];
        part.get("functionCall").map(|_| part.clone())
    });
    let called = called.expect("a call");
    assert_eq!(called["functionCall"]["args"], json!({ "command": "ls" }));
    let response = json!({ "output": "Output: a.md\nProcess Group PGID: 7" });
    let returned =
        json!({ "functionResponse": { "name": "run_shell_command", "response": response } });
    let contents = question["contents"].as_array_mut().expect("a list");
    contents.push(json!({ "role": "model", "parts": [called] }));
    contents.push(json!({ "role": "user", "parts": [returned] }));
    let answer = sandbox.post(path_, &question.to_string()).await;
    assert!(
        streamed(answer.text()).ends_with("I ran `ls`; it printed:\na.md"),
        "{}",
        answer.text()
    );
}

fn events(body: &str) -> Vec<Value> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
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
