//! Looks after one dispatch from its place in the queue to its terminal event: one task each.
//!
//! What happens is decided by plain functions ([`course`], [`ending`], [`model::State::after`]); here
//! it is only waited for and done. However it ends, also by a panic, one terminal event is written,
//! the gate is closed, the box destroyed, the checkouts released and the place given back.

pub(crate) mod asked;
mod close;
mod connect;
mod course;
mod ending;
mod keep;
mod members;
mod orders;
mod paths;
mod start;
mod times;
mod words;
mod writer;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::limit::EVENTS_MAX;
use model::worker_wire::AgentSignal;
use model::{Dispatch, Event, Happened, State};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::dispatcher::World;
use crate::dispatcher::live::Registration;
use crate::dispatcher::places::Place;
use crate::kill_point::kill_point;
use crate::line::{FromBox, Line};
use crate::port::{Exit, LedgerError, OpenGate, Report, Running};
use crate::runner::TurnAsk;
use crate::workspaces::{Author, MountedView, SessionFolder};

use asked::Calls;
use course::{Course, Move};
use ending::Ending;
pub(crate) use keep::Keep;
use keep::KeptTurn;
pub(crate) use orders::Order;
use times::{Times, Up, until};
pub(crate) use words::ask_of;
use writer::Writer;

/// Pieces of text are gathered for so long before they are written.
const GATHER: Duration = Duration::from_millis(30);
/// After how long a stream is opened again that could not be.
const OPEN_AGAIN: Duration = Duration::from_millis(50);
/// After how long it is given up.
const OPEN_AGAIN_MAX: Duration = Duration::from_secs(30);
/// So much of a prompt is kept for the message of the commit.
const ABOUT_CHARS_MAX: usize = 200;

/// Where a supervisor begins.
pub(crate) enum Entry {
    /// Nothing runs yet.
    Fresh,
    /// A box of an earlier server was taken over.
    Adopted { running: Box<dyn Running>, views: Vec<MountedView>, keep: Keep },
    /// A box of an earlier server could not be taken over.
    Lost { keep: Option<Keep> },
}

/// The agent in its box.
struct Agent {
    course: Course,
    line: Line,
    listener: UnixListener,
    worker: u32,
    reports: mpsc::Receiver<Report>,
}

/// Looks after one dispatch.
pub(crate) struct Supervisor {
    world: Arc<World>,
    dispatch: Dispatch,
    author: Author,
    registration: Registration,
    place: Place,
    writer: Writer,
    /// Turns that were accepted and not handed to the agent, in order.
    waiting: VecDeque<TurnAsk>,
    /// The number of the last turn that was accepted.
    numbered: u32,
    /// The number of the last turn that was handed to the agent.
    begun: u32,
    turn: Option<KeptTurn>,
    times: Times,
    started: Option<model::Time>,
    running: Option<Box<dyn Running>>,
    gate: Option<Box<dyn OpenGate>>,
    views: Vec<MountedView>,
    session: Option<SessionFolder>,
    agent: Option<Agent>,
    cancels: Vec<oneshot::Sender<()>>,
    /// What the agent called lately.
    calls: Calls,
}

/// What is needed to look after a dispatch.
pub(crate) struct Charge {
    pub(crate) dispatch: Dispatch,
    pub(crate) author: Author,
    pub(crate) registration: Registration,
    pub(crate) place: Place,
    /// Turns that were accepted and not handed to an agent.
    pub(crate) waiting: Vec<TurnAsk>,
    pub(crate) entry: Entry,
}

enum Happening {
    Order(Option<Order>),
    Box(FromBox),
    Report(Report),
    Exit(Exit),
    Up(Up),
    Late,
    Flush,
    ShutDown,
}

/// Goes on, or ends the dispatch.
type Flow<T> = Result<T, Ending>;

/// Looks after a dispatch until it is over.
pub(crate) async fn supervise(world: Arc<World>, charge: Charge) {
    let dispatch = charge.dispatch.id;
    let writer = match open(&world, &charge).await {
        Ok(writer) => writer,
        Err(error) => {
            // What another writer has is not ours; what cannot be opened, the next start finds.
            return tracing::error!(%dispatch, %error, "a dispatch could not be taken over");
        }
    };
    let workspaces = world.parts.workspaces.clone();
    let mounted: Vec<_> = charge.dispatch.mounts.iter().map(|mount| mount.workspace).collect();
    let (mut supervisor, entry) = Supervisor::new(world, charge, writer);
    let life = AssertUnwindSafe(supervisor.live(entry)).catch_unwind().await;
    let ending = life.unwrap_or_else(|_| {
        tracing::error!(%dispatch, "looking after a dispatch ended in a panic");
        Ending::internal()
    });
    if AssertUnwindSafe(supervisor.bury(ending)).catch_unwind().await.is_err() {
        tracing::error!(%dispatch, "ending a dispatch ended in a panic");
        supervisor.bury_in_haste().await;
    }
    drop(supervisor);
    workspaces.tidy_all(&mounted).await;
}

