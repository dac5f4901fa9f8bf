//! Budgets: whether a call may be made while others are under way. Decided here, in memory, where all
//! calls of this server are known; what was used before it started is read from the book.
//!
//! Calls never pass their budget. Tokens and money are not known before a call is over, so each call
//! holds what it may come to: the size of its request and the limit of its answer. Calls beside each
//! other are let through as long as what all of them hold fits; one alone, as long as anything is left.
//! An answer that goes beyond what is left is cut. So a budget is passed by one call at most, and by no
//! more than its request, what came at once with the piece that passed it, and what the endpoint counts
//! otherwise than we do.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use engine::port::{Caller, Charge, Charged, LedgerError, UsageBook};
use model::{Budget, DispatchId, Time, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Budgets that begin anew with each day of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayBudgets {
    /// Of each person.
    pub person: Budget,
    /// Of all together.
    pub everybody: Budget,
}

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Dispatch,
    Person,
    Everybody,
}

/// What there is a budget for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Requests,
    Tokens,
    Money,
}

/// A budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp {
    whose: Whose,
    what: What,
    most: u64,
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, what, most } = *self;
        let whose_budget = match whose {
            Whose::Dispatch => "The budget of this dispatch",
            Whose::Person => "Your budget of today",
            Whose::Everybody => "The budget of this server for today",
        };
        let next = match whose {
            Whose::Dispatch => "send another message to go on in a fresh one",
            Whose::Person | Whose::Everybody => "it begins anew at midnight, UTC",
        };
        write!(f, "{whose_budget} is used up: ")?;
        match what {
            What::Requests => write!(f, "{most} calls of models")?,
            What::Tokens => write!(f, "{most} tokens")?,
            What::Money => write!(f, "{}.{:06} of money", most / 1_000_000, most % 1_000_000)?,
        }
        write!(f, ". What was done so far is kept; {next}.")
    }
}

/// What was used of a budget, and what calls under way may come to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    spent: Charge,
    held: Charge,
}

/// Whether a call may be made.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// Not beside those that are under way.
    Later,
    No(What, u64),
}

impl Sum {
    fn of(spent: Charge) -> Self {
        Self { spent, ..Self::default() }
    }

    /// Whether a call may be made that may come to this.
    fn admits(&self, budget: Budget, hold: Charge) -> Verdict {
        let Self { spent, held } = *self;
        let calls = spent.requests.saturating_add(held.requests);
        if let Some(most) = budget.requests.filter(|most| calls >= *most) {
            return Verdict::No(What::Requests, most);
        }
        let alone = held.requests == 0;
        let mut verdict = Verdict::Yes;
        for (what, most, spent, held, hold) in [
            (What::Tokens, budget.tokens, spent.tokens, held.tokens, hold.tokens),
            (What::Money, budget.micros, spent.micros, held.micros, hold.micros),
        ] {
            let Some(most) = most else { continue };
            if spent >= most {
                return Verdict::No(what, most);
            }
            if !alone && spent.saturating_add(held).saturating_add(hold) > most {
                verdict = Verdict::Later;
            }
        }
        verdict
    }

    /// What is passed by a call that holds `hold` and has come to `so_far`.
    fn passed(&self, budget: Budget, hold: Charge, so_far: Charge) -> Option<(What, u64)> {
        type Side = fn(Charge) -> u64;
        let sides: [(What, Option<u64>, Side); 2] = [
            (What::Tokens, budget.tokens, |charge| charge.tokens),
            (What::Money, budget.micros, |charge| charge.micros),
        ];
        sides.into_iter().find_map(|(what, most, of)| {
            let others = of(self.held).saturating_sub(of(hold));
            let sum = of(self.spent).saturating_add(others).saturating_add(of(so_far));
            most.filter(|most| sum > *most).map(|most| (what, most))
        })
    }

    fn hold(&mut self, hold: Charge) {
        self.held = self.held.plus(hold);
    }

    /// A call is over that held this and came to that.
    fn settle(&mut self, hold: Charge, spent: Charge) {
        self.held = Charge {
            requests: self.held.requests.saturating_sub(hold.requests),
            tokens: self.held.tokens.saturating_sub(hold.tokens),
            micros: self.held.micros.saturating_sub(hold.micros),
        };
        self.spent = self.spent.plus(spent);
    }
}

/// For whom a call is made.
#[derive(Debug, Clone, Copy)]
struct Who {
    dispatch: DispatchId,
    person: UserId,
}

