//! The native backend keeps the promises of backends. Without a harness, because this very program is
//! also the zygote from which the boxes are cloned.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use embedded::native::{NativeBackend, NativeConfig};
use embedded::system::{RandomIds, SystemClock};
use engine::conformance::backend::Ground;
use engine::conformance::fixture::{DEADLINE, soon};
use engine::line::{FromBox, Line, listener};
use engine::port::{Backend, IdSource, Launch};
use engine::runner::Process;
use engine::task::Tasks;
use model::{InputTrust, Limits, SandboxId};

#[derive(Debug)]
struct Machine {
    folder: PathBuf,
    checkouts: PathBuf,
    prefix: String,
}

impl Machine {
    fn at(folder: PathBuf, prefix: String) -> Self {
        let checkouts = folder.join("checkouts");
        Self { folder, checkouts, prefix }
    }

    fn run(&self) -> PathBuf {
        self.folder.join("run")
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

    #[expect(clippy::misnamed_getters, reason = "the folder of the ground is for checkouts alone")]
    fn folder(&self) -> &Path {
        &self.checkouts
    }

    fn left(&self) -> Vec<String> {
        let folders = fs::read_dir(self.run()).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path().display().to_string());
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the list of mounts");
        let ours = self.folder.display().to_string();
        let mounts = mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned);
        folders.chain(mounts).chain(self.processes()).chain(self.cgroups()).collect()
    }
}

/// What the server of [`a_killed_server_leaves_its_box_to_the_next_one`] is told by.
const SERVER: &str = "server";
const LAST: u64 = 200_000;

/// Starts a box whose agent counts, says how to take it over, reads a little and hangs.
async fn serve(machine: &Machine) {
    let launch = Launch {
        sandbox: SandboxId::from_uuid(RandomIds.uuid()),
        input_trust: InputTrust::Trusted,
        mounts: Vec::new(),
        programs: Vec::new(),
        limits: Limits::default(),
    };
    let started = machine.native().start(launch, Box::new(|_| Ok(()))).await;
    let mut running = started.expect("a box starts");
    let (socket, worker) = running.worker().expect("the worker's socket");
    let listener = listener(socket).expect("a socket");
    let accepted = soon("the worker calls", Line::accept(&listener, worker, 0)).await;
    let mut line = accepted.expect("the worker greets");
    let count = format!("seq 1 {LAST}; read end; exit 5");
    let process = Process {
        argv: ["/bin/sh", "-c", &count].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        cwd: "/session".into(),
    };
    line.start(&process).expect("room for a start");
    let mut number = 0;
    while number < 1_000 {
        if let FromBox::Line { end, .. } = soon("a line", line.next()).await {
            number += 1;
            line.ack(end).expect("an offset that was reached");
            let record = machine.folder.join("record");
            let text = format!("{number} {end} {}", running.record());
            fs::write(&record, text).expect("the record is written");
        }
    }
    fs::write(machine.folder.join("ready"), "").expect("the sign is written");
    // Killed long before.
    tokio::time::sleep(Duration::from_mins(5)).await;
}

/// kill -9 in the middle of the output: the next server goes on where the last one had written down.
async fn a_killed_server_leaves_its_box_to_the_next_one(machine: &Machine) {
    let myself = std::env::current_exe().expect("the path of this program");
    let mut server = std::process::Command::new(myself)
        .args([SERVER.as_ref(), machine.folder.as_os_str(), machine.prefix.as_ref()])
        .spawn()
        .expect("another of this program");
    let ready = machine.folder.join("ready");
    let comes_up = async {
        while !ready.exists() {
            assert_eq!(server.try_wait().expect("our child"), None, "the server ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the other server has a box", comes_up).await;
    server.kill().expect("our child");
    server.wait().expect("our child");

    let text = fs::read_to_string(machine.folder.join("record")).expect("the record was written");
    let mut fields = text.splitn(3, ' ');
    let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (mut last, cursor) = (number().expect("a number"), number().expect("an offset"));
    let record = fields.next().expect("a record");
    let native = machine.native();
    let adopted = soon("the box is taken over", native.adopt(record)).await;
    let mut running = adopted.expect("the box outlives its server");
    let (socket, worker) = running.worker().expect("the worker's socket");
    let listener = listener(socket).expect("a socket");
    let accepted = soon("the worker calls again", Line::accept(&listener, worker, cursor)).await;
    let mut line = accepted.expect("the worker greets");
    while last < LAST {
        match soon("the count goes on", line.next()).await {
            FromBox::Line { bytes, end, overlong } => {
                last += 1;
                assert_eq!((bytes, overlong), (last.to_string().into_bytes(), false));
                line.ack(end).expect("an offset that was reached");
            }
            FromBox::Started { .. } => {}
            other => unreachable!("the count was due: {other:?}"),
        }
    }
    line.close_input().expect("room to close");
    let end = soon("the end of the agent", line.next()).await;
    assert_eq!(end, FromBox::AgentExited { code: Some(5), signal: None });
    soon("the box goes", running.destroy()).await.expect("an adopted box can be destroyed");
    // Its parent died with the server: whoever took it over may be a moment late to reap it.
    let gone = async {
        while !machine.left().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(DEADLINE, gone).await;
    assert!(gone.is_ok(), "left: {:?}", machine.left());
}

fn main() {
    sandbox::zygote_main_if_asked();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, folder, prefix] = &arguments[..]
        && role == SERVER
    {
        let machine = Machine::at(folder.into(), prefix.clone());
        return runtime.block_on(serve(&machine));
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let prefix = format!("remit-test-{}", std::process::id());
    let machine = Machine::at(folder.path().to_owned(), prefix);
    fs::create_dir(&machine.checkouts).expect("a folder for temporary files");
    let promises = async {
        a_killed_server_leaves_its_box_to_the_next_one(&machine).await;
        engine::conformance::backend::backend(&machine).await;
    };
    let in_time = async { tokio::time::timeout(Duration::from_mins(8), promises).await };
    runtime.block_on(in_time).expect("a promise is waited for in vain");
}
