//! `remit demo`: the promise of Remit, shown on throw-away data in the real sandbox. Nothing is
//! canned: each line is read back from the events and the history of this run, and the command
//! fails when one of them does not hold.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::run::new_turn;
use crate::chat::{self, Ask, Place};
use crate::cli::Budget;
use crate::client::Client;
use crate::config::{Config, Surroundings};
use crate::exit::Exit;
use crate::say::{self, safe};
use crate::wiring::Server;

const WORD: &str = "heron";
const FIRST: &str = "remember heron; write The heron stands in the reeds. to notes/heron.md";
const SECOND: &str = "which word?";
/// How long the whole may take.
const DEMO_MAX: Duration = Duration::from_mins(5);

pub(crate) async fn run(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let folder = tempfile::tempdir().context("no folder for throw-away data")?;
    let server = Server::start(&throw_away(config, folder.path())?).await?;
    let client = Client::new(&server.profile.url, &server.profile.key)?;
    let shown = tokio::time::timeout(DEMO_MAX, conversation(&client, &server, json)).await;
    server.shut_down().await;
    drop(server);
    shown.context("the demo took too long")??;
    Ok(Exit::Ok)
}

/// Defaults on a folder of its own, with the machine's backend and its worker.
fn throw_away(config: &Config, data: &std::path::Path) -> anyhow::Result<Config> {
    let mut flags = vec![
        ("server.data", data.to_string_lossy().into_owned()),
        ("server.listen", "127.0.0.1:0".to_owned()),
    ];
    for key in ["backend.kind", "backend.worker"] {
        flags.extend(config.text(key).map(|value| (key, value.to_owned())));
    }
    Ok(Config::load(&Surroundings::default(), flags)?)
}

/// One turn as it was seen.
struct Seen {
    place: Place,
    reply: String,
    commits: Vec<String>,
    sandbox: Value,
}

async fn conversation(client: &Client, server: &Server, json: bool) -> anyhow::Result<()> {
    let talk = |line: String| if json { Ok(()) } else { say::data(line) };
    talk(format!("model: {} (scripted, not AI)", server.model))?;
    talk(format!("\nyou> {FIRST}"))?;
    let first = turn(client, FIRST, None).await?;
    talk(format!("agent> {}", safe(&first.reply)))?;
    talk(format!("  {}", described(&first)))?;
    ensure!(first.commits.len() == 1, "the first turn should have made one commit");
    end(client, &first.place).await?;
    talk("  its sandbox is gone".to_owned())?;

    talk(format!("\nyou> {SECOND}"))?;
    let second = turn(client, SECOND, Some(first.place.session.clone())).await?;
    talk(format!("agent> {}", safe(&second.reply)))?;
    talk(format!("  {}", described(&second)))?;
    end(client, &second.place).await?;
    let [one, other] = [&first.sandbox["sandbox"], &second.sandbox["sandbox"]];
    ensure!(one != other, "the second turn should have run in another sandbox");
    ensure!(second.reply.contains(WORD), "the second turn should have remembered the word");
    if json {
        return Ok(say::json(&json!({
            "sandboxes": [first.sandbox, second.sandbox], "commit": first.commits[0],
            "session": second.place.session, "word": WORD, "reply": second.reply,
        }))?);
    }
    say::data("\nTwo turns, two sandboxes, one conversation: it continued from its session file.")?;
    if !server.isolates {
        say::data("The process backend does not isolate; the native one does.")?;
    }
    Ok(())
}

fn described(seen: &Seen) -> String {
    let text = |name: &str| safe(seen.sandbox[name].as_str().unwrap_or_default());
    let ms = seen.sandbox["start_us"].as_f64().unwrap_or_default() / 1_000.0;
    let sandbox = text("sandbox");
    let box_of = format!("sandbox {sandbox} ({}, started in {ms:.1} ms)", text("backend"));
    let commits = seen.commits.iter().map(|commit| format!("commit {}", safe(commit)));
    [box_of].into_iter().chain(commits).collect::<Vec<_>>().join("\n  ")
}

async fn turn(client: &Client, prompt: &str, session: Option<String>) -> anyhow::Result<Seen> {
    let ask = Ask {
        prompt: prompt.to_owned(),
        turn: new_turn()?,
        session,
        runner: None,
        workspace: None,
        permissions: None,
        tools: None,
        model: None,
        untested: false,
        budget: Budget::default(),
        record: false,
    };
    let (mut reply, mut commits, mut errors) = (String::new(), vec![], vec![]);
    let each = |frame: &Value| {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("done") => reply = text("reply"),
            Some("commit") => commits.push(text("sha")),
            Some("error") => errors.push(text("message")),
            _ => {}
        }
        Ok(())
    };
    let (place, ok) = chat::turn(client, &ask, |_| {}, each).await?;
    if !ok {
        bail!("the turn failed: {}", errors.join("; "));
    }
    let sandbox = sandbox(client, &place.dispatch).await?;
    Ok(Seen { place, reply, commits, sandbox })
}

/// The event that tells of the sandbox of a dispatch.
async fn sandbox(client: &Client, dispatch: &str) -> anyhow::Result<Value> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jsonl"));
    let path = format!("/agent/dispatches/{dispatch}/events?follow=false");
    let mut lines = client.stream(Method::GET, &path, None, headers).await?;
    while let Some(line) = lines.next().await {
        let entry: Value = serde_json::from_str(&line)?;
        if entry["event"]["type"] == "sandbox_started" {
            return Ok(entry["event"].clone());
        }
    }
    bail!("the dispatch {dispatch} had no sandbox")
}

/// Ends a dispatch, and so its sandbox.
async fn end(client: &Client, place: &Place) -> anyhow::Result<()> {
    let path = format!("/agent/dispatches/{}/cancel", place.dispatch);
    let over = client.post(&path, &json!({})).await?;
    ensure!(over["state"] == "ended", "the dispatch should be over: {over}");
    Ok(())
}
