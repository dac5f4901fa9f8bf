//! What each command does.

pub(crate) mod demo;
pub(crate) mod dispatch;
pub(crate) mod doctor;
pub(crate) mod hand;
pub(crate) mod inbox;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod session;
pub(crate) mod show;
pub(crate) mod storage;
pub(crate) mod up;
pub(crate) mod usage;
pub(crate) mod ws;

use crate::client::Client;
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::profile::Profile;

/// The client of the server that is meant: the one that was named, or that of the data folder.
pub(crate) fn client(config: &Config) -> anyhow::Result<Client> {
    let (url, key) = address(config)?;
    Client::new(&url, &key)
}

/// The URL of that server, and the key to ask it with.
pub(crate) fn address(config: &Config) -> anyhow::Result<(String, String)> {
    let profile = Profile::read(&config.data())?;
    let profile = profile.as_ref();
    let url = config.text("client.url").or(profile.map(|profile| profile.url.as_str()));
    let key = config.text("client.key").or_else(|| own_key(config, profile));
    match (url, key) {
        (Some(url), Some(key)) => Ok((url.to_owned(), key.to_owned())),
        (None, _) => Err(Failed::new(
            Exit::Unavailable,
            format!("no server is known for {}", config.data().display()),
        )
        .next("start one with `remit up`, or name one with --url and --key")
        .into()),
        (Some(_), None) => Err(Failed::new(Exit::NotAuthorised, "no key is known for this server")
            .next("give it with --key, REMIT_CLIENT__KEY or REMIT_CLIENT__KEY_FILE")
            .into()),
    }
}

/// The key of the profile, which is sent to no server but its own.
fn own_key<'a>(config: &Config, profile: Option<&'a Profile>) -> Option<&'a str> {
    let profile = profile?;
    let own = config.text("client.url").is_none_or(|url| url == profile.url);
    own.then_some(profile.key.as_str())
}
