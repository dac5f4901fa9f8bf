//! Bounds on what a box uses, one test each.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::{Config, Cpu, Error, Exit, Found, ScratchLimits, Spec, Wall};

use crate::harness::{
    LONG, Outcome, config, finish, has_python, launcher, own_uids, prelude, run, scratch, spec,
    stands,
};
use crate::life::sleeper;
use sandbox::Launcher;

fn python_with(launcher: &Launcher, script: &str, change: impl FnOnce(&mut Spec)) -> Outcome {
    run(launcher, &["/usr/bin/python3", "-IS", "-c", &prelude(script)], change)
}

#[test]
fn who_uses_too_much_memory_is_killed() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::Memory) {
        return;
    }
    let script = "print('begun', flush=True)\nx = bytearray(200 << 20)\nprint('went on')";
    let outcome = python_with(&launcher, script, |spec| {
        spec.limits.memory_bytes = Some(64 << 20);
    });
    assert_eq!(outcome, Outcome { exit: Exit::Signal(9), output: "begun\n".to_owned() });
}

#[test]
fn files_in_the_scratch_count_as_memory() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Memory) {
        return;
    }
    let script = "head -c 200M /dev/zero > /tmp/x; echo went on";
    let outcome = run(&launcher, &["/bin/sh", "-c", script], |spec| {
        spec.limits.memory_bytes = Some(64 << 20);
    });
    assert_ne!(outcome, Outcome { exit: Exit::Code(0), output: "went on\n".to_owned() });
}

#[test]
fn a_fork_bomb_stays_in_its_box() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::Pids) {
        return;
    }
    let script = "n = 0
try:
    while True:
        if os.fork() == 0: signal.pause()
        n += 1
except OSError as e: print(n, name(-e.errno))";
    let outcome = python_with(&launcher, script, |spec| spec.limits.pids = 50);
    assert_eq!(outcome.output, "49 EAGAIN\n");
}

#[test]
fn threads_count_as_processes() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::Pids) {
        return;
    }
    let script = "import threading
stop = threading.Event(); n = 0
try:
    while True:
        threading.Thread(target=stop.wait, daemon=True).start(); n += 1
except RuntimeError: print(n, flush=True)
os._exit(0)";
    let outcome = python_with(&launcher, script, |spec| spec.limits.pids = 50);
    assert_eq!(outcome.output, "49\n");
}

#[test]
fn a_file_cannot_grow_beyond_its_bound() {
    if !has_python() {
        return;
    }
    let script = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
f = open('/tmp/f', 'wb')
tried(lambda: os.ftruncate(f.fileno(), 2 << 20))
print(os.write(f.fileno(), b'x' * (2 << 20)))
tried(lambda: os.write(f.fileno(), b'x'))";
    let outcome = python_with(&launcher(), script, |spec| spec.limits.file_bytes = 1 << 20);
    assert_eq!(outcome.output, "EFBIG\n1048576\nEFBIG\n");
}

#[test]
fn open_descriptors_are_bounded() {
    if !has_python() {
        return;
    }
    let script = "fds = []
try:
    while True: fds.append(os.dup(0))
except OSError as e: print(max(fds), name(-e.errno))";
    let outcome = python_with(&launcher(), script, |spec| spec.limits.open_files = 64);
    assert_eq!(outcome.output, "63 EMFILE\n");
}

/// Runs a script in a box with a small scratch.
fn in_small_scratch(script: &str) -> String {
    let launcher = launcher();
    let limits = ScratchLimits { bytes: 1 << 20, inodes: 200 };
    let (spec, mut reader) = spec(&["/usr/bin/python3", "-IS", "-c", &prelude(script)]);
    let child = launcher.spawn(spec, launcher.scratch(&limits).unwrap()).unwrap();
    finish(child, &mut reader).output
}

#[test]
fn the_bytes_of_a_scratch_are_bounded_over_all_its_folders() {
    if !has_python() {
        return;
    }
    let script = "n = 0
try:
    for i in range(100):
        for folder in ('/tmp', '/session', '/home/agent'):
            open(f'{folder}/{i}', 'wb').write(b'x' * 65536); n += 1
except OSError as e: print(n < 17, name(-e.errno))";
    assert_eq!(in_small_scratch(script), "True ENOSPC\n");
}

#[test]
fn the_files_of_a_scratch_are_bounded() {
    if !has_python() {
        return;
    }
    let script = "n = 0
try:
    while n < 1000: os.mkdir(f'/tmp/{n}'); n += 1
except OSError as e: print(100 < n < 200, name(-e.errno))";
    assert_eq!(in_small_scratch(script), "True ENOSPC\n");
}

#[test]
fn a_huge_sparse_file_costs_nothing_and_cannot_be_made() {
    if !has_python() {
        return;
    }
    let script = "f = open('/tmp/f', 'wb')\ntried(lambda: os.ftruncate(f.fileno(), 1 << 40))";
    assert_eq!(in_small_scratch(script), "EFBIG\n");
}

#[test]
fn a_quota_of_the_processor_holds() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::Cpu) {
        return;
    }
    let script = "t = time.monotonic(); c = time.process_time()
