//! What can be typed. Decides nothing.

mod endpoint;
mod examples;
mod hand;
mod verb;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit;

pub(crate) use endpoint::{Endpoint, New as NewEndpoint};
pub(crate) use hand::{Hand, Outside, TokenFile};
pub(crate) use verb::{Dispatch, Inbox, Key, Runner, Session, Tool, Ws};

/// Runs untrusted agents in sandboxes over git folders.
///
/// Data goes to stdout, talk to stderr. Nothing asks for anything on a terminal.
#[derive(Debug, Parser)]
#[command(
    name = "remit",
    version,
    disable_help_subcommand = true,
    after_help = "The first step: remit demo. Then: remit up. `remit COMMAND --help` has examples.",
    after_long_help = exit::table()
)]
pub(crate) struct Cli {
    /// The folder that holds everything.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What is logged on stderr, as `info` or `engine=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Data for programs on stdout: JSON, one object a line for lists and streams. A failure is an
    /// object on stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve everything, on loopback unless told otherwise.
    ///
    /// The first start makes a person, a home workspace and their keys. Keys are stored as hashes;
    /// the owner's own are kept in DIR/profile.json (mode 0600), from which later starts print them
    /// and commands on this machine take them. When that file is lost, new keys are made.
    /// SIGTERM or SIGINT stops in order: living agents are brought to an end and their work is kept,
    /// what waits goes on with the next start. A second signal stops at once.
    #[command(verbatim_doc_comment, after_help = examples::UP)]
    Up(Up),
    /// Say something to an agent and watch what it does.
    ///
    /// Where no server runs on the data folder, one is started for as long as this takes.
    #[command(after_help = examples::RUN)]
    Run(Box<Run>),
    /// Show on throw-away data that it works here: two turns, two sandboxes, one conversation.
    Demo,
    /// List and steer dispatches.
    #[command(subcommand, after_help = examples::DISPATCH)]
    Dispatch(Dispatch),
    /// List conversations.
    #[command(subcommand, after_help = examples::SESSION)]
    Session(Session),
    /// Read, write, share, search and check workspaces.
    #[command(subcommand, after_help = examples::WS)]
    Ws(Ws),
    /// List, install and test what drives agents.
    #[command(subcommand, after_help = examples::RUNNER)]
    Runner(Runner),
    /// List the tools that agents may be given.
    #[command(subcommand)]
    Tool(Tool),
    /// Read and decide what waits for a person.
    #[command(subcommand, after_help = examples::INBOX)]
    Inbox(Inbox),
    /// Add up what models used, and what it cost.
    #[command(after_help = examples::USAGE)]
    Usage(Usage),
    /// Show and make keys.
    #[command(subcommand, after_help = examples::KEY)]
    Key(Key),
    /// Keep, list and try model endpoints of your own.
    #[command(subcommand, after_help = examples::ENDPOINT)]
    Endpoint(Endpoint),
    /// Print a link that logs a browser in, once.
    Login {
        #[command(flatten)]
        server: Server,
    },
    /// Say what this machine can do, and why not.
    Doctor(Machine),
    /// Show the configuration.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(Config),
    /// Keep what is encrypted at rest.
    #[command(subcommand)]
    Storage(Storage),
    /// Print what the server can be asked, as OpenAPI.
    Openapi,
    /// Print what completes these commands in a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the pages of the manual, one a command, into a folder.
    #[command(after_help = examples::MAN)]
    Man {
        /// The folder; it is made where it is missing.
        folder: PathBuf,
    },
}