async fn open(world: &World, charge: &Charge) -> Result<Writer, LedgerError> {
    let ledger = &world.parts.ledger;
    let mut wait = OPEN_AGAIN;
    let record = loop {
        match ledger.open(charge.dispatch.id).await {
            Err(LedgerError::Unavailable(_) | LedgerError::Full(_)) if wait < OPEN_AGAIN_MAX => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            opened => break opened?,
        }
    };
    kill_point("after_open");
    Ok(Writer::new(world.parts.ledger.clone(), world.parts.clock.clone(), &record))
}

impl Supervisor {
    fn new(world: Arc<World>, charge: Charge, writer: Writer) -> (Self, Entry) {
        let Charge { dispatch, author, registration, place, waiting, entry } = charge;
        let numbered = waiting.last().map_or(0, |turn| turn.number);
        let supervisor = Self {
            world,
            dispatch,
            author,
            registration,
            place,
            writer,
            waiting: waiting.into(),
            numbered,
            begun: 0,
            turn: None,
            times: Times::default(),
            started: None,
            running: None,
            gate: None,
            views: vec![],
            session: None,
            agent: None,
            cancels: vec![],
            calls: Calls::default(),
        };
        (supervisor, entry)
    }

    async fn live(&mut self, entry: Entry) -> Ending {
        match self.try_live(entry).await {
            Err(ending) => ending,
            Ok(never) => match never {},
        }
    }

    async fn try_live(&mut self, entry: Entry) -> Flow<std::convert::Infallible> {
        match entry {
            Entry::Fresh => {
                self.wait_for_place().await?;
                self.start().await?;
            }
            Entry::Adopted { running, views, keep } => {
                self.take_over(running, views, keep).await?;
            }
            Entry::Lost { keep } => return Err(self.give_up(keep).await),
        }
        loop {
            if self.turn.is_none()
                && let Some(next) = self.waiting.pop_front()
            {
                self.begin(next).await?;
            }
            let happening = self.next().await;
            self.take(happening).await?;
        }
    }

