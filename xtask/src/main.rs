//! Tasks of the repository: `ci`, `tidy`, `bench`, `dist`, `e2e`. Not shipped.

mod agent;
mod bench;
mod ci;
mod e2e;
mod tidy;
mod web;

use std::path::{Path, PathBuf};

use clap::Parser;

/// Tasks of the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Format check, lints, tests, documentation: what must hold before a change lands.
    Ci,
    /// The rules of the house that no compiler checks. Also a test, so `cargo test` knows.
    Tidy,
    /// Measures what SPECIFICATION.md promises, in ratios within one run.
    Bench(bench::Options),
    /// Makes the snapshot of the pages that is built into the program. Needs npm.
    Dist,
    /// Tries the pages in a real browser against the real program. Needs chromium and npm.
    E2e(e2e::Options),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Ci => ci::run(&root()),
        Task::Tidy => tidy::run(&root()),
        Task::Dist => web::dist(&root()),
        Task::E2e(options) => e2e::run(&root(), &options),
        Task::Bench(options) => bench::run(&root(), &options),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}
