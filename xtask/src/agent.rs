//! Agents from npm for the browser tests: installed by the program itself, kept for all runs of this user.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The folder of a runner, installed once; the reason where it cannot be had. Shared with the tests of
/// the program, because agents are large.
pub(crate) fn installed(program: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    let lock = File::create(cache.join(format!("{name}.lock"))).context("cannot lock the cache")?;
    lock.lock().context("cannot lock the cache")?;
    let install = Command::new(program)
        .args(["runner", "install", name])
        .env("REMIT_SERVER__DATA", &cache)
        .current_dir(&cache)
        .stdin(Stdio::null())
        .output()
        .context("cannot run the program")?;
    let said = String::from_utf8_lossy(&install.stderr);
    ensure!(install.status.success(), "it cannot be installed: {}", said.trim());
    let folder = String::from_utf8(install.stdout).context("the program says where it is")?;
    Ok(PathBuf::from(folder.trim()))
}

fn cache() -> anyhow::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let cache = std::env::temp_dir().join(format!("remit-test-agents-{uid}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&cache).context("no folder for agents")?;
    let owner = std::fs::symlink_metadata(&cache)?.uid();
    ensure!(owner == uid, "{} belongs to somebody else", cache.display());
    Ok(cache)
}
