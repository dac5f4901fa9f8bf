//! `remit ws …` for what is done by hand, as it can be typed. Decides nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Server;

/// Which workspace, and which server is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// A workspace by name or id; your home where absent.
    #[arg(short, long, value_name = "WS")]
    pub(crate) workspace: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Where the credential of an outside repository is read from. It is no argument, so that no list of processes shows it.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenFile {
    /// A file that holds the token; `-` for standard input.
    #[arg(long, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Which branch of an outside repository, and what lets one in.
#[derive(Debug, Clone, Args)]
pub(crate) struct Outside {
    /// The branch; main where absent.
    #[arg(long = "ref", value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    #[command(flatten)]
    pub(crate) token: TokenFile,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hand {
    /// List the workspaces that you are a member of.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Make a workspace.
    New {
        name: String,
        /// What it is for; agents are told.
        #[arg(long)]
        purpose: Option<String>,
        /// knowledge or plain.
        #[arg(long)]
        template: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Clone a workspace with git, with your key as the password.
    Clone {
        /// A workspace by name or id.
        name: String,
        /// Where to; a folder of its name where absent.
        directory: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// Make a workspace that follows an outside repository.
    Attach {
        /// As `https://host/path`.
        repo: String,
        /// What it is called; as the repository where absent.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        outside: Outside,
        #[command(flatten)]
        server: Server,
    },
    /// List the workspaces that are part of your conversations, those that are parked, and what they follow.
    Attached {
        #[command(flatten)]
        server: Server,
    },
    /// Let a workspace that follows an outside repository take the place of another one, which is parked.
    Swap {
        /// As `https://host/path`; your home where absent.
        repo: Option<String>,
        #[command(flatten)]
        outside: Outside,
        #[command(flatten)]
        place: Place,
    },
    /// Push a workspace to an outside repository and follow that from then on.
    Publish {
        /// As `https://host/path`.
        repo: String,
        #[command(flatten)]
        outside: Outside,
        #[command(flatten)]
        place: Place,
    },
    /// Push to the outside repository that a workspace follows, as a fast-forward.
    Push {
        #[command(flatten)]
        token: TokenFile,
        #[command(flatten)]
        place: Place,
    },
    /// Pull from the outside repository that a workspace follows, as a fast-forward.
    Pull {
        #[command(flatten)]
        token: TokenFile,
        #[command(flatten)]
        place: Place,
    },
    /// List files.
    Tree {
        /// Those with names that begin with a dot, too.
        #[arg(long)]
        hidden: bool,
        /// An older revision.
        #[arg(long, value_name = "COMMIT")]
        at: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Print a file.
    Cat {
        path: String,
        /// Of an older revision.
        #[arg(long, value_name = "COMMIT")]
        at: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Write a file from standard input, or from another file.
    Write {
        path: String,
        /// What is written; standard input where absent.
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// The revision that you saw: a file that changed since is not written over.
        #[arg(long, value_name = "COMMIT")]
        base: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a file.
    Rm {
        path: String,
        /// The revision that you saw.
        #[arg(long, value_name = "COMMIT")]
        base: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Upload files as one commit.
    Upload {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The directory they go to.
        #[arg(long, value_name = "DIR")]
        to: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List commits, newest first.
    Log {
        /// Only those that changed this file or directory.
        path: Option<String>,
        /// At most so many, 1 to 500.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// Show what a commit changed.
    Diff {
        commit: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a commit back by a new one.
    Revert {
        commit: String,
        #[command(flatten)]
        place: Place,
    },
    /// See to it that a workspace has what a template begins with.
    Init {
        /// knowledge or plain.
        #[arg(long)]
        template: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Make a workspace part of conversations that name none.
    Activate {
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Take a workspace out of conversations that name none.
    Deactivate {
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Delete a workspace for good, with its history and the conversations at home there.
    ///
    /// If it is encrypted, its key goes first: every copy of it, in whatever backup, is lost.
    Delete {
        /// A workspace by name or id.
        name: String,
        /// That it is meant.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Say in one line what a workspace is for.
    Purpose {
        text: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the members.
    Members {
        #[command(flatten)]
        place: Place,
    },
    /// Change what a member is: viewer, contributor or owner.
    Role {
        user: String,
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a member; what of theirs runs there is ended.
    Remove {
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Leave a workspace.
    Leave {
        #[command(flatten)]
        place: Place,
    },
    /// Make an invitation; its token is shown once.
    Invite {
        /// viewer or contributor.
        #[arg(default_value = "viewer")]
        role: String,
        /// Only for this mail address; may be given several times.
        #[arg(long = "email", value_name = "MAIL")]
        emails: Vec<String>,
        /// How long it is open, in seconds.
        #[arg(long, value_name = "S")]
        expires_s: Option<u64>,
        /// For so many people.
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// List the invitations that are open.
    Invites {
        #[command(flatten)]
        place: Place,
    },
    /// Take an invitation back.
    Uninvite {
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Follow an invitation.
    Join {
        token: String,
        #[command(flatten)]
        server: Server,
    },
}

/// What a verb is about.
enum About<'a> {
    Workspace(&'a Place),
    Server(&'a Server),
}

impl Hand {
    /// Which workspace it is about, for those that are about one.
    pub(crate) fn place(&self) -> Option<&Place> {
        match self.about() {
            About::Workspace(place) => Some(place),
            About::Server(_) => None,
        }
    }

    pub(super) fn server(&self) -> &Server {
        match self.about() {
            About::Workspace(place) => &place.server,
            About::Server(server) => server,
        }
    }

    fn about(&self) -> About<'_> {
        match self {
            Self::Ls { server, .. }
            | Self::Attach { server, .. }
            | Self::Attached { server, .. }
            | Self::New { server, .. }
            | Self::Clone { server, .. }
            | Self::Activate { server, .. }
            | Self::Deactivate { server, .. }
            | Self::Delete { server, .. }
            | Self::Join { server, .. } => About::Server(server),
            Self::Swap { place, .. }
            | Self::Publish { place, .. }
            | Self::Push { place, .. }
            | Self::Pull { place, .. }
            | Self::Tree { place, .. }
            | Self::Cat { place, .. }
            | Self::Write { place, .. }
            | Self::Rm { place, .. }
            | Self::Upload { place, .. }
            | Self::Log { place, .. }
            | Self::Diff { place, .. }
            | Self::Revert { place, .. }
            | Self::Init { place, .. }
            | Self::Purpose { place, .. }
            | Self::Members { place, .. }
            | Self::Role { place, .. }
            | Self::Remove { place, .. }
            | Self::Leave { place, .. }
            | Self::Invite { place, .. }
            | Self::Invites { place, .. }
            | Self::Uninvite { place, .. } => About::Workspace(place),
        }
    }
}
