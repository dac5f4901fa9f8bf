//! Where everything starts: what is asked for is checked, allowed, written down and only then run.
//!
//! Whoever asks may go away in the middle: what was begun is brought to its end all the same.

mod accept;
pub mod ask;
pub mod error;
pub(crate) mod live;
pub(crate) mod places;
pub mod queue;
mod resolve;
pub(crate) mod tools;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::{
    Budget, DispatchId, EndpointName, Limits, Runner, RunnerName, SandboxId, Turn, TurnId, UserId,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use trust::{Action, Principal, authorize};

use crate::endpoint::EndpointError;
use crate::port::{
    Backend, Clock, Directory, Gate, IdSource, Ledger, Offered, Proposals, Record, Tried,
};
use crate::proposal::Drafts;
use crate::runner::tested::Tested;
use crate::supervisor::Order;
use crate::task::{TaskKind, Tasks};
use crate::workspaces::Workspaces;

pub use crate::supervisor::asked::{Answer, Question};
pub use ask::{Ask, Begin, Message, MountWish, Untested, WorkspaceKey};
pub use error::DispatchError;
use live::{Live, Mailbox};
use places::Places;
pub use queue::{Full, QueueBounds};

/// How long living dispatches may take to ask again what their person may do.
const ASKED_AGAIN_MAX: Duration = Duration::from_secs(30);

/// What the dispatcher works with.
#[derive(Clone)]
pub struct Parts {
    /// What was asked and where it stands.
    pub ledger: Arc<dyn Ledger>,
    /// People and workspaces.
    pub directory: Arc<dyn Directory>,
    /// What waits for a person.
    pub proposals: Arc<dyn Proposals>,
    /// Builds the boxes.
    pub backend: Arc<dyn Backend>,
    /// Serves their doors.
    pub gate: Arc<dyn Gate>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// The folders.
    pub workspaces: Workspaces,
    /// How to drive agents, by name.
    pub runners: BTreeMap<RunnerName, Runner>,
    /// What is set for this server.
    pub settings: Settings,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What is set for a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many may live and wait.
    pub queue: QueueBounds,
    /// What a dispatch may use that does not say.
    pub limits: Limits,
    /// How much of models a dispatch may use, whatever it says.
    pub budget: Budget,
    /// Whether a dispatch may be recorded.
    pub recording: bool,
    /// What drives an agent where nobody says.
    pub runner: RunnerName,
    /// The trust domain of the tokens, as `remit.local`.
    pub domain: String,
    /// How long a proposal can be approved.
    pub proposal_life: Duration,
    /// The program of the built-in agent, on this host.
    pub program: PathBuf,
    /// How long a question of an agent waits for a person; then it is refused.
    pub permission: Duration,
    /// How long an agent may take to stop its turn; then its box is ended.
    pub stop: Duration,
    /// The state directory.
    pub data: PathBuf,
}

/// All that dispatches share.
pub(crate) struct World {
    pub(crate) parts: Parts,
    pub(crate) live: Live,
    pub(crate) places: Places,
    /// What tests of runners found.
    pub(crate) tested: Tested,
    /// Cancelled when no new dispatch is taken and those that live come to their end.
    pub(crate) stopping: CancellationToken,
}

impl World {
    pub(crate) fn runner(&self, name: &RunnerName) -> Option<Runner> {
        self.parts.runners.get(name).cloned()
    }

    /// The folder with the settings of a runner, if it has any.
    pub(crate) fn settings_of(&self, name: &RunnerName) -> Option<PathBuf> {
        let runner = self.parts.runners.get(name)?;
        let folder = || self.parts.settings.data.join("settings").join(name.as_str());
        (!runner.settings.is_empty()).then(folder)
    }

    /// What turns held change-sets into proposals.
    pub(crate) fn drafts(&self) -> Drafts {
        Drafts {
            proposals: self.parts.proposals.clone(),
            workspaces: self.parts.workspaces.clone(),
            life: self.parts.settings.proposal_life,
        }
    }

