//! `remit runner …`: which agents there are, how they come here, and what works of them.

mod checks;
mod install;
mod matrix;
mod test;

use std::path::Path;

use engine::runner::tested::Tested;
use model::Runner;
use serde_json::Value;

use crate::cli::Runner as Verb;
use crate::client::Client;
use crate::config::{Config, Surroundings};
use crate::exit::{Exit, Failed};
use crate::say::{self, safe};
use crate::wiring;

/// The longest file that is read as a runner, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

pub(crate) async fn run(
    config: &Config,
    surroundings: &Surroundings,
    verb: Verb,
    as_json: bool,
) -> anyhow::Result<Exit> {
    match verb {
        Verb::Ls { .. } => list(&known(config).await?, as_json)?,
        Verb::Add { file, replace } => add(&config.data(), &file, replace, as_json)?,
        Verb::Install { name } => install::run(config, surroundings, &name, as_json).await?,
        Verb::Test { name, .. } => return test::run(config, &name, as_json).await,
        Verb::Matrix { .. } => matrix::run(&known(config).await?, as_json)?,
    }
    Ok(Exit::Ok)
}

/// The runners of the server that was named, or else those of the data folder, as the API shows them.
async fn known(config: &Config) -> anyhow::Result<Vec<Value>> {
    if config.text("client.url").is_some() {
        let client = super::client(config)?;
        return of_server(&client).await;
    }
    let tested = Tested::new(&config.data());
    let runners = wiring::runners(&config.data())?;
    let shown = |runner| serde_json::to_value(server::runner_view(runner, &tested));
    Ok(runners.values().map(shown).collect::<Result<_, _>>()?)
}

async fn of_server(client: &Client) -> anyhow::Result<Vec<Value>> {
    let answer = client.get("/agent/runners").await?;
    Ok(answer["runners"].as_array().cloned().unwrap_or_default())
}

fn list(runners: &[Value], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return say::list(runners, &[], true);
    }
    let text = |value: &Value| safe(value.as_str().unwrap_or("-"));
    let row = |it: &Value| {
        let installed = if it["installed"] == true { "yes" } else { "no" };
        let test = match (it["passed"] == true, it["test"].is_null()) {
            (true, _) => "passed",
            (false, false) => "failed",
            (false, true) => "never",
        };
        vec![
            text(&it["name"]),
            text(&it["version"]),
            installed.to_owned(),
            test.to_owned(),
            text(&it["protocol"]),
            text(&it["model_api"]),
        ]
    };
    let rows: Vec<_> = runners.iter().map(row).collect();
    Ok(say::table(&["runner", "version", "installed", "tested", "protocol", "dialect"], &rows)?)
}

/// Takes a definition in, whole or not at all.
fn add(data: &Path, file: &Path, replace: bool, as_json: bool) -> anyhow::Result<()> {
    let bad = |why: String| Failed::new(Exit::Config, format!("{}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|problem| bad(problem.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(bad(format!("longer than {FILE_BYTES_MAX} bytes")).into());
    }
    let text = std::fs::read_to_string(file).map_err(|problem| bad(problem.to_string()))?;
    let runner: Runner = toml::from_str(&text).map_err(|problem| bad(problem.to_string()))?;
    runner.check().map_err(|problem| bad(problem.to_string()))?;
    let folder = data.join("runners");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.toml", runner.name));
    if path.exists() && !replace {
        let what = format!("there is a runner `{}` at {} already", runner.name, path.display());
        return Err(Failed::new(Exit::Conflict, what).next("--replace takes its place").into());
    }
    let mut fresh = tempfile::NamedTempFile::new_in(&folder)?;
    std::io::Write::write_all(&mut fresh, text.as_bytes())?;
    fresh.as_file().sync_all()?;
    fresh.persist(&path)?;
    say::path(&path, as_json)?;
    if engine::runner::builtin_runners().iter().any(|own| own.name == runner.name) {
        say::talk(format!("it takes the place of the built-in definition of `{}`", runner.name));
    }
    if runner.install.is_some() {
        say::talk(format!("install it: remit runner install {}", runner.name));
    }
    say::talk(format!(
        "a running server takes it when it starts again; then: remit runner test {}",
        runner.name
    ));
    Ok(())
}

fn unknown(name: &str, runners: impl Iterator<Item = String>) -> Failed {
    let known: Vec<_> = runners.collect();
    Failed::new(Exit::NotFound, format!("there is no runner `{name}`"))
        .next(format!("there are {}; `remit runner add FILE` takes another in", known.join(", ")))
}
