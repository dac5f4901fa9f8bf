//! What models were asked and answered. Each call is inside the transaction or snapshot of its caller.

use engine::port::{Exchange, LedgerError, RECORDING_BYTES_MAX};
use model::DispatchId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Failure;
use super::row::{Id, entry_key, entry_number, unsigned};

/// See [`engine::port::Recordings::add_exchange`].
pub(super) fn add(c: &Connection, dispatch: DispatchId, new: &Exchange) -> Result<bool, Failure> {
    let (no, home) = of(c, dispatch)?;
    let sql = "SELECT bytes, key FROM recordings WHERE key BETWEEN ?1 AND ?2 \
               ORDER BY key DESC LIMIT 1";
    let all = [entry_key(no, 0), entry_key(no, u64::MAX)];
    let last = |row: &Row<'_>| Ok((unsigned(row, 0)?, row.get::<_, i64>(1)?));
    let last = c.prepare_cached(sql)?.query_row(all, last).optional()?;
    let (held, last) = last.unwrap_or((0, all[0]));
    let bytes = held.saturating_add((new.request.len() + new.answer.len()) as u64);
    if bytes > RECORDING_BYTES_MAX || last == all[1] {
        return Ok(false);
    }
    let sql =
        "INSERT INTO recordings (key, bytes, body) VALUES (?1, ?2, seal(?3, ?4, 'exchange', ?1))";
    let body = serde_json::to_string(new)?;
    c.prepare_cached(sql)?.execute(params![last + 1, bytes.cast_signed(), body, home])?;
    Ok(true)
}

/// See [`engine::port::Recordings::exchange_after`].
pub(super) fn after(
    c: &Connection,
    dispatch: DispatchId,
    number: u64,
) -> Result<Option<(u64, Exchange)>, Failure> {
    let (no, _) = of(c, dispatch)?;
    let sql = "SELECT key, unseal(body, 'exchange', key) FROM recordings \
               WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT 1";
    let rest = [entry_key(no, number), entry_key(no, u64::MAX)];
    let read = |row: &Row<'_>| Ok((entry_number(row.get(0)?), row.get::<_, String>(1)?));
    let found = c.prepare_cached(sql)?.query_row(rest, read).optional()?;
    let Some((number, body)) = found else { return Ok(None) };
    Ok(Some((number, serde_json::from_str(&body)?)))
}

/// The number of a dispatch, and the home of its conversation.
fn of(c: &Connection, dispatch: DispatchId) -> Result<(i64, Id), Failure> {
    let sql =
        "SELECT h.no, s.home FROM heads h JOIN sessions s ON s.id = h.session WHERE h.id = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = c.prepare_cached(sql)?.query_row([Id(dispatch.uuid())], read).optional()?;
    Ok(found.ok_or(LedgerError::NoDispatch(dispatch))?)
}
