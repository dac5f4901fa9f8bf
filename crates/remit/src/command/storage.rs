//! `remit storage …`: works on the data folder itself, without a server.

use serde_json::json;

use crate::config::Config;
use crate::say;
use crate::storage::{self, Rewrapped};

/// `remit storage rotate`.
pub(crate) fn rotate(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let Rewrapped { workspaces, secrets } = storage::rotate(config)?;
    if as_json {
        say::json(&json!({"workspaces": workspaces, "secrets": secrets}))?;
    } else {
        let what = format!("the keys of {workspaces} workspaces and {secrets} secrets of people");
        say::talk(format!("a new master key wraps {what}"));
    }
    Ok(())
}
