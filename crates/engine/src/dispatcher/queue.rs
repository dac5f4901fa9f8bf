//! Who gets the next place. Pure and bounded: never waits, knows no sandbox.
//!
//! Subjects take turns: however many dispatches one person has waiting, another's first one waits
//! for at most one place per person before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{DispatchId, UserId};

/// How many may be alive and how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "each is a bound and says so")]
pub struct QueueBounds {
    /// Dispatches with a sandbox at once, of all people. At least 1.
    pub live_max: usize,
    /// Dispatches of one person that may wait.
    pub waiting_per_subject_max: usize,
    /// Dispatches of all people that may wait.
    pub waiting_max: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self { live_max: 1_000, waiting_per_subject_max: 200, waiting_max: 5_000 }
    }
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Too many dispatches of this person wait.
    Subject,
    /// Too many dispatches wait.
    Everyone,
}

/// How a dispatch stands after it asked for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    Placed,
    Waiting { ahead: u32 },
}

#[derive(Debug, Default)]
struct Subject {
    live_max: usize,
    live: BTreeSet<DispatchId>,
    waiting: VecDeque<DispatchId>,
}

impl Subject {
    fn has_room(&self) -> bool {
        self.live.len() < self.live_max
    }
}

/// The places and who waits for one.
#[derive(Debug)]
pub(crate) struct Queue {
    bounds: QueueBounds,
    subjects: BTreeMap<UserId, Subject>,
    /// The people of whom a dispatch waits, in the order of their turns.
    turns: VecDeque<UserId>,
    live: usize,
    waiting: usize,
}

