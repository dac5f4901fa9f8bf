//! What changes dispatches and their streams, each call inside the transaction of the writer.
//!
//! Checks come before the first change. Nothing here begins, commits or waits.

use engine::port::{Accepted, Idempotency, LedgerError, NewDispatch, NewTurn, Record};
use model::{DispatchId, Entry, Event, EventId, Session, SessionId, State, Time, Turn, TurnId};
use rusqlite::{Connection, OptionalExtension, params};

use super::failure::{Failure, unavailable};
use super::read;
use super::row::{Body, Id, NUMBER_MAX, TURN, entry_key, state_text, stored, turn};
use super::tails::{Change, Grown};

/// How long an idempotency key is kept.
const IDEMPOTENCY_KEPT_MS: u64 = 48 * 60 * 60 * 1_000;

/// Entries to add, written down already.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) dispatch: DispatchId,
    pub(super) epoch: u32,
    pub(super) bodies: Vec<Body>,
    pub(super) at: Time,
    pub(super) state: Option<State>,
    pub(super) cursor: Option<u64>,
    pub(super) recovery: Option<String>,
}

/// Where a stream stands.
struct Head {
    no: i64,
    session: Id,
    home: Id,
    live: bool,
    epoch: u32,
    last: EventId,
}

impl Head {
    fn of(connection: &Connection, dispatch: DispatchId) -> Result<Self, Failure> {
        let sql = "SELECT h.no, h.session, h.live, h.epoch, h.last_epoch, h.last_n, s.home \
                   FROM heads h JOIN sessions s ON s.id = h.session WHERE h.id = ?1";
        let head = connection.prepare_cached(sql)?.query_row([Id(dispatch.uuid())], |row| {
            let last = super::row::event_id(row, 4)?;
            let (no, session, home) = (row.get(0)?, row.get(1)?, row.get(6)?);
            Ok(Self { no, session, home, live: row.get(2)?, epoch: row.get(3)?, last })
        });
        Ok(head.optional()?.ok_or(LedgerError::NoDispatch(dispatch))?)
    }

    /// The head, if the stream is open and this epoch may write it.
    fn for_writer(c: &Connection, dispatch: DispatchId, ours: u32) -> Result<Self, Failure> {
        let head = Self::of(c, dispatch)?;
        if !head.live {
            return Err(LedgerError::Closed(dispatch).into());
        }
        if head.epoch != ours {
            return Err(LedgerError::Fenced { dispatch, ours, current: head.epoch }.into());
        }
        Ok(head)
    }

    fn end(&self) -> Place {
        Place { no: self.no, home: self.home, before: self.last }
    }
}

/// Where in a stream to go on: after this entry.
#[derive(Clone, Copy)]
struct Place {
    no: i64,
    /// The workspace under whose key its entries are sealed.
    home: Id,
    before: EventId,
}

/// See [`engine::port::Ledger::create`].
pub(super) fn create(
    connection: &Connection,
    new: &NewDispatch,
    bodies: Vec<Body>,
) -> Result<(Accepted, Change), Failure> {
    let dispatch = &new.dispatch;
    let (turn_id, prompt) = dispatch.start.turn();
    if let Some(before) = keyed_before(connection, new.idempotency.as_ref())? {
        return Ok((Accepted::Before(before), Change::NONE));
    }
    if let Some(before) = turn_before(connection, dispatch.session, turn_id, prompt)? {
        return Ok((Accepted::Before(before), Change::NONE));
    }
    let no = insert_head(connection, new, bodies.len())?;
    let home = Id(new.session.home.uuid());
    let place = Place { no, home, before: EventId::START };
    let grown = insert_entries(connection, place, 0, new.at, bodies)?;
    let accepted = turn_entry(&grown.entries, turn_id).unwrap_or(grown.last());
    let turn = Turn {
        id: turn_id.clone(),
        session: dispatch.session,
        dispatch: dispatch.id,
        number: 1,
        prompt: prompt.to_owned(),
        accepted,
    };
    let turn_no = insert_turn(connection, &turn, home)?;
    upsert_session(connection, &new.session)?;
    keep_key(connection, new, turn_no)?;
    Ok((Accepted::New(turn), Change { dispatch: Some(dispatch.id), grown, closed: false }))
}

/// See [`engine::port::Ledger::open`].
pub(super) fn open(connection: &Connection, dispatch: DispatchId) -> Result<Record, Failure> {
    let head = Head::of(connection, dispatch)?;
    if !head.live {
        return Err(LedgerError::Closed(dispatch).into());
    }
    let sql = "UPDATE heads SET epoch = epoch + 1 WHERE no = ?1";
    connection.prepare_cached(sql)?.execute([head.no])?;
    let record = read::record(connection, dispatch)?;
    Ok(record.ok_or(LedgerError::NoDispatch(dispatch))?)
}

