//! `remit config show`.

use serde_json::{Map, json};

use crate::config::Config;
use crate::say;

/// Every setting, and where it comes from where that is asked.
pub(crate) fn config(config: &Config, origin: bool, as_json: bool) -> anyhow::Result<()> {
    let rows = config.shown();
    if as_json {
        let mut all = Map::new();
        for (setting, text, from) in rows {
            let value = if origin {
                json!({"value": text, "origin": from.to_string()})
            } else {
                json!(text)
            };
            all.insert(setting.key.to_owned(), value);
        }
        return Ok(say::json(&all)?);
    }
    let mut lines = Vec::new();
    for (setting, text, from) in rows {
        let mut line = vec![setting.key.to_owned(), text.unwrap_or_else(|| "-".to_owned())];
        if origin {
            line.push(from.to_string());
        }
        line.push(setting.about.to_owned());
        lines.push(line);
    }
    let head: &[&str] = if origin {
        &["setting", "value", "origin", "what it is"]
    } else {
        &["setting", "value", "what it is"]
    };
    Ok(say::table(head, &lines)?)
}
