//! However a dispatch ends, nothing of it stays on the machine: no process, mount, cgroup or folder, and
//! no more network namespaces than the pool keeps. What is looked for is found while a box lives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Client, DEADLINE, Folder, Server, Start, Stream, backend};
use crate::judge::is_over_once;

/// The network namespaces that the native backend keeps for the next boxes.
const NAMESPACES: usize = 8;

/// What boxes of one server have on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) processes: BTreeSet<u32>,
    mounts: BTreeSet<String>,
    pub(crate) groups: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Traces {
    pub(crate) fn of(folder: &Folder) -> Self {
        let data = folder.data().canonicalize().expect("the server made it");
        let group = group_of(&data);
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
        let run = data.join("run");
        let mounts = mounts.lines().filter(|line| line.contains(&*data.to_string_lossy()));
        Self {
            processes: processes(&group, &run),
            mounts: mounts.map(str::to_owned).collect(),
            groups: groups(&group).iter().flat_map(|place| folders(place)).collect(),
            folders: folders(&run).into_iter().collect(),
        }
    }

    fn none() -> Self {
        let (processes, mounts) = (BTreeSet::new(), BTreeSet::new());
        Self { processes, mounts, groups: BTreeSet::new(), folders: BTreeSet::new() }
    }
}

/// What the control groups of a data folder are called.
pub(crate) fn group_of(data: &Path) -> String {
    let hash = Sha256::digest(data.as_os_str().as_encoded_bytes());
    let digits: Vec<_> = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("remit-{}", digits.concat())
}

/// Processes in a group of ours, or that work below the folder of boxes.
fn processes(group: &str, run: &Path) -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").expect("readable").filter_map(Result::ok);
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        // One that ends meanwhile is none.
        let grouped = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
        let works = fs::read_link(format!("/proc/{id}/cwd"));
        grouped.contains(&format!("/{group}/")) || works.is_ok_and(|cwd| cwd.starts_with(run))
    })
    .collect()
}

/// The folders of this name in every hierarchy of control groups.
pub(crate) fn groups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
    let mut found = vec![];
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        if fields[2].starts_with("cgroup") {
            search(Path::new(fields[1]), name, &mut found);
        }
    }
    found
}

fn search(place: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for folder in folders(place) {
        if folder.ends_with(name) {
            found.push(folder);
        } else {
            search(&folder, name, found);
        }
    }
}

