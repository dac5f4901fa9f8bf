//! The client of the HTTP API: what a command asks, and what an answer means for the exit code.

use std::time::Duration;

use anyhow::Context;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::exit::{Exit, Failed};

/// How long a request that does not stream may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a form may take.
const FORM: Duration = Duration::from_mins(5);
/// How long what the server does elsewhere may take: longer than it lets it take.
const ELSEWHERE: Duration = Duration::from_mins(7);
/// How long it may take to reach the server.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest line of a stream, in bytes.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Asks one server with one key.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .no_proxy()
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// Whether this server is meant by `url`.
    pub(crate) fn is_of(&self, url: &str) -> bool {
        self.url == url.trim_end_matches('/')
    }

    /// The same server, asked with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks, and reads the JSON that comes back; `null` where nothing does.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let work = async {
            let response = self.send(method, path, body, HeaderMap::new()).await?;
            let bytes = response.bytes().await.map_err(|problem| self.unreachable(&problem))?;
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&bytes).context("the server's answer is not JSON")
        };
        tokio::time::timeout(ANSWER, work).await.unwrap_or_else(|_| {
            Err(Failed::new(Exit::TimedOut, "the server did not answer").into())
        })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// [`post`](Self::post) of what the server does elsewhere and may take its time for.
    pub(crate) async fn post_patiently(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).header("x-api-key", &self.key);
        let request = request.header(ACCEPT, "application/json, application/problem+json");
        let response = request.json(body).timeout(ELSEWHERE).send().await;
        let response = response.map_err(|problem| self.unreachable(&problem))?;
        if !response.status().is_success() {
            return Err(refused(response).await.into());
        }
        response.json().await.context("the server's answer is not JSON")
    }

    /// Sends a form, and reads the JSON that comes back.
    pub(crate) async fn send_form(
        &self,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).header("x-api-key", &self.key);
        let request = request.header(ACCEPT, "application/json, application/problem+json");
        let request = request.header("content-type", kind).body(body).timeout(FORM);
        let response = request.send().await.map_err(|problem| self.unreachable(&problem))?;
        if !response.status().is_success() {
            return Err(refused(response).await.into());
        }
        response.json().await.context("the server's answer is not JSON")
    }

    /// Asks for a stream.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: HeaderMap,
    ) -> anyhow::Result<Lines> {
        let response = self.send(method, path, body, headers).await?;
        Ok(Lines { response, buffer: Vec::new() })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: HeaderMap,
    ) -> anyhow::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.header("x-api-key", &self.key);
        if !headers.contains_key(&ACCEPT) {
            request = request.header(ACCEPT, "application/json, application/problem+json");
        }
        request = request.headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|problem| self.unreachable(&problem))?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(refused(response).await.into()) }
    }

    fn unreachable(&self, problem: &reqwest::Error) -> Failed {
        let exit = if problem.is_timeout() { Exit::TimedOut } else { Exit::Unavailable };
        Failed::new(exit, format!("no answer from {}", self.url))
            .next("start a server with `remit up`, or name one with --url and --key")
    }
}

async fn refused(response: Response) -> Failed {
    let status = response.status();
    let body: Value = match response.bytes().await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let detail = body["detail"].as_str().unwrap_or("the server gave no reason");
    let code = body["code"].as_str().unwrap_or_default();
    Failed::new(exit_of(status, code), crate::say::safe(detail))
}

fn exit_of(status: StatusCode, code: &str) -> Exit {
    match (status.as_u16(), code) {
        (403, "untrusted-write" | "role-too-low" | "not-invited") => Exit::Denied,
        (401 | 403, _) => Exit::NotAuthorised,
        (404 | 410, _) => Exit::NotFound,
        (409, _) => Exit::Conflict,
        (408, _) => Exit::TimedOut,
        (400 | 413 | 422, _) => Exit::Usage,
        (429 | 503 | 507, _) => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

/// The lines of a stream, as they come.
pub(crate) struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Lines {
    /// A header of the response.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The next line without its end; none when the stream is over or was cut.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let piece = self.response.chunk().await.ok().flatten()?;
            if self.buffer.len() + piece.len() > LINE_BYTES_MAX {
                return None;
            }
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// The next frame of server-sent events: its id and its data.
    pub(crate) async fn frame(&mut self) -> Option<(String, Value)> {
        let (mut id, mut data) = (String::new(), String::new());
        loop {
            let line = self.next().await?;
            if let Some(value) = line.strip_prefix("id: ") {
                value.clone_into(&mut id);
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push_str(value);
            } else if line.is_empty() && !data.is_empty() {
                return Some((id, serde_json::from_str(&data).ok()?));
            }
        }
    }
}

/// A value as it stands in a query.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A path with those of the values that are there.
pub(crate) fn with_query(path: &str, values: &[(&str, Option<&str>)]) -> String {
    let given = values.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::{escaped, with_query};

    #[test]
    fn a_value_is_escaped_for_a_query() {
        assert_eq!(escaped("home:ro"), "home:ro");
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
        assert_eq!(with_query("/a", &[("b", None)]), "/a");
        assert_eq!(with_query("/a", &[("b", Some("1 2")), ("c", Some("3"))]), "/a?b=1%202&c=3");
    }
}
