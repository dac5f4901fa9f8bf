//! `remit run`: says something to an agent and shows what it does.

use std::sync::OnceLock;
use std::time::Duration;

use embedded::system::RandomIds;
use engine::port::IdSource;
use model::TurnId;
use serde_json::{Value, json};

use super::up::Signals;
use crate::chat::{self, Ask, Place};
use crate::cli::Run;
use crate::client::Client;
use crate::config::Config;
use crate::exit::{Exit, Failed, exit_of};
use crate::profile::Profile;
use crate::say::{self, safe};
use crate::wiring::Server;

/// How long a turn that was interrupted may take to stop.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long a server that has just started may take to answer.
const READY_MAX: Duration = Duration::from_mins(1);

pub(crate) async fn run(config: &Config, asked: Run, json: bool) -> anyhow::Result<Exit> {
    let (client, own) = reach(config).await?;
    let done = if own.is_some() && asked.detach {
        Err(Failed::new(Exit::Usage, "--detach needs a server that stays")
            .next("start one with `remit up`")
            .into())
    } else {
        turn(&client, asked, json, own.is_some()).await
    };
    if let Some(server) = own {
        server.shut_down().await;
    }
    done
}

/// The running server, or one that is started here for as long as this command takes.
pub(crate) async fn reach(config: &Config) -> anyhow::Result<(Client, Option<Server>)> {
    if config.text("client.url").is_some() {
        return Ok((super::client(config)?, None));
    }
    match Server::start(&config.with("server.listen", "127.0.0.1:0")?).await {
        Ok(server) => {
            let client = Client::new(&server.profile.url, &server.profile.key)?;
            Ok((client, Some(server)))
        }
        Err(problem) if exit_of(&problem) == Exit::Conflict => Ok((running(config).await?, None)),
        Err(problem) => Err(problem),
    }
}

