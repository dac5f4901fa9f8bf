//! `remit runner test`: one runner tried against a server, in a workspace of nobody's, and the result
//! kept there: until it passes, nobody picks the runner by accident.

use embedded::system::SystemClock;
use engine::port::Clock;
use engine::runner::tested::{Check, CheckResult};
use reqwest::Method;
use serde_json::{Value, json};

use super::checks::Trial;
use crate::client::Client;
use crate::command::run::reach;
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::profile::Profile;
use crate::say;

/// The person in whose workspace runners are tried.
const NOBODY: &str = "runner-test@localhost";

pub(crate) async fn run(config: &Config, name: &str, as_json: bool) -> anyhow::Result<Exit> {
    let (client, own) = reach(config).await?;
    let done = tried(config, &client, name, as_json).await;
    if let Some(server) = own {
        server.shut_down().await;
    }
    done
}

async fn tried(
    config: &Config,
    client: &Client,
    name: &str,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let runners = super::of_server(client).await?;
    let named = runners.iter().find(|it| it["name"] == name);
    let names = runners.iter().filter_map(|it| it["name"].as_str().map(str::to_owned));
    let runner = named.ok_or_else(|| super::unknown(name, names))?;
    if runner["installed"] != true {
        let what = format!("the runner `{name}` is not installed on this server");
        let next = format!("remit runner install {name}");
        return Err(Failed::new(Exit::Unavailable, what).next(next).into());
    }
    let admin = administrator(config, client)?;
    let stand_in = StandIn::new(&admin).await;
    let trial = Trial {
        client: stand_in.as_ref().map_or(client, |it| &it.client),
        runner: name,
        asks: runner["permissions"] == true,
        calls: runner["mcp"] == true,
        other: if runner["model_api"] == "anthropic-messages" {
            "remit-demo-as-openai"
        } else {
            "remit-demo-as-anthropic"
        },
    };
    let checks = trial.all(|check| show(check, as_json)).await;
    if let Some(stand_in) = stand_in {
        stand_in.leave(&admin).await;
    }
    let failed = checks.iter().any(|check| check.result == CheckResult::Fail);
    let report =
        json!({"definition": runner["definition"], "at": SystemClock.now(), "checks": checks});
    let kept = admin.post(&format!("/admin/runners/{name}/test"), &report).await;
    if let Err(problem) = &kept {
        say::talk(format!("the result was not kept: {problem}"));
    }
    if as_json {
        say::json(&json!({"runner": name, "version": runner["version"], "passed": !failed,
            "kept": kept.is_ok(), "checks": checks}))?;
    }
    Ok(if failed { Exit::AgentFailed } else { Exit::Ok })
}

fn show(check: &Check, as_json: bool) {
    if as_json {
        return;
    }
    let word = match check.result {
        CheckResult::Pass => "pass",
        CheckResult::Fail => "FAIL",
        CheckResult::No => "no",
    };
    // A terminal that is gone is told by the exit code alone.
    let _shown = say::data(format!("{word:<5} {:<11} {}", check.name, check.note).trim_end());
}

/// The administrator's key of this machine's server, or else the key that was given.
fn administrator(config: &Config, client: &Client) -> anyhow::Result<Client> {
    let profile = Profile::read(&config.data())?;
    let own = profile.filter(|profile| client.is_of(&profile.url));
    match own {
        Some(profile) if config.text("client.key").is_none() => {
            Client::new(&profile.url, &profile.admin_key)
        }
        _ => Ok(client.clone()),
    }
}

/// A person whose workspace is for tests alone, with a key that ends with the test.
struct StandIn {
    client: Client,
    key: String,
}

impl StandIn {
    /// None where the key that is used may not add people: then the caller's own workspace is used.
    async fn new(admin: &Client) -> Option<Self> {
        let person = json!({"email": NOBODY, "name": "Runner test"});
        let person = admin.post("/admin/users", &person).await.ok()?;
        let path = format!("/admin/users/{}/tokens?scopes=agent,read", person["user_id"].as_str()?);
        let key: Value = admin.post(&path, &json!({})).await.ok()?;
        let client = admin.with_key(key["token"].as_str()?);
        Some(Self { client, key: key["id"].as_str()?.to_owned() })
    }

    async fn leave(self, admin: &Client) {
        let path = format!("/admin/tokens/{}", self.key);
        if let Err(problem) = admin.ask(Method::DELETE, &path, None).await {
            tracing::warn!(%problem, "the key of a test was not made void");
        }
    }
}
