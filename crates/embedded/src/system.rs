//! The clock and the randomness of this machine. Nothing else in this crate asks for either.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use engine::port::{Clock, IdSource};
use model::Time;
use uuid::Uuid;

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that others take")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that others take")]
        Instant::now()
    }
}

/// Ids by time and counter, secrets from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn uuid(&self) -> Uuid {
        #[expect(clippy::disallowed_methods, reason = "this is the id source that others take")]
        Uuid::now_v7()
    }

    /// # Panics
    /// When the operating system has no randomness to give: then nothing may go on.
    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system gives randomness");
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_sort_in_the_order_they_were_made_even_across_threads() {
        let of_one_thread = || (0..5_000).map(|_| RandomIds.uuid()).collect::<Vec<_>>();
        let threads = [(); 4].map(|()| std::thread::spawn(of_one_thread));
        let runs = threads.map(|thread| thread.join().expect("no panic"));
        for run in &runs {
            assert!(run.is_sorted());
        }
        let all: BTreeSet<_> = runs.into_iter().flatten().collect();
        assert_eq!(all.len(), 20_000, "no id twice");
        assert!(all.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn an_id_made_later_by_another_thread_sorts_later() {
        let mut last = RandomIds.uuid();
        for _ in 0..100 {
            let next = std::thread::spawn(|| RandomIds.uuid()).join().expect("no panic");
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn no_secret_comes_twice() {
        let secrets: BTreeSet<_> = (0..1_000).map(|_| RandomIds.secret()).collect();
        assert_eq!(secrets.len(), 1_000);
    }
}
