//! What is tried with a runner, each against a server as any client would ask it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use engine::runner::tested::{Check, CheckResult};
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::chat::{self, Ask, Place};
use crate::cli::Budget;
use crate::client::Client;
use crate::command::run::new_turn;
use crate::say::safe;

/// Every check, and how its column is called.
pub(crate) const CHECKS: &[(&str, &str)] = &[
    ("turn", "turn"),
    ("write", "tool write + commit"),
    ("resume", "resume"),
    ("stop", "stop"),
    ("permission", "permission"),
    ("mcp", "MCP tool"),
    ("dialect", "other dialect"),
];

const WORD: &str = "plover";
/// A command that ends only when it is stopped. Some agents refuse to run a plain `sleep`.
const ENDLESS: &str = "tail -f /dev/null";
/// How long one turn may take.
const TURN_MAX: Duration = Duration::from_mins(4);
/// How long an agent may take to stop, or to ask.
const SOON: Duration = Duration::from_mins(2);
/// How often a question is looked for.
const LOOK: Duration = Duration::from_millis(200);
/// How much of a reason is kept, in characters.
const NOTE_CHARS_MAX: usize = 120;

/// A runner on a server, as one client tries it.
pub(crate) struct Trial<'a> {
    pub(crate) client: &'a Client,
    pub(crate) runner: &'a str,
    /// Whether it can ask before it acts.
    pub(crate) asks: bool,
    /// Whether it can be given tools behind the gate.
    pub(crate) calls: bool,
    /// A name under which the demo model speaks another dialect than the agent.
    pub(crate) other: &'static str,
}

/// One turn as it was seen.
struct Seen {
    place: Place,
    reply: String,
    ok: bool,
    error: String,
    commits: usize,
}

fn result(check: &str, tried: anyhow::Result<()>) -> Check {
    let (result, note) = match tried {
        Ok(()) => (CheckResult::Pass, String::new()),
        Err(why) => (CheckResult::Fail, safe(&format!("{why:#}"))),
    };
    let note = note.lines().next().unwrap_or_default().chars().take(NOTE_CHARS_MAX).collect();
    Check { name: check.to_owned(), result, note }
}

fn no(check: &str, why: &str) -> Check {
    Check { name: check.to_owned(), result: CheckResult::No, note: why.to_owned() }
}