/// See [`engine::port::Ledger::append`].
pub(super) fn append(
    connection: &Connection,
    addition: Addition,
) -> Result<(EventId, Change), Failure> {
    let Addition { dispatch, epoch, bodies, at, state, cursor, recovery } = addition;
    let head = Head::for_writer(connection, dispatch, epoch)?;
    let ends_turn = bodies.iter().any(|body| matches!(body.event, Event::TurnEnded { .. }));
    let grown = insert_entries(connection, head.end(), epoch, at, bodies)?;
    let last = grown.last();
    if let Some(state) = state {
        let sql = "UPDATE heads SET state = ?2, changed = ?3, live = ?4 WHERE no = ?1";
        let live = !state.is_ended();
        let row = params![head.no, state_text(state)?, stored(at), live];
        connection.prepare_cached(sql)?.execute(row)?;
    }
    if last != head.last || cursor.is_some() || recovery.is_some() {
        let sql = "UPDATE heads SET last_epoch = ?2, last_n = ?3, cursor = ifnull(?4, cursor), \
                   recovery = ifnull(seal(?5, ?6, 'recovery', no), recovery) WHERE no = ?1";
        let row = params![
            head.no,
            last.epoch,
            last.n.cast_signed(),
            cursor.map(u64::cast_signed),
            recovery,
            head.home,
        ];
        connection.prepare_cached(sql)?.execute(row)?;
    }
    if ends_turn {
        touch_session(connection, head.session, at, None)?;
    }
    let closed = state.is_some_and(State::is_ended);
    Ok((last, Change { dispatch: Some(dispatch), grown, closed }))
}

/// See [`engine::port::Ledger::add_turn`].
pub(super) fn add_turn(
    connection: &Connection,
    new: NewTurn,
    body: Body,
) -> Result<(Accepted, Change), Failure> {
    if let Some(before) = turn_before(connection, new.session, &new.turn, &new.prompt)? {
        return Ok((Accepted::Before(before), Change::NONE));
    }
    let head = Head::for_writer(connection, new.dispatch, new.epoch)?;
    let grown = insert_entries(connection, head.end(), new.epoch, new.at, vec![body])?;
    let accepted = grown.last();
    let sql = "UPDATE heads SET last_epoch = ?2, last_n = ?3, state = ?4, changed = ?5, live = ?6 \
               WHERE no = ?1";
    let (state, live) = (state_text(new.state)?, !new.state.is_ended());
    let row =
        params![head.no, accepted.epoch, accepted.n.cast_signed(), state, stored(new.at), live];
    connection.prepare_cached(sql)?.execute(row)?;
    let turn = Turn {
        id: new.turn,
        session: new.session,
        dispatch: new.dispatch,
        number: new.number,
        prompt: new.prompt,
        accepted,
    };
    insert_turn(connection, &turn, head.home)?;
    touch_session(connection, Id(new.session.uuid()), new.at, Some(new.dispatch))?;
    let closed = new.state.is_ended();
    Ok((Accepted::New(turn), Change { dispatch: Some(new.dispatch), grown, closed }))
}

