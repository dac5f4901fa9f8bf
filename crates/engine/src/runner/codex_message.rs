//! The messages of Codex's `app-server`, as far as they are used: read tolerantly, borrowed from the
//! line, everything unknown skipped.

use std::borrow::Cow;

use model::event::PermissionOption;
use model::{Event, FailureCode, TurnOutcome};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::codex_tell::Told;
use super::{bound, failed};

/// The result of `thread/start` and `thread/resume`.
#[derive(Debug, Deserialize)]
pub(super) struct Opened<'a> {
    #[serde(borrow)]
    pub(super) thread: Thread<'a>,
}

/// A conversation.
#[derive(Debug, Deserialize)]
pub(super) struct Thread<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

/// The result of `turn/start`, and what is told of a turn.
#[derive(Debug, Deserialize)]
pub(super) struct Turned<'a> {
    #[serde(borrow)]
    pub(super) turn: Turn<'a>,
}

/// A turn.
#[derive(Debug, Deserialize)]
pub(super) struct Turn<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    error: Option<Problem<'a>>,
}

/// What went wrong.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Problem<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// The parameters of `error` and `warning`.
#[derive(Debug, Deserialize)]
pub(super) struct Wrong<'a> {
    #[serde(borrow)]
    error: Option<Problem<'a>>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl Wrong<'_> {
    /// For who looks for a fault.
    pub(super) fn shown(&self) -> String {
        let message = self.error.as_ref().map_or(&self.message, |error| &error.message);
        bound::line(message)
    }
}

impl Turn<'_> {
    /// How it ended, when nobody stopped it.
    pub(super) fn outcome(&self) -> TurnOutcome {
        let why = self.error.as_ref().map(|error| bound::line(&error.message));
        match &*self.status {
            "completed" => TurnOutcome::Completed,
            "interrupted" => failed(FailureCode::AgentGaveUp, "the agent broke the turn off"),
            "failed" => {
                let why = why.unwrap_or_else(|| "the agent does not say why".to_owned());
                failed(FailureCode::Model, &why)
            }
            other => {
                let message = format!("the turn ended in an unknown way, `{}`", bound::id(other));
                failed(FailureCode::AgentProtocol, &message)
            }
        }
    }
}

/// A question that a person can answer.
#[derive(Debug)]
pub(super) enum Question<'a> {
    /// May it run a command, or change files?
    Item(ItemQuestion<'a>),
    /// May it call a tool of a server?
    Server(ServerQuestion<'a>),
}

/// The parameters of `item/commandExecution/requestApproval` and `item/fileChange/requestApproval`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemQuestion<'a> {
    #[serde(borrow)]
    item_id: Cow<'a, str>,
    #[serde(borrow)]
    command: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

/// The parameters of `mcpServer/elicitation/request`, where it is about a tool.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerQuestion<'a> {
    #[serde(borrow)]
    server_name: Cow<'a, str>,
    #[serde(borrow, rename = "_meta")]
    meta: ToolQuestion<'a>,
}

#[derive(Debug, Deserialize)]
struct ToolQuestion<'a> {
    #[serde(borrow, rename = "codex_approval_kind")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    tool_name: Cow<'a, str>,
}

impl<'a> Question<'a> {
    /// The question in a request, if it is one.
    pub(super) fn read(method: &str, params: &'a str) -> Option<Self> {
        match method {
            "item/commandExecution/requestApproval" | "item/fileChange/requestApproval" => {
                serde_json::from_str(params).ok().map(Self::Item)
            }
            "mcpServer/elicitation/request" => {
                let question = serde_json::from_str::<ServerQuestion<'_>>(params).ok()?;
                (question.meta.kind == "mcp_tool_call").then_some(Self::Server(question))
            }
            _ => None,
        }
    }

    /// Whether it is about a tool of a server.
    pub(super) fn is_of_a_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// The question for a person, under this name.
    pub(super) fn event(&self, name: &str, told: &Told) -> Event {
        let (call, title) = match self {
            Self::Item(question) => {
                let call = bound::id(&question.item_id);
                let said = question.command.as_deref().or(question.reason.as_deref());
                let title = said.map_or_else(|| told.title_of(&call), bound::line);
                (call, title)
            }
            Self::Server(question) => {
                let title = format!("{}.{}", question.server_name, question.meta.tool_name);
                let title = bound::line(&title);
                (told.call_of(&title), title)
            }
        };
        let option = |option: &str, name: &str| PermissionOption {
            option: option.to_owned(),
            name: name.to_owned(),
            kind: option.to_owned(),
        };
        let options = vec![option("allow_once", "Allow"), option("reject_once", "Refuse")];
        Event::PermissionAsked { ask: name.to_owned(), call, title, options }
    }
}

/// One thing that the agent said or did.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) summary: Option<bound::Few<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) command: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) changes: Option<bound::Few<Change<'a>>>,
    #[serde(borrow)]
    pub(super) server: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) tool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) aggregated_output: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// What is changed in a file.
#[derive(Debug, Deserialize)]
pub(super) struct Change<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    #[serde(borrow)]
    kind: ChangeKind<'a>,
    #[serde(borrow, default)]
    diff: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct ChangeKind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl Change<'_> {
    /// What stood there and what stands there now, as far as the agent shows it: of a file that was
    /// there before, the lines around each change.
    pub(super) fn sides(&self) -> (Option<String>, String) {
        match &*self.kind.kind {
            "add" => (None, self.diff.clone().into_owned()),
            "delete" => (Some(self.diff.clone().into_owned()), String::new()),
            _ => {
                let (mut old, mut new) = (String::new(), String::new());
                for line in self.diff.split_inclusive('\n') {
                    match line.split_at_checked(1) {
                        Some((" ", rest)) => {
                            old.push_str(rest);
                            new.push_str(rest);
                        }
                        Some(("-", rest)) => old.push_str(rest),
                        Some(("+", rest)) => new.push_str(rest),
                        _ => {}
                    }
                }
                (Some(old), new)
            }
        }
    }
}

/// The parameters of a notification about an item.
#[derive(Debug, Deserialize)]
pub(super) struct OfItem<'a> {
    #[serde(borrow)]
    pub(super) item: Item<'a>,
}

/// A piece of what the agent says or thinks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) item_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) delta: Cow<'a, str>,
}

/// What the agent means to do.
#[derive(Debug, Deserialize)]
pub(super) struct Plan<'a> {
    #[serde(borrow)]
    pub(super) plan: bound::Few<PlanEntry<'a>>,
}

/// One step of it.
#[derive(Debug, Deserialize)]
pub(super) struct PlanEntry<'a> {
    #[serde(borrow)]
    pub(super) step: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) status: Cow<'a, str>,
}
