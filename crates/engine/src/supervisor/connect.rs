//! Gate and line: how a box and this server reach each other, the first time and again.

use std::time::Duration;

use model::{Event, EventId, Runner};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::course::Course;
use super::ending::Ending;
use super::{Agent, Flow, Supervisor, ask_of};
use crate::dispatcher::tools;
use crate::kill_point::kill_point;
use crate::line::{self, Line};
use crate::port::{Caller, Report};
use crate::runner::{TurnAsk, adapter, reply_so_far};

/// How long the worker of a fresh box may take to call.
const CALL_MAX: Duration = Duration::from_mins(1);
/// How long the gate may take to serve the doors of a box.
const GATE_MAX: Duration = Duration::from_mins(1);
/// So many reports of the gate wait; then the gate does.
const REPORTS_MAX: usize = 64;
/// So many entries are read at once.
const PAGE: u32 = 1_000;

impl Supervisor {
    /// Opens the gate of the box and waits for its worker to call.
    pub(super) async fn connect(&mut self, runner: &Runner) -> Flow<(Line, Socket)> {
        let Some(running) = &mut self.running else { return Err(Ending::internal()) };
        let io = |what: &str, error: std::io::Error| Ending::not_up(&format!("{what}: {error}"));
        let doors = running.doors().map_err(|error| io("its doors cannot be had", error))?;
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let (tools, reach) = tools::given(&self.dispatch);
        let caller = Caller {
            dispatch: self.dispatch.id,
            subject: self.dispatch.subject,
            runner: runner.name.clone(),
            model_api: runner.model_api,
            budget: self.dispatch.budget,
            mounts: self.dispatch.mounts.clone(),
            model: self.dispatch.model.clone(),
            tools,
            reach,
            record: self.dispatch.record,
            reports: sender,
        };
        let gate = timeout(GATE_MAX, self.world.parts.gate.open(caller, doors)).await;
        let gate = gate.map_err(|_| Ending::not_up("its gate did not open in time"))?;
        self.gate = Some(gate.map_err(|error| io("its gate cannot be opened", error))?);
        kill_point("after_gate_open");
        let (listener, worker) =
            running.worker().map_err(|error| io("its socket cannot be had", error))?;
        let listener =
            line::listener(listener).map_err(|error| io("its socket cannot be used", error))?;
        let line = tokio::select! {
            biased;
            line = timeout(CALL_MAX, Line::accept(&listener, worker, self.writer.reached())) => line,
            _ = running.wait() => return Err(Ending::not_up("it ended before it was up")),
        };
        let line = line.map_err(|_| Ending::not_up("its worker did not call in time"))?;
        let line = line.map_err(|error| Ending::not_up(&error.to_string()))?;
        kill_point("after_line_accept");
        Ok((line, Socket { listener, worker, reports }))
    }

    /// A new adapter that goes on where the last one stood, with what may not have reached the agent.
    pub(super) async fn renew(
        &mut self,
        runner: &Runner,
        line: Line,
        socket: Socket,
        snapshot: String,
    ) -> Flow<()> {
        let ask = self.running_turn().await?;
        let reply = match &ask {
            Some((_, since)) => self.reply_since(*since).await?,
            None => String::new(),
        };
        if let (Some(gate), Some(turn)) = (&self.gate, &self.turn) {
            gate.turn(&turn.turn);
        }
        let snapshot = Some(snapshot).filter(|snapshot| !snapshot.is_empty());
        let context = self.context(self.dispatch.start.resumes(), snapshot, reply).await?;
        let mut course = Course::new(adapter(runner, context), self.bounds());
        let then = course.resume(ask.map(|(ask, _)| ask));
        self.agent = Some(socket.agent(course, line));
        self.apply(then).await
    }

    /// The turn that the agent works on, and after which entry it was accepted.
    async fn running_turn(&mut self) -> Flow<Option<(TurnAsk, EventId)>> {
        let Some(turn) = &self.turn else { return Ok(None) };
        let found = self.world.parts.ledger.turn(self.dispatch.session, &turn.turn).await;
        let found = found.map_err(|error| Ending::unwritable(&error))?;
        Ok(found.map(|turn| {
            let accepted = turn.accepted;
            (ask_of(&self.dispatch, turn), accepted)
        }))
    }

    async fn reply_since(&mut self, since: EventId) -> Flow<String> {
        let (mut said, mut after) = (vec![], since);
        loop {
            let page = self.world.parts.ledger.read(self.dispatch.id, after, PAGE).await;
            let page = page.map_err(|error| Ending::unwritable(&error))?;
            let Some(last) = page.last() else { return Ok(reply_so_far(&said)) };
            after = last.id;
            let events = page.into_iter().map(|entry| entry.event);
            said.extend(events.filter(|event| matches!(event, Event::Message { .. })));
        }
    }

    /// The worker hung up though its box lives: it will call again.
    pub(super) async fn call_again(&mut self) -> Flow<()> {
        self.flush(None).await?;
        let (Some(agent), Some(running)) = (self.agent.take(), &self.running) else {
            return Err(Ending::internal());
        };
        let snapshot = agent.course.snapshot();
        let Agent { listener, worker, reports, .. } = agent;
        let line = tokio::select! {
            biased;
            exit = running.wait() => return Err(Ending::sandbox_died(exit)),
            line = timeout(CALL_MAX, Line::accept(&listener, worker, self.writer.reached())) => line,
        };
        let Ok(Ok(line)) = line else { return Err(Ending::worker_lost()) };
        let runner = self.world.runner(&self.dispatch.runner).ok_or_else(Ending::unknown_runner)?;
        self.renew(&runner, line, Socket { listener, worker, reports }, snapshot).await
    }
}

/// The socket of a worker and what the gate reports, until there is an agent.
pub(super) struct Socket {
    listener: UnixListener,
    worker: u32,
    reports: mpsc::Receiver<Report>,
}

impl Socket {
    pub(super) fn agent(self, course: Course, line: Line) -> Agent {
        let Self { listener, worker, reports } = self;
        Agent { course, line, listener, worker, reports }
    }
}
