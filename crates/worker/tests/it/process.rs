//! The process backend keeps the promises of backends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use embedded::process::{ProcessBackend, ProcessConfig};
use embedded::system::SystemClock;
use engine::conformance::backend::Ground;
use engine::port::Backend;
use engine::task::Tasks;
use tempfile::TempDir;

#[derive(Debug)]
struct Machine {
    folder: TempDir,
    checkouts: PathBuf,
}

#[async_trait]
impl Ground for Machine {
    async fn backend(&self) -> Arc<dyn Backend> {
        let worker = env!("CARGO_BIN_EXE_worker").into();
        let config = ProcessConfig::new(self.folder.path().join("run"), worker);
        Arc::new(ProcessBackend::new(config, Tasks::new(), Arc::new(SystemClock)).unwrap())
    }

    fn folder(&self) -> &Path {
        &self.checkouts
    }

    fn left(&self) -> Vec<String> {
        let run = self.folder.path().join("run");
        let folders = fs::read_dir(&run).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path().display().to_string());
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&run))
        });
        folders.chain(processes.map(|entry| entry.path().display().to_string())).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let checkouts = folder.path().join("checkouts");
    fs::create_dir(&checkouts).unwrap();
    let machine = Machine { folder, checkouts };
    let promises = engine::conformance::backend::backend(&machine);
    let kept = tokio::time::timeout(Duration::from_mins(5), promises).await;
    kept.expect("a promise is waited for in vain");
}
