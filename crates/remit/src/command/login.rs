//! `remit login`: a link that logs a browser in, once.

use serde_json::json;

use crate::config::Config;
use crate::say;

pub(crate) async fn run(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    let link = client.post("/auth/links", &json!({})).await?;
    let login = address(client.url(), link["token"].as_str().unwrap_or_default());
    if as_json {
        return Ok(say::json(&json!({"login": login, "expires": link["expires"]}))?);
    }
    say::talk("open this in your browser within 15 minutes; it works once:");
    Ok(say::data(login)?)
}

/// The page that logs a browser in. What stands after `#` is sent to no server and kept in no log.
pub(crate) fn address(url: &str, token: &str) -> String {
    format!("{url}/login#{token}")
}
