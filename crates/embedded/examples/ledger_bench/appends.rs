//! Durable appends of 256 bytes: on the bare disk, and through the ledger.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::conformance::fixture::{Ids, new_dispatch, texts};
use engine::port::{Ledger, LedgerError};
use futures_util::future::try_join_all;
use model::DispatchId;
use serde_json::Value;

use super::spread::{figures, now};
use super::{Failed, Rows};

/// Bytes of each event.
pub(crate) const EVENT_BYTES: usize = 256;

/// Appends and syncs, one after another: what the disk can do.
pub(crate) fn raw(folder: &Path, seconds: Duration) -> Result<Value, Failed> {
    let path = folder.join("raw");
    let mut file = File::create(&path)?;
    let block = [b'x'; EVENT_BYTES];
    let mut took = Vec::new();
    let begin = now();
    while begin.elapsed() < seconds {
        let before = now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    let elapsed = begin.elapsed();
    std::fs::remove_file(path)?;
    Ok(figures(took, elapsed))
}

/// So many writers, each on a stream of its own, each waiting for its acknowledgement.
pub(crate) async fn ledger(
    folder: &Path,
    writers: usize,
    seconds: Duration,
    rows: Rows,
) -> Result<Value, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let ledger = rows.ledger(folder.path())?;
    let mut streams = Vec::new();
    for _ in 0..writers {
        streams.push(stream(&*ledger).await?);
    }
    let begin = now();
    let tasks = engine::task::Tasks::new();
    let (done, mut finished) = tokio::sync::mpsc::channel(writers);
    for stream in streams {
        let (ledger, done) = (Arc::clone(&ledger), done.clone());
        tasks.spawn(engine::task::TaskKind::Connection, "writer", async move {
            let took = write(&*ledger, stream, begin + seconds).await;
            // The receiver outlives every writer.
            let _gone = done.send(took).await.is_err();
        });
    }
    drop(done);
    let mut took = Vec::new();
    while let Some(of_one) = finished.recv().await {
        took.extend(of_one?);
    }
    Ok(figures(took, begin.elapsed()))
}

/// A new stream that epoch 1 may write.
pub(crate) async fn stream(ledger: &dyn Ledger) -> Result<DispatchId, LedgerError> {
    let ids = Ids::new();
    let new = new_dispatch(&ids, ids.user(), "t1", 1);
    let id = new.dispatch.id;
    ledger.create(new).await?;
    ledger.open(id).await?;
    Ok(id)
}

/// Many new streams.
pub(crate) async fn streams(
    ledger: &dyn Ledger,
    count: usize,
) -> Result<Vec<DispatchId>, LedgerError> {
    try_join_all((0..count).map(|_| stream(ledger))).await
}

async fn write(
    ledger: &dyn Ledger,
    stream: DispatchId,
    until: Instant,
) -> Result<Vec<Duration>, LedgerError> {
    let text = "x".repeat(EVENT_BYTES - r#"{"type":"message","item":"m","text":""}"#.len());
    let mut took = Vec::new();
    while now() < until {
        let before = now();
        ledger.append(texts(stream, 1, &[&text])).await?;
        took.push(before.elapsed());
    }
    Ok(took)
}
