//! `/agent/dispatches`: one list of all runs, and the verbs that steer one.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::dispatcher::{Ask, Begin, DispatchError, MountWish, Resume, WorkspaceKey};
use engine::port::{DispatchQuery, Record};
use model::{DispatchId, Launcher, SessionId, TurnId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use crate::access::Caller;
use crate::answer::Accepted;
use crate::api::Api;
use crate::asks::GO_ON;
use crate::body::{self, OptionalJson, Query};
use crate::problem::{INVALID, NOT_FOUND, Problem, UNKNOWN_DISPATCH};
use crate::views::{self, DispatchView, Started};

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only those of this conversation.
    session: Option<SessionId>,
    /// Only those that are not over.
    live: Option<bool>,
    /// For administrators: those of this person, or of everybody by `all`.
    subject: Option<String>,
    /// The `next` of the page before.
    cursor: Option<DispatchId>,
    /// How many, 1 to 500; 50 where absent.
    limit: Option<u32>,
}

/// A page of dispatches.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Dispatches {
    dispatches: Vec<DispatchView>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<DispatchId>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
) -> Result<Json<Dispatches>, Problem> {
    let limit = body::page(filter.limit, PAGE, PAGE_MAX)?;
    let query = DispatchQuery {
        subject: whose(&caller, filter.subject.as_deref(), |owner| Action::ReadDispatch { owner })?,
        session: filter.session,
        live_only: filter.live.unwrap_or(false),
        before: filter.cursor,
        limit,
    };
    let page = api.ledger.records(query).await?;
    let next = page.items.last().filter(|_| page.more).map(|record| record.dispatch.id);
    Ok(Json(Dispatches { dispatches: with_usage(&api, &page.items).await?, next }))
}

/// Whose dispatches are listed, or usage is added up: one's own where nothing is said.
pub(crate) fn whose(
    caller: &Caller,
    subject: Option<&str>,
    of: impl Fn(UserId) -> Action,
) -> Result<Option<UserId>, Problem> {
    match subject {
        None => Ok(Some(caller.subject)),
        Some("all") => {
            caller.may(&Action::ReadOperations)?;
            Ok(None)
        }
        Some(text) => {
            let owner: UserId = text
                .parse()
                .map_err(|problem| Problem::new(INVALID, format!("subject: {problem}")))?;
            caller.may(&of(owner))?;
            Ok(Some(owner))
        }
    }
}

pub(crate) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<DispatchView>, Problem> {
    let record = readable(&api, &caller, &id).await?;
    with_its_usage(&api, &record).await
}

/// Ends a dispatch. What is over stays as it is.
pub(crate) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<DispatchView>, Problem> {
    let dispatch = steerable(&api, &caller, &id).await?.dispatch.id;
    match api.dispatcher.cancel(&caller.principal, dispatch).await {
        Ok(()) | Err(DispatchError::Over(_)) => shown(&api, dispatch).await,
        Err(refusal) => Err(refusal.into()),
    }
}

/// How a conversation is to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Resume")]
pub(crate) struct Again {
    /// What is said next; that it should go on, where absent.
    prompt: Option<String>,
    /// A name for the turn; one of ours where absent.
    turn_id: Option<TurnId>,
}

/// Continues the conversation of a dispatch that is over, in a fresh sandbox.
pub(crate) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: OptionalJson<Again>,
) -> Result<Json<DispatchView>, Problem> {
    let again = body.read().await?;
    let dispatch = steerable(&api, &caller, &id).await?.dispatch.id;
    let prompt = again.prompt.unwrap_or_else(|| GO_ON.to_owned());
    let resume =
        Resume { principal: caller.principal.clone(), dispatch, turn: again.turn_id, prompt };
    let turn = api.dispatcher.resume(resume).await?;
    shown(&api, turn.dispatch).await
}

/// Starts the dispatch again as it was: the same runner, workspaces, words and context, in a new
/// conversation and a fresh sandbox, on what the workspaces hold now.
pub(crate) async fn rerun(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Accepted<Started>, Problem> {
    let dispatch = steerable(&api, &caller, &id).await?.dispatch;
    let (_, prompt) = dispatch.start.turn();
    let mounts = dispatch.mounts.iter().map(|mount| MountWish {
        workspace: WorkspaceKey::Id(mount.workspace),
        mode: Some(mount.mode),
    });
    let ask = Ask {
        principal: caller.principal.clone(),
        subject: dispatch.subject,
        launcher: Launcher::User(caller.subject),
        trigger: dispatch.trigger,
        runner: dispatch.runner.clone(),
        mounts: mounts.collect(),
        begin: Begin::Prompt(prompt.to_owned()),
        turn: None,
        context: dispatch.context,
        tools: dispatch.tools.iter().filter_map(|named| named.parse().ok()).collect(),
        model: dispatch.model.clone(),
        limits: Some(dispatch.limits),
        permission: dispatch.permission,
        budget: dispatch.budget,
        record: dispatch.record,
        untested: crate::chat::untested(false),
        idempotency: None,
    };
    let turn = api.dispatcher.dispatch(ask).await?;
    Ok(Accepted(Started { workload_id: turn.dispatch }))
}

async fn shown(api: &Api, dispatch: DispatchId) -> Result<Json<DispatchView>, Problem> {
    let record = api.ledger.record(dispatch).await?;
    with_its_usage(api, &record.ok_or_else(|| unknown(""))?).await
}

async fn with_its_usage(api: &Api, record: &Record) -> Result<Json<DispatchView>, Problem> {
    let used = api.usage.usage_of(vec![record.dispatch.id]).await?;
    let used = used.first().map(|(_, used)| *used).unwrap_or_default();
    Ok(Json(views::dispatch(record, &used)))
}

/// Dispatches, each with what its models used.
async fn with_usage(api: &Api, records: &[Record]) -> Result<Vec<DispatchView>, Problem> {
    let ids = records.iter().map(|record| record.dispatch.id).collect();
    let used: HashMap<_, _> = api.usage.usage_of(ids).await?.into_iter().collect();
    let of = |id: DispatchId| used.get(&id).copied().unwrap_or_default();
    Ok(records.iter().map(|record| views::dispatch(record, &of(record.dispatch.id))).collect())
}

/// A dispatch that the caller may read. Another's is as if it were not there.
pub(crate) async fn readable(api: &Api, caller: &Caller, id: &str) -> Result<Record, Problem> {
    let record = find(api, id).await?;
    let asked = caller.may(&Action::ReadDispatch { owner: record.dispatch.subject });
    asked.map_err(|problem| hidden(problem, id))?;
    Ok(record)
}

/// A dispatch that the caller may steer.
pub(crate) async fn steerable(api: &Api, caller: &Caller, id: &str) -> Result<Record, Problem> {
    let record = find(api, id).await?;
    let asked = caller.may(&Action::SteerDispatch { owner: record.dispatch.subject });
    asked.map_err(|problem| hidden(problem, id))?;
    Ok(record)
}

async fn find(api: &Api, text: &str) -> Result<Record, Problem> {
    let id: DispatchId = text.parse().map_err(|_| unknown(text))?;
    api.ledger.record(id).await?.ok_or_else(|| unknown(text))
}

fn hidden(problem: Problem, text: &str) -> Problem {
    if problem.kind == NOT_FOUND { unknown(text) } else { problem }
}

fn unknown(text: &str) -> Problem {
    Problem::new(
        UNKNOWN_DISPATCH,
        format!("there is no dispatch `{text}`; GET /agent/dispatches lists yours"),
    )
}
