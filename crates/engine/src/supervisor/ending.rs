//! The ways a dispatch can come to its end, each with its words: what happened, why, what next. Pure.

use std::iter::successors;
use std::time::Duration;

use model::event::Failure;
use model::{End, FailureCode, Happened, State, TurnOutcome};

use crate::port::{Exit, LedgerError, StartError};
use crate::workspaces::WorkspacesError;

/// Why a dispatch is over, and what becomes of a turn that was running.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ending {
    pub(crate) end: End,
    pub(crate) failure: Option<Failure>,
    /// How a turn ends that was running.
    pub(crate) turn: TurnOutcome,
    pub(crate) way: Way,
}

/// What is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Keep the work, remove the box, write the terminal event.
    Whole,
    /// It was idle for as long as it may be: as `Whole`.
    Idle,
    /// Another writer has taken over: touch nothing.
    Fenced,
    /// The server stops before this dispatch got its place: it stays in the ledger for the next one.
    Left,
}

const GO_ON: &str = "What was done so far is kept; send another message to go on.";

impl Ending {
    fn failed(end: End, code: FailureCode, message: String) -> Self {
        let failure = Failure { code, message };
        let turn = TurnOutcome::Failed { failure: failure.clone() };
        Self { end, failure: Some(failure), turn, way: Way::Whole }
    }

    fn calm(end: End, turn: TurnOutcome) -> Self {
        Self { end, failure: None, turn, way: Way::Whole }
    }

    /// Somebody cancelled it, or stopped a turn and the agent went with it.
    pub(crate) fn stopped() -> Self {
        Self::calm(End::Stopped, TurnOutcome::Stopped)
    }

    /// The server comes to its end in good order.
    pub(crate) fn shut_down(state: State) -> Self {
        match state {
            State::Queued => Self { way: Way::Left, ..Self::stopped() },
            State::Idle => Self::reaped(),
            State::Starting | State::Running | State::Ended(_) => {
                let message =
                    format!("The server was stopped while the agent was at work. {GO_ON}");
                Self::failed(End::Failed, FailureCode::ServerRestart, message)
            }
        }
    }

    /// The person may not have a workspace any more that is mounted.
    pub(crate) fn no_member(workspace: &str) -> Self {
        let message = format!(
            "You may not use the workspace {workspace} like this any more, so the agent was ended \
             and nothing of this turn was kept in it. Ask one of its owners."
        );
        Self::failed(End::Stopped, FailureCode::Workspace, message)
    }

    /// It was idle for as long as it may be, or somebody else needs its place.
    pub(crate) fn reaped() -> Self {
        Self { way: Way::Idle, ..Self::calm(End::Reaped, TurnOutcome::Stopped) }
    }

    /// The agent ended by itself.
    pub(crate) fn completed() -> Self {
        Self::calm(End::Completed, TurnOutcome::Completed)
    }

    /// The agent is of no further use, after its turn ended like this.
    pub(crate) fn after(outcome: &TurnOutcome) -> Self {
        match outcome {
            TurnOutcome::Completed => Self::completed(),
            TurnOutcome::Stopped => Self::stopped(),
            TurnOutcome::Failed { failure } => {
                Self::failed(End::Failed, failure.code, failure.message.clone())
            }
        }
    }

    /// The agent's program ended in the middle of a turn, or with a failure between two.
    pub(crate) fn agent_died(code: Option<i32>, signal: Option<i32>) -> Self {
        let how = match (code, signal) {
            (_, Some(signal)) => format!("was killed by signal {signal}"),
            (Some(code), None) => format!("ended with status {code}"),
            (None, None) => "ended".to_owned(),
        };
        let message = format!("The agent's program {how} before it was done. {GO_ON}");
        Self::failed(End::Failed, FailureCode::AgentDied, message)
    }

    /// The agent's program could not be started.
    pub(crate) fn agent_not_started(why: &str) -> Self {
        let message = format!(
            "The agent's program could not be started: {}. Check that its runner is installed and \
             may be executed.",
            cut(why)
        );
        Self::failed(End::StartFailed, FailureCode::AgentStart, message)
    }

