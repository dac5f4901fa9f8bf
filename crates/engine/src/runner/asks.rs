//! The questions of an agent that wait for an answer. What is answered is kept until the turn is
//! over, so that the answer can be repeated after a restart.

use std::collections::{BTreeMap, VecDeque};

use model::event::PermissionOption;
use serde::{Deserialize, Serialize};

use super::Input;

/// The most answers given at once that are kept to be repeated.
const NOTED_MAX: usize = 8;
/// The most questions of one turn.
const ASKS_MAX: usize = 16;
/// The most options of one question.
const OPTIONS_MAX: usize = 8;
/// The longest id of an option; an option with a longer one cannot be chosen and is left out.
const OPTION_BYTES_MAX: usize = 128;

/// The questions of one turn, by the id that we gave them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Asks {
    asks: BTreeMap<String, Ask>,
    /// What was answered at once, the last of it.
    noted: VecDeque<(u64, String)>,
}

/// One question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ask {
    /// The id of the input that answers it.
    pub(super) input: u64,
    /// The agent's id of its request, as JSON.
    pub(super) request: String,
    /// What may be answered: option and kind.
    pub(super) options: Vec<(String, String)>,
    /// What was answered.
    pub(super) answer: Option<Answer>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// This option.
    Option(String),
    /// No, with none of the options.
    Refused,
    /// The turn is being stopped.
    Cancelled,
}

impl Asks {
    /// Whether there is no room for another one: then there is the oldest answered one's, if any.
    pub(super) fn is_full(&self) -> bool {
        self.asks.len() >= ASKS_MAX && self.asks.values().all(|ask| ask.answer.is_none())
    }

    /// A question was asked.
    pub(super) fn open(&mut self, id: String, ask: Ask) {
        if self.asks.len() >= ASKS_MAX {
            let answered = self.asks.iter().filter(|(_, ask)| ask.answer.is_some());
            let oldest = answered.min_by_key(|(_, ask)| ask.input).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.asks.remove(&id));
        }
        self.asks.insert(id, ask);
    }

    /// Answers a question that is open, if it has that option.
    pub(super) fn answer(&mut self, id: &str, option: Option<&str>) -> Option<&Ask> {
        let ask = self.asks.get_mut(id).filter(|ask| ask.answer.is_none())?;
        ask.answer = Some(match option {
            None => Answer::Refused,
            Some(option) => {
                ask.options.iter().find(|(known, _)| known == option)?;
                Answer::Option(option.to_owned())
            }
        });
        Some(ask)
    }

    /// Answers all that are open: the turn is being stopped.
    pub(super) fn cancel(&mut self) -> Vec<Ask> {
        let open = self.asks.values_mut().filter(|ask| ask.answer.is_none());
        open.map(|ask| {
            ask.answer = Some(Answer::Cancelled);
            ask.clone()
        })
        .collect()
    }

    /// Takes back a question to which the agent wants no answer any more.
    pub(super) fn withdraw(&mut self, request: &str) {
        self.asks.retain(|_, ask| ask.request != request || ask.answer.is_some());
    }

    /// What was answered in this turn.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Ask> {
        self.asks.values().filter(|ask| ask.answer.is_some())
    }

    /// Keeps an answer that was given at once, so that it too can be repeated.
    pub(super) fn note(&mut self, input: &Input) {
        if self.noted.len() == NOTED_MAX {
            self.noted.pop_front();
        }
        let text = String::from_utf8_lossy(&input.bytes).into_owned();
        self.noted.push_back((input.id, text));
    }

    /// The last answers that were given at once.
    pub(super) fn noted(&self) -> impl Iterator<Item = Input> {
        self.noted.iter().map(|(id, text)| Input { id: *id, bytes: text.clone().into_bytes() })
    }

    /// The turn is over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The options that can be chosen.
pub(super) fn choosable(options: impl Iterator<Item = PermissionOption>) -> Vec<PermissionOption> {
    options.filter(|option| option.option.len() <= OPTION_BYTES_MAX).take(OPTIONS_MAX).collect()
}
