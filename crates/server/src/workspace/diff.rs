//! What a commit changed, and what a dispatch changed, in the form that everybody is shown.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use model::diff::FileDiff;
use model::{CommitId, Event, EventId, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use trust::Action;

use super::Place;
use crate::access::Caller;
use crate::api::Api;
use crate::body::Query;
use crate::dispatches::readable;
use crate::follow::{Follow, Next, Waits};
use crate::problem::{INVALID, Problem};

/// How many entries of a dispatch are looked through for its commits.
const ENTRIES_MAX: usize = 100_000;
/// How many commits of a dispatch are shown.
const COMMITS_MAX: usize = 200;
/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichCommit {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// The commit.
    commit: String,
}

/// What a commit changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CommitDiff {
    commit: CommitId,
    files: Vec<FileDiff>,
}

/// `GET /agent/workspace/diff`.
pub(crate) async fn of_commit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<WhichCommit>,
) -> Result<Json<CommitDiff>, Problem> {
    let commit: CommitId = asked
        .commit
        .parse()
        .map_err(|bad: model::id::BadId| Problem::new(INVALID, bad.to_string()))?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let id = place.workspace.id;
    // Only what is part of the history: other commits of the repository are somebody's own.
    api.workspaces.record(id, commit.clone()).await?;
    let files = api.workspaces.commit_diff(id, &commit).await?;
    Ok(Json(CommitDiff { commit, files }))
}

/// What a dispatch committed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DispatchDiff {
    workspaces: Vec<Changed>,
}

/// What it committed to one workspace.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorkspaceDiff")]
struct Changed {
    workspace: WorkspaceId,
    /// Oldest first.
    commits: Vec<CommitId>,
    files: Vec<FileDiff>,
}

/// `GET /agent/dispatches/{id}/diff`: what it committed, for each workspace that the caller may read.
pub(crate) async fn of_dispatch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<DispatchDiff>, Problem> {
    let record = readable(&api, &caller, &id).await?;
    let mut workspaces = vec![];
    for (workspace, commits) in commits(&api, record.dispatch.id).await? {
        let role = api.directory.role(workspace, caller.subject).await?;
        if caller.may(&Action::ReadWorkspace { role }).is_err() {
            continue;
        }
        let files = changed(&api, workspace, &commits).await?;
        workspaces.push(Changed { workspace, commits, files });
    }
    Ok(Json(DispatchDiff { workspaces }))
}

/// The commits of a dispatch, oldest first, by workspace.
async fn commits(
    api: &Api,
    dispatch: model::DispatchId,
) -> Result<Vec<(WorkspaceId, Vec<CommitId>)>, Problem> {
    let mut found: Vec<(WorkspaceId, Vec<CommitId>)> = vec![];
    let (ledger, stopping) = (api.ledger.clone(), api.tasks.stopping());
    let mut follow = Follow::new(ledger, stopping, dispatch, EventId::START, Waits::Never);
    for _ in 0..ENTRIES_MAX {
        let Next::Entry(entry) = follow.next(PATIENCE).await? else { break };
        let Event::Commit { workspace, commit, .. } = entry.event else { continue };
        match found.iter_mut().find(|(known, _)| *known == workspace) {
            Some((_, commits)) if commits.len() < COMMITS_MAX => commits.push(commit),
            Some(_) => {}
            None => found.push((workspace, vec![commit])),
        }
    }
    Ok(found)
}

/// What the commits changed: together where each was made on the one before, else one after another.
async fn changed(
    api: &Api,
    workspace: WorkspaceId,
    commits: &[CommitId],
) -> Result<Vec<FileDiff>, Problem> {
    let mut parents = vec![];
    for commit in commits {
        let record = api.workspaces.record(workspace, commit.clone()).await?;
        let parent = record.and_then(|record| record.parents.first().map(ToString::to_string));
        parents.push(parent.and_then(|parent| parent.parse::<CommitId>().ok()));
    }
    let in_a_row =
        parents.iter().skip(1).zip(commits).all(|(it, before)| it.as_ref() == Some(before));
    if let (true, [Some(first), ..], [.., last]) = (in_a_row, parents.as_slice(), commits) {
        return Ok(api.workspaces.diff_between(workspace, first, last).await?);
    }
    let mut files = vec![];
    for commit in commits {
        files.extend(api.workspaces.commit_diff(workspace, commit).await?);
    }
    Ok(files)
}
