//! How long many things took: their spread, not their mean.

use std::time::{Duration, Instant};

use embedded::system::SystemClock;
use engine::port::Clock;
use serde_json::{Value, json};

pub(crate) fn now() -> Instant {
    SystemClock.instant()
}

/// The time that so many hundredths of them were done in.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// Rate and spread of things that were done within `elapsed`.
pub(crate) fn figures(mut took: Vec<Duration>, elapsed: Duration) -> Value {
    took.sort_unstable();
    let count = u32::try_from(took.len()).unwrap_or(u32::MAX);
    json!({
        "per_second": (f64::from(count) / elapsed.as_secs_f64()).round(),
        "p50_us": us(percentile(&took, 50)),
        "p99_us": us(percentile(&took, 99)),
        "count": count,
    })
}

pub(crate) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
