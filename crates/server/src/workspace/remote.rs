//! Outside repositories: a workspace that follows one, and bringing the two together. The token of a request is handed
//! on to one run of git or ssh and kept nowhere.

use axum::extract::State;
use axum::{Extension, Json};
use engine::port::Workspace;
use engine::remote::{Pulled, Pushed, Remote, RemoteError, There, Token};
use model::{CommitId, WorkspaceId, WorkspaceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use trust::Action;

use super::own::{activate_for, checked_purpose, has_room, make_with, name_of, show_own, taken};
use super::{Place, Which, WorkspaceView, hand, unknown};
use crate::access::Caller;
use crate::answer::Created;
use crate::api::Api;
use crate::body::{JsonBody, OptionalJson, Query};
use crate::problem::{
    CONFLICT, GIT_MISSING, INVALID, Problem, REMOTE_FAILED, REMOTE_NOT_ALLOWED, SSH_MISSING,
    UNAVAILABLE,
};

/// How often a name that is taken gets another number.
const NUMBERS_MAX: usize = 100;

/// The outside repository that a workspace follows.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Remote")]
pub(crate) struct Followed {
    /// Its address, without any credential.
    repo: String,
    /// The branch.
    #[serde(rename = "ref")]
    branch: String,
}

/// What a workspace follows, as its members are shown it.
pub(super) fn shown(remote: &Remote) -> Followed {
    Followed { repo: remote.url.to_string(), branch: remote.branch.name().to_owned() }
}

/// An outside repository as somebody names it, checked as far as its address tells.
fn remote_of(api: &Api, repo: &str, branch: Option<&str>) -> Result<Remote, Problem> {
    let bad = |what: &str, problem: &dyn std::fmt::Display| {
        Problem::new(INVALID, format!("{what}: {problem}"))
    };
    let url = repo.trim().parse().map_err(|problem| {
        let problem: engine::remote::BadAddress = problem;
        bad("repo", &problem)
    })?;
    let branch = branch.map(str::parse).transpose().map_err(|problem| {
        let problem: engine::remote::BadBranch = problem;
        bad("ref", &problem)
    })?;
    api.outside.check(&url)?;
    Ok(Remote { url, branch: branch.unwrap_or_default() })
}

/// A workspace that is to follow an outside repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attach {
    /// Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`.
    repo: String,
    /// The branch; `main` where absent.
    #[serde(rename = "ref")]
    branch: Option<String>,
    /// A token, or by ssh a private key. For this one request, and kept nowhere.
    #[schemars(with = "Option<String>")]
    token: Option<Token>,
    /// What you call the workspace; as the repository where absent.
    name: Option<String>,
    /// One line that every agent which works there is told.
    purpose: Option<String>,
}

/// `POST /agent/workspace/attach`: a workspace of the caller's that holds what an outside repository does and follows
/// it. It is parked until it is activated.
pub(crate) async fn attach(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: JsonBody<Attach>,
) -> Result<Created<WorkspaceView>, Problem> {
    let asked = body.read().await?;
    caller.may(&Action::CreateWorkspace { owner: caller.subject })?;
    let remote = remote_of(&api, &asked.repo, asked.branch.as_deref())?;
    let name = asked.name.as_deref().map(name_of).transpose()?;
    let purpose = asked.purpose.as_deref().map(checked_purpose).transpose()?.unwrap_or_default();
    let wished = Wished { remote, name, purpose };
    let id = make(&api, &caller, wished, asked.token).await?;
    Ok(Created(show_own(&api, &caller, id).await?))
}

/// Which repository is to be worked on instead.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Swap {
    /// Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`.
    repo: Option<String>,
    /// The branch; `main` where absent.
    #[serde(rename = "ref")]
    branch: Option<String>,
    /// A token, or by ssh a private key. For this one request, and kept nowhere.
    #[schemars(with = "Option<String>")]
    token: Option<Token>,
}

/// What took which place.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Swapped {
    /// The one that is part of conversations now.
    workspace: WorkspaceView,
    /// The one that was; null if none.
    parked: Option<WorkspaceView>,
}

