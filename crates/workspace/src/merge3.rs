//! Merges two texts that were made from one. Pure; what both changed differently is said, never guessed.

use std::ops::Range;

use crate::text::{Step, lines, steps};

/// Two texts in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    /// What both changed; where they disagree, as the first one has it.
    pub(crate) text: Vec<u8>,
    /// In how many places they disagree.
    pub(crate) conflicts: usize,
}

/// Brings the changes of both texts together. Changes that touch each other and are not the same disagree.
pub(crate) fn merge3(base: &[u8], ours: &[u8], theirs: &[u8]) -> Merged {
    let base_lines = lines(base);
    let mut sides = [Side::new(base, ours), Side::new(base, theirs)];
    let mut merged = Merged { text: Vec::with_capacity(ours.len()), conflicts: 0 };
    let mut at = 0;
    while let Some(start) = sides.iter().filter_map(Side::next_start).min() {
        merged.take(&base_lines[at..start]);
        let region = region(start, &mut sides);
        let [one, other] = &mut sides;
        let changed = [one.touches(&region), other.touches(&region)];
        let (one, other) = (one.region(&region, &base_lines), other.region(&region, &base_lines));
        match changed {
            [true, false] => merged.take(&one),
            [false, _] => merged.take(&other),
            [true, true] => {
                merged.conflicts += usize::from(one != other);
                merged.take(&one);
            }
        }
        at = region.end;
    }
    merged.take(&base_lines[at..]);
    merged
}

impl Merged {
    fn take(&mut self, lines: &[&[u8]]) {
        for line in lines {
            self.text.extend_from_slice(line);
        }
    }
}

/// The lines of the base from `start` on that steps of either side, one touching the next, replace.
fn region(start: usize, sides: &mut [Side<'_>; 2]) -> Range<usize> {
    let mut end = start;
    loop {
        let before = sides.iter().map(|side| side.reach).sum::<usize>();
        for side in sides.iter_mut() {
            while let Some(step) = side.steps.get(side.reach).filter(|it| it.before.start <= end) {
                end = end.max(step.before.end);
                side.reach += 1;
            }
        }
        if sides.iter().map(|side| side.reach).sum::<usize>() == before {
            return start..end;
        }
    }
}

/// One text on the walk along the base.
struct Side<'a> {
    lines: Vec<&'a [u8]>,
    steps: Vec<Step>,
    /// Steps that were taken, and those that the region at hand reaches.
    done: usize,
    reach: usize,
}

impl<'a> Side<'a> {
    fn new(base: &[u8], text: &'a [u8]) -> Self {
        Self { lines: lines(text), steps: steps(base, text), done: 0, reach: 0 }
    }

    fn next_start(&self) -> Option<usize> {
        self.steps.get(self.done).map(|step| step.before.start)
    }

    fn touches(&self, _region: &Range<usize>) -> bool {
        self.reach > self.done
    }

    /// What stands in this text in place of a stretch of the base, and goes on behind it.
    fn region(&mut self, region: &Range<usize>, base: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut text = Vec::new();
        let mut at = region.start;
        for step in &self.steps[self.done..self.reach] {
            text.extend_from_slice(&base[at..step.before.start]);
            text.extend_from_slice(&self.lines[step.after.clone()]);
            at = step.before.end;
        }
        text.extend_from_slice(&base[at..region.end]);
        self.done = self.reach;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: &str, ours: &str, theirs: &str, expected: &str, conflicts: usize) {
        let merged = merge3(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        let text = String::from_utf8(merged.text).unwrap();
        assert_eq!((text.as_str(), merged.conflicts), (expected, conflicts), "{base:?}");
    }

    #[test]
    fn changes_apart_from_each_other_come_together() {
        check("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n", 0);
        check("a\nb\nc\n", "a\nb\nc\n", "x\n", "x\n", 0);
        check("a\nb\nc\n", "x\n", "a\nb\nc\n", "x\n", 0);
        check("a\nb\nc\n", "b\nc\n", "a\nb\nc\nd", "b\nc\nd", 0);
        check("a\nb\nc\nd\ne\n", "new\na\nb\nc\nd\n", "a\nb\nc2\nd\ne\n", "new\na\nb\nc2\nd\n", 0);
        check("", "", "", "", 0);
    }

    #[test]
    fn the_same_change_is_made_once() {
        check("a\nb\nc\n", "a\nx\nc\n", "a\nx\nc\n", "a\nx\nc\n", 0);
        check("a\nb\nc\nd\ne\n", "a\nx\nc\nd\nE\n", "a\nx\nc\nd\ne\n", "a\nx\nc\nd\nE\n", 0);
        check("", "a\n", "a\n", "a\n", 0);
        check("a\n", "", "", "", 0);
    }

    #[test]
    fn changes_that_touch_disagree_and_ours_stands() {
        check("a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n", "a\nx\nc\n", 1);
        check("a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n", "A\nb\nc\n", 1);
        check("", "a\n", "b\n", "a\n", 1);
        check("a\n", "", "b\n", "", 1);
        check("a\nb", "a\nb\n", "a\nB", "a\nb\n", 1);
        let (base, ours) = ("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\nx\n3\n4\n5\n6\n7\ny\n9\n");
        check(base, ours, "1\nX\n3\n4\n5\n6\n7\n8\n9\n", "1\nx\n3\n4\n5\n6\n7\ny\n9\n", 1);
    }

    #[test]
    fn whatever_is_merged_holds_each_side_alone_where_the_other_did_nothing() {
        let mut dice = 11_u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from((dice >> 33) % sides).unwrap()
        };
        for _ in 0..2_000 {
            let mut text =
                || (0..roll(9)).map(|_| ["a\n", "b\n", "c\n"][roll(3)]).collect::<String>();
            let (base, ours, theirs) = (text(), text(), text());
            check(&base, &ours, &base, &ours, 0);
            check(&base, &base, &theirs, &theirs, 0);
            check(&base, &ours, &ours, &ours, 0);
            let one = merge3(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
            let other = merge3(base.as_bytes(), theirs.as_bytes(), ours.as_bytes());
            assert_eq!(one.conflicts, other.conflicts, "{base:?} {ours:?} {theirs:?}");
            if one.conflicts == 0 {
                assert_eq!(one.text, other.text, "{base:?} {ours:?} {theirs:?}");
            }
        }
    }
}
