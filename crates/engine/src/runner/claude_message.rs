//! The lines of Claude Code's `stream-json`, as far as they are used: read tolerantly, borrowed from
//! the line, everything unknown skipped.

use std::borrow::Cow;

use model::event::Diff;
use model::{FailureCode, ToolKind, TurnOutcome};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::bound::{self, Few};
use super::failed;

/// Any line.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) subtype: Option<Cow<'a, str>>,
    /// What a sub-agent says, not the agent, has the id of its call here.
    #[serde(borrow)]
    pub(super) parent_tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) tool_use_result: Option<&'a RawValue>,
}

/// A piece of an answer of the model.
#[derive(Debug, Deserialize)]
pub(super) struct StreamEvent<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Option<MessageId<'a>>,
    #[serde(borrow)]
    pub(super) content_block: Option<Block<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
}

/// The id of a message.
#[derive(Debug, Deserialize)]
pub(super) struct MessageId<'a> {
    #[serde(borrow, default)]
    pub(super) id: Cow<'a, str>,
}

/// What is added to a block.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Cow<'a, str>>,
}

/// A message, of the model or to it. Its content is a text or a list of blocks.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Message<'_> {
    /// The blocks of its content; none if it is a text.
    pub(super) fn blocks(&self) -> Vec<Block<'_>> {
        let blocks = self.content.and_then(|raw| serde_json::from_str::<Few<_>>(raw.get()).ok());
        blocks.map(|few| few.0).unwrap_or_default()
    }
}

/// One block of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    pub(super) is_error: Option<bool>,
}

impl Block<'_> {
    /// What a tool returned, as text.
    pub(super) fn result(&self) -> Option<String> {
        let raw = self.content?.get();
        if let Ok(text) = serde_json::from_str::<String>(raw) {
            return Some(text);
        }
        let blocks = serde_json::from_str::<Few<Block<'_>>>(raw).map(|few| few.0);
        let shown = |block: &Block<'_>| {
            block.text.as_deref().map_or_else(|| format!("[{}]", block.kind), str::to_owned)
        };
        Some(blocks.unwrap_or_default().iter().map(shown).collect::<Vec<_>>().join("\n"))
    }
}

/// What a tool says it changed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Change<'a> {
    #[serde(borrow)]
    file_path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    old_string: Option<Cow<'a, str>>,
    #[serde(borrow)]
    new_string: Option<Cow<'a, str>>,
    #[serde(borrow)]
    original_file: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

/// The change of a file that a tool result tells of.
pub(super) fn diffs(result: Option<&RawValue>) -> Vec<Diff> {
    let change = result.and_then(|raw| serde_json::from_str::<Change<'_>>(raw.get()).ok());
    let Some(change) = change else { return Vec::new() };
    let edit = change.old_string.as_deref().zip(change.new_string.as_deref());
    let sides = match (edit, change.content.as_deref()) {
        (Some((old, new)), _) => Some((Some(old), new)),
        (None, Some(content)) => Some((change.original_file.as_deref(), content)),
        (None, None) => None,
    };
    let diff = change.file_path.as_deref().zip(sides).map(|(path, (old, new))| (path, old, new));
    bound::diffs(diff.into_iter())
}

/// The parameters of a question or another request.
#[derive(Debug, Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) subtype: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tool_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// The end of a turn.
#[derive(Debug, Deserialize)]
pub(super) struct TurnResult<'a> {
    #[serde(borrow, default)]
    subtype: Cow<'a, str>,
    #[serde(default)]
    is_error: bool,
    #[serde(borrow)]
    pub(super) result: Option<Cow<'a, str>>,
    #[serde(borrow)]
    errors: Option<Few<Cow<'a, str>>>,
}

impl TurnResult<'_> {
    /// How the turn ended. `begun`: the agent had taken up the conversation.
    pub(super) fn outcome(&self, begun: bool) -> TurnOutcome {
        if !self.is_error && self.subtype == "success" {
            return TurnOutcome::Completed;
        }
        let errors = self.errors.as_ref().map(|few| few.0.join("; ")).filter(|all| !all.is_empty());
        let said = errors.or_else(|| self.result.as_deref().map(str::to_owned));
        let said = bound::line(said.as_deref().unwrap_or("it did not say why"));
        match &*self.subtype {
            "success" => failed(FailureCode::Model, &format!("the model did not answer: {said}")),
            "error_max_turns" => {
                failed(FailureCode::AgentGaveUp, "the agent stopped at its limit of steps")
            }
            _ if !begun => {
                let message = format!("the agent could not take up the conversation: {said}");
                failed(FailureCode::Session, &message)
            }
            kind => {
                let kind = bound::id(kind);
                let message = format!("the agent broke the turn off ({kind}): {said}");
                failed(FailureCode::AgentGaveUp, &message)
            }
        }
    }
}

/// The kind of a tool of this agent.
pub(super) fn kind_of(tool: &str) -> ToolKind {
    match tool {
        "Read" => ToolKind::Read,
        "Edit" | "MultiEdit" | "NotebookEdit" | "Write" => ToolKind::Edit,
        "Glob" | "Grep" | "LS" | "ToolSearch" => ToolKind::Search,
        "Bash" | "BashOutput" | "KillShell" | "Monitor" => ToolKind::Execute,
        "WebFetch" | "WebSearch" => ToolKind::Fetch,
        "Task" | "Agent" | "TodoWrite" => ToolKind::Think,
        _ => ToolKind::Other,
    }
}

/// The file that a call concerns.
pub(super) fn location(arguments: Option<&Value>) -> Option<String> {
    let field = |name| arguments.and_then(|arguments| arguments.get(name)).and_then(Value::as_str);
    field("file_path")
        .or_else(|| field("notebook_path"))
        .or_else(|| field("path"))
        .map(str::to_owned)
}

/// A call in one line: the tool, and the argument that says most.
pub(super) fn title(tool: &str, arguments: Option<&Value>) -> String {
    let field = |name: &&str| arguments.and_then(|all| all.get(*name)).and_then(Value::as_str);
    let names =
        ["command", "file_path", "notebook_path", "pattern", "query", "description", "path"];
    names.iter().find_map(field).map_or_else(|| tool.to_owned(), |most| format!("{tool} {most}"))
}
