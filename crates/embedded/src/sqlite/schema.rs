//! The tables, and how an older file becomes a newer one. Forward only.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::sealing::{self, Sealing};

/// The file of the ledger in the data directory.
pub const DATABASE_FILE: &str = "remit.sqlite";

/// Each step takes a file from its index as version to the next. Steps are added, never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("001_first.sql"),
    include_str!("002_members.sql"),
    include_str!("003_logins.sql"),
    include_str!("004_proposals.sql"),
    include_str!("005_usage.sql"),
    include_str!("006_sealing.sql"),
    include_str!("007_removed.sql"),
    include_str!("008_remotes.sql"),
    include_str!("009_endpoints.sql"),
    include_str!("010_recordings.sql"),
];

/// Statements that each connection keeps prepared.
const PREPARED_MAX: usize = 64;

/// The ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has the data directory, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
    /// A newer program wrote the file.
    #[error(
        "{path} has version {found}, and this program reads versions up to {known}: use the newer program",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The highest version known here.
        known: u32,
    },
    /// The rows are sealed, and no keys are given. Nothing was changed.
    #[error("the rows of {path} are sealed", path = path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// The rows are to be sealed, and dispatches are not over whose sandboxes stand on folders in the clear.
    /// Nothing was changed.
    #[error("{live} dispatches of {path} are not over", path = path.display())]
    Live {
        /// The file.
        path: PathBuf,
        /// How many.
        live: u64,
    },
    /// The file could not be created, or a thread could not be started.
    #[error("cannot open {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database could not be opened or brought up to date.
    #[error("cannot open the database {path}", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// Opens the file for the one who writes, creating it or bringing it up to date.
pub(super) fn open_writer(path: &Path, sealing: &Sealing) -> Result<Connection, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    if !path.exists() {
        File::options().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    }
    let mut connection = Connection::open(path).map_err(database)?;
    migrate(path, &mut connection)?;
    sealing.install(&connection).map_err(database)?;
    seal_rows(path, &mut connection, sealing)?;
    // The name of a new file must survive a power cut, too.
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(connection)
}

/// Sees to it that rows are kept as they are to be. Rows that are sealed stay so.
fn seal_rows(path: &Path, connection: &mut Connection, sealing: &Sealing) -> Result<(), OpenError> {
    let path = || path.to_owned();
    let database = |source| OpenError::Database { path: path(), source };
    match (sealing, sealing::is_sealed(connection).map_err(database)?) {
        (Sealing::Off, false) => Ok(()),
        (Sealing::Off, true) => Err(OpenError::Sealed { path: path() }),
        (Sealing::On(_), sealed) => {
            if !sealed {
                let all = sealing::seal_all(connection).map_err(database)?;
                all.map_err(|live| OpenError::Live { path: path(), live })?;
            }
            sealing::sweep(connection).map_err(database)
        }
    }
}

/// Opens the file for one who only reads.
pub(super) fn open_reader(path: &Path, sealing: &Sealing) -> Result<Connection, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    settle(&connection)
        .and_then(|()| sealing.install(&connection))
        .and_then(|()| connection.pragma_update(None, "query_only", true))
        .map_err(database)?;
    Ok(connection)
}

/// What holds for every connection.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -4096)
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let found = version(connection).map_err(database)?;
    let known = known();
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    bring_up_to_date(connection, found).map_err(database)
}

fn bring_up_to_date(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    settle(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The writer decides when, between two transactions.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    for (step, version) in MIGRATIONS.iter().zip(1_u32..).skip(found as usize) {
        let step_only = connection.transaction()?;
        step_only.execute_batch(step)?;
        step_only.pragma_update(None, "user_version", version)?;
        step_only.commit()?;
    }
    Ok(())
}

/// The version that this program brings a file to.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_program_is_refused_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE_FILE);
        let newer = Connection::open(&path).expect("opens");
        newer.pragma_update(None, "user_version", 4_000).expect("written");
        drop(newer);
        let before = std::fs::read(&path).expect("there");
        let refused = open_writer(&path, &Sealing::Off).expect_err("newer");
        assert!(matches!(refused, OpenError::Newer { found: 4_000, .. }), "{refused:?}");
        assert_eq!(std::fs::read(&path).expect("there"), before);
    }

    #[test]
    fn whoever_had_workspaces_before_there_were_members_owns_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE_FILE);
        let older = Connection::open(&path).expect("opens");
        older.execute_batch(MIGRATIONS[0]).expect("the first tables");
        let rows = "INSERT INTO workspaces (id, owner, name, created) VALUES \
            (x'02', x'aa', 'notes', 2), (x'01', x'aa', 'home', 1), (x'03', x'bb', 'home', 3);";
        older.execute_batch(rows).expect("written");
        older.pragma_update(None, "user_version", 1).expect("written");
        drop(older);
        let connection = open_writer(&path, &Sealing::Off).expect("brought up to date");
        let sql =
            "SELECT hex(workspace), hex(person), role, since, active FROM members ORDER BY no";
        let mut members = connection.prepare(sql).expect("the table is there");
        let row = |row: &rusqlite::Row<'_>| {
            let ids = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            Ok((ids, row.get::<_, String>(2)?, row.get::<_, i64>(3)?, row.get::<_, bool>(4)?))
        };
        let members = members.query_map([], row).expect("read").collect::<Result<Vec<_>, _>>();
        let owner = |workspace: &str, person: &str, since, active| {
            ((workspace.to_owned(), person.to_owned()), "owner".to_owned(), since, active)
        };
        let expected =
            [owner("01", "AA", 1, true), owner("02", "AA", 2, false), owner("03", "BB", 3, true)];
        assert_eq!(members.expect("readable"), expected);
    }

    #[test]
    fn opening_again_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE_FILE);
        for _ in 0..2 {
            let connection = open_writer(&path, &Sealing::Off).expect("opens");
            assert_eq!(version(&connection).expect("there"), known());
        }
    }

    #[test]
    fn what_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE_FILE);
        std::fs::write(&path, "this is a text, and a long one at that ".repeat(100))
            .expect("written");
        assert!(matches!(open_writer(&path, &Sealing::Off), Err(OpenError::Database { .. })));
    }

    #[test]
    fn nobody_else_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE_FILE);
        let _connection = open_writer(&path, &Sealing::Off).expect("opens");
        for name in [DATABASE_FILE, "remit.sqlite-wal", "remit.sqlite-shm"] {
            let found = std::fs::metadata(folder.path().join(name)).expect("there");
            assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}
