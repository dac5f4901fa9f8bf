//! The built-in server `knowledge`: search and links over the workspaces that the dispatch itself has
//! mounted, as they are committed. Reads only, and nothing that the dispatch cannot read anyway.

use engine::port::ToolServer;
use knowledge::{Hit, Knowledge, KnowledgeError};
use model::{Mount, ToolEffect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tracing::warn;
use trust::Stands;

/// What it is called.
pub(super) const NAME: &str = "knowledge";
/// The longest question, in characters.
const QUERY_CHARS_MAX: usize = 300;
/// Hits where nobody says, and at most.
const HITS: usize = 20;
const HITS_MAX: usize = 50;
/// The longest piece of a page that is shown around a hit, in characters.
const SNIPPET_CHARS_MAX: usize = 400;
/// Links of a page that are shown, in each direction.
const LINKS_MAX: usize = 200;

/// Answers for the workspaces of a caller.
#[derive(Debug)]
pub(crate) struct Own {
    knowledge: Knowledge,
}

#[derive(Debug, Deserialize)]
struct Search {
    query: String,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct LinksOf {
    path: String,
}

/// The server, as dispatches are given it.
pub(super) fn told() -> ToolServer {
    ToolServer {
        name: NAME.parse().expect("a name"),
        about: "Search and links over the mounted workspaces; built in".to_owned(),
        stands: Stands::Inside,
        tools: ["links", "search"].map(|tool| (tool.to_owned(), ToolEffect::Reads)).into(),
    }
}

/// Its tools, as an agent is told of them.
pub(super) fn described() -> Vec<Box<RawValue>> {
    let read_only = json!({"readOnlyHint": true, "openWorldHint": false});
    let tools = [
        json!({
            "name": "search",
            "title": "Search the workspace",
            "description": "Full-text search over the pages of the mounted workspaces, best hits first. It sees what is committed, not what was changed in this turn.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "Words that a page must have; quotes keep a phrase together."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": HITS_MAX},
                },
                "required": ["query"],
            },
            "annotations": read_only,
        }),
        json!({
            "name": "links",
            "title": "Links of a page",
            "description": "Where a page of the mounted workspaces links to, and which pages link to it.",
            "inputSchema": {
                "type": "object",
                "properties": {"path": {"type": "string", "description": "The page, relative to the workspace."}},
                "required": ["path"],
            },
            "annotations": read_only,
        }),
    ];
    tools.iter().map(|tool| to_raw_value(tool).expect("plain data")).collect()
}

impl Own {
    pub(super) fn new(knowledge: Knowledge) -> Self {
        Self { knowledge }
    }

    /// What a tool says; the error is for the model too.
    pub(super) async fn call(
        &self,
        mounts: &[Mount],
        tool: &str,
        arguments: &str,
    ) -> Result<String, String> {
        match tool {
            "search" => self.search(mounts, read(arguments)?).await,
            "links" => self.links(mounts, &read::<LinksOf>(arguments)?.path).await,
            _ => Err("there is no such tool".to_owned()),
        }
    }

    async fn search(&self, mounts: &[Mount], ask: Search) -> Result<String, String> {
        let Search { query, limit } = ask;
        if query.trim().is_empty() || query.chars().count() > QUERY_CHARS_MAX {
            return Err(format!("`query` must have 1 to {QUERY_CHARS_MAX} characters"));
        }
        let limit = limit.unwrap_or(HITS).clamp(1, HITS_MAX);
        let mut lines = vec![];
        for mount in mounts {
            let found = self.knowledge.search(mount.workspace, query.clone(), limit).await;
            let found = found.map_err(|problem| failed(&problem))?;
            lines.extend(found.hits.iter().map(|hit| line(&shown(mounts, mount, &hit.path), hit)));
        }
        lines.truncate(limit);
        Ok(if lines.is_empty() { "No page has it.".to_owned() } else { lines.join("\n\n") })
    }