#[derive(Debug, Default)]
struct Sums {
    /// The day of the sums that begin anew, counted since 1970.
    day: u64,
    everybody: Option<Sum>,
    persons: BTreeMap<UserId, Sum>,
    dispatches: BTreeMap<DispatchId, (Budget, Sum)>,
}

impl Sums {
    /// A new day: what is under way goes on, what was spent is of yesterday.
    fn turn_to(&mut self, day: u64) {
        if day > self.day {
            self.day = day;
            for sum in self.everybody.iter_mut().chain(self.persons.values_mut()) {
                sum.spent = Charge::default();
            }
        }
    }

    /// The budgets that a call falls under, with their sums.
    fn of(&mut self, days: DayBudgets, who: Who) -> impl Iterator<Item = Part<'_>> {
        let dispatch = self.dispatches.get_mut(&who.dispatch);
        let dispatch = dispatch.map(|(budget, sum)| (Whose::Dispatch, *budget, sum));
        let person = self.persons.get_mut(&who.person);
        let person = person.map(|sum| (Whose::Person, days.person, sum));
        let everybody = self.everybody.as_mut();
        let everybody = everybody.map(|sum| (Whose::Everybody, days.everybody, sum));
        [dispatch, person, everybody].into_iter().flatten()
    }
}

/// A budget that a call falls under.
type Part<'a> = (Whose, Budget, &'a mut Sum);

/// The budgets of this server, and what is left of them.
#[derive(Debug)]
pub(crate) struct Purse {
    days: DayBudgets,
    sums: Mutex<Sums>,
    freed: Notify,
}

impl Purse {
    pub(crate) fn new(days: DayBudgets) -> Arc<Self> {
        Arc::new(Self { days, sums: Mutex::default(), freed: Notify::new() })
    }

    /// Reads what this caller, its person and everybody used before.
    pub(crate) async fn open(
        &self,
        book: &dyn UsageBook,
        caller: &Caller,
        now: Time,
    ) -> Result<(), LedgerError> {
        let day = now.as_ms() / DAY_MS;
        let morning = Time::from_ms(day * DAY_MS);
        let (person, everybody) = {
            let sums = self.sums.lock();
            (sums.persons.contains_key(&caller.subject), sums.everybody.is_some())
        };
        let charged = async |known: bool, budget: Budget, whose| {
            if known || budget.is_unbounded() {
                return Ok(Charge::default());
            }
            book.charged(whose).await
        };
        let dispatch = charged(false, caller.budget, Charged::Dispatch(caller.dispatch)).await?;
        let of_person = Charged::Person(caller.subject, morning);
        let person = charged(person, self.days.person, of_person).await?;
        let of_all = Charged::Everybody(morning);
        let everybody = charged(everybody, self.days.everybody, of_all).await?;
        let mut sums = self.sums.lock();
        sums.turn_to(day);
        let of_today = |spent| if sums.day == day { Sum::of(spent) } else { Sum::default() };
        let (person, everybody) = (of_today(person), of_today(everybody));
        sums.dispatches.insert(caller.dispatch, (caller.budget, Sum::of(dispatch)));
        sums.persons.entry(caller.subject).or_insert(person);
        sums.everybody.get_or_insert(everybody);
        Ok(())
    }

    /// Forgets a dispatch that is over.
    pub(crate) fn close(&self, dispatch: DispatchId) {
        self.sums.lock().dispatches.remove(&dispatch);
    }

    /// Waits until a call may be made that may come to `hold`: at once, unless those that are under
    /// way may use up what is left. `hold` is asked only where there is a budget. Cancel safety: a dropped
    /// call holds nothing.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        caller: &Caller,
        hold: impl FnOnce() -> Charge,
        now: Time,
    ) -> Result<Hold, UsedUp> {
        let who = Who { dispatch: caller.dispatch, person: caller.subject };
        let budgets = [caller.budget, self.days.person, self.days.everybody];
        let bounded = !budgets.iter().all(Budget::is_unbounded);
        let amount = if bounded { hold() } else { Charge { requests: 1, ..Charge::default() } };
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.take(who, amount, now)? {
                return Ok(Hold { purse: Arc::clone(self), who, amount, bounded, held: true });
            }
            freed.await;
        }
    }

    /// Whether it was taken from all budgets; from none where it must wait.
    fn take(&self, who: Who, hold: Charge, now: Time) -> Result<bool, UsedUp> {
        let mut sums = self.sums.lock();
        sums.turn_to(now.as_ms() / DAY_MS);
        let parts: Vec<Part<'_>> = sums.of(self.days, who).collect();
        let mut fits = true;
        for (whose, budget, sum) in &parts {
            match sum.admits(*budget, hold) {
                Verdict::Yes => {}
                Verdict::Later => fits = false,
                Verdict::No(what, most) => return Err(UsedUp { whose: *whose, what, most }),
            }
        }
        if fits {
            for (_, _, sum) in parts {
                sum.hold(hold);
            }
        }
        Ok(fits)
    }
}

