//! The questions of an agent that a person is to answer, where its dispatch says so: what they are,
//! until when they wait, and what an answer does. Who does not answer in time has refused.

use std::collections::VecDeque;
use std::sync::Arc;

use model::event::PermissionOption;
use model::{DispatchId, Event, Launcher, Permission, RunnerName, Time, UserId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Flow, Supervisor, times};
use crate::dispatcher::DispatchError;

/// The most calls whose arguments are known to a question that only names its call.
const CALLS_MAX: usize = 32;
/// Who answers where nobody did.
const TIMEOUT: &str = "time-out";

/// A question of an agent that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Whose agent asks.
    pub dispatch: DispatchId,
    /// The question's id, within its dispatch.
    pub ask: String,
    /// The call it is about.
    pub call: String,
    /// The tool, in one word; absent where the agent did not tell of the call.
    pub tool: Option<String>,
    /// For people, one line.
    pub title: String,
    /// The arguments of the call, as the agent gave them.
    pub arguments: Value,
    /// What may be answered.
    pub options: Vec<PermissionOption>,
    /// When it was asked.
    pub asked: Time,
    /// When it counts as refused.
    pub expires: Time,
    /// On whose behalf the agent works.
    pub subject: UserId,
    /// What started it.
    pub launcher: Launcher,
    /// What drives it.
    pub runner: RunnerName,
}

/// The questions of a living dispatch, for those who look at it.
pub(crate) type Waiting = Arc<Mutex<Vec<Question>>>;

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub ask: String,
    /// The option that is chosen; none: refused.
    pub option: Option<String>,
}

/// Calls that were told, with their tools and arguments, so that a question can show them.
#[derive(Debug, Default)]
pub(super) struct Calls(VecDeque<(String, String, Value)>);

impl Calls {
    fn note(&mut self, event: &Event) {
        match event {
            Event::ToolCall { call, tool, arguments, .. } => {
                if self.0.len() == CALLS_MAX {
                    self.0.pop_front();
                }
                self.0.push_back((call.clone(), tool.clone(), arguments.clone()));
            }
            Event::ToolUpdate { call, arguments: Some(arguments), .. } => {
                let known = self.0.iter_mut().rev().find(|(known, ..)| known == call);
                if let Some((_, _, kept)) = known {
                    kept.clone_from(arguments);
                }
            }
            _ => {}
        }
    }

    fn find(&self, call: &str) -> Option<&(String, String, Value)> {
        self.0.iter().rev().find(|(known, ..)| known == call)
    }
}

impl Supervisor {
    /// Looks for questions, and for the end of them, in what the agent said.
    pub(super) fn heed(&mut self, events: &[Event]) {
        if self.dispatch.permission == Permission::Auto {
            return;
        }
        for event in events {
            self.calls.note(event);
            match event {
                Event::PermissionAsked { ask, call, title, options } => {
                    let question = self.question(ask, call, title, options);
                    self.registration.waiting.lock().push(question);
                }
                Event::PermissionAnswered { ask, .. } => {
                    self.registration.waiting.lock().retain(|it| it.ask != *ask);
                }
                _ => {}
            }
        }
        self.watch_questions();
    }

    fn question(
        &self,
        ask: &str,
        call: &str,
        title: &str,
        options: &[PermissionOption],
    ) -> Question {
        let (asked, wait) = (self.world.parts.clock.now(), self.world.parts.settings.permission);
        let told = self.calls.find(call);
        Question {
            dispatch: self.dispatch.id,
            ask: ask.to_owned(),
            call: call.to_owned(),
            tool: told.map(|(_, tool, _)| tool.clone()),
            title: title.to_owned(),
            arguments: told.map_or(Value::Null, |(.., arguments)| arguments.clone()),
            options: options.to_vec(),
            asked,
            expires: asked + wait,
            subject: self.dispatch.subject,
            launcher: self.dispatch.launcher.clone(),
            runner: self.dispatch.runner.clone(),
        }
    }

    /// Sees to it that the next question is refused when its time is up.
    pub(super) fn watch_questions(&mut self) {
        let next = self.registration.waiting.lock().iter().map(|it| it.expires).min();
        let now = self.world.parts.clock.now();
        self.times.question = next.and_then(|expires| times::after(expires.since(now)));
    }

    /// No question of a turn outlives it.
    pub(super) fn forget_questions(&mut self) {
        self.registration.waiting.lock().clear();
        self.times.question = None;
    }

    /// Refuses what nobody answered in time. How many wait at once is bounded by the adapter.
    pub(super) async fn refuse_late(&mut self) -> Flow<()> {
        let now = self.world.parts.clock.now();
        let late = |it: &Question| (it.expires <= now).then(|| it.ask.clone());
        let late: Vec<String> = self.registration.waiting.lock().iter().filter_map(late).collect();
        for ask in late {
            self.settle_question(&ask, None, TIMEOUT).await?;
        }
        self.watch_questions();
        Ok(())
    }

    /// Answers a question as a person said, if it waits and has that option.
    pub(super) async fn answer_question(
        &mut self,
        answer: Answer,
        by: &str,
        told: oneshot::Sender<Result<(), DispatchError>>,
    ) -> Flow<()> {
        let Answer { ask, option } = answer;
        let checked = self.check_answer(&ask, option.as_deref());
        let good = checked.is_ok();
        let done = if good { self.settle_question(&ask, option, by).await } else { Ok(()) };
        // Whoever answered may have gone; it is answered all the same.
        let _told: Result<(), _> = told.send(checked);
        done
    }

    fn check_answer(&self, ask: &str, option: Option<&str>) -> Result<(), DispatchError> {
        let waiting = self.registration.waiting.lock();
        let unknown = || DispatchError::NoQuestion { ask: ask.chars().take(64).collect() };
        let question = waiting.iter().find(|it| it.ask == ask).ok_or_else(unknown)?;
        match option {
            Some(option) if !question.options.iter().any(|it| it.option == option) => {
                let options = question.options.iter().map(|it| it.option.clone()).collect();
                Err(DispatchError::NoSuchOption { options })
            }
            _ => Ok(()),
        }
    }

    async fn settle_question(&mut self, ask: &str, option: Option<String>, by: &str) -> Flow<()> {
        let Some(agent) = &mut self.agent else { return Ok(()) };
        let then = agent.course.answer(ask, option, by);
        self.apply(then).await
    }
}
