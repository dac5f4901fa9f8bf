//! `remit dispatch …`.

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::cli::Dispatch;
use crate::client::{Client, escaped, with_query};
use crate::config::Config;
use crate::say::{self, cell, safe};

pub(crate) async fn run(config: &Config, verb: Dispatch, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    match verb {
        Dispatch::Ls { live, session, limit, .. } => {
            list(&client, live, session.as_deref(), limit, as_json).await
        }
        Dispatch::Show { id, .. } => {
            shown(&client.get(&format!("/agent/dispatches/{}", escaped(&id))).await?, as_json)
        }
        Dispatch::Watch { id, after, no_follow, .. } => {
            watch(&client, &id, after.as_deref(), !no_follow, as_json).await
        }
        Dispatch::Asks { .. } => asks(&client, as_json).await,
        Dispatch::Answer { id, ask, option, .. } => {
            let path = format!("/agent/dispatches/{}/permissions/{}", escaped(&id), escaped(&ask));
            let answered = client.post(&path, &json!({"option": option})).await?;
            if as_json { Ok(say::json(&answered)?) } else { Ok(()) }
        }
        Dispatch::Recording { id, .. } => recording(&client, &id).await,
        Dispatch::Cancel { id, .. } => steer(&client, &id, "cancel", &json!({}), as_json).await,
        Dispatch::Resume { id, prompt, .. } => {
            steer(&client, &id, "resume", &json!({"prompt": prompt}), as_json).await
        }
    }
}

async fn list(
    client: &Client,
    live: bool,
    session: Option<&str>,
    limit: Option<u32>,
    as_json: bool,
) -> anyhow::Result<()> {
    let limit = limit.map(|limit| limit.to_string());
    let live = live.to_string();
    let query = [("live", Some(live.as_str())), ("session", session), ("limit", limit.as_deref())];
    let page = client.get(&with_query("/agent/dispatches", &query)).await?;
    let dispatches = page["dispatches"].as_array().cloned().unwrap_or_default();
    if as_json {
        return say::list(&dispatches, &[], true);
    }
    let rows: Vec<_> = dispatches
        .iter()
        .map(|it| {
            vec![
                cell(&it["id"]),
                state(it),
                cell(&it["runner"]),
                cell(&it["created"]),
                first_line(&cell(&it["prompt"])),
            ]
        })
        .collect();
    Ok(say::table(&["dispatch", "state", "runner", "created", "prompt"], &rows)?)
}

/// JSON for people and for programs: it is for programs.
async fn recording(client: &Client, id: &str) -> anyhow::Result<()> {
    let path = format!("/agent/dispatches/{}/recording", escaped(id));
    let mut lines = client.stream(Method::GET, &path, None, HeaderMap::new()).await?;
    while let Some(line) = lines.next().await {
        say::data(safe(&line))?;
    }
    Ok(())
}

/// The questions that wait, with all of what is asked: nobody is to allow what they did not see.
async fn asks(client: &Client, as_json: bool) -> anyhow::Result<()> {
    let page = client.get("/agent/permissions").await?;
    let asks = page["permissions"].as_array().cloned().unwrap_or_default();
    if as_json {
        return say::list(&asks, &[], true);
    }
    for ask in &asks {
        let of = |field: &str| cell(&ask[field]);
        say::data(format!("{} {}  {}", of("dispatch"), of("ask"), of("title")))?;
        say::data(format!("  {} {}", of("tool"), of("arguments")))?;
        let options = ask["options"].as_array().into_iter().flatten();
        let options: Vec<_> = options.map(|option| cell(&option["option"])).collect();
        say::data(format!("  options {}; refused after {}", options.join(", "), of("expires")))?;
    }
    Ok(())
}

fn state(dispatch: &Value) -> String {
    match dispatch["stop_reason"].as_str() {
        Some(reason) => format!("ended: {}", safe(reason)),
        None => cell(&dispatch["state"]),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(60).collect()
}

fn shown(dispatch: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(say::json(dispatch)?);
    }
    let rows: Vec<_> = dispatch
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| vec![safe(name), cell(value)])
        .collect();
    Ok(say::table(&["field", "value"], &rows)?)
}

async fn steer(
    client: &Client,
    id: &str,
    verb: &str,
    body: &Value,
    as_json: bool,
) -> anyhow::Result<()> {
    let path = format!("/agent/dispatches/{}/{verb}", escaped(id));
    shown(&client.post(&path, body).await?, as_json)
}

/// The events as they are, one a line; for people, their id, type and contents.
async fn watch(
    client: &Client,
    id: &str,
    after: Option<&str>,
    follow: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jsonl, application/problem+json"));
    let path = format!("/agent/dispatches/{}/events", escaped(id));
    let follow = follow.to_string();
    let path = with_query(&path, &[("follow", Some(&follow)), ("after", after)]);
    let mut lines = client.stream(Method::GET, &path, None, headers).await?;
    while let Some(line) = lines.next().await {
        if as_json {
            say::data(&line)?;
            continue;
        }
        let entry: Value = serde_json::from_str(&line)?;
        let mut event = entry["event"].clone();
        let kind = event.as_object_mut().and_then(|event| event.remove("type")).unwrap_or_default();
        say::data(format!("{}  {}  {}", cell(&entry["id"]), cell(&kind), cell(&event)))?;
    }
    Ok(())
}
