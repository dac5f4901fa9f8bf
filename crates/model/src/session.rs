//! A conversation and its turns.

use serde::{Deserialize, Serialize};

use crate::{DispatchId, EventId, RunnerName, SessionId, Time, TurnId, UserId, WorkspaceId};

/// A conversation of one person with one runner over some workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id; also the name of its ref.
    pub id: SessionId,
    /// Whose conversation it is.
    pub subject: UserId,
    /// The runner whose session file continues it.
    pub runner: RunnerName,
    /// The workspace in whose repository its session file is kept.
    pub home: WorkspaceId,
    /// The beginning of the first prompt, at most 80 characters.
    pub title: String,
    /// When the first turn was asked for.
    pub created: Time,
    /// When the last turn was asked for, or ended.
    pub last_active: Time,
    /// The dispatch that worked on it last.
    pub dispatch: Option<DispatchId>,
}

/// One message to an agent, as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its id, unique in its session.
    pub id: TurnId,
    /// The conversation.
    pub session: SessionId,
    /// The dispatch that runs it.
    pub dispatch: DispatchId,
    /// 1 for the first turn of its dispatch.
    pub number: u32,
    /// What was said.
    pub prompt: String,
    /// The event that accepted it: a client that reads after it sees all of the turn.
    pub accepted: EventId,
}
