//! Who is what in which workspace. Each call is inside the transaction or snapshot of its caller.

use engine::port::{Departure, LedgerError, Member, MemberChange, Membership, Person};
use model::{Role, Time, UserId, WorkspaceId, WorkspaceName};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::directory::{PERSON_COLUMNS, WORKSPACE_COLUMNS, person_of, workspace_of};
use super::failure::Failure;
use super::row::{Id, stored, time};

/// How often a name that is taken gets another number.
const NUMBERS_MAX: u32 = 10_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A person in a workspace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) workspace: WorkspaceId,
    pub(super) person: UserId,
}

impl Seat {
    fn row(self) -> (Id, Id) {
        (Id(self.workspace.uuid()), Id(self.person.uuid()))
    }
}

/// See [`engine::port::Memberships::role`].
pub(super) fn role(c: &Connection, seat: Seat) -> Result<Option<Role>, Failure> {
    let sql = "SELECT role FROM members WHERE workspace = ?1 AND person = ?2";
    let word: Option<String> =
        c.prepare_cached(sql)?.query_row(seat.row(), |row| row.get(0)).optional()?;
    word.map(|word| role_of(&word)).transpose()
}

/// The role that is stored as this word.
pub(super) fn role_of(word: &str) -> Result<Role, Failure> {
    Role::of_word(word).ok_or_else(|| Failure::Unreadable(format!("the role {word}")))
}

/// See [`engine::port::Memberships::memberships`].
pub(super) fn memberships(c: &Connection, person: UserId) -> Result<Vec<Membership>, Failure> {
    let sql = format!(
        "SELECT {WORKSPACE_COLUMNS}, m.role, m.active FROM members m \
         JOIN workspaces w ON w.id = m.workspace WHERE m.person = ?1 \
         ORDER BY w.owner <> ?1, CASE WHEN w.owner = ?1 THEN w.created ELSE m.no END, w.id"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query([Id(person.uuid())])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let role = role_of(&row.get::<_, String>("role")?)?;
        found.push(Membership { workspace: workspace_of(row)?, role, active: row.get("active")? });
    }
    Ok(found)
}

/// See [`engine::port::Memberships::members`].
pub(super) fn members(c: &Connection, workspace: WorkspaceId) -> Result<Vec<Member>, Failure> {
    let sql = format!(
        "SELECT {PERSON_COLUMNS}, m.role, m.since FROM members m \
         JOIN people p ON p.id = m.person WHERE m.workspace = ?1 ORDER BY m.no"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query([Id(workspace.uuid())])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(member_of(row)?);
    }
    Ok(found)
}

fn member_of(row: &Row<'_>) -> Result<Member, Failure> {
    let person: Person = person_of(row)?;
    Ok(Member { person, role: role_of(&row.get::<_, String>(5)?)?, since: time(row, 6)? })
}

/// Makes somebody a member of a workspace of somebody else.
pub(super) fn add(c: &Connection, seat: Seat, role: Role, since: Time) -> Result<(), Failure> {
    insert(c, seat, role, since, false)
}

/// Makes a person the owner of a new workspace. Their first one is part of their conversations.
pub(super) fn found(c: &Connection, seat: Seat, since: Time) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM members m JOIN workspaces w ON w.id = m.workspace \
               WHERE m.person = ?1 AND w.owner = ?1";
    let first = !c.prepare_cached(sql)?.exists([Id(seat.person.uuid())])?;
    insert(c, seat, Role::Owner, since, first)
}

