//! `/agent/proposals`: what waits for a decision, and the decision. A proposal belongs to its workspace:
//! who may read that reads its proposals, who may write there decides them. A dispatch has no key, and so
//! decides nothing.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::{Extension, Json};
use engine::port::{ProposalQuery, ProposalRecord, ProposalState, Workspace};
use engine::proposal::{Approve, Choice, ChoiceError, FileChoice, ProposalError, Shown, Take};
use model::{ProposalId, Role, Standing, Time};
use serde::Deserialize;
use serde_json::{Value, json};
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{
    ALREADY_DECIDED, CONFLICT, EXPIRED, INVALID, NOT_FOUND, PROPOSAL_CHANGED, Problem,
    UNKNOWN_PROPOSAL,
};
use crate::views;
use crate::workspace::Place;

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;
/// The longest reason of a refusal, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// The most files that one approval names.
const FILES_MAX: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    state: Option<Wanted>,
    workspace: Option<String>,
    before: Option<ProposalId>,
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Open,
    Approved,
    Denied,
    Expired,
    All,
}

impl Wanted {
    fn state(self) -> Option<ProposalState> {
        Some(match self {
            Self::Open => ProposalState::Open,
            Self::Approved => ProposalState::Approved,
            Self::Denied => ProposalState::Denied,
            Self::Expired => ProposalState::Expired,
            Self::All => return None,
        })
    }
}

/// The proposals of one workspace, or of all that the caller is a member of, newest first.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let filter: Filter = body::query(&uri)?;
    let limit = body::page(filter.limit, PAGE, PAGE_MAX)?;
    let read = |role| Action::ReadWorkspace { role };
    let workspaces: Vec<Workspace> = if let Some(key) = filter.workspace.as_deref() {
        vec![Place::find(&api, &caller, Some(key), read).await?.workspace]
    } else {
        let known = api.directory.memberships(caller.subject).await?;
        known.into_iter().map(|membership| membership.workspace).collect()
    };
    let now = api.clock.now();
    let page = api.proposals.proposals(ProposalQuery {
        workspaces: workspaces.iter().map(|workspace| workspace.id).collect(),
        state: filter.state.unwrap_or(Wanted::Open).state(),
        now,
        before: filter.before,
        limit,
    });
    let page = page.await?;
    let mut proposals = vec![];
    for record in &page.items {
        let found = workspaces.iter().find(|it| it.id == record.proposal.workspace);
        let name = found.map(|it| it.name.as_str()).unwrap_or_default();
        proposals.push(view(record, role_of_maker(&api, record).await?, name, now));
    }
    Ok(Json(json!({"proposals": proposals, "more": page.more})))
}

