//! `remit session …`.

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
            say::list(&sessions, &["session", "last_active", "title"], as_json)
        }
        Session::Show { id, .. } => {
            let history = client.get(&format!("/agent/sessions/{}/history", escaped(&id))).await?;
            let turns = history["turns"].as_array().cloned().unwrap_or_default();
            if as_json {
                return say::list(&turns, &[], true);
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
