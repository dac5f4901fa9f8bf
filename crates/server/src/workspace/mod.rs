//! `/agent/workspace…`: which workspace is meant, what the caller is in it, and how it is shown.
//! Whether they may is asked of [`trust::authorize()`] with their role; to one who is no member there
//! is no such workspace.

pub(crate) mod diff;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod invites;
pub(crate) mod knowledge;
pub(crate) mod members;
pub(crate) mod own;
pub(crate) mod remote;
pub(crate) mod upload;

use std::collections::HashMap;

use axum::{Extension, Json, extract::State};
use engine::dispatcher::WorkspaceKey;
use engine::port::{Membership, Person, Workspace};
use engine::remote::Remote;
use engine::workspaces::files::{Hand, NotChanged};
use engine::workspaces::{RepositoryError, WorkspacesError};
use model::{CommitId, Role};
use model::{UserId, WorkspaceId, WorkspaceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::error;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::problem::{
    CONFLICT, INTERNAL, INVALID, INVALID_KEY, NOT_FOUND, Problem, STORAGE_FULL, UNKNOWN_WORKSPACE,
};
use crate::views::{self, Moment};

/// A workspace that was asked for, and what the caller is in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) workspace: Workspace,
    pub(crate) role: Option<Role>,
}

/// The query of a route that needs nothing but to know which workspace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Its id or name; the caller's home where absent.
    pub(crate) workspace: Option<String>,
}

impl Place {
    /// The workspace that a query names and nothing else, under the same condition as [`find`](Self::find).
    pub(crate) async fn asked(
        api: &Api,
        caller: &Caller,
        which: &Which,
        action: impl FnOnce(Option<Role>) -> Action,
    ) -> Result<Self, Problem> {
        Self::find(api, caller, which.workspace.as_deref(), action).await
    }

    /// The workspace that is meant, if the caller may do this to one in which they are what they are.
    pub(crate) async fn find(
        api: &Api,
        caller: &Caller,
        key: Option<&str>,
        action: impl FnOnce(Option<Role>) -> Action,
    ) -> Result<Self, Problem> {
        let place = match key {
            None => home(api, caller).await?,
            Some(text) => named(api, caller, text).await?,
        };
        let asked = caller.may(&action(place.role));
        asked.map_err(|problem| {
            let hidden = problem.kind == NOT_FOUND;
            if hidden { unknown(key.unwrap_or_default()) } else { problem }
        })?;
        Ok(place)
    }
}

async fn home(api: &Api, caller: &Caller) -> Result<Place, Problem> {
    let known = api.directory.memberships(caller.subject).await?;
    let first = known.into_iter().next().ok_or_else(|| {
        Problem::new(
            UNKNOWN_WORKSPACE,
            "you have no workspace; POST /agent/workspace/init makes one",
        )
    })?;
    Ok(Place { workspace: first.workspace, role: Some(first.role) })
}

async fn named(api: &Api, caller: &Caller, text: &str) -> Result<Place, Problem> {
    let key = WorkspaceKey::parse(text)?;
    let found = match key {
        WorkspaceKey::Id(id) => match api.directory.workspace(id).await? {
            Some(workspace) => {
                let role = api.directory.role(id, caller.subject).await?;
                Some(Place { workspace, role })
            }
            None => None,
        },
        WorkspaceKey::Name(name) => {
            let known = api.directory.memberships(caller.subject).await?;
            let found = Membership::named(&known, caller.subject, &name);
            found.map(|it| Place { workspace: it.workspace.clone(), role: Some(it.role) })
        }
    };
    found.ok_or_else(|| unknown(text))
}

pub(crate) fn unknown(text: &str) -> Problem {
    let text: String = text.chars().take(64).collect();
    let words = format!("there is no workspace `{text}`; GET /agent/workspaces lists yours");
    Problem::new(UNKNOWN_WORKSPACE, words)
}

/// The person whose key it is.
pub(crate) async fn person(api: &Api, caller: &Caller) -> Result<Person, Problem> {
    let person = api.directory.person(caller.subject).await?;
    person.ok_or_else(|| Problem::plain(INVALID_KEY))
}

/// In whose name a change is made by hand, and how the history calls it.
pub(crate) async fn hand(api: &Api, caller: &Caller, message: String) -> Result<Hand, Problem> {
    Ok(Hand { person: person(api, caller).await?, at: api.clock.now(), message })
}

