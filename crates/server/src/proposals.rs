//! `/agent/proposals`: what waits for a decision, and the decision. A proposal belongs to its workspace:
//! who may read that reads its proposals, who may write there decides them. A dispatch has no key, and so
//! decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::port::{ProposalQuery, ProposalRecord, ProposalState, Workspace};
use engine::proposal::{Approve, Choice, ChoiceError, FileChoice, ProposalError, Shown, Take};
use model::event::HeldReason;
use model::{
    CommitId, DispatchId, FileDiff, InputTrust, Label, Launcher, ProposalId, Role, SessionId,
    Standing, Time, Trigger, UserId, WorkspaceId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body::{self, JsonBody, OptionalJson, Query};
use crate::problem::{
    ALREADY_DECIDED, CONFLICT, EXPIRED, INVALID, NOT_FOUND, PROPOSAL_CHANGED, Problem,
    UNKNOWN_PROPOSAL,
};
use crate::views::{self, Moment};
use crate::workspace::Place;

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;
/// The longest reason of a refusal, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// The most files that one approval names.
const FILES_MAX: usize = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Where they stand; `open` where absent.
    state: Option<Wanted>,
    /// Only those of this workspace, by id or name.
    workspace: Option<String>,
    /// The last one of the page before.
    before: Option<ProposalId>,
    /// How many, 1 to 500; 50 where absent.
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
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

/// A page of proposals.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Proposals")]
pub(crate) struct Page {
    proposals: Vec<ProposalView>,
    /// Whether there are older ones.
    more: bool,
}

/// The proposals of one workspace, or of all that the caller is a member of, newest first.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page>, Problem> {
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
    let proposals = listed(&api, &page.items, &workspaces, now).await?;
    Ok(Json(Page { proposals, more: page.more }))
}

/// The proposals as they are shown; what a maker is in a workspace is looked up once.
async fn listed(
    api: &Api,
    records: &[ProposalRecord],
    workspaces: &[Workspace],
    now: Time,
) -> Result<Vec<ProposalView>, Problem> {
    let mut makers: BTreeMap<(WorkspaceId, UserId), Option<Role>> = BTreeMap::new();
    let mut listed = vec![];
    for record in records {
        let key = (record.proposal.workspace, record.proposal.subject);
        let maker = match makers.get(&key) {
            Some(known) => *known,
            None => role_of_maker(api, record).await?,
        };
        makers.insert(key, maker);
        let found = workspaces.iter().find(|it| it.id == record.proposal.workspace);
        let name = found.map(|it| it.name.as_str()).unwrap_or_default();
        listed.push(view(record, maker, name, now));
    }
    Ok(listed)
}

pub(crate) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<InFull>, Problem> {
    let read = |role| Action::ReadWorkspace { role };
    let (record, place) = find(&api, &caller, &id, read).await?;
    let shown = api.inbox.show(record.proposal.id).await?;
    let maker = role_of_maker(&api, &shown.record).await?;
    Ok(Json(in_full(shown, maker, place.workspace.name.as_str(), api.clock.now())))
}

/// What is taken of a proposal: `all`, or `files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// Of what was shown: the approval is of these bytes and no others.
    digest: String,
    /// True: all of it.
    all: Option<bool>,
    /// These files alone.
    files: Option<Vec<FileAsk>>,
}

/// What is taken of one file: `all`, `hunks` or `content`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileApproval")]
struct FileAsk {
    /// The file.
    path: String,
    /// True: all that is proposed for it.
    all: Option<bool>,
    /// These of its hunks alone, by their numbers.
    hunks: Option<BTreeSet<usize>>,
    /// This text instead of what is proposed.
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
    body: JsonBody<Approval>,
) -> Result<Json<Approved>, Problem> {
    let mut asked = body.read().await?;
    let decide = |role| Action::DecideProposal { role };
    let (record, place) = find(&api, &caller, &id, decide).await?;
    let maker = role_of_maker(&api, &record).await?;
    caller.may(&Action::ApproveProposal { role: place.role, maker })?;
    let (digest, by) = (std::mem::take(&mut asked.digest), caller.subject);
    let approve = Approve { id: record.proposal.id, by, digest, choice: asked.choice()? };
    let inbox = api.inbox.clone();
    let commit = api.finish(async move { inbox.approve(approve).await }).await??;
    Ok(Json(Approved { state: Phase::Approved, commit }))
}

/// What an approval became.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Approved {
    state: Phase,
    /// The commit with what was chosen.
    commit: CommitId,
}

/// What the one for whom a proposal was made is in its workspace now.
async fn role_of_maker(api: &Api, record: &ProposalRecord) -> Result<Option<Role>, Problem> {
    let it = &record.proposal;
    Ok(api.directory.role(it.workspace, it.subject).await?)
}

/// Why a proposal is turned down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Denial {
    /// In your words, at most 1000 characters.
    reason: Option<String>,
}

/// That a proposal is turned down.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Denied {
    state: Phase,
}

pub(crate) async fn deny(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: OptionalJson<Denial>,
) -> Result<Json<Denied>, Problem> {
    let Denial { reason } = body.read().await?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Problem::new(INVALID, "reason has at most 1000 characters"));
    }
    let decide = |role| Action::DecideProposal { role };
    let (record, _) = find(&api, &caller, &id, decide).await?;
    let (inbox, id, by) = (api.inbox.clone(), record.proposal.id, caller.subject);
    api.finish(async move { inbox.deny(id, by, reason).await }).await??;
    Ok(Json(Denied { state: Phase::Denied }))
}

