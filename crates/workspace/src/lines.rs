//! Which lines two texts share: the shortest edit, within a bound. Pure.

use std::collections::HashMap;

/// One line of a comparison, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// In both texts.
    Kept(String),
    /// Only in the text before.
    Removed(String),
    /// Only in the text after.
    Added(String),
}

/// What happens to the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Keep,
    Remove,
    Add,
}

/// Differing lines up to which the shortest edit is looked for; beyond, all that lies between the common beginning
/// and the common end counts as replaced. Bounds time (lines × this) and memory (its square).
const DISTANCE_MAX: usize = 1_000;

/// The steps that turn one list of lines into another.
pub(crate) fn steps(before: &[&str], after: &[&str]) -> Vec<Step> {
    let mut numbers = HashMap::new();
    let mut number = |line: &&str| {
        let next = numbers.len();
        *numbers.entry((*line).to_owned()).or_insert(next)
    };
    let before: Vec<usize> = before.iter().map(&mut number).collect();
    let after: Vec<usize> = after.iter().map(&mut number).collect();
    let same = |pair: &(&usize, &usize)| pair.0 == pair.1;
    let head = before.iter().zip(&after).take_while(same).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(same).count();
    let (before, after) = (&before[..before.len() - tail], &after[..after.len() - tail]);

    let mut steps = vec![Step::Keep; head];
    steps.extend(shortest(before, after).unwrap_or_else(|| {
        [vec![Step::Remove; before.len()], vec![Step::Add; after.len()]].concat()
    }));
    steps.extend(vec![Step::Keep; tail]);
    steps
}

/// Where the furthest path of each diagonal ends, shifted so that no diagonal is negative.
type Frontier = Vec<usize>;

/// The greedy search along diagonals: for each number of edits, how far each diagonal gets.
fn shortest(before: &[usize], after: &[usize]) -> Option<Vec<Step>> {
    let limit = (before.len() + after.len()).min(DISTANCE_MAX);
    let mut frontiers: Vec<Frontier> = Vec::new();
    for edits in 0..=limit {
        let last = frontiers.last();
        let mut frontier = vec![0; 2 * edits + 1];
        for slot in (0..=2 * edits).step_by(2) {
            let mut x = match last {
                None => 0,
                Some(last) => start(last, edits, slot).0,
            };
            let Some(mut y) = (x + edits).checked_sub(slot) else { continue };
            while x < before.len() && y < after.len() && before[x] == after[y] {
                (x, y) = (x + 1, y + 1);
            }
            frontier[slot] = x;
            if x >= before.len() && y >= after.len() {
                frontiers.push(frontier);
                return Some(walk_back(&frontiers, before.len(), after.len()));
            }
        }
        frontiers.push(frontier);
    }
    None
}

/// Where a diagonal begins after one more edit, and by which step. Slot `s` of `e` edits is the diagonal `s − e`.
fn start(last: &Frontier, edits: usize, slot: usize) -> (usize, Step) {
    // The same diagonals of the last frontier: one below, and one above.
    let below = slot.checked_sub(2).and_then(|slot| last.get(slot)).map(|x| x + 1);
    let above = last.get(slot).filter(|_| slot <= 2 * (edits - 1)).copied();
    match (below, above) {
        (Some(below), Some(above)) if above >= below => (above, Step::Add),
        (Some(below), _) => (below, Step::Remove),
        (None, above) => (above.unwrap_or(0), Step::Add),
    }
}

fn walk_back(frontiers: &[Frontier], before: usize, after: usize) -> Vec<Step> {
    let (mut x, mut y) = (before, after);
    let mut steps = Vec::new();
    for edits in (1..frontiers.len()).rev() {
        let slot = x + edits - y;
        let (begin, step) = start(&frontiers[edits - 1], edits, slot);
        let kept = x - begin;
        steps.extend(vec![Step::Keep; kept]);
        (x, y) = (begin, y - kept);
        steps.push(step);
        match step {
            Step::Remove => x -= 1,
            _ => y -= 1,
        }
    }
    steps.extend(vec![Step::Keep; x]);
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, edits: usize) {
        let (one, two): (Vec<_>, Vec<_>) =
            (before.split(' ').collect(), after.split(' ').collect());
        let steps = steps(&one, &two);
        let (mut left, mut right) = (one.iter(), two.iter());
        for step in &steps {
            match step {
                Step::Keep => assert_eq!(left.next(), right.next(), "{before} {after}"),
                Step::Remove => assert!(left.next().is_some()),
                Step::Add => assert!(right.next().is_some()),
            }
        }
        assert!(left.next().is_none() && right.next().is_none());
        let changed = steps.iter().filter(|step| **step != Step::Keep).count();
        assert_eq!(changed, edits, "{before} -> {after}: {steps:?}");
    }

    #[test]
    fn the_shortest_edit_is_found() {
        check("a b c", "a b c", 0);
        check("a b c a b b a", "c b a b a c", 5);
        check("a b c d", "a x c d", 2);
        check("a", "b c d", 4);
        check("a b c d e f", "b d f", 3);
        check("x", "a x b", 2);
    }

    /// The length of the shortest edit, by the table that every textbook has.
    fn distance(one: &[&str], two: &[&str]) -> usize {
        let mut row: Vec<usize> = (0..=two.len()).collect();
        for (x, left) in one.iter().enumerate() {
            let mut corner = row[0];
            row[0] = x + 1;
            for (y, right) in two.iter().enumerate() {
                let kept = corner;
                corner = row[y + 1];
                row[y + 1] = if left == right { kept } else { row[y].min(corner) + 1 };
            }
        }
        row[two.len()]
    }

    #[test]
    fn random_texts_get_their_shortest_edit() {
        let mut dice = 7_u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        for _ in 0..2_000 {
            let mut text = || {
                let words = 1 + roll(12);
                (0..words)
                    .map(|_| ["a", "b", "c", "d"][usize::try_from(roll(4)).unwrap()])
                    .collect()
            };
            let (one, two): (Vec<&str>, Vec<&str>) = (text(), text());
            check(&one.join(" "), &two.join(" "), distance(&one, &two));
        }
    }

    #[test]
    fn texts_without_anything_in_common_are_replaced() {
        let lines = |word: &str| {
            (0..2_000).map(|number| format!("{word}{number}")).collect::<Vec<_>>().join(" ")
        };
        check(&lines("a"), &lines("b"), 4_000);
    }
}
