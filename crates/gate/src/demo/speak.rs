//! Says the demo model's answer, in any dialect, whole or piece by piece. Long answers are made as
//! they are read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use model::ModelApi;
use serde_json::Value;
use tokio::time::Instant;

use super::MODEL;
use super::act::{Answer, Speech};
use super::conversation::Conversation;
use super::tools::Call;
use crate::talk::form::{Names, Piece, Stop};
use crate::talk::say::{self, Voice};
use crate::usage::Used;

/// While it sleeps, a streamed answer shows in this rhythm that it lives.
const PING: Duration = Duration::from_secs(10);
/// The words of one piece.
const PIECE_WORDS: u32 = 4;

/// An answer, and what it answers.
pub(super) struct Said {
    pub(super) api: ModelApi,
    pub(super) conversation: Conversation,
    pub(super) names: Names,
    pub(super) answer: Answer,
    pub(super) used: Used,
}

/// The bytes of the answer. Sleeps where the answer does; dropped, it sleeps no more.
pub(super) fn speak(said: Said) -> BoxStream<'static, Bytes> {
    let pause = said.answer.pause;
    let (api, stream) = (said.api, said.conversation.stream);
    let (voice, pieces) = said.into_pieces();
    if !stream {
        let whole = async move {
            tokio::time::sleep(pause).await;
            let mut answer = say::Answer::default();
            for Timed { after, piece } in pieces {
                tokio::time::sleep(after).await;
                answer.add(piece);
            }
            Bytes::from(say::whole(api, &voice, &answer).to_string())
        };
        return stream::once(whole).boxed();
    }
    let mut say = say::streamed(api, voice);
    let (first, ping) = (say.open(), say.ping());
    let waiting = stream::unfold(Instant::now() + pause, move |until| {
        let ping = ping.clone();
        async move {
            let next = (Instant::now() + PING).min(until);
            tokio::time::sleep_until(next).await;
            (next < until).then_some((ping, until))
        }
    });
    let last = std::iter::once(None);
    let rest = pieces.map(Some).chain(last).map(move |timed| match timed {
        Some(Timed { after, piece }) => (after, say.piece(piece)),
        None => (Duration::ZERO, say.close()),
    });
    let rest = rest.filter(|(_, bytes)| !bytes.is_empty());
    let rest = stream::iter(rest).then(async |(after, bytes)| {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        bytes
    });
    stream::iter([first]).chain(waiting).chain(rest).boxed()
}

/// A piece of an answer, and how long after the one before it comes.
struct Timed {
    after: Duration,
    piece: Piece,
}

impl Said {
    /// Who speaks, and what.
    fn into_pieces(self) -> (Voice, Box<dyn Iterator<Item = Timed> + Send>) {
        let Self { conversation, names, answer, used, .. } = self;
        let voice = Voice {
            id: format!("demo{}", conversation.turns.len()),
            model: MODEL.to_owned(),
            include_usage: conversation.include_usage,
            names,
            used: Used { output: 0, ..used },
        };
        // Unique in its conversation.
        let id = format!("call_demo{}", conversation.calls() + 1);
        let stop = if answer.call.is_some() { Stop::Calls } else { Stop::End };
        let spoken = answer.speech.into_iter().flat_map(|speech| {
            let after = pause_of_each(&speech);
            pieces(&speech).map(move |text| Timed { after, piece: Piece::Text(text) })
        });
        let called = answer.call.into_iter().flat_map(move |call| called(id.clone(), &call));
        let rest = called.chain([Piece::Used(used), Piece::Stop(stop)]);
        let rest = rest.map(|piece| Timed { after: Duration::ZERO, piece });
        (voice, Box::new(spoken.chain(rest)))
    }
}

/// A tool call; its arguments in two pieces, as real models send them.
fn called(id: String, call: &Call) -> [Piece; 3] {
    let arguments = Value::Object(call.arguments.clone()).to_string();
    let (first, second) = arguments.split_at(1);
    let call = Piece::Call { id, name: call.tool.clone() };
    [call, Piece::Arguments(first.to_owned()), Piece::Arguments(second.to_owned())]
}

/// What is said, in the pieces in which it is streamed.
fn pieces(speech: &Speech) -> Box<dyn Iterator<Item = String> + Send> {
    match speech {
        Speech::Text(text) => {
            let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
            let pieces: Vec<String> =
                words.chunks(PIECE_WORDS as usize).map(<[_]>::concat).collect();
            Box::new(pieces.into_iter())
        }
        Speech::Words { words, .. } => {
            let words = *words;
            let word = move |n| if n == words { format!("w{n}") } else { format!("w{n} ") };
            let starts = (1..=words).step_by(PIECE_WORDS as usize);
            Box::new(starts.map(move |start| {
                (start..=words).take(PIECE_WORDS as usize).map(word).collect::<String>()
            }))
        }
    }
}

/// How long before each piece nothing is said.
fn pause_of_each(speech: &Speech) -> Duration {
    match speech {
        Speech::Text(_) => Duration::ZERO,
        Speech::Words { words, over } => *over / words.div_ceil(PIECE_WORDS).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: u32, seconds: u64) -> Speech {
        Speech::Words { words, over: Duration::from_secs(seconds) }
    }

    #[test]
    fn words_are_counted_and_cut_into_pieces() {
        let said: Vec<_> = pieces(&words(6, 0)).collect();
        assert_eq!(said, ["w1 w2 w3 w4 ", "w5 w6"]);
        assert_eq!(pieces(&words(0, 0)).count(), 0);
    }

    #[test]
    fn pieces_are_spread_over_the_time() {
        assert_eq!(pause_of_each(&words(6, 4)), Duration::from_secs(2));
        assert_eq!(pause_of_each(&words(6, 0)), Duration::ZERO);
        assert_eq!(pause_of_each(&words(0, 4)), Duration::from_secs(4));
    }

    #[test]
    fn a_text_in_pieces_is_the_text() {
        let text = "one  two\nthree äöü four five six\n";
        let pieces: Vec<_> = pieces(&Speech::Text(text.into())).collect();
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), text);
    }
}
