//! Readers: replay of a long stream, wake-up of many, and what many idle ones cost.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded::sqlite::SqliteLedger;
use engine::conformance::fixture::texts;
use engine::port::{Append, Durability, Ledger};
use engine::streams::follow;
use engine::task::{TaskKind, Tasks};
use futures_util::StreamExt;
use model::{DispatchId, EventId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::appends::{EVENT_BYTES, stream, streams};
use super::spread::{figures, now, percentile, us};
use super::{Failed, Rows};

const REPLAYED: u64 = 300_000;
const ROUNDS: u64 = 100;

fn text() -> String {
    "x".repeat(EVENT_BYTES - r#"{"type":"message","item":"m","text":""}"#.len())
}

/// Reads a long stream from its beginning, from the file.
pub(crate) async fn replay(folder: &Path, rows: Rows) -> Result<Value, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let ledger = rows.ledger(folder.path())?;
    let id = stream(&*ledger).await?;
    let part = vec![text(); 100];
    let part: Vec<&str> = part.iter().map(String::as_str).collect();
    for _ in 0..REPLAYED / 100 {
        let append = Append { durability: Durability::Relaxed, ..texts(id, 1, &part) };
        ledger.append(append).await?;
    }
    drop(ledger);
    let ledger = rows.ledger(folder.path())?;
    let begin = now();
    let entries = follow(ledger, id, EventId::START).take(usize::try_from(REPLAYED)?);
    let mut entries = pin!(entries);
    let mut count = 0_u32;
    while let Some(entry) = entries.next().await {
        entry?;
        count += 1;
    }
    let elapsed = begin.elapsed();
    let rate = f64::from(count) / elapsed.as_secs_f64();
    Ok(json!({ "events": count, "per_second": rate.round() }))
}

/// From the acknowledgement of an append to each of many followers of its stream.
pub(crate) async fn wake(folder: &Path, followers: usize) -> Result<Value, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let ledger = Arc::new(SqliteLedger::open(folder.path())?);
    let id = stream(&*ledger).await?;
    let tasks = Tasks::new();
    let (seen, mut arrivals) = mpsc::channel::<Instant>(followers);
    for _ in 0..followers {
        let (ledger, seen) = (Arc::clone(&ledger), seen.clone());
        let entries = follow(ledger, id, EventId { epoch: 0, n: 1 });
        tasks.spawn(TaskKind::Connection, "follower", report_each(entries, seen));
    }
    let mut delivered = Vec::new();
    let mut begin = now();
    for round in 0..=ROUNDS {
        // The entry that was there before shows that all of them stand ready.
        let mut acknowledged = None;
        if round > 0 {
            ledger.append(texts(id, 1, &[&text()])).await?;
            acknowledged = Some(now());
        }
        for _ in 0..followers {
            let seen = arrivals.recv().await.ok_or("a follower is gone")?;
            if let Some(acknowledged) = acknowledged {
                delivered.push(seen.saturating_duration_since(acknowledged));
            }
        }
        if round == 0 {
            begin = now();
        }
    }
    Ok(figures(delivered, begin.elapsed()))
}

async fn report_each(
    entries: impl futures_util::Stream<Item = Result<model::Entry, engine::port::LedgerError>>,
    seen: mpsc::Sender<Instant>,
) {
    let mut entries = pin!(entries);
    while let Some(Ok(_)) = entries.next().await {
        if seen.send(now()).await.is_err() {
            return;
        }
    }
}

/// What many followers, each of a stream of its own, cost while nothing happens.
pub(crate) async fn idle(folder: &Path, followers: usize) -> Result<Value, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let ledger = Arc::new(SqliteLedger::open(folder.path())?);
    let ids: Vec<DispatchId> = streams(&*ledger, followers).await?;
    let before = resident_kib()?;
    let tasks = Tasks::new();
    let (seen, mut arrivals) = mpsc::channel::<Instant>(followers);
    for id in ids {
        let entries = follow(ledger.clone(), id, EventId { epoch: 0, n: 1 });
        tasks.spawn(TaskKind::Connection, "follower", report_each(entries, seen.clone()));
    }
    for _ in 0..followers {
        arrivals.recv().await.ok_or("a follower is gone")?;
    }
    let cpu = cpu_ticks()?;
    let latency = read_latency(&ledger, Duration::from_secs(2)).await?;
    let resident = resident_kib()?.saturating_sub(before);
    let cpu_ms = (cpu_ticks()? - cpu) * 10;
    Ok(json!({
        "kib": resident,
        "bytes_each": resident * 1024 / followers as u64,
        "cpu_ms_in_2_s": cpu_ms,
        "read_p50_us": us(percentile(&latency, 50)),
        "read_p99_us": us(percentile(&latency, 99)),
    }))
}

/// How long small reads of the ledger take meanwhile: 50 a second.
async fn read_latency(ledger: &SqliteLedger, lasting: Duration) -> Result<Vec<Duration>, Failed> {
    let mut took = Vec::new();
    let begin = now();
    while begin.elapsed() < lasting {
        let before = now();
        ledger.record(DispatchId::from_uuid(uuid::Uuid::nil())).await?;
        took.push(before.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    took.sort_unstable();
    Ok(took)
}

fn resident_kib() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}

/// User and system time of this process, in hundredths of a second.
fn cpu_ticks() -> Result<u64, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").ok_or("no name")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
