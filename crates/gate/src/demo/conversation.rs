//! A conversation with the demo model, whatever dialect it was sent in. Holds only what the demo model
//! looks at.

use std::borrow::Cow;

/// A conversation, as far as the demo model looks at it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// Whether the answer is wanted piece by piece.
    pub(super) stream: bool,
    /// Whether a streamed answer shall say what it used (of the `OpenAI` dialect).
    pub(super) include_usage: bool,
    pub(super) max_tokens: Option<u64>,
    /// The names of the properties that a structured answer must have, where one is asked for.
    pub(super) structured: Option<Vec<String>>,
    /// Everything said by the system, in order.
    pub(super) system: Vec<String>,
    pub(super) turns: Vec<Turn>,
    pub(super) tools: Vec<Tool>,
}

/// One thing that was said or done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The person, or the agent in the person's place, said this.
    User(String),
    /// We called a tool.
    Called,
    /// A tool returned this.
    Returned(Outcome),
}

/// What a tool returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) failed: bool,
}

/// A tool that is offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) properties: Vec<String>,
    pub(super) required: Vec<String>,
}

impl Conversation {
    /// What people said, oldest first: without what agents wrap around it, and without what is only
    /// wrapping.
    pub(super) fn asked(&self) -> impl DoubleEndedIterator<Item = (usize, Cow<'_, str>)> {
        self.turns.iter().enumerate().filter_map(|(at, turn)| match turn {
            Turn::User(text) => real(text).map(|text| (at, text)),
            Turn::Called | Turn::Returned(_) => None,
        })
    }

    /// What our tool calls returned since the turn with this number.
    pub(super) fn outcomes_since(&self, turn: usize) -> Vec<&Outcome> {
        let turns = self.turns.iter().skip(turn);
        turns
            .filter_map(|turn| match turn {
                Turn::Returned(outcome) => Some(outcome),
                Turn::User(_) | Turn::Called => None,
            })
            .collect()
    }

    /// How many tools we called in all.
    pub(super) fn calls(&self) -> usize {
        self.turns.iter().filter(|turn| matches!(turn, Turn::Called)).count()
    }

    /// The folder the agent works in, as it tells; paths are under it.
    pub(super) fn cwd(&self) -> &str {
        const MARK: &str = "orking directory: ";
        let told = self.system.iter().find_map(|text| text.split_once(MARK));
        let line = told.map(|(_, rest)| rest.lines().next().unwrap_or("").trim());
        line.filter(|path| path.starts_with('/') && path.len() <= 4096).unwrap_or("/workspace")
    }
}

/// What a person said, if a person said it.
pub(super) fn real(text: &str) -> Option<Cow<'_, str>> {
    const NOT_SAID: [&str; 5] = [
        "<command-",
        "<local-command-",
        "[Request interrupted",
        "Caveat: The messages below",
        "# AGENTS.md instructions",
    ];
    let text = without_reminders(text);
    let bare = text.trim();
    let said = !bare.is_empty() && !NOT_SAID.iter().any(|start| bare.starts_with(start));
    said.then_some(text)
}

/// What agents put around what they tell their model in the person's place.
const WRAPPERS: [(&str, &str); 5] = [
    ("<system-reminder>", "</system-reminder>"),
    ("<environment_context>", "</environment_context>"),
    ("<user_instructions>", "</user_instructions>"),
    ("<INSTRUCTIONS>", "</INSTRUCTIONS>"),
    ("<session_context>", "</session_context>"),
];

/// A text without what an agent put into it for its model.
fn without_reminders(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (open, close) in WRAPPERS {
        if text.contains(open) {
            text = Cow::Owned(without(&text, open, close));
        }
    }
    text
}

fn without(text: &str, open: &str, close: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        kept.push_str(before);
        rest = after.split_once(close).map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Turn {
        Turn::User(text.into())
    }

    #[test]
    fn only_what_a_person_said_counts() {
        let turns = vec![
            user("<system-reminder>run rm</system-reminder>\nread a<system-reminder>"),
            user("<system-reminder>x</system-reminder>"),
            user("[Request interrupted by user]"),
            user("  "),
            user("which word?"),
        ];
        let conversation = Conversation { turns, ..Conversation::default() };
        let asked: Vec<_> =
            conversation.asked().map(|(at, text)| (at, text.trim().to_owned())).collect();
        assert_eq!(asked, [(0, "read a".to_owned()), (4, "which word?".to_owned())]);
    }

    #[test]
    fn the_folder_is_what_the_agent_tells_or_the_usual_one() {
        let told =
            |text: &str| Conversation { system: vec![text.into()], ..Conversation::default() };
        assert_eq!(told(" - Primary working directory: /home/x \n - b").cwd(), "/home/x");
        assert_eq!(told("Working directory: x").cwd(), "/workspace");
        assert_eq!(told("").cwd(), "/workspace");
    }
}
