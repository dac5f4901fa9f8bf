//! What is stored with a living dispatch so that the next server can take its sandbox over.

use model::{Time, TurnId, TurnOutcome};
use serde::{Deserialize, Serialize};

use super::asked::Question;

/// What the next server needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keep {
    /// The box, in the words of its backend.
    pub(crate) sandbox: String,
    /// The adapter, in its own words.
    pub(crate) adapter: String,
    /// What the last change-set of each mount left.
    pub(crate) seen: Vec<Option<String>>,
    /// When the box was started.
    pub(crate) started: Time,
    /// The number of the last turn that was handed to the agent; 0 before the first.
    pub(crate) begun: u32,
    /// The turn that was handed to the agent and is not over.
    pub(crate) turn: Option<KeptTurn>,
    /// The questions that wait for a person.
    #[serde(default)]
    pub(crate) questions: Vec<Question>,
}

/// A turn that was handed to the agent and is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptTurn {
    pub(crate) turn: TurnId,
    /// The beginning of what was asked.
    pub(crate) about: String,
    /// When it was handed over.
    pub(crate) started: Time,
    /// How the agent ended it, and its reply: only its work is still to be kept.
    pub(crate) over: Option<(TurnOutcome, String)>,
}

impl Keep {
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_and_what_is_not_ours_is_nothing() {
        let keep = Keep {
            sandbox: "{}".to_owned(),
            adapter: "a".to_owned(),
            seen: vec![None, Some("t".to_owned())],
            started: Time::from_ms(7),
            begun: 2,
            turn: Some(KeptTurn {
                turn: "t2".parse().expect("a name"),
                about: "write".to_owned(),
                started: Time::from_ms(8),
                over: Some((TurnOutcome::Completed, "bye".to_owned())),
            }),
            questions: vec![],
        };
        assert_eq!(Keep::read(&keep.write()), Some(keep));
        assert_eq!(Keep::read("{\"other\":1}"), None);
    }
}
