//! From start to end: death, freezing, adoption after a kill -9, and that nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Child, Config, Error, Exit, Found, Launcher, Record, Spec, Wall};

use crate::harness::{
    LONG, config, eventually, finish, is_root, launcher, own_uids, pool, read_line, readable, run,
    scratch, spec, stands, zygote,
};

/// Names the prefix that the process which is to be killed uses.
const VICTIM: &str = "SANDBOX_TEST_VICTIM";

pub(crate) fn kill9(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Processes on this machine whose command line holds a word.
fn processes_with(word: &str) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|part| part == word)
    };
    pids.filter(has).collect()
}

pub(crate) fn sleeper(launcher: &Launcher, id: &str, word: &str) -> Child {
    let script = format!("sleep 1000 & sleep 1000 & exec -a {word} sleep 1000");
    let mut spec = Spec::new(id, ["/bin/bash", "-c", &script, word]);
    spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    launcher.spawn(spec, scratch(launcher)).unwrap()
}

/// cgroup folders of a prefix, in every hierarchy.
pub(crate) fn groups(prefix: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_cgroup =
        |line: &&str| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup"));
    let places = mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(1));
    let below = places.map(|place| Path::new(place).join(prefix));
    below
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn a_box_ends_with_the_code_of_its_program() {
    let launcher = launcher();
    let end = |script| run(&launcher, &["/bin/sh", "-c", script], |_| {}).exit;
    assert_eq!(end("exit 0"), Exit::Code(0));
    assert_eq!(end("exit 42"), Exit::Code(42));
}

#[test]
fn waiting_is_bounded_and_the_descriptor_tells_of_the_end() {
    let launcher = launcher();
    let mut child = sleeper(&launcher, "box", "sbt-wait");
    assert_eq!(child.wait(Some(Duration::from_millis(5))).unwrap(), None);
    assert_eq!(child.kill().unwrap(), Exit::Signal(9));
    let mut polled = [rustix::event::PollFd::new(&child, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default())), Ok(1));
    assert_eq!(child.destroy().unwrap(), Exit::Signal(9));
}

