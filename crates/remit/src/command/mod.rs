//! What each command does.

pub(crate) mod about;
pub(crate) mod demo;
pub(crate) mod dispatch;
pub(crate) mod doctor;
pub(crate) mod endpoint;
pub(crate) mod hand;
pub(crate) mod inbox;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod session;
pub(crate) mod show;
pub(crate) mod storage;
pub(crate) mod tool;
pub(crate) mod up;
pub(crate) mod usage;
pub(crate) mod ws;

use std::time::Duration;

use crate::client::Client;
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::profile::Profile;
use crate::say::safe;

/// The client of the server that is meant: the one that was named, or that of the data folder.
pub(crate) fn client(config: &Config) -> anyhow::Result<Client> {
    let (url, key) = address(config)?;
    let answer = Duration::from_secs(config.number("client.answer_s"));
    Ok(Client::new(&url, &key)?.waiting(answer))
}

/// The URL of that server, and the key to ask it with.
pub(crate) fn address(config: &Config) -> anyhow::Result<(String, String)> {
    let profile = Profile::read(&config.data())?;
    let profile = profile.as_ref();
    let url = config.text("client.url").or(profile.map(|profile| profile.url.as_str()));
    let key = config.text("client.key").or_else(|| own_key(config, profile));
    match (url, key) {
        (Some(url), Some(key)) => Ok((url.to_owned(), key.to_owned())),
        (None, _) => {
            let what = format!("no server is known for {}", config.data().display());
            Err(Failed::new(Exit::Unavailable, what)
                .why("none was ever started on this folder, and none was named")
                .next("start one with `remit up`, or name one with --url and --key")
                .into())
        }
        (Some(url), None) => {
            let what = format!("no key is known for the server {}", safe(url));
            Err(Failed::new(Exit::NotAuthorised, what)
                .why("the key of this machine is sent to no server but its own")
                .next("give one with --key, REMIT_CLIENT__KEY or REMIT_CLIENT__KEY_FILE")
                .into())
        }
    }
}

/// The key of the profile, which is sent to no server but its own.
fn own_key<'a>(config: &Config, profile: Option<&'a Profile>) -> Option<&'a str> {
    let profile = profile?;
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    let own = config.text("client.url").is_none_or(|url| bare(url) == bare(&profile.url));
    own.then_some(profile.key.as_str())
}
