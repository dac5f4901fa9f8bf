//! Who waits for which stream, and the latest entries of those streams, so that a thousand readers
//! of one stream cost one write and no query. Holds nothing for a stream that nobody waited for.
//!
//! The writer publishes after its commit and before it answers, in the order of its commits. So
//! what is found here is committed, and a writer that was answered finds its own entries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{DispatchId, Entry, EventId};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Bytes of bodies that are kept of one stream.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// Bytes of bodies that are kept of all streams together.
const TAILS_BYTES_MAX: usize = 64 << 20;
/// How many streams are remembered before those that nobody waits for are forgotten.
const CELLS_MIN: usize = 1_024;

/// What one request added to a stream.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The stream; none when nothing was added to any.
    pub(super) dispatch: Option<DispatchId>,
    /// The entries.
    pub(super) grown: Grown,
    /// Whether the stream is closed now.
    pub(super) closed: bool,
}

impl Change {
    /// Nothing was added.
    pub(super) const NONE: Self = Self { dispatch: None, grown: Grown::NONE, closed: false };
}

/// Entries that follow one another.
#[derive(Debug)]
pub(super) struct Grown {
    /// The last entry before them.
    pub(super) before: EventId,
    /// The entries.
    pub(super) entries: Vec<Entry>,
    /// Bytes of their bodies.
    pub(super) bytes: usize,
}

impl Grown {
    const NONE: Self = Self { before: EventId::START, entries: Vec::new(), bytes: 0 };

    /// The last entry of the stream now.
    pub(super) fn last(&self) -> EventId {
        self.entries.last().map_or(self.before, |entry| entry.id)
    }
}

impl Default for Grown {
    fn default() -> Self {
        Self::NONE
    }
}

/// Where a stream stands, as far as it is known here.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Whether it was read or published at all.
    known: bool,
    last: Option<EventId>,
    closed: bool,
}

/// A run of entries up to the last one of the stream.
#[derive(Debug, Default)]
struct Tail {
    /// The entry before the first one kept; absent until something was published.
    floor: Option<EventId>,
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

/// One stream that somebody waits for, or did.
#[derive(Debug)]
pub(super) struct Cell {
    standing: watch::Sender<Standing>,
    tail: Mutex<Tail>,
}

impl Cell {
    fn new() -> Self {
        Self { standing: watch::Sender::new(Standing::default()), tail: Mutex::default() }
    }

    /// Whether it is known where the stream stands.
    pub(super) fn is_known(&self) -> bool {
        self.standing.borrow().known
    }

    /// Takes note of where the stream stood when it was read. What was published since prevails.
    pub(super) fn learn(&self, last: EventId, closed: bool) {
        self.standing.send_if_modified(|standing| {
            standing.known = true;
            standing.last = standing.last.max(Some(last));
            standing.closed |= closed;
            true
        });
    }

    /// Waits until there is an entry after `after`, or the stream is closed.
    pub(super) async fn wait(&self, after: EventId) {
        let mut standing = self.standing.subscribe();
        // An error means that the sender is gone, and it is borrowed here.
        let _closed = standing
            .wait_for(|standing| standing.closed || standing.last > Some(after))
            .await
            .is_err();
    }

    /// At most `limit` entries after `after`, if every one that there is stands here.
    fn read(&self, after: EventId, limit: usize) -> Option<Vec<Entry>> {
        let tail = self.tail.lock();
        if tail.floor.is_none_or(|floor| after < floor) {
            return None;
        }
        let first = tail.entries.partition_point(|(entry, _)| entry.id <= after);
        Some(tail.entries.range(first..).take(limit).map(|(entry, _)| entry.clone()).collect())
    }
}

/// All streams that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Tails {
    cells: Mutex<Cells>,
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Cells {
    of: HashMap<DispatchId, Arc<Cell>>,
    sweep_at: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self { of: HashMap::new(), sweep_at: CELLS_MIN }
    }
}

impl Tails {
    /// The cell of a stream, which is kept at least for as long as it is held.
    pub(super) fn join(&self, dispatch: DispatchId) -> Arc<Cell> {
        let mut cells = self.cells.lock();
        if let Some(cell) = cells.of.get(&dispatch) {
            return Arc::clone(cell);
        }
        if cells.of.len() >= cells.sweep_at {
            self.sweep(&mut cells);
        }
        Arc::clone(cells.of.entry(dispatch).or_insert_with(|| Arc::new(Cell::new())))
    }

    fn sweep(&self, cells: &mut Cells) {
        cells.of.retain(|_, cell| {
            let held = Arc::strong_count(cell) > 1;
            if !held {
                self.bytes.fetch_sub(cell.tail.lock().bytes, Ordering::Relaxed);
            }
            held
        });
        cells.sweep_at = CELLS_MIN.max(2 * cells.of.len());
    }

    /// See [`engine::port::Ledger::read`]; absent when the file must be asked.
    pub(super) fn read(&self, of: DispatchId, after: EventId, limit: u32) -> Option<Vec<Entry>> {
        let cell = Arc::clone(self.cells.lock().of.get(&of)?);
        cell.read(after, limit as usize)
    }

    /// Shows what was committed to those who wait.
    pub(super) fn publish(&self, change: Change) {
        let Some(dispatch) = change.dispatch else { return };
        let Some(cell) = self.cells.lock().of.get(&dispatch).map(Arc::clone) else { return };
        let last = change.grown.last();
        self.keep(&cell, change.grown);
        cell.learn(last, change.closed);
    }

    fn keep(&self, cell: &Cell, grown: Grown) {
        let mut tail = cell.tail.lock();
        let before = tail.bytes;
        let floor = *tail.floor.get_or_insert(grown.before);
        debug_assert!(floor <= grown.before, "the writer publishes in order");
        let each = grown.bytes / grown.entries.len().max(1);
        tail.bytes += each * grown.entries.len();
        tail.entries.extend(grown.entries.into_iter().map(|entry| (entry, each)));
        let others = self.bytes.load(Ordering::Relaxed) - before;
        let room = TAIL_BYTES_MAX.min(TAILS_BYTES_MAX.saturating_sub(others));
        while tail.bytes > room {
            let Some((entry, bytes)) = tail.entries.pop_front() else { break };
            tail.floor = Some(entry.id);
            tail.bytes -= bytes;
        }
        self.bytes.store(others + tail.bytes, Ordering::Relaxed);
    }
}
