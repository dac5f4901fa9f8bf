//! The write-ahead log beside the database: kept long enough that a commit need not lengthen it,
//! because a sync of a file that grew costs twice, and short enough to be read quickly.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::{Checkpointer, move_log};
use super::schema::OpenError;

/// Pages after which the log is moved into the database.
const PAGES_MAX: u64 = 4_096;
/// Pages at which the writer waits for that: a machine may be slower at it than at writing.
const PAGES_WAIT: u64 = 3 * PAGES_MAX;
/// How long the writer waits then.
const MOVE_MAX: Duration = Duration::from_secs(30);
/// Bytes of one page in the log, its header included.
const PAGE_BYTES: u64 = 4_096 + 24;
/// The log is lengthened by so many bytes of zeros, which are no valid page.
const STEP_BYTES: u64 = 1 << 20;
/// Bytes that a commit finds ready, where it is not a large one.
const READY_BYTES: u64 = 256 << 10;

/// The log of a database that is open.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    length: u64,
    checkpointer: Checkpointer,
}

impl Log {
    /// The log beside this database.
    pub(super) fn open(database: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: database.to_owned(), source };
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let file = File::options().write(true).open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Ok(Self { file, length, checkpointer: Checkpointer::start(database)? })
    }

    /// Syncs all that was committed.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Moves a long log into the database, and lengthens a short one. Between two transactions.
    pub(super) fn tend(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "PRAGMA wal_checkpoint(NOOP)";
        let pages: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(1))?;
        let pages = pages.max(0).cast_unsigned();
        if pages >= PAGES_MAX {
            // Its bulk was moved while we wrote; only with the rest of it can the log begin anew.
            let wait = if pages < PAGES_WAIT { Duration::ZERO } else { MOVE_MAX };
            if let Some(moved) = self.checkpointer.poll(wait) {
                moved?;
                move_log(connection)?;
            }
        } else if pages * PAGE_BYTES + READY_BYTES > self.length {
            self.lengthen();
        }
        Ok(())
    }

    /// Adds zeros. What does not fit is given back: it is a convenience.
    fn lengthen(&mut self) {
        let Ok(found) = self.file.metadata() else { return };
        let length = found.len();
        let zeros = vec![0; usize::try_from(STEP_BYTES).unwrap_or_default()];
        let added = self.file.write_all_at(&zeros, length);
        if added.is_err() && self.file.set_len(length).is_err() {
            tracing::warn!("the log could not be cut to its length");
        }
        // Also after a failure: it is tried again when the log would have grown by as much.
        self.length = length + STEP_BYTES;
    }
}
