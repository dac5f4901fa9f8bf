//! The questions of agents that wait for a person: `GET /agent/permissions`, and the answer to one.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::{Extension, Json};
use engine::dispatcher::{Answer, Question};
use serde::Deserialize;
use serde_json::{Value, json};
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::dispatches::{steerable, whose};
use crate::problem::{INVALID, Problem};
use crate::views;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// A person, or `all` for whoever may see everything.
    subject: Option<String>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let which: Which = body::query(&uri)?;
    let subject = whose(&caller, which.subject.as_deref(), |owner| Action::ReadDispatch { owner })?;
    let questions = api.dispatcher.questions(subject);
    let shown: Vec<_> = questions.iter().map(question).collect();
    Ok(Json(json!({"permissions": shown})))
}

fn question(question: &Question) -> Value {
    json!({
        "dispatch": question.dispatch,
        "ask": question.ask,
        "call": question.call,
        "tool": question.tool,
        "title": question.title,
        "arguments": question.arguments,
        "options": question.options,
        "asked": views::time(question.asked),
        "expires": views::time(question.expires),
        "subject": question.subject,
        "launcher": question.launcher,
        "runner": question.runner,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// The option that is chosen; null: refused.
    option: Option<String>,
}

pub(crate) async fn answer(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((id, ask)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Given { option } = body::json(body, INVALID).await?;
    let dispatch = steerable(&api, &caller, &id).await?.dispatch.id;
    api.dispatcher.answer(&caller.principal, dispatch, Answer { ask, option }).await?;
    Ok(Json(json!({"answered": true})))
}
