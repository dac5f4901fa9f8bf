//! The questions of an agent that wait for an answer. What is answered is kept until the turn is
//! over, so that the answer can be repeated after a restart.

use std::collections::BTreeMap;

use model::event::PermissionOption;
use serde::{Deserialize, Serialize};

/// The most questions of one turn.
const ASKS_MAX: usize = 16;
/// The most options of one question.
const OPTIONS_MAX: usize = 8;
/// The longest id of an option; an option with a longer one cannot be chosen and is left out.
const OPTION_BYTES_MAX: usize = 128;

/// The questions of one turn, by the id that we gave them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Asks(BTreeMap<String, Ask>);

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
        self.0.len() >= ASKS_MAX && self.0.values().all(|ask| ask.answer.is_none())
    }

    /// A question was asked.
    pub(super) fn open(&mut self, id: String, ask: Ask) {
        if self.0.len() >= ASKS_MAX {
            let answered = self.0.iter().filter(|(_, ask)| ask.answer.is_some());
            let oldest = answered.min_by_key(|(_, ask)| ask.input).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.0.remove(&id));
        }
        self.0.insert(id, ask);
    }

    /// Answers a question that is open, if it has that option.
    pub(super) fn answer(&mut self, id: &str, option: Option<&str>) -> Option<&Ask> {
        let ask = self.0.get_mut(id).filter(|ask| ask.answer.is_none())?;
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
        let open = self.0.values_mut().filter(|ask| ask.answer.is_none());
        open.map(|ask| {
            ask.answer = Some(Answer::Cancelled);
            ask.clone()
        })
        .collect()
    }

    /// Takes back a question to which the agent wants no answer any more.
    pub(super) fn withdraw(&mut self, request: &str) {
        self.0.retain(|_, ask| ask.request != request || ask.answer.is_some());
    }

    /// What was answered in this turn.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Ask> {
        self.0.values().filter(|ask| ask.answer.is_some())
    }

    /// The turn is over.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The options that can be chosen.
pub(super) fn choosable(options: impl Iterator<Item = PermissionOption>) -> Vec<PermissionOption> {
    options.filter(|option| option.option.len() <= OPTION_BYTES_MAX).take(OPTIONS_MAX).collect()
}
