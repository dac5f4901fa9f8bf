//! Which commits the folder's newest one was made on, remembered between two questions: what was walked once is not
//! walked again, and only as far as a question needs. Pure; never trusts the time that a commit bears.

use std::collections::{HashSet, VecDeque};

use crate::{Error, id::Oid};

/// Commits that are looked through at most to find one.
const REACHED_MAX: usize = 1_000_000;

/// Commits that are remembered at most; of a longer history a question begins anew. 20 bytes each.
const REMEMBERED_MAX: usize = 200_000;

/// A walk from one commit backwards, as far as it was needed.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    head: Option<Oid>,
    /// What is known to be part of the history.
    reached: HashSet<Oid>,
    /// Those of them whose parents were not looked at yet, the newest first.
    waiting: VecDeque<Oid>,
}

impl Reach {
    /// Whether `commit` is `head` or what it was made on; `parents` tells those of a commit.
    pub(crate) fn holds(
        &mut self,
        head: Oid,
        commit: Oid,
        mut parents: impl FnMut(&Oid) -> Result<Vec<Oid>, Error>,
    ) -> Result<bool, Error> {
        if self.head != Some(head) {
            // What fails in between is asked again from the beginning.
            let known = std::mem::take(self);
            *self = known.moved_to(head, &mut parents)?;
        }
        while !self.reached.contains(&commit) && self.reached.len() < REACHED_MAX {
            let Some(next) = self.waiting.front().copied() else { break };
            let above = parents(&next)?;
            self.waiting.pop_front();
            self.waiting.extend(above.into_iter().filter(|parent| self.reached.insert(*parent)));
        }
        let found = self.reached.contains(&commit);
        if self.reached.len() > REMEMBERED_MAX {
            *self = Self::default();
        }
        Ok(found)
    }

    /// The same for a newer head: what was reached still is if the new head was made on the old one.
    fn moved_to(
        mut self,
        head: Oid,
        parents: &mut impl FnMut(&Oid) -> Result<Vec<Oid>, Error>,
    ) -> Result<Self, Error> {
        let (mut fresh, mut waiting) = (HashSet::from([head]), VecDeque::from([head]));
        let mut joined = false;
        while !joined
            && fresh.len() < REMEMBERED_MAX
            && self.head.is_some()
            && let Some(next) = waiting.pop_front()
        {
            for parent in parents(&next)? {
                joined |= self.head == Some(parent);
                // No way to the old head leads through what it was made on.
                if !self.reached.contains(&parent) && fresh.insert(parent) {
                    waiting.push_back(parent);
                }
            }
        }
        if !joined {
            return Ok(Self {
                head: Some(head),
                reached: HashSet::from([head]),
                waiting: VecDeque::from([head]),
            });
        }
        self.reached.extend(fresh);
        waiting.append(&mut self.waiting);
        Ok(Self { head: Some(head), reached: self.reached, waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commit of this number.
    fn id(number: u16) -> Oid {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        id
    }

    /// Histories by their commits' parents, and how often these were asked for.
    struct Line {
        reach: Reach,
        parents: Vec<Vec<u16>>,
        asked: usize,
    }

    impl Line {
        #[track_caller]
        fn check(&mut self, head: u16, commit: u16, expected: bool, asked_max: usize) {
            let before = self.asked;
            let found = self.reach.holds(id(head), id(commit), |of| {
                self.asked += 1;
                let number = u16::from_be_bytes([of[0], of[1]]);
                Ok(self.parents[usize::from(number)].iter().map(|it| id(*it)).collect())
            });
            assert_eq!(found.unwrap(), expected, "{commit} in the history of {head}");
            let asked = self.asked - before;
            assert!(asked <= asked_max, "{asked} commits were read for {commit} in {head}");
        }
    }

    #[test]
    fn a_question_costs_what_is_new_since_the_last_one() {
        let line = (0..10_000_u16).map(|number| number.checked_sub(1).into_iter().collect());
        let mut asked = Line { reach: Reach::default(), parents: line.collect(), asked: 0 };
        asked.check(9_000, 9_000, true, 0);
        asked.check(9_000, 8_990, true, 10);
        asked.check(9_001, 8_995, true, 1);
        asked.check(9_010, 8_000, true, 1_000);
        asked.check(9_010, 9_500, false, 9_000);
        // All of it is known now.
        for commit in [0, 1, 4_711, 9_010] {
            asked.check(9_010, commit, true, 0);
        }
        asked.check(9_010, 9_999, false, 0);
        asked.check(9_999, 0, true, 989);
        // Back again: not made on what it was before.
        asked.check(5_000, 5_001, false, 6_000);
        asked.check(5_000, 4_000, true, 0);
    }

    #[test]
    fn a_merge_joins_two_lines_and_a_foreign_line_is_none_of_it() {
        //  0 - 1 - 2 ----- 5 - 6      7 - 8: another root
        //       \- 3 - 4 -/
        let parents =
            vec![vec![], vec![0], vec![1], vec![1], vec![3], vec![2, 4], vec![5], vec![], vec![7]];
        let all = |head: u16, within: &[u16]| {
            let mut asked = Line { reach: Reach::default(), parents: parents.clone(), asked: 0 };
            asked.check(2, 0, true, 9);
            for commit in 0..9 {
                asked.check(head, commit, within.contains(&commit), 9);
            }
        };
        all(6, &[0, 1, 2, 3, 4, 5, 6]);
        all(4, &[0, 1, 3, 4]);
        all(2, &[0, 1, 2]);
        all(8, &[7, 8]);
    }
}
