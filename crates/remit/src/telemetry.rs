//! What the program says of itself while it runs: on stderr, never content, never a key.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, Surroundings};
use crate::exit::{Exit, Failed};

/// Starts logging as configured, or as is usual for the command.
pub(crate) fn start(
    config: &Config,
    surroundings: &Surroundings,
    usual: &'static str,
) -> Result<(), Failed> {
    let filter = config.text("log.filter").unwrap_or(usual);
    let filter = EnvFilter::builder().parse(filter).map_err(|problem| {
        Failed::new(Exit::Config, format!("`log.filter` is `{filter}`: {problem}"))
            .next("write it as `info` or `warn,engine=debug`")
    })?;
    let colours = surroundings.variables.get("NO_COLOR").is_none_or(String::is_empty)
        && std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let started = match config.text("log.format") {
        Some("json") => log.json().try_init(),
        _ => log.try_init(),
    };
    started.map_err(|problem| Failed::new(Exit::Failed, format!("cannot log: {problem}")))
}
