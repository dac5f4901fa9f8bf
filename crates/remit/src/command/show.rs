//! `remit config show`.

use serde_json::{Map, json};

use crate::config::{Config, HIDDEN, Origin, Row};
use crate::profile::Profile;
use crate::say;

/// Every setting, and where it comes from where that is asked.
pub(crate) fn config(config: &Config, origin: bool, as_json: bool) -> anyhow::Result<()> {
    let rows = with_profile(config.shown(), config)?;
    if as_json {
        let shown = |row: Row| {
            let value = json!(row.value);
            let shown = json!({"value": value, "origin": row.origin.to_string()});
            (row.key, if origin { shown } else { value })
        };
        return Ok(say::json(&rows.into_iter().map(shown).collect::<Map<_, _>>())?);
    }
    let line = |row: Row| {
        let value = row.value.unwrap_or_else(|| "-".to_owned());
        let from = origin.then(|| row.origin.to_string());
        [row.key, value].into_iter().chain(from).chain([row.about.to_owned()]).collect()
    };
    let head: &[&str] = if origin {
        &["setting", "value", "origin", "what it is"]
    } else {
        &["setting", "value", "what it is"]
    };
    Ok(say::table(head, &rows.into_iter().map(line).collect::<Vec<_>>())?)
}

/// Commands that are told neither a server nor a key take those of the data folder.
fn with_profile(mut rows: Vec<Row>, config: &Config) -> anyhow::Result<Vec<Row>> {
    let Some(profile) = Profile::read(&config.data())? else { return Ok(rows) };
    let ours = super::own_key(config, Some(&profile)).is_some();
    let origin = Origin::File(Profile::path(&config.data()));
    for row in rows.iter_mut().filter(|row| row.value.is_none()) {
        match row.key.as_str() {
            "client.url" => row.value = Some(profile.url.clone()),
            "client.key" if ours => row.value = Some(HIDDEN.to_owned()),
            _ => continue,
        }
        row.origin = origin.clone();
    }
    Ok(rows)
}
