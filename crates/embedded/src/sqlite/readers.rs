//! A few threads, each with its own connection, that read while the writer writes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use engine::port::LedgerError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::{Failure, unavailable};
use super::queue::{Placed, Queue};
use super::schema::{OpenError, open_reader};
use super::sealing::Sealing;

/// Threads that read at once.
const READERS: usize = 3;
/// Requests to read that may wait or be at work.
const READS_MAX: usize = 4_096;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The threads that read. Joined when this is dropped.
pub(super) struct Readers {
    queue: Arc<Queue<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Readers {
    /// Starts the threads.
    pub(super) fn start(path: &Path, sealing: &Sealing) -> Result<Self, OpenError> {
        let mut readers = Self { queue: Queue::new(READS_MAX), threads: Vec::new() };
        for index in 0..READERS {
            let connection = open_reader(path, sealing)?;
            let queue = Arc::clone(&readers.queue);
            let thread = std::thread::Builder::new()
                .name(format!("ledger-read-{index}"))
                .spawn(move || serve(&queue, &connection))
                .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Reads in one of the threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let read = move |connection: &Connection| {
            if !answer.is_closed() {
                // The asker may have gone meanwhile.
                let _gone = answer.send(work(connection)).is_err();
            }
        };
        self.queue.push(Box::new(read)).await;
        match answered.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(unavailable("the readers of the ledger have stopped".to_owned())),
        }
    }
}

fn serve(queue: &Queue<Read>, connection: &Connection) {
    while let Some(read) = queue.take_one() {
        let Placed { request, .. } = read;
        let work = std::panic::AssertUnwindSafe(|| request(connection));
        if std::panic::catch_unwind(work).is_err() {
            tracing::error!("a read of the ledger panicked");
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join().is_err();
        }
    }
}
