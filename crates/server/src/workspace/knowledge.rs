//! `/agent/workspace/…`: what a workspace knows, as views. Text is told as data: what matched is marked by pieces.

use axum::extract::State;
use axum::{Extension, Json};
use knowledge::{Graph, Hit, KnowledgeError, Links, Report, limit};
use model::WorkspaceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::error;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body::{self, Query};
use crate::problem::{INTERNAL, INVALID, NOT_FOUND, Problem, UNAVAILABLE};
use crate::views;
use crate::workspace::{Place, Which};

const HITS: usize = 20;
const QUESTION_CHARS_MAX: usize = 300;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// What to look for, 1 to 300 characters: all words, `"beside each other"`, `-without`, `begin*`.
    q: String,
    /// How many, 1 to 100; 20 where absent.
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfPage {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// The page.
    path: String,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hits")]
pub(crate) struct Found {
    hits: Vec<InWords>,
    /// Whether some files were too large, or too many, to be searched as a whole.
    partial: bool,
}

/// A page that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchHit")]
struct InWords {
    #[serde(flatten)]
    hit: Hit,
    /// The pieces, joined.
    snippet: String,
}

pub(crate) async fn search(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Search>,
) -> Result<Json<Found>, Problem> {
    let Search { workspace, q, limit } = asked;
    let limit = body::page(limit, HITS, limit::HITS_MAX)?;
    if q.trim().is_empty() || q.chars().count() > QUESTION_CHARS_MAX {
        let told = format!("q is what to look for, 1 to {QUESTION_CHARS_MAX} characters");
        return Err(Problem::new(INVALID, told));
    }
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let found = api.knowledge.search(workspace, q, limit).await?;
    let hits = found.hits.into_iter().map(in_words).collect();
    Ok(Json(Found { hits, partial: found.partial }))
}

fn in_words(hit: Hit) -> InWords {
    let snippet = hit.pieces.iter().map(|piece| piece.text.as_str()).collect();
    InWords { hit, snippet }
}

pub(crate) async fn links(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<OfPage>,
) -> Result<Json<Links>, Problem> {
    let OfPage { workspace, path } = asked;
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let found = api.knowledge.links(workspace, path.clone()).await?;
    let absent = || Problem::new(NOT_FOUND, format!("there is no file `{path}`"));
    Ok(Json(found.ok_or_else(absent)?))
}

pub(crate) async fn graph(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Graph>, Problem> {
    let workspace = readable(&api, &caller, which.workspace.as_deref()).await?;
    Ok(Json(api.knowledge.graph(workspace, views::day(api.clock.now())).await?))
}

pub(crate) async fn check(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Report>, Problem> {
    let workspace = readable(&api, &caller, which.workspace.as_deref()).await?;
    Ok(Json(api.knowledge.check(workspace, views::day(api.clock.now())).await?))
}

/// The workspace that is meant, if the caller may read it.
async fn readable(api: &Api, caller: &Caller, key: Option<&str>) -> Result<WorkspaceId, Problem> {
    let read = |role| Action::ReadWorkspace { role };
    Ok(Place::find(api, caller, key, read).await?.workspace.id)
}

impl From<KnowledgeError> for Problem {
    fn from(problem: KnowledgeError) -> Self {
        error!(%problem, cause = ?problem, "a view of a workspace could not be given");
        match problem {
            KnowledgeError::Workspace(_) => Self::plain(INTERNAL),
            KnowledgeError::Index { .. } => Self::new(
                UNAVAILABLE,
                "the question took too long, or the index failed; ask again, for less",
            ),
        }
    }
}
