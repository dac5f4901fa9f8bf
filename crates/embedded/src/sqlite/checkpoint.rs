//! Moves the bulk of a long log into the database on a thread of its own, while the writer goes on:
//! who waits for an acknowledgement does not wait for that. What is left, the writer moves itself.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::schema::{OpenError, open_reader};
use super::sealing::Sealing;

/// How far the thread is.
#[derive(Debug)]
enum Stage {
    /// Nothing is asked of it.
    Idle,
    /// It is asked to move what is in the log.
    Asked,
    /// It did so, or it failed.
    Done(rusqlite::Result<()>),
    /// It is to end.
    Closed,
}

#[derive(Debug)]
struct Shared {
    stage: Mutex<Stage>,
    changed: Condvar,
}

/// The thread. Joined when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let connection = open_reader(path, &Sealing::Off)?;
        let shared = Arc::new(Shared { stage: Mutex::new(Stage::Idle), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ledger-move".to_owned())
            .spawn(move || serve(&of_thread, &connection))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for the log to be moved, unless that was asked before, and waits at most so long. Once it
    /// is done: how it went, and the next call asks anew.
    pub(super) fn poll(&self, wait: Duration) -> Option<rusqlite::Result<()>> {
        let mut stage = self.shared.stage.lock();
        if matches!(*stage, Stage::Idle) {
            *stage = Stage::Asked;
            self.shared.changed.notify_all();
        }
        let is_asked = |stage: &mut Stage| matches!(stage, Stage::Asked);
        self.shared.changed.wait_while_for(&mut stage, is_asked, wait);
        match std::mem::replace(&mut *stage, Stage::Idle) {
            Stage::Done(outcome) => Some(outcome),
            before => {
                *stage = before;
                None
            }
        }
    }
}

fn serve(shared: &Shared, connection: &Connection) {
    let mut stage = shared.stage.lock();
    loop {
        match *stage {
            Stage::Closed => return,
            Stage::Asked => {
                drop(stage);
                let outcome = move_log(connection).map(drop);
                stage = shared.stage.lock();
                if !matches!(*stage, Stage::Closed) {
                    *stage = Stage::Done(outcome);
                    shared.changed.notify_all();
                }
            }
            Stage::Idle | Stage::Done(_) => shared.changed.wait(&mut stage),
        }
    }
}

/// Moves into the database what no reader and no writer keeps in the log. How many pages the log has.
pub(super) fn move_log(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    let pages: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(1))?;
    Ok(pages.max(0).cast_unsigned())
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.shared.stage.lock() = Stage::Closed;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join().is_err();
        }
    }
}
