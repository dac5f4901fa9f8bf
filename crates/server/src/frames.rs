//! What a chat shows of a turn: event → frames. Pure: the same events always give the same bytes.

use model::event::{HeldReason, Refusal};
use model::{CommitId, Event, EventId, SessionId, ToolStatus, TurnId, TurnOutcome};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What a chat shows.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Frame {
    /// The turn is stored. Always the first.
    TurnAccepted,
    /// A piece of what the agent says.
    MessageDelta { text: String },
    /// The agent calls a tool.
    ToolCall { call_id: String, tool: String, args: Value },
    /// A call is over.
    ToolResult { call_id: String, ok: bool, summary: String },
    /// What the agent changed was committed.
    Commit { sha: CommitId },
    /// What it changed was not, or not all of it.
    Rejected { violations: Vec<Violation> },
    /// The turn failed.
    Error { message: String },
    /// What came of the turn.
    Done { ok: bool, reply: String, session_id: SessionId },
    /// The turn is over. Always the last.
    TurnComplete,
}

/// One path that was not committed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Violation {
    path: String,
    reason: Why,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Why {
    Held(HeldReason),
    Refused(String),
}

impl Frame {
    /// Its `type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::TurnAccepted => "turn-accepted",
            Self::MessageDelta { .. } => "message-delta",
            Self::ToolCall { .. } => "tool-call",
            Self::ToolResult { .. } => "tool-result",
            Self::Commit { .. } => "commit",
            Self::Rejected { .. } => "rejected",
            Self::Error { .. } => "error",
            Self::Done { .. } => "done",
            Self::TurnComplete => "turn-complete",
        }
    }
}

/// The turn that a chat shows, and its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) turn: TurnId,
    pub(crate) session: SessionId,
}

/// What one event is in a chat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frames {
    pub(crate) frames: Vec<Frame>,
    /// Whether these are the last of the turn.
    pub(crate) last: bool,
}

/// The longest summary of a tool's result, in characters.
const SUMMARY_CHARS_MAX: usize = 500;

/// The frames of one event of the turn.
pub(crate) fn frames(event: &Event, shown: &Shown) -> Frames {
    let frames = match event {
        Event::TurnAccepted { turn, .. } if *turn == shown.turn => {
            vec![Frame::TurnAccepted]
        }
        Event::Message { text, .. } => vec![Frame::MessageDelta { text: text.clone() }],
        // A call without arguments is shown by the update that brings them, or ends it.
        Event::ToolCall { arguments: Value::Null, .. } => vec![],
        Event::ToolCall { call, tool, arguments, .. } => vec![tool_call(call, tool, arguments)],
        Event::ToolUpdate { call, tool, status, title, arguments, result, .. } => {
            let arguments = arguments.as_ref().unwrap_or(&Value::Null);
            let shown = tool.as_ref().map(|tool| tool_call(call, tool, arguments));
            let text = result.as_ref().or(title.as_ref());
            let over = status.and_then(|status| tool_result(call, status, text));
            shown.into_iter().chain(over).collect()
        }
        Event::Commit { commit, .. } => vec![Frame::Commit { sha: commit.clone() }],
        Event::Refused { refusals, .. } => {
            let why = |it: &Refusal| (it.path.clone(), Why::Refused(it.reason.clone()));
            vec![rejected(refusals.iter().map(why))]
        }
        Event::Held { reason, paths, .. } => {
            vec![rejected(paths.iter().map(|path| (path.clone(), Why::Held(*reason))))]
        }
        Event::TurnEnded { turn, outcome, reply } if *turn == shown.turn => {
            return Frames { frames: ended(outcome, reply, shown), last: true };
        }
        Event::Ended { failure, .. } => {
            let message = failure.as_ref().map_or_else(
                || "the dispatch ended before the turn did".to_owned(),
                |failure| failure.message.clone(),
            );
            let frames = closing(Some(&message), "", false, shown);
            return Frames { frames, last: true };
        }
        _ => vec![],
    };
    Frames { frames, last: false }
}

fn rejected(paths: impl Iterator<Item = (String, Why)>) -> Frame {
    Frame::Rejected { violations: paths.map(|(path, reason)| Violation { path, reason }).collect() }
}

fn tool_call(call: &str, tool: &str, arguments: &Value) -> Frame {
    Frame::ToolCall { call_id: call.to_owned(), tool: tool.to_owned(), args: arguments.clone() }
}

