//! What the supervisor asks of the gate: serve these doors as this caller, and nothing else.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Budget, DispatchId, EndpointName, Event, ModelApi, Mount, Runner, RunnerName, ServerName,
    ToolEffect, ToolRef, TurnId, UserId,
};
use tokio::sync::mpsc;
use trust::{Decision, Reach, Stands};

use super::backend::Door;
use crate::endpoint::EndpointError;

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
    /// The workspaces as they are mounted.
    pub mounts: Vec<Mount>,
    /// The model that was chosen for it; the usual one where absent.
    pub model: Option<String>,
    /// The tools it was given; of these, it may call those that its reach allows.
    pub tools: Vec<ToolRef>,
    /// What decides which tools it may call.
    pub reach: Reach,
    /// How much of models it may use.
    pub budget: Budget,
    /// Whether what models are asked and answer is kept.
    pub record: bool,
    /// Where the gate says what happened. Bounded: when it is full, the gate waits, and with it the
    /// agent.
    pub reports: mpsc::Sender<Report>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// What belongs into the stream: `Usage`, `Brokered`, `Diagnostic`.
    Event(Event),
    /// A budget is used up, so the turn must end; which one and what next, for people.
    Exhausted(String),
}

/// What came of asking an endpoint for a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The model that was asked.
    pub model: String,
    /// How long it took.
    pub elapsed: Duration,
    /// What is wrong and what to do about it, for people; nothing where it answered.
    pub problem: Option<String>,
}

/// A server of tools behind the gate, as whoever runs this installation allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolServer {
    /// What it is called; its path at the gate is `/mcp/<name>`.
    pub name: ServerName,
    /// For people, one line.
    pub about: String,
    /// Where it stands.
    pub stands: Stands,
    /// The tools that may be called at all, by name, in order.
    pub tools: Vec<(String, ToolEffect)>,
}

impl ToolServer {
    /// The tools of it that a dispatch may call which was given `tools`.
    pub fn callable(&self, tools: &[ToolRef], reach: Reach) -> Vec<&str> {
        let given = |tool: &str| tools.iter().any(|it| it.means(&self.name, tool));
        let may = |effect| reach.calls(self.stands, effect) == Decision::Allow;
        let all = self.tools.iter().filter(|(tool, effect)| given(tool) && may(*effect));
        all.map(|(tool, _)| tool.as_str()).collect()
    }
}

/// A model of whoever runs this installation, which anybody may choose for a dispatch of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The endpoint that has it.
    pub endpoint: String,
    /// What the endpoint calls it.
    pub model: String,
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

    /// The models that whoever runs this installation offers, endpoint by endpoint, the usual one of each
    /// first. Neither those of persons nor the demo model are among them.
    fn models(&self) -> Vec<Offered>;

    /// Which of them an agent of this runner reaches when it names no other; none: the demo model.
    fn usual(&self, runner: &Runner) -> Option<Offered>;

    /// Whether a model of this name can be chosen for a dispatch on behalf of `subject` that this runner
    /// drives.
    async fn has_model(&self, subject: UserId, runner: &RunnerName, name: &str) -> bool;

    /// The dialect in which the model is asked in the end that was chosen on behalf of `subject`, or that
    /// an agent of this runner usually reaches: an agent that speaks it needs no translation.
    async fn dialect(&self, subject: UserId, runner: &Runner, model: Option<&str>) -> ModelApi;

    /// Asks an endpoint of a person for a word, of this model or of its usual one.
    async fn try_endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
        model: Option<&str>,
    ) -> Result<Tried, EndpointError>;

    /// The servers of tools that dispatches may be given, in the order of their names.
    fn servers(&self) -> Vec<ToolServer>;
}

/// The doors of one sandbox are served while this lives.
pub trait OpenGate: Send + Sync + Debug {
    /// From now on, what is called through the doors is called for this turn.
    fn turn(&self, turn: &TurnId);
}
