//! People, their keys and logins, their workspaces. Each call is inside the transaction or snapshot of its caller.

use engine::port::{Key, KeyHash, LedgerError, Login, Person, Workspace};
use model::{KeyId, Time, UserId, WorkspaceId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::erase;
use super::failure::Failure;
use super::members::{self, Seat};
use super::row::{Id, Text, stored, time};

/// The columns that [`person_of`] reads, of the table `people` as `p`.
pub(super) const PERSON_COLUMNS: &str = "p.id, p.email, p.name, p.concurrent_max, p.created";
/// The columns that [`workspace_of`] reads, of the table `workspaces` as `w`.
pub(super) const WORKSPACE_COLUMNS: &str = "w.id, w.name, w.owner, w.purpose, w.created";

const PERSON: &str = "SELECT id, email, name, concurrent_max, created FROM people";
const KEY: &str = "SELECT id, subject, label, scopes, created, expires FROM keys";
const WORKSPACE: &str = "SELECT id, name, owner, purpose, created FROM workspaces";
const LOGIN: &str = "SELECT subject, scopes, created, seen, expires FROM logins";

/// See [`engine::port::Directory::add_person`].
pub(super) fn add_person(c: &Connection, person: &Person) -> Result<Person, Failure> {
    let sql = format!("{PERSON} WHERE email = ?1");
    let found = c.prepare_cached(&sql)?.query_row([&person.email], person_of).optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    if self::person(c, person.id)?.is_some() {
        return Err(LedgerError::Conflict { key: person.id.to_string() }.into());
    }
    let sql = "INSERT INTO people (id, email, name, concurrent_max, created) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    c.prepare_cached(sql)?.execute(params![
        Id(person.id.uuid()),
        person.email,
        person.name,
        person.concurrent_max,
        stored(person.created),
    ])?;
    Ok(person.clone())
}

/// See [`engine::port::Directory::person`].
pub(super) fn person(c: &Connection, id: UserId) -> Result<Option<Person>, Failure> {
    let sql = format!("{PERSON} WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([Id(id.uuid())], person_of).optional()?)
}

/// See [`engine::port::Directory::people`].
pub(super) fn people(c: &Connection) -> Result<Vec<Person>, Failure> {
    let mut statement = c.prepare_cached(&format!("{PERSON} ORDER BY created, id"))?;
    let people = statement.query_map([], person_of)?.collect::<Result<_, _>>()?;
    Ok(people)
}

pub(super) fn person_of(row: &Row<'_>) -> rusqlite::Result<Person> {
    Ok(Person {
        id: UserId::from_uuid(row.get::<_, Id>(0)?.0),
        email: row.get(1)?,
        name: row.get(2)?,
        concurrent_max: row.get(3)?,
        created: time(row, 4)?,
    })
}

/// See [`engine::port::Directory::add_key`].
pub(super) fn add_key(c: &Connection, key: &Key, hash: KeyHash) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM keys WHERE id = ?1 OR hash = ?2";
    if c.prepare_cached(sql)?.exists(params![Id(key.id.uuid()), hash.0])? {
        return Err(LedgerError::Conflict { key: key.id.to_string() }.into());
    }
    let sql = "INSERT INTO keys (id, hash, subject, label, scopes, created, expires) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    c.prepare_cached(sql)?.execute(params![
        Id(key.id.uuid()),
        hash.0,
        Id(key.subject.uuid()),
        key.label,
        serde_json::to_string(&key.scopes)?,
        stored(key.created),
        key.expires.map(stored),
    ])?;
    Ok(())
}

/// See [`engine::port::Directory::key`].
pub(super) fn key(c: &Connection, hash: KeyHash) -> Result<Option<Key>, Failure> {
    let mut statement = c.prepare_cached(&format!("{KEY} WHERE hash = ?1"))?;
    let mut rows = statement.query([hash.0])?;
    rows.next()?.map(key_of).transpose()
}

/// See [`engine::port::Directory::keys`].
pub(super) fn keys(c: &Connection, subject: UserId) -> Result<Vec<Key>, Failure> {
    let sql = format!("{KEY} WHERE subject = ?1 ORDER BY created, id");
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query([Id(subject.uuid())])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(key_of(row)?);
    }
    Ok(keys)
}

fn key_of(row: &Row<'_>) -> Result<Key, Failure> {
    Ok(Key {
        id: KeyId::from_uuid(row.get::<_, Id>(0)?.0),
        subject: UserId::from_uuid(row.get::<_, Id>(1)?.0),
        label: row.get(2)?,
        scopes: serde_json::from_str(&row.get::<_, String>(3)?)?,
        created: time(row, 4)?,
        expires: expires(row)?,
    })
}

fn expires(row: &Row<'_>) -> rusqlite::Result<Option<Time>> {
    let ms: Option<i64> = row.get(5)?;
    Ok(ms.map(|ms| Time::from_ms(ms.cast_unsigned())))
}

