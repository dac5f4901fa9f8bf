//! The model broker: the gate as the engine sees it. Opens the doors of a sandbox under the identity
//! of its dispatch, and knows which model a dialect reaches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use engine::endpoint::{EndpointError, Endpoints, is_own};
use engine::port::{
    Caller, Charge, Clock, Door, Gate, IdSource, Offered, OpenGate, OwnEndpoint, Recordings,
    Report, ToolServer, Tried, UsageBook,
};
use engine::task::{TaskKind, Tasks};
use knowledge::Knowledge;
use model::{EndpointName, Event, ModelApi, Runner, RunnerName, TurnId, UserId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use crate::budget::{DayBudgets, Hold, Purse, UsedUp};
use crate::demo::{self, Speaks};
use crate::door::{self, Listener};
use crate::endpoint::Endpoint;
use crate::intake::Room;
use crate::limit::{CONNECTIONS_MAX, DIAGNOSTICS_MAX, Limits};
use crate::mcp::{Calls, Server, Servers};
use crate::own::Owned;
use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// What a broker is made of.
pub struct Setup {
    /// Where models are reached: the first that is for the caller's runner; or else, of those that
    /// are for all, the first that speaks the dialect of a request, or the first, to which it is
    /// translated. A caller may name another as `endpoint/model`. Empty: the demo model answers
    /// everything.
    pub endpoints: Vec<Endpoint>,
    /// The endpoints that people bring; absent: nobody may.
    pub persons: Option<Endpoints>,
    /// Servers of tools outside.
    pub servers: Vec<Server>,
    /// What the built-in server `knowledge` answers from; there is none where absent.
    pub knowledge: Option<Knowledge>,
    /// Bounds on requests and answers.
    pub limits: Limits,
    /// Runs the connections. When its tasks are asked to end, so do all doors.
    pub tasks: Tasks,
    /// Tells when calls are over, and how long they take.
    pub clock: Arc<dyn Clock>,
    /// Names calls.
    pub ids: Arc<dyn IdSource>,
    /// Where it is written down what they used.
    pub book: Arc<dyn UsageBook>,
    /// Where what is said is kept of those that are recorded.
    pub recordings: Arc<dyn Recordings>,
    /// How much may be used in a day.
    pub budgets: DayBudgets,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("endpoints", &self.endpoints)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// The endpoint that answers where none is named.
    fn endpoint(&self, runner: &RunnerName, api: ModelApi) -> Option<&Endpoint> {
        let own = self.endpoints.iter().find(|endpoint| endpoint.runners.contains(runner));
        let for_all = || self.endpoints.iter().filter(|endpoint| endpoint.runners.is_empty());
        let speaks = || for_all().find(|endpoint| endpoint.api == api);
        own.or_else(speaks).or_else(|| for_all().next())
    }

    /// The endpoint and model that a caller named, if it named one.
    fn named(&self, asked: &str, usual: &Endpoint) -> Result<Option<Endpoint>, Refusal> {
        if let Some((name, model)) = asked.split_once('/')
            && let Some(endpoint) = self.endpoints.iter().find(|endpoint| endpoint.name == name)
        {
            let allowed = endpoint.with(model);
            return allowed.map(Some).ok_or_else(|| Refusal::Model { endpoint: name.to_owned() });
        }
        Ok(usual.with(asked))
    }

    /// The endpoint that a dispatch chose by the name of a model, with or without its own before it.
    fn chosen(&self, name: &str) -> Option<Endpoint> {
        if let Some((endpoint, model)) = name.split_once('/')
            && let Some(endpoint) = self.endpoints.iter().find(|it| it.name == endpoint)
        {
            return endpoint.with(model);
        }
        self.endpoints.iter().find_map(|endpoint| endpoint.with(name))
    }

    fn model(&self, runner: &RunnerName, api: ModelApi) -> &str {
        self.endpoint(runner, api).map_or(demo::MODEL, |endpoint| &endpoint.model)
    }
}

/// Serves the doors of every sandbox of this server.
#[derive(Debug)]
pub struct Broker {
    setup: Arc<Setup>,
    upstream: Option<Upstream>,
    owned: Option<Arc<Owned>>,
    servers: Arc<Servers>,
    room: Room,
    purse: Arc<Purse>,
}

/// The TLS of this machine could not be set up, so no endpoint can be called.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot set up the client that calls model endpoints: is there a store of root certificates?"
)]
pub struct NoClient(#[source] reqwest::Error);

impl Broker {
    /// A broker without doors. Calls nobody yet.
    pub fn new(mut setup: Setup) -> Result<Self, NoClient> {
        let upstream = match setup.endpoints.as_slice() {
            [] => None,
            [..] => Some(Upstream::new(setup.limits.clone()).map_err(NoClient)?),
        };
        let owned = setup.persons.take().map(|it| Owned::new(it, &setup.limits)).transpose();
        let owned = owned.map_err(NoClient)?.map(Arc::new);
        let purse = Purse::new(setup.budgets);
        let servers = std::mem::take(&mut setup.servers);
        let servers = Servers::new(setup.knowledge.take(), servers, &setup.limits);
        let servers = Arc::new(servers.map_err(NoClient)?);
        Ok(Self { setup: Arc::new(setup), upstream, owned, servers, room: Room::new(), purse })
    }
}

#[async_trait]
impl Gate for Broker {
    async fn open(&self, caller: Caller, doors: Vec<Door>) -> std::io::Result<Box<dyn OpenGate>> {
        let listeners = doors.into_iter().map(Listener::new).collect::<Result<Vec<_>, _>>()?;
        let (book, now) = (&*self.setup.book, self.setup.clock.now());
        self.purse.open(book, &caller, now).await.map_err(std::io::Error::other)?;
        let stop = self.setup.tasks.stopping().child_token();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let serving = Arc::new(Serving {
            limits: self.setup.limits.clone(),
            tasks: self.setup.tasks.clone(),
            setup: Arc::clone(&self.setup),
            upstream: self.upstream.clone(),
            owned: self.owned.clone(),
            servers: self.servers.clone(),
            calls: Calls::new(),
            room: self.room.of_caller(),
            diagnostics: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            turn: Mutex::new(None),
            purse: Arc::clone(&self.purse),
            caller,
        });
        for listener in listeners {
            let door = door::serve(listener, serving.clone(), places.clone(), stop.clone());
            self.setup.tasks.spawn(TaskKind::Connection, "gate door", door);
        }
        Ok(Box::new(Open { serving, _stop: stop.drop_guard() }))
    }

    fn model(&self, runner: &Runner) -> String {
        self.setup.model(&runner.name, runner.model_api).to_owned()
    }

    fn models(&self) -> Vec<Offered> {
        self.setup.endpoints.iter().flat_map(Endpoint::offered).collect()
    }

    fn usual(&self, runner: &Runner) -> Option<Offered> {
        let usual = self.setup.endpoint(&runner.name, runner.model_api)?;
        usual.offered().next()
    }

    async fn has_model(&self, subject: UserId, runner: &RunnerName, name: &str) -> bool {
        if is_own(name) {
            return self.own(subject, runner, name).await.is_some();
        }
        demo::named(name).is_some() || self.setup.chosen(name).is_some()
    }

    async fn dialect(&self, subject: UserId, runner: &Runner, model: Option<&str>) -> ModelApi {
        if let Some(name) = model.filter(|name| is_own(name)) {
            let own = self.own(subject, &runner.name, name).await;
            return own.map_or(runner.model_api, |endpoint| endpoint.api);
        }
        match model.and_then(demo::named) {
            Some(Speaks::Any) => return runner.model_api,
            Some(Speaks::Only(api)) => return api,
            None => {}
        }
        let chosen = model.and_then(|model| self.setup.chosen(model)).map(|it| it.api);
        let usual = || self.setup.endpoint(&runner.name, runner.model_api).map(|it| it.api);
        chosen.or_else(usual).unwrap_or(runner.model_api)
    }

    async fn try_endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
        model: Option<&str>,
    ) -> Result<Tried, EndpointError> {
        let unknown = || EndpointError::Unknown(name.to_string());
        let owned = self.owned.as_ref().ok_or_else(unknown)?;
        owned.try_one(owner, (name, model), &*self.setup.clock).await
    }

    fn servers(&self) -> Vec<ToolServer> {
        self.servers.told()
    }
}