    async fn wait_for_place(&mut self) -> Flow<()> {
        let stopping = self.world.stopping.clone();
        loop {
            let order = tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(Ending::shut_down(self.writer.state())),
                order = self.registration.orders.recv() => order,
                () = self.place.granted() => return Ok(()),
            };
            if let Some(order) = order {
                self.obey(order).await?;
            }
        }
    }

    async fn next(&mut self) -> Happening {
        let (Some(agent), Some(running)) = (&mut self.agent, &self.running) else {
            return Happening::ShutDown;
        };
        let (at, up) = self.times.next().unzip();
        tokio::select! {
            biased;
            order = self.registration.orders.recv() => Happening::Order(order),
            () = self.world.stopping.cancelled() => Happening::ShutDown,
            () = until(at) => up.map_or(Happening::Flush, Happening::Up),
            // What the gate has done comes before what the agent makes of it.
            Some(report) = agent.reports.recv() => Happening::Report(report),
            from = agent.line.next() => Happening::Box(from),
            exit = running.wait() => Happening::Exit(exit),
            () = until(self.times.question) => Happening::Late,
            () = until(self.times.flush) => Happening::Flush,
        }
    }

    async fn take(&mut self, happening: Happening) -> Flow<()> {
        match happening {
            Happening::Order(Some(order)) => self.obey(order).await,
            Happening::Order(None) => Err(Ending::internal()),
            Happening::Box(from) => self.hear(from).await,
            Happening::Report(Report::Event(event)) => {
                self.writer.push([event]);
                self.gathered().await
            }
            Happening::Report(Report::Exhausted(why)) => {
                let source = "gate".to_owned();
                self.writer.push([Event::Diagnostic { source, text: why.clone() }]);
                Err(Ending::budget_exhausted(why))
            }
            Happening::Exit(exit) => Err(Ending::sandbox_died(exit)),
            Happening::Up(up) => Err(self.is_up(up)),
            Happening::Late => self.refuse_late().await,
            Happening::Flush => self.flush(None).await,
            Happening::ShutDown => Err(Ending::shut_down(self.writer.state())),
        }
    }

    fn is_up(&self, up: Up) -> Ending {
        match up {
            Up::Lifetime => Ending::lived_too_long(self.dispatch.limits.lifetime),
            Up::Turn => Ending::turn_too_long(self.dispatch.limits.turn),
            Up::Stop => Ending::stopped(),
            Up::Idle => {
                kill_point("before_reap");
                Ending::reaped()
            }
        }
    }

    /// Hands the agent a turn: written first, so that it is never handed over twice.
    async fn begin(&mut self, ask: TurnAsk) -> Flow<()> {
        let now = self.world.parts.clock.now();
        let about = ask.prompt.chars().take(ABOUT_CHARS_MAX).collect();
        self.turn = Some(KeptTurn { turn: ask.turn.clone(), about, started: now, over: None });
        self.begun = ask.number;
        if let Some(gate) = &self.gate {
            gate.turn(&ask.turn);
        }
        self.rest(false);
        self.times.turn = times::after(self.dispatch.limits.turn);
        let Some(agent) = &mut self.agent else { return Err(Ending::internal()) };
        let mut then = agent.course.begin(ask);
        let input = std::mem::take(&mut then.input);
        let happened = match self.writer.state() {
            State::Starting => Some(Happened::Started),
            State::Idle => Some(Happened::Message),
            State::Queued | State::Running | State::Ended(_) => None,
        };
        let events = std::mem::take(&mut then.events);
        self.heed(&events);
        self.writer.push(events);
        kill_point("before_turn_started");
        self.flush(happened).await?;
        kill_point("after_turn_started");
        then.input = input;
        self.apply(then).await?;
        kill_point("after_prompt_sent");
        Ok(())
    }

    async fn hear(&mut self, from: FromBox) -> Flow<()> {
        let Some(agent) = &mut self.agent else { return Err(Ending::internal()) };
        let then = match from {
            FromBox::Started { .. } => return Ok(()),
            FromBox::Line { bytes, end, overlong } => {
                let length = end.saturating_sub(self.writer.reached());
                self.writer.set_reached(end);
                agent.course.line(&bytes, overlong, length)
            }
            FromBox::Overlong { bytes } => agent.course.overlong(bytes),
            FromBox::Stderr { bytes, .. } => agent.course.stderr(&bytes),
            FromBox::AgentExited { code, signal } => agent.course.exited(code, signal),
            FromBox::AgentFailed(why) => return Err(Ending::agent_not_started(&why)),
            FromBox::Lost => return self.call_again().await,
            FromBox::Broken(why) => {
                let source = "protocol".to_owned();
                let text = why.chars().take(1_000).collect();
                self.writer.push([Event::Diagnostic { source, text }]);
                return Err(Ending::worker_lost());
            }
        };
        self.apply(then).await
    }

    /// Does what follows from what happened.
    async fn apply(&mut self, then: Move) -> Flow<()> {
        let Move { events, input, interrupt, outcome, end } = then;
        self.heed(&events);
        self.writer.push(events);
        if !input.is_empty() {
            self.flush(None).await?;
            let Some(agent) = &mut self.agent else { return Err(Ending::internal()) };
            for input in input {
                let sent = agent.line.input(input.id, &input.bytes);
                sent.map_err(|_| Ending::worker_lost())?;
            }
            kill_point("after_input_sent");
        }
        if interrupt {
            let Some(agent) = &mut self.agent else { return Err(Ending::internal()) };
            let sent = agent.line.signal(AgentSignal::Interrupt);
            sent.map_err(|_| Ending::worker_lost())?;
        }
        if let Some((outcome, reply)) = outcome {
            self.close_turn(outcome, reply).await?;
        }
        match end {
            Some(end) => Err(end),
            None => self.gathered().await,
        }
    }

    /// Sees to it that what was gathered is written in time.
    async fn gathered(&mut self) -> Flow<()> {
        if self.writer.count() > EVENTS_MAX {
            return Err(Ending::too_many_events(EVENTS_MAX));
        }
        if self.writer.is_full() {
            return self.flush(None).await;
        }
        // What is not text goes out as soon as nothing more has come: one sync for all of it.
        let wait = if self.writer.is_urgent() { Duration::ZERO } else { GATHER };
        let due = times::after(wait);
        self.times.flush = self.times.flush.min(due).or(due);
        Ok(())
    }

    /// Writes what was gathered; then the worker may forget what it was made from.
    async fn flush(&mut self, happened: Option<Happened>) -> Flow<()> {
        self.times.flush = None;
        let keep = self.keep().map(|keep| keep.write());
        let written = self.writer.write(happened, keep).await;
        written.map_err(|error| Ending::unwritable(&error))?;
        if let Some(agent) = &mut self.agent {
            let acked = agent.line.ack(self.writer.reached());
            acked.map_err(|_| Ending::worker_lost())?;
        }
        Ok(())
    }

    /// What the next server needs; nothing while there is no box.
    fn keep(&self) -> Option<Keep> {
        let running = self.running.as_ref()?;
        Some(Keep {
            sandbox: running.record(),
            adapter: self.agent.as_ref().map_or_else(String::new, |agent| agent.course.snapshot()),
            seen: self.views.iter().map(MountedView::seen).collect(),
            started: self.started?,
            begun: self.begun,
            turn: self.turn.clone(),
            questions: self.registration.waiting.lock().clone(),
        })
    }

    /// Notes whether the box waits for a message.
    fn rest(&mut self, idle: bool) {
        self.registration.set_idle(idle);
        self.times.idle = idle.then(|| times::after(self.dispatch.limits.idle)).flatten();
    }
}
