//! `remit up`: serves until it is asked to stop.

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::local;
use crate::profile::Profile;
use crate::say;
use crate::wiring::Server;

/// The signals that ask for an end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub(crate) async fn run(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let server = Server::start(&local::resolved(config).await?).await?;
    if let Err(problem) = announce(&server, json) {
        // Whoever started it may have read enough, or not listen at all: it serves all the same.
        warn!(%problem, "what was started could not be announced");
    }
    let broken = tokio::select! {
        () = signals.next() => false,
        () = server.broken() => true,
    };
    if !broken {
        info!("shutting down");
    }
    tokio::select! {
        () = server.shut_down() => {}
        () = signals.next() => at_once(),
    }
    if broken {
        error!("a part without which the server cannot go on has ended");
        return Err(Failed::new(Exit::Failed, "the server could not go on")
            .next("its log says why; what was acknowledged is kept for the next start")
            .into());
    }
    Ok(Exit::Ok)
}

/// A second signal: ends the process without waiting for anything. What was acknowledged is kept,
/// and the next start finds the rest.
fn at_once() {
    #[expect(clippy::exit, reason = "asked for twice, and nothing may hold it up")]
    std::process::exit(Exit::Interrupted as i32);
}

/// The first line for programs.
#[derive(Serialize)]
struct Ready<'a> {
    #[serde(flatten)]
    profile: &'a Profile,
    /// Logs a browser in, once, within 15 minutes.
    login: &'a str,
}

fn announce(server: &Server, json: bool) -> std::io::Result<()> {
    let profile = &server.profile;
    if json {
        return say::json(&Ready { profile, login: &server.login });
    }
    say::data(format!("Remit serves at {}", profile.url))?;
    say::data(format!("  open       {}", server.login))?;
    say::data(format!("  key        {}", profile.key))?;
    say::data(format!("  admin key  {}", profile.admin_key))?;
    say::data(format!("  workspace  {}", profile.workspace))?;
    say::data(format!("  model      {}", server.model))?;
    if !server.isolates {
        say::data("  warning    the process backend does not isolate: for development only")?;
    }
    say::data("\nTry: remit run \"write Hello to hello.md\"")
}
