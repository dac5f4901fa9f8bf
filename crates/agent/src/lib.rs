//! The built-in agent: a small honest tool loop that speaks ACP on stdio.
//!
//! It reads, searches, edits and writes files, runs commands and calls tools behind the gate, because a
//! model asks it to. It runs inside a sandbox and checks nothing that the sandbox checks: no
//! path is forbidden here. Threads and plain sockets only, so that thousands of it fit a machine.

mod server;
mod turn;

mod context;
mod message;
mod session;

mod mcp;
mod tools;

mod asking;
mod chat;
mod dialect;

mod client;
mod http;
mod signal;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use model::Mode;

use crate::dialect::Dialect;
use crate::http::Origin;

/// Longer than anything lasts.
const LONG: Duration = Duration::from_hours(24 * 7);
/// The most answers of the model in one turn, if nothing else is said.
const STEPS_MAX: u32 = 100;
/// The tokens of a conversation that are sent to the model, if nothing else is said; when an endpoint
/// takes less, it says so, and less is sent.
const CONTEXT_TOKENS_MAX: usize = 100_000;
/// How many bytes of text a token is, about.
const TOKEN_BYTES: usize = 4;

/// How the agent runs.
#[derive(Debug)]
pub struct Config {
    origin: Origin,
    model: String,
    session: Option<String>,
    sessions: PathBuf,
    steps_max: u32,
    /// How much text of a conversation is sent to the model.
    context_bytes_max: usize,
    asks: bool,
    /// What may be done to the folder: the sandbox sees to it, here it decides what the model is offered.
    access: Mode,
    dialect: Dialect,
}

/// The environment does not say how to run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable that must be there is not.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A variable says something that cannot be used.
    #[error("{name} is `{value}`; it must be {must}")]
    Bad {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it must be.
        must: &'static str,
    },
}

impl Config {
    /// Reads the variables of the environment through `variable`:
    /// - `REMIT_GATE_URL`: where models are asked, as `http://127.0.0.1:8700`. Must be there.
    /// - `REMIT_MODEL`: the model's name. Must be there.
    /// - `REMIT_SESSION`: the id of a new session; a fresh one if absent.
    /// - `REMIT_SESSION_FOLDER`: where session files are; `/session` if absent.
    /// - `REMIT_AGENT_STEPS`: the most answers of the model in one turn, 1 to 10,000; 100 if absent.
    /// - `REMIT_AGENT_ASKS`: `writes` to ask before anything is changed; `never` if absent.
    /// - `REMIT_AGENT_ACCESS`: what becomes of changes: `rw`, `propose`, or `ro`, where there are no
    ///   tools that write files; `rw` if absent.
    /// - `REMIT_AGENT_API`: the dialect in which the model is asked: `openai-chat`, `openai-responses`
    ///   or `anthropic-messages`; the first if absent, and for `gemini`.
    /// - `REMIT_AGENT_CONTEXT`: the tokens of a conversation that are sent to the model, 2,000 to
    ///   10,000,000; 100,000 if absent.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let must = |name| variable(name).ok_or(ConfigError::Missing(name));
        let bad = |name, value, must| ConfigError::Bad { name, value, must };
        let url = must("REMIT_GATE_URL")?;
        let origin = Origin::read(&url);
        let steps = variable("REMIT_AGENT_STEPS");
        let steps_max = steps.as_ref().map_or(Some(STEPS_MAX), |steps| steps.parse().ok());
        let steps_max = steps_max.filter(|steps| (1..=10_000).contains(steps));
        let asks = match variable("REMIT_AGENT_ASKS").as_deref() {
            None | Some("never") => false,
            Some("writes") => true,
            Some(other) => {
                let must = "`never` or `writes`";
                return Err(bad("REMIT_AGENT_ASKS", other.to_owned(), must));
            }
        };
        let access = match variable("REMIT_AGENT_ACCESS").as_deref() {
            None | Some("rw") => Mode::ReadWrite,
            Some("propose") => Mode::Propose,
            Some("ro") => Mode::ReadOnly,
            Some(other) => {
                let must = "`rw`, `propose` or `ro`";
                return Err(bad("REMIT_AGENT_ACCESS", other.to_owned(), must));
            }
        };
        let api = variable("REMIT_AGENT_API");
        let dialect = api.as_deref().map_or(Some(Dialect::Chat), Dialect::read);
        let dialect = dialect.ok_or_else(|| {
            let must = "`openai-chat`, `openai-responses` or `anthropic-messages`";
            bad("REMIT_AGENT_API", api.unwrap_or_default(), must)
        })?;
        let tokens = variable("REMIT_AGENT_CONTEXT");
        let tokens_max =
            tokens.as_ref().map_or(Some(CONTEXT_TOKENS_MAX), |tokens| tokens.parse().ok());
        let tokens_max = tokens_max.filter(|tokens| (2_000..=10_000_000).contains(tokens));
        let tokens_max = tokens_max.ok_or_else(|| {
            let must = "a number from 2000 to 10000000";
            bad("REMIT_AGENT_CONTEXT", tokens.unwrap_or_default(), must)
        })?;
        Ok(Self {
            access,
            dialect,
            context_bytes_max: tokens_max * TOKEN_BYTES,
            origin: origin.ok_or_else(|| bad("REMIT_GATE_URL", url, "a URL of plain HTTP"))?,
            model: must("REMIT_MODEL")?,
            session: variable("REMIT_SESSION"),
            sessions: variable("REMIT_SESSION_FOLDER").unwrap_or("/session".to_owned()).into(),
            steps_max: steps_max.ok_or_else(|| {
                bad("REMIT_AGENT_STEPS", steps.unwrap_or_default(), "a number from 1 to 10000")
            })?,
            asks,
        })
    }
}

/// Runs the agent until `input` ends or `output` takes nothing more. A turn that is running then is
/// stopped.
pub fn run(
    input: impl BufRead,
    output: impl Write + Send + 'static,
    config: Config,
) -> io::Result<()> {
    server::Server::new(config, client::Client::new(output)).serve(input)
}
