//! The questions of agents that wait for a person: `GET /agent/permissions`, and the answer to one.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::dispatcher::{Answer, Question};
use model::event::PermissionOption;
use model::{DispatchId, Launcher, RunnerName, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body::{JsonBody, Query};
use crate::dispatches::{steerable, whose};
use crate::problem::Problem;
use crate::views::{self, Moment};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// A person, or `all` for whoever may see everything.
    subject: Option<String>,
}

/// Questions of agents.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Questions {
    permissions: Vec<QuestionView>,
}

/// A question of an agent that waits for a person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Question")]
struct QuestionView {
    /// Whose agent it is.
    dispatch: DispatchId,
    /// The question's id.
    ask: String,
    /// The call it is about.
    call: String,
    /// The tool, in one word; null where the agent did not say.
    tool: Option<String>,
    /// The call in one line.
    title: String,
    /// Its arguments, whole.
    arguments: Value,
    /// What may be answered.
    options: Vec<PermissionOption>,
    /// When it was asked.
    asked: Moment,
    /// From when on it is refused.
    expires: Moment,
    /// On whose behalf the agent works.
    subject: UserId,
    /// What started it.
    launcher: Launcher,
    /// What drives it.
    runner: RunnerName,
}

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Questions>, Problem> {
    let subject = whose(&caller, which.subject.as_deref(), |owner| Action::ReadDispatch { owner })?;
    let permissions = api.dispatcher.questions(subject).into_iter().map(question).collect();
    Ok(Json(Questions { permissions }))
}

fn question(question: Question) -> QuestionView {
    QuestionView {
        dispatch: question.dispatch,
        ask: question.ask,
        call: question.call,
        tool: question.tool,
        title: question.title,
        arguments: question.arguments,
        options: question.options,
        asked: views::time(question.asked),
        expires: views::time(question.expires),
        subject: question.subject,
        launcher: question.launcher,
        runner: question.runner,
    }
}

/// What a question is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PermissionAnswer")]
pub(crate) struct Given {
    /// The option that is chosen; null: refused.
    option: Option<String>,
}

/// That the agent has its answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answered {
    answered: bool,
}

pub(crate) async fn answer(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((id, ask)): Path<(String, String)>,
    body: JsonBody<Given>,
) -> Result<Json<Answered>, Problem> {
    let Given { option } = body.read().await?;
    let dispatch = steerable(&api, &caller, &id).await?.dispatch.id;
    api.dispatcher.answer(&caller.principal, dispatch, Answer { ask, option }).await?;
    Ok(Json(Answered { answered: true }))
}
