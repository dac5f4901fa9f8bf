//! How nouns stand in columns. Knows no table as a whole and no rule.

use model::{Event, EventId, State, Time, Turn};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use super::failure::Failure;

/// Bits of an entry's key that hold its number.
pub(super) const NUMBER_BITS: u32 = 24;
/// The highest number an entry can have.
pub(super) const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;

/// The key of the entry `n` of the dispatch `no`.
pub(super) fn entry_key(no: i64, n: u64) -> i64 {
    (no << NUMBER_BITS) | n.min(NUMBER_MAX).cast_signed()
}

/// The number of the entry with this key.
pub(super) fn entry_number(key: i64) -> u64 {
    key.cast_unsigned() & NUMBER_MAX
}

/// The 16 bytes of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

/// A text that reads as a `T`.
pub(super) struct Text<T>(pub(super) T);

impl<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// A time as it is stored.
pub(super) fn stored(time: Time) -> i64 {
    time.as_ms().min(i64::MAX.cast_unsigned()).cast_signed()
}

/// The time in a column.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Time> {
    unsigned(row, index).map(Time::from_ms)
}

/// The id of an entry in two columns.
pub(super) fn event_id(row: &Row<'_>, index: usize) -> rusqlite::Result<EventId> {
    Ok(EventId { epoch: row.get(index)?, n: unsigned(row, index + 1)? })
}

/// A number that was stored from an unsigned one.
pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(i64::cast_unsigned)
}

/// A state as it is stored.
pub(super) fn state_text(state: State) -> Result<String, Failure> {
    Ok(serde_json::to_string(&state)?)
}

/// An event with the form it is stored in, so that the writer need not make it.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) event: Event,
    pub(super) text: String,
}

impl Body {
    /// Writes an event down.
    pub(super) fn of(event: Event) -> Result<Self, Failure> {
        Ok(Self { text: serde_json::to_string(&event)?, event })
    }

    /// Writes each event down.
    pub(super) fn all(events: Vec<Event>) -> Result<Vec<Self>, Failure> {
        events.into_iter().map(Self::of).collect()
    }
}

/// The columns that [`turn`] reads.
pub(super) const TURN: &str = "turn, session, dispatch, number, \
    unseal(prompt, 'prompt', session, turn), accepted_epoch, accepted_n";

/// A turn from its columns.
pub(super) fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    Ok(Turn {
        id: row.get::<_, Text<_>>(0)?.0,
        session: model::SessionId::from_uuid(row.get::<_, Id>(1)?.0),
        dispatch: model::DispatchId::from_uuid(row.get::<_, Id>(2)?.0),
        number: row.get(3)?,
        prompt: row.get(4)?,
        accepted: event_id(row, 5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_entries_sort_by_dispatch_then_number() {
        assert!(entry_key(1, NUMBER_MAX) < entry_key(2, 0));
        assert!(entry_key(2, 7) < entry_key(2, 8));
        assert_eq!(entry_number(entry_key(77, 12_345)), 12_345);
        assert_eq!(entry_number(entry_key(1, u64::MAX)), NUMBER_MAX);
    }
}
