//! The dispatch: one run of one agent. Immutable once written; its state moves by [`State::after`] alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invocation::Context;
use crate::{
    Budget, CommitId, DispatchId, Label, Limits, RunnerName, SessionId, Time, TurnId, UserId,
    WorkspaceId, WorkspaceName,
};

/// One run of one agent, in one sandbox, over some workspaces, on somebody's behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Its id.
    pub id: DispatchId,
    /// On whose behalf.
    pub subject: UserId,
    /// What started it.
    pub launcher: Launcher,
    /// Why it was started.
    pub trigger: Trigger,
    /// The runner that drives the agent.
    pub runner: RunnerName,
    /// The workspaces, in the order they were asked for; the first is the agent's folder.
    pub mounts: Vec<Mount>,
    /// Where it begins.
    pub start: Start,
    /// The conversation that it continues or begins.
    pub session: SessionId,
    /// What triggered it, as it was told.
    pub context: Context,
    /// The tools it may call, by name.
    pub tools: Vec<String>,
    /// What it has read when it begins.
    pub label: Label,
    /// What it may use.
    pub limits: Limits,
    /// Whether its agent asks before it acts.
    #[serde(default, skip_serializing_if = "Permission::is_auto")]
    pub permission: Permission,
    /// How much of models it may use.
    #[serde(default, skip_serializing_if = "Budget::is_unbounded")]
    pub budget: Budget,
    /// The model that was chosen for it; the usual one of its runner where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether what models are asked and answer is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
    /// When it was accepted.
    pub created: Time,
}

/// Whether an agent asks before it changes something or runs a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// It does not: the sandbox and the gate are the walls. What it asks all the same is allowed.
    #[default]
    Auto,
    /// It does, and a person answers.
    Ask,
}

impl Permission {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What started a dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Launcher {
    /// A person, with a key or in a page.
    User(UserId),
    /// A line of the timetable.
    Schedule(String),
    /// An integration.
    Integration(String),
}

/// Why a dispatch was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Somebody said something.
    Message,
    /// The timetable.
    Scheduled,
    /// Something came from outside.
    Event,
    /// A transcript of a meeting.
    Transcription,
}

/// Whether what triggered a dispatch may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputTrust {
    /// The person's own words, or their own timetable: may write.
    Trusted,
    /// Anything from outside: may only propose.
    Untrusted,
}

impl Trigger {
    /// Derived, never stored.
    pub fn input_trust(self) -> InputTrust {
        match self {
            Self::Message | Self::Scheduled => InputTrust::Trusted,
            Self::Event | Self::Transcription => InputTrust::Untrusted,
        }
    }

    /// How a workspace is mounted when the asker did not say.
    pub fn default_mode(self) -> Mode {
        match self.input_trust() {
            InputTrust::Trusted => Mode::ReadWrite,
            InputTrust::Untrusted => Mode::Propose,
        }
    }
}

/// One workspace as one dispatch sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What it was called when this was written; the folder's name where there are several.
    pub name: WorkspaceName,
    /// What may be done to it.
    pub mode: Mode,
    /// The commit the dispatch begins with, chosen when it was accepted; absent for an empty workspace.
    pub base: Option<CommitId>,
    /// What it is for, as its owner said when this was written; the agent is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
}

/// What may be done to a mounted workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Mounted read-only by the kernel.
    #[serde(rename = "ro")]
    ReadOnly,
    /// Changes are committed at the end of each turn.
    #[serde(rename = "rw")]
    ReadWrite,
    /// Changes become a proposal.
    #[serde(rename = "propose")]
    Propose,
}

/// Where a dispatch begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A new conversation that begins with a prompt.
    Ask {
        /// The first turn.
        turn: TurnId,
        /// What is asked.
        prompt: String,
    },
    /// A conversation is continued in a fresh sandbox from its session file.
    Session {
        /// The next turn.
        turn: TurnId,
        /// What is asked next.
        prompt: String,
    },
}

impl Start {
    /// The first turn of the dispatch and what it asks.
    pub fn turn(&self) -> (&TurnId, &str) {
        match self {
            Self::Ask { turn, prompt } | Self::Session { turn, prompt } => (turn, prompt),
        }
    }

    /// Whether a session file must be there.
    pub fn resumes(&self) -> bool {
        matches!(self, Self::Session { .. })
    }
}

