//! The other end of the agent's standard streams: what is said to it, one JSON message a line.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use model::{ToolKind, ToolStatus};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::message::Call;
use crate::tools::{Diff, Outcome, Plan, Step, Tool, cut};

/// The most of one side of a diff that is shown.
const DIFF_BYTES_MAX: usize = 32 << 10;

/// The most of one step of a plan that is shown, and the most steps.
const PLAN_BYTES_MAX: usize = 400;
const PLAN_STEPS_MAX: usize = 64;

/// Who drives the agent.
pub(crate) struct Client {
    out: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)) }
    }

    /// Says anything. Whole lines, in the order of the calls.
    pub(crate) fn send(&self, message: &Value) -> io::Result<()> {
        let line = format!("{message}\n");
        let mut out = self.out.lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    /// Says what is new in a session.
    pub(crate) fn update(&self, session: &str, update: &Value) -> io::Result<()> {
        let params = json!({"sessionId": session, "update": update});
        self.send(&json!({"jsonrpc": "2.0", "method": "session/update", "params": params}))
    }
}

/// A piece of text; `kind` is `user_message_chunk`, `agent_message_chunk` or `agent_thought_chunk`.
pub(crate) fn chunk(kind: &str, text: &str) -> Value {
    json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}})
}

/// A tool is called. `tool` is absent when the call cannot be read.
pub(crate) fn tool_call(call: &Call, tool: Option<&Tool>, cwd: &Path) -> Value {
    let mut update = described(call, tool, cwd);
    update["sessionUpdate"] = json!("tool_call");
    update["status"] = json!(ToolStatus::InProgress);
    update
}

/// The call as a question is about it.
pub(crate) fn described(call: &Call, tool: Option<&Tool>, cwd: &Path) -> Value {
    let arguments = &call.function.arguments;
    let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments));
    let title = tool.map_or_else(|| call.function.name.clone(), Tool::title);
    let path = tool.and_then(|tool| tool.path(cwd));
    json!({
        "toolCallId": call.id,
        "title": title,
        "kind": tool.map_or(ToolKind::Other, Tool::kind),
        "rawInput": arguments,
        "locations": path.iter().map(|path| json!({"path": path})).collect::<Vec<_>>(),
        "_meta": {"toolName": call.function.name},
    })
}

/// The plan, as people are shown it.
pub(crate) fn plan(plan: &Plan) -> Value {
    let entry = |step: &Step| json!({"content": cut(&step.text, PLAN_BYTES_MAX), "priority": "medium", "status": step.status});
    let entries: Vec<_> = plan.steps.iter().take(PLAN_STEPS_MAX).map(entry).collect();
    json!({"sessionUpdate": "plan", "entries": entries})
}

/// A tool has returned.
pub(crate) fn tool_result(call: &str, outcome: &Outcome) -> Value {
    let mut content =
        vec![json!({"type": "content", "content": {"type": "text", "text": outcome.text}})];
    content.extend(outcome.diff.as_ref().map(diff));
    let status = if outcome.failed { ToolStatus::Failed } else { ToolStatus::Completed };
    json!({
        "sessionUpdate": "tool_call_update",
        "toolCallId": call,
        "status": status,
        "content": content,
    })
}

fn diff(diff: &Diff) -> Value {
    json!({
        "type": "diff",
        "path": diff.path,
        "oldText": diff.old.as_ref().map(|old| cut(old, DIFF_BYTES_MAX)),
        "newText": cut(&diff.new, DIFF_BYTES_MAX),
    })
}
