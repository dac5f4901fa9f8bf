//! Who one is, and what there is to choose from.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::runner::tested::{BadReport, Report};
use serde_json::{Value, json};
use tracing::error;

use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{INTERNAL, INVALID, INVALID_KEY, Problem, UNKNOWN_RUNNER};
use crate::views;

/// Touches nothing but memory, so that it answers while everything else is busy.
pub(crate) async fn health(State(api): State<Api>) -> Json<Value> {
    Json(json!({"status": "ok", "version": api.defaults.version}))
}

pub(crate) async fn me(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    let person = api.directory.person(caller.subject).await?;
    let person = person.ok_or_else(|| Problem::plain(INVALID_KEY))?;
    Ok(Json(json!({
        "user_id": person.id,
        "email": person.email,
        "scopes": caller.principal.scopes,
        "max_concurrent": person.concurrent_max,
    })))
}

/// One model stands behind the gate; there is none for meetings yet.
pub(crate) async fn models(State(api): State<Api>) -> Json<Value> {
    let model = &api.defaults.model;
    Json(json!({
        "chat_model": model,
        "agent_model": model,
        "streaming_model": model,
        "meeting_model": null,
    }))
}

/// Keeps what a test of a runner found.
pub(crate) async fn tested(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let found = api.defaults.runners.iter().find(|runner| runner.name.as_str() == name);
    let unknown = || Problem::new(UNKNOWN_RUNNER, "GET /agent/runners lists the runners");
    let runner = found.ok_or_else(unknown)?;
    let report: Report = body::json(body, INVALID).await?;
    api.dispatcher.tested().keep(runner, &report).map_err(|bad| match bad {
        BadReport::Shape | BadReport::Stale => Problem::new(INVALID, bad.to_string()),
        BadReport::Io(cause) => {
            error!(%cause, "a report about a runner was not kept");
            Problem::plain(INTERNAL)
        }
    })?;
    Ok(Json(views::runner(runner, api.dispatcher.tested())))
}

pub(crate) async fn runners(State(api): State<Api>) -> Json<Value> {
    let runners = api.defaults.runners.iter().map(|it| views::runner(it, api.dispatcher.tested()));
    let runners: Vec<_> = runners.collect();
    Json(json!({"runners": runners, "default": api.defaults.runner}))
}
