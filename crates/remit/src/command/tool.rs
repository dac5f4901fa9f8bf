//! `remit tool …`.

use serde_json::json;

use crate::cli::Tool;
use crate::config::Config;
use crate::say;

pub(crate) async fn run(config: &Config, verb: Tool, as_json: bool) -> anyhow::Result<()> {
    let Tool::Ls { .. } = verb;
    let list = super::client(config)?.get("/agent/tools").await?;
    let servers = list["servers"].as_array().cloned().unwrap_or_default();
    if as_json {
        return say::list(&servers, &[], true);
    }
    let mut rows = vec![];
    for server in servers {
        let name = server["name"].as_str().unwrap_or_default();
        for tool in server["tools"].as_array().into_iter().flatten() {
            let full = format!("{name}.{}", tool["name"].as_str().unwrap_or_default());
            let input = if server["untrusted"] == true { "any input" } else { "trusted input" };
            rows.push(json!({"tool": full, "effect": tool["effect"], "input": input,
                "about": server["about"]}));
        }
    }
    say::list(&rows, &["tool", "effect", "input", "about"], false)
}
