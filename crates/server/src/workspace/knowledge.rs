//! `/agent/workspace/…`: what a workspace knows, as views. Text is told as data: what matched is marked by pieces.

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use knowledge::{Finding, Hit, KnowledgeError, Node, limit};
use model::WorkspaceId;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{INTERNAL, INVALID, NOT_FOUND, Problem, UNAVAILABLE};
use crate::views;
use crate::workspace::{Place, Which};

const HITS: usize = 20;
const QUESTION_CHARS_MAX: usize = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    workspace: Option<String>,
    q: String,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfPage {
    workspace: Option<String>,
    path: String,
}

pub(crate) async fn search(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let Search { workspace, q, limit } = body::query(&uri)?;
    let limit = body::page(limit, HITS, limit::HITS_MAX)?;
    if q.trim().is_empty() || q.chars().count() > QUESTION_CHARS_MAX {
        let told = format!("q is what to look for, 1 to {QUESTION_CHARS_MAX} characters");
        return Err(Problem::new(INVALID, told));
    }
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let found = api.knowledge.search(workspace, q, limit).await?;
    let hits: Vec<_> = found.hits.iter().map(hit).collect();
    Ok(Json(json!({"hits": hits, "partial": found.partial})))
}

fn hit(hit: &Hit) -> Value {
    let snippet: String = hit.pieces.iter().map(|piece| piece.text.as_str()).collect();
    let pieces = hit.pieces.iter().map(|piece| json!({"text": piece.text, "match": piece.matches}));
    json!({
        "path": hit.path,
        "title": hit.title,
        "snippet": snippet,
        "pieces": pieces.collect::<Vec<_>>(),
        "score": hit.score,
    })
}

pub(crate) async fn links(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let OfPage { workspace, path } = body::query(&uri)?;
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let found = api.knowledge.links(workspace, path.clone()).await?;
    let found =
        found.ok_or_else(|| Problem::new(NOT_FOUND, format!("there is no file `{path}`")))?;
    let links = found.links.iter().map(|it| json!({"target": it.target, "path": it.path}));
    let backlinks = found.backlinks.iter().map(|it| json!({"path": it.path, "title": it.title}));
    let (links, backlinks): (Vec<_>, Vec<_>) = (links.collect(), backlinks.collect());
    Ok(Json(json!({"links": links, "backlinks": backlinks})))
}

pub(crate) async fn graph(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let Which { workspace } = body::query(&uri)?;
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let graph = api.knowledge.graph(workspace, views::day(api.clock.now())).await?;
    let nodes: Vec<_> = graph.nodes.iter().map(node).collect();
    let edges = graph.edges.iter().map(|edge| json!({"from": edge.from, "to": edge.to}));
    let edges: Vec<_> = edges.collect();
    Ok(Json(json!({"nodes": nodes, "edges": edges, "partial": graph.partial})))
}

fn node(node: &Node) -> Value {
    json!({
        "path": node.path,
        "title": node.title,
        "kind": node.kind,
        "trust": node.tier.as_str(),
        "stale": node.stale,
    })
}

pub(crate) async fn check(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let Which { workspace } = body::query(&uri)?;
    let workspace = readable(&api, &caller, workspace.as_deref()).await?;
    let report = api.knowledge.check(workspace, views::day(api.clock.now())).await?;
    let findings: Vec<_> = report.findings.iter().map(finding).collect();
    let totals = report.totals;
    Ok(Json(json!({
        "findings": findings,
        "partial": report.partial,
        "totals": {
            "pages": totals.pages,
            "human_reviewed": totals.human_reviewed,
            "machine_confirmed": totals.machine_confirmed,
            "stale": totals.stale,
        },
    })))
}

fn finding(finding: &Finding) -> Value {
    json!({
        "path": finding.path,
        "line": finding.line,
        "rule": finding.rule,
        "message": finding.message,
        "severity": finding.severity.as_str(),
    })
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
