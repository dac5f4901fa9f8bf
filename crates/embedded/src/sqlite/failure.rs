//! What went wrong in the database, sorted by what it means. Never decides what to do about it.

use engine::port::LedgerError;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// A request did not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request itself is refused; nothing is wrong with the store.
    Refused(LedgerError),
    /// The database did not do as asked.
    Database(rusqlite::Error),
    /// A row does not read back as what was once written.
    Unreadable(String),
}

/// The store is not what it should be, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StoreFailure(pub(super) String);

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<Failure> for LedgerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Database(error) => of_database(&error),
            Failure::Unreadable(what) => unavailable(format!("a stored row is unreadable: {what}")),
        }
    }
}

/// The error of somebody whose request failed because the store did.
pub(super) fn unavailable(what: String) -> LedgerError {
    LedgerError::Unavailable(Box::new(StoreFailure(what)))
}

/// What an error of the database means for somebody whose request was part of the transaction.
pub(super) fn of_database(error: &rusqlite::Error) -> LedgerError {
    if is_full(error) {
        LedgerError::Full(error.to_string())
    } else {
        unavailable(error.to_string())
    }
}

/// There is no room, or the file system takes no writes. The transaction is as if it had not been.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(error.code, ErrorCode::DiskFull | ErrorCode::ReadOnly)
            || NO_ROOM.contains(&error.extended_code)
    })
}

/// Codes by which the database says that a write did not fit, or was not let through.
const NO_ROOM: [i32; 3] =
    [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_CANTOPEN];

/// Nothing may be acknowledged after this: a sync failed, or what is stored is not what was written.
pub(super) fn is_fatal(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| match error.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
        ErrorCode::SystemIoFailure => {
            !NO_ROOM.contains(&error.extended_code)
                && error.extended_code != ffi::SQLITE_IOERR_NOMEM
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_sync_is_fatal_and_a_full_disk_is_not() {
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_CORRUPT] {
            assert!(is_fatal(&error(code)), "{code}");
            assert!(matches!(of_database(&error(code)), LedgerError::Unavailable(_)), "{code}");
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE] {
            assert!(!is_fatal(&error(code)), "{code}");
            assert!(matches!(of_database(&error(code)), LedgerError::Full(_)), "{code}");
        }
    }
}
