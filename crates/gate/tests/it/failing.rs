//! Endpoints that are slow, broken or hostile: the caller learns what, why and what next.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gate::{Endpoint, Limits};
use model::{Event, ModelApi};
use tokio::time::Instant;

use crate::support::{
    Answer, Sandbox, Scripted, Step, ask, broker, chunk, endpoint, endpoint_parts, event, soon,
    streamed_head, whole,
};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;

/// Long enough to connect and ask in.
const SHORT: Duration = Duration::from_secs(2);

/// One question to this endpoint: the answer, and the first thing that was reported, if any.
async fn ask_once(upstream: &Scripted, limits: Limits) -> (Answer, Option<Event>) {
    let broker = broker(vec![endpoint(ANTHROPIC, upstream.address)], limits);
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let answer = sandbox.post("/v1/messages", &ask("x", true)).await;
    drop(sandbox.open.take());
    let report = soon(sandbox.reports.recv()).await.map(event);
    (answer, report)
}

#[tokio::test]
async fn a_passing_weakness_is_tried_again() {
    for status in ["429 x", "500 x", "502 x", "503 x", "504 x", "529 x"] {
        let bad = whole(status, "retry-after: 0\r\n", "{}").into_bytes();
        let upstream = Scripted::new(move |n| {
            let good = whole("200 OK", "", "{\"ok\":1}").into_bytes();
            vec![Step::Send(if n < 2 { bad.clone() } else { good })]
        })
        .await;
        let (answer, _) = ask_once(&upstream, Limits::default()).await;
        assert_eq!((answer.text(), upstream.requests()), ("{\"ok\":1}", 3), "{status}");
    }
}

#[tokio::test]
async fn what_stays_weak_is_passed_on_after_three_attempts() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"later"}}"#;
    let upstream =
        Scripted::always(whole("529 Overloaded", "x-request-id: r1\r\nserver: s\r\n", body)).await;
    let (answer, _) = ask_once(&upstream, Limits::default()).await;
    assert_eq!((answer.status, answer.text(), upstream.requests()), (529, body, 3));
    assert_eq!(answer.headers["x-request-id"], "r1");
    assert!(!answer.headers.contains_key("server"));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_connected_to_is_tried_again_after_growing_waits() {
    // It hangs up in the handshake, so that the attempts can be counted: until then nothing was asked.
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a loopback port");
    let mut secure = endpoint_parts(ANTHROPIC, listener.local_addr().expect("an address"));
    secure.base_url = secure.base_url.replace("http:", "https:");
    let endpoint = Endpoint::new(secure).expect("a good endpoint");
    let broker = broker(vec![endpoint], Limits::default());
    let sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let knocks = async {
        let mut at = vec![];
        while at.len() < 3 {
            let knocked = soon(listener.accept()).await.expect("a connection");
            at.push(Instant::now());
            drop(knocked);
        }
        at
    };
    let body = ask("x", true);
    let (answer, at) = tokio::join!(sandbox.post("/v1/messages", &body), knocks);
    assert_eq!(answer.status, 502);
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= Duration::from_millis(250), "{waits:?}");
    assert!(waits[1] >= Duration::from_millis(500), "{waits:?}");
    let more = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(more.is_err(), "three attempts are enough");
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_long_wait_is_not_tried_again() {
    let upstream = Scripted::always(whole("429 x", "retry-after: 60\r\n", "{}")).await;
    let (answer, _) = ask_once(&upstream, Limits::default()).await;
    assert_eq!((answer.status, upstream.requests()), (429, 1));
    assert_eq!(answer.headers["retry-after"], "60");
}

#[tokio::test]
async fn a_request_that_the_endpoint_finds_bad_is_passed_on_at_once() {
    let body = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let upstream = Scripted::always(whole("400 Bad Request", "", body)).await;
    let (answer, report) = ask_once(&upstream, Limits::default()).await;
    assert_eq!((answer.status, answer.text(), upstream.requests()), (400, body, 1));
    assert_eq!(report, None);
}

#[tokio::test]
async fn a_refused_key_is_told_to_people() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let upstream = Scripted::always(whole(status, "", r#"{"error":"inner words"}"#)).await;
        let (answer, report) = ask_once(&upstream, Limits::default()).await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!((answer.code().as_str(), upstream.requests()), ("endpoint_refused_key", 1));
        assert!(!answer.text().contains("inner words"));
        assert!(matches!(report, Some(Event::Diagnostic { .. })));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let thief = Scripted::always(whole("200 OK", "", "{}")).await;
    for status in ["301 x", "302 x", "307 x", "308 x"] {
        let location = format!("location: http://{}/v1/messages\r\n", thief.address);
        let upstream = Scripted::always(whole(status, &location, "{}")).await;
        let (answer, _) = ask_once(&upstream, Limits::default()).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "endpoint_redirects"));
        assert!(!answer.headers.contains_key("location"));
    }
    assert_eq!(thief.requests(), 0);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unreachable() {
    // No port that a test next door may be given in this moment.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let broker = broker(vec![endpoint(ANTHROPIC, address)], Limits::default());
    let mut sandbox = Sandbox::new(&broker, ANTHROPIC).await;
    let answer = sandbox.post("/v1/messages", &ask("x", true)).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "endpoint_unreachable"));
    assert!(!answer.text().contains(&address.to_string()), "no address behind the gate is told");
    assert!(matches!(sandbox.report().await, Event::Diagnostic { .. }));
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let upstream = Scripted::new(|_| vec![Step::Hang]).await;
    let limits = Limits { first_byte: SHORT, ..Limits::default() };
    let (answer, _) = ask_once(&upstream, limits).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "endpoint_silent"));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_not_passed_on() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(4 << 20));
    for garbage in
        ["", "\u{0}\u{1}\r\n\r\n", "HTTP/1.1 999999 x\r\n\r\n", "SSH-2.0-x\r\n", &many, &long]
    {
        let upstream = Scripted::always(garbage.to_owned()).await;
        let (answer, _) = ask_once(&upstream, Limits::default()).await;
        let told = (answer.status, answer.code());
        assert_eq!(told, (502, "endpoint_unreachable".to_owned()), "{garbage:.40}");
    }
}

#[tokio::test]
async fn an_error_that_cannot_be_read_is_told_as_one() {
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    for body in ["<html>oops</html>", "", "{", &long] {
        let upstream = Scripted::always(whole("404 Not Found", "", body)).await;
        let (answer, _) = ask_once(&upstream, Limits::default()).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "endpoint_failed"), "{body:.40}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_breaks_off_for_the_caller_too() {
    let first = b"data: {\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n";
    // In one piece: what comes late is given up, also on a machine that is slow.
    let begun = [streamed_head(), chunk(first)].concat();
    let silence = begun.clone();
    let broken = Scripted::new(move |_| vec![Step::Send(begun.clone())]).await;
    let silent = Scripted::new(move |_| vec![Step::Send(silence.clone()), Step::Hang]).await;
    let impatient = Limits { idle: SHORT, ..Limits::default() };
    for (upstream, limits) in [(broken, Limits::default()), (silent, impatient)] {
        let (answer, report) = ask_once(&upstream, limits).await;
        assert_eq!((answer.status, answer.whole, &answer.body[..]), (200, false, &first[..]));
        let used = matches!(report, Some(Event::Usage { input_tokens: 5, output_tokens: 0, .. }));
        assert!(used, "what was used before it broke is reported: {report:?}");
    }
}
