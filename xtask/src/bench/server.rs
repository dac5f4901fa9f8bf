//! The real program, started on a folder of its own, and a client of its API.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running server. It is stopped, and its folder removed, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    url: String,
    key: String,
    client: reqwest::Client,
    _data: TempDir,
}

/// What one turn looked like to the person who asked.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Which dispatch it was.
    pub(crate) dispatch: String,
    /// From the request to the first frame.
    pub(crate) first_frame: Duration,
    /// From the request to the first word of the agent.
    pub(crate) first_word: Option<Duration>,
    /// From the request to the terminal frame.
    pub(crate) complete: Duration,
}

impl Server {
    /// Builds the program and starts it with this configuration.
    pub(crate) fn start(root: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--package", "remit", "--bins"])
            .current_dir(root)
            .status()
            .context("cannot run cargo")?;
        ensure!(built.success(), "the program does not build");
        let data = TempDir::new()?;
        let mut child = Command::new(root.join("target/release/remit"))
            .args(["up", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the program")?;
        let stdout = child.stdout.take().context("it has a standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value =
            serde_json::from_str(&line).context("it did not say where it listens")?;
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::new();
        Ok(Self { child, url: text("url"), key: text("key"), client, _data: data })
    }

    /// Kilobytes of memory that the server itself holds.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
    }

    /// Says something in a new conversation and reads its stream to the terminal frame.
    pub(crate) async fn chat(&self, prompt: &str) -> anyhow::Result<Seen> {
        let begun = now();
        let mut response = self.ask(prompt).await?;
        let dispatch = header(&response, "x-unit-id")?;
        let (mut text, mut first_frame, mut first_word) = (String::new(), None, None);
        while let Some(chunk) = response.chunk().await? {
            first_frame.get_or_insert_with(|| begun.elapsed());
            text.push_str(&String::from_utf8_lossy(&chunk));
            if first_word.is_none() && text.contains("message-delta") {
                first_word = Some(begun.elapsed());
            }
            if text.contains("turn-complete") {
                let first_frame = first_frame.unwrap_or_default();
                return Ok(Seen { dispatch, first_frame, first_word, complete: begun.elapsed() });
            }
        }
        bail!("the stream of {dispatch} ended without a terminal frame: {text}")
    }

    /// Says something in a new conversation; the stream is the caller's to read, or not.
    pub(crate) async fn ask(&self, prompt: &str) -> anyhow::Result<reqwest::Response> {
        let body = json!({"prompt": prompt});
        let request = self.client.post(format!("{}/agent/chat", self.url));
        let response = request.header("x-api-key", &self.key).json(&body).send().await?;
        let status = response.status();
        if !status.is_success() {
            bail!("chat was answered with {status}: {}", response.text().await?);
        }
        Ok(response)
    }

    /// Opens the stream of a dispatch from its beginning.
    pub(crate) async fn follow(&self, dispatch: &str) -> anyhow::Result<reqwest::Response> {
        let request = self.client.get(format!("{}/agent/dispatches/{dispatch}/events", self.url));
        let request = request.header("x-api-key", &self.key).header("accept", "text/event-stream");
        Ok(request.send().await?.error_for_status()?)
    }

    /// How long `/health` takes.
    pub(crate) async fn health(&self) -> anyhow::Result<Duration> {
        let begun = now();
        let response = self.client.get(format!("{}/health", self.url)).send().await?;
        response.error_for_status()?.bytes().await?;
        Ok(begun.elapsed())
    }

    /// Waits until a dispatch is over; how long that took.
    pub(crate) async fn gone(&self, dispatch: &str) -> anyhow::Result<Duration> {
        let begun = now();
        let mut response = self.follow(dispatch).await?;
        while response.chunk().await?.is_some() {}
        Ok(begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        if asked.is_ok() {
            drop(self.child.wait());
        }
    }
}

fn header(response: &reqwest::Response, name: &str) -> anyhow::Result<String> {
    let value = response.headers().get(name).with_context(|| format!("no header {name}"))?;
    Ok(value.to_str()?.to_owned())
}

/// The time, for how long something took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