/// What a call that is under way may come to. What is not settled when it is dropped used nothing.
#[derive(Debug)]
pub(crate) struct Hold {
    purse: Arc<Purse>,
    who: Who,
    amount: Charge,
    bounded: bool,
    held: bool,
}

impl Hold {
    /// The budget that the call passes, if it has come to this.
    pub(crate) fn passed(&self, so_far: impl FnOnce() -> Charge) -> Option<UsedUp> {
        if !self.bounded {
            return None;
        }
        let so_far = so_far();
        let mut sums = self.purse.sums.lock();
        sums.of(self.purse.days, self.who).find_map(|(whose, budget, sum)| {
            let (what, most) = sum.passed(budget, self.amount, so_far)?;
            Some(UsedUp { whose, what, most })
        })
    }

    /// The call is over and came to this.
    pub(crate) fn settle(mut self, spent: Charge, now: Time) {
        self.give_back(spent, now);
    }

    fn give_back(&mut self, spent: Charge, now: Time) {
        if std::mem::replace(&mut self.held, false) {
            let mut sums = self.purse.sums.lock();
            sums.turn_to(now.as_ms() / DAY_MS);
            for (_, _, sum) in sums.of(self.purse.days, self.who) {
                sum.settle(self.amount, spent);
            }
            drop(sums);
            self.purse.freed.notify_waiters();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.give_back(Charge::default(), Time::from_ms(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(requests: u64, tokens: u64) -> Charge {
        Charge { requests, tokens, micros: 0 }
    }

    fn tokens(most: u64) -> Budget {
        Budget { tokens: Some(most), ..Budget::default() }
    }

    fn check(budget: Budget, spent: Charge, held: Charge, expected: &Verdict) {
        let sum = Sum { spent, held };
        assert_eq!(sum.admits(budget, charge(1, 10)), *expected, "{budget:?} {sum:?}");
    }

    #[test]
    fn calls_beside_each_other_fit_and_one_alone_needs_something_left() {
        let none = Charge::default();
        check(Budget::default(), charge(9, 9), charge(9, 9), &Verdict::Yes);
        check(tokens(30), charge(1, 10), charge(1, 10), &Verdict::Yes);
        check(tokens(29), charge(1, 10), charge(1, 10), &Verdict::Later);
        check(tokens(5), none, none, &Verdict::Yes);
        check(tokens(5), charge(1, 4), none, &Verdict::Yes);
        check(tokens(5), charge(1, 5), none, &Verdict::No(What::Tokens, 5));
        check(tokens(0), none, none, &Verdict::No(What::Tokens, 0));
        let requests = Budget { requests: Some(3), ..Budget::default() };
        check(requests, charge(1, 0), charge(1, 0), &Verdict::Yes);
        check(requests, charge(1, 0), charge(2, 0), &Verdict::No(What::Requests, 3));
    }

    #[test]
    fn a_call_is_cut_where_it_would_take_what_others_hold() {
        let sum = Sum { spent: charge(1, 10), held: charge(2, 30) };
        let so_far = |tokens| sum.passed(self::tokens(50), charge(1, 10), charge(1, tokens));
        assert_eq!(so_far(20), None);
        assert_eq!(so_far(21), Some((What::Tokens, 50)));
    }

    #[test]
    fn a_new_day_begins_anew_and_keeps_what_is_under_way() {
        let mut sums = Sums { everybody: Some(Sum::of(charge(5, 5))), ..Sums::default() };
        sums.everybody.as_mut().expect("there").hold(charge(1, 7));
        sums.turn_to(3);
        sums.turn_to(2);
        let sum = sums.everybody.expect("there");
        assert_eq!((sums.day, sum.spent, sum.held), (3, Charge::default(), charge(1, 7)));
    }

    #[test]
    fn what_is_used_up_says_what_next() {
        let used_up = UsedUp { whose: Whose::Person, what: What::Money, most: 1_500_000 };
        assert_eq!(
            used_up.to_string(),
            "Your budget of today is used up: 1.500000 of money. What was done so far is kept; it \
             begins anew at midnight, UTC."
        );
    }
}
