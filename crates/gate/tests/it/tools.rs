//! Servers of tools behind the gate: what a sandbox reaches of them, and what it never learns.

use std::net::SocketAddr;
use std::sync::Arc;

use gate::{Secret, Server, ServerParts};
use model::event::Brokered;
use model::{Event, InputTrust, Mode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use trust::Reach;

use crate::support::{
    KEY, Sandbox, Scripted, Step, chunk, request, soon, streamed_head, whole, with_servers,
};

const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-03-26","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}"#;

fn server(address: SocketAddr) -> Server {
    Server::new(ServerParts {
        name: "tracker".into(),
        about: "issues".into(),
        url: format!("http://{address}/deep/mcp"),
        key: Some(Secret::new(KEY.into())),
        header: None,
        reads: vec!["search".into()],
        acts: vec!["close".into()],
        untrusted: false,
    })
    .expect("a good server")
}

/// A server that begins a session and then answers by this script, from 0.
async fn scripted(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Scripted {
    Scripted::new(move |number| match number {
        0 => send(whole("200 OK", "mcp-session-id: s-1\r\n", HELLO)),
        1 => send(whole("202 Accepted", "", "")),
        n => script(n - 2),
    })
    .await
}

fn send(answer: String) -> Vec<Step> {
    vec![Step::Send(answer.into_bytes())]
}

fn rpc(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": "q-7", "method": method, "params": params}).to_string()
}

fn called(tool: &str, arguments: &Value) -> String {
    rpc("tools/call", &json!({"name": tool, "arguments": arguments}))
}

fn writer() -> Reach {
    Reach::of(InputTrust::Trusted, [Mode::ReadWrite])
}

async fn sandbox_of(scripted: &Scripted, tools: &[&str], reach: Reach) -> Sandbox {
    let broker = with_servers(vec![server(scripted.address)]);
    Sandbox::with_tools(&broker, tools, reach).await
}

fn outcome(event: &Event) -> Brokered {
    let told = match event {
        Event::Brokered { outcome, .. } => Some(*outcome),
        _ => None,
    };
    told.expect("a call is told")
}

#[tokio::test]
async fn an_agent_begins_without_a_word_to_the_server_behind() {
    let behind = scripted(|_| vec![]).await;
    let sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
    for (asked, spoken) in
        [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")]
    {
        let hello = rpc("initialize", &json!({"protocolVersion": asked, "capabilities": {}}));
        let answer = sandbox.post("/mcp/tracker", &hello).await;
        let answer = answer.json();
        assert_eq!(
            (&answer["id"], &answer["result"]["protocolVersion"]),
            (&json!("q-7"), &json!(spoken))
        );
        assert_eq!(answer["result"]["capabilities"], json!({"tools": {}}));
    }
    let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert_eq!(sandbox.post("/mcp/tracker", &begun).await.status, 202);
    assert_eq!(
        sandbox.post("/mcp/tracker", &rpc("ping", &json!({}))).await.json()["result"],
        json!({})
    );
    let other = sandbox.post("/mcp/tracker", &rpc("resources/list", &json!({}))).await;
    assert_eq!(other.json()["error"]["code"], -32601);
    let get = "GET /mcp/tracker HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(sandbox.send(get).await.status, 405);
    assert_eq!(behind.requests(), 0);
}

#[tokio::test]
async fn only_tools_that_may_be_called_are_seen_and_called() {
    let list = json!({"jsonrpc": "2.0", "id": 2, "result": {"tools": [
        {"name": "search", "inputSchema": {"type": "object"}, "x-unknown": [1]},
        {"name": "delete_everything", "inputSchema": {"type": "object"}},
        {"name": "close", "inputSchema": {"type": "object"}},
    ]}})
    .to_string();
    let found = json!({"jsonrpc": "2.0", "id": 2, "result": {"content": [{"type": "text", "text": KEY}], "more": {"kept": true}}});
    let behind = scripted(move |number| {
        if number == 0 {
            send(whole("200 OK", "", &list))
        } else {
            let progress = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
            let data = format!("event: message\ndata: {found}\n\n");
            vec![
                Step::Send(streamed_head()),
                Step::Send(chunk(progress)),
                Step::Send(chunk(data.as_bytes())),
                Step::Hang,
            ]
        }
    })
    .await;
    let mut sandbox =
        sandbox_of(&behind, &["tracker"], Reach::of(InputTrust::Trusted, [Mode::Propose])).await;
    let list = sandbox.post("/mcp/tracker", &rpc("tools/list", &json!({}))).await.json();
    let tools = list["result"]["tools"].as_array().expect("tools").clone();
    assert_eq!(
        tools,
        [json!({"name": "search", "inputSchema": {"type": "object"}, "x-unknown": [1]})]
    );

    for tool in ["close", "delete_everything", "nothing"] {
        let refused = sandbox.post("/mcp/tracker", &called(tool, &json!({}))).await.json();
        assert_eq!(refused["error"]["code"], -32602, "{tool}");
        assert_eq!(outcome(&sandbox.report().await), Brokered::Refused);
    }
    assert_eq!(behind.requests(), 3, "what is refused is not sent");

    let answer = sandbox.post("/mcp/tracker", &called("search", &json!({"q": "plan"}))).await;
    let result = answer.json()["result"].clone();
    assert_eq!(
        result,
        json!({"content": [{"type": "text", "text": "[redacted]"}], "more": {"kept": true}})
    );
    let Event::Brokered { server, tool, arguments, outcome, .. } = sandbox.report().await else {
        panic!("it is told")
    };
    assert_eq!((server.as_str(), &*tool, outcome), ("tracker", "search", Brokered::Answered));
    assert_eq!(arguments, json!({"q": "plan"}));

    let seen = behind.seen.lock().clone();
    let request = seen.last().expect("a request").to_ascii_lowercase();
    for part in [
        "post /deep/mcp http/1.1",
        &format!("authorization: bearer {KEY}"),
        "mcp-session-id: s-1",
        "mcp-protocol-version: 2025-03-26",
        "\"method\":\"tools/call\"",
    ] {
        assert!(request.contains(part), "{part} is in {request}");
    }
    assert!(!request.contains("bearer mine"), "the caller's own headers stay behind");
}

#[tokio::test]
async fn what_was_not_given_is_not_there() {
    let behind = scripted(|_| vec![]).await;
    let outside = Reach::of(InputTrust::Untrusted, [Mode::Propose]);
    for (tools, reach) in [
        (&[][..], writer()),
        (&["other"], writer()),
        (&["tracker.none"], writer()),
        (&["tracker"], outside),
    ] {
        let sandbox = sandbox_of(&behind, tools, reach).await;
        for name in ["tracker", "other", "knowledge", "", "../v1", "tracker/x"] {
            let answer = sandbox.post(&format!("/mcp/{name}"), &called("search", &json!({}))).await;
            assert_eq!(answer.status, 404, "{name} {tools:?}");
        }
    }
    assert_eq!(behind.requests(), 0);
}

#[tokio::test]
async fn a_session_that_was_forgotten_begins_anew_and_the_call_is_made_once() {
    let done = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[],"isError":true}}"#;
    let behind = scripted(move |number| match number {
        0 => send(whole("404 Not Found", "", "{}")),
        1 => send(whole("200 OK", "mcp-session-id: s-2\r\n", HELLO)),
        2 => send(whole("202 Accepted", "", "")),
        _ => send(whole("200 OK", "", done)),
    })
    .await;
    let mut sandbox = sandbox_of(&behind, &["tracker.close"], writer()).await;
    let answer = sandbox.post("/mcp/tracker", &called("close", &json!({"id": 1}))).await.json();
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(outcome(&sandbox.report().await), Brokered::Failed);
    let calls = |seen: &str| seen.contains("tools/call");
    assert_eq!(
        behind.seen.lock().iter().filter(|seen| calls(seen)).count(),
        2,
        "refused, then made"
    );
}

