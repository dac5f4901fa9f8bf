//! Makes what an agent says fit: every text, id and argument has a length, counted as it will be
//! stored, and what is cut says so.

use std::fmt;
use std::marker::PhantomData;

use model::event::Diff;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest piece of a message; a longer one becomes several events.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 10;
/// The longest result of a tool.
const RESULT_BYTES_MAX: usize = 64 << 10;
/// The longest of one tool call's arguments that are taken apart; longer ones are shown as text.
const ARGUMENTS_READ_BYTES_MAX: usize = 256 << 10;
/// The most that is kept of one tool call's arguments.
const ARGUMENTS_BYTES_MAX: usize = 48 << 10;
/// The longest text within arguments.
const ARGUMENT_BYTES_MAX: usize = 8 << 10;
/// The longest line for people.
const LINE_SHOWN_BYTES_MAX: usize = 512;
/// The longest id of an agent that is shown.
const ID_BYTES_MAX: usize = 128;
/// The longest diagnostic.
pub(super) const DIAGNOSTIC_BYTES_MAX: usize = 4 << 10;
/// The most entries of any list.
pub(super) const LIST_MAX: usize = 64;
/// The longest text of one side of a diff.
const DIFF_BYTES_MAX: usize = 16 << 10;
/// The most diffs of one update.
const DIFFS_MAX: usize = 4;

/// The first [`LIST_MAX`] entries of a list; the others are read over.
#[derive(Debug)]
pub(super) struct Few<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct First<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for First<T> {
            type Value = Few<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Few<T>, A::Error> {
                let mut first = Vec::new();
                while first.len() < LIST_MAX {
                    match from.next_element()? {
                        Some(entry) => first.push(entry),
                        None => return Ok(Few(first)),
                    }
                }
                while from.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(first))
            }
        }
        from.deserialize_seq(First(PhantomData))
    }
}

/// How many bytes `c` takes in a JSON string.
fn stored_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// The longest beginning of `text` that takes at most `bytes_max` when stored.
fn beginning(text: &str, bytes_max: usize) -> &str {
    if text.len().saturating_mul(6) <= bytes_max {
        return text;
    }
    let mut bytes = 0;
    for (at, c) in text.char_indices() {
        bytes += stored_bytes(c);
        if bytes > bytes_max {
            return &text[..at];
        }
    }
    text
}

/// `text` in pieces that can each be stored.
pub(super) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(beginning(text, PIECE_BYTES_MAX).len());
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// `text`, or its beginning and how much is missing.
pub(super) fn text(text: &str, bytes_max: usize) -> String {
    let kept = beginning(text, bytes_max.saturating_sub(48));
    match text.len() - kept.len() {
        0 => kept.to_owned(),
        missing => format!("{kept}\n[… {missing} bytes cut]"),
    }
}

/// What a tool returned.
pub(super) fn result(result: &str) -> String {
    text(result, RESULT_BYTES_MAX)
}

/// One line for people: no control characters, not long.
pub(super) fn line(text: &str) -> String {
    short(text, LINE_SHOWN_BYTES_MAX)
}

/// An id as the agent gave it, for display.
pub(super) fn id(text: &str) -> String {
    short(text, ID_BYTES_MAX)
}

fn short(text: &str, bytes_max: usize) -> String {
    let kept = beginning(text, bytes_max - '…'.len_utf8());
    let cut = if kept.len() < text.len() { "…" } else { "" };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    kept.chars().map(plain).chain(cut.chars()).collect::<String>().trim().to_owned()
}

/// The arguments of a tool call: whole, with long texts cut, or the beginning of their JSON as text.
pub(super) fn arguments(raw: Option<&RawValue>) -> Option<Value> {
    let raw = raw?.get();
    let read = (raw.len() <= ARGUMENTS_READ_BYTES_MAX)
        .then(|| serde_json::from_str::<Value>(raw).ok())
        .flatten();
    Some(value(read.unwrap_or_else(|| Value::String(text(raw, ARGUMENT_BYTES_MAX)))))
}

/// The same of arguments that were read already.
pub(super) fn value(mut whole: Value) -> Value {
    shorten(&mut whole);
    if stored_len(&whole) > ARGUMENTS_BYTES_MAX {
        whole = Value::String(text(&whole.to_string(), ARGUMENT_BYTES_MAX));
    }
    whole
}

/// Cuts every text in `value`. The depth is that of the JSON reader, which has a limit.
fn shorten(value: &mut Value) {
    match value {
        Value::String(whole) if whole.len() > ARGUMENT_BYTES_MAX / 6 => {
            *whole = text(whole, ARGUMENT_BYTES_MAX);
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// What a tool says it changed.
pub(super) fn diffs<'a>(
    diffs: impl Iterator<Item = (&'a str, Option<&'a str>, &'a str)>,
) -> Vec<Diff> {
    diffs
        .take(DIFFS_MAX)
        .map(|(path, old, new)| Diff {
            path: line(path),
            old: old.map(|old| text(old, DIFF_BYTES_MAX)),
            new: text(new, DIFF_BYTES_MAX),
        })
        .collect()
}

/// How many bytes `value` takes as JSON.
fn stored_len(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_what_it_takes_when_stored() {
        assert_eq!(text("short", 100), "short");
        let cut = text(&"\0".repeat(1_000), 600);
        assert_eq!(cut, format!("{}\n[… 908 bytes cut]", "\0".repeat(92)));
        assert!(stored_len(&cut) <= 602);
    }

    #[test]
    fn pieces_of_a_text_are_the_text() {
        let whole = "a€\0".repeat(50_000);
        assert_eq!(pieces(&whole).collect::<String>(), whole);
        assert!(pieces(&whole).all(|piece| stored_len(&piece) <= PIECE_BYTES_MAX + 2));
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(line(" rm\x1b[2J -rf\nx "), "rm [2J -rf x");
        assert!(line(&"é".repeat(400)).ends_with("é…"));
    }

    #[test]
    fn arguments_stay_whole_where_they_can_and_fit_where_they_cannot() {
        let of = |json: &str| {
            let raw = RawValue::from_string(json.to_owned()).expect("valid JSON");
            arguments(Some(&raw)).expect("given")
        };
        assert_eq!(of(r#"{"path":"a","n":3}"#), serde_json::json!({"path": "a", "n": 3}));
        let long = of(&format!(r#"{{"path":"a","content":"{}"}}"#, "x".repeat(100_000)));
        assert_eq!(long["path"], "a");
        assert!(stored_len(&long) <= ARGUMENT_BYTES_MAX + 64);
        for hostile in
            ["[".repeat(9_000) + &"]".repeat(9_000), format!("[{}1e15]", "1e15,".repeat(40_000))]
        {
            let shown = of(&hostile);
            assert!(shown.is_string() && stored_len(&shown) <= ARGUMENTS_BYTES_MAX);
        }
    }
}