fn keyed_before(c: &Connection, asked: Option<&Idempotency>) -> Result<Option<Turn>, Failure> {
    let Some(asked) = asked else { return Ok(None) };
    let sql = "SELECT i.request = blind(?3, s.home), i.turn_no FROM idempotency i \
               JOIN turns t ON t.no = i.turn_no JOIN sessions s ON s.id = t.session \
               WHERE i.subject = ?1 AND i.key = ?2";
    let found = c
        .prepare_cached(sql)?
        .query_row(params![Id(asked.subject.uuid()), asked.key, asked.request], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((same, turn_no)) = found else { return Ok(None) };
    if !same {
        return Err(LedgerError::Conflict { key: asked.key.clone() }.into());
    }
    let sql = format!("SELECT {TURN} FROM turns WHERE no = ?1");
    Ok(Some(c.prepare_cached(&sql)?.query_row([turn_no], turn)?))
}

fn turn_before(
    connection: &Connection,
    session: SessionId,
    id: &TurnId,
    prompt: &str,
) -> Result<Option<Turn>, Failure> {
    match read::turn(connection, session, id)? {
        Some(before) if before.prompt != prompt => {
            Err(LedgerError::Conflict { key: id.to_string() }.into())
        }
        before => Ok(before),
    }
}

fn turn_entry(entries: &[Entry], asked: &TurnId) -> Option<EventId> {
    let accepts =
        |entry: &&Entry| matches!(&entry.event, Event::TurnAccepted { turn, .. } if turn == asked);
    entries.iter().find(accepts).map(|entry| entry.id)
}

fn insert_head(connection: &Connection, new: &NewDispatch, entries: usize) -> Result<i64, Failure> {
    let dispatch = &new.dispatch;
    let sql = "SELECT 1 FROM heads WHERE id = ?1";
    if connection.prepare_cached(sql)?.exists([Id(dispatch.id.uuid())])? {
        return Err(LedgerError::Conflict { key: dispatch.id.to_string() }.into());
    }
    let sql = "INSERT INTO heads (id, subject, session, state, live, epoch, last_epoch, last_n, \
               changed, cursor) VALUES (?1, ?2, ?3, ?4, 1, 0, 0, ?5, ?6, 0)";
    connection.prepare_cached(sql)?.execute(params![
        Id(dispatch.id.uuid()),
        Id(dispatch.subject.uuid()),
        Id(dispatch.session.uuid()),
        state_text(State::Queued)?,
        i64::try_from(entries).unwrap_or(i64::MAX),
        stored(new.at),
    ])?;
    let no = connection.last_insert_rowid();
    let sql = "INSERT INTO dispatches (no, body, claims) \
               VALUES (?1, seal(?2, ?4, 'dispatch', ?1), seal(?3, ?4, 'claims', ?1))";
    let body = serde_json::to_string(dispatch)?;
    let home = Id(new.session.home.uuid());
    connection.prepare_cached(sql)?.execute(params![no, body, new.claims, home])?;
    Ok(no)
}

fn insert_entries(
    connection: &Connection,
    stream: Place,
    epoch: u32,
    at: Time,
    bodies: Vec<Body>,
) -> Result<Grown, Failure> {
    let Place { no, home, before } = stream;
    let sql = "INSERT INTO entries (key, epoch, at, body) \
               VALUES (?1, ?2, ?3, seal(?4, ?5, 'entry', ?1))";
    let mut insert = connection.prepare_cached(sql)?;
    let mut grown = Grown { before, entries: Vec::with_capacity(bodies.len()), bytes: 0 };
    for (body, n) in bodies.into_iter().zip(before.n + 1..) {
        if n > NUMBER_MAX {
            return Err(unavailable(format!("a stream holds at most {NUMBER_MAX} entries")).into());
        }
        insert.execute(params![entry_key(no, n), epoch, stored(at), body.text, home])?;
        grown.bytes += body.text.len();
        grown.entries.push(Entry { id: EventId { epoch, n }, at, event: body.event });
    }
    Ok(grown)
}

fn insert_turn(connection: &Connection, turn: &Turn, home: Id) -> Result<i64, Failure> {
    let sql = "INSERT INTO turns (session, turn, dispatch, number, accepted_epoch, accepted_n, \
               prompt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, seal(?7, ?8, 'prompt', ?1, ?2))";
    connection.prepare_cached(sql)?.execute(params![
        Id(turn.session.uuid()),
        turn.id.as_str(),
        Id(turn.dispatch.uuid()),
        turn.number,
        turn.accepted.epoch,
        turn.accepted.n.cast_signed(),
        turn.prompt,
        home,
    ])?;
    Ok(connection.last_insert_rowid())
}

fn upsert_session(connection: &Connection, session: &Session) -> Result<(), Failure> {
    let sql = "INSERT INTO sessions (id, subject, runner, home, title, created, last_active, \
               dispatch) VALUES (?1, ?2, ?3, ?4, seal(?5, ?4, 'title', ?1), ?6, ?7, ?8) \
               ON CONFLICT (id) DO UPDATE SET \
               last_active = max(last_active, excluded.last_active), dispatch = excluded.dispatch";
    connection.prepare_cached(sql)?.execute(params![
        Id(session.id.uuid()),
        Id(session.subject.uuid()),
        session.runner.to_string(),
        Id(session.home.uuid()),
        session.title,
        stored(session.created),
        stored(session.last_active),
        session.dispatch.map(|dispatch| Id(dispatch.uuid())),
    ])?;
    Ok(())
}

fn touch_session(
    connection: &Connection,
    session: Id,
    at: Time,
    dispatch: Option<DispatchId>,
) -> Result<(), Failure> {
    let sql = "UPDATE sessions SET last_active = max(last_active, ?2), \
               dispatch = ifnull(?3, dispatch) WHERE id = ?1";
    let dispatch = dispatch.map(|dispatch| Id(dispatch.uuid()));
    connection.prepare_cached(sql)?.execute(params![session, stored(at), dispatch])?;
    Ok(())
}

fn keep_key(connection: &Connection, new: &NewDispatch, turn_no: i64) -> Result<(), Failure> {
    let Some(asked) = &new.idempotency else { return Ok(()) };
    let oldest = new.at.as_ms().saturating_sub(IDEMPOTENCY_KEPT_MS);
    let sql = "DELETE FROM idempotency WHERE at < ?1";
    connection.prepare_cached(sql)?.execute([oldest.cast_signed()])?;
    let sql = "INSERT INTO idempotency (subject, key, request, turn_no, at) \
               VALUES (?1, ?2, blind(?3, ?6), ?4, ?5)";
    let (subject, home) = (Id(asked.subject.uuid()), Id(new.session.home.uuid()));
    let row = params![subject, asked.key, asked.request, turn_no, stored(new.at), home];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}
