//! A scripted model on a loopback port: one answer for each connection, and the requests it had.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// How long a request may take to come.
const REQUEST_MAX: Duration = Duration::from_mins(3);

/// What the model does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Says this, in two pieces.
    Says(&'static str),
    /// Wants these tools: name and arguments.
    Calls(Vec<(&'static str, Value)>),
    /// Wants this tool, with arguments that are no JSON.
    CallsBadly(&'static str, &'static str),
    /// Says this and breaks off.
    Breaks(&'static str),
    /// Refuses.
    Status(u16, &'static str),
    /// Says nothing until the other side has gone.
    Hangs,
    /// Says this over and over, for longer than anyone listens.
    Endless(&'static str),
    /// An answer that does not stream.
    Whole(&'static str),
    /// Any JSON.
    Json(Value),
}

/// The model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) url: String,
    /// Every request, as it came; an empty one when the caller of `Hangs` has gone.
    requests: Receiver<Value>,
}

impl Model {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, answers)
    }

    pub(crate) fn on(listener: TcpListener, answers: Vec<Answer>) -> Self {
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, requests) = channel();
        thread::spawn(move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else { return };
                serve(stream, &answer, &sender);
            }
        });
        Self { url, requests }
    }

    /// The next request; null when the caller of `Hangs` has gone.
    pub(crate) fn request(&self) -> Value {
        self.requests.recv_timeout(REQUEST_MAX).expect("the model was asked, or saw the end")
    }

    /// The messages of the next request.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let request = self.request();
        request["messages"].as_array().cloned().expect("a list of messages")
    }
}

fn serve(stream: TcpStream, answer: &Answer, requests: &Sender<Value>) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    requests.send(serde_json::from_slice(&body).expect("JSON")).ok();
    let mut stream = reader.into_inner();
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    match answer {
        Answer::Status(status, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(head.as_bytes()).ok();
        }
        Answer::Whole(text) => {
            let message = json!({"role": "assistant", "content": text});
            let body =
                json!({"choices": [{"message": message, "finish_reason": "stop"}]}).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
            stream.write_all(format!("{head}{body}").as_bytes()).ok();
        }
        Answer::Json(body) => {
            let body = body.to_string();
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
            let answer = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).ok();
        }
        Answer::Hangs => {
            stream.write_all(head.as_bytes()).ok();
            stream.read_to_end(&mut Vec::new()).ok();
            requests.send(Value::Null).ok();
        }
        Answer::Endless(text) => {
            let delta = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
            let data = format!("data: {delta}\n\n");
            let chunk = format!("{:x}\r\n{data}\r\n", data.len());
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(chunk.as_bytes());
            }
        }
        Answer::Says(text) => stream_out(stream, head, &said(text), true),
        Answer::Breaks(text) => stream_out(stream, head, &said(text), false),
        Answer::Calls(calls) => stream_out(stream, head, &called(calls), true),
        Answer::CallsBadly(name, arguments) => {
            let function = json!({"name": name, "arguments": arguments});
            let call = json!([{"index": 0, "id": "x", "function": function}]);
            stream_out(stream, head, &[json!({"tool_calls": call})], true);
        }
    }
}

fn said(text: &str) -> Vec<Value> {
    let (first, second) = text.split_at(text.len() / 2);
    vec![json!({"role": "assistant", "content": first}), json!({"content": second})]
}

/// Every call under the same id, its arguments in two pieces, as models do.
fn called(calls: &[(&str, Value)]) -> Vec<Value> {
    let pieces = calls.iter().enumerate().flat_map(|(index, (name, arguments))| {
        let text = arguments.to_string();
        let (first, second) = text.split_at(text.len() / 2);
        let begin = json!({"name": name, "arguments": first});
        [
            json!({"tool_calls": [{"index": index, "id": "same", "function": begin}]}),
            json!({"tool_calls": [{"index": index, "function": {"arguments": second}}]}),
        ]
    });
    pieces.collect()
}

fn stream_out(mut stream: TcpStream, head: &str, deltas: &[Value], whole: bool) {
    stream.write_all(head.as_bytes()).ok();
    let mut send = |data: &str| {
        let data = format!("data: {data}\n\n");
        stream.write_all(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes()).ok();
    };
    for delta in deltas {
        send(&json!({"choices": [{"index": 0, "delta": delta}]}).to_string());
    }
    if whole {
        send(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string());
        send("[DONE]");
        stream.write_all(b"0\r\n\r\n").ok();
    }
}