/// The client of the server that has the data folder; it may still be starting.
async fn running(config: &Config) -> anyhow::Result<Client> {
    let ready = async {
        loop {
            let known = Profile::read(&config.data())?;
            let client = known.map(|known| Client::new(&known.url, &known.key)).transpose()?;
            match client {
                Some(client) if client.get("/health").await.is_ok() => return Ok(client),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(READY_MAX, ready).await.unwrap_or_else(|_| {
        let what = format!("the server of {} does not answer", config.data().display());
        Err(Failed::new(Exit::Unavailable, what)
            .why("it holds the folder, and may be starting or stopping")
            .next("ask again; its log says what it does")
            .into())
    })
}

async fn turn(client: &Client, asked: Run, json: bool, own: bool) -> anyhow::Result<Exit> {
    let ask = Ask {
        turn: new_turn()?,
        prompt: asked.prompt,
        session: asked.session,
        runner: asked.runner,
        workspace: (!asked.workspaces.is_empty()).then(|| asked.workspaces.join(",")),
        permissions: asked.permissions,
        tools: (!asked.tools.is_empty()).then(|| asked.tools.join(",")),
        model: asked.with,
        untested: asked.untested,
        budget: asked.budget,
        record: asked.record,
    };
    if asked.detach {
        return detached(client, &ask, json).await;
    }
    let mut signals = Signals::listen()?;
    let place: OnceLock<Place> = OnceLock::new();
    let mut shown = Shown { json, commits: vec![], mid_line: false };
    let (ended, interrupted) = {
        let began = |at: &Place| drop(place.set(at.clone()));
        let followed = chat::turn(client, &ask, began, |frame| shown.frame(frame));
        let mut followed = std::pin::pin!(followed);
        tokio::select! {
            ended = followed.as_mut() => (ended, false),
            () = signals.next() => (interrupted(client, place.get(), followed).await, true),
        }
    };
    if own && let Some(place) = place.get() {
        // The sandbox would only wait for a message that this process cannot bring it.
        let path = format!("/agent/dispatches/{}/cancel", place.dispatch);
        if let Err(problem) = client.post(&path, &json!({})).await {
            tracing::warn!(%problem, "the dispatch could not be ended");
        }
    }
    let (place, ok) = match ended {
        Ok(ended) => ended,
        Err(_) if interrupted => return Ok(Exit::Interrupted),
        Err(problem) => return Err(problem),
    };
    shown.finish(&place, ok)?;
    Ok(match (interrupted, ok) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::AgentFailed,
    })
}

/// Asks the agent to stop, and follows it to the end of its turn.
async fn interrupted(
    client: &Client,
    place: Option<&Place>,
    followed: impl Future<Output = anyhow::Result<(Place, bool)>>,
) -> anyhow::Result<(Place, bool)> {
    let place = place.ok_or_else(|| Failed::new(Exit::Interrupted, "interrupted"))?;
    client.post("/agent/chat/stop", &json!({"session": place.session})).await?;
    let stopped = tokio::time::timeout(STOP_MAX, followed).await;
    stopped.map_err(|_| interrupted_late())?
}

fn interrupted_late() -> Failed {
    Failed::new(Exit::Interrupted, "the agent did not stop in time")
        .next("`remit dispatch ls --live` finds it, `remit dispatch cancel ID` ends it")
}

/// A fresh id of a turn.
pub(crate) fn new_turn() -> anyhow::Result<TurnId> {
    Ok(format!("cli-{}", RandomIds.uuid()).parse()?)
}

async fn detached(client: &Client, ask: &Ask, json: bool) -> anyhow::Result<Exit> {
    let place = chat::begin(client, ask).await?;
    if json {
        say::json(&json!({"dispatch": place.dispatch, "session": place.session}))?;
    } else {
        say::data(&place.dispatch)?;
        say::talk(format!("watch it: remit dispatch watch {}", place.dispatch));
    }
    Ok(Exit::Ok)
}

/// What a person sees of a turn: the agent's words on stdout, all else on stderr.
struct Shown {
    json: bool,
    commits: Vec<Value>,
    mid_line: bool,
}

impl Shown {
    fn frame(&mut self, frame: &Value) -> anyhow::Result<()> {
        if frame["type"] == "commit" {
            self.commits.push(frame["sha"].clone());
        }
        if self.json {
            return Ok(say::json(frame)?);
        }
        let text = |name: &str| safe(frame[name].as_str().unwrap_or_default());
        match frame["type"].as_str().unwrap_or_default() {
            "message-delta" => {
                let words = text("text");
                self.mid_line = !words.ends_with('\n') && (self.mid_line || !words.is_empty());
                say::piece(&words)?;
            }
            "tool-call" => {
                let args: String = safe(&frame["args"].to_string()).chars().take(120).collect();
                self.talk(&format!("· {} {args}", text("tool")))?;
            }
            "tool-result" if frame["ok"] == false => {
                self.talk(&format!("· failed: {}", text("summary")))?;
            }
            "commit" => self.talk(&format!("commit {}", text("sha")))?,
            "rejected" => {
                self.talk(&format!("rejected {}", safe(&frame["violations"].to_string())))?;
            }
            "error" => self.talk(&format!("error: {}", text("message")))?,
            _ => {}
        }
        Ok(())
    }

    fn talk(&mut self, line: &str) -> anyhow::Result<()> {
        self.end_line()?;
        say::talk(line);
        Ok(())
    }

    fn end_line(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.mid_line) {
            say::piece("\n")?;
        }
        Ok(())
    }

    fn finish(&mut self, place: &Place, ok: bool) -> anyhow::Result<()> {
        if self.json {
            let Place { dispatch, session } = place;
            let commits = &self.commits;
            return Ok(say::json(&json!({
                "type": "finished", "dispatch": dispatch, "session": session,
                "commits": commits, "ok": ok,
            }))?);
        }
        self.talk(&format!("session {}", place.session))
    }
}