#[test]
fn a_destroyed_box_leaves_nothing() {
    let mut config = config();
    // One uid: a second box can only start if the first gave it back.
    config.uids = own_uids(1);
    let prefix = config.prefix.clone();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let launcher = Launcher::start(config).unwrap();
    // These tests run again in other processes, at the same time.
    let word = format!("sbt-nothing-{}", std::process::id());
    for _ in 0..3 {
        let child = sleeper(&launcher, "box", &word);
        eventually("the sleepers run", || processes_with(&word).len() == 1);
        if is_root() {
            assert!(matches!(
                launcher.scratch(&sandbox::ScratchLimits::default()),
                Err(Error::NoUid(1))
            ));
        }
        child.destroy().unwrap();
        assert_eq!(processes_with(&word), BTreeSet::new());
        assert_eq!(groups(&prefix), Vec::<PathBuf>::new());
    }
    let zygote = launcher.zygote_pid().unwrap();
    drop(launcher);
    assert!(!is_alive(zygote));
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

#[test]
fn everything_inside_dies_with_pid_1() {
    let launcher = launcher();
    let script = "setsid sleep 4242 & (setsid nohup sleep 4242 &) ; sleep 4242 & exit 3";
    let outcome = run(&launcher, &["/bin/sh", "-c", script], |spec| {
        spec.stdio = sandbox::Stdio::default();
    });
    assert_eq!(outcome.exit, Exit::Code(3));
    assert_eq!(processes_with("4242"), BTreeSet::new());
}

#[test]
fn a_failed_start_leaves_nothing() {
    let mut config = config();
    config.uids = own_uids(1);
    let prefix = config.prefix.clone();
    let launcher = Launcher::start(config).unwrap();
    for _ in 0..3 {
        let (spec, _reader) = spec(&["/nowhere"]);
        assert!(launcher.spawn(spec, scratch(&launcher)).is_err());
        assert_eq!(groups(&prefix), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_box_says_what_it_uses() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Memory) {
        return;
    }
    let child = sleeper(&launcher, "box", "sbt-stats");
    eventually("three processes", || child.stats().pids == Some(3));
    let stats = child.stats();
    assert!(stats.memory_bytes.unwrap() > 10_000, "{stats:?}");
    assert!(stats.memory_bytes_max >= stats.memory_bytes, "{stats:?}");
    child.destroy().unwrap();
}

#[test]
fn a_dead_zygote_is_replaced_and_boxes_live_on() {
    let launcher = launcher();
    let mut old = sleeper(&launcher, "old", "sbt-zygote");
    let zygote = launcher.zygote_pid().unwrap();
    kill9(zygote);
    let new = sleeper(&launcher, "new", "sbt-zygote");
    assert_ne!(launcher.zygote_pid().unwrap(), zygote);
    assert_eq!(old.wait(Some(Duration::ZERO)).unwrap(), None);
    old.kill().unwrap();
    old.destroy().unwrap();
    assert_eq!(new.destroy().unwrap(), Exit::Signal(9));
}

#[test]
fn a_missing_wall_that_is_required_is_a_refusal() {
    let launcher = launcher();
    for wall in Wall::ALL {
        let mut spec = Spec::new("box", ["/bin/true"]);
        spec.require = vec![*wall];
        let started = launcher.spawn(spec, scratch(&launcher));
        match (started, launcher.report().missing(*wall)) {
            (Ok(child), None) => {
                child.destroy().unwrap();
            }
            (Err(Error::Missing { wall: named, .. }), Some(_)) => assert_eq!(named, *wall),
            (other, _) => panic!("{wall}: {other:?}"),
        }
    }
}

/// The process that is killed below: starts a box, prints its record, goes on until then.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that is run again as a process of its own")]
fn victim() {
    let Some(prefix) = std::env::var_os(VICTIM) else { return };
    let mut config = Config::new(prefix.into_string().unwrap());
    config.zygote = Some(zygote());
    let launcher = std::sync::Arc::new(Launcher::start(config).unwrap());
    let net = pool(&launcher).lease().unwrap();
    let script = "echo kept > /session/file
        for _ in {1..1000}; do
            [ -e /session/go ] && exit 7
            sleep 0.05
            if [ -e /session/connect ]; then
                exec 3<>/dev/tcp/127.0.0.1/8700 && read -u 3 line && echo $line > /session/answer
                sleep 1000
            fi
        done";
    let mut spec = Spec::new("kept", ["/bin/bash", "-c", script]);
    spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    spec.net = Some(net.handle());
    let kept = launcher.spawn(spec, scratch(&launcher)).unwrap();
    let lost = sleeper(&launcher, "lost", "sbt-lost");
    let mut out = std::io::stderr();
    writeln!(out, "record {}", kept.record()).unwrap();
    writeln!(out, "lost {}", lost.pid()).unwrap();
    eventually("this process is killed", || false);
}

pub(crate) fn start_victim(prefix: &str) -> (std::process::Child, Record, u32) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::victim", "--nocapture"])
        .env(VICTIM, prefix)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = victim.stderr.take().unwrap();
    let mut find = |name: &str| loop {
        let line = read_line("the process that is to be killed", &mut said);
        if let Some(rest) = line.strip_prefix(name) {
            return rest.trim().to_owned();
        }
    };
    let record = find("record ").parse().unwrap();
    let lost = find("lost ").parse().unwrap();
    (victim, record, lost)
}

#[test]
fn after_kill_9_a_box_is_adopted_and_a_stranger_is_swept() {
    let config = config();
    let prefix = config.prefix.clone();
    let (mut victim, record, lost) = start_victim(&prefix);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let launcher = Launcher::start(config).unwrap();
    assert!(is_alive(lost));
    let Found::Alive(mut child) = launcher.adopt(&record).unwrap() else {
        panic!("the box did not survive its server");
    };
    if stands(&launcher, Wall::Memory) {
        assert_eq!(launcher.sweep(&["kept"]).unwrap(), ["lost"]);
        eventually("the stranger is gone", || !is_alive(lost));
    } else {
        kill9(lost); // without cgroups nobody finds it
    }
    let flags = rustix::fs::OFlags::RDONLY;
    let mode = rustix::fs::Mode::empty();
    let open = || rustix::fs::openat(child.scratch().dir(), "session/file", flags, mode);
    eventually("the box has written", || open().is_ok());
    let file = open().unwrap();
    let mut text = String::new();
    fs::File::from(file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept\n");
    let create = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    rustix::fs::openat(child.scratch().dir(), "session/go", create, mode).unwrap();
    let ended = child.wait(Some(LONG)).unwrap().unwrap();
    if launcher.report().stands(Wall::ExitByPidfd) {
        assert_eq!(ended, Exit::Code(7));
    }
    child.destroy().unwrap();
    assert!(matches!(launcher.adopt(&record).unwrap(), Found::Gone));
    assert_eq!(groups(&prefix), Vec::<PathBuf>::new());
}

#[test]
fn an_id_is_used_by_one_box_at_a_time() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Freeze) {
        return;
    }
    let mut first = sleeper(&launcher, "box", "sbt-twice");
    let (spec, _reader) = spec(&["/bin/true"]);
    let refused = launcher.spawn(spec, scratch(&launcher)).unwrap_err();
    assert!(matches!(refused, Error::Exists(_)), "{refused:?}");
    assert_eq!(first.wait(Some(Duration::ZERO)).unwrap(), None);
    first.destroy().unwrap();
}

