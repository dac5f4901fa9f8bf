//! Why a dispatch or a turn was not accepted. A variant for each thing a caller can do differently.

use std::time::Duration;

use model::{DispatchId, RunnerName, SessionId, ToolRef};

use crate::port::LedgerError;
use crate::workspaces::WorkspacesError;

use super::queue::Full;

/// A dispatch or turn was not accepted, or could not be steered. Unless a variant says otherwise,
/// nothing was written and nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The asker may not do this. For [`trust::Reason::NotYours`] tell that there is no such thing.
    #[error("not allowed: {0}")]
    Denied(#[from] trust::Reason),
    /// There is no such person.
    #[error("there is no such person")]
    UnknownSubject,
    /// There is no runner of that name.
    #[error("there is no runner `{0}`")]
    UnknownRunner(RunnerName),
    /// The program of the runner is not on this host.
    #[error("the runner `{runner}` is not installed on this server{}", how(*.install, .runner))]
    RunnerNotInstalled {
        /// The runner.
        runner: RunnerName,
        /// Whether `remit runner install` can install it.
        install: bool,
    },
    /// The runner failed its last test on this server, or was never tested as it is now.
    #[error(
        "the runner `{runner}` {}; `remit runner test {runner}` on the server tests it; to use it all the same say so (`--untested`, `?untested=true`)",
        untested(.failed)
    )]
    RunnerNotTested {
        /// The runner.
        runner: RunnerName,
        /// The checks that it failed; none: it was never tested.
        failed: Vec<String>,
    },
    /// The agent was to ask before it acts, and cannot.
    #[error(
        "the runner `{0}` cannot ask before it acts; leave `permissions=ask` out, or choose another"
    )]
    CannotAsk(RunnerName),
    /// No model of that name can be chosen here.
    #[error("there is no model `{0}` here; name one of an endpoint, as `endpoint/model`, or none")]
    UnknownModel(String),
    /// The agent was given tools behind the gate, and cannot call any.
    #[error(
        "the runner `{0}` cannot call tools behind the gate (MCP); name none, or choose another"
    )]
    CannotCall(RunnerName),
    /// No server of tools is called so, or it has no such tool that may be called.
    #[error("there is no tool `{0}`; GET /agent/tools lists those that this server allows")]
    UnknownTool(ToolRef),
    /// The dispatch was to be recorded, which whoever runs the server does not allow.
    #[error(
        "dispatches are not recorded on this server; leave `record` out, or have `recording.allowed` set"
    )]
    NoRecording,
    /// The subject has no workspace of that id or name.
    #[error("there is no workspace `{0}`")]
    UnknownWorkspace(String),
    /// There is no such conversation.
    #[error("there is no conversation {0}")]
    UnknownSession(SessionId),
    /// There is no such dispatch.
    #[error("there is no dispatch {0}")]
    UnknownDispatch(DispatchId),
    /// The file that was to be the prompt is not in the first workspace, or is no text.
    #[error("there is no text at `{path}` of the first workspace")]
    UnknownPlan {
        /// The path, cut to 200 characters.
        path: String,
    },
    /// There is nothing to say to the agent.
    #[error("the prompt is empty")]
    PromptEmpty,
    /// The prompt is longer than it may be.
    #[error("the prompt has {bytes} bytes, at most {} are allowed", model::limit::PROMPT_BYTES_MAX)]
    PromptTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// There is no workspace, or there are too many, or one stands there twice.
    #[error("name 1 to {} workspaces, each once", model::limit::MOUNTS_MAX)]
    Mounts,
    /// A limit is outside what is allowed.
    #[error("the limit `{name}` must be {range}")]
    Limit {
        /// Which one.
        name: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// The conversation is with another runner; a session file is read by its own agent only.
    #[error("the conversation {session} is with the runner `{runner}`")]
    OtherRunner {
        /// The conversation.
        session: SessionId,
        /// Its runner.
        runner: RunnerName,
    },
    /// This machine builds no walls, so it takes nothing that comes from outside.
    #[error("the backend `{backend}` does not isolate and takes no untrusted input")]
    NotIsolated {
        /// The backend.
        backend: &'static str,
    },
    /// Too many wait already. Nothing was written; try again later.
    #[error("too many dispatches wait already")]
    TooMany {
        /// Which bound is reached.
        full: Full,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// Too many messages wait for the same agent. Nothing was written; try again later.
    #[error("too many messages wait for the agent of {session}")]
    TooManyMessages {
        /// The conversation.
        session: SessionId,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The turn's id, or the idempotency key, was used before for another request.
    #[error("`{key}` was used before for another request")]
    Conflict {
        /// The id or key.
        key: String,
    },
    /// The dispatch is over.
    #[error("the dispatch {0} is over")]
    Over(DispatchId),
    /// The dispatch is not over: it can be spoken to, not resumed.
    #[error("the dispatch {0} is not over")]
    NotOver(DispatchId),
    /// No such question of the agent waits: it was answered, it is refused by now, or never was.
    #[error("no question `{ask}` waits for an answer")]
    NoQuestion {
        /// The question, cut to 64 characters.
        ask: String,
    },
    /// The question cannot be answered so.
    #[error("the question has no such option; it has {}", .options.join(", "))]
    NoSuchOption {
        /// Its options.
        options: Vec<String>,
    },
    /// No turn is running that could be stopped.
    #[error("no turn of {0} is running")]
    NoTurn(DispatchId),
    /// The server comes to its end. Try again when it is back.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The ledger did not take it. For [`LedgerError::Unavailable`] it may have been written or not;
    /// the same turn or key may be sent again.
    #[error("the ledger did not take it")]
    Ledger(#[source] LedgerError),
    /// Our own mistake, which the log tells. It may have been accepted or not.
    #[error("this server made a mistake")]
    Internal,
    /// A workspace cannot be read.
    #[error("a workspace cannot be read")]
    Workspace(#[from] WorkspacesError),
}

fn how(install: bool, runner: &RunnerName) -> String {
    let how = || format!("; who runs it installs it with `remit runner install {runner}`");
    if install { how() } else { String::new() }
}

fn untested(failed: &[String]) -> String {
    match failed {
        [] => "was not tested on this server".to_owned(),
        failed => format!("failed its last test on this server ({})", failed.join(", ")),
    }
}

impl From<LedgerError> for DispatchError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Conflict { key } => Self::Conflict { key },
            LedgerError::NoDispatch(dispatch) => Self::UnknownDispatch(dispatch),
            LedgerError::Closed(dispatch) => Self::Over(dispatch),
            error => Self::Ledger(error),
        }
    }
}
