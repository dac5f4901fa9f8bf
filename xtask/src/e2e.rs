//! Tries the workbench as a person does: a real browser, the real program, its demo model.
//!
//! Installs what it needs from Debian and npm. Where those cannot be had it says so and is content;
//! it fails only for what a person would see. The tests themselves are `web/e2e/*.mjs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// How long all the tests may take together.
const TESTS_MAX: Duration = Duration::from_mins(8);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(100);
/// Where Debian puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Runs the browser tests, or says why they cannot run here.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let web = root.join("web");
    if let Err(reason) = browser().and_then(|()| packages(&web)) {
        say(&format!("SKIPPED e2e: {reason:#}"));
        return Ok(());
    }
    let shots = root.join("target/e2e");
    if shots.exists() {
        fs::remove_dir_all(&shots).context("cannot clear the old screenshots")?;
    }
    let program = build(root)?;
    drive(&web, &program, &shots)?;
    say(&format!("the screenshots are in {}", shots.display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a task")]
fn say(line: &str) {
    println!("{line}");
}

/// Sees to it that the browser is there.
fn browser() -> anyhow::Result<()> {
    if Path::new(CHROMIUM).exists() {
        return Ok(());
    }
    ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "there is no {CHROMIUM}, and this is no Debian"
    );
    for arguments in
        [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", "chromium"]]
    {
        let status = apt_get().args(arguments).status();
        let status = status.context("cannot install the package `chromium`")?;
        ensure!(status.success(), "the package `chromium` could not be installed");
    }
    Ok(())
}

/// Debian's installer, which asks nothing.
fn apt_get() -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Sees to it that what the lock file of the pages names is there.
fn packages(web: &Path) -> anyhow::Result<()> {
    crate::web::npm(web, &["ci", "--no-audit", "--no-fund", "--prefer-offline"])
}

/// The program, built as it stands.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let build = Command::new("cargo")
        .args(["build", "--package", "remit", "--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(build.status.success(), "the program could not be built");
    let said = String::from_utf8_lossy(&build.stdout);
    let made = said.lines().filter_map(|line| serde_json::from_str(line).ok());
    let made = made.filter_map(|line: serde_json::Value| Some(line["executable"].as_str()?.into()));
    let mut programs = made.filter(|path: &PathBuf| path.ends_with("remit"));
    programs.next().context("cargo did not say where the program is")
}

/// Runs the tests with Node, which must end in time; what they started ends with them.
fn drive(web: &Path, program: &Path, shots: &Path) -> anyhow::Result<()> {
    let mut tests = Command::new("node")
        .args(["--test", "--test-reporter=spec", "e2e/journey.test.mjs"])
        .current_dir(web)
        .env("REMIT_E2E_PROGRAM", program)
        .env("REMIT_E2E_CHROMIUM", CHROMIUM)
        .env("REMIT_E2E_SHOTS", shots)
        .spawn()
        .context("cannot run node")?;
    let mut waited = Duration::ZERO;
    while waited < TESTS_MAX {
        if let Some(status) = tests.try_wait()? {
            ensure!(status.success(), "the browser tests failed; see {}", shots.display());
            return Ok(());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a task waits for a program, with a deadline"
        )]
        thread::sleep(LOOK);
        waited += LOOK;
    }
    tests.kill()?;
    tests.wait()?;
    bail!("the browser tests did not end in {} s", TESTS_MAX.as_secs())
}
