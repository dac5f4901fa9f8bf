//! What one agent's life means: which event follows from what it says, when a turn is over, when it
//! has gone too far. Pure: no IO, no clock, no task.

use model::event::PermissionOption;
use model::{Event, Permission, TurnOutcome};

use super::ending::Ending;
use crate::runner::{Adapter, Input, Step, TurnAsk};

/// What an agent writes to its standard error is shown in pieces of this size.
const STDERR_BYTES_MAX: usize = 4 << 10;
/// So many pieces of it are shown in one turn; the rest is counted as output and dropped.
const STDERR_SHOWN_MAX: u32 = 200;
/// So often an answer may lead to further questions.
const ANSWERS_MAX: usize = 32;

/// A turn the agent works on.
#[derive(Debug)]
struct Turning {
    ask: TurnAsk,
    stop_asked: bool,
    output_bytes: u64,
    stderr_shown: u32,
}

impl Turning {
    fn new(ask: TurnAsk) -> Self {
        Self { ask, stop_asked: false, output_bytes: 0, stderr_shown: 0 }
    }
}

/// Where one agent stands.
#[derive(Debug)]
pub(crate) struct Course {
    adapter: Box<dyn Adapter>,
    bounds: Bounds,
    turn: Option<Turning>,
}

/// What an agent may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// So many bytes may it write in one turn.
    pub(crate) output_bytes_max: u64,
    /// Whether its questions wait for a person.
    pub(crate) permission: Permission,
}

/// What is to be done, in the order of the fields.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Move {
    pub(crate) events: Vec<Event>,
    pub(crate) input: Vec<Input>,
    /// What the agent runs now is to end.
    pub(crate) interrupt: bool,
    /// The turn is over, with this reply: keep its work.
    pub(crate) outcome: Option<(TurnOutcome, String)>,
    /// The dispatch is over.
    pub(crate) end: Option<Ending>,
}

impl Move {
    fn end(ending: Ending) -> Self {
        Self { end: Some(ending), ..Self::default() }
    }

    /// Adds a step; a turn that is over stays over.
    fn add(&mut self, step: Step) {
        self.events.extend(step.events);
        self.input.extend(step.input);
        self.interrupt |= step.interrupt;
        if let Some(outcome) = step.turn
            && self.outcome.is_none()
        {
            self.outcome = Some((outcome, step.reply));
        }
        if step.close_input && self.end.is_none() {
            self.end = Some(match &self.outcome {
                Some((outcome, _)) => Ending::after(outcome),
                None => Ending::agent_died(None, None),
            });
        }
    }
}

impl Course {
    pub(crate) fn new(adapter: Box<dyn Adapter>, bounds: Bounds) -> Self {
        Self { adapter, bounds, turn: None }
    }

    pub(crate) fn snapshot(&self) -> String {
        self.adapter.snapshot()
    }

    pub(crate) fn agent_session(&self) -> Option<&str> {
        self.adapter.agent_session()
    }

    /// Hands the agent a turn. Only while it works on none.
    pub(crate) fn begin(&mut self, ask: TurnAsk) -> Move {
        let started = Event::TurnStarted { turn: ask.turn.clone() };
        let step = self.adapter.turn(&ask);
        self.turn = Some(Turning::new(ask));
        let mut then = self.follow(step);
        then.events.insert(0, started);
        then
    }

    /// Goes on after a restart, with the turn that has begun and is not over.
    pub(crate) fn resume(&mut self, ask: Option<TurnAsk>) -> Move {
        let step = self.adapter.resume(ask.as_ref());
        self.turn = ask.map(Turning::new);
        self.follow(step)
    }

    /// The agent wrote a line, which took so many bytes of its output.
    pub(crate) fn line(&mut self, line: &[u8], overlong: bool, bytes: u64) -> Move {
        if let Some(end) = self.count(bytes) {
            return end;
        }
        let step = self.adapter.line(line, overlong);
        self.follow(step)
    }

    /// A line that has no end yet is so long by now.
    pub(crate) fn overlong(&self, bytes: u64) -> Move {
        let written = self.turn.as_ref().map_or(0, |turn| turn.output_bytes);
        if written.saturating_add(bytes) <= self.bounds.output_bytes_max {
            return Move::default();
        }
        Move::end(Ending::flooded(self.bounds.output_bytes_max))
    }

