//! What the updates of an agent become: one event each, or none.

use model::{Event, ToolStatus};
use serde_json::json;

use super::acp_message::{Chunk, Plan, ToolCall, UpdateKind};
use super::log::{Call, Log, Voice};
use super::{Step, bound};

/// Tells what is new in the running turn.
pub(super) fn tell(log: &mut Log, step: &mut Step, update: &str) -> serde_json::Result<()> {
    let kind = serde_json::from_str::<UpdateKind<'_>>(update)?.session_update;
    match &*kind {
        "agent_message_chunk" => chunk(log, step, Voice::Message, update)?,
        "agent_thought_chunk" => chunk(log, step, Voice::Thought, update)?,
        "tool_call" | "tool_call_update" => {
            tool_call(log, step, &serde_json::from_str(update)?);
        }
        "plan" => step.events.push(serde_json::from_str::<Plan<'_>>(update)?.event()),
        "user_message_chunk"
        | "usage_update"
        | "available_commands_update"
        | "current_mode_update"
        | "config_option_update"
        | "session_info_update" => {}
        other => {
            let text = format!("an update of unknown kind `{}`", bound::id(other));
            log.diagnose(step, &text);
        }
    }
    Ok(())
}

/// A piece of text.
fn chunk(log: &mut Log, step: &mut Step, voice: Voice, update: &str) -> serde_json::Result<()> {
    let chunk = serde_json::from_str::<Chunk<'_>>(update)?;
    log.text(step, voice, &chunk.content.shown());
    Ok(())
}

/// A tool call, or what has changed of one: some agents tell of a call first when it is over.
pub(super) fn tool_call(log: &mut Log, step: &mut Step, call: &ToolCall<'_>) {
    let mut arguments = bound::arguments(call.raw_input);
    let known = log.knows(&call.id);
    if !known {
        // Not known yet: some agents tell of a call before its arguments have come.
        arguments = arguments.filter(|it| it.as_object().is_none_or(|fields| !fields.is_empty()));
        if call.tool_status() == Some(ToolStatus::InProgress) {
            // It runs already: who has not said more by now never will.
            let title = call.title.as_deref().filter(|title| !title.trim().is_empty());
            arguments = arguments.or(title.map(|title| json!({"title": bound::line(title)})));
        }
    }
    let tool = call.tool();
    if !known {
        let locations = call.locations.as_ref().map_or(&[][..], |few| &few.0);
        log.call(
            step,
            Call {
                id: &call.id,
                tool: &tool,
                title: call.title.as_deref().unwrap_or(&tool),
                kind: call.tool_kind(),
                arguments: arguments.take(),
                locations: locations.iter().map(|location| location.path.to_string()).collect(),
            },
        );
    }
    let parts = call.content.as_ref().map_or(&[][..], |few| &few.0);
    let diffs = bound::diffs(parts.iter().filter_map(|part| part.diff()));
    let result = call.output().map(|output| bound::result(&output));
    let title = call.title.as_deref().filter(|_| known).map(bound::line);
    let status = call.tool_status();
    let over = matches!(status, Some(ToolStatus::Completed | ToolStatus::Failed));
    let moved = known && (status.is_some() || title.is_some() || arguments.is_some());
    if moved || over || result.is_some() || !diffs.is_empty() {
        let tool = (over || arguments.is_some()).then(|| log.dress(&call.id)).flatten();
        let call = bound::id(&call.id);
        step.events.push(Event::ToolUpdate { call, tool, status, title, arguments, result, diffs });
    }
}
