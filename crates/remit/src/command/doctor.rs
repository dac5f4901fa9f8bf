//! `remit doctor`: what this machine can do, and why not.

use std::time::Duration;

use embedded::system::SystemClock;
use engine::task::Tasks;
use serde::Serialize;
use std::sync::Arc;

use crate::backend;
use crate::config::Config;
use crate::exit::Exit;
use crate::local::{self, Found};
use crate::outside;
use crate::say;
use crate::wiring::endpoint;

/// How long a model endpoint may take to answer.
const ENDPOINT_MAX: Duration = Duration::from_secs(5);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// How it is, or why it is not and what would help.
    detail: String,
}

fn finding(what: impl Into<String>, looked: Result<String, String>) -> Finding {
    let (ok, detail) = match looked {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Finding { what: what.into(), ok, detail }
}

pub(crate) async fn run(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let mut findings = vec![
        finding("data folder", data_folder(config)),
        finding("worker program", worker(config)),
    ];
    findings.extend(walls(config).await);
    findings.push(finding("outside repositories", outside::programs(config, &Tasks::new())));
    findings.push(finding("model endpoint", model(config).await));
    findings.push(finding("local models", Ok(local_models().await)));
    let well = findings.iter().all(|finding| finding.ok);
    if json {
        for finding in &findings {
            say::json(finding)?;
        }
    } else {
        let row = |it: &Finding| {
            let mark = if it.ok { "ok" } else { "missing" };
            vec![mark.to_owned(), it.what.clone(), it.detail.clone()]
        };
        say::table(&["", "what", "detail"], &findings.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(if well { Exit::Ok } else { Exit::Failed })
}

fn data_folder(config: &Config) -> Result<String, String> {
    let data = config.data();
    let shown = data.display();
    let nearest = data.ancestors().find(|folder| folder.exists());
    let folder = nearest.ok_or_else(|| format!("{shown} cannot be made; choose another --data"))?;
    match tempfile::tempfile_in(folder) {
        Ok(_) if folder == data => Ok(format!("{shown} can be written")),
        Ok(_) => Ok(format!("{shown} is not there yet and can be made")),
        Err(problem) => Err(format!("{} cannot be written: {problem}", folder.display())),
    }
}

fn worker(config: &Config) -> Result<String, String> {
    let found = backend::worker(config).map_err(|problem| problem.to_string())?;
    Ok(found.display().to_string())
}

/// Every wall of the backend, in a backend of its own on throw-away data.
async fn walls(config: &Config) -> Vec<Finding> {
    let kind = config.text("backend.kind").unwrap_or_default().to_owned();
    let tasks = Tasks::new();
    let built = match tempfile::tempdir() {
        Ok(folder) => backend::open(config, folder.path(), &tasks, Arc::new(SystemClock))
            .map_err(|problem| format!("{problem:#}"))
            .map(|backend| backend.fingerprint()),
        Err(problem) => Err(format!("no folder for throw-away data: {problem}")),
    };
    tasks.shut_down(ENDPOINT_MAX).await;
    let fingerprint = match built {
        Ok(fingerprint) => fingerprint,
        Err(problem) => return vec![finding(format!("backend {kind}"), Err(problem))],
    };
    let isolates = if fingerprint.isolates {
        Ok("isolates".to_owned())
    } else {
        Err("does not isolate: for development only".to_owned())
    };
    let wall = |wall: engine::port::Wall| {
        let stands = wall.missing.map_or_else(|| Ok("stands".to_owned()), Err);
        finding(format!("wall {}", wall.name), stands)
    };
    [finding(format!("backend {kind}"), isolates)]
        .into_iter()
        .chain(fingerprint.walls.into_iter().map(wall))
        .collect()
}

/// The model servers of this machine, and how to use them.
async fn local_models() -> String {
    let found = local::look().await;
    let offer = |server: &Found| match server.models.as_slice() {
        [] => format!("{} ({}) has no model loaded", server.url, server.what),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { "" } else { ", and more" };
            let url = &server.url;
            format!("{url} ({}): remit up --model-url {url} --model {first}{more}", server.what)
        }
    };
    match found.as_slice() {
        [] => "none answers at the usual ports of the loopback".to_owned(),
        [..] => found.iter().map(offer).collect::<Vec<_>>().join("; "),
    }
}

/// Whether the endpoint answers at all; its key is not sent.
async fn model(config: &Config) -> Result<String, String> {
    let config = &local::resolved(config).await.map_err(|problem| problem.to_string())?;
    if endpoint(config).map_err(|problem| problem.to_string())?.is_none() {
        return Ok("none is configured: the scripted demo model answers, which is no AI".to_owned());
    }
    let url = config.text("model.url").unwrap_or_default();
    let client = reqwest::Client::builder().timeout(ENDPOINT_MAX).build();
    let asked = client.map_err(|problem| problem.to_string())?.get(url).send().await;
    match asked {
        Ok(_) => Ok(format!("{url} answers")),
        Err(problem) => Err(format!("{url} does not answer: {}", problem.without_url())),
    }
}
