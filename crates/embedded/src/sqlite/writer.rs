//! The one thread that writes: everything that waits goes into one transaction and one sync.
//!
//! Nobody is answered before the commit. A request that fails is undone alone, by its savepoint.
//! After a failed sync nothing is written or acknowledged any more: what the kernel dropped then
//! cannot be told from what it kept.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::kill_point::kill_point;
use engine::port::{Clock, Durability, LedgerError};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

use super::failure::{Failure, is_fatal, of_database, unavailable};
use super::log::Log;
use super::queue::{Placed, Queue};
use super::schema::OpenError;
use super::tails::{Change, Tails};
use crate::system::SystemClock;

/// Requests to write that may wait or be at work.
const WRITES_MAX: usize = 4_096;
/// How long what was written relaxed may wait for its sync.
const RELAXED_MAX: Duration = Duration::from_millis(50);
/// The longest that requests wait for others to share their sync.
const GATHER_MAX: Duration = Duration::from_millis(2);

/// Something to write, of any kind.
trait Request: Send {
    /// Does it, inside the transaction. Whether it is to be kept.
    fn apply(&mut self, connection: &Connection) -> Result<Change, ()>;
    /// What the database said against it.
    fn database_error(&self) -> Option<&rusqlite::Error>;
    /// Tells the asker; with an error when the transaction was not committed.
    fn answer(self: Box<Self>, failed: Option<LedgerError>);
    /// How long it must survive.
    fn durability(&self) -> Durability;
}

/// What goes into one transaction.
type Requests = Vec<Placed<Box<dyn Request>>>;

struct Work<T, F> {
    ask: Option<F>,
    outcome: Option<Result<T, Failure>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
    durability: Durability,
}

impl<T, F> Request for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<(T, Change), Failure> + Send,
{
    fn apply(&mut self, connection: &Connection) -> Result<Change, ()> {
        let work = self.ask.take().ok_or(())?;
        match work(connection) {
            Ok((value, change)) => {
                self.outcome = Some(Ok(value));
                Ok(change)
            }
            Err(failure) => {
                self.outcome = Some(Err(failure));
                Err(())
            }
        }
    }

    fn database_error(&self) -> Option<&rusqlite::Error> {
        match &self.outcome {
            Some(Err(Failure::Database(error))) => Some(error),
            _ => None,
        }
    }

    fn answer(self: Box<Self>, failed: Option<LedgerError>) {
        let outcome = match (self.outcome, failed) {
            (Some(Err(Failure::Refused(refusal))), _) => Err(refusal),
            (_, Some(failed)) => Err(failed),
            (Some(outcome), None) => outcome.map_err(LedgerError::from),
            (None, None) => Err(unavailable("the request was not carried out".to_owned())),
        };
        // The asker may have gone meanwhile.
        let _gone = self.reply.send(outcome).is_err();
    }

    fn durability(&self) -> Durability {
        self.durability
    }
}

/// The thread that writes. Joined, after what waits was written, when this is dropped.
pub(super) struct Writer {
    queue: Arc<Queue<Box<dyn Request>>>,
    broken: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("broken", &*self.broken.borrow()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread on a connection from [`super::schema::open_writer`].
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        tails: Arc<Tails>,
    ) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let log = Log::open(path)?;
        let queue = Queue::new(WRITES_MAX);
        let (breaks, broken) = watch::channel(false);
        let state = Writing {
            connection,
            log,
            tails,
            breaks,
            mode: Durability::Synced,
            unsynced_since: None,
            poison: None,
        };
        let of_thread = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("ledger-write".to_owned())
            .spawn(move || serve(&of_thread, state))
            .map_err(io)?;
        Ok(Self { queue, broken, thread: Some(thread) })
    }

    /// Writes, together with whatever else waits.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<(T, Change), Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answered) = oneshot::channel();
        let work = Work { ask: Some(work), outcome: None, reply, durability };
        self.queue.push(Box::new(work)).await;
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => Err(unavailable("the writer of the ledger has stopped".to_owned())),
        }
    }

    /// Completes when nothing can be written any more.
    pub(super) async fn broken(&self) {
        let mut broken = self.broken.clone();
        // An error means that the thread is gone, which is the same.
        let _gone = broken.wait_for(|broken| *broken).await.is_err();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join().is_err();
        }
    }
}

/// Answers those who wait, with an error, when the thread ends for whatever reason.
struct AbandonAtEnd<'a>(&'a Queue<Box<dyn Request>>);

impl Drop for AbandonAtEnd<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn serve(queue: &Queue<Box<dyn Request>>, mut state: Writing) {
    let _abandon = AbandonAtEnd(queue);
    while let Some(requests) = queue.take_all(state.patience()) {
        if requests.is_empty() {
            state.sync_relaxed();
            continue;
        }
        let answered = requests.len();
        let begin = SystemClock.instant();
        let waiting = state.write(requests.into(), queue);
        // Who was just answered often asks again at once. Waiting for them, no longer than a sync
        // would, saves them the next but one.
        let took = SystemClock.instant().saturating_duration_since(begin);
        if waiting > 0 {
            queue.gather(waiting + answered, took.min(GATHER_MAX));
        }
    }
    state.sync_relaxed();
}

/// Why a transaction was not committed.
enum WriteError {
    Database(rusqlite::Error),
    Poisoned(String),
}