/// The proposal and its workspace, if the caller may do this there. Another's is as if it were not there.
async fn find(
    api: &Api,
    caller: &Caller,
    text: &str,
    action: impl FnOnce(Option<Role>) -> Action,
) -> Result<(ProposalRecord, Place), Problem> {
    let id: ProposalId = text.parse().map_err(|_| unknown(text))?;
    let record = api.proposals.proposal(id).await?.ok_or_else(|| unknown(text))?;
    let key = record.proposal.workspace.to_string();
    let place = Place::find(api, caller, Some(&key), action).await;
    let place = place.map_err(|problem| {
        if problem.kind.status == NOT_FOUND.status { unknown(text) } else { problem }
    })?;
    Ok((record, place))
}

fn unknown(text: &str) -> Problem {
    let text: String = text.chars().take(64).collect();
    let words =
        format!("there is no proposal `{text}`; GET /agent/proposals lists those you may see");
    Problem::new(UNKNOWN_PROPOSAL, words)
}

/// A proposal, without what it would change.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Proposal")]
struct ProposalView {
    /// Its id.
    id: ProposalId,
    /// The workspace that it would change.
    workspace: WorkspaceId,
    /// What that is called.
    workspace_name: String,
    /// Where it stands.
    state: Phase,
    /// Why it was not applied by itself.
    reason: HeldReason,
    /// The dispatch that made it; null if no dispatch did.
    dispatch: Option<DispatchId>,
    /// The conversation of that dispatch.
    session: Option<SessionId>,
    /// On whose behalf it was made.
    subject: UserId,
    /// What that person is in the workspace now; null if nothing any more.
    subject_role: Option<Role>,
    /// What started it.
    launcher: Launcher,
    /// Why it was started.
    trigger: Trigger,
    /// Whether what triggered it may be believed.
    input_trust: InputTrust,
    /// What its maker had read.
    label: Label,
    /// For people, one line.
    title: String,
    /// The first paths that it changed, at most 100.
    paths: Vec<String>,
    /// Why a reader should look twice.
    flags: Vec<String>,
    /// When it was made.
    created: Moment,
    /// From when on it cannot be approved any more.
    expires: Moment,
    /// Who decided it and how; null while nobody did.
    decided: Option<Decided>,
}

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ProposalState")]
enum Phase {
    Open,
    Approved,
    Denied,
    Expired,
}

/// How a proposal was decided.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Decided {
    /// It was taken.
    Approved {
        by: UserId,
        at: Moment,
        /// The commit with what was chosen.
        commit: CommitId,
    },
    /// It was turned down.
    Denied {
        by: UserId,
        at: Moment,
        /// Why, in their words.
        reason: Option<String>,
    },
}

fn view(record: &ProposalRecord, maker: Option<Role>, workspace: &str, now: Time) -> ProposalView {
    let it = &record.proposal;
    ProposalView {
        id: it.id,
        workspace: it.workspace,
        workspace_name: workspace.to_owned(),
        state: match record.state(now) {
            ProposalState::Open => Phase::Open,
            ProposalState::Approved => Phase::Approved,
            ProposalState::Denied => Phase::Denied,
            ProposalState::Expired => Phase::Expired,
        },
        reason: it.reason,
        dispatch: it.dispatch,
        session: it.session,
        subject: it.subject,
        subject_role: maker,
        launcher: it.launcher.clone(),
        trigger: it.trigger,
        input_trust: it.trigger.input_trust(),
        label: it.label.clone(),
        title: it.title.clone(),
        paths: it.paths.clone(),
        flags: it.flags.clone(),
        created: views::time(it.created),
        expires: views::time(it.expires),
        decided: decided(&record.standing),
    }
}

fn decided(standing: &Standing) -> Option<Decided> {
    match standing {
        Standing::Open | Standing::Approving { .. } => None,
        Standing::Approved { intent, commit } => Some(Decided::Approved {
            by: intent.by,
            at: views::time(intent.at),
            commit: commit.clone(),
        }),
        Standing::Denied { by, at, reason } => {
            Some(Decided::Denied { by: *by, at: views::time(*at), reason: reason.clone() })
        }
    }
}

/// A proposal, and what it would change in the folder as it is now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProposalInFull")]
pub(crate) struct InFull {
    #[serde(flatten)]
    proposal: ProposalView,
    /// The commit on which it was made.
    base: CommitId,
    /// The commit that the folder has now.
    head: CommitId,
    /// Whether those two differ.
    moved: bool,
    /// The paths that both changed.
    conflicts: Vec<String>,
    /// Stands for these very bytes: an approval names it.
    digest: String,
    /// The paths that cannot be taken, and why.
    refused: Vec<Refused>,
    /// What it would change.
    files: Vec<FileDiff>,
}

/// A path that cannot be taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedPath")]
struct Refused {
    path: String,
    /// Why.
    reason: String,
}

fn in_full(shown: Shown, maker: Option<Role>, workspace: &str, now: Time) -> InFull {
    let refused = shown.refused.into_iter();
    InFull {
        proposal: view(&shown.record, maker, workspace, now),
        moved: shown.base != shown.head,
        base: shown.base,
        head: shown.head,
        conflicts: shown.conflicts,
        digest: shown.digest,
        refused: refused.map(|(path, reason)| Refused { path, reason }).collect(),
        files: shown.files,
    }
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
