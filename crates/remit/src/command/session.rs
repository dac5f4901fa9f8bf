//! `remit session …`.

use serde_json::Value;

use crate::cli::Session;
use crate::client::escaped;
use crate::config::Config;
use crate::say::{self, safe};

pub(crate) async fn run(config: &Config, verb: Session, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    match verb {
        Session::Ls { .. } => {
            let list = client.get("/agent/sessions").await?;
            let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
            list_of(&sessions, &["session", "last_active", "title"], as_json)
        }
        Session::Show { id, .. } => {
            let history = client.get(&format!("/agent/sessions/{}/history", escaped(&id))).await?;
            let turns = history["turns"].as_array().cloned().unwrap_or_default();
            if as_json {
                return list_of(&turns, &[], true);
            }
            for turn in turns {
                let said = turn["text"].as_str().unwrap_or_default();
                let who = turn["role"].as_str().unwrap_or_default();
                say::data(format!("{}: {}", safe(who), safe(said)))?;
            }
            Ok(())
        }
    }
}

/// Items as rows of these fields, or one JSON object a line.
pub(crate) fn list_of(items: &[Value], fields: &[&str], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        for item in items {
            say::json(item)?;
        }
        return Ok(());
    }
    let cell = |value: &Value| match value {
        Value::String(text) => safe(text),
        Value::Null => "-".to_owned(),
        other => safe(&other.to_string()),
    };
    let rows: Vec<Vec<_>> =
        items.iter().map(|item| fields.iter().map(|field| cell(&item[*field])).collect()).collect();
    Ok(say::table(fields, &rows)?)
}
