//! `/agent/usage`: what models used, and what it cost, added up.

use axum::extract::State;
use axum::{Extension, Json};
use engine::port::{UsageBy, UsageQuery, UsageRow};
use jiff::civil::Date;
use model::{DispatchId, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body::{self, Query};
use crate::dispatches::{readable, whose};
use crate::problem::{INVALID, Problem};
use crate::views::{self, UsageView};

/// The days that are added up where nothing is said, today included.
const DAYS: i64 = 30;
const ROWS: u32 = 100;
const ROWS_MAX: u32 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// By what it is added up; by `day` where absent. `turn` needs `dispatch`.
    by: Option<By>,
    /// The first day, in UTC.
    from: Option<String>,
    /// The last day, in UTC.
    to: Option<String>,
    /// Only what this dispatch used, whenever that was.
    dispatch: Option<DispatchId>,
    /// For administrators: what was used for this person, or for everybody by `all`.
    subject: Option<String>,
    /// How many rows, 1 to 1000; 100 where absent.
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum By {
    Day,
    Dispatch,
    Turn,
    Model,
}

/// What models used, added up.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UsageRows {
    rows: Vec<RowView>,
    /// Whether there are more.
    more: bool,
}

/// What models used of one day, dispatch, turn or model.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageRow")]
struct RowView {
    /// The day, dispatch, turn or model.
    key: String,
    #[serde(flatten)]
    usage: UsageView,
}

pub(crate) async fn usage(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Asked>,
) -> Result<Json<UsageRows>, Problem> {
    let by = match asked.by.unwrap_or(By::Day) {
        By::Day => UsageBy::Day,
        By::Dispatch => UsageBy::Dispatch,
        By::Turn if asked.dispatch.is_none() => {
            return Err(Problem::new(INVALID, "by=turn needs the dispatch whose turns are meant"));
        }
        By::Turn => UsageBy::Turn,
        By::Model => UsageBy::Model,
    };
    let subject = match asked.dispatch {
        None => whose(&caller, asked.subject.as_deref(), |owner| Action::ReadUsage { owner })?,
        Some(dispatch) => {
            let record = readable(&api, &caller, &dispatch.to_string()).await?;
            Some(record.dispatch.subject)
        }
    };
    let today = views::day(api.clock.now());
    let (from, to) = (day("from", asked.from.as_deref())?, day("to", asked.to.as_deref())?);
    let last = to.unwrap_or(if asked.dispatch.is_some() { Date::MAX } else { today });
    let first = from.unwrap_or_else(|| match asked.dispatch {
        Some(_) => Date::MIN,
        None => last.saturating_sub(jiff::Span::new().days(DAYS - 1)),
    });
    if first > last {
        return Err(Problem::new(INVALID, format!("from={first} is after to={last}")));
    }
    let limit = body::page(asked.limit, ROWS, ROWS_MAX)?;
    let (from, until) = (begin(first), begin(last.tomorrow().unwrap_or(Date::MAX)));
    let query = UsageQuery { by, subject, dispatch: asked.dispatch, from, until, limit };
    let page = api.usage.usage(query).await?;
    let row = |row: UsageRow| RowView { usage: views::usage(&row.usage), key: row.key };
    Ok(Json(UsageRows { rows: page.items.into_iter().map(row).collect(), more: page.more }))
}

fn day(name: &str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let bad = |_| Problem::new(INVALID, format!("{name} is a day in UTC, as 2026-11-26"));
    text.map(|text| text.parse().map_err(bad)).transpose()
}

/// When a day begins, in UTC.
fn begin(day: Date) -> Time {
    let day = day.max(jiff::civil::date(1970, 1, 1));
    let midnight = jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0));
    // The last day of the calendar is no point in time any more.
    let ms = midnight.map_or(i64::MAX, jiff::Timestamp::as_millisecond);
    Time::from_ms(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc_and_no_day_is_too_far() {
        let day = |text: &str| begin(text.parse().expect("a day")).as_ms();
        assert_eq!(day("2024-10-04"), 20_000 * 86_400_000);
        assert_eq!(begin(Date::MIN).as_ms(), 0);
        assert!(begin(Date::MAX).as_ms() > day("9000-01-01"));
    }
}