impl WriteError {
    fn to_ledger(&self) -> LedgerError {
        match self {
            Self::Database(error) => of_database(error),
            Self::Poisoned(why) => unavailable(why.clone()),
        }
    }
}

/// What the thread holds.
struct Writing {
    connection: Connection,
    log: Log,
    tails: Arc<Tails>,
    breaks: watch::Sender<bool>,
    /// How the database syncs its commits now.
    mode: Durability,
    /// Since when there are commits that were not synced.
    unsynced_since: Option<Instant>,
    /// Why nothing may be written any more.
    poison: Option<String>,
}

impl Writing {
    /// How long to wait for requests until something must be synced.
    fn patience(&self) -> Option<Duration> {
        let since = self.unsynced_since?;
        Some(RELAXED_MAX.saturating_sub(SystemClock.instant().saturating_duration_since(since)))
    }

    /// Writes and answers all of these. How many others waited when the first was answered.
    fn write(&mut self, mut requests: Requests, queue: &Queue<Box<dyn Request>>) -> usize {
        let synced =
            requests.iter().any(|placed| placed.request.durability() == Durability::Synced);
        let durability = if synced { Durability::Synced } else { Durability::Relaxed };
        let failed = match self.commit(&mut requests, durability) {
            Ok(changes) => {
                for change in changes {
                    self.tails.publish(change);
                }
                None
            }
            Err(error) => Some(error),
        };
        let waiting = queue.len();
        for placed in requests {
            placed.request.answer(failed.as_ref().map(WriteError::to_ledger));
            kill_point("ledger_answering");
        }
        if self.patience().is_some_and(|left| left.is_zero()) {
            self.sync_relaxed();
        }
        if self.poison.is_none()
            && let Err(error) = self.log.tend(&self.connection)
        {
            self.note(&error);
        }
        waiting
    }

    /// Applies all requests in one transaction.
    fn commit(
        &mut self,
        requests: &mut [Placed<Box<dyn Request>>],
        durability: Durability,
    ) -> Result<Vec<Change>, WriteError> {
        if let Some(why) = &self.poison {
            return Err(WriteError::Poisoned(why.clone()));
        }
        let before = self.connection.total_changes();
        let outcome = self.transact(requests, durability);
        if let Err(error) = &outcome {
            self.roll_back();
            self.note(error);
        }
        let changes = outcome.map_err(WriteError::Database)?;
        let wrote = self.connection.total_changes() != before;
        match durability {
            Durability::Synced if wrote => self.unsynced_since = None,
            // Nothing of its own to sync, but what was relaxed before must be safe now.
            Durability::Synced => self.sync_relaxed(),
            Durability::Relaxed if wrote => {
                self.unsynced_since.get_or_insert_with(|| SystemClock.instant());
            }
            Durability::Relaxed => {}
        }
        match &self.poison {
            Some(why) => Err(WriteError::Poisoned(why.clone())),
            None => Ok(changes),
        }
    }

    fn transact(
        &mut self,
        requests: &mut [Placed<Box<dyn Request>>],
        durability: Durability,
    ) -> rusqlite::Result<Vec<Change>> {
        self.settle(durability)?;
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([]).map(drop);
        run("BEGIN IMMEDIATE")?;
        let mut changes = Vec::with_capacity(requests.len());
        for placed in requests {
            run("SAVEPOINT one")?;
            if let Ok(change) = placed.request.apply(&self.connection) {
                changes.push(change);
            } else {
                if let Some(error) = placed.request.database_error() {
                    self.survives(error)?;
                }
                run("ROLLBACK TO one")?;
            }
            run("RELEASE one")?;
            kill_point("ledger_in_batch");
        }
        kill_point("ledger_before_commit");
        run("COMMIT")?;
        kill_point("ledger_after_commit");
        Ok(changes)
    }

    /// Whether the transaction can go on without the request that failed like this.
    fn survives(&self, error: &rusqlite::Error) -> rusqlite::Result<()> {
        match error.sqlite_error() {
            // The database undoes the whole transaction by itself where there is no room for it.
            Some(code) if is_fatal(error) || self.connection.is_autocommit() => {
                Err(rusqlite::Error::SqliteFailure(*code, Some(error.to_string())))
            }
            _ => Ok(()),
        }
    }

    /// Has commits synced, or not.
    fn settle(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.mode != durability {
            let mode = match durability {
                Durability::Synced => "FULL",
                Durability::Relaxed => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", mode)?;
            self.mode = durability;
        }
        Ok(())
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            warn!(%error, "the ledger could not undo a transaction");
        }
    }

    /// Syncs what was written relaxed.
    fn sync_relaxed(&mut self) {
        if self.unsynced_since.take().is_some()
            && let Err(error) = self.log.sync()
        {
            self.break_down(format!("the ledger could not be synced: {error}"));
        }
    }

    fn note(&mut self, error: &rusqlite::Error) {
        if is_fatal(error) {
            self.break_down(format!("the ledger cannot go on after: {error}"));
        } else {
            warn!(%error, "the ledger could not be written");
        }
    }

    fn break_down(&mut self, why: String) {
        error!(why, "the ledger stops");
        self.poison = Some(why);
        self.breaks.send_replace(true);
    }
}
