//! `remit ws …`.

use serde_json::Value;

use crate::cli::Ws;
use crate::client::with_query;
use crate::config::Config;
use crate::exit::Exit;
use crate::say;

pub(crate) async fn run(config: &Config, verb: Ws, as_json: bool) -> anyhow::Result<Exit> {
    let verb = match verb {
        Ws::Hand(verb) => {
            super::hand::run(config, *verb, as_json).await?;
            return Ok(Exit::Ok);
        }
        verb => verb,
    };
    let client = super::client(config)?;
    match verb {
        Ws::Hand(_) => Ok(Exit::Ok),
        Ws::Search { words, workspace, limit, .. } => {
            let limit = limit.map(|limit| limit.to_string());
            let query = [
                ("q", Some(words.as_str())),
                ("workspace", workspace.as_deref()),
                ("limit", limit.as_deref()),
            ];
            let found = client.get(&with_query("/agent/workspace/search", &query)).await?;
            say::list(&items(&found["hits"]), &["path", "title", "snippet"], as_json)?;
            Ok(Exit::Ok)
        }
        Ws::Check { workspace, .. } => {
            let query = [("workspace", workspace.as_deref())];
            let report = client.get(&with_query("/agent/workspace/check", &query)).await?;
            let findings = items(&report["findings"]);
            say::list(&findings, &["severity", "path", "line", "rule", "message"], as_json)?;
            let errors = findings.iter().filter(|it| it["severity"] == "error").count();
            say::talk(format!("{} pages, {errors} errors", report["totals"]["pages"]));
            Ok(if errors == 0 { Exit::Ok } else { Exit::Failed })
        }
    }
}

/// The items of a list, each text in one line.
fn items(list: &Value) -> Vec<Value> {
    let mut items = list.as_array().cloned().unwrap_or_default();
    for value in items.iter_mut().filter_map(Value::as_object_mut).flat_map(|it| it.values_mut()) {
        if let Value::String(text) = value {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    items
}
