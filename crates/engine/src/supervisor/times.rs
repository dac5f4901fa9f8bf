//! What must happen by when. Pure but for the instants it is given.

use std::time::Duration;

use tokio::time::Instant;

/// A time that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// The box lived as long as it may.
    Lifetime,
    /// The turn took as long as it may.
    Turn,
    /// The agent did not obey when it was asked to stop.
    Stop,
    /// The box was idle for as long as it may be.
    Idle,
}

/// What must happen by when.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) lifetime: Option<Instant>,
    pub(crate) turn: Option<Instant>,
    pub(crate) stop: Option<Instant>,
    pub(crate) idle: Option<Instant>,
    /// When the next question counts as refused.
    pub(crate) question: Option<Instant>,
    /// When what was gathered is written.
    pub(crate) flush: Option<Instant>,
}

impl Times {
    /// What is up first, and when.
    pub(crate) fn next(&self) -> Option<(Instant, Up)> {
        let all = [
            (self.lifetime, Up::Lifetime),
            (self.turn, Up::Turn),
            (self.stop, Up::Stop),
            (self.idle, Up::Idle),
        ];
        all.into_iter().filter_map(|(at, up)| Some((at?, up))).min_by_key(|(at, _)| *at)
    }
}

/// Waits until a time that may never come.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// From now on, or for ever where that is beyond what can be counted.
pub(crate) fn after(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_is_up_first() {
        let mut times = Times::default();
        assert_eq!(times.next(), None);
        times.lifetime = after(Duration::from_secs(9));
        times.idle = after(Duration::from_secs(5));
        assert_eq!(times.next().map(|(_, up)| up), Some(Up::Idle));
        times.idle = None;
        assert_eq!(times.next().map(|(_, up)| up), Some(Up::Lifetime));
    }
}