#[test]
fn a_uid_that_may_still_be_used_is_not_leased_again() {
    let mut config = config();
    config.uids = own_uids(1);
    let launcher = Launcher::start(config).unwrap();
    if !stands(&launcher, Wall::DistinctUid) {
        return;
    }
    let child = sleeper(&launcher, "box", "sbt-dropped");
    let record = child.record();
    drop(child);
    assert!(matches!(launcher.scratch(&sandbox::ScratchLimits::default()), Err(Error::NoUid(1))));
    let Found::Alive(child) = launcher.adopt(&record).unwrap() else { panic!("it lives") };
    child.destroy().unwrap();
}

#[test]
fn an_adopted_box_reaches_listeners_that_are_opened_anew() {
    let config = config();
    let (mut victim, record, lost) = start_victim(&config.prefix);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let launcher = std::sync::Arc::new(Launcher::start(config).unwrap());
    let Found::Alive(child) = launcher.adopt(&record).unwrap() else { panic!("it lives") };
    if is_root() {
        let net = pool(&launcher).reopen(&child).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        let create = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        rustix::fs::openat(child.scratch().dir(), "session/connect", create, mode).unwrap();
        readable("the box calls", &net.listeners()[0]);
        let (mut stream, _) = net.listeners()[0].accept().unwrap();
        stream.write_all(b"again\n").unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        let answer = || {
            let file = rustix::fs::openat(child.scratch().dir(), "session/answer", flags, mode);
            let mut text = String::new();
            file.is_ok_and(|file| fs::File::from(file).read_to_string(&mut text).is_ok())
                && text == "again\n"
        };
        eventually("the box has heard us", answer);
    }
    child.destroy().unwrap();
    kill9(lost);
    launcher.sweep(&[]).unwrap();
}

#[test]
fn a_record_of_another_process_adopts_nothing() {
    let launcher = launcher();
    let child = sleeper(&launcher, "box", "sbt-record");
    let text = child.record().to_string();
    let mut fields: Vec<_> = text.split(' ').map(str::to_owned).collect();
    fields[3] = (fields[3].parse::<u64>().unwrap() + 1).to_string();
    fields[1] = "other".to_owned();
    let forged: Record = fields.join(" ").parse().unwrap();
    assert!(matches!(launcher.adopt(&forged).unwrap(), Found::Gone));
    assert!(is_alive(child.pid()));
    child.destroy().unwrap();
}

#[test]
fn many_boxes_at_once_from_many_threads() {
    let launcher = launcher();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let launcher = &launcher;
            scope.spawn(move || {
                for number in 0..5 {
                    let (mut spec, mut reader) = spec(&["/bin/echo", "done"]);
                    spec.id = format!("box-{thread}-{number}");
                    let child = launcher.spawn(spec, scratch(launcher)).unwrap();
                    assert_eq!(finish(child, &mut reader).output, "done\n");
                }
            });
        }
    });
}
