//! `remit runner install`: an agent's package, fetched by its own package manager into the data
//! folder. Whole or not at all; no script of any package is run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use engine::runner::{for_this_machine, is_installed};
use model::{Program, Runner};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::config::{Config, Surroundings};
use crate::exit::{Exit, Failed};
use crate::say::{self, safe};
use crate::wiring;

/// How long the package manager may take.
const INSTALL_MAX: Duration = Duration::from_mins(15);
/// How much of its complaints is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 2_000;
/// What was installed, in the folder itself.
const MARK: &str = ".remit-install";

pub(crate) async fn run(
    config: &Config,
    surroundings: &Surroundings,
    name: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    let runners = wiring::runners(&config.data())?;
    let runner = runners.values().find(|runner| runner.name.as_str() == name);
    let runner =
        runner.ok_or_else(|| super::unknown(name, runners.keys().map(ToString::to_string)))?;
    let (Some(install), Program::Folder(folder)) = (&runner.install, &runner.program) else {
        let what = format!("nothing is to be installed for the runner `{name}`");
        return Err(Failed::new(Exit::Usage, what)
            .next("it comes with Remit, or its `program` folder is yours to fill")
            .into());
    };
    let packages: Vec<String> = install.npm.iter().map(|it| for_this_machine(it)).collect();
    let mark = packages.join("\n") + "\n";
    if is_installed(runner) && std::fs::read_to_string(folder.join(MARK)).is_ok_and(|it| it == mark)
    {
        say::talk(format!("`{name}` is installed already"));
        return Ok(say::path(folder, as_json)?);
    }
    say::talk(format!("fetching {} with npm", packages.join(", ")));
    let parent = folder.parent().context("the folder of a runner stands in another")?;
    std::fs::create_dir_all(parent)?;
    // Removed with all that is in it, unless it comes to its place.
    let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent)?;
    fetch(partial.path(), &packages, surroundings).await?;
    std::fs::write(partial.path().join(MARK), mark)?;
    fits(runner, partial.path())?;
    settle(partial, folder)?;
    say::path(folder, as_json)?;
    say::talk(format!("see what works of it: remit runner test {name}"));
    Ok(())
}

/// Has npm fetch the packages into `folder`, with nothing of our own settings in its environment.
async fn fetch(folder: &Path, packages: &[String], around: &Surroundings) -> anyhow::Result<()> {
    let ours = |name: &str| name.starts_with("REMIT_");
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .arg("--prefix")
        .arg(folder)
        .arg("--")
        .args(packages)
        .current_dir(folder)
        .env_clear()
        .envs(around.variables.iter().filter(|(name, _)| !ours(name)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = npm.spawn().map_err(|problem| {
        Failed::new(Exit::Unavailable, format!("cannot run npm: {problem}"))
            .next("install Node.js with npm, or fill the folder in another way")
    })?;
    let mut complaints = child.stderr.take().context("its complaints are piped")?;
    let mut said = Vec::new();
    let work = async {
        complaints.read_to_end(&mut said).await?;
        child.wait().await
    };
    let status = tokio::time::timeout(INSTALL_MAX, work).await.map_err(|_| {
        Failed::new(Exit::TimedOut, "npm did not come to an end; nothing was installed")
    })??;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said[..said.len().min(SHOWN_BYTES_MAX)]).into_owned();
    let what = format!("npm failed, and nothing was installed:\n{}", safe(said.trim_end()));
    Err(Failed::new(Exit::Failed, what)
        .next("is there a way to the registry? `npm ping` tells")
        .into())
}

/// Refuses packages in which the program is not where the runner looks for it.
fn fits(runner: &Runner, folder: &Path) -> Result<(), Failed> {
    let there = Runner { program: Program::Folder(folder.to_owned()), ..runner.clone() };
    let missing = || {
        let what = format!("the packages do not hold the program of `{}`", runner.name);
        Failed::new(Exit::Failed, what)
            .next("is there a build of it for this machine? Nothing was installed")
    };
    if is_installed(&there) { Ok(()) } else { Err(missing()) }
}

/// Puts the folder into its place; what was there before goes last.
fn settle(partial: tempfile::TempDir, folder: &PathBuf) -> anyhow::Result<()> {
    let before = folder.exists().then(|| {
        let parent = folder.parent().unwrap_or(folder);
        tempfile::Builder::new().prefix(".before-").tempdir_in(parent)
    });
    let before = before.transpose()?;
    if let Some(before) = &before {
        std::fs::rename(folder, before.path().join("folder"))?;
    }
    if let Err(problem) = std::fs::rename(partial.path(), folder) {
        if let Some(before) = &before {
            std::fs::rename(before.path().join("folder"), folder)?;
        }
        return Err(problem).with_context(|| folder.display().to_string());
    }
    let _kept = partial.keep();
    Ok(())
}