    /// The agent wrote to its standard error.
    pub(crate) fn stderr(&mut self, bytes: &[u8]) -> Move {
        if let Some(end) = self.count(bytes.len() as u64) {
            return end;
        }
        let Some(turn) = &mut self.turn else { return Move::default() };
        let shown = turn.stderr_shown;
        turn.stderr_shown = shown.saturating_add(1);
        let text = match shown {
            ..STDERR_SHOWN_MAX => {
                let piece = &bytes[..bytes.len().min(STDERR_BYTES_MAX)];
                String::from_utf8_lossy(piece).into_owned()
            }
            STDERR_SHOWN_MAX => "the agent writes more to its standard error than is kept".into(),
            _ => return Move::default(),
        };
        let event = Event::Diagnostic { source: "agent".to_owned(), text };
        Move { events: vec![event], ..Move::default() }
    }

    /// Somebody asks to stop the turn; `None`: none is running.
    pub(crate) fn stop(&mut self) -> Option<Move> {
        let turn = self.turn.as_mut()?;
        turn.stop_asked = true;
        let step = self.adapter.cancel();
        Some(self.follow(step))
    }

    /// The agent's program ended. The turn is closed together with the dispatch.
    pub(crate) fn exited(&mut self, code: Option<i32>, signal: Option<i32>) -> Move {
        let Some(turn) = &self.turn else {
            let calm = code == Some(0);
            let end = if calm { Ending::completed() } else { Ending::agent_died(code, signal) };
            return Move::end(end);
        };
        let stopped = turn.stop_asked;
        let step = self.adapter.exited(code, signal);
        let mut then = self.follow(step);
        let end = match then.outcome.take() {
            _ if stopped => Ending::stopped(),
            Some((outcome, _)) => Ending::after(&outcome),
            None => Ending::agent_died(code, signal),
        };
        then.end = Some(end);
        then
    }

    /// The work of the turn is kept.
    pub(crate) fn turn_closed(&mut self) -> Option<TurnAsk> {
        self.turn.take().map(|turn| turn.ask)
    }

    fn count(&mut self, bytes: u64) -> Option<Move> {
        let turn = self.turn.as_mut()?;
        turn.output_bytes = turn.output_bytes.saturating_add(bytes);
        let over = turn.output_bytes > self.bounds.output_bytes_max;
        over.then(|| Move::end(Ending::flooded(self.bounds.output_bytes_max)))
    }

    fn follow(&mut self, step: Step) -> Move {
        let mut then = Move::default();
        let mut asked = self.for_policy(&step);
        then.add(step);
        for _ in 0..ANSWERS_MAX {
            for (ask, option) in std::mem::take(&mut asked) {
                let step = self.adapter.answer(&ask, option.as_deref());
                asked.extend(self.for_policy(&step));
                then.events.push(answered(ask, option, POLICY));
                then.add(step);
            }
        }
        if self.turn.is_none() {
            then.outcome = None;
        }
        then
    }

    /// The questions that policy answers: the sandbox is the boundary and a commit can be taken back,
    /// so what an agent asks for is allowed, once. None of them where a person is to answer.
    fn for_policy(&self, step: &Step) -> Vec<Question> {
        match self.bounds.permission {
            Permission::Auto => questions(step),
            Permission::Ask => vec![],
        }
    }

    /// Answers a question that waited for somebody.
    pub(crate) fn answer(&mut self, ask: &str, option: Option<String>, by: &str) -> Move {
        let step = self.adapter.answer(ask, option.as_deref());
        let mut then = self.follow(step);
        then.events.insert(0, answered(ask.to_owned(), option, by));
        then
    }
}

/// Who answers where nobody is asked.
const POLICY: &str = "policy";

fn answered(ask: String, option: Option<String>, by: &str) -> Event {
    Event::PermissionAnswered { ask, option, by: by.to_owned() }
}

/// A question, and what is answered.
type Question = (String, Option<String>);

fn questions(step: &Step) -> Vec<Question> {
    let asked = step.events.iter().filter_map(|event| match event {
        Event::PermissionAsked { ask, options, .. } => Some((ask.clone(), chosen(options))),
        _ => None,
    });
    asked.collect()
}

fn chosen(options: &[PermissionOption]) -> Option<String> {
    let of = |kind: &str| options.iter().find(|option| option.kind == kind);
    of("allow_once").or_else(|| of("allow_always")).map(|option| option.option.clone())
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
