//! What is written in a dialect reads as what was meant, for many made-up conversations and answers.

use model::ModelApi;
use serde_json::{Value, json};

use super::form::{
    Call, Choice, Image, Outcome, Part, Piece, Request, Sampling, Stop, Tool, Turn, Who,
};
use super::hear::{Events, Heard};
use super::say::{Answer, Said, Voice};
use super::send::Target;
use super::{Wanted, hear, read, say, send};
use crate::usage::Used;

const DIALECTS: [ModelApi; 4] = [
    ModelApi::AnthropicMessages,
    ModelApi::OpenaiChat,
    ModelApi::OpenaiResponses,
    ModelApi::Gemini,
];
/// Conversations and answers that are tried; each in every dialect.
const TRIED: u64 = 300;

/// Draws the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 10] =
            ["a", "\n", "\"", "\\", "ä", "{\"x\":1}", "data: ", "\u{1F980}", "\u{1}", "word "];
        let length = 1 + self.roll(8);
        let text: String =
            (0..length).map(|_| PARTS[usize::try_from(self.roll(10)).unwrap()]).collect();
        format!("t{text}t")
    }

    fn call(&mut self, number: usize) -> Call {
        let arguments =
            json!({ "a": self.text(), "b": [self.roll(9), null, { "c": self.text() }] });
        let name = if self.roll(2) == 0 { "run" } else { "read_file" };
        Call {
            id: format!("call_{number}"),
            name: name.to_owned(),
            arguments: arguments.to_string(),
        }
    }

    fn image(&mut self) -> Image {
        let data = format!("{:08}", self.roll(99_999_999));
        Image::Inline { media: "image/png".to_owned(), data }
    }

    /// A conversation as agents have them: the person says something, the model calls tools and then
    /// speaks.
    fn request(&mut self) -> Request {
        let mut request = Request {
            system: vec![self.text()],
            choice: [None, Some(Choice::Auto), Some(Choice::Any), Some(Choice::Tool("run".into()))]
                [usize::try_from(self.roll(4)).unwrap()]
            .clone(),
            sampling: Sampling {
                max_tokens: Some(16 + self.roll(1000)),
                temperature: (self.roll(2) == 0).then_some(0.5),
                ..Sampling::default()
            },
            stream: self.roll(2) == 0,
            ..Request::default()
        };
        for name in ["run", "read_file"] {
            let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
            let schema = serde_json::value::to_raw_value(&schema).ok();
            request.tools.push(Tool { name: name.into(), about: Some(self.text()), schema });
        }
        let mut calls = 0;
        for _ in 0..=self.roll(4) {
            let mut said = vec![Part::Text(self.text())];
            if self.roll(3) == 0 {
                said.push(Part::Image(self.image()));
            }
            request.turns.push(Turn { who: Who::User, parts: said });
            for _ in 0..self.roll(3) {
                let made: Vec<_> = (0..=self.roll(2))
                    .map(|n| self.call(calls + usize::try_from(n).unwrap()))
                    .collect();
                calls += made.len();
                let outcomes = made.iter().map(|call| {
                    let (id, text) = (call.id.clone(), self.text());
                    Part::Outcome(Outcome { id, text, images: Vec::new(), failed: false })
                });
                let outcomes = outcomes.collect();
                let parts = made.into_iter().map(Part::Call).collect();
                request.turns.push(Turn { who: Who::Model, parts });
                request.turns.push(Turn { who: Who::User, parts: outcomes });
            }
            request.turns.push(Turn { who: Who::Model, parts: vec![Part::Text(self.text())] });
        }
        request
    }

    fn pieces(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for _ in 0..self.roll(3) {
            pieces.push(Piece::Thought(self.text()));
        }
        for _ in 0..self.roll(4) {
            pieces.push(Piece::Text(self.text()));
        }
        let calls = self.roll(3);
        for number in 0..calls {
            let Call { id, name, arguments } = self.call(usize::try_from(number).unwrap());
            pieces.push(Piece::Call { id, name });
            let (first, second) = arguments.split_at(1);
            pieces.extend([first, second].map(|part| Piece::Arguments(part.to_owned())));
        }
        let (input, output) = (1 + self.roll(999), 1 + self.roll(999));
        let used = Used { input, output, cached: 0 };
        pieces.push(Piece::Used(used));
        let calls_or = |other| if calls > 0 { Stop::Calls } else { other };
        let stop = [calls_or(Stop::End), Stop::Length, Stop::Refused];
        pieces.push(Piece::Stop(stop[usize::try_from(self.roll(3)).unwrap()]));
        pieces
    }
}

