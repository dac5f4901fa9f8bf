//! What is asked of dispatches, streams and conversations. Changes nothing.

use engine::port::{DispatchQuery, LedgerError, Page, Record};
use model::{
    Dispatch, DispatchId, Entry, EventId, Session, SessionId, Turn, TurnId, UserId, WorkspaceId,
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::failure::Failure;
use super::row::{
    Id, TURN, Text, entry_key, entry_number, event_id, time, turn as turn_row, unsigned,
};

/// Bytes of bodies after which one call of [`entries`] returns what it has.
const READ_BYTES_MAX: usize = 64 << 10;
/// The most rows of one answer.
const ROWS_MAX: u32 = 1_000;
/// The most entries of one answer.
const ENTRIES_MAX: u32 = 10_000;

const RECORD: &str = "SELECT unseal(d.body, 'dispatch', d.no), h.state, h.epoch, h.last_epoch, \
                      h.last_n, h.changed, h.cursor, unseal(h.recovery, 'recovery', h.no) \
                      FROM heads h JOIN dispatches d ON d.no = h.no";

/// The last entry of a stream, and whether it is closed.
pub(super) fn head(c: &Connection, id: DispatchId) -> Result<Option<(EventId, bool)>, Failure> {
    let sql = "SELECT last_epoch, last_n, live FROM heads WHERE id = ?1";
    let head = c
        .prepare_cached(sql)?
        .query_row([Id(id.uuid())], |row| Ok((event_id(row, 0)?, !row.get::<_, bool>(2)?)));
    Ok(head.optional()?)
}

/// See [`engine::port::Ledger::read`].
pub(super) fn entries(
    connection: &Connection,
    dispatch: DispatchId,
    after: EventId,
    limit: u32,
) -> Result<Vec<Entry>, Failure> {
    let sql = "SELECT no, last_n FROM heads WHERE id = ?1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([Id(dispatch.uuid())], |row| Ok((row.get(0)?, unsigned(row, 1)?)));
    let (no, last) = found.optional()?.ok_or(LedgerError::NoDispatch(dispatch))?;
    let seen = number_seen(connection, no, last, after)?;
    let sql = "SELECT key, epoch, at, unseal(body, 'entry', key) FROM entries \
               WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let range = params![entry_key(no, seen), entry_key(no, u64::MAX), limit.min(ENTRIES_MAX)];
    let mut rows = statement.query(range)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let body = json(row, 3)?;
        let id = EventId { epoch: row.get(1)?, n: entry_number(row.get(0)?) };
        if id <= after {
            continue; // written since `last` was read, at an id the reader made up
        }
        entries.push(Entry { id, at: time(row, 2)?, event: serde_json::from_str(body)? });
        bytes += body.len();
        if bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(entries)
}

/// The number of the last entry that does not stand after `after`: numbers and epochs both grow.
fn number_seen(c: &Connection, no: i64, last: u64, after: EventId) -> Result<u64, Failure> {
    let mut epoch_at = c.prepare_cached("SELECT epoch FROM entries WHERE key = ?1")?;
    let mut stands_after = |n: u64| -> Result<bool, Failure> {
        let epoch: u32 = epoch_at.query_row([entry_key(no, n)], |row| row.get(0))?;
        Ok(EventId { epoch, n } > after)
    };
    let (mut seen, mut unseen) = (0, last + 1);
    // Nearly always a reader goes on where an entry stands.
    let guess = after.n.min(last);
    if guess > 0 && !stands_after(guess)? {
        seen = guess;
        if guess == last || stands_after(guess + 1)? {
            return Ok(seen);
        }
    }
    while unseen - seen > 1 {
        let middle = seen + (unseen - seen) / 2;
        if stands_after(middle)? {
            unseen = middle;
        } else {
            seen = middle;
        }
    }
    Ok(seen)
}

/// See [`engine::port::Ledger::record`].
pub(super) fn record(c: &Connection, id: DispatchId) -> Result<Option<Record>, Failure> {
    let sql = format!("{RECORD} WHERE h.id = ?1");
    let found = records_of(c, &sql, &[&Id(id.uuid())])?;
    Ok(found.into_iter().next())
}

/// See [`engine::port::Ledger::live`].
pub(super) fn live(connection: &Connection) -> Result<Vec<Record>, Failure> {
    records_of(connection, &format!("{RECORD} WHERE h.live ORDER BY h.id"), &[])
}

/// See [`engine::port::Ledger::records`].
pub(super) fn records(c: &Connection, query: &DispatchQuery) -> Result<Page<Record>, Failure> {
    let subject = query.subject.map(|id| Id(id.uuid()));
    let session = query.session.map(|id| Id(id.uuid()));
    let before = query.before.map(|id| Id(id.uuid()));
    let limit = query.limit.clamp(1, ROWS_MAX);
    let mut conditions = Vec::new();
    let mut values: Vec<&dyn ToSql> = Vec::new();
    let mut require =
        |column: &str, value: &'static str| conditions.push(format!("{column} {value}"));
    for (condition, value) in
        [("h.subject = ?", &subject), ("h.session = ?", &session), ("h.id < ?", &before)]
    {
        if let Some(value) = value {
            require(condition, "");
            values.push(value);
        }
    }
    if query.live_only {
        require("h.live", "");
    }
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    };
    let one_more = limit + 1;
    values.push(&one_more);
    let sql = format!("{RECORD} {filter} ORDER BY h.id DESC LIMIT ?");
    let mut items = records_of(c, &sql, &values)?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page { items, more })
}

