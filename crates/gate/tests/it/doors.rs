//! What a door lets in, under which name, and how much of it.

use std::time::Duration;

use gate::Limits;
use gate::limit::CONNECTIONS_MAX;
use model::{Event, ModelApi};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{Sandbox, Scripted, Step, ask, broker, endpoint, read_answer, request, soon};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;
const OPENAI: ModelApi = ModelApi::OpenaiChat;

fn brief(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn both_kinds_of_doors_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("gate.sock");
    let broker = broker(Vec::new(), Limits::default());
    let sandbox = Sandbox::with_unix(&broker, ANTHROPIC, Some(&socket)).await;
    let get = request("GET", "/health", "", "");
    assert_eq!(sandbox.send(&get).await.text(), r#"{"status":"ok"}"#);
    let mut unix = UnixStream::connect(&socket).await.expect("an open door");
    unix.write_all(get.as_bytes()).await.expect("a request sent");
    assert_eq!(read_answer(unix).await.text(), r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn a_caller_cannot_pass_for_another() {
    let broker = broker(Vec::new(), Limits::default());
    let mut honest = Sandbox::new(&broker, ANTHROPIC).await;
    let mut liar = Sandbox::new(&broker, ANTHROPIC).await;
    let host = format!("x-dispatch: dsp_1\r\nx-forwarded-for: {}\r\n", honest.address);
    let lie = request("POST", "/v1/messages", &host, &ask("say 3 words", false));
    assert_eq!(liar.send(&lie).await.status, 200);
    assert!(matches!(liar.report().await, Event::Usage { output_tokens: 3, .. }));
    assert!(honest.reports.try_recv().is_err());
    honest.post("/v1/messages", &ask("say 5 words", false)).await;
    assert!(matches!(honest.report().await, Event::Usage { output_tokens: 5, .. }));
    assert!(liar.reports.try_recv().is_err());
}

#[tokio::test]
async fn closing_the_gate_closes_doors_connections_and_calls() {
    let upstream = Scripted::new(|_| vec![Step::Hang]).await;
    let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let mut idle = sandbox.connect().await;
    let mut asking = sandbox.connect().await;
    let question = request("POST", "/v1/messages", "", &ask("x", true));
    asking.write_all(question.as_bytes()).await.expect("a request sent");
    soon(async {
        while upstream.requests() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(sandbox.open.take());
    soon(upstream.left.notified()).await;
    let mut nothing = Vec::new();
    for connection in [&mut idle, &mut asking] {
        let read = soon(connection.read_to_end(&mut nothing)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{nothing:?}");
    }
    soon(async { while TcpStream::connect(sandbox.address).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_call() {
    let upstream = Scripted::new(|_| vec![Step::Hang]).await;
    let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let mut asking = sandbox.connect().await;
    let question = request("POST", "/v1/messages", "", &ask("x", true));
    asking.write_all(question.as_bytes()).await.expect("a request sent");
    soon(async {
        while upstream.requests() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(asking);
    soon(upstream.left.notified()).await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_the_dialect_of_the_runner() {
    let broker = broker(Vec::new(), Limits::default());
    let anthropic = Sandbox::new(&broker, ANTHROPIC).await;
    let openai = Sandbox::new(&broker, OPENAI).await;
    for path in ["/", "/api/hello", "/v1/messages/../../health", "//health", "/v1/models/x", "*"] {
        let answer = anthropic.send(&request("GET", path, "", "")).await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (404, Some("error")), "{path}");
        let answer = openai.send(&request("GET", path, "", "")).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        assert!(answer.json()["error"]["param"].is_null());
    }
    let head = openai.send(&request("HEAD", "/", "", "")).await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    let wrong = openai.send(&request("GET", "/v1/messages", "", "")).await;
    assert_eq!((wrong.status, wrong.headers["allow"].as_str()), (405, "POST"));
    assert_eq!(
        openai
            .send("CONNECT evil:443 HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n")
            .await
            .status,
        404
    );
    assert_eq!(openai.send(&request("GET", "http://evil/health", "", "")).await.status, 200);
}

#[tokio::test]
async fn the_one_model_is_listed_in_both_dialects() {
    let broker = broker(Vec::new(), Limits::default());
    for api in [ANTHROPIC, OPENAI] {
        let sandbox = Sandbox::new(&broker, api).await;
        let list = sandbox.send(&request("GET", "/v1/models", "", "")).await.json();
        assert_eq!(list["data"][0]["id"], "remit-demo");
        assert!(list.to_string().contains("demo model (scripted, not AI)"));
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let broker = broker(Vec::new(), brief(|limits| limits.body_bytes_max = 1 << 10));
    let sandbox = Sandbox::new(&broker, OPENAI).await;
    let stated = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1025\r\n\r\n";
    let answer = sandbox.send(stated).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1 << 10));
    let unstated = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    assert_eq!(sandbox.send(&unstated).await.status, 413);
}

#[tokio::test]
async fn a_request_that_dribbles_in_is_given_up() {
    let short = Duration::from_secs(1);
    let house = broker(Vec::new(), brief(|limits| limits.head = short));
    let sandbox = Sandbox::new(&house, OPENAI).await;
    for start in ["", "POST /v1/mess", "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx: "] {
        let mut connection = sandbox.connect().await;
        connection.write_all(start.as_bytes()).await.expect("a beginning sent");
        let mut answer = Vec::new();
        soon(connection.read_to_end(&mut answer)).await.expect("the end");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    }
    // A head that is whole comes late on a slow machine, too: only its body has little time.
    let house = broker(Vec::new(), brief(|limits| limits.body = short));
    let sandbox = Sandbox::new(&house, OPENAI).await;
    let body = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{";
    let answer = sandbox.send(body).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_too_slow"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let broker = broker(Vec::new(), Limits::default());
    let sandbox = Sandbox::new(&broker, OPENAI).await;
    let many = "a: b\r\n".repeat(100);
    let long = format!("a: {}\r\n", "b".repeat(100 << 10));
    for headers in [many, long] {
        let mut connection = sandbox.connect().await;
        let request = request("GET", "/health", &headers, "");
        // The gate may hang up before all of it is sent.
        drop(connection.write_all(request.as_bytes()).await);
        let mut answer = Vec::new();
        drop(soon(connection.read_to_end(&mut answer)).await);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    }
    assert_eq!(sandbox.send(&request("GET", "/health", "", "")).await.status, 200);
}

#[tokio::test]
async fn garbage_harms_its_own_connection_alone() {
    let broker = broker(Vec::new(), Limits::default());
    let sandbox = Sandbox::new(&broker, OPENAI).await;
    for garbage in [
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\n\r\n",
    ] {
        let mut connection = sandbox.connect().await;
        connection.write_all(garbage.as_bytes()).await.expect("garbage sent");
        connection.shutdown().await.expect("an end");
        let mut answer = Vec::new();
        drop(soon(connection.read_to_end(&mut answer)).await);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    let smuggled =
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}";
    assert_eq!(sandbox.send(smuggled).await.status, 400);
    assert_eq!(sandbox.send(&request("GET", "/health", "", "")).await.status, 200);
}

#[tokio::test]
async fn a_caller_has_only_so_many_connections_and_harms_no_other() {
    let broker = broker(Vec::new(), Limits::default());
    let greedy = Sandbox::new(&broker, OPENAI).await;
    let modest = Sandbox::new(&broker, OPENAI).await;
    let get = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = greedy.connect().await;
        connection.write_all(get.as_bytes()).await.expect("a request sent");
        let mut first = [0; 12];
        soon(connection.read_exact(&mut first)).await.expect("an answer");
        held.push(connection);
    }
    let mut waiting = greedy.connect().await;
    waiting.write_all(get.as_bytes()).await.expect("a request sent");
    assert_eq!(modest.send(&request("GET", "/health", "", "")).await.status, 200);
    let unanswered = tokio::time::timeout(Duration::from_millis(100), waiting.readable()).await;
    assert!(unanswered.is_err(), "the next connection waits in the kernel");
    drop(held.pop());
    let mut first = [0; 12];
    soon(waiting.read_exact(&mut first)).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_given_up() {
    // A unix socket holds a fixed, small amount that nobody reads.
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("gate.sock");
    let limits = brief(|limits| limits.unread = Duration::from_millis(200));
    let broker = broker(Vec::new(), limits);
    let mut sandbox = Sandbox::with_unix(&broker, OPENAI, Some(&socket)).await;
    let mut connection = UnixStream::connect(&socket).await.expect("an open door");
    let question = request("POST", "/v1/messages", "", &ask("say 100000 words", true));
    connection.write_all(question.as_bytes()).await.expect("a request sent");
    // The report comes when the call is over, though nobody read a byte of it.
    assert!(matches!(sandbox.report().await, Event::Usage { .. }));
    let mut some = Vec::new();
    drop(soon(connection.read_to_end(&mut some)).await);
    assert!(!some.ends_with(b"0\r\n\r\n"), "it was broken off");
}
