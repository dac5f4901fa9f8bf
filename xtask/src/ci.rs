//! One entry point: what must hold before a change lands. Nothing here that a laptop cannot run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace"]),
    ("documentation", &["doc", "--workspace", "--no-deps", "--document-private-items"]),
];

/// Runs every step; stops at the first that fails.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    for (name, arguments) in STEPS {
        eprintln_step(name, arguments);
        let status = Command::new("cargo")
            .args(*arguments)
            .env("RUSTDOCFLAGS", "-D warnings")
            .current_dir(root)
            .status()
            .with_context(|| format!("cannot run cargo for the step `{name}`"))?;
        ensure!(status.success(), "the step `{name}` failed: run `cargo {}`", arguments.join(" "));
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "says which step runs")]
fn eprintln_step(name: &str, arguments: &[&str]) {
    eprintln!("== {name}: cargo {}", arguments.join(" "));
}