    pub(crate) fn sandbox_died(exit: Exit) -> Self {
        let how = match exit {
            Exit::Code(code) => format!("by itself, with status {code}"),
            Exit::Signal(signal) => format!("by signal {signal}"),
            Exit::OutOfMemory => "for want of memory".to_owned(),
            Exit::Unknown => "by itself".to_owned(),
        };
        let message = format!("The sandbox ended {how}. {GO_ON}");
        Self::failed(End::Failed, FailureCode::SandboxDied, message)
    }

    pub(crate) fn worker_lost() -> Self {
        let message = format!("The sandbox stopped answering and was removed. {GO_ON}");
        Self::failed(End::Failed, FailureCode::SandboxDied, message)
    }

    /// A wall or a folder of the sandbox could not be had.
    pub(crate) fn not_started(error: &StartError) -> Self {
        let message = format!(
            "The sandbox could not be started: {}. Nothing was run. `remit doctor` says what this \
             machine lacks.",
            with_cause(error)
        );
        Self::failed(End::StartFailed, FailureCode::SandboxStart, message)
    }

    /// Something of the sandbox did not come up in time, or at all.
    pub(crate) fn not_up(what: &str) -> Self {
        let message = format!("The sandbox could not be started: {}. Nothing was run.", cut(what));
        Self::failed(End::StartFailed, FailureCode::SandboxStart, message)
    }

    pub(crate) fn no_session() -> Self {
        let message = "The session file of this conversation is missing or cannot be read, so it \
                       cannot go on. Start a new conversation; the workspace has all that was \
                       committed."
            .to_owned();
        Self::failed(End::StartFailed, FailureCode::Session, message)
    }

    pub(crate) fn no_workspace(error: &WorkspacesError) -> Self {
        let message =
            format!("A workspace could not be opened: {}. Nothing was run.", with_cause(error));
        Self::failed(End::StartFailed, FailureCode::Workspace, message)
    }

    pub(crate) fn unknown_runner() -> Self {
        let message = "The runner of this dispatch is not known to this server any more. Choose \
                       another one for a new conversation."
            .to_owned();
        Self::failed(End::StartFailed, FailureCode::AgentStart, message)
    }

    pub(crate) fn turn_too_long(limit: Duration) -> Self {
        let message = format!(
            "The turn took longer than the {} s it may take. What was done so far is kept; ask for \
             less at once, or raise the limit `turn`.",
            limit.as_secs()
        );
        Self::failed(End::Failed, FailureCode::TurnTimeout, message)
    }

    pub(crate) fn lived_too_long(limit: Duration) -> Self {
        let message =
            format!("The sandbox lived for the {} s that it may live. {GO_ON}", limit.as_secs());
        Self::failed(End::MaxLifetime, FailureCode::TurnTimeout, message)
    }

    /// The gate lets no model be called any more; it says why.
    pub(crate) fn budget_exhausted(why: String) -> Self {
        Self::failed(End::Failed, FailureCode::BudgetExhausted, why)
    }

    pub(crate) fn flooded(limit: u64) -> Self {
        let message = format!(
            "The agent wrote more than the {limit} bytes that it may write in one turn, and was \
             stopped. What was done so far is kept."
        );
        Self::failed(End::Failed, FailureCode::OutputFlood, message)
    }

    pub(crate) fn too_many_events(limit: u64) -> Self {
        let message = format!(
            "The dispatch wrote {limit} events, more than one may write, and was stopped. What was \
             done so far is kept."
        );
        Self::failed(End::Failed, FailureCode::OutputFlood, message)
    }

    /// The server came back and could not take the sandbox over.
    pub(crate) fn not_adopted() -> Self {
        let message = "The server was restarted and the sandbox was gone. What was committed is \
                       kept; send another message to go on."
            .to_owned();
        Self::failed(End::Failed, FailureCode::ServerRestart, message)
    }