/// How sandboxes are built and models are reached.
#[derive(Debug, Default, Args)]
pub(crate) struct Machine {
    /// What builds sandboxes: native, or process, which does not isolate.
    #[arg(long, value_name = "KIND")]
    pub(crate) backend: Option<String>,
    /// A model endpoint, or `auto` for a model server of this machine; the key comes from
    /// `REMIT_MODEL__KEY` or `REMIT_MODEL__KEY_FILE`.
    #[arg(long, value_name = "URL")]
    pub(crate) model_url: Option<String>,
    /// The dialect of the endpoint: openai, responses, anthropic or gemini.
    #[arg(long, value_name = "API")]
    pub(crate) model_api: Option<String>,
    /// The model that is asked for.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address and port; port 0 takes any.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// The path under which it is reached, behind a proxy that serves other things too.
    #[arg(long, value_name = "PATH")]
    pub(crate) base_path: Option<String>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Which server is asked; the one of the data folder where nothing is said.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Server {
    /// The server's URL.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The key to ask with; better in `REMIT_CLIENT__KEY` or `REMIT_CLIENT__KEY_FILE`.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// What to say.
    pub(crate) prompt: String,
    /// A workspace by name or id, with :ro, :rw or :propose; may be given several times.
    #[arg(short, long = "workspace", value_name = "WS[:MODE]")]
    pub(crate) workspaces: Vec<String>,
    /// What drives the agent.
    #[arg(long, value_name = "NAME")]
    pub(crate) runner: Option<String>,
    /// Take the runner though it did not pass `remit runner test` on this server.
    #[arg(long)]
    pub(crate) untested: bool,
    /// Whether the agent asks before it acts: auto, or ask (`remit dispatch asks` and
    /// `remit dispatch answer`).
    #[arg(long, value_name = "MODE", value_parser = ["auto", "ask"])]
    pub(crate) permissions: Option<String>,
    #[command(flatten)]
    pub(crate) budget: Budget,
    /// A server of tools that the agent may call, or one tool of it; may be given several times
    /// (`remit tool ls`).
    #[arg(long = "tool", value_name = "SERVER[.TOOL]")]
    pub(crate) tools: Vec<String>,
    /// A model for a new conversation, as `NAME/MODEL`, or `@NAME/MODEL` of an endpoint of your own
    /// (`remit endpoint ls`).
    #[arg(long, value_name = "MODEL")]
    pub(crate) with: Option<String>,
    /// Keep what models are asked and answer in a new sandbox; `remit dispatch recording` prints it.
    #[arg(long)]
    pub(crate) record: bool,
    /// The conversation to continue.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Do not wait: print the dispatch and leave it to the running server.
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// How much of models a new sandbox may use: never more than the server allows.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Budget {
    /// At most so many calls of models.
    #[arg(long = "budget-requests", value_name = "N")]
    pub(crate) requests: Option<u64>,
    /// At most so many tokens, in and out.
    #[arg(long = "budget-tokens", value_name = "N")]
    pub(crate) tokens: Option<u64>,
    /// At most so much money, in millionths.
    #[arg(long = "budget-micros", value_name = "N")]
    pub(crate) micros: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// What it is added up by: day, dispatch, model, or turn of one dispatch.
    #[arg(long, default_value = "day", value_parser = ["day", "dispatch", "turn", "model"])]
    pub(crate) by: String,
    /// The first day, in UTC, as 2026-11-26; 29 days before the last where absent.
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// The last day, in UTC; today where absent.
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,
    /// Only what this dispatch used.
    #[arg(long, value_name = "ID")]
    pub(crate) dispatch: Option<String>,
    /// What everybody used; needs an administrator's key.
    #[arg(long)]
    pub(crate) everybody: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show every setting.
    Show {
        /// And where each comes from.
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    /// Make another master key, wrap every workspace's key by it, and forget the old one.
    ///
    /// The server must be stopped. Whatever happens on the way, nothing is lost: call it again, or
    /// start the server.
    #[command(verbatim_doc_comment)]
    Rotate,
}

impl Cli {
    /// What was typed, as settings.
    pub(crate) fn flags(&self) -> Vec<(&'static str, String)> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut flags =
            vec![("server.data", self.data.as_ref().map(text)), ("log.filter", self.log.clone())];
        let (machine, server) = match &self.command {
            Command::Up(up) => {
                flags.push(("server.listen", up.listen.clone()));
                flags.push(("server.base_path", up.base_path.clone()));
                (Some(&up.machine), None)
            }
            Command::Run(run) => (Some(&run.machine), Some(&run.server)),
            Command::Doctor(machine) => (Some(machine), None),
            Command::Dispatch(verb) => (None, Some(verb.server())),
            Command::Session(verb) => (None, Some(verb.server())),
            Command::Ws(verb) => (None, Some(verb.server())),
            Command::Runner(verb) => (None, verb.server()),
            Command::Inbox(verb) => (None, Some(verb.server())),
            Command::Usage(asked) => (None, Some(&asked.server)),
            Command::Tool(Tool::Ls { server }) => (None, Some(server)),
            Command::Key(verb) => (None, Some(verb.server())),
            Command::Endpoint(verb) => (None, Some(verb.server())),
            Command::Login { server } => (None, Some(server)),
            Command::Demo
            | Command::Config(_)
            | Command::Storage(_)
            | Command::Openapi
            | Command::Completions { .. }
            | Command::Man { .. } => (None, None),
        };
        if let Some(machine) = machine {
            flags.push(("backend.kind", machine.backend.clone()));
            flags.push(("model.url", machine.model_url.clone()));
            flags.push(("model.api", machine.model_api.clone()));
            flags.push(("model.name", machine.model.clone()));
        }
        if let Some(server) = server {
            flags.push(("client.url", server.url.clone()));
            flags.push(("client.key", server.key.clone()));
        }
        flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_fits_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_settings() {
        let cli = Cli::parse_from(["remit", "up", "--listen", "127.0.0.1:0", "--data", "/d"]);
        let expected =
            [("server.data", "/d"), ("server.listen", "127.0.0.1:0")].map(|(k, v)| (k, v.into()));
        assert_eq!(cli.flags(), expected);
        for (key, _) in cli.flags() {
            assert!(crate::settings::find(key).is_some(), "{key}");
        }
    }
}
