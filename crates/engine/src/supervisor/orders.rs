//! What people tell a living dispatch, and what it does about it.

use std::time::Duration;

use model::{Happened, State, Turn, TurnId, UserId};
use tokio::sync::oneshot;

use super::asked::Answer;
use super::ending::Ending;
use super::{Flow, Supervisor, ask_of, times};
use crate::dispatcher::DispatchError;
use crate::kill_point::kill_point;
use crate::port::{Accepted, LedgerError, NewTurn};

/// So many messages may wait for one agent.
const MESSAGES_MAX: usize = 16;
/// After how long to try again when too many wait.
const MESSAGES_RETRY: Duration = Duration::from_secs(5);

/// What people and the dispatcher tell a living dispatch.
#[derive(Debug)]
pub(crate) enum Order {
    /// Say something to the agent. The answer is dropped when nobody is there any more.
    Say { turn: TurnId, prompt: String, answer: oneshot::Sender<Result<Turn, DispatchError>> },
    /// Stop the turn; whether one was running.
    StopTurn { answer: oneshot::Sender<bool> },
    /// Answer a question of the agent, in this person's name.
    Answer { answer: Answer, by: UserId, told: oneshot::Sender<Result<(), DispatchError>> },
    /// End it; the answer is dropped when it is over.
    Cancel { over: oneshot::Sender<()> },
    /// End it if it is idle: somebody waits for its place.
    MakeRoom,
    /// Ask again what its subject may do with what is mounted, and end it where they may not any
    /// more; the answer is dropped when that is done.
    AskAgain { done: oneshot::Sender<()> },
}

impl Supervisor {
    pub(super) async fn obey(&mut self, order: Order) -> Flow<()> {
        match order {
            Order::Say { turn, prompt, answer } => {
                let said = self.say(turn, prompt).await?;
                // Whoever asked may have gone; the turn is accepted all the same.
                let _told: Result<(), _> = answer.send(said);
                Ok(())
            }
            Order::StopTurn { answer } => self.stop_turn(answer).await,
            Order::Answer { answer, by, told } => {
                self.answer_question(answer, &by.to_string(), told).await
            }
            Order::Cancel { over } => {
                self.cancels.push(over);
                Err(Ending::stopped())
            }
            Order::MakeRoom if self.writer.state() == State::Idle && self.waiting.is_empty() => {
                kill_point("before_reap");
                Err(Ending::reaped())
            }
            Order::MakeRoom => Ok(()),
            Order::AskAgain { done } => {
                // Kept until the dispatch is over where it ends by this.
                self.cancels.push(done);
                self.ask_members().await?;
                drop(self.cancels.pop());
                Ok(())
            }
        }
    }

    async fn stop_turn(&mut self, answer: oneshot::Sender<bool>) -> Flow<()> {
        let state = self.writer.state();
        let then = self.agent.as_mut().and_then(|agent| agent.course.stop());
        let told = |stops| {
            let _told: Result<(), bool> = answer.send(stops);
        };
        match then {
            Some(then) => {
                told(true);
                let stop = self.world.parts.settings.stop;
                self.times.stop = self.times.stop.or_else(|| times::after(stop));
                self.forget_questions();
                self.apply(then).await
            }
            None if matches!(state, State::Queued | State::Starting) => {
                told(true);
                Err(Ending::stopped())
            }
            None => {
                told(false);
                Ok(())
            }
        }
    }

    /// Accepts a further turn: written first, then it waits for the agent.
    async fn say(&mut self, turn: TurnId, prompt: String) -> Flow<Result<Turn, DispatchError>> {
        if self.waiting.len() >= MESSAGES_MAX {
            let (session, retry_after) = (self.dispatch.session, MESSAGES_RETRY);
            return Ok(Err(DispatchError::TooManyMessages { session, retry_after }));
        }
        if self.writer.is_pending() {
            self.flush(None).await?;
        }
        let state = self.writer.state();
        let state = state.after(Happened::Message).unwrap_or(state);
        let new = NewTurn {
            dispatch: self.dispatch.id,
            epoch: self.writer.epoch(),
            session: self.dispatch.session,
            turn,
            number: self.numbered + 1,
            prompt,
            state,
            at: self.world.parts.clock.now(),
        };
        kill_point("before_add_turn");
        let added = self.world.parts.ledger.add_turn(new).await;
        kill_point("after_add_turn");
        match added {
            Ok(Accepted::New(turn)) => {
                self.numbered = turn.number;
                self.writer.note(turn.accepted, state);
                self.rest(false);
                self.waiting.push_back(ask_of(&self.dispatch, turn.clone()));
                Ok(Ok(turn))
            }
            Ok(Accepted::Before(turn)) => Ok(Ok(turn)),
            Err(error @ (LedgerError::Conflict { .. } | LedgerError::Full(_))) => {
                Ok(Err(error.into()))
            }
            // Whether it was written is not known: the next writer finds out.
            Err(error) => Err(Ending::unwritable(&error)),
        }
    }
}