/// A revision as somebody wrote it.
pub(crate) fn revision(name: &str, text: Option<&str>) -> Result<Option<CommitId>, Problem> {
    let parsed = text.map(str::parse::<CommitId>).transpose();
    parsed.map_err(|problem| Problem::new(INVALID, format!("{name}: {problem}")))
}

/// Workspaces.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Workspaces")]
pub(crate) struct Listed {
    workspaces: Vec<WorkspaceView>,
}

/// `GET /agent/workspaces`.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Listed>, Problem> {
    Ok(Json(Listed { workspaces: show_all(&api, caller.subject).await? }))
}

/// A workspace as one of its members sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Workspace")]
pub(crate) struct WorkspaceView {
    /// Its id.
    id: WorkspaceId,
    /// What its owner calls it.
    name: WorkspaceName,
    /// Whose it is.
    owner: UserId,
    /// What the caller is in it.
    role: Role,
    /// Whether it is part of the caller's conversations that name none.
    active: bool,
    /// What it is for; agents are told.
    purpose: String,
    /// When it was made.
    created: Moment,
    /// Its newest revision; null while it is empty.
    head: Option<CommitId>,
    /// The outside repository that it follows; null if none.
    remote: Option<remote::Followed>,
}

/// A workspace as one of its members sees it.
pub(crate) async fn show(api: &Api, membership: Membership) -> Result<WorkspaceView, Problem> {
    let remote = api.directory.remote(membership.workspace.id).await?;
    Ok(view(api, membership, remote).await)
}

/// All that a person is a member of.
async fn show_all(api: &Api, person: UserId) -> Result<Vec<WorkspaceView>, Problem> {
    let mut followed: HashMap<_, _> = api.directory.followed(person).await?.into_iter().collect();
    let mut shown = vec![];
    for membership in api.directory.memberships(person).await? {
        let remote = followed.remove(&membership.workspace.id);
        shown.push(view(api, membership, remote).await);
    }
    Ok(shown)
}

async fn view(api: &Api, membership: Membership, remote: Option<Remote>) -> WorkspaceView {
    let Membership { workspace, role, active } = membership;
    // One whose folder is missing is listed all the same.
    let head = api.workspaces.head(workspace.id).await.ok().flatten();
    WorkspaceView {
        id: workspace.id,
        name: workspace.name,
        owner: workspace.owner,
        role,
        active,
        purpose: workspace.purpose,
        created: views::time(workspace.created),
        head,
        remote: remote.as_ref().map(remote::shown),
    }
}

impl From<WorkspacesError> for Problem {
    fn from(refusal: WorkspacesError) -> Self {
        match &refusal {
            WorkspacesError::Path { .. } => Self::new(INVALID, refusal.to_string()),
            WorkspacesError::Repository { source, .. } => match source {
                RepositoryError::NoCommit { .. } => {
                    Self::new(NOT_FOUND, "there is no such revision in this workspace's history")
                }
                RepositoryError::NotAllowed { .. } => Self::new(INVALID, source.to_string()),
                RepositoryError::Full { .. } | RepositoryError::ReadOnly { .. } => {
                    error!(%refusal, cause = %source, "a workspace cannot be written");
                    Self::new(
                        STORAGE_FULL,
                        "nothing was written; free disk space on the server, then ask again",
                    )
                }
                _ => broken(&refusal, Some(source)),
            },
            WorkspacesError::Missing(_) | WorkspacesError::Broken(_) => broken(&refusal, None),
        }
    }
}

fn broken(refusal: &WorkspacesError, cause: Option<&RepositoryError>) -> Problem {
    error!(%refusal, cause = ?cause.map(ToString::to_string), "a workspace failed");
    Problem::new(INTERNAL, "the workspace cannot be used; the server's log says why")
}

impl From<NotChanged> for Problem {
    fn from(refusal: NotChanged) -> Self {
        let words = refusal.to_string();
        match refusal {
            NotChanged::Moved { current, .. } => {
                let words = format!("{words}; read it again, then write on that revision");
                Self::new(CONFLICT, words).with("current", json!(current))
            }
            NotChanged::Waits { .. } => Self::new(CONFLICT, words),
            NotChanged::Absent(_) => Self::new(NOT_FOUND, words),
            NotChanged::Occupied(_) => Self::new(CONFLICT, words),
            NotChanged::Refused { reason: "too-large" | "total-too-large", .. } => {
                Self::new(crate::problem::TOO_LARGE, words)
            }
            NotChanged::Refused { .. } => Self::new(INVALID, words),
            NotChanged::Workspace(cause) => cause.into(),
        }
    }
}
