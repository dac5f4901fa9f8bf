//! Who one is, and what there is to choose from.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::port::Offered;
use engine::runner::tested::{BadReport, Report};
use model::{RunnerName, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::error;
use trust::Scope;

use crate::access::Caller;
use crate::api::Api;
use crate::body::JsonBody;
use crate::problem::{INTERNAL, INVALID, INVALID_KEY, Problem, UNKNOWN_RUNNER};
use crate::views::{self, RunnerView, ToolServerView};

/// That the server lives.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Touches nothing but memory, so that it answers while everything else is busy.
pub(crate) async fn health(State(api): State<Api>) -> Json<Health> {
    Json(Health { status: "ok", version: api.defaults.version })
}

/// Who one is, and what one's key may do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    user_id: UserId,
    email: String,
    /// What the key, or the login, lets one do.
    scopes: BTreeSet<Scope>,
    /// How many dispatches of one may be alive at once.
    max_concurrent: u32,
}

pub(crate) async fn me(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Me>, Problem> {
    let person = api.directory.person(caller.subject).await?;
    let person = person.ok_or_else(|| Problem::plain(INVALID_KEY))?;
    Ok(Json(Me {
        user_id: person.id,
        email: person.email,
        scopes: caller.principal.scopes,
        max_concurrent: person.concurrent_max,
    }))
}

/// A model of whoever runs this server, which may be chosen for a dispatch.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelChoice {
    /// How it is chosen: `ENDPOINT/MODEL`.
    name: String,
    /// The endpoint that has it.
    endpoint: String,
    /// What the endpoint calls it.
    model: String,
    /// The runners for whose agents it answers where no other is chosen.
    usual_for: Vec<RunnerName>,
}

/// Which model answers where.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Models {
    chat_model: String,
    agent_model: String,
    streaming_model: String,
    meeting_model: Option<String>,
    /// What may be chosen, endpoint by endpoint. Endpoints that one brings are at `/auth/endpoints`.
    choices: Vec<ModelChoice>,
}

/// There is no model for meetings yet.
pub(crate) async fn models(State(api): State<Api>) -> Json<Models> {
    let model = &api.defaults.model;
    Json(Models {
        chat_model: model.clone(),
        agent_model: model.clone(),
        streaming_model: model.clone(),
        meeting_model: None,
        choices: choices(&api),
    })
}

fn choices(api: &Api) -> Vec<ModelChoice> {
    let runners = api.defaults.runners.iter();
    let usual: Vec<_> = runners.map(|it| (&it.name, api.dispatcher.usual_model(it))).collect();
    let choice = |offered: Offered| ModelChoice {
        usual_for: usual
            .iter()
            .filter(|(_, usual)| usual.as_ref() == Some(&offered))
            .map(|(runner, _)| (*runner).clone())
            .collect(),
        name: format!("{}/{}", offered.endpoint, offered.model),
        endpoint: offered.endpoint,
        model: offered.model,
    };
    api.dispatcher.models().into_iter().map(choice).collect()
}

/// What agents may be given.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToolServers {
    /// By name.
    servers: Vec<ToolServerView>,
}

/// The servers of tools that a dispatch may be given.
pub(crate) async fn tools(State(api): State<Api>) -> Json<ToolServers> {
    let servers = api.dispatcher.servers();
    Json(ToolServers { servers: servers.iter().map(views::tool_server).collect() })
}

/// Keeps what a test of a runner found.
pub(crate) async fn tested(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: JsonBody<Report>,
) -> Result<Json<RunnerView>, Problem> {
    let found = api.defaults.runners.iter().find(|runner| runner.name.as_str() == name);
    let unknown = || Problem::new(UNKNOWN_RUNNER, "GET /agent/runners lists the runners");
    let runner = found.ok_or_else(unknown)?;
    let report = body.read().await?;
    api.dispatcher.tested().keep(runner, &report).map_err(|bad| match bad {
        BadReport::Shape | BadReport::Stale => Problem::new(INVALID, bad.to_string()),
        BadReport::Io(cause) => {
            error!(%cause, "a report about a runner was not kept");
            Problem::plain(INTERNAL)
        }
    })?;
    Ok(Json(views::runner(runner, api.dispatcher.tested())))
}

/// What drives agents.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Runners {
    runners: Vec<RunnerView>,
    /// The one of a conversation for which nobody says.
    default: RunnerName,
}

pub(crate) async fn runners(State(api): State<Api>) -> Json<Runners> {
    let shown = |runner| views::runner(runner, api.dispatcher.tested());
    let runners = api.defaults.runners.iter().map(shown).collect();
    Json(Runners { runners, default: api.defaults.runner.clone() })
}
