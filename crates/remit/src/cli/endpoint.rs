//! `remit endpoint …`, as it can be typed. Decides nothing.

use std::path::PathBuf;

use clap::Subcommand;

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum Endpoint {
    /// List your model endpoints, and what can be chosen of each.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Keep a model endpoint for your own dispatches, or change it.
    ///
    /// Its key comes from --key-file, or from `REMIT_ENDPOINT__KEY` or `REMIT_ENDPOINT__KEY_FILE`; without one it keeps the
    /// key that it has. The key is never shown again.
    Add(Box<New>),
    /// Remove a model endpoint and destroy its key: what uses it ends.
    Rm {
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Ask a model endpoint for a word, and say what is wrong; exit code 1 if it does not answer.
    Test {
        name: String,
        /// Another model of it than its usual one.
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

/// A model endpoint that is to be kept.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// What you call it: its models are `@NAME/MODEL`.
    pub(crate) name: String,
    /// Its address, with or without /v1.
    pub(crate) at: String,
    /// The model that answers where no other is named.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,
    /// The dialect it speaks: openai, responses, anthropic or gemini.
    #[arg(long, value_name = "API", default_value = "openai",
        value_parser = ["openai", "responses", "anthropic", "gemini"])]
    pub(crate) api: String,
    /// Another model of it that may be asked for; may be given several times.
    #[arg(long = "also", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Only for agents of this runner; may be given several times.
    #[arg(long = "runner", value_name = "NAME")]
    pub(crate) runners: Vec<String>,
    /// The most tokens that it takes as the limit of an answer.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    /// What a million tokens of requests cost, in millionths of money.
    #[arg(long, value_name = "N", requires = "output_price")]
    pub(crate) input_price: Option<u64>,
    /// Those of them that a cache had.
    #[arg(long, value_name = "N", requires = "input_price")]
    pub(crate) cached_price: Option<u64>,
    /// What a million tokens of answers cost.
    #[arg(long, value_name = "N", requires = "input_price")]
    pub(crate) output_price: Option<u64>,
    /// A file that holds the key; `-` for standard input.
    #[arg(long, value_name = "PATH")]
    pub(crate) key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: Server,
}

impl Endpoint {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Ls { server } | Self::Rm { server, .. } | Self::Test { server, .. } => server,
            Self::Add(new) => &new.server,
        }
    }
}