/// A conversation in a form that can be compared: arguments as values.
fn compared(turns: &[Turn]) -> Vec<(Who, Vec<Value>)> {
    let part = |part: &Part| match part {
        Part::Call(call) => json!([call.id, call.name, json_of(&call.arguments)]),
        other => json!(format!("{other:?}")),
    };
    turns.iter().map(|turn| (turn.who, turn.parts.iter().map(part).collect())).collect()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_conversation_reads_as_it_was_meant_in_every_dialect() {
    for seed in 0..TRIED {
        let request = Dice(seed).request();
        for api in DIALECTS {
            let target = Target { api, model: "m", max_tokens: None };
            let written = send::write(&request, &target).expect("it can be said").to_string();
            let wanted = if request.stream { Wanted::Streamed } else { Wanted::Whole };
            let back = read(api, wanted, written.as_bytes()).expect("it can be read");
            let what = format!("{api:?}, seed {seed}: {written}");
            assert_eq!(compared(&back.turns), compared(&request.turns), "{what}");
            assert_eq!(back.system, request.system, "{what}");
            assert_eq!(back.choice, request.choice, "{what}");
            assert_eq!(back.stream, request.stream, "{what}");
            assert_eq!(back.sampling, request.sampling, "{what}");
            let tools = |request: &Request| -> Vec<Value> {
                let tool = |tool: &Tool| json!([tool.name, tool.about, tool.schema]);
                request.tools.iter().map(tool).collect()
            };
            assert_eq!(tools(&back), tools(&request), "{what}");
        }
    }
}

/// An answer in a form that can be compared.
fn answer(pieces: Vec<Piece>) -> (Vec<Value>, Stop, Used) {
    let mut answer = Answer::default();
    for piece in pieces {
        answer.add(piece);
    }
    let said = |said: &Said| match said {
        Said::Text(text) => json!(["text", text]),
        Said::Thought(text) => json!(["thought", text]),
        Said::Call(call) => json!([call.id, call.name, json_of(&call.arguments)]),
    };
    (answer.said.iter().map(said).collect(), answer.stop, answer.used)
}

#[test]
fn an_answer_is_heard_as_it_was_said_in_every_dialect() {
    for seed in 0..TRIED {
        let pieces = Dice(seed).pieces();
        for api in DIALECTS {
            let voice = Voice { include_usage: true, ..Voice::default() };
            let mut whole = Answer::default();
            for piece in pieces.iter().cloned() {
                whole.add(piece);
            }
            let said = say::whole(api, &voice, &whole).to_string();
            let heard = hear::whole(api, "1", said.as_bytes()).expect("it is heard");
            assert_eq!(answer(heard), answer(pieces.clone()), "{api:?}, seed {seed}: {said}");
            let mut say = say::streamed(api, voice);
            let mut bytes = say.open().to_vec();
            for piece in pieces.iter().cloned() {
                bytes.extend(say.piece(piece));
            }
            bytes.extend(say.ping());
            bytes.extend(say.close());
            let heard = heard_in_pieces(api, &bytes, 1 + usize::try_from(seed % 64).unwrap());
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(answer(heard), answer(pieces.clone()), "{api:?}, seed {seed}: {text}");
        }
    }
}

fn heard_in_pieces(api: ModelApi, bytes: &[u8], size: usize) -> Vec<Piece> {
    let (mut events, mut hear) = (Events::default(), hear::streamed(api, "1"));
    let mut pieces = Vec::new();
    for chunk in bytes.chunks(size) {
        for heard in events.push(chunk).expect("events") {
            if let Heard::Data(data) = heard {
                hear.event(&data, &mut pieces).expect("it is heard");
            }
        }
    }
    assert!(hear.is_over());
    pieces
}

/// Whatever an endpoint or a caller sends: a refusal or an answer, never a panic.
#[test]
fn garbage_is_survived_in_every_dialect() {
    for seed in 0..TRIED {
        let mut dice = Dice(seed);
        let request = dice.request();
        for api in DIALECTS {
            let target = Target { api, model: "m", max_tokens: None };
            let good = send::write(&request, &target).expect("it can be said").to_string();
            let mut bad = good.into_bytes();
            for _ in 0..=dice.roll(4) {
                let at = usize::try_from(dice.roll(bad.len() as u64)).unwrap();
                bad[at] = b"{}[]\",:0n\\"[usize::try_from(dice.roll(10)).unwrap()];
            }
            for other in DIALECTS {
                let target = Target { api: other, model: "m", max_tokens: None };
                if let Ok(request) = read(api, Wanted::Streamed, &bad) {
                    drop(send::write(&request, &target));
                }
                drop(hear::whole(other, "1", &bad));
                drop(hear::streamed(other, "1").event(&bad, &mut Vec::new()));
            }
        }
    }
}