/// See [`engine::port::Directory::remove_key`].
pub(super) fn remove_key(c: &Connection, id: KeyId) -> Result<bool, Failure> {
    let sql = "DELETE FROM keys WHERE id = ?1";
    Ok(c.prepare_cached(sql)?.execute([Id(id.uuid())])? == 1)
}

/// See [`engine::port::Directory::add_login`].
pub(super) fn add_login(c: &Connection, login: &Login, hash: KeyHash) -> Result<(), Failure> {
    let over = "DELETE FROM logins WHERE expires < ?1";
    c.prepare_cached(over)?.execute([stored(login.created)])?;
    if c.prepare_cached("SELECT 1 FROM logins WHERE hash = ?1")?.exists([hash.0])? {
        return Err(LedgerError::Conflict { key: "login".to_owned() }.into());
    }
    let sql = "INSERT INTO logins (hash, subject, scopes, created, seen, expires) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    c.prepare_cached(sql)?.execute(params![
        hash.0,
        Id(login.subject.uuid()),
        serde_json::to_string(&login.scopes)?,
        stored(login.created),
        stored(login.seen),
        stored(login.expires),
    ])?;
    Ok(())
}

/// See [`engine::port::Directory::login`].
pub(super) fn login(c: &Connection, hash: KeyHash) -> Result<Option<Login>, Failure> {
    let mut statement = c.prepare_cached(&format!("{LOGIN} WHERE hash = ?1"))?;
    let mut rows = statement.query([hash.0])?;
    rows.next()?.map(login_of).transpose()
}

fn login_of(row: &Row<'_>) -> Result<Login, Failure> {
    Ok(Login {
        subject: UserId::from_uuid(row.get::<_, Id>(0)?.0),
        scopes: serde_json::from_str(&row.get::<_, String>(1)?)?,
        created: time(row, 2)?,
        seen: time(row, 3)?,
        expires: time(row, 4)?,
    })
}

/// See [`engine::port::Directory::see_login`].
pub(super) fn see_login(c: &Connection, hash: KeyHash, seen: Time) -> Result<(), Failure> {
    let sql = "UPDATE logins SET seen = ?2 WHERE hash = ?1";
    c.prepare_cached(sql)?.execute(params![hash.0, stored(seen)])?;
    Ok(())
}

/// See [`engine::port::Directory::remove_login`].
pub(super) fn remove_login(c: &Connection, hash: KeyHash) -> Result<bool, Failure> {
    Ok(c.prepare_cached("DELETE FROM logins WHERE hash = ?1")?.execute([hash.0])? == 1)
}

/// See [`engine::port::Directory::add_workspace`].
pub(super) fn add_workspace(c: &Connection, asked: &Workspace) -> Result<Workspace, Failure> {
    let sql = format!("{WORKSPACE} WHERE owner = ?1 AND name = ?2");
    let row = params![Id(asked.owner.uuid()), asked.name.as_str()];
    let found = c.prepare_cached(&sql)?.query_row(row, workspace_of).optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    if workspace(c, asked.id)?.is_some() {
        return Err(LedgerError::Conflict { key: asked.id.to_string() }.into());
    }
    let sql =
        "INSERT INTO workspaces (id, owner, name, purpose, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    c.prepare_cached(sql)?.execute(params![
        Id(asked.id.uuid()),
        Id(asked.owner.uuid()),
        asked.name.as_str(),
        asked.purpose,
        stored(asked.created),
    ])?;
    let seat = Seat { workspace: asked.id, person: asked.owner };
    members::found(c, seat, asked.created)?;
    erase::added(c, asked.id)?;
    Ok(asked.clone())
}

/// See [`engine::port::Directory::workspace`].
pub(super) fn workspace(c: &Connection, id: WorkspaceId) -> Result<Option<Workspace>, Failure> {
    let sql = format!("{WORKSPACE} WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([Id(id.uuid())], workspace_of).optional()?)
}

/// See [`engine::port::Directory::workspaces`].
pub(super) fn workspaces(c: &Connection, owner: UserId) -> Result<Vec<Workspace>, Failure> {
    let sql = format!("{WORKSPACE} WHERE owner = ?1 ORDER BY created, id");
    let mut statement = c.prepare_cached(&sql)?;
    let workspaces =
        statement.query_map([Id(owner.uuid())], workspace_of)?.collect::<Result<_, _>>()?;
    Ok(workspaces)
}

pub(super) fn workspace_of(row: &Row<'_>) -> rusqlite::Result<Workspace> {
    Ok(Workspace {
        id: WorkspaceId::from_uuid(row.get::<_, Id>(0)?.0),
        name: row.get::<_, Text<_>>(1)?.0,
        owner: UserId::from_uuid(row.get::<_, Id>(2)?.0),
        purpose: row.get(3)?,
        created: time(row, 4)?,
    })
}
