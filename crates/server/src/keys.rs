//! `/auth/keys`: one's own keys.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use model::KeyId;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::admin::{NewKey, mint_for};
use crate::api::Api;
use crate::body;
use crate::problem::{NOT_FOUND, Problem};
use crate::views;

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    let keys = api.directory.keys(caller.subject).await?;
    let keys: Vec<_> = keys.iter().map(views::key).collect();
    Ok(Json(json!({"tokens": keys})))
}

/// Makes a key; this answer alone shows it.
pub(crate) async fn mint(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wished: NewKey = body::optional_json(body).await?;
    mint_for(&api, &caller, caller.subject, wished).await
}

/// Makes one of one's own keys void at once.
pub(crate) async fn revoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let not_found = || Problem::plain(NOT_FOUND);
    let id: KeyId = id.parse().map_err(|_| not_found())?;
    let own = api.directory.keys(caller.subject).await?;
    if own.iter().any(|key| key.id == id) && api.directory.remove_key(id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}
