//! A caller of one dialect and an endpoint of another: every pair, whole and streamed, with a tool
//! call; and what cannot be said, or goes wrong on the way.

use gate::{Endpoint, EndpointParts, Limits, Secret};
use model::{Event, ModelApi};
use serde_json::{Value, json};

use crate::support::{
    Answer, KEY, Sandbox, Scripted, Step, ask_in, broker, chunk, endpoint, find, path,
    streamed_head, whole,
};

const DIALECTS: [ModelApi; 4] = [
    ModelApi::AnthropicMessages,
    ModelApi::OpenaiChat,
    ModelApi::OpenaiResponses,
    ModelApi::Gemini,
];

/// What was said and done so far.
enum Turn {
    Said(&'static str),
    Called(Call),
    Returned(String, &'static str),
}

#[derive(Debug, Clone, PartialEq)]
struct Call {
    id: String,
    name: String,
    arguments: Value,
}

/// The request of an agent that has one tool.
fn question(api: ModelApi, turns: &[Turn], stream: bool) -> String {
    let schema = json!({
        "type": "object",
        "properties": { "command": { "type": "string" } },
        "required": ["command"],
    });
    let turns: Vec<Value> = turns.iter().map(|turn| self::turn(api, turn)).collect();
    let body = match api {
        ModelApi::AnthropicMessages => json!({
            "model": "m", "max_tokens": 500, "stream": stream, "system": "be brief",
            "tools": [{ "name": "shell", "description": "runs", "input_schema": schema }],
            "messages": turns,
        }),
        ModelApi::OpenaiChat => json!({
            "model": "m", "stream": stream, "stream_options": { "include_usage": true },
            "tools": [{ "type": "function",
                "function": { "name": "shell", "description": "runs", "parameters": schema } }],
            "messages": turns,
        }),
        ModelApi::OpenaiResponses => json!({
            "model": "m", "stream": stream, "instructions": "be brief",
            "tools": [{ "type": "namespace", "name": "box",
                "tools": [{ "type": "function", "name": "shell", "parameters": schema }] }],
            "input": turns,
        }),
        ModelApi::Gemini => json!({
            "systemInstruction": { "parts": [{ "text": "be brief" }] },
            "tools": [{ "functionDeclarations": [{ "name": "shell",
                "parameters": { "type": "OBJECT",
                    "properties": { "command": { "type": "STRING" } }, "required": ["command"] } }] }],
            "contents": turns,
        }),
    };
    body.to_string()
}

fn turn(api: ModelApi, turn: &Turn) -> Value {
    match (api, turn) {
        (ModelApi::AnthropicMessages | ModelApi::OpenaiChat, Turn::Said(text)) => {
            json!({ "role": "user", "content": text })
        }
        (ModelApi::AnthropicMessages, Turn::Called(call)) => json!({ "role": "assistant",
            "content": [{ "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments }] }),
        (ModelApi::AnthropicMessages, Turn::Returned(id, text)) => json!({ "role": "user",
            "content": [{ "type": "tool_result", "tool_use_id": id, "content": text }] }),
        (ModelApi::OpenaiChat, Turn::Called(call)) => json!({ "role": "assistant", "content": null,
            "tool_calls": [{ "id": call.id, "type": "function",
                "function": { "name": call.name, "arguments": call.arguments.to_string() } }] }),
        (ModelApi::OpenaiChat, Turn::Returned(id, text)) => {
            json!({ "role": "tool", "tool_call_id": id, "content": text })
        }
        (ModelApi::OpenaiResponses, Turn::Said(text)) => json!({ "type": "message", "role": "user",
            "content": [{ "type": "input_text", "text": text }] }),
        (ModelApi::OpenaiResponses, Turn::Called(call)) => json!({ "type": "function_call",
            "call_id": call.id, "namespace": "box", "name": call.name,
            "arguments": call.arguments.to_string() }),
        (ModelApi::OpenaiResponses, Turn::Returned(id, text)) => {
            json!({ "type": "function_call_output", "call_id": id, "output": text })
        }
        (ModelApi::Gemini, Turn::Said(text)) => {
            json!({ "role": "user", "parts": [{ "text": text }] })
        }
        (ModelApi::Gemini, Turn::Called(call)) => json!({ "role": "model",
            "parts": [{ "functionCall": { "name": call.name, "args": call.arguments } }] }),
        (ModelApi::Gemini, Turn::Returned(_, text)) => json!({ "role": "user",
            "parts": [{ "functionResponse": { "name": "shell", "response": { "output": text } } }] }),
    }
}

/// What an answer says and calls, as an agent of this dialect understands it.
fn understood(api: ModelApi, answer: &Answer, stream: bool) -> (String, Option<Call>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.whole);
    let events: Vec<Value> = if stream {
        let lines = answer.text().lines().filter_map(|line| line.strip_prefix("data: "));
        lines.filter(|line| *line != "[DONE]").map(json_of).collect()
    } else {
        vec![answer.json()]
    };
    match (api, stream) {
        (ModelApi::AnthropicMessages, true) => anthropic_stream(&events),
        (ModelApi::AnthropicMessages, false) => anthropic(&events[0]),
        (ModelApi::OpenaiChat, _) => chat(&events),
        (ModelApi::OpenaiResponses, true) => {
            let last = events.last().expect("an end");
            assert_eq!(last["type"], "response.completed");
            let deltas = events.iter().filter(|it| it["type"] == "response.output_text.delta");
            let text: String = deltas.filter_map(|it| it["delta"].as_str()).collect();
            let understood = responses(&last["response"]);
            assert_eq!(understood.0, text);
            understood
        }
        (ModelApi::OpenaiResponses, false) => responses(&events[0]),
        (ModelApi::Gemini, _) => gemini(&events),
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn call(id: &Value, name: &Value, arguments: Value) -> Call {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Call { id: text(id), name: text(name), arguments }
}

fn anthropic(message: &Value) -> (String, Option<Call>) {
    let (mut text, mut called) = (String::new(), None);
    for block in message["content"].as_array().expect("blocks") {
        match block["type"].as_str() {
            Some("text") => text.push_str(block["text"].as_str().expect("text")),
            Some("tool_use") => {
                called = Some(call(&block["id"], &block["name"], block["input"].clone()));
            }
            other => assert_eq!(other, None, "an unknown kind"),
        }
    }
    assert_eq!(message["stop_reason"], if called.is_some() { "tool_use" } else { "end_turn" });
    assert!(message["usage"]["input_tokens"].as_u64() > Some(0));
    (text, called)
}

fn anthropic_stream(events: &[Value]) -> (String, Option<Call>) {
    let (mut text, mut named, mut arguments) = (String::new(), None, String::new());
    let (mut open, mut next) = (None, 0);
    for event in events {
        match event["type"].as_str().expect("a type") {
            "content_block_start" => {
                assert_eq!(
                    (open, event["index"].as_u64()),
                    (None, Some(next)),
                    "one after another"
                );
                open = Some(next);
                let block = &event["content_block"];
                if block["type"] == "tool_use" {
                    named = Some((block["id"].clone(), block["name"].clone()));
                }
            }
            "content_block_delta" => {
                assert_eq!(event["index"].as_u64(), open);
                text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
                arguments.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" => {
                assert_eq!(event["index"].as_u64(), open.take());
                next += 1;
            }
            "message_delta" => {
                let stop = if named.is_some() { "tool_use" } else { "end_turn" };
                assert_eq!(event["delta"]["stop_reason"], stop);
                assert!(event["usage"]["input_tokens"].as_u64() > Some(0));
            }
            _ => {}
        }
    }
    assert_eq!(events.last().expect("an end")["type"], "message_stop");
    (text, named.map(|(id, name)| call(&id, &name, json_of(&arguments))))
}

fn chat(events: &[Value]) -> (String, Option<Call>) {
    let (mut text, mut named, mut arguments, mut stop) = (String::new(), None, String::new(), None);
    for event in events {
        let choice = &event["choices"][0];
        let said = if choice["message"].is_null() { &choice["delta"] } else { &choice["message"] };
        text.push_str(said["content"].as_str().unwrap_or_default());
        let called = &said["tool_calls"][0];
        if called["id"].is_string() {
            named = Some((called["id"].clone(), called["function"]["name"].clone()));
        }
        arguments.push_str(called["function"]["arguments"].as_str().unwrap_or_default());
        stop = choice["finish_reason"].as_str().or(stop);
    }
    assert_eq!(stop, Some(if named.is_some() { "tool_calls" } else { "stop" }));
    assert!(events.last().expect("an end")["usage"]["prompt_tokens"].as_u64() > Some(0));
    (text, named.map(|(id, name)| call(&id, &name, json_of(&arguments))))
}

fn responses(response: &Value) -> (String, Option<Call>) {
    assert_eq!(response["status"], "completed");
    assert!(response["usage"]["input_tokens"].as_u64() > Some(0));
    let (mut text, mut called) = (String::new(), None);
    for item in response["output"].as_array().expect("items") {
        match item["type"].as_str() {
            Some("message") => text.push_str(item["content"][0]["text"].as_str().expect("text")),
            Some("function_call") => {
                assert_eq!(item["namespace"], "box");
                let arguments = json_of(item["arguments"].as_str().expect("arguments"));
                called = Some(call(&item["call_id"], &item["name"], arguments));
            }
            other => assert_eq!(other, None, "an unknown kind"),
        }
    }
    (text, called)
}

fn gemini(events: &[Value]) -> (String, Option<Call>) {
    let (mut text, mut called) = (String::new(), None);
    for event in events {
        for part in event["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
            text.push_str(part["text"].as_str().unwrap_or_default());
            if let Some(it) = part.get("functionCall") {
                called = Some(call(&it["id"], &it["name"], it["args"].clone()));
            }
        }
    }
    let last = events.last().expect("an end");
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert!(last["usageMetadata"]["promptTokenCount"].as_u64() > Some(0));
    (text, called)
}

/// An agent of every dialect, on the demo model behind an endpoint of every dialect.
#[tokio::test]
async fn every_dialect_reaches_every_other() {
    let demo = broker(Vec::new(), Limits::default());
    for from in DIALECTS {
        let model = Sandbox::new(&demo, from).await;
        let gate = broker(vec![endpoint(from, model.address)], Limits::default());
        for to in DIALECTS {
            for stream in [false, true] {
                let mut sandbox = Sandbox::new(&gate, to).await;
                let what = format!("{to:?} on {from:?}, streamed: {stream}");
                let mut turns = vec![Turn::Said("run ls; say 3 words")];
                let asked = question(to, &turns, stream);
                let answer = sandbox.post(path(to, stream), &asked).await;
                let (text, called) = understood(to, &answer, stream);
                let called = called.unwrap_or_else(|| panic!("a call: {what}"));
                assert_eq!((called.name.as_str(), text.as_str()), ("shell", ""), "{what}");
                assert_eq!(called.arguments, json!({ "command": "ls" }), "{what}");
                let id = called.id.clone();
                turns.extend([Turn::Called(called), Turn::Returned(id, "a.md")]);
                let asked = question(to, &turns, stream);
                let answer = sandbox.post(path(to, stream), &asked).await;
                let (text, called) = understood(to, &answer, stream);
                let said = "demo model (scripted, not AI): I ran `ls`; it printed:\na.md\nw1 w2 w3";
                assert_eq!((text.as_str(), called), (said, None), "{what}");
                for _ in 0..2 {
                    let Event::Usage { input_tokens: 1.., output_tokens: 1.., .. } =
                        sandbox.report().await
                    else {
                        panic!("usage: {what}")
                    };
                }
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_and_not_sent() {
    let upstream = Scripted::always(whole("200 OK", "", "{}")).await;
    let gate = broker(vec![endpoint(ModelApi::OpenaiChat, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&gate, ModelApi::OpenaiResponses).await;
    let document = json!({ "model": "m", "max_tokens": 5, "messages": [{ "role": "user",
        "content": [{ "type": "document", "source": {} }] }] });
    let kept = json!({ "model": "m", "input": "x", "previous_response_id": "resp_1" });
    for (path, body) in [("/v1/messages", document), ("/v1/responses", kept)] {
        let answer = sandbox.post(path, &body.to_string()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "not_translatable"));
    }
    let many = format!("{{\"messages\":[],\"x\":[{}0]}}", "0,".repeat(1 << 20));
    let answer = sandbox.post("/v1/messages", &many).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn errors_of_an_endpoint_are_told_in_the_dialect_of_the_caller() {
    let body = r#"{"error":{"message":"the window is 4096 tokens","type":"x"}}"#;
    let upstream = Scripted::always(whole("400 Bad Request", "retry-after: 9\r\n", body)).await;
    let gate = broker(vec![endpoint(ModelApi::OpenaiChat, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&gate, ModelApi::AnthropicMessages).await;
    for to in [ModelApi::AnthropicMessages, ModelApi::OpenaiResponses, ModelApi::Gemini] {
        let answer = sandbox.post(path(to, true), &ask_in(to, "x", true)).await;
        assert_eq!(answer.status, 400);
        let message = answer.json()["error"]["message"].as_str().expect("words").to_owned();
        assert!(message.contains("the window is 4096 tokens"), "{message}");
    }
}

/// Everything that an endpoint may do with the key it was sent.
#[tokio::test]
async fn a_key_is_taken_out_of_translated_answers_and_errors() {
    let talks = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"key {KEY}!\"}}}}]}}\n\n");
    let fails = format!("data: {{\"error\":{{\"message\":\"bad key {KEY}\"}}}}\n\n");
    let stated = format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#);
    let said =
        format!(r#"{{"choices":[{{"message":{{"content":"{KEY}"}},"finish_reason":"stop"}}]}}"#);
    let head = String::from_utf8(streamed_head()).expect("text");
    let answers = [
        (head.clone() + &String::from_utf8(chunk(talks.as_bytes())).expect("text"), true),
        (head + &String::from_utf8(chunk(fails.as_bytes())).expect("text"), true),
        (whole("400 x", "", &stated), true),
        (whole("401 x", "", &stated), false),
        (whole("200 OK", "", &said), false),
        (whole("200 OK", "", &said), true),
        (whole("200 OK", "", &stated), false),
    ];
    for (answer, stream) in answers {
        for to in [ModelApi::AnthropicMessages, ModelApi::OpenaiResponses, ModelApi::Gemini] {
            let upstream = Scripted::always(answer.clone()).await;
            let gate =
                broker(vec![endpoint(ModelApi::OpenaiChat, upstream.address)], Limits::default());
            let mut sandbox = Sandbox::new(&gate, to).await;
            let got = sandbox.post(path(to, stream), &ask_in(to, "x", stream)).await;
            assert!(find(&got.raw, KEY.as_bytes()).is_none(), "{to:?}: {answer}");
            assert!(upstream.seen.lock()[0].contains(KEY), "the endpoint itself gets it");
            drop(sandbox.open.take());
            while let Some(event) = sandbox.reports.recv().await {
                assert!(!format!("{event:?}").contains(KEY), "{event:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_translated_answer_that_breaks_off_says_so() {
    let first = b"data: {\"choices\":[{\"delta\":{\"content\":\"hal\"}}]}\n\n";
    for rest in [&b""[..], b"data: {\"choices\":[{\n\n", b"data: nonsense\n\n"] {
        let upstream = Scripted::new(move |_| {
            let pieces = [first, rest].into_iter().filter(|piece| !piece.is_empty());
            let pieces = pieces.map(|piece| Step::Send(chunk(piece)));
            let head = Step::Send(streamed_head());
            [head].into_iter().chain(pieces).chain([Step::Send(b"0\r\n\r\n".to_vec())]).collect()
        })
        .await;
        let gate =
            broker(vec![endpoint(ModelApi::OpenaiChat, upstream.address)], Limits::default());
        let to = ModelApi::AnthropicMessages;
        let sandbox = Sandbox::new(&gate, to).await;
        let answer = sandbox.post(path(to, true), &ask_in(to, "x", true)).await;
        assert!(!answer.whole && answer.text().contains("\"hal\""), "{}", answer.text());
        assert!(answer.text().contains("event: error"), "{}", answer.text());
        assert!(!answer.text().contains("message_stop"), "{}", answer.text());
    }
}

/// Agents ask for longer answers than small models know.
#[tokio::test]
async fn an_answer_is_limited_to_what_the_endpoint_takes() {
    let said = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}]}"#;
    let upstream = Scripted::always(whole("200 OK", "", said)).await;
    let small = Endpoint::new(EndpointParts {
        name: "small".into(),
        api: ModelApi::OpenaiChat,
        base_url: format!("http://{}", upstream.address),
        key: Some(Secret::new(KEY.into())),
        model: "m".into(),
        models: Vec::new(),
        runners: Vec::new(),
        max_tokens: Some(64),
        prices: Vec::new(),
    });
    let gate = broker(vec![small.expect("an endpoint")], Limits::default());
    let sandbox = Sandbox::new(&gate, ModelApi::AnthropicMessages).await;
    let body = json!({ "model": "m", "max_tokens": 32_000,
        "messages": [{ "role": "user", "content": "x" }] });
    let answer = sandbox.post("/v1/messages", &body.to_string()).await.json();
    assert_eq!(answer["stop_reason"], "max_tokens");
    let seen = upstream.seen.lock().pop().expect("a request");
    let sent = json_of(seen.split_once("\r\n\r\n").expect("a body").1);
    assert_eq!(
        sent,
        json!({ "model": "m", "stream": false, "max_tokens": 64,
        "messages": [{ "role": "user", "content": "x" }] })
    );
}
