//! What can be typed. Decides nothing.

mod hand;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use hand::{Hand, Outside, TokenFile};

/// Runs untrusted agents in sandboxes over git folders.
///
/// Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 not authorised, 5 not found, 6 conflict,
/// 7 unavailable, 8 denied, 9 timed out, 10 the agent failed, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "remit", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The folder that holds everything.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What is logged on stderr, as `info` or `engine=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Data for programs on stdout: JSON, one object a line for streams.
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
    #[command(verbatim_doc_comment)]
    Up(Up),
    /// Say something to an agent and watch what it does.
    Run(Run),
    /// Show on throw-away data that it works here: two turns, two sandboxes, one conversation.
    Demo,
    /// List and steer dispatches.
    #[command(subcommand)]
    Dispatch(Dispatch),
    /// List conversations.
    #[command(subcommand)]
    Session(Session),
    /// Search and check workspaces.
    #[command(subcommand)]
    Ws(Ws),
    /// List, install and test what drives agents.
    #[command(subcommand)]
    Runner(Runner),
    /// Read and decide what waits for a person.
    #[command(subcommand)]
    Inbox(Inbox),
    /// Add up what models used, and what it cost.
    Usage(Usage),
    /// Show and make keys.
    #[command(subcommand)]
    Key(Key),
    /// Print a link that logs a browser in, once.
    Login {
        #[command(flatten)]
        server: Server,
    },
    /// Say what this machine can do, and why not.
    Doctor(Machine),
    /// Show the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Keep what is encrypted at rest.
    #[command(subcommand)]
    Storage(Storage),
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
pub(crate) enum Dispatch {
    /// List dispatches, newest first.
    Ls {
        /// Only those that are not over.
        #[arg(long)]
        live: bool,
        /// Only those of this conversation.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// At most so many, 1 to 500.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        #[command(flatten)]
        server: Server,
    },
    /// Show one dispatch.
    Show {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Follow what a dispatch says and does, from its beginning to its end.
    Watch {
        id: String,
        /// Begin after this event.
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        /// Stop at the end of what is there.
        #[arg(long)]
        no_follow: bool,
        #[command(flatten)]
        server: Server,
    },
    /// List the questions of agents that wait for an answer.
    Asks {
        #[command(flatten)]
        server: Server,
    },
    /// Answer a question of an agent; without an option it is refused.
    Answer {
        id: String,
        /// The question, as `asks` lists it.
        ask: String,
        /// One of its options.
        #[arg(long, value_name = "OPTION")]
        option: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// End a dispatch.
    Cancel {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Continue the conversation of a dispatch that is over in a fresh sandbox.
    Resume {
        id: String,
        /// What to say; that it should go on where absent.
        prompt: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runner {
    /// List runners: which are installed, in which version, and whether they passed their test.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Take a runner in that is described by a TOML file.
    Add {
        file: PathBuf,
        /// Take the place of a runner of that name.
        #[arg(long)]
        replace: bool,
    },
    /// Fetch a runner's packages with npm into the data folder: exact versions, no scripts, whole or
    /// not at all.
    #[command(verbatim_doc_comment)]
    Install { name: String },
    /// Try a runner: a turn, a write, a resume in a fresh sandbox, a stop, a question. The result is
    /// kept by the server; without a passed test nobody begins a conversation with it by accident.
    #[command(verbatim_doc_comment)]
    Test {
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Print what the last tests found, of all that are installed, as a table in Markdown.
    Matrix {
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List conversations, most lately active first.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Show what was said.
    Show {
        id: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ws {
    #[command(flatten)]
    Hand(Box<Hand>),
    /// Find pages by what they say: all words, "words beside each other", -without, begin*.
    Search {
        /// What to look for.
        words: String,
        /// A workspace by name or id; the home workspace where absent.
        #[arg(short, long, value_name = "WS")]
        workspace: Option<String>,
        /// At most so many, 1 to 100.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        #[command(flatten)]
        server: Server,
    },
    /// Check pages against the Open Knowledge Format; exit code 1 if there are errors.
    Check {
        /// A workspace by name or id; the home workspace where absent.
        #[arg(short, long, value_name = "WS")]
        workspace: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inbox {
    /// List proposals, newest first.
    Ls {
        /// open, approved, denied, expired or all.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only those of this workspace, by name or id.
        #[arg(short, long, value_name = "WS")]
        workspace: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Show a proposal and what it would change now.
    Show {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Take a proposal, or only some of its files, into the workspace.
    Approve {
        id: String,
        /// The digest that `show` printed: nothing else is approved.
        #[arg(long)]
        digest: String,
        /// Only this file; may be given several times.
        #[arg(long = "file", value_name = "PATH")]
        files: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Turn a proposal down.
    Deny {
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

impl Inbox {
    fn server(&self) -> &Server {
        match self {
            Self::Ls { server, .. }
            | Self::Show { server, .. }
            | Self::Approve { server, .. }
            | Self::Deny { server, .. } => server,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show the server and the key that commands use on this machine.
    Show {
        #[command(flatten)]
        server: Server,
    },
    /// Make a key for oneself; it is shown once.
    New {
        /// agent, read or admin; several separated by commas.
        #[arg(long, default_value = "agent,read")]
        scopes: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        server: Server,
    },
    /// List one's keys.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Make a key void.
    Rm {
        id: String,
        #[command(flatten)]
        server: Server,
    },
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
            Command::Key(verb) => (None, Some(verb.server())),
            Command::Login { server } => (None, Some(server)),
            Command::Demo | Command::Config(_) | Command::Storage(_) => (None, None),
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

impl Dispatch {
    fn server(&self) -> &Server {
        match self {
            Self::Ls { server, .. }
            | Self::Show { server, .. }
            | Self::Watch { server, .. }
            | Self::Asks { server }
            | Self::Answer { server, .. }
            | Self::Cancel { server, .. }
            | Self::Resume { server, .. } => server,
        }
    }
}

impl Runner {
    fn server(&self) -> Option<&Server> {
        match self {
            Self::Ls { server } | Self::Test { server, .. } | Self::Matrix { server } => {
                Some(server)
            }
            Self::Add { .. } | Self::Install { .. } => None,
        }
    }
}

impl Session {
    fn server(&self) -> &Server {
        match self {
            Self::Ls { server } | Self::Show { server, .. } => server,
        }
    }
}

impl Ws {
    fn server(&self) -> &Server {
        match self {
            Self::Hand(verb) => verb.server(),
            Self::Search { server, .. } | Self::Check { server, .. } => server,
        }
    }
}

impl Key {
    fn server(&self) -> &Server {
        match self {
            Self::Show { server }
            | Self::New { server, .. }
            | Self::Ls { server }
            | Self::Rm { server, .. } => server,
        }
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
