//! What the operator lets workspaces and people reach outside, as the configuration says it.

use std::path::PathBuf;

use engine::endpoint::ModelHosts;
use engine::git_program::GitProgram;
use engine::remote::{Allowed, BadEntry, Reach, SshProgram};
use engine::task::Tasks;

use crate::config::Config;
use crate::exit::{Exit, Failed};

/// The hosts, and the keys of those that are reached by ssh.
pub(crate) fn reach(config: &Config) -> Result<Reach, Failed> {
    let hosts = config.text("workspaces.remotes").unwrap_or_default();
    let allowed: Allowed = hosts.parse().map_err(|problem: BadEntry| {
        Failed::new(Exit::Config, format!("`workspaces.remotes`: {problem}"))
            .next("name hosts, as github.com or https://git.example.org:8443")
    })?;
    let known_hosts = config.text("workspaces.known_hosts").map(known_hosts).transpose()?;
    Ok(Reach { allowed, known_hosts })
}

/// The hosts whose model endpoints people may bring.
pub(crate) fn model_hosts(config: &Config) -> Result<ModelHosts, Failed> {
    let hosts = config.text("model.persons").unwrap_or_default();
    hosts.parse().map_err(|problem: BadEntry| {
        Failed::new(Exit::Config, format!("`model.persons`: {problem}"))
            .next("name hosts, as @vendors, api.example.com or https://llm.example.org:8443")
    })
}

/// The file, from wherever one stands.
fn known_hosts(path: &str) -> Result<PathBuf, Failed> {
    let found = std::path::absolute(path).and_then(|path| {
        std::fs::File::open(&path)?;
        Ok(path)
    });
    found.map_err(|problem| {
        let what = format!("`workspaces.known_hosts`: cannot read {path}: {problem}");
        Failed::new(Exit::Config, what).next("ssh-keyscan HOST prints the lines of such a file")
    })
}

/// Whether what reaches outside repositories is installed, for `remit doctor`.
pub(crate) fn programs(config: &Config, tasks: &Tasks) -> Result<String, String> {
    reach(config).map_err(|problem| problem.to_string())?;
    let programs =
        [("git", GitProgram::find(tasks).is_some()), ("ssh", SshProgram::find().is_some())];
    let missing = programs.iter().filter(|(_, there)| !there).map(|(name, _)| *name);
    let missing = missing.collect::<Vec<_>>().join(" and ");
    let hosts = config.text("workspaces.remotes").unwrap_or_default();
    match (missing.as_str(), hosts) {
        ("", "") => Ok("git and ssh are installed; `workspaces.remotes` names no host".to_owned()),
        ("", hosts) => Ok(format!("git and ssh are installed; reached are {hosts}")),
        ("ssh", "") => Ok("ssh is not installed; `workspaces.remotes` names no host".to_owned()),
        (missing, _) => {
            Err(format!("{missing} not installed: install the packages git and openssh-client"))
        }
    }
}
