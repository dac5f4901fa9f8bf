//! `remit storage …`: works on the data folder itself, without a server.

use serde_json::json;

use crate::config::Config;
use crate::say;
use crate::storage;

/// `remit storage rotate`.
pub(crate) fn rotate(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let count = storage::rotate(config)?;
    if as_json {
        say::json(&json!({"workspaces": count}))?;
    } else {
        say::talk(format!("a new master key wraps the keys of {count} workspaces"));
    }
    Ok(())
}