    async fn links(&self, mounts: &[Mount], path: &str) -> Result<String, String> {
        let (mount, inner) = place(mounts, path).ok_or("name a page by its path")?;
        let links = self.knowledge.links(mount.workspace, inner.to_owned()).await;
        let links = links.map_err(|problem| failed(&problem))?;
        let links = links.ok_or_else(|| format!("there is no committed file `{inner}`"))?;
        let to = links.links.iter().take(LINKS_MAX).map(|link| match &link.path {
            Some(path) => format!("- {} ({})", shown(mounts, mount, path), link.target),
            None => format!("- {} (leads nowhere)", link.target),
        });
        let from = links.backlinks.iter().take(LINKS_MAX);
        let from = from.map(|it| format!("- {} ({})", shown(mounts, mount, &it.path), it.title));
        let listed = |lines: Vec<String>| {
            if lines.is_empty() { "- none".to_owned() } else { lines.join("\n") }
        };
        let (to, from) = (listed(to.collect()), listed(from.collect()));
        Ok(format!("It links to:\n{to}\n\nIt is linked from:\n{from}"))
    }
}

fn read<T: DeserializeOwned>(arguments: &str) -> Result<T, String> {
    serde_json::from_str(arguments)
        .map_err(|error| format!("the arguments cannot be read: {error}"))
}

fn failed(problem: &KnowledgeError) -> String {
    warn!(%problem, "a workspace could not be asked for an agent");
    "the workspace could not be asked; ask again, for less".to_owned()
}

/// The path of a page as the agent finds it below its folder.
fn shown(mounts: &[Mount], mount: &Mount, path: &str) -> String {
    if mounts.len() > 1 { format!("{}/{path}", mount.name) } else { path.to_owned() }
}

/// The workspace and the path in it that an agent means.
fn place<'a, 'b>(mounts: &'a [Mount], path: &'b str) -> Option<(&'a Mount, &'b str)> {
    let path = path.strip_prefix("/workspace/").unwrap_or(path);
    let path = path.strip_prefix("./").unwrap_or(path);
    if let [only] = mounts {
        return Some((only, path));
    }
    let (name, inner) = path.split_once('/')?;
    let mount = mounts.iter().find(|mount| mount.name.as_str() == name)?;
    Some((mount, inner))
}

fn line(path: &str, hit: &Hit) -> String {
    let snippet: String = hit.pieces.iter().map(|piece| piece.text.as_str()).collect();
    let snippet: String = snippet.chars().take(SNIPPET_CHARS_MAX).collect();
    format!("{path}: {}\n  {}", hit.title, snippet.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use model::{Mode, WorkspaceId};
    use uuid::Uuid;

    use super::*;

    fn mount(bits: u128, name: &str) -> Mount {
        Mount {
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(bits)),
            name: name.parse().expect("a name"),
            mode: Mode::ReadOnly,
            base: None,
            purpose: String::new(),
        }
    }

    #[test]
    fn a_page_is_named_as_the_agent_finds_it() {
        let one = [mount(1, "home")];
        for path in ["a/b.md", "/workspace/a/b.md", "./a/b.md"] {
            assert_eq!(place(&one, path).map(|(_, inner)| inner), Some("a/b.md"), "{path}");
        }
        let two = [mount(1, "home"), mount(2, "team")];
        let (found, inner) = place(&two, "/workspace/team/a.md").expect("a page");
        assert_eq!((found.workspace, inner), (two[1].workspace, "a.md"));
        assert_eq!(place(&two, "a.md"), None);
        assert_eq!(place(&two, "other/a.md"), None);
        assert_eq!(shown(&two, &two[1], "a.md"), "team/a.md");
        assert_eq!(shown(&one, &one[0], "a.md"), "a.md");
    }

    #[test]
    fn what_is_told_is_what_is_described() {
        let told: Vec<_> = told().tools.into_iter().map(|(tool, _)| tool).collect();
        let mut described: Vec<String> = described()
            .iter()
            .map(|tool| serde_json::from_str::<serde_json::Value>(tool.get()).expect("JSON"))
            .map(|tool| tool["name"].as_str().expect("a name").to_owned())
            .collect();
        described.sort();
        assert_eq!(told, described);
    }
}
