//! The client of the HTTP API: what a command asks, and what an answer means for the exit code.

use std::time::Duration;

use anyhow::Context;
use reqwest::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::exit::{Exit, Failed};
use crate::say::safe;

/// How long a request that does not stream may take where nobody says.
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
    /// How long a request that does not stream may take.
    answer: Duration,
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        checked(url)?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .no_proxy()
            .build()
            .context("cannot set up the HTTP client")?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http, url, key: key.to_owned(), answer: ANSWER })
    }

    /// The same, which waits so long for an answer that is no stream.
    pub(crate) fn waiting(self, answer: Duration) -> Self {
        Self { answer, ..self }
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
        tokio::time::timeout(self.answer, work).await.unwrap_or_else(|_| {
            let what = format!("{} did not answer within {} s", self.url, self.answer.as_secs());
            Err(Failed::new(Exit::TimedOut, what)
                .next("ask again; the server's log says what keeps it busy")
                .into())
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
        self.clone().waiting(ELSEWHERE).post(path, body).await
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
            .why(cause(problem))
            .next("start a server with `remit up`, or name one with --url and --key")
    }
}

async fn refused(response: Response) -> Failed {
    let status = response.status();
    let url = response.url().origin().ascii_serialization();
    let wait = response.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let wait = wait.map(str::to_owned);
    let body: Value = match response.bytes().await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let code = body["code"].as_str().unwrap_or_default();
    let Some(detail) = body["detail"].as_str() else {
        let what = format!("{url} answered {status} and no reason");
        return Failed::new(exit_of(status, code), what)
            .next("is it the URL of a Remit server? `remit up` prints it");
    };
    let failed = Failed::new(exit_of(status, code), safe(detail)).code(safe(code));
    match (hint(code), wait) {
        (Some(hint), _) => failed.next(hint),
        (None, Some(wait)) => failed.next(format!("ask again in {} s", safe(&wait))),
        (None, None) => failed,
    }
}

/// What can be done about it on the command line: the server's own words are about its API.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "missing-api-key" | "invalid-api-key" => {
            "give a key with --key, REMIT_CLIENT__KEY or REMIT_CLIENT__KEY_FILE; `remit key show` \
             prints that of this machine"
        }
        "under-scoped" => "`remit key new --scopes agent,read` makes a key that may do more",
        "role-too-low" => "`remit ws members` lists the owners, who can change what you are",
        "unknown-dispatch" => "`remit dispatch ls` lists yours",
        "unknown-endpoint" => "`remit endpoint ls` lists yours",
        "endpoint-not-allowed" => "`remit endpoint ls` says which hosts there are to choose from",
        "unknown-session" => "`remit session ls` lists yours",
        "unknown-workspace" => "`remit ws ls` lists yours",
        "unknown-proposal" => "`remit inbox ls --state all` lists those that you may see",
        "proposal-changed" => "`remit inbox show ID` prints it as it is now, with its digest",
        "already-decided" => "`remit inbox show ID` prints how",
        "unknown-runner" => "`remit runner ls` lists them",
        "runner-not-installed" => "`remit runner install NAME` fetches it, on the server's machine",
        "runner-not-tested" => {
            "`remit runner test NAME` tries it; --untested takes it without a test"
        }
        "foreign-host" => "use a name that stands in `server.hosts` of the server",
        "internal" => "the server's log says more",
        _ => return None,
    })
}

/// Refuses what cannot be the URL of a server.
fn checked(url: &str) -> Result<(), Failed> {
    let parsed = Url::parse(url).ok();
    let fits = parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let bad = || {
        Failed::new(Exit::Config, format!("`{}` is not the URL of a server", safe(url)))
            .next("write it as http://127.0.0.1:7070, in --url or client.url")
    };
    if fits { Ok(()) } else { Err(bad()) }
}

/// Why a request came to nothing: the innermost cause, which says most.
fn cause(problem: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = problem;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
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
    use super::{checked, escaped, with_query};

    #[test]
    fn what_cannot_be_a_server_is_said_to_be_none() {
        for good in ["http://127.0.0.1:7070", "https://remit.example.org/base/", "http://[::1]:1"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:7070", "localhost:7070", "ftp://x", "http://", "/tmp/socket"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_escaped_for_a_query() {
        assert_eq!(escaped("home:ro"), "home:ro");
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
        assert_eq!(with_query("/a", &[("b", None)]), "/a");
        assert_eq!(with_query("/a", &[("b", Some("1 2")), ("c", Some("3"))]), "/a?b=1%202&c=3");
    }
}
