//! Measures the ledger: durable appends against the disk itself and against Redis, replay, wake-up
//! of many followers, and what idle followers cost.
//!
//! `cargo run --release -p embedded --example ledger_bench [-- --json] [--only NAME] [--dir DIR] [--seconds N]`.
//! Everything is in one run, because a shared disk is never twice the same. `DIR` must be on the
//! disk that is to be measured; it gets folders of its own, which are removed.

mod appends;
mod followers;
mod redis;
mod spread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embedded::lock::DataLock;
use embedded::sqlite::{Sealing, SqliteLedger};
use seal::{FileKeys, Keyring, MASTER_KEY_FILE};
use serde_json::Value;

/// What was asked for on the command line.
struct Options {
    json: bool,
    only: Option<String>,
    directory: PathBuf,
    seconds: Duration,
}

type Failed = Box<dyn std::error::Error>;

/// How the rows of a ledger are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Clear,
    Sealed,
}

impl Rows {
    /// A ledger in this folder.
    fn ledger(self, folder: &Path) -> Result<Arc<SqliteLedger>, Failed> {
        if self == Self::Clear {
            return Ok(Arc::new(SqliteLedger::open(folder)?));
        }
        let path = folder.join(MASTER_KEY_FILE);
        let keys = FileKeys::open(&path)?.map_or_else(|| FileKeys::create(&path), Ok)?;
        let ring = Keyring::new(Arc::new(keys), &folder.join("sealed"))?;
        let (lock, sealing) = (DataLock::take(folder)?, Sealing::On(Arc::new(ring)));
        Ok(Arc::new(SqliteLedger::open_as(folder, lock, &sealing)?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = options()?;
    let folder = tempfile::tempdir_in(&options.directory)?;
    let mut report = serde_json::Map::new();
    for name in BENCHES {
        if options.only.as_ref().is_none_or(|only| only == name) {
            report.insert((*name).to_owned(), measure(name, folder.path(), &options).await?);
        }
    }
    show(&options, &report)
}

/// In this order. The bare disk comes first and in between, because it changes its mind.
const BENCHES: &[&str] = &[
    "fdatasync",
    "ledger_1_writer",
    "sealed_1_writer",
    "redis_1_connection",
    "fdatasync_between",
    "ledger_64_writers",
    "sealed_64_writers",
    "redis_64_connections",
    "replay",
    "sealed_replay",
    "wake_1000_followers",
    "idle_5000_followers",
];

async fn measure(name: &str, folder: &Path, options: &Options) -> Result<Value, Failed> {
    let seconds = options.seconds;
    match name {
        "fdatasync" | "fdatasync_between" => appends::raw(folder, seconds),
        "ledger_1_writer" => appends::ledger(folder, 1, seconds, Rows::Clear).await,
        "ledger_64_writers" => appends::ledger(folder, 64, seconds, Rows::Clear).await,
        "sealed_1_writer" => appends::ledger(folder, 1, seconds, Rows::Sealed).await,
        "sealed_64_writers" => appends::ledger(folder, 64, seconds, Rows::Sealed).await,
        "redis_1_connection" => redis::appends(folder, 1, seconds).await,
        "redis_64_connections" => redis::appends(folder, 64, seconds).await,
        "replay" => followers::replay(folder, Rows::Clear).await,
        "sealed_replay" => followers::replay(folder, Rows::Sealed).await,
        "wake_1000_followers" => followers::wake(folder, 1_000).await,
        "idle_5000_followers" => followers::idle(folder, 5_000).await,
        _ => Err(format!("there is no bench {name}").into()),
    }
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn show(options: &Options, report: &serde_json::Map<String, Value>) -> Result<(), Failed> {
    if options.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    for (name, figures) in report {
        println!("{name:>22}  {figures}");
    }
    Ok(())
}

fn options() -> Result<Options, Failed> {
    let mut options =
        Options { json: false, only: None, directory: ".".into(), seconds: Duration::from_secs(4) };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--only" => options.only = Some(value()?),
            "--dir" => options.directory = value()?.into(),
            "--seconds" => options.seconds = Duration::from_secs(value()?.parse()?),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    Ok(options)
}
