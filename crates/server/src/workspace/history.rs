//! The history of a workspace: who changed what when, and taking it back.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use engine::workspaces::files::NotChanged;
use engine::workspaces::{Record, Signature};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use trust::Action;

use super::{Place, hand, revision};
use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{CONFLICT, INVALID, Problem};
use crate::views;

/// How many commits one list has where nobody says.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLog {
    workspace: Option<String>,
    limit: Option<usize>,
    /// The last commit of the page before.
    before: Option<String>,
    /// Only what changed this file or directory.
    path: Option<String>,
}

/// `GET /agent/workspace/log`.
pub(crate) async fn log(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let asked: WhichLog = body::query(&uri)?;
    let before = revision("before", asked.before.as_deref())?;
    let limit = body::page(asked.limit, PAGE, PAGE_MAX)?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let id = place.workspace.id;
    let history = api.workspaces.history(id, before, asked.path.as_deref(), limit).await?;
    let commits: Vec<Value> = history.records.iter().map(commit).collect();
    let next = history.next.map(|next| next.to_string());
    Ok(Json(json!({"commits": commits, "more": next.is_some(), "next": next})))
}

/// `GET /agent/workspace/git`: the newest commits at a glance. There is no work tree, so nothing is
/// ever changed and not committed.
pub(crate) async fn git(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::asked(&api, &caller, &uri, read).await?;
    let history = api.workspaces.history(place.workspace.id, None, None, PAGE).await?;
    let commits: Vec<Value> = history.records.iter().map(commit).collect();
    Ok(Json(json!({"branch": "main", "changes": [], "commits": commits})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Undo {
    commit: String,
}

/// `POST /agent/workspace/revert`.
pub(crate) async fn revert(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(&api, &caller, &uri, write).await?;
    let Undo { commit } = body::json(body, INVALID).await?;
    let commit =
        commit.parse().map_err(|bad: model::id::BadId| Problem::new(INVALID, bad.to_string()))?;
    let by = hand(&api, &caller, String::new()).await?;
    let (workspaces, id) = (api.workspaces.clone(), place.workspace.id);
    let inbox = api.inbox.clone();
    let undone = api.finish(async move {
        match workspaces.undo(id, commit, by).await {
            Ok(revision) => Ok(revision),
            Err(NotChanged::Waits { paths, held }) => {
                let proposal = inbox.write_by_hand(held).await?.proposal.id;
                let paths = paths.join(", ");
                let words = format!("{paths} changed since: it waits as proposal {proposal}");
                Err(Problem::new(CONFLICT, words).with("proposal", json!(proposal)))
            }
            Err(why) => Err(why.into()),
        }
    });
    Ok(Json(json!({"revision": undone.await??})))
}

/// A commit as outsiders see it.
pub(crate) fn commit(record: &Record) -> Value {
    let parents: Vec<String> = record.parents.iter().map(ToString::to_string).collect();
    let (mut trailers, mut refused) = (BTreeMap::new(), vec![]);
    for trailer in &record.trailers {
        match trailer.key() {
            "Refused" => refused.push(trailer.value()),
            key => _ = trailers.insert(key.to_lowercase(), trailer.value()),
        }
    }
    let ms = u64::try_from(record.author.seconds).unwrap_or(0).saturating_mul(1_000);
    let mut shown = json!({
        "sha": record.commit.to_string(),
        "parents": parents,
        "author": who(&record.author),
        "committer": who(&record.committer),
        "time": views::time(model::Time::from_ms(ms)),
        "subject": record.subject,
        "message": record.message,
        "trailers": trailers,
    });
    if let Some(shown) = shown.as_object_mut() {
        if !refused.is_empty() {
            shown.insert("refused".to_owned(), json!(refused));
        }
        if record.foreign {
            shown.insert("foreign".to_owned(), json!(true));
        }
    }
    shown
}

fn who(signature: &Signature) -> Value {
    let mut who = Map::new();
    who.insert("name".to_owned(), signature.name.clone().into());
    who.insert("email".to_owned(), signature.email.clone().into());
    who.into()
}
