//! `/auth/keys`: one's own keys.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use model::KeyId;

use crate::access::Caller;
use crate::admin::{Keys, MintedKey, NewKey, mint_for};
use crate::answer::{Created, NoContent};
use crate::api::Api;
use crate::body::OptionalJson;
use crate::problem::{NOT_FOUND, Problem};
use crate::views;

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Keys>, Problem> {
    let keys = api.directory.keys(caller.subject).await?;
    Ok(Json(Keys { tokens: keys.iter().map(views::key).collect() }))
}

/// Makes a key; this answer alone shows it.
pub(crate) async fn mint(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: OptionalJson<NewKey>,
) -> Result<Created<MintedKey>, Problem> {
    mint_for(&api, &caller, caller.subject, body.read().await?).await
}

/// Makes one of one's own keys void at once.
pub(crate) async fn revoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<NoContent, Problem> {
    let not_found = || Problem::plain(NOT_FOUND);
    let id: KeyId = id.parse().map_err(|_| not_found())?;
    let own = api.directory.keys(caller.subject).await?;
    if own.iter().any(|key| key.id == id) && api.directory.remove_key(id).await? {
        Ok(NoContent)
    } else {
        Err(not_found())
    }
}