pub(crate) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (id, workspace) = find(&api, &caller, &id, |role| Action::ReadWorkspace { role }).await?;
    let shown = api.inbox.show(id).await?;
    let maker = role_of_maker(&api, &shown.record).await?;
    Ok(Json(in_full(&shown, maker, &workspace, api.clock.now())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    digest: String,
    all: Option<bool>,
    files: Option<Vec<FileAsk>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAsk {
    path: String,
    all: Option<bool>,
    hunks: Option<BTreeSet<usize>>,
    content: Option<String>,
}

impl FileAsk {
    fn choice(self) -> Result<FileChoice, Problem> {
        let take = match (self.all, self.hunks, self.content) {
            (Some(true), None, None) => Take::Whole,
            (None | Some(false), Some(hunks), None) => Take::Hunks(hunks),
            (None | Some(false), None, Some(content)) => Take::Content(content.into_bytes()),
            _ => {
                let words = "files: each has a path and one of all, hunks, content";
                return Err(Problem::new(INVALID, words));
            }
        };
        Ok(FileChoice { path: self.path, take })
    }
}

impl Approval {
    fn choice(self) -> Result<Choice, Problem> {
        match (self.all, self.files) {
            (Some(true), None) => Ok(Choice::All),
            (None | Some(false), Some(files)) if files.len() <= FILES_MAX => {
                Ok(Choice::Files(files.into_iter().map(FileAsk::choice).collect::<Result<_, _>>()?))
            }
            _ => Err(Problem::new(INVALID, "say all:true, or which files, 10000 at most")),
        }
    }
}

/// Takes what was chosen into the folder, once, however often it is asked.
pub(crate) async fn approve(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut asked: Approval = body::json(body, INVALID).await?;
    let (id, _) = find(&api, &caller, &id, |role| Action::DecideProposal { role }).await?;
    let maker = maker(&api, id).await?;
    find(&api, &caller, &id.to_string(), |role| Action::ApproveProposal { role, maker }).await?;
    let (digest, by) = (std::mem::take(&mut asked.digest), caller.subject);
    let approve = Approve { id, by, digest, choice: asked.choice()? };
    let inbox = api.inbox.clone();
    let commit = api.finish(async move { inbox.approve(approve).await }).await??;
    Ok(Json(json!({"state": "approved", "commit": commit})))
}

/// What the one for whom a proposal was made is in its workspace now.
async fn maker(api: &Api, id: ProposalId) -> Result<Option<Role>, Problem> {
    let record = api.proposals.proposal(id).await?.ok_or_else(|| unknown(&id.to_string()))?;
    role_of_maker(api, &record).await
}

async fn role_of_maker(api: &Api, record: &ProposalRecord) -> Result<Option<Role>, Problem> {
    let it = &record.proposal;
    Ok(api.directory.role(it.workspace, it.subject).await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    reason: Option<String>,
}

pub(crate) async fn deny(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Refusal { reason } = body::optional_json(body).await?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Problem::new(INVALID, "reason has at most 1000 characters"));
    }
    let (id, _) = find(&api, &caller, &id, |role| Action::DecideProposal { role }).await?;
    let (inbox, by) = (api.inbox.clone(), caller.subject);
    api.finish(async move { inbox.deny(id, by, reason).await }).await??;
    Ok(Json(json!({"state": "denied"})))
}

/// The proposal and the name of its workspace, if the caller may do this there. Another's is as if it were
/// not there.
async fn find(
    api: &Api,
    caller: &Caller,
    text: &str,
    action: impl FnOnce(Option<Role>) -> Action,
) -> Result<(ProposalId, String), Problem> {
    let id: ProposalId = text.parse().map_err(|_| unknown(text))?;
    let record = api.proposals.proposal(id).await?.ok_or_else(|| unknown(text))?;
    let key = record.proposal.workspace.to_string();
    let place = Place::find(api, caller, Some(&key), action).await;
    let place = place.map_err(|problem| {
        if problem.kind.status == NOT_FOUND.status { unknown(text) } else { problem }
    })?;
    Ok((id, place.workspace.name.to_string()))
}

fn unknown(text: &str) -> Problem {
    let text: String = text.chars().take(64).collect();
    let words =
        format!("there is no proposal `{text}`; GET /agent/proposals lists those you may see");
    Problem::new(UNKNOWN_PROPOSAL, words)
}

fn view(record: &ProposalRecord, maker: Option<Role>, workspace: &str, now: Time) -> Value {
    let it = &record.proposal;
    json!({
        "id": it.id,
        "workspace": it.workspace,
        "workspace_name": workspace,
        "state": match record.state(now) {
            ProposalState::Open => "open",
            ProposalState::Approved => "approved",
            ProposalState::Denied => "denied",
            ProposalState::Expired => "expired",
        },
        "reason": it.reason,
        "dispatch": it.dispatch,
        "session": it.session,
        "subject": it.subject,
        "subject_role": maker,
        "launcher": it.launcher,
        "trigger": it.trigger,
        "input_trust": it.trigger.input_trust(),
        "label": it.label,
        "title": it.title,
        "paths": it.paths,
        "flags": it.flags,
        "created": views::time(it.created),
        "expires": views::time(it.expires),
        "decided": decided(&record.standing),
    })
}

fn decided(standing: &Standing) -> Value {
    match standing {
        Standing::Open | Standing::Approving { .. } => Value::Null,
        Standing::Approved { intent, commit } => {
            json!({"by": intent.by, "at": views::time(intent.at), "commit": commit})
        }
        Standing::Denied { by, at, reason } => {
            json!({"by": by, "at": views::time(*at), "reason": reason})
        }
    }
}

fn in_full(shown: &Shown, maker: Option<Role>, workspace: &str, now: Time) -> Value {
    let mut view = view(&shown.record, maker, workspace, now);
    let refused: Vec<_> =
        shown.refused.iter().map(|(path, why)| json!({"path": path, "reason": why})).collect();
    if let Some(view) = view.as_object_mut() {
        view.insert("base".to_owned(), json!(shown.base));
        view.insert("head".to_owned(), json!(shown.head));
        view.insert("moved".to_owned(), json!(shown.base != shown.head));
        view.insert("conflicts".to_owned(), json!(shown.conflicts));
        view.insert("digest".to_owned(), json!(shown.digest));
        view.insert("refused".to_owned(), json!(refused));
        view.insert("files".to_owned(), json!(shown.files));
    }
    view
}

impl From<ProposalError> for Problem {
    fn from(error: ProposalError) -> Self {
        match error {
            ProposalError::Unknown(id) => unknown(&id.to_string()),
            ProposalError::Changed(_) => Self::new(
                PROPOSAL_CHANGED,
                "what was shown is not what is there now: read the proposal again, then decide",
            ),
            ProposalError::Decided(_) => {
                Self::new(ALREADY_DECIDED, "it was decided otherwise; read the proposal to see how")
            }
            ProposalError::Expired(_) => {
                Self::new(EXPIRED, "nobody decided in time; ask the agent again")
            }
            ProposalError::Choice(error) => choice(&error),
            ProposalError::Workspace(error) => error.into(),
            ProposalError::Store(error) => error.into(),
        }
    }
}

fn choice(error: &ChoiceError) -> Problem {
    match error {
        ChoiceError::Conflicts(_) => Problem::new(
            CONFLICT,
            format!("{error}: choose its files by name, each whole, by hunks or edited"),
        ),
        ChoiceError::InTheWay(_) | ChoiceError::Nothing => {
            Problem::new(CONFLICT, error.to_string())
        }
        _ => Problem::new(INVALID, error.to_string()),
    }
}