fn records_of(c: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Record>, Failure> {
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record_of(row)?);
    }
    Ok(records)
}

fn record_of(row: &Row<'_>) -> Result<Record, Failure> {
    let dispatch: Dispatch = serde_json::from_str(json(row, 0)?)?;
    Ok(Record {
        dispatch,
        state: serde_json::from_str(json(row, 1)?)?,
        epoch: row.get(2)?,
        last: event_id(row, 3)?,
        changed: time(row, 5)?,
        cursor: unsigned(row, 6)?,
        recovery: row.get(7)?,
    })
}

fn json<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a str, Failure> {
    Ok(row.get_ref(index)?.as_str().map_err(rusqlite::Error::from)?)
}

/// See [`engine::port::Ledger::turn`].
pub(super) fn turn(
    connection: &Connection,
    session: SessionId,
    id: &TurnId,
) -> Result<Option<Turn>, Failure> {
    let sql = format!("SELECT {TURN} FROM turns WHERE session = ?1 AND turn = ?2");
    let row = params![Id(session.uuid()), id.as_str()];
    Ok(connection.prepare_cached(&sql)?.query_row(row, turn_row).optional()?)
}

/// See [`engine::port::Ledger::turns`].
pub(super) fn turns(c: &Connection, session: SessionId, limit: u32) -> Result<Vec<Turn>, Failure> {
    let sql = format!("SELECT {TURN} FROM turns WHERE session = ?1 ORDER BY no DESC LIMIT ?2");
    let mut statement = c.prepare_cached(&sql)?;
    let newest_first = statement.query_map(params![Id(session.uuid()), limit], turn_row)?;
    let mut turns = newest_first.collect::<Result<Vec<_>, _>>()?;
    turns.reverse();
    Ok(turns)
}

const SESSION: &str = "SELECT id, subject, runner, home, unseal(title, 'title', id), created, last_active, dispatch FROM sessions";

/// See [`engine::port::Ledger::session`].
pub(super) fn session(c: &Connection, id: SessionId) -> Result<Option<Session>, Failure> {
    let sql = format!("{SESSION} WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([Id(id.uuid())], session_of).optional()?)
}

/// See [`engine::port::Ledger::sessions`].
pub(super) fn sessions(c: &Connection, of: UserId, limit: u32) -> Result<Vec<Session>, Failure> {
    let sql = format!("{SESSION} WHERE subject = ?1 ORDER BY last_active DESC, id DESC LIMIT ?2");
    let mut statement = c.prepare_cached(&sql)?;
    let row = params![Id(of.uuid()), limit.min(ROWS_MAX)];
    let sessions = statement.query_map(row, session_of)?.collect::<Result<_, _>>()?;
    Ok(sessions)
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<Session> {
    let id = |index| row.get::<_, Id>(index).map(|id| id.0);
    Ok(Session {
        id: SessionId::from_uuid(id(0)?),
        subject: UserId::from_uuid(id(1)?),
        runner: row.get::<_, Text<_>>(2)?.0,
        home: WorkspaceId::from_uuid(id(3)?),
        title: row.get(4)?,
        created: time(row, 5)?,
        last_active: time(row, 6)?,
        dispatch: row.get::<_, Option<Id>>(7)?.map(|id| DispatchId::from_uuid(id.0)),
    })
}