/// Where a dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Written down; waits for a place.
    Queued,
    /// Its sandbox is being built.
    Starting,
    /// The agent works on a turn.
    Running,
    /// The turn is over; the sandbox waits for the next one.
    Idle,
    /// Over, for this reason.
    Ended(End),
}

/// Why a dispatch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The agent ended by itself after its turn.
    Completed,
    /// Somebody stopped it.
    Stopped,
    /// It was idle for as long as it may be.
    Reaped,
    /// It failed; the terminal event says how.
    Failed,
    /// The box ran out of memory.
    OutOfMemory,
    /// The sandbox or the agent could not be started.
    StartFailed,
    /// It lived as long as it may.
    MaxLifetime,
}

/// What a failure was, so that a client can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The agent's program ended in the middle of a turn.
    AgentDied,
    /// The agent broke its protocol.
    AgentProtocol,
    /// The agent could not be started.
    AgentStart,
    /// The agent stopped before it was done: at a limit of its own, or because it would not go on.
    AgentGaveUp,
    /// The agent wrote more than it may.
    OutputFlood,
    /// The turn took longer than it may.
    TurnTimeout,
    /// A wall of the sandbox could not be built.
    SandboxStart,
    /// The sandbox ended by itself.
    SandboxDied,
    /// The model did not answer, or refused.
    Model,
    /// A budget for models is used up: of the dispatch, of its person, or of the server.
    BudgetExhausted,
    /// The session file is missing or cannot be read.
    Session,
    /// A workspace is missing or cannot be read, or the person may not use it like this any more.
    Workspace,
    /// The server was restarted and could not take the sandbox back.
    ServerRestart,
    /// Our own fault: the log has more.
    Internal,
}

/// What happened to a dispatch, as far as its state is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It got its place.
    Placed,
    /// Sandbox and agent are up and have the first turn.
    Started,
    /// A further turn was handed to it.
    Message,
    /// The turn is over.
    TurnEnded,
    /// It was idle for as long as it may be.
    IdleExpired,
    /// It is over.
    Gone(End),
}

/// A thing happened that cannot happen in this state: our own mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{happened:?} cannot happen to a dispatch that is {state:?}")]
pub struct Impossible {
    /// Where it stood.
    pub state: State,
    /// What was said to have happened.
    pub happened: Happened,
}

impl State {
    /// The state after something happened.
    pub fn after(self, happened: Happened) -> Result<Self, Impossible> {
        match (self, happened) {
            (Self::Queued, Happened::Placed) => Ok(Self::Starting),
            (Self::Starting, Happened::Started) | (Self::Idle, Happened::Message) => {
                Ok(Self::Running)
            }
            (Self::Running, Happened::TurnEnded) => Ok(Self::Idle),
            (Self::Idle, Happened::IdleExpired) => Ok(Self::Ended(End::Reaped)),
            (Self::Queued | Self::Starting | Self::Running | Self::Idle, Happened::Gone(end)) => {
                Ok(Self::Ended(end))
            }
            (state, happened) => Err(Impossible { state, happened }),
        }
    }

    /// Whether nothing can follow.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[Happened], expected: Result<State, ()>) {
        let mut state = State::Queued;
        for &happened in steps {
            match state.after(happened) {
                Ok(next) => state = next,
                Err(_) => return assert_eq!(Err(()), expected, "{steps:?}"),
            }
        }
        assert_eq!(Ok(state), expected, "{steps:?}");
    }

    #[test]
    fn a_dispatch_goes_from_queued_over_turns_to_its_end() {
        use Happened::{Gone, IdleExpired, Message, Placed, Started, TurnEnded};
        check(&[Placed, Started, TurnEnded, Message, TurnEnded], Ok(State::Idle));
        check(&[Placed, Started, TurnEnded, IdleExpired], Ok(State::Ended(End::Reaped)));
        check(&[Gone(End::Stopped)], Ok(State::Ended(End::Stopped)));
    }

    #[test]
    fn nothing_follows_the_end_and_nothing_is_skipped() {
        use Happened::{Gone, Message, Placed, Started, TurnEnded};
        check(&[Gone(End::Stopped), Placed], Err(()));
        check(&[Gone(End::Stopped), Gone(End::Failed)], Err(()));
        check(&[Started], Err(()));
        check(&[Placed, Started, Message], Err(()));
        check(&[Placed, TurnEnded], Err(()));
    }
}
