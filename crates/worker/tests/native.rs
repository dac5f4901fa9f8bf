//! The native backend keeps the promises of backends. Without a harness, because this very program is
//! also the zygote from which the boxes are cloned.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use embedded::native::{NativeBackend, NativeConfig};
use embedded::system::SystemClock;
use engine::conformance::backend::Ground;
use engine::port::Backend;
use engine::task::Tasks;
use tempfile::TempDir;

#[derive(Debug)]
struct Machine {
    folder: TempDir,
    checkouts: PathBuf,
    prefix: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let checkouts = folder.path().join("checkouts");
        fs::create_dir(&checkouts).expect("a folder for temporary files");
        Self { folder, checkouts, prefix: format!("remit-test-{}", std::process::id()) }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn native(&self) -> NativeBackend {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_worker"));
        let config = NativeConfig::new(self.run(), worker, self.prefix.clone());
        let backend = NativeBackend::new(config, Tasks::new(), Arc::new(SystemClock));
        backend.expect("the walls of this machine stand")
    }

    /// Processes of boxes: those in a cgroup of ours, and those that call at a worker's socket.
    fn processes(&self) -> impl Iterator<Item = String> {
        let group = format!("/{}/sbx_", self.prefix);
        let entries = fs::read_dir("/proc").expect("the list of processes").flatten();
        entries.map(|entry| entry.path()).filter_map(move |path| {
            let groups = fs::read_to_string(path.join("cgroup")).ok()?;
            groups.contains(&group).then(|| path.display().to_string())
        })
    }

    fn cgroups(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the list of mounts");
        let places = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = PathBuf::from(fields.next()?);
            fields.next()?.starts_with("cgroup").then_some(place)
        });
        let below = places.filter_map(|place| fs::read_dir(place.join(&self.prefix)).ok());
        let entries = below.flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect()
    }
}

#[async_trait]
impl Ground for Machine {
    async fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.native())
    }

    fn folder(&self) -> &Path {
        &self.checkouts
    }

    fn left(&self) -> Vec<String> {
        let folders = fs::read_dir(self.run()).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path().display().to_string());
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the list of mounts");
        let ours = self.folder.path().display().to_string();
        let mounts = mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned);
        folders.chain(mounts).chain(self.processes()).chain(self.cgroups()).collect()
    }
}

fn main() {
    sandbox::zygote_main_if_asked();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let machine = Machine::new();
    runtime.block_on(engine::conformance::backend::backend(&machine));
}
