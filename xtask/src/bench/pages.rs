//! What the pages cost where there is much to show: the real program over a ledger that is filled for
//! it, in a real browser. Needs chromium and npm.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Figure;
use super::program::flatten;
use crate::e2e::{Tools, build};

/// A list of 10,000 dispatches, one dispatch of 5,000 events, and an answer that streams.
pub(crate) fn measure(root: &Path) -> anyhow::Result<Vec<Figure>> {
    let web = root.join("web");
    Tools::DEBIAN.install(&web)?;
    let (program, fill) = (build(root)?, fill(root)?);
    let bench = Command::new("node")
        .arg("e2e/pages.bench.mjs")
        .current_dir(web)
        .env("REMIT_E2E_PROGRAM", program)
        .env("REMIT_E2E_FILL", fill)
        .env("REMIT_E2E_SHOTS", root.join("target/bench"))
        .env("REMIT_E2E_CHROMIUM", Tools::DEBIAN.chromium)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run node")?;
    ensure!(bench.status.success(), "the pages could not be measured");
    let text = String::from_utf8(bench.stdout).context("it printed no text")?;
    let value: Value = serde_json::from_str(text.trim()).context("it printed no JSON")?;
    let mut figures = Vec::new();
    flatten("", &value, &mut figures);
    Ok(figures)
}

/// The program that fills a ledger.
fn fill(root: &Path) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--quiet", "--package", "embedded", "--example", "ledger_fill"];
    let status = Command::new("cargo").args(arguments).current_dir(root).status();
    ensure!(status.context("cannot run cargo")?.success(), "the example could not be built");
    Ok(root.join("target/debug/examples/ledger_fill"))
}