#[tokio::test]
async fn a_server_that_fails_is_told_and_never_with_its_key() {
    for (answer, part) in [
        (whole("401 Unauthorized", "", &format!("{{\"error\":\"{KEY}\"}}")), "refused the key"),
        (whole("302 Found", "location: http://127.0.0.1:1/\r\n", ""), "status 302"),
        (whole("500 Oops", "", KEY), "status 500"),
        (whole("200 OK", "", "[]"), "not one of the Model Context Protocol"),
        (
            whole("200 OK", "", &format!("{{\"id\":2,\"result\":\"{}\"}}", "x".repeat(3 << 20))),
            "longer than",
        ),
    ] {
        let behind = scripted(move |_| send(answer.clone())).await;
        let mut sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
        let answer = sandbox.post("/mcp/tracker", &called("search", &json!({}))).await;
        let result = answer.json()["result"].clone();
        assert_eq!(result["isError"], true, "{part}");
        let text = result["content"][0]["text"].as_str().expect("a text").to_owned();
        assert!(text.contains(part), "{part}: {text}");
        let mut told = vec![sandbox.report().await];
        if !matches!(told[0], Event::Brokered { .. }) {
            told.push(sandbox.report().await);
        }
        assert_eq!(outcome(told.last().expect("told")), Brokered::Unanswered, "{part}");
        let all = format!("{told:?}{}", String::from_utf8_lossy(&answer.raw));
        assert!(!all.contains(KEY), "{part}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_server_is_passed_on_in_its_words() {
    let stated = format!(
        r#"{{"jsonrpc":"2.0","id":2,"error":{{"code":-32050,"message":"no such issue {KEY}"}}}}"#
    );
    let behind = scripted(move |_| send(whole("200 OK", "", &stated))).await;
    let mut sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
    let answer = sandbox.post("/mcp/tracker", &called("search", &json!({}))).await.json();
    assert_eq!(answer["error"], json!({"code": -32050, "message": "no such issue [redacted]"}));
    assert_eq!(outcome(&sandbox.report().await), Brokered::Failed);
}

#[tokio::test]
async fn hostile_messages_get_an_answer_and_reach_nobody() {
    let behind = scripted(|_| vec![]).await;
    let sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
    let deep = format!(r#"{{"id":1,"method":"tools/call","params":{}1"#, "[".repeat(100_000));
    let long = format!(r#"{{"id":"{}","method":"ping"}}"#, "x".repeat(1_000));
    for body in ["", "[]", "{", "\u{0}", r#"[{"id":1,"method":"ping"}]"#, &deep, &long] {
        let answer = sandbox.post("/mcp/tracker", body).await;
        assert_eq!(answer.status, 200, "{body:.30}");
        assert!(answer.json()["error"]["code"].is_i64(), "{body:.30}");
    }
    for params in [json!([]), json!({"name": 1}), json!({"name": "search", "arguments": [1]})] {
        let answer = sandbox.post("/mcp/tracker", &rpc("tools/call", &params)).await;
        assert_eq!(answer.json()["error"]["code"], -32602, "{params}");
    }
    let large = "POST /mcp/tracker HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n";
    assert_eq!(sandbox.send(large).await.status, 413);
    assert_eq!(behind.requests(), 0);
}

#[tokio::test]
async fn a_call_is_told_though_its_caller_hung_up() {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reaches, goes) = (reached.clone(), go.clone());
    let behind = scripted(move |_| {
        reaches.notify_one();
        let done = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#;
        vec![Step::Await(goes.clone()), Step::Send(whole("200 OK", "", done).into_bytes())]
    })
    .await;
    let mut sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
    let mut connection = sandbox.connect().await;
    let call = request("POST", "/mcp/tracker", "", &called("close", &json!({"id": 1})));
    soon(connection.write_all(call.as_bytes())).await.expect("a request sent");
    soon(reached.notified()).await;
    drop(connection);
    go.notify_one();
    assert_eq!(outcome(&sandbox.report().await), Brokered::Answered);
}

#[tokio::test]
async fn a_list_without_an_end_comes_to_one_and_names_each_tool_once() {
    let page = json!({"jsonrpc": "2.0", "id": 2, "result": {
        "tools": [{"name": "search", "n": 1}, {"name": "search", "n": 2}, {"name": 7}, 7],
        "nextCursor": "more",
    }});
    let behind = scripted(move |_| send(whole("200 OK", "", &page.to_string()))).await;
    let sandbox = sandbox_of(&behind, &["tracker"], writer()).await;
    let list = sandbox.post("/mcp/tracker", &rpc("tools/list", &json!({}))).await.json();
    assert_eq!(list["result"], json!({"tools": [{"name": "search", "n": 1}]}));
    assert_eq!(behind.requests(), 2 + 16);
}