fn tool_result(call: &str, status: ToolStatus, text: Option<&String>) -> Option<Frame> {
    let ok = match status {
        ToolStatus::Pending | ToolStatus::InProgress => return None,
        ToolStatus::Completed => true,
        ToolStatus::Failed => false,
    };
    let summary: String =
        text.map(String::as_str).unwrap_or_default().chars().take(SUMMARY_CHARS_MAX).collect();
    Some(Frame::ToolResult { call_id: call.to_owned(), ok, summary })
}

fn ended(outcome: &TurnOutcome, reply: &str, shown: &Shown) -> Vec<Frame> {
    match outcome {
        TurnOutcome::Completed => closing(None, reply, true, shown),
        TurnOutcome::Stopped => closing(None, reply, false, shown),
        TurnOutcome::Failed { failure } => closing(Some(&failure.message), reply, false, shown),
    }
}

fn closing(error: Option<&str>, reply: &str, ok: bool, shown: &Shown) -> Vec<Frame> {
    let error = error.map(|message| Frame::Error { message: message.to_owned() });
    let done = Frame::Done { ok, reply: reply.to_owned(), session_id: shown.session };
    error.into_iter().chain([done, Frame::TurnComplete]).collect()
}

/// Where a frame stands: the event, and which of the event's frames.
///
/// The last frame of an event has the event's own id; those before it have `<id>.<k>`, so that a
/// client which was cut off between two frames of one event misses neither and gets none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameId {
    pub(crate) event: EventId,
    /// 1 for the first frame of several; `u32::MAX` for the last.
    k: u32,
}

impl FrameId {
    /// The id of frame number `at` (from 0) of `count`.
    pub(crate) fn of(event: EventId, at: usize, count: usize) -> Self {
        let k = if at + 1 == count { u32::MAX } else { u32::try_from(at + 1).unwrap_or(u32::MAX) };
        Self { event, k }
    }
}

impl std::fmt::Display for FrameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.k {
            u32::MAX => self.event.fmt(f),
            k => write!(f, "{}.{k}", self.event),
        }
    }
}