impl Broker {
    /// What is known of a person's endpoint that they may choose for this runner.
    async fn own(&self, owner: UserId, runner: &RunnerName, name: &str) -> Option<OwnEndpoint> {
        self.owned.as_ref()?.chosen(owner, runner, name).await
    }
}

/// Ends everything behind the doors when it is dropped.
#[derive(Debug)]
struct Open {
    serving: Arc<Serving>,
    _stop: DropGuard,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.purse.close(self.serving.caller.dispatch);
    }
}

impl OpenGate for Open {
    fn turn(&self, turn: &TurnId) {
        *self.serving.turn.lock() = Some(turn.clone());
    }
}

/// What serves one dispatch.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) caller: Caller,
    pub(crate) limits: Limits,
    pub(crate) tasks: Tasks,
    pub(crate) room: Room,
    pub(crate) upstream: Option<Upstream>,
    owned: Option<Arc<Owned>>,
    pub(crate) calls: Calls,
    servers: Arc<Servers>,
    setup: Arc<Setup>,
    diagnostics: AtomicU32,
    answers: AtomicU32,
    turn: Mutex<Option<TurnId>>,
    purse: Arc<Purse>,
}

/// What answers a request.
#[derive(Debug)]
pub(crate) enum Answers<'a> {
    Demo,
    /// The demo model, asked in this dialect.
    DemoIn(ModelApi),
    Usual(&'a Upstream, &'a Endpoint),
    Named(&'a Upstream, Box<Endpoint>),
}