/// `POST /agent/workspace/swap`: the workspace that follows this repository takes the place of another one in the
/// caller's conversations; it is made where there is none. Without a repository: the caller's home does. What was
/// there before is parked and stays as it is.
pub(crate) async fn swap(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: OptionalJson<Swap>,
) -> Result<Json<Swapped>, Problem> {
    let Swap { repo, branch, token } = body.read().await?;
    caller.may(&Action::CreateWorkspace { owner: caller.subject })?;
    let known = api.directory.memberships(caller.subject).await?;
    let before = match which.workspace.as_deref() {
        Some(key) => {
            let make_use = |role| Action::UseWorkspace { role };
            let id = Place::find(&api, &caller, Some(key), make_use).await?.workspace.id;
            if known.iter().all(|it| it.workspace.id != id) {
                return Err(unknown(key));
            }
            Some(id)
        }
        None => known.iter().find(|it| it.active).map(|it| it.workspace.id),
    };
    let id = match repo.as_deref() {
        Some(repo) => {
            let remote = remote_of(&api, repo, branch.as_deref())?;
            if let Some(id) = following(&api, &caller, &remote).await? {
                id
            } else {
                let wished = Wished { remote, name: None, purpose: String::new() };
                make(&api, &caller, wished, token).await?
            }
        }
        None => {
            Place::find(&api, &caller, None, |role| Action::UseWorkspace { role })
                .await?
                .workspace
                .id
        }
    };
    let parked = before.filter(|before| *before != id);
    activate_for(&api, &caller, id, parked).await?;
    let parked = match parked {
        Some(parked) => {
            api.directory.set_active(parked, caller.subject, false).await?;
            Some(show_own(&api, &caller, parked).await?)
        }
        None => None,
    };
    Ok(Json(Swapped { workspace: show_own(&api, &caller, id).await?, parked }))
}

/// The caller's own workspace that follows this repository, if there is one.
async fn following(
    api: &Api,
    caller: &Caller,
    remote: &Remote,
) -> Result<Option<WorkspaceId>, Problem> {
    let own = api.directory.workspaces(caller.subject).await?;
    let mut followed = api.directory.followed(caller.subject).await?;
    followed.retain(|(_, it)| it == remote);
    let follows = |workspace: &Workspace| followed.iter().any(|it| it.0 == workspace.id);
    Ok(own.iter().find(|workspace| follows(workspace)).map(|workspace| workspace.id))
}

/// A workspace that is to follow a repository.
struct Wished {
    remote: Remote,
    /// Where absent, that of the repository.
    name: Option<WorkspaceName>,
    purpose: String,
}

/// Makes it, whole or not at all, with what the repository holds.
async fn make(
    api: &Api,
    caller: &Caller,
    wished: Wished,
    token: Option<Token>,
) -> Result<WorkspaceId, Problem> {
    let own = api.directory.workspaces(caller.subject).await?;
    has_room(&own)?;
    let name = free_name(&own, &wished)?;
    let by = hand(api, caller, "Attach an outside repository".to_owned()).await?;
    let workspace = Workspace {
        id: WorkspaceId::from_uuid(api.ids.uuid()),
        name,
        owner: caller.subject,
        purpose: wished.purpose,
        created: by.at,
    };
    let (all, id, owner, remote) = (api.clone(), workspace.id, by.person.clone(), wished.remote);
    let fill = async move {
        let pulled = all.outside.pull(id, &remote, token.as_ref(), by).await?;
        all.directory.set_remote(id, remote).await?;
        info!(workspace = %id, commits = pulled.commits, "an outside repository was taken in");
        Ok(())
    };
    Ok(make_with(api, owner, workspace, vec![], fill).await?.id)
}

/// The name that was wished for, or one of the repository that is free.
fn free_name(own: &[Workspace], wished: &Wished) -> Result<WorkspaceName, Problem> {
    let is_free = |name: &WorkspaceName| own.iter().all(|workspace| workspace.name != *name);
    if let Some(name) = &wished.name {
        return if is_free(name) { Ok(name.clone()) } else { Err(taken(name)) };
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = wished.remote.url.name().chars().filter(|it| plain(*it)).take(50).collect();
    let numbered = (1..NUMBERS_MAX).map(|number| match number {
        1 => name.clone(),
        number => format!("{name}-{number}"),
    });
    let mut names = numbered.filter_map(|name| name_of(&name).ok());
    names.find(is_free).ok_or_else(|| {
        Problem::new(
            INVALID,
            "the repository's name makes none for a workspace: say which, with name",
        )
    })
}

/// Where a workspace is to be pushed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`.
    repo: String,
    /// The branch; `main` where absent.
    #[serde(rename = "ref")]
    branch: Option<String>,
    /// A token, or by ssh a private key. For this one request, and kept nowhere.
    #[schemars(with = "Option<String>")]
    token: Option<Token>,
}

/// `POST /agent/workspace/publish`: pushes a workspace to an outside repository, which it follows from then on.
pub(crate) async fn publish(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: JsonBody<Publish>,
) -> Result<Json<Outcome>, Problem> {
    let configure = |role| Action::ConfigureWorkspace { role };
    let place = Place::asked(&api, &caller, &which, configure).await?;
    let Publish { repo, branch, token } = body.read().await?;
    let remote = remote_of(&api, &repo, branch.as_deref())?;
    let id = place.workspace.id;
    let outcome = pushed(&api, id, &remote, token).await?;
    api.directory.set_remote(id, remote).await?;
    Ok(Json(outcome))
}