while time.monotonic() - t < 1: pass
print(time.process_time() - c < 0.5 * (time.monotonic() - t))";
    let outcome = python_with(&launcher, script, |spec| {
        spec.limits.cpu = Some(Cpu { weight: 50, quota_milli: Some(200) });
    });
    assert_eq!(outcome.output, "True\n");
}

#[test]
fn a_memory_hog_does_not_take_its_neighbour_with_it() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::Memory) {
        return;
    }
    let (mut calm, mut reader) = spec(&["/bin/sh", "-c", "sleep 0.5; echo calm"]);
    calm.id = "calm".to_owned();
    let calm = launcher.spawn(calm, scratch(&launcher)).unwrap();
    let hog = python_with(&launcher, "x = bytearray(500 << 20)", |spec| {
        spec.limits.memory_bytes = Some(32 << 20);
    });
    assert_eq!(hog.exit, Exit::Signal(9));
    assert_eq!(finish(calm, &mut reader).output, "calm\n");
}

#[test]
fn uids_run_out_and_come_back() {
    let mut config = config();
    config.uids = own_uids(2);
    let launcher = Launcher::start(config).unwrap();
    if !stands(&launcher, Wall::DistinctUid) {
        return;
    }
    let one = scratch(&launcher);
    let _two = scratch(&launcher);
    assert!(matches!(launcher.scratch(&ScratchLimits::default()), Err(Error::NoUid(2))));
    drop(one);
    scratch(&launcher);
}

#[test]
fn the_uid_of_a_box_is_free_once_it_is_gone_and_not_before() {
    let mut config = config();
    config.uids = own_uids(1);
    let launcher = Launcher::start(config.clone()).unwrap();
    if !stands(&launcher, Wall::DistinctUid) {
        return;
    }
    let none = |launcher: &Launcher| {
        matches!(launcher.scratch(&ScratchLimits::default()), Err(Error::NoUid(1)))
    };
    let (first, _reader) = spec(&["/bin/sleep", "1000"]);
    let child = launcher.spawn(first, scratch(&launcher)).unwrap();
    assert!(none(&launcher), "it lives");
    child.destroy().unwrap();
    let (refused, _reader) = spec(&["/bin/none"]);
    launcher.spawn(refused, scratch(&launcher)).unwrap_err();
    let (last, _reader) = spec(&["/bin/sleep", "1000"]);
    let child = launcher.spawn(last, scratch(&launcher)).unwrap();
    let record = child.record();
    drop((child, launcher));

    // Its launcher is gone and holds nothing; the box lives, so nobody gets its uid.
    let next = Launcher::start(config.clone()).unwrap();
    assert!(none(&next), "a box of before lives");
    let Found::Alive(child) = next.adopt(&record).unwrap() else { panic!("it is gone") };
    child.destroy().unwrap();
    drop(next);
    config.prefix.push_str("-other");
    scratch(&Launcher::start(config).unwrap());
}

#[test]
fn two_launchers_lend_no_uid_twice() {
    let uids = own_uids(512);
    let launchers = [(); 2].map(|()| Launcher::start(Config { uids, ..config() }).unwrap());
    if !stands(&launchers[0], Wall::DistinctUid) {
        return;
    }
    let uids = |launcher: &Launcher| {
        let boxes: Vec<_> =
            (0..8).map(|number| sleeper(launcher, &format!("box{number}"), "sbt-uids")).collect();
        let uids: BTreeSet<_> = boxes.iter().map(|it| it.scratch().uid()).collect();
        (boxes, uids)
    };
    let ((ours, our_uids), (theirs, their_uids)) = (uids(&launchers[0]), uids(&launchers[1]));
    assert_eq!((our_uids.len(), their_uids.len()), (8, 8));
    assert!(our_uids.is_disjoint(&their_uids), "{our_uids:?} {their_uids:?}");
    for child in ours.into_iter().chain(theirs) {
        child.destroy().unwrap();
    }
}

#[test]
fn arguments_that_are_too_large_are_refused_and_nothing_breaks() {
    let launcher = launcher();
    let (mut large, _reader) = spec(&["/bin/true"]);
    large.env.push(("X".into(), "x".repeat(200_000).into()));
    let refused = launcher.spawn(large, scratch(&launcher)).unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)), "{refused:?}");
    let (next, mut reader) = spec(&["/bin/true"]);
    let mut child = launcher.spawn(next, scratch(&launcher)).unwrap();
    assert_eq!(child.wait(Some(LONG)).unwrap(), Some(Exit::Code(0)));
    finish(child, &mut reader);
}

#[test]
fn a_box_that_closes_everything_and_sleeps_is_still_killed_in_time() {
    if !has_python() {
        return;
    }
    let launcher = launcher();
    let script = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nos.closerange(0, 100)\n\
                  for i in range(20): os.fork()if i < 4 else None\ntime.sleep(1000)";
    let (spec, _reader) = spec(&["/usr/bin/python3", "-IS", "-c", &prelude(script)]);
    let mut child = launcher.spawn(spec, scratch(&launcher)).unwrap();
    assert_eq!(child.wait(Some(Duration::from_millis(100))).unwrap(), None);
    assert_eq!(child.destroy().unwrap(), Exit::Signal(9));
}
