//! Invitations to workspaces. Each call is inside the transaction or snapshot of its caller.

use engine::port::{Followed, Invite, KeyHash, LedgerError};
use model::{InviteId, Role, Time, UserId, WorkspaceId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::directory;
use super::failure::Failure;
use super::members::{self, Seat, role_of};
use super::row::{Id, stored, time};

const INVITE: &str =
    "SELECT id, workspace, role, maker, emails, created, expires, uses_left FROM invites";

/// See [`engine::port::Memberships::add_invite`].
pub(super) fn add(c: &Connection, invite: &Invite, hash: KeyHash) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM invites WHERE id = ?1 OR hash = ?2";
    if c.prepare_cached(sql)?.exists(params![Id(invite.id.uuid()), hash.0])? {
        return Err(LedgerError::Conflict { key: invite.id.to_string() }.into());
    }
    let sql = "INSERT INTO invites \
               (id, hash, workspace, role, maker, emails, created, expires, uses_left) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    c.prepare_cached(sql)?.execute(params![
        Id(invite.id.uuid()),
        hash.0,
        Id(invite.workspace.uuid()),
        invite.role.word(),
        Id(invite.maker.uuid()),
        serde_json::to_string(&invite.emails)?,
        stored(invite.created),
        stored(invite.expires),
        invite.uses_left,
    ])?;
    Ok(())
}

/// See [`engine::port::Memberships::invites`].
pub(super) fn list(
    c: &Connection,
    workspace: WorkspaceId,
    at: Time,
) -> Result<Vec<Invite>, Failure> {
    let sql = format!(
        "{INVITE} WHERE workspace = ?1 AND expires > ?2 AND uses_left > 0 ORDER BY created, id"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![Id(workspace.uuid()), stored(at)])?;
    let mut invites = Vec::new();
    while let Some(row) = rows.next()? {
        invites.push(invite_of(row)?);
    }
    Ok(invites)
}

/// See [`engine::port::Memberships::invite`].
pub(super) fn find(c: &Connection, hash: KeyHash) -> Result<Option<Invite>, Failure> {
    let mut statement = c.prepare_cached(&format!("{INVITE} WHERE hash = ?1"))?;
    let mut rows = statement.query([hash.0])?;
    rows.next()?.map(invite_of).transpose()
}

fn invite_of(row: &Row<'_>) -> Result<Invite, Failure> {
    Ok(Invite {
        id: InviteId::from_uuid(row.get::<_, Id>(0)?.0),
        workspace: WorkspaceId::from_uuid(row.get::<_, Id>(1)?.0),
        role: role_of(&row.get::<_, String>(2)?)?,
        maker: UserId::from_uuid(row.get::<_, Id>(3)?.0),
        emails: serde_json::from_str(&row.get::<_, String>(4)?)?,
        created: time(row, 5)?,
        expires: time(row, 6)?,
        uses_left: row.get(7)?,
    })
}

/// See [`engine::port::Memberships::remove_invite`].
pub(super) fn remove(
    c: &Connection,
    workspace: WorkspaceId,
    id: InviteId,
) -> Result<bool, Failure> {
    let sql = "DELETE FROM invites WHERE id = ?1 AND workspace = ?2";
    let row = params![Id(id.uuid()), Id(workspace.uuid())];
    Ok(c.prepare_cached(sql)?.execute(row)? == 1)
}

/// See [`engine::port::Memberships::follow_invite`].
pub(super) fn follow(
    c: &Connection,
    hash: KeyHash,
    person: UserId,
    at: Time,
) -> Result<Followed, Failure> {
    let Some(invite) = find(c, hash)? else { return Ok(Followed::Unknown) };
    let seat = Seat { workspace: invite.workspace, person };
    let before = members::role(c, seat)?;
    if let Some(role) = before.filter(|role| *role >= invite.role) {
        return Ok(Followed::Joined(invite.workspace, role));
    }
    if invite.uses_left == 0 || at >= invite.expires {
        return Ok(Followed::Over);
    }
    if !is_for(c, &invite, seat)? {
        return Ok(Followed::NotForThem);
    }
    let sql = "UPDATE invites SET uses_left = uses_left - 1 WHERE hash = ?1";
    c.prepare_cached(sql)?.execute([hash.0])?;
    seat_as(c, seat, before, invite.role, at)?;
    Ok(Followed::Joined(invite.workspace, invite.role))
}

fn seat_as(
    c: &Connection,
    seat: Seat,
    before: Option<Role>,
    role: Role,
    at: Time,
) -> Result<(), Failure> {
    match before {
        Some(_) => members::change(c, seat, role),
        None => members::add(c, seat, role, at),
    }
}

/// Whether the address is one of those that are meant, and the person was not removed since.
fn is_for(c: &Connection, invite: &Invite, seat: Seat) -> Result<bool, Failure> {
    let Some(person) = directory::person(c, seat.person)? else { return Ok(false) };
    let email = person.email.to_lowercase();
    if !invite.emails.is_empty() && !invite.emails.contains(&email) {
        return Ok(false);
    }
    let sql = "SELECT at FROM removals WHERE workspace = ?1 AND person = ?2";
    let row = (Id(seat.workspace.uuid()), Id(seat.person.uuid()));
    let removed: Option<i64> =
        c.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
    Ok(removed.is_none_or(|removed| stored(invite.created) > removed))
}
