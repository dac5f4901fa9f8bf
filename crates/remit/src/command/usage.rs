//! `remit usage`.

use serde_json::Value;

use crate::cli::Usage;
use crate::client::with_query;
use crate::config::Config;
use crate::say::{self, safe};

pub(crate) async fn run(config: &Config, asked: Usage, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    let query = [
        ("by", Some(asked.by.as_str())),
        ("from", asked.from.as_deref()),
        ("to", asked.to.as_deref()),
        ("dispatch", asked.dispatch.as_deref()),
        ("subject", asked.everybody.then_some("all")),
    ];
    let page = client.get(&with_query("/agent/usage", &query)).await?;
    let rows = page["rows"].as_array().cloned().unwrap_or_default();
    if as_json {
        return say::list(&rows, &[], true);
    }
    let head = [asked.by.as_str(), "requests", "input", "cached", "output", "cost"];
    let rows: Vec<_> = rows.iter().map(shown).collect();
    say::table(&head, &rows)?;
    if page["more"] == true {
        say::talk("there is more: ask for fewer days with --from and --to");
    }
    Ok(())
}

fn shown(row: &Value) -> Vec<String> {
    let number = |name: &str| row[name].as_u64().unwrap_or(0);
    let tokens = |name| known(number(name), number("unknown"), number("requests"));
    let cost = match row["cost_micros"].as_u64() {
        Some(micros) => {
            let sum = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            if number("unpriced") > 0 { format!("at least {sum}") } else { sum }
        }
        None => "-".to_owned(),
    };
    vec![
        safe(row["key"].as_str().unwrap_or_default()),
        number("requests").to_string(),
        tokens("input_tokens"),
        tokens("cached_tokens"),
        tokens("output_tokens"),
        cost,
    ]
}

/// A sum of which parts may not be known: a number that is not the whole says so.
fn known(sum: u64, unknown: u64, requests: u64) -> String {
    match unknown {
        0 => sum.to_string(),
        unknown if unknown >= requests => "unknown".to_owned(),
        _ => format!("at least {sum}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_whole_says_so() {
        let row = |unknown, unpriced| {
            let row = serde_json::json!({
                "key": "2026-11-26", "requests": 2, "input_tokens": 10, "cached_tokens": 0,
                "output_tokens": 3, "unknown": unknown, "unpriced": unpriced,
                "cost_micros": 1_500_000,
            });
            shown(&row).split_off(1).join(" ")
        };
        assert_eq!(row(0, 0), "2 10 0 3 1.500000");
        assert_eq!(row(1, 1), "2 at least 10 at least 0 at least 3 at least 1.500000");
        assert_eq!(row(2, 0), "2 unknown unknown unknown 1.500000");
    }
}
