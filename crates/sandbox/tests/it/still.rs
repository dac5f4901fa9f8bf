//! Freezing: what stands still, what goes on, and that no box is frozen for ever.

use std::io::{Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, statat};
use sandbox::{Child, Exit, Launcher, Wall};

use crate::harness::{
    LONG, eventually, has_python, launcher, pause, prelude, read_line, readable, scratch, spec,
    stands,
};

#[test]
fn a_frozen_box_stands_still_until_it_is_thawed() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Freeze) {
        return;
    }
    let script = "while :; do echo x; done";
    let (spec, mut reader) = spec(&["/bin/sh", "-c", script]);
    let child = launcher.spawn(spec, scratch(&launcher)).unwrap();
    let mut buffer = vec![0; 65_536];
    readable("output", &reader);
    assert!(reader.read(&mut buffer).unwrap() > 0);
    child.freeze().unwrap();
    // What the pipe held is all there is.
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    while reader.read(&mut buffer).is_ok() {}
    let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let mut polled = [PollFd::new(&reader, PollFlags::IN)];
    assert_eq!(poll(&mut polled, Some(&pause)), Ok(0));
    child.thaw().unwrap();
    eventually("it goes on", || reader.read(&mut buffer).is_ok());
    child.freeze().unwrap();
    assert_eq!(child.destroy().unwrap(), Exit::Signal(9));
}

/// A box whose PID 1 writes a line whenever it reads one, and ends with code 7 when it reads no
/// more; the other processes do what `others` says.
fn watched(launcher: &Launcher, others: &str) -> (Child, std::io::PipeWriter, std::fs::File) {
    let script = format!("{others}\necho begun; while read line; do echo $line; done; exit 7");
    let (mut spec, reader) = spec(&["/bin/bash", "-c", &script]);
    let (stdin, asked) = std::io::pipe().unwrap();
    spec.stdio.stdin = Some(stdin.into());
    let child = launcher.spawn(spec, scratch(launcher)).unwrap();
    (child, asked, reader)
}

/// How large a file of the scratch is.
fn size(child: &Child, path: &str) -> i64 {
    statat(child.scratch().dir(), path, AtFlags::empty()).map_or(0, |seen| seen.st_size)
}

fn stands_still(child: &Child, path: &str) {
    let before = size(child, path);
    pause(100);
    assert_eq!(size(child, path), before, "{path} grows");
}

#[test]
fn pid_1_of_a_frozen_box_can_go_on_and_end_it() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Freeze) {
        return;
    }
    let others = "(while :; do echo x >> /session/x; done) &\n\
                  (setsid sh -c 'while :; do echo y >> /session/y; done' &)";
    let (mut child, mut asked, mut reader) = watched(&launcher, others);
    assert_eq!(read_line("PID 1", &mut reader), "begun");
    for word in ["one", "two"] {
        let grown = (size(&child, "session/x"), size(&child, "session/y"));
        eventually("the others go on", || {
            size(&child, "session/x") > grown.0 && size(&child, "session/y") > grown.1
        });
        child.freeze_all_but_init().unwrap();
        stands_still(&child, "session/x");
        stands_still(&child, "session/y");
        asked.write_all(format!("{word}\n").as_bytes()).unwrap();
        assert_eq!(read_line("PID 1 of a frozen box", &mut reader), word);
        child.thaw().unwrap();
    }
    child.freeze_all_but_init().unwrap();
    drop(asked);
    // Its namespace dies with it, frozen as it is.
    assert_eq!(child.wait(Some(LONG)).unwrap(), Some(Exit::Code(7)));
    assert_eq!(child.stats().pids, Some(0));
    child.destroy().unwrap();
}

#[test]
fn nobody_forks_away_from_being_frozen() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Freeze) || !has_python() {
        return;
    }
    // Chains whose every link is a new process, and threads that outlive the first of their group.
    let forks = "
def chain():
    while True:
        if os.fork() > 0: os._exit(0)
        with open('/session/forks', 'a') as f: f.write('x')
import threading
def writes():
    while True:
        with open('/session/threads', 'a') as f: f.write('x')
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        chain()
threading.Thread(target=writes).start()
libc.syscall(ctypes.c_long(60), 0)
";
    let others = format!("/usr/bin/python3 -ISc '{}' &", prelude(forks).replace('\'', "'\\''"));
    let (child, _asked, mut reader) = watched(&launcher, &others);
    assert_eq!(read_line("PID 1", &mut reader), "begun");
    for _ in 0..10 {
        let grown = (size(&child, "session/forks"), size(&child, "session/threads"));
        eventually("they fork", || {
            size(&child, "session/forks") > grown.0 && size(&child, "session/threads") > grown.1
        });
        child.freeze_all_but_init().unwrap();
        stands_still(&child, "session/forks");
        stands_still(&child, "session/threads");
        child.thaw().unwrap();
    }
    child.freeze_all_but_init().unwrap();
    assert_eq!(child.destroy().unwrap(), Exit::Signal(9));
}