impl Trial<'_> {
    /// Tries everything, in order; each is told when it is over.
    pub(crate) async fn all(&self, mut told: impl FnMut(&Check)) -> Vec<Check> {
        let mut checks = vec![];
        let mut note = |check: Check| {
            told(&check);
            checks.push(check);
        };
        let first = self.first().await;
        let worked = first.as_ref().map_or_else(
            |why| Err(anyhow::anyhow!("{why:#}")),
            |seen| if seen.ok { Ok(()) } else { Err(anyhow::anyhow!("{}", seen.error)) },
        );
        note(result("turn", worked));
        match first {
            Ok(seen) if seen.ok => {
                note(result("write", self.wrote(&seen).await));
                note(result("resume", self.resumes(&seen).await));
                note(result("stop", self.stops().await));
                note(if self.asks {
                    result("permission", self.asks_before().await)
                } else {
                    no("permission", "the agent asks for nothing")
                });
                note(if self.calls {
                    result("mcp", self.calls_tools().await)
                } else {
                    no("mcp", "the agent cannot be given any")
                });
                note(result("dialect", self.speaks_to_another().await));
            }
            _ => {
                for check in ["write", "resume", "stop", "permission", "mcp", "dialect"] {
                    note(no(check, "no turn worked"));
                }
            }
        }
        checks
    }

    fn ask(&self, prompt: &str, session: Option<&str>) -> anyhow::Result<Ask> {
        Ok(Ask {
            prompt: prompt.to_owned(),
            turn: new_turn()?,
            session: session.map(str::to_owned),
            runner: session.is_none().then(|| self.runner.to_owned()),
            workspace: None,
            permissions: None,
            tools: None,
            model: None,
            untested: true,
            budget: Budget::default(),
            record: false,
        })
    }

    async fn turn(&self, ask: &Ask) -> anyhow::Result<Seen> {
        let (mut reply, mut error, mut commits) = (String::new(), String::new(), 0);
        let each = |frame: &Value| {
            let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
            match frame["type"].as_str() {
                Some("done") => reply = text("reply"),
                Some("commit") => commits += 1,
                Some("error") => error = text("message"),
                _ => {}
            }
            Ok(())
        };
        let turn = chat::turn(self.client, ask, |_| {}, each);
        let (place, ok) =
            tokio::time::timeout(TURN_MAX, turn).await.context("it took too long")??;
        Ok(Seen { place, reply, ok, error, commits })
    }

    /// The file that the runner writes.
    fn path(&self) -> String {
        format!("runner-test-{}.md", self.runner)
    }

    async fn first(&self) -> anyhow::Result<Seen> {
        // Other words each time: what stands there from a test before makes no commit.
        let prompt = format!("remember {WORD}; write Hello {} to {}", new_turn()?, self.path());
        self.turn(&self.ask(&prompt, None)?).await
    }

    async fn wrote(&self, seen: &Seen) -> anyhow::Result<()> {
        ensure!(seen.commits == 1, "no commit was made");
        let events = self.events(&seen.place.dispatch).await?;
        ensure!(events.iter().any(|it| it["type"] == "tool_call"), "no tool call was seen");
        let path = self.path();
        let wrote = |it: &Value| {
            it["type"] == "commit"
                && it["paths"].as_array().is_some_and(|at| at.contains(&json!(path)))
        };
        ensure!(events.iter().any(wrote), "the commit does not hold {path}");
        Ok(())
    }

    /// The conversation goes on in a fresh sandbox.
    async fn resumes(&self, first: &Seen) -> anyhow::Result<()> {
        self.end(&first.place).await?;
        let ask = self.ask("which word?", Some(&first.place.session))?;
        let second = self.turn(&ask).await?;
        ensure!(second.ok, "{}", second.error);
        ensure!(second.reply.contains(WORD), "it did not remember the word");
        let boxes = [&first.place, &second.place].map(|place| self.sandbox(&place.dispatch));
        let [one, other] = boxes;
        ensure!(one.await? != other.await?, "it was the same sandbox");
        self.end(&second.place).await
    }

    /// A command that is running is stopped, and the conversation goes on in the same sandbox.
    async fn stops(&self) -> anyhow::Result<()> {
        let ask = self.ask(&format!("run {ENDLESS}"), None)?;
        let (began, place) = oneshot::channel();
        let mut began = Some(began);
        let at = |place: &Place| drop(began.take().map(|it| it.send(place.clone())));
        let turn = chat::turn(self.client, &ask, at, |_| Ok(()));
        let stop = async {
            let place = place.await.context("it did not begin")?;
            self.called(&place).await?;
            let body = json!({"session": place.session});
            self.client.post("/agent/chat/stop", &body).await
        };
        let both = async { tokio::join!(turn, stop) };
        let (ended, asked) = tokio::time::timeout(SOON, both).await.context("it did not stop")?;
        let (place, _) = ended?;
        asked?;
        let events = self.events(&place.dispatch).await?;
        let over = events.iter().find(|it| it["type"] == "turn_ended").context("it is not over")?;
        ensure!(
            over["outcome"]["kind"] == "stopped",
            "the turn was not stopped but {}",
            over["outcome"]
        );
        ensure!(!events.iter().any(|it| it["type"] == "ended"), "only its sandbox could be ended");
        self.end(&place).await
    }

    /// The agent asks, is refused, and does not do it.
    async fn asks_before(&self) -> anyhow::Result<()> {
        let path = format!("runner-test-{}-asked.md", self.runner);
        let mut ask = self.ask(&format!("run touch {path}"), None)?;
        ask.permissions = Some("ask".to_owned());
        let (began, place) = oneshot::channel();
        let mut began = Some(began);
        let at = |place: &Place| drop(began.take().map(|it| it.send(place.clone())));
        let mut commits = 0;
        let each = |frame: &Value| {
            commits += usize::from(frame["type"] == "commit");
            Ok(())
        };
        let turn = chat::turn(self.client, &ask, at, each);
        let refuse = async {
            let place = place.await.context("it did not begin")?;
            let question = self.question(&place).await?;
            let id = question["ask"].as_str().unwrap_or_default();
            let path = format!("/agent/dispatches/{}/permissions/{id}", place.dispatch);
            self.client.post(&path, &json!({"option": null})).await
        };
        let both = async { tokio::join!(turn, refuse) };
        let (ended, refused) = tokio::time::timeout(SOON, both).await.context("it did not ask")?;
        refused?;
        let (place, _) = ended?;
        ensure!(commits == 0, "it did what was refused");
        self.end(&place).await
    }

    /// The agent calls a tool behind the gate and hears what it says.
    async fn calls_tools(&self) -> anyhow::Result<()> {
        let mut ask = self.ask("call knowledge.search {\"query\":\"runner test\"}", None)?;
        ask.tools = Some("knowledge".to_owned());
        let seen = self.turn(&ask).await?;
        ensure!(seen.ok, "{}", seen.error);
        let events = self.events(&seen.place.dispatch).await?;
        let called = events.iter().find(|it| it["type"] == "brokered");
        let called = called.with_context(|| format!("it called nothing: {}", seen.reply))?;
        ensure!(called["outcome"] == "answered", "the call was {}", called["outcome"]);
        let heard = seen.reply.contains("No page has it") || seen.reply.contains(".md");
        ensure!(heard, "it did not hear what the tool said: {}", seen.reply);
        self.end(&seen.place).await
    }

    /// A tool call through an endpoint of another dialect.
    async fn speaks_to_another(&self) -> anyhow::Result<()> {
        let path = format!("runner-test-{}-dialect.md", self.runner);
        let mut ask = self.ask(&format!("write Hello {} to {path}", new_turn()?), None)?;
        ask.model = Some(self.other.to_owned());
        let seen = self.turn(&ask).await?;
        ensure!(seen.ok, "{}", seen.error);
        ensure!(seen.commits == 1, "no commit was made: {}", seen.reply);
        self.end(&seen.place).await
    }

    /// A tool is at work. Frames are no help: they show a call once its arguments are known, and some
    /// agents never say them.
    async fn called(&self, place: &Place) -> anyhow::Result<()> {
        loop {
            let events = self.events(&place.dispatch).await?;
            if events.iter().any(|it| it["type"] == "tool_call") {
                return Ok(());
            }
            let over = events.iter().any(|it| it["type"] == "turn_ended");
            ensure!(!over, "it ended without a tool call");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn question(&self, place: &Place) -> anyhow::Result<Value> {
        loop {
            let all = self.client.get("/agent/permissions").await?;
            let mut all = all["permissions"].as_array().into_iter().flatten();
            if let Some(found) = all.find(|it| it["dispatch"] == place.dispatch.as_str()) {
                return Ok(found.clone());
            }
            let shown = self.client.get(&format!("/agent/dispatches/{}", place.dispatch)).await?;
            if matches!(shown["state"].as_str(), Some("ended" | "idle")) {
                bail!("it asked for nothing");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What a dispatch said and did so far.
    async fn events(&self, dispatch: &str) -> anyhow::Result<Vec<Value>> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/jsonl"));
        let path = format!("/agent/dispatches/{dispatch}/events?follow=false");
        let mut lines = self.client.stream(Method::GET, &path, None, headers).await?;
        let mut events = vec![];
        while let Some(line) = lines.next().await {
            let mut entry: Value = serde_json::from_str(&line)?;
            events.push(entry["event"].take());
        }
        Ok(events)
    }

    async fn sandbox(&self, dispatch: &str) -> anyhow::Result<Value> {
        let events = self.events(dispatch).await?;
        let started = events.iter().find(|it| it["type"] == "sandbox_started");
        Ok(started.context("it had no sandbox")?["sandbox"].clone())
    }

    async fn end(&self, place: &Place) -> anyhow::Result<()> {
        let path = format!("/agent/dispatches/{}/cancel", place.dispatch);
        self.client.post(&path, &json!({})).await.map(drop)
    }
}
