//! Which lines two texts share, and what of one text a reader takes over into another. Pure; bounded in time and
//! memory also for texts that were made to be slow.

use std::ops::Range;

use gix_imara_diff::{Algorithm, Diff, InternedInput, sources::byte_lines};

/// A stretch of lines of one text that stands in place of a stretch of the other; either may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) before: Range<usize>,
    pub(crate) after: Range<usize>,
}

/// What turns one text into the other, in order, by the numbers of their [`lines`]. Between two steps the texts agree.
pub(crate) fn steps(before: &[u8], after: &[u8]) -> Vec<Step> {
    let input = InternedInput::new(byte_lines(before), byte_lines(after));
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let range = |range: Range<u32>| range.start as usize..range.end as usize;
    diff.hunks().map(|hunk| Step { before: range(hunk.before), after: range(hunk.after) }).collect()
}

/// The lines of a text, each with its line feed; the last one may have none.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The content as text, if it is one: UTF-8 without a zero byte.
pub(crate) fn as_text(content: &[u8]) -> Option<&str> {
    if content.contains(&0) { None } else { str::from_utf8(content).ok() }
}

/// Lines of a text that is compared. Bounds the time that texts take which were made to be slow.
const LINES_MAX: usize = 50_000;

/// Whether the text has more lines than are compared.
pub(crate) fn has_too_many_lines(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'\n').count() > LINES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str) {
        let (old, new) = (lines(before.as_bytes()), lines(after.as_bytes()));
        let mut rebuilt = Vec::new();
        let (mut x, mut y) = (0, 0);
        for step in steps(before.as_bytes(), after.as_bytes()) {
            assert_eq!(old[x..step.before.start], new[y..step.after.start]);
            assert!(step.before != (0..0) || step.after != (0..0));
            rebuilt.extend_from_slice(&old[x..step.before.start]);
            rebuilt.extend_from_slice(&new[step.after.clone()]);
            (x, y) = (step.before.end, step.after.end);
        }
        rebuilt.extend_from_slice(&old[x..]);
        assert_eq!(rebuilt.concat(), after.as_bytes(), "{before:?} to {after:?}");
    }

    #[test]
    fn the_steps_turn_one_text_into_the_other() {
        check("", "");
        check("", "a");
        check("a", "");
        check("a\nb\nc\n", "a\nb\nc");
        check("a\r\nb\n", "a\nb\n");
        let mut dice = 7_u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        for _ in 0..2_000 {
            let mut text = || {
                let words = roll(12);
                let end = ["", "\n"][usize::try_from(roll(2)).unwrap()];
                let word = |at| ["a", "b", "c", ""][usize::try_from(at).unwrap()];
                (0..words).map(|_| word(roll(4))).collect::<Vec<_>>().join("\n") + end
            };
            let (one, two) = (text(), text());
            check(&one, &two);
        }
    }

    #[test]
    fn a_text_is_utf_8_without_a_zero() {
        assert_eq!(as_text("ä\r\n".as_bytes()), Some("ä\r\n"));
        assert_eq!(as_text(b"a\0b"), None);
        assert_eq!(as_text(b"\xff"), None);
    }
}
