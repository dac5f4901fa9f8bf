//! `remit key …`.

use reqwest::Method;
use serde_json::json;

use crate::cli::Key;
use crate::client::escaped;
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::profile::Profile;
use crate::say::{self, safe};

pub(crate) async fn run(config: &Config, verb: Key, as_json: bool) -> anyhow::Result<()> {
    if let Key::Show { .. } = verb {
        return show(config, as_json);
    }
    let client = super::client(config)?;
    match verb {
        Key::Show { .. } => {}
        Key::New { scopes, label, .. } => {
            let asked = json!({"scopes": scopes, "label": label});
            let key = client.post("/auth/keys", &asked).await?;
            if as_json {
                return Ok(say::json(&key)?);
            }
            say::talk("this key is shown once:");
            say::data(safe(key["token"].as_str().unwrap_or_default()))?;
        }
        Key::Ls { .. } => {
            let list = client.get("/auth/keys").await?;
            let keys = list["tokens"].as_array().cloned().unwrap_or_default();
            say::list(&keys, &["id", "scopes", "created", "label"], as_json)?;
        }
        Key::Rm { id, .. } => {
            let path = format!("/auth/keys/{}", escaped(&id));
            client.ask(Method::DELETE, &path, None).await?;
            say::talk(format!("{} is void", safe(&id)));
        }
    }
    Ok(())
}

/// What the profile of the data folder says; asks no server.
fn show(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let data = config.data();
    let profile = Profile::read(&data)?.ok_or_else(|| {
        Failed::new(Exit::NotFound, format!("there is no profile in {}", data.display()))
            .next("`remit up` makes one")
    })?;
    if as_json {
        return Ok(say::json(&profile)?);
    }
    let rows = [
        ("url", profile.url),
        ("key", profile.key),
        ("admin_key", profile.admin_key),
        ("workspace", profile.workspace),
    ];
    Ok(say::table(&["name", "value"], &rows.map(|(name, value)| vec![name.to_owned(), value]))?)
}