    pub(crate) fn sandbox_id(&self) -> SandboxId {
        SandboxId::from_uuid(self.parts.ids.uuid())
    }
}

/// Starts and steers dispatches.
#[derive(Clone)]
pub struct Dispatcher {
    pub(crate) world: Arc<World>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("places", &self.world.places.counts()).finish()
    }
}

impl Dispatcher {
    /// A dispatcher that has nothing yet; call [`recover`](Self::recover) before anything is asked.
    /// Writes the settings of the runners into the state directory; blocks for a moment.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        for (name, runner) in &parts.runners {
            write_settings(&parts.settings.data.join("settings").join(name.as_str()), runner)?;
        }
        let places = Places::new(parts.settings.queue);
        let stopping = parts.tasks.stopping().child_token();
        let tested = Tested::new(&parts.settings.data);
        let world = World { parts, live: Live::default(), places, tested, stopping };
        Ok(Self { world: Arc::new(world) })
    }

    /// Starts a dispatch in a sandbox of its own. A conversation that has a living agent already is
    /// spoken to there: two agents never work on one session file.
    ///
    /// When this returns, the turn is durable: it will run, or end with an event that says why not.
    pub async fn dispatch(&self, ask: Ask) -> Result<Turn, DispatchError> {
        self.detached("dispatch", |dispatcher| async move { dispatcher.accept(ask).await }).await
    }

    /// Says something in a conversation: to its living agent, or else in a fresh sandbox.
    ///
    /// When this returns, the turn is durable, as with [`dispatch`](Self::dispatch). A turn id that
    /// was used before gives that turn again.
    pub async fn say(&self, message: Message) -> Result<Turn, DispatchError> {
        self.detached("say", |dispatcher| async move {
            let ask = dispatcher.ask_of(message).await?;
            dispatcher.accept(ask).await
        })
        .await
    }

    /// Goes on with the conversation of a dispatch that is over, over the same workspaces.
    pub async fn resume(&self, resume: Resume) -> Result<Turn, DispatchError> {
        self.detached("resume", |dispatcher| async move {
            let ask = dispatcher.ask_again(resume).await?;
            dispatcher.accept(ask).await
        })
        .await
    }

    /// Asks the agent to stop the turn it works on; what it did is kept, and the box stays. An agent
    /// that does not obey within seconds is ended.
    pub async fn stop_turn(
        &self,
        principal: &Principal,
        dispatch: DispatchId,
    ) -> Result<(), DispatchError> {
        let mailbox = self.steered(principal, dispatch).await?;
        let (answer, stopped) = oneshot::channel();
        let told = mailbox.orders.send(Order::StopTurn { answer }).await;
        told.map_err(|_| DispatchError::Over(dispatch))?;
        match stopped.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DispatchError::NoTurn(dispatch)),
            Err(_) => Err(DispatchError::Over(dispatch)),
        }
    }

    /// The questions of agents that wait for a person, oldest first; of one subject's dispatches
    /// alone where one is given.
    pub fn questions(&self, subject: Option<UserId>) -> Vec<Question> {
        self.world.live.questions(subject)
    }

    /// Answers a question of an agent in somebody's name. When this returns, the answer is stored
    /// with who gave it, and on its way to the agent.
    pub async fn answer(
        &self,
        principal: &Principal,
        dispatch: DispatchId,
        answer: Answer,
    ) -> Result<(), DispatchError> {
        let mailbox = self.steered(principal, dispatch).await?;
        let by = principal.subject.unwrap_or(mailbox.subject);
        let (told, answered) = oneshot::channel();
        let sent = mailbox.orders.send(Order::Answer { answer, by, told }).await;
        sent.map_err(|_| DispatchError::Over(dispatch))?;
        answered.await.unwrap_or(Err(DispatchError::Over(dispatch)))
    }

    /// Ends a dispatch wherever it stands; what it did is kept. When this returns, it is over.
    pub async fn cancel(
        &self,
        principal: &Principal,
        dispatch: DispatchId,
    ) -> Result<(), DispatchError> {
        let mailbox = self.steered(principal, dispatch).await?;
        let (over, is_over) = oneshot::channel();
        let told = mailbox.orders.send(Order::Cancel { over }).await;
        told.map_err(|_| DispatchError::Over(dispatch))?;
        // It is dropped when the dispatch is over, by this order or by something that came first.
        drop(is_over.await);
        Ok(())
    }

    /// What a person may do in a workspace has changed: every dispatch of theirs that may not go on
    /// is ended, and nothing of its running turn is kept there. When this returns, it is so; after
    /// 30 s it returns all the same, and what was not reached asks by itself before it keeps anything.
    pub async fn ask_members_again(&self, person: UserId) {
        let asked = self.world.live.of(person).into_iter().map(|mailbox| async move {
            let (done, is_done) = oneshot::channel();
            if mailbox.orders.send(Order::AskAgain { done }).await.is_ok() {
                // It is dropped when the question is answered, or the dispatch is over.
                drop(is_done.await);
            }
        });
        let all = tokio::time::timeout(ASKED_AGAIN_MAX, join_all(asked)).await;
        if all.is_err() {
            tracing::warn!(subject = %person, "not every dispatch could be asked in time");
        }
    }

    /// The models that may be chosen, but for those of persons and the demo model.
    pub fn models(&self) -> Vec<Offered> {
        self.world.parts.gate.models()
    }

    /// Which of them an agent of this runner reaches where none is chosen; none: the demo model.
    pub fn usual_model(&self, runner: &Runner) -> Option<Offered> {
        self.world.parts.gate.usual(runner)
    }

    /// Asks an endpoint of a person for a word, of this model or of its usual one.
    pub async fn try_endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
        model: Option<&str>,
    ) -> Result<Tried, EndpointError> {
        self.world.parts.gate.try_endpoint(owner, name, model).await
    }

    /// What tests of runners found.
    pub fn tested(&self) -> &Tested {
        &self.world.tested
    }

    /// How many dispatches have a place, and how many wait for one.
    pub fn counts(&self) -> (usize, usize) {
        self.world.places.counts()
    }

    /// Takes nothing more, and brings what lives to its end: work is kept, what waits stays in the
    /// ledger for the next start. Returns at once; the tasks of [`Parts::tasks`] end when it is done.
    pub fn shut_down(&self) {
        self.world.stopping.cancel();
    }

    /// Runs something to its end, though whoever asked for it may go away.
    async fn detached<F>(
        &self,
        name: &'static str,
        work: impl FnOnce(Self) -> F,
    ) -> Result<Turn, DispatchError>
    where
        F: Future<Output = Result<Turn, DispatchError>> + Send + 'static,
    {
        if self.world.stopping.is_cancelled() {
            return Err(DispatchError::ShuttingDown);
        }
        let (answer, answered) = oneshot::channel();
        let work = work(self.clone());
        self.world.parts.tasks.spawn(TaskKind::Connection, name, async move {
            // Nobody may be waiting any more.
            let _told: Result<(), _> = answer.send(work.await);
        });
        answered.await.unwrap_or(Err(DispatchError::Internal))
    }

    /// The mailbox of a dispatch that the asker may steer.
    async fn steered(
        &self,
        principal: &Principal,
        dispatch: DispatchId,
    ) -> Result<Mailbox, DispatchError> {
        let record = self.record(principal, dispatch).await?;
        if record.state.is_ended() {
            return Err(DispatchError::Over(dispatch));
        }
        self.world.live.mailbox(dispatch).ok_or(DispatchError::Over(dispatch))
    }

    async fn record(
        &self,
        principal: &Principal,
        dispatch: DispatchId,
    ) -> Result<Record, DispatchError> {
        let record = self.world.parts.ledger.record(dispatch).await?;
        let record = record.ok_or(DispatchError::UnknownDispatch(dispatch))?;
        let owner = record.dispatch.subject;
        authorize(principal, &Action::SteerDispatch { owner }).allowed()?;
        Ok(record)
    }
}

/// A conversation to go on with, by a dispatch of it that is over.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Who asks, as their proof says.
    pub principal: Principal,
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The turn's id; one is made where absent.
    pub turn: Option<TurnId>,
    /// What is said next.
    pub prompt: String,
}

fn write_settings(folder: &std::path::Path, runner: &Runner) -> std::io::Result<()> {
    for (name, content) in &runner.settings {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