    pub(crate) fn internal() -> Self {
        let message = format!("This server made a mistake; its log has more. {GO_ON}");
        Self::failed(End::Failed, FailureCode::Internal, message)
    }

    /// The ledger no longer takes what happens.
    pub(crate) fn unwritable(error: &LedgerError) -> Self {
        match error {
            LedgerError::Fenced { .. } | LedgerError::Closed(_) | LedgerError::NoDispatch(_) => {
                Self { way: Way::Fenced, ..Self::internal() }
            }
            LedgerError::Full(_) => {
                let message = format!("The server's disk is full. {GO_ON}");
                Self::failed(End::Failed, FailureCode::Internal, message)
            }
            LedgerError::Conflict { .. } | LedgerError::Unavailable(_) => Self::internal(),
        }
    }

    /// What it really was, now that the box's end is known: want of memory explains a death.
    pub(crate) fn explained_by(self, exit: Exit) -> Self {
        let died = self.failure.as_ref().is_some_and(|failure| {
            matches!(failure.code, FailureCode::AgentDied | FailureCode::SandboxDied)
        });
        if !died || exit != Exit::OutOfMemory {
            return self;
        }
        let message = format!(
            "The sandbox ran out of memory and was ended. {GO_ON} Ask for less at once, or raise \
             the limit `memory_bytes_max`."
        );
        Self::failed(End::OutOfMemory, FailureCode::SandboxDied, message)
    }

    /// What happened, as far as the state is concerned.
    pub(crate) fn happened(&self) -> Happened {
        match self.way {
            Way::Idle => Happened::IdleExpired,
            Way::Whole | Way::Fenced | Way::Left => Happened::Gone(self.end),
        }
    }
}

/// How a turn ends that waited for an agent that is gone.
pub(crate) fn never_begun() -> TurnOutcome {
    let message =
        "The sandbox ended before this message was handed to the agent: nothing of it was \
                   run. Send it again, as a new turn, to go on in a fresh sandbox."
            .to_owned();
    TurnOutcome::Failed { failure: Failure { code: FailureCode::SandboxDied, message } }
}

/// What was committed could not be.
pub(crate) fn not_kept(error: &WorkspacesError) -> TurnOutcome {
    let message = format!(
        "The work of this turn could not be kept: {}. It is still in the sandbox; the next turn \
         tries again.",
        with_cause(error)
    );
    TurnOutcome::Failed { failure: Failure { code: FailureCode::Workspace, message } }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let chain = successors(Some(error), |error| error.source());
    cut(&chain.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_explains_a_death_and_nothing_else() {
        let died = Ending::agent_died(None, Some(9)).explained_by(Exit::OutOfMemory);
        assert_eq!(died.end, End::OutOfMemory);
        assert_eq!(
            Ending::sandbox_died(Exit::Signal(9)).explained_by(Exit::Signal(9)).end,
            End::Failed
        );
        assert_eq!(Ending::stopped().explained_by(Exit::OutOfMemory).end, End::Stopped);
        let late = Ending::turn_too_long(Duration::from_secs(3)).explained_by(Exit::OutOfMemory);
        assert_eq!(late.failure.expect("it failed").code, FailureCode::TurnTimeout);
    }

    #[test]
    fn a_writer_that_was_taken_over_touches_nothing_any_more() {
        let dispatch = model::DispatchId::from_uuid(uuid::Uuid::from_u128(1));
        let fenced = LedgerError::Fenced { dispatch, ours: 1, current: 2 };
        assert_eq!(Ending::unwritable(&fenced).way, Way::Fenced);
        let full = LedgerError::Full("no space".to_owned());
        assert_eq!(Ending::unwritable(&full).way, Way::Whole);
    }

    #[test]
    fn a_server_that_stops_leaves_what_waits_and_ends_what_runs() {
        assert_eq!(Ending::shut_down(State::Queued).way, Way::Left);
        assert_eq!(Ending::shut_down(State::Idle).end, End::Reaped);
        let running = Ending::shut_down(State::Running);
        assert_eq!(running.failure.expect("it says so").code, FailureCode::ServerRestart);
    }
}
