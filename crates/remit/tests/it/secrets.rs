//! The key of a model endpoint reaches the endpoint, and nobody else: not the box, not the stream,
//! not the log, not an error, not the disk, not `config show`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::{Answer, Folder, Server, Start, backend};

/// The key of the endpoint, which must stay behind the gate.
pub(crate) const KEY: &str = "canary-key-7f3a91c2d4e5f60718";

/// Looks for the key in all that a box can see. The pattern never holds the key itself, and finds the
/// file that stands there to show that it would.
const LOOK: &str = r"printf %s-key-7f3a91c2d4e5f60718 control > control.txt
env
cat /proc/*/environ /proc/*/cmdline /proc/*/comm 2>/dev/null | tr '\0' '\n' | grep -cE 'canar[y]-key'
grep -rlsE '(canar[y]|contro[l])-key-7f3a91c2' /etc /home /opt /root /run /session /tmp /var /workspace /dev/shm
ls -d /proc/[0-9]* | wc -l; ls /";

/// What a request to the endpoint was: its head as it came, its body read.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// An endpoint that speaks every dialect just well enough, and misbehaves when it is told to.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Endpoint {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = seen.clone();
                // A caller that hangs up is no matter of the endpoint's.
                std::thread::spawn(move || stream.and_then(|stream| serve(stream, &seen)));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().expect("a number"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    if last(&body).to_string().contains("hang please") {
        seen.lock().push(Asked { head, body });
        // Until the caller hangs up.
        return reader.read_to_end(&mut Vec::new()).map(|_| ());
    }
    let (status, answer) = answer(&head, &body);
    seen.lock().push(Asked { head, body });
    let answer = answer.to_string();
    let length = answer.len();
    let mut stream = reader.into_inner();
    // The key in a header of the answer too: no header of an endpoint may carry it further.
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: {KEY}\r\n\
         retry-after: {KEY}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )
}

/// The last thing that was said to the endpoint, in whatever dialect.
fn last(body: &Value) -> &Value {
    let lists = ["messages", "input", "contents"].iter().filter_map(|name| body[name].as_array());
    lists.flatten().next_back().expect("a message")
}

/// The longest text in it: what a tool returned.
fn longest(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        Value::Array(items) => items.iter().map(longest).max_by_key(|it| it.len()).unwrap_or(""),
        Value::Object(fields) => {
            fields.values().map(longest).max_by_key(|it| it.len()).unwrap_or("")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => "",
    }
}

/// What the endpoint says or does.
enum Says {
    Text(String),
    Look,
}

/// What is answered: the last thing that was said decides, and the path which dialect.
fn answer(head: &str, body: &Value) -> (&'static str, Value) {
    let last = format!("{} {}", last(body), body["model"]).replace("-please", " please");
    let is_result = ["\"tool\"", "tool_result", "function_call_output", "functionResponse"];
    let says = if last.contains("fail please") {
        return ("400 Bad Request", json!({"error": {"message": format!("bad: {head}")}}));
    } else if last.contains("refuse please") {
        return ("401 Unauthorized", json!({"error": {"message": format!("bad: {head}")}}));
    } else if last.contains("redirect please") {
        return ("302 Found\r\nlocation: http://127.0.0.1:9/", json!({}));
    } else if last.contains("tell please") || last.contains("word ok") {
        Says::Text(format!("your key is {KEY}, I was sent: {head}"))
    } else if is_result.iter().any(|sign| last.contains(sign)) {
        Says::Text("looked".to_owned())
    } else {
        Says::Look
    };
    ("200 OK", in_dialect(head.split(' ').nth(1).expect("a path"), says))
}

fn in_dialect(path: &str, says: Says) -> Value {
    let arguments = json!({"command": LOOK});
    match (path.split('?').next().expect("a path"), says) {
        ("/v1/messages", says) => {
            let (block, stop) = match says {
                Says::Text(text) => (json!({"type": "text", "text": text}), "end_turn"),
                Says::Look => (
                    json!({"type": "tool_use", "id": "c1", "name": "run", "input": arguments}),
                    "tool_use",
                ),
            };
            json!({"type": "message", "role": "assistant", "content": [block], "stop_reason": stop})
        }
        ("/v1/responses", says) => {
            let item = match says {
                Says::Text(text) => {
                    json!({"type": "message", "content": [{"type": "output_text", "text": text}]})
                }
                Says::Look => json!({
                    "type": "function_call", "call_id": "c1", "name": "run",
                    "arguments": arguments.to_string(),
                }),
            };
            json!({"status": "completed", "output": [item]})
        }
        ("/v1/chat/completions", says) => {
            let message = match says {
                Says::Text(text) => json!({"role": "assistant", "content": text}),
                Says::Look => {
                    let function = json!({"name": "run", "arguments": arguments.to_string()});
                    let call = json!([{"id": "c1", "type": "function", "function": function}]);
                    json!({"role": "assistant", "content": null, "tool_calls": call})
                }
            };
            json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        }
        (_, says) => {
            let part = match says {
                Says::Text(text) => json!({"text": text}),
                Says::Look => json!({"functionCall": {"name": "run", "args": arguments}}),
            };
            let content = json!({"role": "model", "parts": [part]});
            json!({"candidates": [{"content": content, "finishReason": "STOP"}]})
        }
    }
}

fn start(folder: &Folder, endpoint: &Endpoint, api: &str) -> Server {
    Start::on(folder)
        .arg("--log")
        .arg("debug")
        .setting("model.url", &endpoint.url)
        .setting("model.api", api)
        .setting("model.name", "scripted")
        .setting("model.key", KEY)
        .server()
}

/// Files below `folder` that hold any of these texts.
pub(crate) fn holders(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            found.extend(holders(&path, texts));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
            if texts.iter().any(|text| holds(text)) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn the_key_reaches_an_endpoint_of_chat_completions_and_is_seen_nowhere_else() {
    check("openai", &format!("authorization: bearer {KEY}")).await;
}

#[tokio::test]
async fn the_key_reaches_an_endpoint_of_responses_and_is_seen_nowhere_else() {
    check("responses", &format!("authorization: bearer {KEY}")).await;
}

#[tokio::test]
async fn the_key_reaches_an_endpoint_of_anthropic_and_is_seen_nowhere_else() {
    check("anthropic", &format!("x-api-key: {KEY}")).await;
}

#[tokio::test]
async fn the_key_reaches_an_endpoint_of_gemini_and_is_seen_nowhere_else() {
    check("gemini", &format!("x-goog-api-key: {KEY}")).await;
}

#[tokio::test]
async fn the_key_of_a_person_reaches_their_endpoint_and_is_seen_nowhere_else() {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = Start::on(&folder).arg("--log").arg("debug");
    let server = server.setting("model.persons", &endpoint.url).server();
    let me = server.client();
    let body = json!({"api": "anthropic", "url": endpoint.url, "key": KEY, "model": "scripted"});
    let put = Answer::of(me.request("PUT", "/auth/endpoints/mine").json(&body)).await;
    assert_eq!(put.status.as_u16(), 201, "{put:?}");
    let mut told = vec![format!("{put:?}")];
    for path in ["/auth/endpoints", "/auth/endpoints/mine"] {
        told.push(me.get(path).await.ok().to_string());
    }
    // Badly sent, it is not said back.
    for bad in [json!({"key": format!("{KEY} {KEY}")}), json!({"key": [KEY]}), json!({"keys": KEY})]
    {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").append(&mut bad.as_object().expect("it").clone());
        let put = Answer::of(me.request("PUT", "/auth/endpoints/mine").json(&body)).await;
        assert_eq!(put.status.as_u16(), 422, "{put:?}");
        told.push(format!("{put:?}"));
    }
    told.push(me.post("/auth/endpoints/mine/test", json!({})).await.ok().to_string());
    assert!(!told.concat().contains(KEY), "{told:?}");
    seen_nowhere((folder, server, &endpoint), Some("@mine/scripted"), &format!("x-api-key: {KEY}"))
        .await;
}

/// An agent looks for the key of an endpoint of this dialect, which is sent in this header.
async fn check(api: &str, header: &str) {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = start(&folder, &endpoint, api);
    seen_nowhere((folder, server, &endpoint), None, header).await;
}

async fn seen_nowhere(
    (folder, server, endpoint): (Folder, Server, &Endpoint),
    model: Option<&str>,
    header: &str,
) {
    let me = server.client();
    let looked = me.turn_with(model, json!({"prompt": "look around"})).await.ok();
    assert_eq!(looked.reply(), "looked");
    let asked = endpoint.asked();
    assert!(asked.len() >= 2, "{asked:#?}");
    for Asked { head, body } in &asked {
        assert!(head.to_lowercase().contains(header), "the endpoint gets its key: {head}");
        assert!(!body.to_string().contains(KEY), "what the agent sent: {body:#}");
    }
    let result = longest(last(&asked.last().expect("asked").body)).to_owned();
    assert!(result.contains("REMIT_GATE_URL="), "the environment was looked at: {result}");
    if backend() == "native" {
        let lines: Vec<_> = result.lines().collect();
        assert!(lines.contains(&"0"), "no process shows it: {result}");
        let files: Vec<_> = lines.iter().filter(|line| line.starts_with('/')).collect();
        assert_eq!(files, [&"/workspace/control.txt"], "{result}");
    }
    let mut frames = looked.frames.clone();
    for prompt in ["fail please", "refuse please", "tell please"] {
        let turn = me.turn_with(model, json!({"prompt": prompt})).await;
        frames.extend(turn.frames);
        let events = me.events(&turn.dispatch).await;
        assert!(!format!("{events:?}").contains(KEY), "{prompt}: {events:#?}");
    }
    assert!(frames.iter().all(|frame| !frame.raw.contains(KEY)), "{frames:#?}");
    let log = server.log();
    assert!(log.contains("DEBUG") && !log.contains(KEY), "the log");
    assert_eq!(holders(folder.path(), &[KEY]), Vec::<String>::new());
    assert!(server.stop().success());
    assert_eq!(holders(folder.path(), &[KEY]), Vec::<String>::new());
}

#[test]
fn the_configuration_is_shown_without_its_keys() {
    let folder = Folder::new();
    let path = folder.path().join("model.key");
    std::fs::write(&path, KEY).expect("written");
    let variables = [("REMIT_MODEL__KEY", KEY)];
    for args in [&["config", "show", "--origin"][..], &["--json", "config", "show"]] {
        let ran = folder.run_with(args, &variables).ok();
        assert!(ran.out.contains("model.key") && !ran.out.contains(KEY), "{ran:?}");
        assert!(!ran.err.contains(KEY), "{ran:?}");
    }
    // A wrong address beside it must not make the program say the key.
    let bad =
        [("REMIT_MODEL__KEY", KEY), ("REMIT_MODEL__URL", "ftp://x"), ("REMIT_MODEL__NAME", "m")];
    let ran = folder.run_with(&["up", "--listen", "127.0.0.1:0"], &bad);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains(KEY) && !ran.out.contains(KEY), "{ran:?}");
    let broken = format!("{KEY}\u{7}");
    let bad = [
        ("REMIT_MODEL__KEY", &*broken),
        ("REMIT_MODEL__URL", "http://x"),
        ("REMIT_MODEL__NAME", "m"),
    ];
    let ran = folder.run_with(&["up", "--listen", "127.0.0.1:0"], &bad);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains(KEY) && !ran.out.contains(KEY), "{ran:?}");
}