/// What a push came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PushedTo")]
pub(crate) struct Outcome {
    workspace: WorkspaceId,
    remote: Followed,
    /// The commit that was pushed; both have it now, unless it waits there.
    revision: CommitId,
    /// Whether the branch moved there now.
    moved: bool,
    /// Whether the other side is a Remit server too, where it waits as a proposal.
    proposed: bool,
}

/// Pushes a workspace there.
async fn pushed(
    api: &Api,
    id: WorkspaceId,
    remote: &Remote,
    token: Option<Token>,
) -> Result<Outcome, Problem> {
    let (outside, to) = (api.outside.clone(), remote.clone());
    let pushed = async move { outside.push(id, &to, token.as_ref()).await };
    let Pushed { commit, there } = api.finish(pushed).await??;
    Ok(Outcome {
        workspace: id,
        remote: shown(remote),
        revision: commit,
        moved: there == There::Moved,
        proposed: there == There::Proposed,
    })
}

/// A credential for the outside repository.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithToken {
    /// A token, or by ssh a private key. For this one request, and kept nowhere.
    #[schemars(with = "Option<String>")]
    token: Option<Token>,
}

/// `POST /agent/workspace/push`.
pub(crate) async fn push(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: OptionalJson<WithToken>,
) -> Result<Json<Outcome>, Problem> {
    let (id, remote, token) = followed(&api, &caller, &which, body).await?;
    Ok(Json(pushed(&api, id, &remote, token).await?))
}

/// What a pull came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PulledFrom")]
pub(crate) struct TakenIn {
    workspace: WorkspaceId,
    remote: Followed,
    /// The newest commit; both have it now, unless it was merged.
    revision: CommitId,
    /// How many commits are new.
    commits: usize,
    /// Whether both sides had gone on, and the newest commit joins them. A push brings it there.
    merged: bool,
}

/// `POST /agent/workspace/pull`.
pub(crate) async fn pull(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: OptionalJson<WithToken>,
) -> Result<Json<TakenIn>, Problem> {
    let (id, remote, token) = followed(&api, &caller, &which, body).await?;
    let by = hand(&api, &caller, "Pull".to_owned()).await?;
    let (outside, from) = (api.outside.clone(), remote.clone());
    let pulled = async move { outside.pull(id, &from, token.as_ref(), by).await };
    let Pulled { commit, commits, merged } = api.finish(pulled).await??;
    Ok(Json(TakenIn { workspace: id, remote: shown(&remote), revision: commit, commits, merged }))
}

/// The workspace that is asked about, what it follows, and the token that came.
async fn followed(
    api: &Api,
    caller: &Caller,
    which: &Which,
    body: OptionalJson<WithToken>,
) -> Result<(WorkspaceId, Remote, Option<Token>), Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(api, caller, which, write).await?;
    let WithToken { token } = body.read().await?;
    let id = place.workspace.id;
    let remote = api.directory.remote(id).await?.ok_or_else(|| {
        Problem::new(
            CONFLICT,
            "this workspace follows no outside repository: publish it to one, or attach one",
        )
    })?;
    Ok((id, remote, token))
}

impl From<RemoteError> for Problem {
    fn from(error: RemoteError) -> Self {
        let kind = match error {
            RemoteError::Workspace(cause) => return cause.into(),
            RemoteError::NotAllowed { .. }
            | RemoteError::NotPublic { .. }
            | RemoteError::UnknownHost { .. } => REMOTE_NOT_ALLOWED,
            RemoteError::GitMissing => GIT_MISSING,
            RemoteError::SshMissing => SSH_MISSING,
            RemoteError::Busy => UNAVAILABLE,
            RemoteError::BadToken(_)
            | RemoteError::BadKey(_)
            | RemoteError::NoBranch(_)
            | RemoteError::NotTaken(_) => INVALID,
            RemoteError::Behind | RemoteError::Diverged => CONFLICT,
            RemoteError::Credential
            | RemoteError::NoRepository
            | RemoteError::Unreachable
            | RemoteError::Certificate
            | RemoteError::OtherHost { .. }
            | RemoteError::Redirects
            | RemoteError::TooMuch
            | RemoteError::TooSlow
            | RemoteError::Broken
            | RemoteError::Declined
            | RemoteError::Failed => REMOTE_FAILED,
        };
        if kind == REMOTE_FAILED {
            warn!(%error, "an outside repository did not do as asked");
        }
        Self::new(kind, format!("outside repository: {error}"))
    }
}