impl std::str::FromStr for FrameId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (event, k) = match text.split_once('.') {
            Some((event, k)) => (event, k.parse().map_err(drop)?),
            None => (text, u32::MAX),
        };
        Ok(Self { event: event.parse().map_err(drop)?, k })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CommitId, End, FailureCode, WorkspaceId};
    use serde_json::json;
    use uuid::Uuid;

    fn shown() -> Shown {
        let session = SessionId::from_uuid(Uuid::from_u128(1));
        Shown { turn: "t1".parse().expect("a name"), session }
    }

    fn check(event: &Event, expected: &[Value], last: bool) {
        let found = frames(event, &shown());
        let told = |frame: &Frame| {
            let told = serde_json::to_value(frame).expect("plain data");
            assert_eq!(told["type"], frame.kind());
            told
        };
        let shown: Vec<_> = found.frames.iter().map(told).collect();
        assert_eq!((shown.as_slice(), found.last), (expected, last), "{event:?}");
    }

    fn turn(name: &str) -> TurnId {
        name.parse().expect("a name")
    }

    #[test]
    fn words_tools_and_commits_have_their_documented_frames() {
        let accepted =
            |name| Event::TurnAccepted { turn: turn(name), number: 1, prompt: "hi".to_owned() };
        check(&accepted("t1"), &[json!({"type": "turn-accepted"})], false);
        check(&accepted("t2"), &[], false);
        check(
            &Event::Message { item: "m".to_owned(), text: "hé".to_owned() },
            &[json!({"type": "message-delta", "text": "hé"})],
            false,
        );
        check(
            &Event::ToolCall {
                call: "c1".to_owned(),
                tool: "write".to_owned(),
                title: "Write".to_owned(),
                kind: model::ToolKind::Edit,
                arguments: json!({"path": "a"}),
                locations: vec![],
            },
            &[json!({"type": "tool-call", "tool": "write", "args": {"path": "a"}, "callId": "c1"})],
            false,
        );
        let commit: CommitId = "a".repeat(40).parse().expect("hex");
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(2));
        let event = Event::Commit { workspace, commit, changed: 1, paths: vec![] };
        check(&event, &[json!({"type": "commit", "sha": "a".repeat(40)})], false);
        let refusals = vec![Refusal { path: ".git".to_owned(), reason: "a name".to_owned() }];
        check(
            &Event::Refused { workspace, count: 1, refusals },
            &[json!({"type": "rejected", "violations": [{"path": ".git", "reason": "a name"}]})],
            false,
        );
    }

    fn update(status: Option<ToolStatus>, result: Option<&str>) -> Event {
        Event::ToolUpdate {
            call: "c1".to_owned(),
            tool: None,
            status,
            title: None,
            arguments: None,
            result: result.map(str::to_owned),
            diffs: vec![],
        }
    }

    #[test]
    fn a_tool_has_one_result_when_it_is_over() {
        check(&update(Some(ToolStatus::InProgress), Some("half")), &[], false);
        check(&update(None, Some("half")), &[], false);
        let result = |ok, summary: &str| json!({"type": "tool-result", "callId": "c1", "ok": ok, "summary": summary});
        check(&update(Some(ToolStatus::Completed), Some("fine")), &[result(true, "fine")], false);
        check(&update(Some(ToolStatus::Failed), None), &[result(false, "")], false);
        let long = "ü".repeat(9_000);
        let cut = "ü".repeat(SUMMARY_CHARS_MAX);
        check(&update(Some(ToolStatus::Completed), Some(&long)), &[result(true, &cut)], false);
    }

    #[test]
    fn a_call_is_shown_once_with_the_arguments_that_come_later() {
        let bare = Event::ToolCall {
            call: "c1".to_owned(),
            tool: "Write".to_owned(),
            title: "Write".to_owned(),
            kind: model::ToolKind::Edit,
            arguments: Value::Null,
            locations: vec![],
        };
        check(&bare, &[], false);
        let whole = |tool: Option<&str>, status, arguments| Event::ToolUpdate {
            call: "c1".to_owned(),
            tool: tool.map(str::to_owned),
            status: Some(status),
            title: None,
            arguments,
            result: None,
            diffs: vec![],
        };
        let args = json!({"file_path": "a"});
        let call = |args: &Value| json!({"type": "tool-call", "tool": "Write", "args": args, "callId": "c1"});
        let over = json!({"type": "tool-result", "callId": "c1", "ok": true, "summary": ""});
        let at_work = whole(Some("Write"), ToolStatus::InProgress, Some(args.clone()));
        check(&at_work, &[call(&args)], false);
        check(&whole(None, ToolStatus::InProgress, Some(args)), &[], false);
        let never_dressed = whole(Some("Write"), ToolStatus::Completed, None);
        check(&never_dressed, &[call(&Value::Null), over], false);
    }

    #[test]
    fn every_way_a_turn_ends_has_a_terminal_frame() {
        let session = shown().session;
        let done = |reply: &str, ok| json!({"type": "done", "reply": reply, "sessionId": session, "ok": ok});
        let complete = json!({"type": "turn-complete"});
        let ended =
            |outcome| Event::TurnEnded { turn: turn("t1"), outcome, reply: "bye".to_owned() };
        check(&ended(TurnOutcome::Completed), &[done("bye", true), complete.clone()], true);
        check(&ended(TurnOutcome::Stopped), &[done("bye", false), complete.clone()], true);
        let failure = model::event::Failure {
            code: FailureCode::AgentDied,
            message: "the agent died".to_owned(),
        };
        let error = json!({"type": "error", "message": "the agent died"});
        check(
            &ended(TurnOutcome::Failed { failure: failure.clone() }),
            &[error.clone(), done("bye", false), complete.clone()],
            true,
        );
        check(
            &Event::Ended { end: End::Failed, failure: Some(failure) },
            &[error, done("", false), complete.clone()],
            true,
        );
        let early = json!({"type": "error", "message": "the dispatch ended before the turn did"});
        check(
            &Event::Ended { end: End::Stopped, failure: None },
            &[early, done("", false), complete],
            true,
        );
        let other = Event::TurnEnded {
            turn: turn("t0"),
            outcome: TurnOutcome::Completed,
            reply: String::new(),
        };
        check(&other, &[], false);
    }

    #[test]
    fn frame_ids_read_back_and_stand_in_order() {
        let event = EventId { epoch: 1, n: 7 };
        let ids: Vec<_> = (0..3).map(|at| FrameId::of(event, at, 3)).collect();
        let texts: Vec<_> = ids.iter().map(FrameId::to_string).collect();
        assert_eq!(texts, ["1-7.1", "1-7.2", "1-7"]);
        assert!(ids.is_sorted());
        for (id, text) in ids.iter().zip(&texts) {
            assert_eq!(text.parse(), Ok(*id));
        }
        assert_eq!(FrameId::of(event, 0, 1).to_string(), "1-7");
        for bad in ["", "1", "1-7.", "1-7.x", "x-1", "1-7.1.1", "1-7.-1"] {
            assert_eq!(bad.parse::<FrameId>(), Err(()), "{bad}");
        }
    }
}
