//! `remit runner matrix`: what the last test of each installed runner found, as a table for a guide.

use serde_json::{Value, json};

use super::checks::CHECKS;
use crate::say::{self, safe};

/// What stands in a cell whose runner has no test.
const UNTESTED: &str = "not tested";

pub(crate) fn run(runners: &[Value], as_json: bool) -> anyhow::Result<()> {
    let installed = runners.iter().filter(|runner| runner["installed"] == true);
    if as_json {
        for runner in installed {
            let shown = json!({"runner": runner["name"], "version": runner["version"],
                "test": runner["test"]});
            say::json(&shown)?;
        }
        return Ok(());
    }
    let heads: Vec<&str> = CHECKS.iter().map(|(_, head)| *head).collect();
    say::data(format!("| runner | version | {} |", heads.join(" | ")))?;
    say::data(format!("|{}", "---|".repeat(heads.len() + 2)))?;
    for runner in installed {
        let cells: Vec<String> = CHECKS.iter().map(|(check, _)| cell(runner, check)).collect();
        let text = |name: &str| safe(runner[name].as_str().unwrap_or("built in"));
        say::data(format!("| `{}` | {} | {} |", text("name"), text("version"), cells.join(" | ")))?;
    }
    Ok(())
}

/// `pass`, or what came of it and why.
fn cell(runner: &Value, check: &str) -> String {
    let mut found = runner["test"]["checks"].as_array().into_iter().flatten();
    let Some(found) = found.rfind(|it| it["check"] == check) else {
        return UNTESTED.to_owned();
    };
    let note = safe(found["note"].as_str().unwrap_or_default()).replace(['|', '\n'], " ");
    match found["result"].as_str() {
        Some("pass") => "pass".to_owned(),
        Some("fail") => format!("**fail**: {note}"),
        _ => format!("no: {note}"),
    }
}
