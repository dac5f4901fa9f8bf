//! What model calls used. Each call is inside the transaction or snapshot of its caller.

use engine::port::{
    Charge, Charged, ModelCall, Page, Tokens, Usage, UsageBy, UsageQuery, UsageRow,
};
use model::DispatchId;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::failure::Failure;
use super::row::{Id, stored};

/// Dispatches that one question may name.
const DISPATCHES_MAX: usize = 1_000;

/// Added up: calls, those without tokens, those without a cost, tokens, cost.
const SUMS: &str = "count(*), count(*) - count(input), count(*) - count(cost), \
                    ifnull(sum(input), 0), ifnull(sum(cached), 0), ifnull(sum(output), 0), sum(cost)";

/// A count as it is stored. Sums of what an endpoint made up must not overflow.
fn count(count: u64) -> i64 {
    const MOST: u64 = 1 << 40;
    count.min(MOST).cast_signed()
}

/// See [`engine::port::UsageBook::add_call`].
pub(super) fn add(c: &Connection, call: &ModelCall) -> Result<(), Failure> {
    let sql = "INSERT INTO usage (id, dispatch, subject, turn, at, endpoint, model, input, cached, \
               output, cost, charged_tokens, charged_micros) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT (id) DO NOTHING";
    c.prepare_cached(sql)?.execute(params![
        Id(call.id),
        Id(call.dispatch.uuid()),
        Id(call.subject.uuid()),
        call.turn.as_ref().map(model::TurnId::as_str),
        stored(call.at),
        call.endpoint,
        call.model,
        call.tokens.map(|tokens| count(tokens.input)),
        call.tokens.map(|tokens| count(tokens.cached)),
        call.tokens.map(|tokens| count(tokens.output)),
        call.cost_micros.map(count),
        count(call.charge.tokens),
        count(call.charge.micros),
    ])?;
    Ok(())
}

/// See [`engine::port::UsageBook::usage`].
pub(super) fn rows(c: &Connection, query: &UsageQuery) -> Result<Page<UsageRow>, Failure> {
    let (key, order) = match query.by {
        UsageBy::Day => ("date(at / 1000, 'unixepoch')", "1 DESC"),
        UsageBy::Dispatch => ("dispatch", "1 DESC"),
        UsageBy::Turn => ("ifnull(turn, '')", "min(no)"),
        UsageBy::Model => ("endpoint || '/' || model", "count(*) DESC, 1"),
    };
    let (from, until) = (stored(query.from), stored(query.until));
    let limit = i64::from(query.limit) + 1;
    let subject = query.subject.map(|id| Id(id.uuid()));
    let dispatch = query.dispatch.map(|id| Id(id.uuid()));
    let mut values: Vec<&dyn ToSql> = vec![&from, &until, &limit];
    let mut filter = String::new();
    for (column, value) in [("subject", &subject), ("dispatch", &dispatch)] {
        if let Some(value) = value {
            values.push(value);
            filter = format!("{filter} AND {column} = ?{}", values.len());
        }
    }
    let sql = format!(
        "SELECT {key}, {SUMS} FROM usage WHERE at >= ?1 AND at < ?2{filter} \
         GROUP BY 1 ORDER BY {order} LIMIT ?3"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        let key = match query.by {
            UsageBy::Dispatch => DispatchId::from_uuid(row.get::<_, Id>(0)?.0).to_string(),
            UsageBy::Day | UsageBy::Turn | UsageBy::Model => row.get(0)?,
        };
        items.push(UsageRow { key, usage: sums(row)? });
    }
    let more = items.len() > query.limit as usize;
    items.truncate(query.limit as usize);
    Ok(Page { items, more })
}

/// [`SUMS`], behind the key in the first column.
fn sums(row: &Row<'_>) -> rusqlite::Result<Usage> {
    let sum = |index| super::row::unsigned(row, index);
    Ok(Usage {
        requests: sum(1)?,
        unknown: sum(2)?,
        unpriced: sum(3)?,
        tokens: Tokens { input: sum(4)?, cached: sum(5)?, output: sum(6)? },
        cost_micros: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
    })
}

/// See [`engine::port::UsageBook::usage_of`].
pub(super) fn of_dispatches(
    c: &Connection,
    dispatches: &[DispatchId],
) -> Result<Vec<(DispatchId, Usage)>, Failure> {
    let sql = format!("SELECT dispatch, {SUMS} FROM usage WHERE dispatch = ?1 GROUP BY 1");
    let mut statement = c.prepare_cached(&sql)?;
    let mut used = Vec::new();
    for &dispatch in dispatches.iter().take(DISPATCHES_MAX) {
        let mut rows = statement.query([Id(dispatch.uuid())])?;
        if let Some(row) = rows.next()? {
            used.push((dispatch, sums(row)?));
        }
    }
    Ok(used)
}

/// See [`engine::port::UsageBook::charged`].
pub(super) fn charged(c: &Connection, whose: Charged) -> Result<Charge, Failure> {
    const SUMS: &str = "SELECT count(*), ifnull(sum(charged_tokens), 0), \
                        ifnull(sum(charged_micros), 0) FROM usage";
    let charge = |row: &Row<'_>| {
        let sum = |index| super::row::unsigned(row, index);
        Ok(Charge { requests: sum(0)?, tokens: sum(1)?, micros: sum(2)? })
    };
    let found = match whose {
        Charged::Dispatch(dispatch) => c
            .prepare_cached(&format!("{SUMS} WHERE dispatch = ?1"))?
            .query_row([Id(dispatch.uuid())], charge),
        Charged::Person(person, since) => c
            .prepare_cached(&format!("{SUMS} WHERE subject = ?1 AND at >= ?2"))?
            .query_row(params![Id(person.uuid()), stored(since)], charge),
        Charged::Everybody(since) => {
            c.prepare_cached(&format!("{SUMS} WHERE at >= ?1"))?.query_row([stored(since)], charge)
        }
    };
    Ok(found?)
}