fn folders(place: &Path) -> Vec<PathBuf> {
    // One that is removed meanwhile holds nothing.
    let Ok(entries) = fs::read_dir(place) else { return vec![] };
    let entries = entries.filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Waits until nothing is seen of any box.
async fn nothing_stays(folder: &Folder) {
    let gone = async {
        while Traces::of(folder) != Traces::none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(DEADLINE, gone).await;
    assert!(gone.is_ok(), "something stays: {:#?}", Traces::of(folder));
}

async fn cancel(me: &Client, dispatch: &str) {
    me.post(&format!("/agent/dispatches/{dispatch}/cancel"), json!({})).await.ok();
}

/// Waits for the end of a dispatch and of all that was its; why it ended.
async fn buried(folder: &Folder, me: &Client, dispatch: &str) -> Value {
    let ended = me.until(dispatch, "ended").await;
    is_over_once(&me.events(dispatch).await);
    nothing_stays(folder).await;
    ended["stop_reason"].clone()
}

/// A turn whose tool has run and that goes on.
async fn busy(me: &Client, prompt: &str) -> (String, Stream) {
    let mut stream = me.chat(json!({"prompt": format!("{prompt}; sleep 600")})).await;
    while stream.next().await.expect("it goes on").event != "tool-result" {}
    (stream.header("x-unit-id"), stream)
}

#[tokio::test]
async fn of_a_dispatch_that_is_cancelled_or_killed() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    nothing_stays(&folder).await;

    let done = me.turn(json!({"prompt": "write x to a.md"})).await.ok();
    let idle = Traces::of(&folder);
    assert!(!idle.folders.is_empty() && !idle.processes.is_empty(), "nothing is seen: {idle:?}");
    cancel(&me, &done.dispatch).await;
    assert_eq!(buried(&folder, &me, &done.dispatch).await, "stopped");

    let at_once = me.chat(json!({"prompt": "sleep 600"})).await.header("x-unit-id");
    cancel(&me, &at_once).await;
    assert_eq!(buried(&folder, &me, &at_once).await, "stopped");

    let spread =
        "run setsid sleep 600 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do true; done";
    let (dispatch, _stream) = busy(&me, spread).await;
    let spread = Traces::of(&folder);
    assert!(spread.processes.len() > idle.processes.len(), "it runs on: {spread:?}");
    cancel(&me, &dispatch).await;
    assert_eq!(buried(&folder, &me, &dispatch).await, "stopped");

    let killed = me.turn(json!({"prompt": "run kill -9 $PPID"})).await;
    assert_eq!(killed.find("done")["ok"], false);
    assert_eq!(buried(&folder, &me, &killed.dispatch).await, "failed");

    let (dispatch, _stream) = busy(&me, "run true").await;
    for id in Traces::of(&folder).processes {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        // One may be gone with another.
        let _sent = kill_process(id, Signal::KILL);
    }
    assert_eq!(buried(&folder, &me, &dispatch).await, "failed");

    if backend() == "native" {
        let kept = namespaces(server.pid());
        assert!((1..=NAMESPACES).contains(&kept), "{kept} network namespaces");
    }
    assert!(server.stop().success());
    assert_eq!(
        groups(&group_of(&folder.data().canonicalize().expect("there"))),
        [] as [PathBuf; 0]
    );
    nothing_stays(&folder).await;
}

/// How many network namespaces a process holds open.
fn namespaces(process: u32) -> usize {
    let held = fs::read_dir(format!("/proc/{process}/fd")).expect("readable");
    let held = held.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let held: BTreeSet<_> = held.filter(|it| it.to_string_lossy().starts_with("net:[")).collect();
    held.len()
}

#[tokio::test]
async fn of_a_dispatch_that_never_started() {
    let folder = Folder::new();
    let runners = folder.data().join("runners");
    fs::create_dir_all(&runners).expect("made");
    let broken = folder.path().join("broken");
    fs::create_dir(&broken).expect("made");
    fs::write(broken.join("agent"), "not a program").expect("written");
    let (name, program) = ("broken", broken);
    {
        let runner = format!(
            "name = '{name}'\ntitle = 'Cannot start.'\nargv = ['/opt/runner/agent']\n\
             protocol = 'acp'\nmodel_api = 'openai-chat'\nprogram = {{ folder = '{}' }}\n",
            program.display()
        );
        fs::write(runners.join(format!("{name}.toml")), runner).expect("written");
    }
    let server = Server::start(&folder);
    let me = server.client();
    {
        let request = me.request("POST", &format!("/agent/chat?runner={name}&untested=true"));
        let mut stream = Stream::of(request.json(&json!({"prompt": "say 2 words"}))).await;
        let dispatch = stream.header("x-unit-id");
        stream.rest().await;
        let reason = buried(&folder, &me, &dispatch).await;
        assert!(["start_failed", "failed"].contains(&reason.as_str().expect("a word")), "{reason}");
    }
}

#[tokio::test]
async fn of_a_dispatch_that_waits_is_idle_or_takes_too_long() {
    let folder = Folder::new();
    let start = || Start::on(&folder).setting("limits.live", "1").setting("limits.idle_s", "0");
    let server = start().server();
    let me = server.client();
    let (running, _stream) = busy(&me, "run true").await;
    let waiting = me.chat(json!({"prompt": "say 2 words"})).await.header("x-unit-id");
    me.until(&waiting, "queued").await;
    cancel(&me, &waiting).await;
    me.until(&waiting, "ended").await;
    cancel(&me, &running).await;
    assert_eq!(buried(&folder, &me, &running).await, "stopped");

    let idle = me.turn(json!({"prompt": "say 2 words"})).await.ok();
    assert_eq!(buried(&folder, &me, &idle.dispatch).await, "idle_timeout");

    assert!(server.stop().success());
    let server = start().setting("limits.turn_s", "1").server();
    let me = server.client();
    let late = me.turn(json!({"prompt": "sleep 600"})).await;
    assert_eq!(late.find("done")["ok"], false);
    buried(&folder, &me, &late.dispatch).await;
}