impl Serving {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.setup.clock)
    }

    pub(crate) fn book(&self) -> &dyn UsageBook {
        &*self.setup.book
    }

    pub(crate) fn recordings(&self) -> &dyn Recordings {
        &*self.setup.recordings
    }

    pub(crate) fn fresh_id(&self) -> Uuid {
        self.setup.ids.uuid()
    }

    /// The turn that the agent works on.
    pub(crate) fn turn(&self) -> Option<TurnId> {
        self.turn.lock().clone()
    }

    /// The servers of tools of this installation.
    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The model that this caller reaches when it names none.
    pub(crate) fn model(&self) -> &str {
        if let Some(chosen) = &self.caller.model {
            return chosen;
        }
        self.setup.model(&self.caller.runner, self.caller.model_api)
    }

    /// Whether it matters which model a caller names.
    pub(crate) fn has_choice(&self) -> bool {
        let endpoints = &self.setup.endpoints;
        self.caller.model.as_deref().is_some_and(is_own)
            || endpoints.len() > 1
            || endpoints.iter().any(|endpoint| !endpoint.models.is_empty())
    }

    /// What answers a request of this dialect that names this model. A name nobody knows is that of
    /// a model of the agent's own choice, which does not count.
    pub(crate) async fn answers(
        &self,
        api: ModelApi,
        asked: Option<&str>,
    ) -> Result<Answers<'_>, Refusal> {
        let chosen = self.caller.model.as_deref();
        if let Some(chosen) = chosen.filter(|chosen| is_own(chosen)) {
            return self.own(chosen, asked).await;
        }
        match chosen.and_then(demo::named) {
            Some(Speaks::Only(speaks)) if speaks != api => return Ok(Answers::DemoIn(speaks)),
            Some(Speaks::Any | Speaks::Only(_)) => return Ok(Answers::Demo),
            None => {}
        }
        let chosen = chosen.and_then(|chosen| self.setup.chosen(chosen));
        if let (Some(upstream), Some(chosen)) = (&self.upstream, chosen) {
            let named = asked.map_or(Ok(None), |asked| self.setup.named(asked, &chosen))?;
            return Ok(Answers::Named(upstream, Box::new(named.unwrap_or(chosen))));
        }
        let usual = self.setup.endpoint(&self.caller.runner, api);
        let (Some(upstream), Some(usual)) = (&self.upstream, usual) else {
            return Ok(Answers::Demo);
        };
        let named = asked.map_or(Ok(None), |asked| self.setup.named(asked, usual))?;
        Ok(match named {
            Some(named) => Answers::Named(upstream, Box::new(named)),
            None => Answers::Usual(upstream, usual),
        })
    }

    /// What answers where a person's own model was chosen: that, or nothing.
    async fn own(&self, chosen: &str, asked: Option<&str>) -> Result<Answers<'_>, Refusal> {
        let gone = || Refusal::Gone { endpoint: chosen.chars().take(64).collect() };
        let owned = self.owned.as_deref().ok_or_else(gone)?;
        let Caller { subject, runner, .. } = &self.caller;
        let endpoint = owned.endpoint(*subject, runner, (chosen, asked)).await?;
        Ok(Answers::Named(&owned.upstream, Box::new(endpoint)))
    }

    /// A name for an answer, unique among those of this dispatch on this server.
    pub(crate) fn answer_id(&self) -> String {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        format!("{:x}_{number}", self.caller.dispatch.uuid().as_u128())
    }

    /// Waits until a call may be made that may come to what `hold` says, which is asked only where it counts.
    pub(crate) async fn admit(&self, hold: impl FnOnce() -> Charge) -> Result<Hold, Refusal> {
        let admitted = self.purse.admit(&self.caller, hold, self.setup.clock.now());
        let admitted = tokio::time::timeout(self.limits.first_byte, admitted).await;
        admitted.map_err(|_| Refusal::Crowded)?.map_err(Refusal::Budget)
    }

    /// Has the turn ended, whose budget is used up.
    pub(crate) async fn exhaust(&self, used_up: &UsedUp) {
        drop(self.caller.reports.send(Report::Exhausted(used_up.to_string())).await);
    }

    /// Tells the people who look at the dispatch, as often as they can bear.
    pub(crate) async fn tell(&self, what: &str) {
        let next = |told| (told < DIAGNOSTICS_MAX).then_some(told + 1);
        let order = Ordering::Relaxed;
        if self.diagnostics.fetch_update(order, order, next).is_ok() {
            let event = Event::Diagnostic { source: "gate".to_owned(), text: what.to_owned() };
            drop(self.caller.reports.send(Report::Event(event)).await);
        }
    }
}
