//! What is written in one append, and how further steps are joined to it. Pure.

use model::{Event, State};

/// Bytes of text in one event. However it is escaped, its body stays below
/// [`model::limit::EVENT_BYTES_MAX`].
const PIECE_BYTES_MAX: usize = 32 << 10;

/// What happened, and what changes with it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Step {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The new state; [`State::Ended`] closes the stream.
    pub state: Option<State>,
    /// How far the agent's output was read: every byte before this offset is in the stream once
    /// the step is stored.
    pub cursor: Option<u64>,
    /// What the supervisor needs to take the living sandbox over; stays as it was where absent.
    pub recovery: Option<String>,
}

impl Step {
    /// Events, and nothing else.
    pub fn events(events: Vec<Event>) -> Self {
        Self { events, ..Self::default() }
    }

    /// Whether it is nothing but text that may wait a moment.
    pub(super) fn may_wait(&self) -> bool {
        let text = |event: &Event| matches!(event, Event::Message { .. } | Event::Thought { .. });
        self.state.is_none() && self.recovery.is_none() && self.events.iter().all(text)
    }

    /// Whether storing it would change nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a later step. Pieces of text of one item that follow one another become one, up to a
    /// size; a longer piece becomes several. Returns the bytes of text that were added.
    pub(super) fn join(&mut self, later: Self) -> usize {
        let mut bytes = 0;
        for event in later.events {
            match event {
                Event::Message { item, text } => {
                    bytes += text.len();
                    self.join_text(Kind::Message, &item, &text);
                }
                Event::Thought { item, text } => {
                    bytes += text.len();
                    self.join_text(Kind::Thought, &item, &text);
                }
                other => self.events.push(other),
            }
        }
        self.state = later.state.or(self.state);
        self.cursor = later.cursor.or(self.cursor);
        self.recovery = later.recovery.or_else(|| self.recovery.take());
        bytes
    }

    fn join_text(&mut self, kind: Kind, item: &str, text: &str) {
        let mut rest = text;
        if let Some(last) = self.events.last_mut().and_then(|last| kind.text_of(last, item)) {
            let room = PIECE_BYTES_MAX.saturating_sub(last.len());
            let (fits, left) = rest.split_at(rest.floor_char_boundary(room));
            last.push_str(fits);
            rest = left;
        }
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES_MAX));
            self.events.push(kind.event(item.to_owned(), piece.to_owned()));
            rest = left;
        }
    }
}

/// The two kinds of text.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Message,
    Thought,
}

impl Kind {
    fn event(self, item: String, text: String) -> Event {
        match self {
            Self::Message => Event::Message { item, text },
            Self::Thought => Event::Thought { item, text },
        }
    }

    /// The text of an event of this kind and item.
    fn text_of<'a>(self, event: &'a mut Event, asked: &str) -> Option<&'a mut String> {
        let (kind, item, text) = match event {
            Event::Message { item, text } => (Self::Message, item, text),
            Event::Thought { item, text } => (Self::Thought, item, text),
            _ => return None,
        };
        (kind == self && item == asked).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limit::EVENT_BYTES_MAX;

    fn message(item: &str, text: &str) -> Event {
        Event::Message { item: item.into(), text: text.into() }
    }

    fn thought(item: &str, text: &str) -> Event {
        Event::Thought { item: item.into(), text: text.into() }
    }

    fn plan() -> Event {
        Event::Plan { steps: Vec::new() }
    }

    fn check(events: Vec<Event>, expected: &[Event]) {
        let mut step = Step::default();
        for event in events {
            step.join(Step::events(vec![event]));
        }
        assert_eq!(step.events, expected);
    }

    #[test]
    fn pieces_of_one_item_that_follow_one_another_become_one() {
        check(vec![message("a", "x"), message("a", "y")], &[message("a", "xy")]);
        check(vec![message("a", ""), message("a", "y")], &[message("a", "y")]);
    }

    #[test]
    fn other_items_kinds_and_events_stand_between() {
        let apart = vec![message("a", "1"), message("b", "2"), message("a", "3")];
        check(apart.clone(), &apart);
        let apart = vec![message("a", "1"), thought("a", "2"), message("a", "3")];
        check(apart.clone(), &apart);
        let apart = vec![thought("a", "1"), plan(), thought("a", "3")];
        check(apart.clone(), &apart);
    }

    #[test]
    fn no_body_is_longer_than_a_body_may_be_and_no_byte_is_lost() {
        for unit in ["x", "\u{1}", "\u{1f600}", "\"", "ä"] {
            let text = unit.repeat(300_000 / unit.len());
            let mut step = Step::default();
            for chunk in [&text[..unit.len() * 5_000], &text[unit.len() * 5_000..]] {
                step.join(Step::events(vec![message("a", chunk)]));
            }
            let mut again = String::new();
            for event in &step.events {
                let body = serde_json::to_string(event).expect("plain data");
                assert!(body.len() <= EVENT_BYTES_MAX, "{unit:?}: {}", body.len());
                let Event::Message { text, .. } = event else { unreachable!("only text") };
                again.push_str(text);
            }
            assert_eq!(again, text);
        }
    }

    #[test]
    fn the_later_of_two_prevails_and_what_is_absent_stays() {
        let full = |cursor, recovery: &str| Step {
            cursor: Some(cursor),
            recovery: Some(recovery.to_owned()),
            ..Step::default()
        };
        let mut step = full(1, "a");
        step.join(full(2, "b"));
        assert_eq!(step, full(2, "b"));
        step.join(Step::events(vec![plan()]));
        assert_eq!(step, Step { events: vec![plan()], ..full(2, "b") });
    }

    #[test]
    fn only_text_may_wait() {
        assert!(Step { cursor: Some(9), ..Step::events(vec![message("a", "x")]) }.may_wait());
        assert!(!Step::events(vec![message("a", "x"), plan()]).may_wait());
        assert!(!Step { state: Some(State::Idle), ..Step::default() }.may_wait());
        assert!(!Step { recovery: Some(String::new()), ..Step::default() }.may_wait());
    }
}
