//! Tries the workbench as a person does: a real browser, the real program, its demo model.
//!
//! Installs what it needs from Debian and npm. Where those cannot be had it says so and is content;
//! it fails only for what a person would see. The tests themselves are `web/e2e/*.test.mjs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::agent;

/// How long all the tests may take together.
const TESTS_MAX: Duration = Duration::from_mins(16);
/// The pictures of the guide, and the screenshots that they are.
const GUIDE: &[(&str, &str)] = &[
    ("chat", "wide-2-chat-edit"),
    ("replay", "wide-6-replay"),
    ("inbox", "phone-12-inbox"),
    ("proposal", "wide-15-proposal"),
    ("page", "wide-9-saved"),
    ("graph", "wide-9-graph"),
];
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(100);

/// The programs that are needed, and where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tools {
    /// The browser.
    pub(crate) chromium: &'static str,
    /// What installs it.
    pub(crate) apt_get: &'static str,
    /// What installs what drives it.
    pub(crate) npm: &'static str,
}

impl Tools {
    /// Where Debian puts them.
    pub(crate) const DEBIAN: Self =
        Self { chromium: "/usr/bin/chromium", apt_get: "/usr/bin/apt-get", npm: crate::web::NPM };

    /// Sees to it that a browser and what drives it are there.
    pub(crate) fn install(self, web: &Path) -> anyhow::Result<()> {
        self.browser()?;
        let install = ["ci", "--no-audit", "--no-fund", "--prefer-offline"];
        crate::web::npm(self.npm, web, &install)
    }

    fn browser(self) -> anyhow::Result<()> {
        let Self { chromium, apt_get, .. } = self;
        if Path::new(chromium).exists() {
            return Ok(());
        }
        ensure!(Path::new(apt_get).exists(), "there is no {chromium}, and this is no Debian");
        let steps = [
            &["update", "-qq"][..],
            &["install", "-y", "-qq", "--no-install-recommends", "chromium"],
        ];
        for arguments in steps {
            let status = as_root(apt_get).args(arguments).status();
            let status = status.context("cannot install the package `chromium`")?;
            ensure!(status.success(), "the package `chromium` could not be installed");
        }
        Ok(())
    }
}

/// Debian's installer, which asks nothing.
fn as_root(apt_get: &str) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(apt_get)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", apt_get]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// What became of the tests.
#[derive(Debug)]
enum Outcome {
    /// They ran and passed; the screenshots are there.
    Passed(PathBuf),
    /// They cannot run here, for this reason.
    Skipped(String),
}

/// What to do beside the tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Put the pictures of the guide in place anew.
    #[arg(long)]
    guide: bool,
}

/// Runs the browser tests, or says why they cannot run here.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    match tried(Tools::DEBIAN, root)? {
        Outcome::Passed(shots) => {
            if options.guide {
                picture(&shots, &root.join("docs/guide/images"))?;
            }
            say(&format!("the screenshots are in {}", shots.display()));
        }
        Outcome::Skipped(reason) => say(&format!("SKIPPED e2e: {reason}")),
    }
    Ok(())
}

fn picture(shots: &Path, guide: &Path) -> anyhow::Result<()> {
    for (name, shot) in GUIDE {
        let from = shots.join(format!("{shot}.png"));
        let to = guide.join(format!("{name}.png"));
        fs::copy(&from, to).with_context(|| format!("cannot take {}", from.display()))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a task")]
fn say(line: &str) {
    println!("{line}");
}

fn tried(tools: Tools, root: &Path) -> anyhow::Result<Outcome> {
    let web = root.join("web");
    if let Err(reason) = tools.install(&web) {
        return Ok(Outcome::Skipped(format!("{reason:#}")));
    }
    let shots = root.join("target/e2e");
    if shots.exists() {
        fs::remove_dir_all(&shots).context("cannot clear the old screenshots")?;
    }
    let program = build(root)?;
    drive(tools, &web, &program, &shots)?;
    Ok(Outcome::Passed(shots))
}

/// The program, built as it stands.
pub(crate) fn build(root: &Path) -> anyhow::Result<PathBuf> {
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
fn drive(tools: Tools, web: &Path, program: &Path, shots: &Path) -> anyhow::Result<()> {
    let mut tests = Command::new("node");
    tests.args(["--test", "--test-reporter=spec"]).args(files(web)?).current_dir(web);
    tests.env("REMIT_E2E_PROGRAM", program).env("REMIT_E2E_SHOTS", shots);
    tests.env("REMIT_E2E_CHROMIUM", tools.chromium);
    match agent::installed(program, "claude-code") {
        Ok(folder) => tests.env("REMIT_E2E_CLAUDE_CODE", folder),
        Err(reason) => {
            say(&format!("SKIPPED e2e with claude-code: {reason:#}"));
            tests.env("REMIT_E2E_NO_CLAUDE_CODE", format!("{reason:#}"))
        }
    };
    let ended = within(TESTS_MAX, tests)?;
    ensure!(ended.success(), "the browser tests failed; see {}", shots.display());
    Ok(())
}

/// The tests, in the order of their names.
fn files(web: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(web.join("e2e"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs a program to its end, which must come in time.
pub(crate) fn within(
    most: Duration,
    mut command: Command,
) -> anyhow::Result<std::process::ExitStatus> {
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut waited = Duration::ZERO;
    while waited < most {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a task waits for a program, with a deadline"
        )]
        thread::sleep(LOOK);
        waited += LOOK;
    }
    child.kill()?;
    child.wait()?;
    bail!("{command:?} did not end in {} s", most.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_the_pictures_that_the_tests_make() {
        let guide = crate::root().join("docs/guide");
        let text = fs::read_to_string(guide.join("workbench.md")).expect("the guide is there");
        let mut shown: Vec<&str> =
            text.split("](images/").skip(1).filter_map(|it| it.split(".png").next()).collect();
        let mut made: Vec<&str> = GUIDE.iter().map(|(name, _)| *name).collect();
        assert!(made.iter().all(|name| guide.join(format!("images/{name}.png")).exists()));
        shown.sort_unstable();
        made.sort_unstable();
        assert_eq!(shown, made);
    }

    #[test]
    fn where_no_browser_can_be_had_they_are_skipped_with_the_reason() {
        let nowhere =
            Tools { chromium: "/nowhere/chromium", apt_get: "/nowhere/apt-get", ..Tools::DEBIAN };
        let reason = skipped(nowhere);
        assert_eq!(reason, "there is no /nowhere/chromium, and this is no Debian");
    }

    #[test]
    fn where_npm_cannot_be_had_they_are_skipped_with_the_reason() {
        let reason = skipped(Tools { chromium: "/dev/null", npm: "/nowhere/npm", ..Tools::DEBIAN });
        assert!(reason.starts_with("cannot run npm"), "{reason}");
        let reason = skipped(Tools { chromium: "/dev/null", npm: "false", ..Tools::DEBIAN });
        assert!(reason.contains("failed"), "{reason}");
    }

    fn skipped(tools: Tools) -> String {
        match tried(tools, &crate::root()) {
            Ok(Outcome::Skipped(reason)) => reason,
            other => panic!("they are not skipped: {other:?}"),
        }
    }
}
