//! What the supervisor asks of the gate: serve these doors as this caller, and nothing else.

use std::fmt::Debug;

use async_trait::async_trait;
use model::{Budget, DispatchId, Event, ModelApi, Runner, RunnerName, TurnId, UserId};
use tokio::sync::mpsc;

use super::backend::Door;

/// Who calls through a door: known from the door, never from what is said through it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The dispatch whose sandbox the doors belong to.
    pub dispatch: DispatchId,
    /// On whose behalf.
    pub subject: UserId,
    /// What drives the agent.
    pub runner: RunnerName,
    /// The dialect the runner speaks to models.
    pub model_api: ModelApi,
    /// How much of models it may use.
    pub budget: Budget,
    /// Where the gate says what happened. Bounded: when it is full, the gate waits, and with it the
    /// agent.
    pub reports: mpsc::Sender<Report>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// What belongs into the stream: `Usage`, `Diagnostic`.
    Event(Event),
    /// A budget is used up, so the turn must end; which one and what next, for people.
    Exhausted(String),
}

/// Serves the doors of sandboxes.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Serves everything behind `doors` as `caller`, until what is returned is dropped: then every
    /// connection through them is closed, and calls to models are given up.
    async fn open(&self, caller: Caller, doors: Vec<Door>) -> std::io::Result<Box<dyn OpenGate>>;

    /// The model that an agent of this runner will reach when it names no other, as it is shown and
    /// handed to the agent.
    fn model(&self, runner: &Runner) -> String;
}

/// The doors of one sandbox are served while this lives.
pub trait OpenGate: Send + Sync + Debug {
    /// From now on, what is called through the doors is called for this turn.
    fn turn(&self, turn: &TurnId);
}
