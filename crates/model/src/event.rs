//! What a dispatch said or did: the one vocabulary of streams, shaped like the session items of ACP.
//!
//! Stable ids; chunks append; patches replace. Chat frames, replay and audit are projections of it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    CommitId, End, FailureCode, Label, Launcher, Mount, ProposalId, RunnerName, SandboxId,
    ServerName, SessionId, Time, TurnId, UserId, WorkspaceId,
};

/// Where an entry stands in the stream of its dispatch: `<epoch>-<n>`.
///
/// The epoch is that of the writer; `n` grows by one over the whole life of the stream. A stream
/// refuses an id that is not above its last, so a writer of an older epoch can add nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+-[0-9]+$"))]
pub struct EventId {
    /// How many writers the stream has had, this one included.
    pub epoch: u32,
    /// 1 for the first entry of the stream.
    pub n: u64,
}

/// A text is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event id of the form <epoch>-<n>")]
pub struct BadEventId(String);

impl EventId {
    /// Before the first entry of any stream.
    pub const START: Self = Self { epoch: 0, n: 0 };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.n)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = BadEventId;
    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let bad = || BadEventId(text.chars().take(64).collect());
        let (epoch, n) = text.split_once('-').ok_or_else(bad)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(epoch) || !digits(n) {
            return Err(bad());
        }
        Ok(Self { epoch: epoch.parse().map_err(|_| bad())?, n: n.parse().map_err(|_| bad())? })
    }
}

impl TryFrom<String> for EventId {
    type Error = BadEventId;
    fn try_from(text: String) -> Result<Self, BadEventId> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Where it stands.
    pub id: EventId,
    /// When it was written.
    pub at: Time,
    /// What happened.
    pub event: Event,
}

/// What a dispatch said or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The dispatch was accepted and is stored. Always the first entry.
    Accepted {
        /// On whose behalf.
        subject: UserId,
        /// What started it.
        launcher: Launcher,
        /// What drives the agent.
        runner: RunnerName,
        /// The conversation.
        session: SessionId,
        /// The workspaces as mounted.
        mounts: Vec<Mount>,
        /// What it has read when it begins.
        label: Label,
    },
    /// It waits for a place: so many stand before it.
    Queued {
        /// 0 for the next one.
        ahead: u32,
    },
    /// Its sandbox stands.
    SandboxStarted {
        /// The box.
        sandbox: SandboxId,
        /// What built it.
        backend: String,
        /// From asking for the box to its first instruction, in microseconds.
        start_us: u64,
        /// Whether the backend isolates; `process` does not.
        isolates: bool,
    },
    /// The server came back and took the living sandbox over.
    SandboxAdopted {
        /// The box.
        sandbox: SandboxId,
    },
    /// A turn was accepted.
    TurnAccepted {
        /// The turn.
        turn: TurnId,
        /// 1 for the first turn of this dispatch.
        number: u32,
        /// What was said to the agent.
        prompt: String,
    },
    /// The agent has the turn's prompt.
    TurnStarted {
        /// The turn.
        turn: TurnId,
    },
    /// A piece of what the agent says; pieces of one id follow one another.
    Message {
        /// The item that grows.
        item: String,
        /// What is added.
        text: String,
    },
    /// A piece of what the agent thinks.
    Thought {
        /// The item that grows.
        item: String,
        /// What is added.
        text: String,
    },
    /// The agent calls a tool.
    ToolCall {
        /// The agent's id of the call.
        call: String,
        /// The tool, in one word.
        tool: String,
        /// For people, one line.
        title: String,
        /// What kind of tool it is.
        kind: ToolKind,
        /// The arguments, as the agent gave them; null while they are not known.
        arguments: Value,
        /// The files it concerns.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        locations: Vec<String>,
    },
    /// A tool call went on; what is absent stays as it was.
    ToolUpdate {
        /// The agent's id of the call.
        call: String,
        /// The tool, in one word: in the one update that brings the arguments, or the end, of a call
        /// that was told without arguments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        /// Where it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<ToolStatus>,
        /// A better title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The arguments, once they are whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Value>,
        /// What it returned, as text, possibly cut.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// What it changed, as the agent says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        diffs: Vec<Diff>,
    },
    /// What the agent means to do; replaces the plan before.
    Plan {
        /// Its steps.
        steps: Vec<PlanStep>,
    },
    /// The agent asks whether it may.
    PermissionAsked {
        /// The question's id.
        ask: String,
        /// The call it is about.
        call: String,
        /// For people, one line.
        title: String,
        /// What may be answered.
        options: Vec<PermissionOption>,
    },
    /// The question was answered.
    PermissionAnswered {
        /// The question's id.
        ask: String,
        /// The option that was chosen; absent when it was refused without one.
        option: Option<String>,
        /// Who or what answered.
        by: String,
    },
    /// A model was called.
    Usage {
        /// The model.
        model: String,
        /// Tokens of the request.
        input_tokens: u64,
        /// Tokens of the answer.
        output_tokens: u64,
        /// From the request to the last byte, in milliseconds.
        elapsed_ms: u64,
    },
    /// The gate called a tool of a server behind it, or refused to. What the agent says of the same
    /// call stands in its own `tool_call`; this is the word of who made it.
    Brokered {
        /// The server.
        server: ServerName,
        /// The tool, as the agent named it.
        tool: String,
        /// The arguments, as they were sent, possibly cut.
        arguments: Value,
        /// What came of it.
        outcome: Brokered,
        /// From the agent's request to the answer, in milliseconds.
        elapsed_ms: u64,
    },
    /// A change-set was committed to a workspace.
    Commit {
        /// The workspace.
        workspace: WorkspaceId,
        /// The new commit.
        commit: CommitId,
        /// How many paths it changed.
        changed: u64,
        /// The first of them, at most 100.
        paths: Vec<String>,
    },
    /// Paths of a change-set were refused by the committer's policy; all others were committed.
    Refused {
        /// The workspace.
        workspace: WorkspaceId,
        /// How many.
        count: u64,
        /// The first of them, at most 100.
        refusals: Vec<Refusal>,
    },
    /// A change-set could not be merged by itself, or may only be proposed: it is kept whole on a
    /// ref of its own, and the folder is as it was.
    Held {
        /// The workspace.
        workspace: WorkspaceId,
        /// The ref that keeps it.
        reference: String,
        /// The commit that keeps it.
        commit: CommitId,
        /// Why it was not applied.
        reason: HeldReason,
        /// The paths in conflict, at most 100.
        paths: Vec<String>,
    },
    /// What was held is written down as a proposal, for a person to decide. Follows its `held`.
    Proposed {
        /// The proposal.
        proposal: ProposalId,
        /// The workspace.
        workspace: WorkspaceId,
        /// Why it was not applied by itself.
        reason: HeldReason,
        /// The first paths that it would change, at most 100.
        paths: Vec<String>,
    },
    /// The session file is kept.
    SessionSaved {
        /// The conversation.
        session: SessionId,
        /// The commit on its ref.
        commit: CommitId,
    },
    /// Something that people who look for a fault want to see: what the agent wrote to its standard
    /// error, a line that broke the protocol, output that was dropped.
    Diagnostic {
        /// Where it comes from: `agent`, `protocol`, `gate`, `committer`.
        source: String,
        /// What it says, at most 4 KiB.
        text: String,
    },
    /// A turn is over; its change-sets and its session file are kept.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// How it ended.
        outcome: TurnOutcome,
        /// The last message of the agent, whole, at most 64 KiB.
        reply: String,
    },
    /// The dispatch is over. Always the last entry.
    Ended {
        /// Why.
        end: End,
        /// For people: what went wrong and what to do next; absent when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
}

