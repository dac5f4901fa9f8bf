//! What waits for a person. Each call is inside the transaction or snapshot of its caller.

use engine::port::{Page, ProposalQuery, ProposalRecord, ProposalState};
use model::{CommitId, Proposal, ProposalId, Standing, WorkspaceId};
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::failure::Failure;
use super::row::{Id, Text, stored};

/// Workspaces that one query may name.
const WORKSPACES_MAX: usize = 1_000;

/// What [`record_of`] reads.
const RECORD: &str = "SELECT unseal(body, 'proposal', id), unseal(standing, 'standing', id) \
                      FROM proposals";

/// See [`engine::port::Proposals::add_proposal`].
pub(super) fn add(c: &Connection, new: &Proposal) -> Result<ProposalRecord, Failure> {
    if let Some(found) = one(c, new.id)? {
        return Ok(found);
    }
    let sql = "INSERT INTO proposals (id, workspace, committed, expires, body, state, standing) \
               VALUES (?1, ?2, ?3, ?4, seal(?5, ?2, 'proposal', ?1), ?6, seal(?7, ?2, 'standing', ?1))";
    let standing = serde_json::to_string(&Standing::Open)?;
    c.prepare_cached(sql)?.execute(params![
        Id(new.id.uuid()),
        Id(new.workspace.uuid()),
        new.commit.as_str(),
        stored(new.expires),
        serde_json::to_string(new)?,
        word(&Standing::Open),
        standing,
    ])?;
    remember(c, new, &standing)?;
    Ok(ProposalRecord { proposal: new.clone(), standing: Standing::Open })
}

fn remember(c: &Connection, of: &Proposal, standing: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO proposal_standings (proposal, standing) \
               VALUES (?1, seal(?2, ?3, 'standing', ?1))";
    let row = params![Id(of.id.uuid()), standing, Id(of.workspace.uuid())];
    c.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The word of a standing in the column that is searched.
fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Open => "open",
        Standing::Approving { .. } => "approving",
        Standing::Approved { .. } => "approved",
        Standing::Denied { .. } => "denied",
    }
}

/// See [`engine::port::Proposals::proposal`].
pub(super) fn one(c: &Connection, id: ProposalId) -> Result<Option<ProposalRecord>, Failure> {
    let mut statement = c.prepare_cached(&format!("{RECORD} WHERE id = ?1"))?;
    let mut rows = statement.query([Id(id.uuid())])?;
    rows.next()?.map(record_of).transpose()
}

fn record_of(row: &Row<'_>) -> Result<ProposalRecord, Failure> {
    Ok(ProposalRecord {
        proposal: serde_json::from_str(&row.get::<_, String>(0)?)?,
        standing: serde_json::from_str(&row.get::<_, String>(1)?)?,
    })
}

/// See [`engine::port::Proposals::proposals`].
pub(super) fn page(c: &Connection, query: &ProposalQuery) -> Result<Page<ProposalRecord>, Failure> {
    let workspaces: Vec<Id> =
        query.workspaces.iter().take(WORKSPACES_MAX).map(|id| Id(id.uuid())).collect();
    let (now, limit) = (stored(query.now), i64::from(query.limit) + 1);
    let before = query.before.map(|id| Id(id.uuid()));
    let mut values: Vec<&dyn ToSql> = vec![&now, &limit];
    let mut sql = format!("{RECORD} WHERE ?1 = ?1");
    sql.push_str(match query.state {
        None => "",
        Some(ProposalState::Open) => {
            " AND (state = 'approving' OR state = 'open' AND expires > ?1)"
        }
        Some(ProposalState::Expired) => " AND state = 'open' AND expires <= ?1",
        Some(ProposalState::Approved) => " AND state = 'approved'",
        Some(ProposalState::Denied) => " AND state = 'denied'",
    });
    if let Some(before) = &before {
        values.push(before);
        sql.push_str(" AND id < ?3");
    }
    let places = (values.len() + 1..).take(workspaces.len()).map(|place| format!("?{place}"));
    sql.push_str(" AND workspace IN (");
    sql.push_str(&places.collect::<Vec<_>>().join(","));
    sql.push_str(") ORDER BY id DESC LIMIT ?2");
    values.extend(workspaces.iter().map(|id| id as &dyn ToSql));
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(record_of(row)?);
    }
    let more = items.len() > query.limit as usize;
    items.truncate(query.limit as usize);
    Ok(Page { items, more })
}

/// See [`engine::port::Proposals::decide`].
pub(super) fn decide(
    c: &Connection,
    id: ProposalId,
    from: &Standing,
    to: Standing,
) -> Result<Option<ProposalRecord>, Failure> {
    let Some(found) = one(c, id)? else { return Ok(None) };
    if found.standing != *from {
        return Ok(Some(found));
    }
    let standing = serde_json::to_string(&to)?;
    let sql = "UPDATE proposals SET state = ?2, standing = seal(?3, workspace, 'standing', id) \
               WHERE id = ?1";
    c.prepare_cached(sql)?.execute(params![Id(id.uuid()), word(&to), standing])?;
    remember(c, &found.proposal, &standing)?;
    Ok(Some(ProposalRecord { standing: to, ..found }))
}

/// See [`engine::port::Proposals::approving`].
pub(super) fn approving(c: &Connection) -> Result<Vec<ProposalRecord>, Failure> {
    let sql = format!("{RECORD} WHERE state = 'approving' ORDER BY id");
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(record_of(row)?);
    }
    Ok(found)
}

/// See [`engine::port::Proposals::proposed_commits`].
pub(super) fn commits(c: &Connection, workspace: WorkspaceId) -> Result<Vec<CommitId>, Failure> {
    let sql = "SELECT committed FROM proposals WHERE workspace = ?1 ORDER BY id";
    let mut statement = c.prepare_cached(sql)?;
    let commits = statement
        .query_map([Id(workspace.uuid())], |row| Ok(row.get::<_, Text<CommitId>>(0)?.0))?;
    Ok(commits.collect::<Result<_, _>>()?)
}

/// See [`engine::port::Proposals::standings`].
pub(super) fn standings(c: &Connection, id: ProposalId) -> Result<Vec<Standing>, Failure> {
    let sql = "SELECT unseal(standing, 'standing', proposal) FROM proposal_standings \
               WHERE proposal = ?1 ORDER BY no";
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query([Id(id.uuid())])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
    }
    Ok(found)
}