impl Queue {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        let (subjects, turns) = (BTreeMap::new(), VecDeque::new());
        Self { bounds, subjects, turns, live: 0, waiting: 0 }
    }

    /// Gives a place, or a place in the line.
    pub(crate) fn enter(
        &mut self,
        dispatch: DispatchId,
        subject: UserId,
        live_max: usize,
    ) -> Result<Entered, Full> {
        let line = self.subjects.entry(subject).or_default();
        line.live_max = live_max.max(1);
        let waits = self.live >= self.bounds.live_max || !line.has_room();
        if waits && line.waiting.len() >= self.bounds.waiting_per_subject_max {
            return Err(Full::Subject);
        }
        if waits && self.waiting >= self.bounds.waiting_max {
            return Err(Full::Everyone);
        }
        Ok(self.line_up(dispatch, subject, live_max))
    }

    /// Gives a place, or a place in the line however long it is: to what stood in it before.
    pub(crate) fn line_up(
        &mut self,
        dispatch: DispatchId,
        subject: UserId,
        live_max: usize,
    ) -> Entered {
        let ahead = self.waiting;
        let line = self.subjects.entry(subject).or_default();
        line.live_max = live_max.max(1);
        if self.live < self.bounds.live_max && line.has_room() && line.waiting.is_empty() {
            line.live.insert(dispatch);
            self.live += 1;
            return Entered::Placed;
        }
        if line.waiting.is_empty() {
            self.turns.push_back(subject);
        }
        line.waiting.push_back(dispatch);
        self.waiting += 1;
        Entered::Waiting { ahead: u32::try_from(ahead).unwrap_or(u32::MAX) }
    }

    /// Gives a place whatever the bounds say: to a dispatch whose box lives already.
    pub(crate) fn admit(&mut self, dispatch: DispatchId, subject: UserId, live_max: usize) {
        let line = self.subjects.entry(subject).or_default();
        line.live_max = live_max.max(1);
        line.live.insert(dispatch);
        self.live += 1;
    }

    /// Takes a dispatch out, wherever it stands. Those that get a place by it.
    pub(crate) fn leave(&mut self, subject: UserId, dispatch: DispatchId) -> Vec<DispatchId> {
        if let Some(line) = self.subjects.get_mut(&subject) {
            if line.live.remove(&dispatch) {
                self.live -= 1;
            }
            let before = line.waiting.len();
            line.waiting.retain(|waiting| *waiting != dispatch);
            self.waiting -= before - line.waiting.len();
            if line.waiting.is_empty() {
                self.turns.retain(|turn| *turn != subject);
            }
            if line.waiting.is_empty() && line.live.is_empty() {
                self.subjects.remove(&subject);
            }
        }
        self.place()
    }

    /// Whether somebody waits who would get the place of a dispatch of `subject`.
    pub(crate) fn is_wanted(&self, subject: UserId) -> bool {
        let own = self.subjects.get(&subject).is_some_and(|line| !line.waiting.is_empty());
        let full = self.live >= self.bounds.live_max;
        own || (full && self.turns.iter().any(|turn| self.subjects[turn].has_room()))
    }

    /// How many live and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.live, self.waiting)
    }

    fn place(&mut self) -> Vec<DispatchId> {
        let mut placed = Vec::new();
        while self.live < self.bounds.live_max
            && let Some(at) = self.turns.iter().position(|turn| self.subjects[turn].has_room())
            && let Some(subject) = self.turns.remove(at)
            && let Some(line) = self.subjects.get_mut(&subject)
            && let Some(dispatch) = line.waiting.pop_front()
        {
            line.live.insert(dispatch);
            if !line.waiting.is_empty() {
                self.turns.push_back(subject);
            }
            self.waiting -= 1;
            self.live += 1;
            placed.push(dispatch);
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn dispatch(bits: u128) -> DispatchId {
        DispatchId::from_uuid(Uuid::from_u128(bits))
    }

    fn user(bits: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(bits))
    }

    fn queue(live_max: usize, waiting_per_subject_max: usize, waiting_max: usize) -> Queue {
        Queue::new(QueueBounds { live_max, waiting_per_subject_max, waiting_max })
    }

    #[test]
    fn one_person_waits_at_their_own_limit_while_another_goes_ahead() {
        let mut queue = queue(10, 10, 10);
        assert_eq!(queue.enter(dispatch(1), user(1), 1), Ok(Entered::Placed));
        assert_eq!(queue.enter(dispatch(2), user(1), 1), Ok(Entered::Waiting { ahead: 0 }));
        assert_eq!(queue.enter(dispatch(3), user(2), 1), Ok(Entered::Placed));
        assert_eq!(queue.leave(user(1), dispatch(1)), [dispatch(2)]);
    }

    #[test]
    fn subjects_take_turns_however_many_dispatches_one_of_them_has() {
        let mut queue = queue(1, 100, 100);
        assert_eq!(queue.enter(dispatch(1), user(1), 50), Ok(Entered::Placed));
        for n in 2..20 {
            assert!(queue.enter(dispatch(n), user(1), 50).is_ok());
        }
        assert!(queue.enter(dispatch(50), user(2), 50).is_ok());
        assert!(queue.enter(dispatch(51), user(2), 50).is_ok());
        let mut order = vec![];
        let mut next = (user(1), dispatch(1));
        for _ in 0..4 {
            let placed = queue.leave(next.0, next.1);
            let owner = if placed[0] >= dispatch(50) { user(2) } else { user(1) };
            next = (owner, placed[0]);
            order.push(placed[0]);
        }
        assert_eq!(order, [dispatch(2), dispatch(50), dispatch(3), dispatch(51)]);
    }

    #[test]
    fn what_is_full_says_which_bound_it_was() {
        let mut queue = queue(1, 1, 2);
        assert!(queue.enter(dispatch(1), user(1), 9).is_ok());
        assert!(queue.enter(dispatch(2), user(1), 9).is_ok());
        assert_eq!(queue.enter(dispatch(3), user(1), 9), Err(Full::Subject));
        assert!(queue.enter(dispatch(4), user(2), 9).is_ok());
        assert_eq!(queue.enter(dispatch(5), user(3), 9), Err(Full::Everyone));
    }

    #[test]
    fn a_dispatch_that_leaves_the_line_is_never_placed() {
        let mut queue = queue(1, 9, 9);
        assert!(queue.enter(dispatch(1), user(1), 9).is_ok());
        assert!(queue.enter(dispatch(2), user(1), 9).is_ok());
        assert_eq!(queue.leave(user(1), dispatch(2)), []);
        assert_eq!(queue.leave(user(1), dispatch(1)), []);
        assert_eq!(queue.counts(), (0, 0));
    }

    #[test]
    fn an_idle_box_is_wanted_when_its_place_would_help_somebody() {
        let mut queue = queue(2, 9, 9);
        assert!(queue.enter(dispatch(1), user(1), 1).is_ok());
        assert!(queue.enter(dispatch(2), user(2), 1).is_ok());
        assert!(!queue.is_wanted(user(1)));
        assert!(queue.enter(dispatch(3), user(2), 1).is_ok());
        assert!(!queue.is_wanted(user(1)), "its place would not help the second of user 2");
        assert!(queue.is_wanted(user(2)));
        assert!(queue.enter(dispatch(4), user(3), 1).is_ok());
        assert!(queue.is_wanted(user(1)));
    }

    /// Whatever comes and goes, no bound is passed and nobody waits beside a free place of theirs.
    #[test]
    fn bounds_hold_in_any_order_of_comings_and_goings() {
        for seed in 1..200_u64 {
            let mut random = crate::seeded::Seeded::new(seed);
            let mut queue = queue(3, 4, 8);
            let mut inside: Vec<(UserId, DispatchId)> = vec![];
            for n in 0..200 {
                if random.below(2) == 0 || inside.is_empty() {
                    let who = user(u128::from(random.below(4)));
                    if queue.enter(dispatch(n), who, 2).is_ok() {
                        inside.push((who, dispatch(n)));
                    }
                } else {
                    let at = usize::try_from(random.below(inside.len() as u64)).expect("small");
                    let (who, gone) = inside.swap_remove(at);
                    queue.leave(who, gone);
                }
                let (live, waiting) = queue.counts();
                assert!(live <= 3 && waiting <= 8, "seed {seed}");
                assert_eq!(live + waiting, inside.len(), "seed {seed}");
                let stuck = live < 3 && queue.turns.iter().any(|t| queue.subjects[t].has_room());
                assert!(!stuck, "seed {seed}: somebody waits beside a free place");
            }
        }
    }
}