/// What came of a call that the gate was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Brokered {
    /// The tool answered.
    Answered,
    /// The tool answered that it failed.
    Failed,
    /// The dispatch may not call it. Nothing was sent.
    Refused,
    /// The server gave no answer that can be passed on; whether it did anything is not known.
    Unanswered,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TurnOutcome {
    /// The agent came to its end.
    Completed,
    /// Somebody stopped it.
    Stopped,
    /// It failed.
    Failed {
        /// How.
        failure: Failure,
    },
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What it was.
    pub code: FailureCode,
    /// What happened, why, and what to do next.
    pub message: String,
}

/// What kind of tool a call is; the kinds of ACP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Reads a file.
    Read,
    /// Changes a file.
    Edit,
    /// Removes a file.
    Delete,
    /// Renames a file.
    Move,
    /// Searches.
    Search,
    /// Runs a command.
    Execute,
    /// Thinks aloud.
    Think,
    /// Fetches from outside.
    Fetch,
    /// Anything else.
    Other,
}

/// Where a tool call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// Not begun.
    Pending,
    /// At work.
    InProgress,
    /// Done.
    Completed,
    /// It failed.
    Failed,
}

/// A change of one file as the agent tells it. The commit is what counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// The file.
    pub path: String,
    /// What stood there; absent for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What stands there now.
    pub new: String,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    /// What is to be done.
    pub text: String,
    /// `pending`, `in_progress` or `completed`.
    pub status: String,
}

/// One thing that may be answered to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionOption {
    /// Its id.
    pub option: String,
    /// For people.
    pub name: String,
    /// `allow_once`, `allow_always`, `reject_once` or `reject_always`.
    pub kind: String,
}

/// One path that was not committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The path, made safe to show.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Why a change-set was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// The folder moved, and both changed the same paths.
    Conflict,
    /// The mount only lets it propose.
    ProposeOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_and_sorts_by_epoch_then_number() {
        let id: EventId = "3-17".parse().expect("valid");
        assert_eq!(id, EventId { epoch: 3, n: 17 });
        assert_eq!(id.to_string(), "3-17");
        assert!(EventId { epoch: 2, n: 99 } < id);
    }

    #[test]
    fn what_is_not_an_event_id_is_refused() {
        for text in ["", "-", "1-", "-1", "+1-2", "1-+2", "1-2-3", "1 -2", "99999999999-1"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_keeps_its_form() {
        let event = Event::Message { item: "m1".into(), text: "hi".into() };
        let json = serde_json::to_string(&event).expect("plain data");
        assert_eq!(json, r#"{"type":"message","item":"m1","text":"hi"}"#);
        assert_eq!(serde_json::from_str::<Event>(&json).expect("own form"), event);
    }
}
