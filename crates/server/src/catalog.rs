//! Who one is, and what there is to choose from.

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::access::Caller;
use crate::api::Api;
use crate::problem::{INVALID_KEY, Problem};
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

pub(crate) async fn runners(State(api): State<Api>) -> Json<Value> {
    let runners: Vec<_> = api.defaults.runners.iter().map(views::runner).collect();
    Json(json!({"runners": runners, "default": api.defaults.runner}))
}
