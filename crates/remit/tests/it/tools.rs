//! Tools behind the gate, end to end: given by name, called by the built-in agent in its sandbox, told
//! in the stream, and refused where they were not given.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Folder, Server, Start, Stream};
use crate::judge::of_type;

const CANARY: &str = "canary-tool-key-4d1c7e";

async fn events(server: &Server, tools: &str, prompt: &str) -> (String, Vec<Value>) {
    let me = server.client();
    let path = format!("/agent/chat?tools={tools}");
    let request = me.request("POST", &path).json(&json!({"prompt": prompt}));
    let dispatch = Stream::of(request).await.turn().await.dispatch;
    let events = me.events(&dispatch).await;
    (dispatch, events)
}

#[tokio::test]
async fn an_agent_searches_what_it_was_given_and_nothing_else() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    me.turn(json!({"prompt": "write \"# Heron plan\" to plan.md"})).await.ok();

    let search =
        "call knowledge.search {\"query\":\"heron\"}; call knowledge.links {\"path\":\"plan.md\"}";
    let (dispatch, told) = events(&server, "knowledge", search).await;
    let brokered = of_type(&told, "brokered");
    let seen: Vec<_> = brokered.iter().map(|it| (&it["tool"], &it["outcome"])).collect();
    assert_eq!(
        seen,
        [(&json!("search"), &json!("answered")), (&json!("links"), &json!("answered"))]
    );
    assert_eq!(brokered[0]["arguments"], json!({"query": "heron"}));
    assert!(
        told.last().expect("events")["event"]["reply"]
            .as_str()
            .expect("a reply")
            .contains("plan.md")
    );
    assert_eq!(of_type(&told, "tool_call").len(), 2, "the agent tells of them too");
    let shown = me.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
    assert_eq!(shown["tools"], json!(["knowledge"]));

    let (_, told) = events(&server, "knowledge.links", search).await;
    assert!(of_type(&told, "brokered").iter().all(|it| it["tool"] == "links"), "{told:?}");
    let (_, told) = events(&server, "", search).await;
    assert_eq!(of_type(&told, "brokered"), [&Value::Null; 0]);
    for unknown in ["other", "knowledge.delete"] {
        let path = format!("/agent/chat?tools={unknown}");
        let refused = me.post(&path, json!({"prompt": "hi"})).await;
        assert_eq!(refused.status.as_u16(), 422, "{refused:?}");
        assert!(refused.body.contains("/agent/tools"), "{refused:?}");
    }
    let listed = folder.run(&["tool", "ls", "--json"]).ok();
    assert!(listed.out.contains("\"knowledge\""), "{listed:?}");
}

#[tokio::test]
async fn a_server_outside_is_called_with_a_key_that_nobody_else_sees() {
    let (asked, seen) = channel();
    let outside = outside(asked);
    let folder = Folder::new();
    let key = folder.path().join("key");
    std::fs::write(&key, CANARY).expect("writable");
    let settings = format!(
        "[mcp.tracker]\nurl = \"http://{outside}/mcp\"\nkey_file = {key:?}\nreads = [\"find\"]\nacts = [\"close\"]\n"
    );
    std::fs::write(folder.path().join("remit.toml"), settings).expect("writable");
    let server = Start::on(&folder).server();
    let prompt = "call tracker.find {\"id\":7}; call tracker.close {\"id\":7}; run env; run cat /proc/self/environ";
    let (dispatch, told) = events(&server, "tracker", prompt).await;
    let outcomes: Vec<_> =
        of_type(&told, "brokered").iter().map(|it| it["outcome"].clone()).collect();
    assert_eq!(outcomes, ["answered", "answered"], "{told:?}");
    let (_, told_reader) =
        events(&server, "tracker&workspace=home:ro", "call tracker.find {}; call tracker.close {}")
            .await;
    let called: Vec<_> =
        of_type(&told_reader, "brokered").iter().map(|it| it["tool"].clone()).collect();
    assert_eq!(called, ["find"], "what may only read acts nowhere: {told_reader:?}");
    let me = server.client();
    let first = me.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
    me.post(&format!("/agent/dispatches/{dispatch}/cancel"), json!({})).await.ok();
    me.until(&dispatch, "ended").await;
    let more = json!({"prompt": "write Hello to hello.md", "session": first["session"]});
    let more = me.request("POST", "/agent/chat?tools=").json(&more);
    let next = Stream::of(more).await.turn().await.dispatch;
    let next = me.get(&format!("/agent/dispatches/{next}")).await.ok();
    assert_eq!(next["tools"], json!([]));
    for shown in [first, next] {
        let read = &shown["label"]["integrity"];
        assert_eq!(read, &json!(["tools:tracker"]), "also where it goes on without them");
    }
    let all = format!("{told:?}{told_reader:?}{}", server.log());
    assert!(!all.contains(CANARY), "the key is told");
    drop(server);
    let requests: Vec<String> = seen.try_iter().collect();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(request.contains(&format!("Bearer {CANARY}")), "{request}");
    }
}

/// A server of tools, one connection a request, that tells what it was asked.
fn outside(asked: Sender<String>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        // Ends with the process of the test: nobody waits for it.
        while let Ok((stream, _)) = listener.accept() {
            if answer(stream, &asked).is_none() {
                return;
            }
        }
    });
    address
}

fn answer(mut stream: TcpStream, asked: &Sender<String>) -> Option<()> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let mut raw = Vec::new();
    let body = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).ok()?;
        if read == 0 {
            return Some(());
        }
        raw.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&raw).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            break body.to_owned();
        }
    };
    asked.send(String::from_utf8_lossy(&raw).into_owned()).ok()?;
    let message: Value = serde_json::from_str(&body).ok()?;
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let result = match message["method"].as_str() {
        Some("initialize") => {
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}})
        }
        Some("tools/list") => json!({"tools": [tool("find"), tool("close"), tool("hidden")]}),
        Some("tools/call") => json!({"content": [{"type": "text", "text": "issue 7"}]}),
        _ => Value::Null,
    };
    let (status, body) = match &message["id"] {
        Value::Null => ("202 Accepted", String::new()),
        id => ("200 OK", json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()
}
