//! The end of a turn and the end of a dispatch: keep the work, tell it, leave nothing behind.

use std::time::Duration;

use model::{Event, Happened, State, TurnOutcome};
use tokio::time::timeout;

use super::ending::{self, Ending, Way};
use super::times;
use super::{Flow, Supervisor};
use crate::kill_point::kill_point;
use crate::port::{BoxDelta, LedgerError, Report};
use crate::workspaces::{self, Closed, TurnCommit, WorkspacesError};

/// How long a box may take to die when it is killed.
const KILL_MAX: Duration = Duration::from_secs(30);
/// How long a box may take to be removed.
const DESTROY_MAX: Duration = Duration::from_secs(90);
/// How often the terminal event is tried again, and after how long each time.
const LAST_TRIES: u32 = 60;
const LAST_AGAIN: Duration = Duration::from_secs(5);

/// Whether the box still runs while its work is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stillness {
    Freeze,
    Dead,
}

impl Supervisor {
    /// Keeps the work of a turn that the agent ended, and tells its end.
    pub(super) async fn close_turn(&mut self, outcome: TurnOutcome, reply: String) -> Flow<()> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        let id = turn.turn.clone();
        turn.over = Some((outcome.clone(), reply.clone()));
        self.forget_questions();
        self.flush(None).await?;
        kill_point("after_turn_outcome");
        let (events, failed) = self.keep_work(Stillness::Freeze).await;
        let outcome = failed.map_or(outcome, |error| ending::not_kept(&error));
        self.writer.push(events);
        self.writer.push([Event::TurnEnded { turn: id, outcome, reply }]);
        self.turn = None;
        kill_point("before_turn_ended");
        let happened = (self.writer.state() == State::Running).then_some(Happened::TurnEnded);
        self.flush(happened).await?;
        kill_point("after_turn_ended");
        (self.times.turn, self.times.stop) = (None, None);
        if let Some(agent) = &mut self.agent {
            agent.course.turn_closed();
        }
        if !self.waiting.is_empty() {
            return Ok(());
        }
        self.rest(true);
        if self.world.places.is_wanted(self.dispatch.subject) {
            kill_point("before_reap");
            return Err(Ending::reaped());
        }
        Ok(())
    }

    /// Commits every mount that may be written, and saves the session.
    async fn keep_work(&mut self, stillness: Stillness) -> (Vec<Event>, Option<WorkspacesError>) {
        self.close_to_strangers().await;
        let (Some(running), Some(turn)) = (&self.running, self.turn_commit()) else {
            return (vec![], None);
        };
        let Some(session) = self.session.take() else { return (vec![], None) };
        let dispatch = self.dispatch.id;
        let frozen = stillness == Stillness::Freeze && {
            let frozen = running.freeze().await;
            frozen.inspect_err(|error| tracing::warn!(%dispatch, %error, "a box moves on")).is_ok()
        };
        kill_point("after_freeze");
        let views = std::mem::take(&mut self.views);
        let home = views.first().map(workspaces::MountedView::workspace);
        let deltas = (0..views.len()).map(|at| {
            running.delta(at).unwrap_or_else(|error| {
                tracing::error!(%dispatch, %error, "the changes of a mount cannot be read");
                BoxDelta::None
            })
        });
        let deltas: Vec<BoxDelta> = deltas.collect();
        let folder = running.session();
        let folder = folder
            .inspect_err(|error| tracing::error!(%dispatch, %error, "no session folder"))
            .ok();
        let work = move || workspaces::close(views, deltas, session, folder, &turn);
        let closed = self.world.parts.tasks.blocking("keep the work of a turn", work).await;
        if frozen {
            let thawed = running.thaw().await;
            thawed
                .inspect_err(|error| tracing::error!(%dispatch, %error, "a box stays frozen"))
                .ok();
        }
        kill_point("after_thaw");
        match closed {
            Some(Closed { views, session, events, failed }) => {
                (self.views, self.session) = (views, Some(session));
                let drafts = self.world.drafts();
                (drafts.with_proposals(&self.dispatch, events).await, failed)
            }
            None => (vec![], home.map(WorkspacesError::Broken)),
        }
    }

    /// What a commit of the running turn says; nothing while none runs.
    pub(super) fn turn_commit(&self) -> Option<TurnCommit> {
        let turn = self.turn.as_ref()?;
        Some(TurnCommit {
            dispatch: self.dispatch.id,
            subject: self.dispatch.subject,
            launcher: self.dispatch.launcher.clone(),
            turn: turn.turn.clone(),
            prompt: turn.about.clone(),
            label: self.dispatch.label.clone(),
            author: self.author.clone(),
            agent_session: self.agent_session(),
            at: self.world.parts.clock.now(),
        })
    }

    /// The conversation as the agent calls it, as far as it is known.
    fn agent_session(&self) -> Option<String> {
        let told = self.agent.as_ref().and_then(|agent| agent.course.agent_session());
        let before = || self.session.as_ref().and_then(|session| session.agent_session());
        told.or_else(before).map(str::to_owned)
    }

    /// Ends the dispatch: exactly one terminal event, and nothing left behind.
    pub(super) async fn bury(&mut self, ending: Ending) {
        self.registration.set_idle(false);
        self.forget_questions();
        match ending.way {
            Way::Left => return,
            Way::Fenced => {
                // The box, if it lives, is the other writer's.
                return tracing::warn!(dispatch = %self.dispatch.id, "a dispatch was taken over");
            }
            Way::Whole | Way::Idle => {}
        }
        self.gate = None;
        kill_point("after_gate_close");
        let ending = self.kill_box(ending).await;
        kill_point("after_box_kill");
        self.end_turns(&ending).await;
        self.destroy_box().await;
        kill_point("after_destroy");
        let happened = ending.happened();
        let Ending { end, failure, .. } = ending;
        self.writer.push([Event::Ended { end, failure }]);
        kill_point("before_ended");
        self.write_last(happened).await;
        kill_point("after_ended");
    }

    /// After looking after it and ending it both failed: the box goes and the end is told.
    pub(super) async fn bury_in_haste(&mut self) {
        self.gate = None;
        self.destroy_box().await;
        if !self.writer.state().is_ended() {
            let ending = Ending::internal();
            let happened = ending.happened();
            self.writer.push([Event::Ended { end: ending.end, failure: ending.failure }]);
            self.write_last(happened).await;
        }
    }

    async fn kill_box(&mut self, ending: Ending) -> Ending {
        self.agent_output_is_over();
        let Some(running) = &self.running else { return ending };
        if let Err(error) = running.kill().await {
            tracing::error!(dispatch = %self.dispatch.id, %error, "a box could not be killed");
        }
        match timeout(KILL_MAX, running.wait()).await {
            Ok(exit) => ending.explained_by(exit),
            Err(_) => ending,
        }
    }

    /// The turn's end is decided: what the agent may still say is not heard.
    fn agent_output_is_over(&mut self) {
        self.times = times::Times::default();
        // What the gate had reported until it was closed still counts.
        if let Some(mut agent) = self.agent.take() {
            while let Ok(report) = agent.reports.try_recv() {
                if let Report::Event(event) = report {
                    self.writer.push([event]);
                }
            }
        }
    }

    /// Keeps the work of the turn that was running, and ends those that waited.
    async fn end_turns(&mut self, ending: &Ending) {
        if let Some(turn) = self.turn.clone() {
            let reply = turn.over.map_or_else(String::new, |(_, reply)| reply);
            self.mark_over(&ending.turn).await;
            let (events, failed) = self.keep_work(Stillness::Dead).await;
            if let Some(error) = failed {
                tracing::error!(dispatch = %self.dispatch.id, %error, "the work of a turn is lost");
            }
            self.writer.push(events);
            let outcome = ending.turn.clone();
            self.writer.push([Event::TurnEnded { turn: turn.turn, outcome, reply }]);
            self.turn = None;
        }
        for ask in std::mem::take(&mut self.waiting) {
            let outcome = match &ending.turn {
                TurnOutcome::Stopped => TurnOutcome::Stopped,
                outcome if ask.number == 1 => outcome.clone(),
                _ => ending::never_begun(),
            };
            let turn = ask.turn;
            self.writer.push([Event::TurnEnded { turn, outcome, reply: String::new() }]);
        }
    }

    /// Stores that only the work of the turn is still to be kept.
    async fn mark_over(&mut self, outcome: &TurnOutcome) {
        if let Some(turn) = &mut self.turn
            && turn.over.is_none()
        {
            turn.over = Some((outcome.clone(), String::new()));
            // If it cannot be stored, a crash right now costs an event, not the work.
            drop(self.flush(None).await);
        }
    }

    async fn destroy_box(&mut self) {
        let dispatch = self.dispatch.id;
        if let Some(running) = self.running.take() {
            match timeout(DESTROY_MAX, running.destroy()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%dispatch, %error, "a box could not be removed");
                }
                Err(_) => tracing::error!(%dispatch, "a box was not removed in time"),
            }
        }
        self.views = vec![];
        self.session = None;
    }

    async fn write_last(&mut self, happened: Happened) {
        let dispatch = self.dispatch.id;
        for _ in 0..LAST_TRIES {
            match self.writer.write(Some(happened), None).await {
                Ok(()) => {
                    return tracing::info!(%dispatch, state = ?self.writer.state(), "dispatch ended");
                }
                Err(LedgerError::Unavailable(_) | LedgerError::Full(_)) => {}
                Err(error) => {
                    return tracing::warn!(%dispatch, %error, "an end was not written");
                }
            }
            tokio::select! {
                () = self.world.stopping.cancelled() => break,
                () = tokio::time::sleep(LAST_AGAIN) => {}
            }
        }
        tracing::error!(%dispatch, "an end could not be written; the next start writes it");
    }
}