fn insert(
    c: &Connection,
    seat: Seat,
    role: Role,
    since: Time,
    active: bool,
) -> Result<(), Failure> {
    let sql = "INSERT INTO members (workspace, person, role, since, active) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let (workspace, person) = seat.row();
    let row = params![workspace, person, role.word(), stored(since), active];
    c.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Writes another role over the one that is there.
pub(super) fn change(c: &Connection, seat: Seat, role: Role) -> Result<(), Failure> {
    let sql = "UPDATE members SET role = ?3 WHERE workspace = ?1 AND person = ?2";
    let (workspace, person) = seat.row();
    c.prepare_cached(sql)?.execute(params![workspace, person, role.word()])?;
    Ok(())
}

/// See [`engine::port::Memberships::set_role`].
pub(super) fn set_role(c: &Connection, seat: Seat, role: Role) -> Result<MemberChange, Failure> {
    let Some(before) = self::role(c, seat)? else { return Ok(MemberChange::NotAMember) };
    if before == Role::Owner && role < Role::Owner {
        if owners(c, seat.workspace)? < 2 {
            return Ok(MemberChange::LastOwner);
        }
        change(c, seat, role)?;
        no_owner_any_more(c, seat)?;
    } else {
        change(c, seat, role)?;
    }
    Ok(MemberChange::Done)
}

/// See [`engine::port::Memberships::remove_member`].
pub(super) fn remove(
    c: &Connection,
    seat: Seat,
    departure: Departure,
    at: Time,
) -> Result<MemberChange, Failure> {
    let Some(before) = role(c, seat)? else { return Ok(MemberChange::NotAMember) };
    if before == Role::Owner && owners(c, seat.workspace)? < 2 {
        return Ok(MemberChange::LastOwner);
    }
    let sql = "DELETE FROM members WHERE workspace = ?1 AND person = ?2";
    c.prepare_cached(sql)?.execute(seat.row())?;
    if before == Role::Owner {
        no_owner_any_more(c, seat)?;
    }
    if departure == Departure::Removed {
        let sql = "INSERT OR REPLACE INTO removals (workspace, person, at) VALUES (?1, ?2, ?3)";
        let (workspace, person) = seat.row();
        c.prepare_cached(sql)?.execute(params![workspace, person, stored(at)])?;
    }
    Ok(MemberChange::Done)
}

fn owners(c: &Connection, workspace: WorkspaceId) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM members WHERE workspace = ?1 AND role = 'owner'";
    Ok(c.prepare_cached(sql)?.query_row([Id(workspace.uuid())], |row| row.get(0))?)
}

/// Their invitations are void; what was theirs by name goes to the eldest owner that is left.
fn no_owner_any_more(c: &Connection, seat: Seat) -> Result<(), Failure> {
    let (workspace, person) = seat.row();
    let sql = "DELETE FROM invites WHERE workspace = ?1 AND maker = ?2";
    c.prepare_cached(sql)?.execute((workspace, person))?;
    let sql = "SELECT name FROM workspaces WHERE id = ?1 AND owner = ?2";
    let name: Option<String> =
        c.prepare_cached(sql)?.query_row((workspace, person), |row| row.get(0)).optional()?;
    let Some(name) = name else { return Ok(()) };
    let sql =
        "SELECT person FROM members WHERE workspace = ?1 AND role = 'owner' ORDER BY no LIMIT 1";
    let heir: Id = c.prepare_cached(sql)?.query_row([workspace], |row| row.get(0))?;
    let name = free_name(c, heir, &name)?;
    let sql = "UPDATE workspaces SET owner = ?2, name = ?3 WHERE id = ?1";
    c.prepare_cached(sql)?.execute(params![workspace, heir, name.as_str()])?;
    Ok(())
}

/// The name, or the name with a number that is free for this owner.
fn free_name(c: &Connection, owner: Id, name: &str) -> Result<WorkspaceName, Failure> {
    let sql = "SELECT 1 FROM workspaces WHERE owner = ?1 AND name = ?2";
    let mut taken = c.prepare_cached(sql)?;
    for number in 1..NUMBERS_MAX {
        let tail = if number == 1 { String::new() } else { format!("-{number}") };
        let room = name.floor_char_boundary(NAME_BYTES_MAX - tail.len());
        let wished = format!("{}{tail}", &name[..room]);
        if !taken.exists(params![owner, wished])? {
            return wished.parse().map_err(|_| Failure::Unreadable(wished));
        }
    }
    Err(LedgerError::Conflict { key: name.to_owned() }.into())
}

/// See [`engine::port::Memberships::set_active`].
pub(super) fn set_active(c: &Connection, seat: Seat, active: bool) -> Result<bool, Failure> {
    let sql = "UPDATE members SET active = ?3 WHERE workspace = ?1 AND person = ?2";
    let (workspace, person) = seat.row();
    Ok(c.prepare_cached(sql)?.execute(params![workspace, person, active])? == 1)
}

/// See [`engine::port::Memberships::set_purpose`].
pub(super) fn set_purpose(
    c: &Connection,
    workspace: WorkspaceId,
    purpose: &str,
) -> Result<bool, Failure> {
    let sql = "UPDATE workspaces SET purpose = ?2 WHERE id = ?1";
    Ok(c.prepare_cached(sql)?.execute(params![Id(workspace.uuid()), purpose])? == 1)
}
