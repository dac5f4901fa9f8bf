//! The program: configuration, wiring, commands.
//!
//! The only reader of environment and configuration, and the only place where parts meet.

mod exit;
mod settings;

mod config;

mod cli;
mod say;
mod telemetry;

mod chat;
mod client;
mod profile;

mod backend;
mod descriptors;
mod local;
mod outside;
mod seed;
mod storage;
mod wiring;

mod command;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Config as ConfigVerb, Storage as StorageVerb};
use crate::config::{Config, Surroundings};
use crate::exit::{Exit, exit_of};

fn main() -> ExitCode {
    // Hidden entry points come first: they run inside or beside a sandbox, and are to be small.
    sandbox::zygote_main_if_asked();
    if std::env::args_os().nth(1).is_some_and(|word| word == "agent") {
        return agent_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => return usage(&problem),
    };
    let as_json = cli.json;
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(problem) if say::is_reader_gone(&problem) => ExitCode::SUCCESS,
        Err(problem) if as_json => {
            say::talk(exit::as_data(&problem));
            exit_of(&problem).into()
        }
        Err(problem) => {
            say::talk(format!("remit: {}", exit::in_words(&problem)));
            exit_of(&problem).into()
        }
    }
}

/// `remit agent`: the built-in agent, inside a sandbox.
fn agent_main() -> ExitCode {
    let variables = Surroundings::of_process().variables;
    let config = match agent::Config::read(|name| variables.get(name).cloned()) {
        Ok(config) => config,
        Err(problem) => {
            say::talk(format!("remit agent: {problem}"));
            return Exit::Config.into();
        }
    };
    match agent::run(std::io::stdin().lock(), std::io::stdout(), config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say::talk(format!("remit agent: {problem}"));
            Exit::Failed.into()
        }
    }
}

fn usage(problem: &clap::Error) -> ExitCode {
    // Help goes to stdout, complaints to stderr; nobody can be told when neither can be written.
    let _printed = problem.print();
    if problem.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Openapi => return Ok(say::piece(server::openapi::text()).map(|()| Exit::Ok)?),
        Command::Completions { shell } => return command::about::completions(*shell),
        Command::Man { folder } => return command::about::man(folder),
        _ => {}
    }
    let surroundings = Surroundings::of_process();
    let config = Config::load(&surroundings, cli.flags())?;
    let usual = if matches!(cli.command, Command::Up(_)) { "info" } else { "warn" };
    telemetry::start(&config, &surroundings, usual)?;
    engine::kill_point::arm_as_asked(&surroundings.variables)?;
    if let Command::Config(ConfigVerb::Show { origin }) = cli.command {
        command::show::config(&config, origin, cli.json)?;
        return Ok(Exit::Ok);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(obey(cli, config, surroundings))
}

async fn obey(cli: Cli, config: Config, surroundings: Surroundings) -> anyhow::Result<Exit> {
    let json = cli.json;
    match cli.command {
        Command::Up(_) => return command::up::run(&config, json).await,
        Command::Run(asked) => return command::run::run(&config, *asked, json).await,
        Command::Demo => return command::demo::run(&config, json).await,
        Command::Doctor(_) => return command::doctor::run(&config, json).await,
        Command::Runner(verb) => {
            return command::runner::run(&config, &surroundings, verb, json).await;
        }
        Command::Dispatch(verb) => command::dispatch::run(&config, verb, json).await?,
        Command::Session(verb) => command::session::run(&config, verb, json).await?,
        Command::Login { .. } => command::login::run(&config, json).await?,
        Command::Inbox(verb) => command::inbox::run(&config, verb, json).await?,
        Command::Tool(verb) => command::tool::run(&config, verb, json).await?,
        Command::Key(verb) => command::key::run(&config, verb, json).await?,
        Command::Usage(asked) => command::usage::run(&config, asked, json).await?,
        Command::Endpoint(verb) => return command::endpoint::run(&config, verb, json).await,
        Command::Ws(verb) => return command::ws::run(&config, verb, json).await,
        Command::Storage(StorageVerb::Rotate) => command::storage::rotate(&config, json)?,
        Command::Config(_)
        | Command::Openapi
        | Command::Completions { .. }
        | Command::Man { .. } => {}
    }
    Ok(Exit::Ok)
}
