//! The messages of the Agent Client Protocol, version 1, as far as they are used: read tolerantly,
//! borrowed from the line, everything unknown skipped.

use std::borrow::Cow;

use model::event::{PermissionOption, PlanStep};
use model::{Event, FailureCode, ToolKind, ToolStatus, TurnOutcome};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::asks::choosable;
use super::bound::Few;
use super::{bound, failed};

/// The result of `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Initialized {
    pub(super) protocol_version: u64,
    pub(super) agent_capabilities: Capabilities,
}

/// What the agent can do beyond the least.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Capabilities {
    pub(super) load_session: bool,
}

/// The result of `session/new`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Opened<'a> {
    #[serde(borrow)]
    pub(super) session_id: Cow<'a, str>,
}

/// The result of `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompted<'a> {
    #[serde(borrow)]
    stop_reason: Cow<'a, str>,
}

/// The parameters of `session/update`.
#[derive(Debug, Deserialize)]
pub(super) struct Update<'a> {
    #[serde(borrow)]
    pub(super) update: &'a RawValue,
}

/// Which kind of update it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateKind<'a> {
    #[serde(borrow)]
    pub(super) session_update: Cow<'a, str>,
}

/// A piece of what the agent says or thinks.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) content: Block<'a>,
}

/// A block of content: text, or something we show by its name.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mime_type: Option<Cow<'a, str>>,
}

impl Block<'_> {
    /// The block as text.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match (&self.text, &self.uri, &self.mime_type) {
            (Some(text), _, _) => Cow::Borrowed(text),
            (None, Some(uri), _) => Cow::Owned(format!("[{} {uri}]", self.kind)),
            (None, None, Some(mime)) => Cow::Owned(format!("[{} {mime}]", self.kind)),
            (None, None, None) => Cow::Owned(format!("[{}]", self.kind)),
        }
    }
}

/// A tool call, or what has changed of one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, rename = "toolCallId")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Few<ToolContent<'a>>>,
    #[serde(borrow)]
    pub(super) locations: Option<Few<Location<'a>>>,
    #[serde(borrow)]
    pub(super) raw_input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) raw_output: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl ToolCall<'_> {
    /// The kind of the tool.
    pub(super) fn tool_kind(&self) -> ToolKind {
        match self.kind.as_deref() {
            Some("read") => ToolKind::Read,
            Some("edit") => ToolKind::Edit,
            Some("delete") => ToolKind::Delete,
            Some("move") => ToolKind::Move,
            Some("search") => ToolKind::Search,
            Some("execute") => ToolKind::Execute,
            Some("think") => ToolKind::Think,
            Some("fetch") => ToolKind::Fetch,
            _ => ToolKind::Other,
        }
    }

    /// Where the call stands, if the update says so.
    pub(super) fn tool_status(&self) -> Option<ToolStatus> {
        match self.status.as_deref()? {
            "pending" => Some(ToolStatus::Pending),
            "in_progress" => Some(ToolStatus::InProgress),
            "completed" => Some(ToolStatus::Completed),
            "failed" => Some(ToolStatus::Failed),
            _ => None,
        }
    }

    /// The tool in one word. The protocol has no field for it: some agents say it in `_meta`, for
    /// others it is the kind.
    pub(super) fn tool(&self) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            tool_name: String,
        }
        let named = self.meta.and_then(|meta| serde_json::from_str::<Meta>(meta.get()).ok());
        let named = named.map(|meta| meta.tool_name).filter(|name| !name.trim().is_empty());
        named.unwrap_or_else(|| self.kind.as_deref().unwrap_or("other").to_owned())
    }

    /// What the call returned, as text; absent when the update says nothing of it.
    pub(super) fn output(&self) -> Option<String> {
        let texts = |content: &Few<ToolContent<'_>>| {
            let shown = content.0.iter().filter_map(|part| part.content.as_ref().map(Block::shown));
            shown.collect::<Vec<_>>().join("\n")
        };
        let content = self.content.as_ref().map(texts).filter(|text| !text.is_empty());
        content.or_else(|| self.raw_output.map(text_of))
    }
}

/// A JSON text as it is, anything else as JSON.
fn text_of(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

/// One part of what a tool returned: a block of content, or a diff.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ToolContent<'a> {
    #[serde(borrow)]
    content: Option<Block<'a>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    old_text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    new_text: Option<Cow<'a, str>>,
}

impl ToolContent<'_> {
    /// The change of a file: path, before, after.
    pub(super) fn diff(&self) -> Option<(&str, Option<&str>, &str)> {
        Some((self.path.as_deref()?, self.old_text.as_deref(), self.new_text.as_deref()?))
    }
}

/// A file that a tool call concerns.
#[derive(Debug, Deserialize)]
pub(super) struct Location<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
}

/// What the agent means to do.
#[derive(Debug, Deserialize)]
pub(super) struct Plan<'a> {
    #[serde(borrow)]
    entries: Few<PlanEntry<'a>>,
}

/// One step of it.
#[derive(Debug, Deserialize)]
pub(super) struct PlanEntry<'a> {
    #[serde(borrow)]
    pub(super) content: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) status: Cow<'a, str>,
}

/// The parameters of `session/request_permission`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermissionRequest<'a> {
    #[serde(borrow)]
    pub(super) tool_call: ToolCall<'a>,
    #[serde(borrow)]
    options: Few<PermissionChoice<'a>>,
}

/// One thing that may be answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermissionChoice<'a> {
    #[serde(borrow)]
    pub(super) option_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) kind: Cow<'a, str>,
}

impl Plan<'_> {
    /// The plan as an event.
    pub(super) fn event(&self) -> Event {
        let step = |entry: &PlanEntry<'_>| PlanStep {
            text: bound::line(&entry.content),
            status: bound::id(&entry.status),
        };
        Event::Plan { steps: self.entries.0.iter().map(step).collect() }
    }
}

impl PermissionRequest<'_> {
    /// What may be answered, as it is shown.
    pub(super) fn shown(&self) -> Vec<PermissionOption> {
        choosable(self.options.0.iter().map(|choice| PermissionOption {
            option: choice.option_id.to_string(),
            name: bound::line(&choice.name),
            kind: bound::id(&choice.kind),
        }))
    }
}

impl Prompted<'_> {
    /// How the turn ended.
    pub(super) fn outcome(&self) -> TurnOutcome {
        let message = match &*self.stop_reason {
            "end_turn" => return TurnOutcome::Completed,
            "cancelled" => return TurnOutcome::Stopped,
            "max_tokens" => "the agent stopped at its limit of tokens",
            "max_turn_requests" => "the agent stopped at its limit of steps; ask it to go on",
            "refusal" => "the agent refused to go on",
            other => {
                let reason = bound::id(other);
                let message = format!("the agent stopped for an unknown reason, `{reason}`");
                return failed(FailureCode::AgentProtocol, &message);
            }
        };
        failed(FailureCode::AgentGaveUp, message)
    }
}
