//! The verbs of dispatches, conversations, workspaces, runners, proposals and keys, as they can be typed.
//! Decides nothing.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Hand, Server};

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
    /// Print what models were asked and answered, one exchange a line.
    Recording {
        id: String,
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
pub(crate) enum Tool {
    /// List the servers of tools behind the gate, and what may be called of each.
    Ls {
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
    pub(super) fn server(&self) -> &Server {
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

impl Dispatch {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Ls { server, .. }
            | Self::Show { server, .. }
            | Self::Watch { server, .. }
            | Self::Asks { server }
            | Self::Answer { server, .. }
            | Self::Recording { server, .. }
            | Self::Cancel { server, .. }
            | Self::Resume { server, .. } => server,
        }
    }
}

impl Runner {
    pub(super) fn server(&self) -> Option<&Server> {
        match self {
            Self::Ls { server } | Self::Test { server, .. } | Self::Matrix { server } => {
                Some(server)
            }
            Self::Add { .. } | Self::Install { .. } => None,
        }
    }
}

impl Session {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Ls { server } | Self::Show { server, .. } => server,
        }
    }
}

impl Ws {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Hand(verb) => verb.server(),
            Self::Search { server, .. } | Self::Check { server, .. } => server,
        }
    }
}

impl Key {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Show { server }
            | Self::New { server, .. }
            | Self::Ls { server }
            | Self::Rm { server, .. } => server,
        }
    }
}
