//! What a test of each runner found on this machine: one file a runner beside its definition. A runner
//! without a passed test begins no conversation unless somebody says that it shall all the same.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::{Runner, RunnerName, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest report that is kept, in bytes.
const REPORT_BYTES_MAX: usize = 64 << 10;
/// The most checks of a report.
const CHECKS_MAX: usize = 32;
/// The longest remark, in bytes.
const NOTE_BYTES_MAX: usize = 500;

/// What was tried with a runner, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RunnerReport")]
pub struct Report {
    /// Of the definition that was tested: another one is another runner.
    pub definition: String,
    /// When, in milliseconds.
    pub at: Time,
    /// What was tried, in order.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RunnerCheck")]
pub struct Check {
    /// In one word, as `resume`.
    #[serde(rename = "check")]
    pub name: String,
    /// What came of it.
    pub result: CheckResult,
    /// Why, in a sentence; empty where it works.
    pub note: String,
}

/// What came of one thing that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It works.
    Pass,
    /// It does not.
    Fail,
    /// The agent, or this server, has no such thing; the note says which.
    No,
}

/// What is known of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It needs no test: it is a part of this program.
    Own,
    /// It passed its last test.
    Passed,
    /// It failed these checks of its last test.
    Failed(Vec<String>),
    /// It was never tested as it is now.
    Untested,
}

/// A report is not one.
#[derive(Debug, thiserror::Error)]
pub enum BadReport {
    /// It is too long, or says nothing.
    #[error("a report has 1 to {CHECKS_MAX} checks with notes of at most {NOTE_BYTES_MAX} bytes")]
    Shape,
    /// It is about another definition than the one that is there now.
    #[error("the report is about another definition of the runner than the one that is there now")]
    Stale,
    /// It could not be written.
    #[error("the report could not be written")]
    Io(#[from] io::Error),
}

/// The reports of a server.
#[derive(Debug, Clone)]
pub struct Tested {
    folder: PathBuf,
}

impl Tested {
    /// Those in the state directory `data`.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join("runners") }
    }

    /// The last report about a runner as it is now.
    pub fn report(&self, runner: &Runner) -> Option<Report> {
        let path = self.path(&runner.name);
        let short = std::fs::metadata(&path).is_ok_and(|it| it.len() <= REPORT_BYTES_MAX as u64);
        let text = short.then(|| std::fs::read_to_string(path).ok()).flatten()?;
        let report: Report = serde_json::from_str(&text).ok()?;
        (report.definition == definition(runner)).then_some(report)
    }

    /// Whether a runner may begin a conversation without a further word.
    pub fn verdict(&self, runner: &Runner) -> Verdict {
        if runner.program == model::Program::BuiltIn {
            return Verdict::Own;
        }
        let Some(report) = self.report(runner) else { return Verdict::Untested };
        let failed = report.checks.iter().filter(|check| check.result == CheckResult::Fail);
        let failed: Vec<String> = failed.map(|check| check.name.clone()).collect();
        if failed.is_empty() { Verdict::Passed } else { Verdict::Failed(failed) }
    }

    /// Keeps a report, whole or not at all.
    pub fn keep(&self, runner: &Runner, report: &Report) -> Result<(), BadReport> {
        let shaped = (1..=CHECKS_MAX).contains(&report.checks.len())
            && report
                .checks
                .iter()
                .all(|it| it.note.len() <= NOTE_BYTES_MAX && it.name.len() <= 64);
        if !shaped {
            return Err(BadReport::Shape);
        }
        if report.definition != definition(runner) {
            return Err(BadReport::Stale);
        }
        std::fs::create_dir_all(&self.folder)?;
        let path = self.path(&runner.name);
        let partial = path.with_extension("json.partial");
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(report).map_err(io::Error::other)?)?;
        file.sync_all()?;
        Ok(std::fs::rename(partial, path)?)
    }

    fn path(&self, name: &RunnerName) -> PathBuf {
        self.folder.join(format!("{name}.test.json"))
    }
}

/// Tells two definitions apart, in 16 hexadecimal digits.
pub fn definition(runner: &Runner) -> String {
    let text = serde_json::to_vec(runner).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(text).into();
    let first = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{first:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: CheckResult) -> Check {
        Check { name: "resume".to_owned(), result, note: String::new() }
    }

    #[test]
    fn a_runner_is_as_good_as_the_last_test_of_its_present_definition() {
        let data = tempfile::tempdir().expect("a folder");
        let tested = Tested::new(data.path());
        let of = |name: &str| {
            let mut runners = crate::runner::builtin_runners().into_iter();
            runners.find(|runner| runner.name.as_str() == name).expect("it is there")
        };
        assert_eq!(tested.verdict(&of("remit")), Verdict::Own);
        let mut runner = of("claude-code");
        assert_eq!(tested.verdict(&runner), Verdict::Untested);
        let report = |result| Report {
            definition: definition(&runner),
            at: Time::from_ms(1),
            checks: vec![check(CheckResult::No), check(result)],
        };
        tested.keep(&runner, &report(CheckResult::Fail)).expect("kept");
        assert_eq!(tested.verdict(&runner), Verdict::Failed(vec!["resume".to_owned()]));
        tested.keep(&runner, &report(CheckResult::Pass)).expect("kept");
        assert_eq!(tested.verdict(&runner), Verdict::Passed);
        let stale = report(CheckResult::Pass);
        runner.argv.push("--other".to_owned());
        assert_eq!(tested.verdict(&runner), Verdict::Untested);
        assert!(matches!(tested.keep(&runner, &stale), Err(BadReport::Stale)));
        let empty = Report { checks: vec![], ..stale };
        assert!(matches!(tested.keep(&runner, &empty), Err(BadReport::Shape)));
    }
}
