//! The history of a workspace: who changed what when, and taking it back.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use engine::workspaces::files::NotChanged;
use engine::workspaces::{Record, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trust::Action;

use super::files::Revision;
use super::{Place, Which, hand, revision};
use crate::access::Caller;
use crate::api::Api;
use crate::body::{self, JsonBody, Query};
use crate::problem::{CONFLICT, INVALID, Problem};
use crate::views::{self, Moment};

/// How many commits one list has where nobody says.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLog {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// How many, 1 to 500; 50 where absent.
    limit: Option<usize>,
    /// The last commit of the page before.
    before: Option<String>,
    /// Only what changed this file or directory.
    path: Option<String>,
}

/// A page of commits.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Commits")]
pub(crate) struct Log {
    commits: Vec<CommitView>,
    /// Whether there are older ones.
    more: bool,
    /// The `before` of the next page; null on the last one.
    next: Option<String>,
}

/// `GET /agent/workspace/log`.
pub(crate) async fn log(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<WhichLog>,
) -> Result<Json<Log>, Problem> {
    let before = revision("before", asked.before.as_deref())?;
    let limit = body::page(asked.limit, PAGE, PAGE_MAX)?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let id = place.workspace.id;
    let history = api.workspaces.history(id, before, asked.path.as_deref(), limit).await?;
    let commits = history.records.iter().map(commit).collect();
    let next = history.next.map(|next| next.to_string());
    Ok(Json(Log { commits, more: next.is_some(), next }))
}

/// A workspace at a glance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Glance {
    /// `main`.
    branch: &'static str,
    /// Always empty.
    changes: Vec<String>,
    /// The newest.
    commits: Vec<CommitView>,
}

/// `GET /agent/workspace/git`: the newest commits at a glance. There is no work tree, so nothing is
/// ever changed and not committed.
pub(crate) async fn git(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Glance>, Problem> {
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::asked(&api, &caller, &which, read).await?;
    let history = api.workspaces.history(place.workspace.id, None, None, PAGE).await?;
    let commits = history.records.iter().map(commit).collect();
    Ok(Json(Glance { branch: "main", changes: vec![], commits }))
}

/// What is to be taken back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Revert")]
pub(crate) struct Undo {
    /// The commit.
    commit: String,
}

/// `POST /agent/workspace/revert`.
pub(crate) async fn revert(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: JsonBody<Undo>,
) -> Result<Json<Revision>, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(&api, &caller, &which, write).await?;
    let Undo { commit } = body.read().await?;
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
    Ok(Json(Revision { revision: undone.await?? }))
}

/// A commit as outsiders see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Commit")]
pub(crate) struct CommitView {
    sha: String,
    parents: Vec<String>,
    author: Who,
    committer: Who,
    /// When it was written.
    time: Moment,
    /// The first line of its message.
    subject: String,
    message: String,
    /// What it says about itself, as `dispatch` and `launcher`.
    trailers: BTreeMap<String, String>,
    /// The paths that were not committed, and why; absent where all were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    /// True where it came from an outside repository, so that nothing here vouches for it; else absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
}

/// Who wrote a commit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Signature")]
struct Who {
    name: String,
    email: String,
}

fn commit(record: &Record) -> CommitView {
    let (mut trailers, mut refused) = (BTreeMap::new(), vec![]);
    for trailer in &record.trailers {
        let value = trailer.value().to_owned();
        match trailer.key() {
            "Refused" => refused.push(value),
            key => _ = trailers.insert(key.to_lowercase(), value),
        }
    }
    let ms = u64::try_from(record.author.seconds).unwrap_or(0).saturating_mul(1_000);
    CommitView {
        sha: record.commit.to_string(),
        parents: record.parents.iter().map(ToString::to_string).collect(),
        author: who(&record.author),
        committer: who(&record.committer),
        time: views::time(model::Time::from_ms(ms)),
        subject: record.subject.clone(),
        message: record.message.clone(),
        trailers,
        refused,
        foreign: record.foreign,
    }
}

fn who(signature: &Signature) -> Who {
    Who { name: signature.name.clone(), email: signature.email.clone() }
}
