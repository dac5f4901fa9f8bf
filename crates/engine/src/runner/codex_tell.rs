//! What the notifications of Codex's `app-server` become: one event each, or none.

use std::borrow::Cow;

use model::event::PlanStep;
use model::{Event, ToolKind, ToolStatus};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::codex_message::{Change, Delta, Item, OfItem, Plan};
use super::log::{Call, Log, Voice};
use super::{Step, bound};

/// Whose notification it is.
#[derive(Debug, Deserialize)]
pub(super) struct Of<'a> {
    #[serde(borrow, default, rename = "threadId")]
    pub(super) thread: Cow<'a, str>,
}

/// What of the running turn must be known to tell the rest of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Told {
    /// The text that came last in pieces.
    piece: String,
    /// The last call, and its title.
    call: String,
    title: String,
}

impl Told {
    /// The last call, if this is its title: a question about a tool of a server does not name its call.
    pub(super) fn call_of(&self, title: &str) -> String {
        if self.title == title { self.call.clone() } else { String::new() }
    }

    /// The title of this call, if it is the last one: a question about files does not name them.
    pub(super) fn title_of(&self, call: &str) -> String {
        if self.call == call { self.title.clone() } else { "change files".to_owned() }
    }
}

/// Tells what is new in the running turn. Not `ours`: of a sub-agent.
pub(super) fn tell(
    told: &mut Told,
    log: &mut Log,
    step: &mut Step,
    (method, params, ours): (&str, &str, bool),
) -> serde_json::Result<()> {
    match method {
        "item/agentMessage/delta" if ours => piece(told, log, step, (Voice::Message, params))?,
        "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" if ours => {
            piece(told, log, step, (Voice::Thought, params))?;
        }
        "item/started" => {
            let item = serde_json::from_str::<OfItem<'_>>(params)?.item;
            log.close_item();
            call(told, log, step, &item);
        }
        "item/completed" => {
            let item = serde_json::from_str::<OfItem<'_>>(params)?.item;
            match &*item.kind {
                "agentMessage" if ours => whole(told, log, step, (Voice::Message, &item)),
                "reasoning" if ours => whole(told, log, step, (Voice::Thought, &item)),
                _ => {
                    call(told, log, step, &item);
                    over(log, step, &item);
                }
            }
        }
        "turn/plan/updated" if ours => step.events.push(plan(params)?),
        _ => {} // it tells of much that concerns its own window
    }
    Ok(())
}

fn piece(
    told: &mut Told,
    log: &mut Log,
    step: &mut Step,
    (voice, params): (Voice, &str),
) -> serde_json::Result<()> {
    let Delta { item_id, delta } = serde_json::from_str(params)?;
    let item = bound::id(&item_id);
    if told.piece != item {
        log.close_item();
        told.piece = item;
    }
    log.text(step, voice, &delta);
    Ok(())
}

/// A text that is whole: told, unless it came in pieces.
fn whole(told: &Told, log: &mut Log, step: &mut Step, (voice, item): (Voice, &Item<'_>)) {
    log.close_item();
    if told.piece != bound::id(&item.id) {
        let summary = || item.summary.as_ref().map(|it| it.0.join("\n\n").into());
        let text: Cow<'_, str> = item.text.clone().or_else(summary).unwrap_or_default();
        log.text(step, voice, &text);
        log.close_item();
    }
}

/// A tool is called, if it is one and the call is not known.
fn call(told: &mut Told, log: &mut Log, step: &mut Step, item: &Item<'_>) {
    let paths = || item.changes.iter().flat_map(|changes| &changes.0).map(|it| it.path.to_string());
    let (tool, title, kind, arguments) = match &*item.kind {
        "commandExecution" => {
            let command = item.command.as_deref().unwrap_or_default();
            let arguments = bound::value(json!({"command": command}));
            ("command".into(), bound::line(command), ToolKind::Execute, Some(arguments))
        }
        "fileChange" => {
            let title = bound::line(&paths().collect::<Vec<_>>().join(", "));
            let arguments = bound::value(json!({"paths": paths().collect::<Vec<_>>()}));
            ("file_change".into(), title, ToolKind::Edit, Some(arguments))
        }
        "mcpToolCall" => {
            let tool = item.tool.as_deref().unwrap_or_default();
            let server = item.server.as_deref().unwrap_or_default();
            let title = bound::line(&format!("{server}.{tool}"));
            (bound::id(tool), title, ToolKind::Other, bound::arguments(item.arguments))
        }
        _ => return,
    };
    if log.knows(&item.id) {
        return;
    }
    (told.call, told.title) = (bound::id(&item.id), title);
    let (id, title) = (&*item.id, &*told.title);
    let locations = paths().collect();
    log.call(step, Call { id, tool: &tool, title, kind, arguments, locations });
}

/// A call is over.
fn over(log: &mut Log, step: &mut Step, item: &Item<'_>) {
    if !log.has(&item.id) {
        return;
    }
    let done = item.status.as_deref() == Some("completed");
    let changes = item.changes.as_ref().map_or(&[][..], |changes| &changes.0);
    let sides: Vec<_> = changes.iter().map(Change::sides).collect();
    let diffs = changes.iter().zip(&sides).filter(|_| done);
    let diffs = diffs.map(|(change, (old, new))| (&*change.path, old.as_deref(), &**new));
    let result = item.aggregated_output.as_deref().map(str::to_owned);
    let result = result.or_else(|| item.error.and_then(message));
    let result = result.or_else(|| item.result.map(returned));
    step.events.push(Event::ToolUpdate {
        call: bound::id(&item.id),
        tool: log.dress(&item.id),
        status: Some(if done { ToolStatus::Completed } else { ToolStatus::Failed }),
        title: None,
        arguments: None,
        result: result.map(|result| bound::result(&result)),
        diffs: bound::diffs(diffs),
    });
}

/// Why a tool of a server did not answer.
fn message(error: &RawValue) -> Option<String> {
    let error = serde_json::from_str::<Value>(error.get()).ok()?;
    error["message"].as_str().map(str::to_owned)
}

/// What a tool of a server returned: its texts, or else all of it.
fn returned(result: &RawValue) -> String {
    let value = serde_json::from_str::<Value>(result.get()).unwrap_or_default();
    let parts = value["content"].as_array().into_iter().flatten();
    let texts: Vec<_> = parts.filter_map(|part| part["text"].as_str()).collect();
    if texts.is_empty() { result.get().to_owned() } else { texts.join("\n") }
}

fn plan(params: &str) -> serde_json::Result<Event> {
    let plan = serde_json::from_str::<Plan<'_>>(params)?.plan;
    let steps = plan.0.iter().map(|entry| PlanStep {
        text: bound::line(&entry.step),
        status: if entry.status == "inProgress" {
            "in_progress".to_owned()
        } else {
            bound::id(&entry.status)
        },
    });
    Ok(Event::Plan { steps: steps.collect() })
}
