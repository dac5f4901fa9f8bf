//! Asks the model once more until it has answered: a connection that is refused or breaks is tried
//! again for a while, because the other side may just be starting anew.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::LONG;
use crate::chat::{self, ChatError, Piece, Reply};
use crate::client::{self, Client};
use crate::dialect::Dialect;
use crate::http::Origin;
use crate::signal::{Deadline, Signal, Signals, Waited, spawn};

/// For how long a model that cannot be reached is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often at most.
const ATTEMPTS_MAX: u32 = 40;
/// The first and the longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What stands between an answer that broke and one that begins differently.
const AGAIN: &str = "\n[the answer broke off; it begins again]\n";

/// Asks the model.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) client: &'a Client,
    pub(crate) session: &'a str,
    pub(crate) signals: &'a Signals,
    pub(crate) dialect: Dialect,
    /// Whether the answer is for the agent alone, and nobody is shown it.
    pub(crate) aside: bool,
}

/// There is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The turn is being stopped; this much of the answer was shown.
    Cancelled { said: String },
    /// The model did not answer.
    Model(ChatError),
    /// What the model says cannot be passed on.
    Client(io::Error),
}

impl From<ChatError> for AskError {
    fn from(error: ChatError) -> Self {
        Self::Model(error)
    }
}

impl Asking<'_> {
    /// Asks until there is an answer, or no hope of one.
    pub(crate) fn ask(&self, request: &Arc<[u8]>) -> Result<Reply, AskError> {
        let mut shown = Shown::default();
        let mut pause = PAUSE;
        let mut patience = None;
        for _ in 0..ATTEMPTS_MAX {
            shown.begin();
            let error = match self.attempt(request, &mut shown) {
                Err(AskError::Model(error)) => error,
                done => return done,
            };
            let wait = match again(&error) {
                Again::Never => return Err(error.into()),
                Again::Soon => pause,
                Again::After(wait) => wait,
            };
            let deadline: Deadline = *patience.get_or_insert_with(|| Deadline::after(PATIENCE));
            if wait >= deadline.left() {
                return Err(error.into());
            }
            pause = (pause * 2).min(PAUSE_MAX);
            if self.signals.pause(wait) == Err(Waited::Cancelled) {
                return Err(AskError::Cancelled { said: shown.text });
            }
        }
        Err(ChatError::Unreadable("it broke off again and again".to_owned()).into())
    }

    fn attempt(&self, request: &Arc<[u8]>, shown: &mut Shown) -> Result<Reply, AskError> {
        let connection = self.origin.connect().map_err(ChatError::Broken)?;
        let breaker = connection.breaker().map_err(ChatError::Broken)?;
        let (origin, request, dialect) = (self.origin.clone(), Arc::clone(request), self.dialect);
        let (sender, run) = (self.signals.sender(), self.signals.next_run());
        let read = move || {
            let piece = |piece| {
                sender.send(Signal::Piece { run, piece }).ok();
            };
            let reply = chat::ask(dialect, &origin, connection, &request, piece);
            sender.send(Signal::Reply { run, reply }).ok();
        };
        spawn("model", read).map_err(ChatError::Broken)?;
        loop {
            match self.signals.next(Deadline::after(LONG)) {
                Ok(Signal::Piece { run: of, piece }) if of == run => {
                    self.show(shown, piece).map_err(AskError::Client).inspect_err(|_| {
                        breaker.break_off();
                    })?;
                }
                Ok(Signal::Reply { run: of, reply }) if of == run => return Ok(reply?),
                Ok(_) => {} // late, from something that is over
                Err(_) => {
                    breaker.break_off();
                    return Err(AskError::Cancelled { said: std::mem::take(&mut shown.text) });
                }
            }
        }
    }

    fn show(&self, shown: &mut Shown, piece: Piece) -> io::Result<()> {
        let (kind, text) = match piece {
            Piece::Thought(_) if shown.again => return Ok(()),
            Piece::Thought(text) => ("agent_thought_chunk", text),
            Piece::Text(text) => ("agent_message_chunk", shown.fresh(&text)),
        };
        if text.is_empty() || self.aside {
            return Ok(());
        }
        self.client.update(self.session, &client::chunk(kind, &text))
    }
}

/// Whether it may help to ask again.
enum Again {
    Never,
    Soon,
    /// As the other side says.
    After(Duration),
}

fn again(error: &ChatError) -> Again {
    match error {
        ChatError::Broken(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Again::Never, // long enough
            io::ErrorKind::InvalidData => Again::Never,
            _ => Again::Soon,
        },
        ChatError::Unavailable { retry_after, .. } => {
            retry_after.map_or(Again::Soon, |seconds| Again::After(Duration::from_secs(seconds)))
        }
        ChatError::Refused { .. } | ChatError::Unreadable(_) | ChatError::TooLong => Again::Never,
    }
}

/// What of an answer was shown, so that an answer that is asked for again is not shown twice.
#[derive(Debug, Default)]
struct Shown {
    text: String,
    /// How much of it has come again.
    matched: usize,
    again: bool,
}

impl Shown {
    /// A new attempt begins.
    fn begin(&mut self) {
        self.again = !self.text.is_empty();
        self.matched = 0;
    }

    /// What of `piece` is to be shown.
    fn fresh(&mut self, piece: &str) -> String {
        let known = &self.text[self.matched..];
        let fresh = if known.starts_with(piece) {
            self.matched += piece.len();
            return String::new();
        } else if let Some(rest) = piece.strip_prefix(known) {
            rest.to_owned()
        } else {
            format!("{AGAIN}{}{piece}", &self.text[..self.matched])
        };
        self.text += &fresh;
        self.matched = self.text.len();
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempts: &[&[&str]], expected: &str) {
        let mut shown = Shown::default();
        let mut all = String::new();
        for attempt in attempts {
            shown.begin();
            attempt.iter().for_each(|piece| all += &shown.fresh(piece));
        }
        assert_eq!(all, expected, "{attempts:?}");
    }

    #[test]
    fn an_answer_that_comes_again_is_shown_once() {
        check(&[&["one ", "two "], &["one", " two three"]], "one two three");
        check(&[&["one ", "two "], &["one two ", "three"]], "one two three");
        check(&[&[], &["one"], &["one", " two"]], "one two");
    }

    #[test]
    fn an_answer_that_begins_differently_is_shown_whole() {
        check(
            &[&["one two"], &["one ", "three"]],
            "one two\n[the answer broke off; it begins again]\none three",
        );
    }
}
