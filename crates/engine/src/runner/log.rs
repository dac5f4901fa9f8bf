//! What a turn has said so far: hands out stable item ids, tells a new tool call from a known one,
//! and bounds what is said about broken lines.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use model::{Event, ToolKind, TurnId, TurnOutcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Reply, Step, TurnAsk, bound};

/// The most diagnostics of one turn; the rest are counted.
const DIAGNOSTICS_MAX: u32 = 20;
/// The most tool calls of one turn that are told apart from new ones.
const CALLS_KNOWN_MAX: usize = 512;
/// The most tool calls at once whose arguments are awaited.
const CALLS_BARE_MAX: usize = 32;

/// What the running turn, or else the last one, has said.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Log {
    turn: Option<TurnId>,
    number: u32,
    items: u32,
    open: Option<Voice>,
    message: Option<u32>,
    calls: VecDeque<u64>,
    /// Calls that were told without arguments, with their tools.
    #[serde(default)]
    bare: VecDeque<(u64, String)>,
    diagnostics: u32,
    outcome: Option<TurnOutcome>,
    #[serde(skip)]
    reply: Reply,
}

/// What an item of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Voice {
    /// Said.
    Message,
    /// Thought.
    Thought,
}

/// A tool call as it becomes known.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) id: &'a str,
    pub(super) tool: &'a str,
    pub(super) title: &'a str,
    pub(super) kind: ToolKind,
    pub(super) arguments: Option<Value>,
    pub(super) locations: Vec<String>,
}

impl Log {
    /// Takes back what a snapshot does not hold.
    pub(super) fn restore_reply(&mut self, text: String) {
        let item = self.message.map(|number| self.item(number)).unwrap_or_default();
        self.reply = Reply { item, text };
    }

    /// The number of the running turn, or of the last one; 0 before the first.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether a turn is running.
    pub(super) fn is_running(&self) -> bool {
        self.turn.is_some() && self.outcome.is_none()
    }

    /// Whether the agent has said something in this turn.
    pub(super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self, ask: &TurnAsk) {
        *self = Self { turn: Some(ask.turn.clone()), number: ask.number, ..Self::default() };
    }

    /// A piece of text.
    pub(super) fn text(&mut self, step: &mut Step, voice: Voice, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open != Some(voice) {
            self.open = Some(voice);
            self.items += 1;
        }
        let item = self.item(self.items);
        for piece in bound::pieces(text) {
            let (item, text) = (item.clone(), piece.to_owned());
            let event = match voice {
                Voice::Thought => Event::Thought { item, text },
                Voice::Message => Event::Message { item, text },
            };
            self.reply.add(&event);
            step.events.push(event);
        }
        if voice == Voice::Message {
            self.message = Some(self.items);
        }
    }

    /// The item that grows is whole; what is said next is another one.
    pub(super) fn close_item(&mut self) {
        self.open = None;
    }

    fn item(&self, number: u32) -> String {
        format!("{}-{number}", self.number)
    }

    /// Whether the call is known.
    pub(super) fn has(&self, call: &str) -> bool {
        self.calls.contains(&hash(call))
    }

    /// Whether the call was known; it is from now on.
    pub(super) fn knows(&mut self, call: &str) -> bool {
        if self.has(call) {
            return true;
        }
        if self.calls.len() == CALLS_KNOWN_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back(hash(call));
        false
    }

    /// A tool call that was not known before.
    pub(super) fn call(&mut self, step: &mut Step, call: Call<'_>) {
        self.close_item();
        let mut locations = call.locations;
        locations.truncate(bound::LIST_MAX);
        if call.arguments.is_none() {
            if self.bare.len() == CALLS_BARE_MAX {
                self.bare.pop_front();
            }
            self.bare.push_back((hash(call.id), bound::id(call.tool)));
        }
        step.events.push(Event::ToolCall {
            call: bound::id(call.id),
            tool: bound::id(call.tool),
            title: bound::line(call.title),
            kind: call.kind,
            arguments: call.arguments.unwrap_or(Value::Null),
            locations: locations.iter().map(|path| bound::line(path)).collect(),
        });
    }

    /// The tool of a call that was told without arguments: once, when they come or it is over.
    pub(super) fn dress(&mut self, call: &str) -> Option<String> {
        let call = hash(call);
        let at = self.bare.iter().position(|(bare, _)| *bare == call)?;
        self.bare.remove(at).map(|(_, tool)| tool)
    }

    /// Something broke the protocol, or is worth knowing for who looks for a fault.
    pub(super) fn diagnose(&mut self, step: &mut Step, text: &str) {
        self.diagnostics = self.diagnostics.saturating_add(1);
        if self.diagnostics <= DIAGNOSTICS_MAX {
            step.events.push(diagnostic(text));
        }
    }

    /// Ends the turn, if one is running.
    pub(super) fn end(&mut self, step: &mut Step, outcome: TurnOutcome) {
        if !self.is_running() {
            return;
        }
        if let more @ 1.. = self.diagnostics.saturating_sub(DIAGNOSTICS_MAX) {
            step.events.push(diagnostic(&format!("{more} more diagnostics in this turn")));
        }
        self.outcome = Some(outcome);
        self.calls.clear();
        self.bare.clear();
        self.close_item();
        self.say_outcome(step);
    }

    /// Says again how the turn ended.
    pub(super) fn say_outcome(&self, step: &mut Step) {
        step.turn.clone_from(&self.outcome);
        step.reply.clone_from(&self.reply.text);
    }
}

fn hash(call: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(call)
}

fn diagnostic(text: &str) -> Event {
    let text = bound::text(text, bound::DIAGNOSTIC_BYTES_MAX);
    Event::Diagnostic { source: "protocol".to_owned(), text }
}
