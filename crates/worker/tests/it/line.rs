//! What the line promises: no byte lost or doubled, bounded memory, nothing left alive.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use engine::line::{FromBox, Line};
use engine::runner::Process;
use model::limit::LINE_BYTES_MAX;
use model::worker_wire::{AgentSignal, AgentState};

use crate::rig::{DEADLINE, Rig, bytes_read, children, kib, lives, shell, soon, to_the_end, until};

#[tokio::test]
async fn an_agent_gets_exactly_its_environment_and_its_folder() {
    let rig = Rig::new(&[]);
    let mut line = rig.accept(0).await;
    let process = Process { cwd: rig.folder.path().to_owned(), ..shell("pwd; exec env; echo") };
    line.start(&process).unwrap();
    let (lines, code) = to_the_end(&mut line).await;
    let folder = rig.folder.path().to_str().unwrap();
    let pwd = format!("PWD={folder}");
    let mut expected = vec![folder, &pwd, "PATH=/usr/bin:/bin"];
    expected.sort_unstable();
    let mut lines: Vec<_> =
        lines.iter().map(String::as_str).filter(|l| !l.starts_with("OLDPWD=")).collect();
    lines.sort_unstable();
    assert_eq!((lines, code), (expected, Some(0)));
}

#[tokio::test]
async fn the_end_of_an_agent_is_told_with_its_cause_and_another_can_start() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("printf 'no newline'; exit 7").await;
    assert_eq!(to_the_end(&mut line).await, (vec!["no newline".to_owned()], Some(7)));
    line.start(&shell("kill -9 $$")).unwrap();
    assert!(matches!(soon(line.next()).await, FromBox::Started { .. }));
    assert_eq!(soon(line.next()).await, FromBox::AgentExited { code: None, signal: Some(9) });
    let nothing = Process { argv: vec!["/no/such/agent".to_owned()], ..shell("") };
    line.start(&nothing).unwrap();
    let FromBox::AgentFailed(why) = soon(line.next()).await else { panic!("it started") };
    assert!(why.starts_with("cannot start /no/such/agent: No such file"), "{why}");
    line.start(&shell("echo again")).unwrap();
    assert_eq!(to_the_end(&mut line).await, (vec!["again".to_owned()], Some(0)));
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The server dies again and again in mid-output, has acknowledged less than it read, and sometimes
/// takes its socket with it: 50 MiB of numbered lines come whole and once.
#[tokio::test]
async fn no_byte_is_lost_or_doubled_through_random_disconnects() {
    const LAST: u64 = 105_000;
    let mut rig = Rig::new(&[]);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut line = rig.run(&format!("seq -f %0499.0f 1 {LAST}")).await;
    let (mut durable, mut cursor, mut deaths) = (0, 0, 0);
    'agent: loop {
        let (mut number, mut end) = (durable, cursor);
        for _ in 0..random.below(2_000) {
            match soon(line.next()).await {
                FromBox::Line { bytes, end: line_end, overlong } => {
                    number += 1;
                    assert_eq!((bytes, overlong), (format!("{number:0499}").into_bytes(), false));
                    end = line_end;
                    if random.below(40) == 0 {
                        (durable, cursor) = (number, end);
                        line.ack(cursor).unwrap();
                    }
                }
                FromBox::AgentExited { code, .. } => {
                    assert_eq!((code, number), (Some(0), LAST));
                    assert_eq!(end, LAST * 500);
                    break 'agent;
                }
                FromBox::Started { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        deaths += 1;
        drop(line);
        if random.below(2) == 0 {
            rig.listener = None;
            rig.listen();
        }
        line = rig.accept(cursor).await;
    }
    assert!(deaths > 50, "{deaths}");
}

#[tokio::test]
async fn an_agent_that_ended_while_the_server_was_away_is_heard_to_its_last_line() {
    let mut rig = Rig::new(&[]);
    let mut line = rig.run("echo one; read go; echo two; exit 3").await;
    assert!(matches!(soon(line.next()).await, FromBox::Line { end: 4, .. }));
    line.input(1, b"go\n").unwrap();
    soon(line.flush()).await.unwrap();
    drop(line);
    rig.listener = None;
    until("the agent has ended", || children(rig.worker.id()) == 0).await;
    rig.listen();
    let mut line = rig.accept(4).await;
    assert_eq!(line.agent(), AgentState::Ended);
    assert_eq!(to_the_end(&mut line).await, (vec!["two".to_owned()], Some(3)));
}

#[tokio::test]
async fn input_is_written_once_however_often_it_is_said() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("cat").await;
    let long = [b"x".repeat(100_000), b"\n".to_vec()].concat();
    line.input(40, &long).unwrap();
    line.input(7, b"second\n").unwrap();
    line.input(40, &long).unwrap();
    soon(line.flush()).await.unwrap();
    drop(line);
    let mut line = rig.accept(0).await;
    assert_eq!(line.agent(), AgentState::Running);
    line.input(40, &long).unwrap();
    line.input(7, b"second\n").unwrap();
    line.input(8, b"third\n").unwrap();
    line.close_input().unwrap();
    let (lines, code) = to_the_end(&mut line).await;
    let long = "x".repeat(100_000);
    assert_eq!((lines, code), (vec![long, "second".to_owned(), "third".to_owned()], Some(0)));
}

#[tokio::test]
async fn a_flood_that_nobody_reads_costs_bounded_memory_and_then_arrives_whole() {
    const FLOOD: u64 = 1 << 30;
    let rig = Rig::new(&[]);
    let worker = rig.worker.id();
    let mut line = rig.run(&format!("yes $(printf %01000d 0) | head -c {FLOOD}")).await;
    let mut before = 0;
    until("the agent is made to wait", || {
        let read = bytes_read(worker);
        std::mem::replace(&mut before, read) == read && read > LINE_BYTES_MAX as u64
    })
    .await;
    assert!(before < 2 * LINE_BYTES_MAX as u64, "{before} bytes were taken in advance");
    let (mut bytes_seen, mut acknowledged) = (0, 0);
    loop {
        match soon(line.next()).await {
            FromBox::Line { end, .. } => {
                bytes_seen = end;
                if end - acknowledged > 256 << 10 {
                    line.ack(end).unwrap();
                    acknowledged = end;
                }
            }
            FromBox::AgentExited { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bytes_seen, FLOOD);
    let peak = kib(worker, "VmHWM");
    assert!(peak < 16 << 10, "{peak} KiB");
}

#[tokio::test]
async fn a_line_of_a_hundred_mebibytes_is_cut_and_the_next_one_is_whole() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("head -c 104857600 /dev/zero | tr '\\0' x; echo; echo next").await;
    let mut told = 0;
    let (bytes, end, overlong) = loop {
        match soon(line.next()).await {
            FromBox::Overlong { bytes } => {
                assert!(bytes > told, "it only grows");
                told = bytes;
            }
            FromBox::Line { bytes, end, overlong } => break (bytes, end, overlong),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((bytes.len(), end, overlong), (LINE_BYTES_MAX, (100 << 20) + 1, true));
    assert!((50 << 20..=100 << 20).contains(&told), "{told} bytes were told of before its end");
    assert_eq!(to_the_end(&mut line).await, (vec!["next".to_owned()], Some(0)));
}

#[tokio::test]
async fn errors_that_nobody_reads_are_dropped_and_counted() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("head -c 10000000 /dev/zero >&2; echo done").await;
    until("the agent has ended", || children(rig.worker.id()) == 0).await;
    let (mut kept, mut lost) = (0, 0);
    loop {
        match soon(line.next()).await {
            FromBox::Stderr { bytes, dropped } => {
                kept += bytes.len() as u64;
                lost += dropped;
            }
            FromBox::Line { bytes, .. } => assert_eq!(bytes, b"done"),
            FromBox::AgentExited { code, .. } => break assert_eq!(code, Some(0)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kept + lost, 10_000_000);
    assert!(lost > 9_000_000 && kept >= 64 << 10, "kept {kept}, lost {lost}");
}

#[tokio::test]
async fn orphans_are_reaped_while_the_agent_runs() {
    let rig = Rig::new(&[]);
    let bomb = "i=0; while [ $i -lt 1000 ]; do (setsid true &); i=$((i+1)); done; echo; read end";
    let mut line = rig.run(bomb).await;
    assert!(matches!(soon(line.next()).await, FromBox::Line { .. }));
    until("only the agent is left", || children(rig.worker.id()) == 1).await;
}

#[tokio::test]
async fn what_an_agent_leaves_behind_ends_with_it() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("setsid sleep 1000 & echo $!; sleep 1000 & echo $!").await;
    let (lines, code) = to_the_end(&mut line).await;
    assert_eq!((lines.len(), code), (2, Some(0)));
    for pid in lines {
        assert!(!lives(pid.parse().unwrap()), "{pid}");
    }
}

#[tokio::test]
async fn an_agent_that_ignores_sigterm_is_killed_with_all_it_started() {
    let mut rig = Rig::new(&[]);
    let script =
        "trap '' TERM INT; setsid sleep 1000 & echo $!; echo $$; while :; do sleep 1; done";
    let mut line = rig.run(script).await;
    let mut pids = Vec::new();
    while pids.len() < 2 {
        if let FromBox::Line { bytes, .. } = soon(line.next()).await {
            pids.push(String::from_utf8(bytes).unwrap().parse::<u32>().unwrap());
        }
    }
    line.signal(AgentSignal::Interrupt).unwrap();
    line.stop(Duration::from_millis(100)).unwrap();
    assert_eq!(soon(line.next()).await, FromBox::AgentExited { code: None, signal: Some(9) });
    assert_eq!(soon(line.next()).await, FromBox::Lost);
    assert_eq!(rig.ended().await.code(), Some(0));
    assert!(pids.iter().all(|&pid| !lives(pid)));
}

#[tokio::test]
async fn an_agent_that_obeys_says_its_last_words() {
    let mut rig = Rig::new(&[]);
    let mut line =
        rig.run("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done").await;
    assert!(matches!(soon(line.next()).await, FromBox::Line { .. }));
    line.stop(DEADLINE).unwrap();
    assert_eq!(to_the_end(&mut line).await, (vec!["bye".to_owned()], Some(5)));
    assert_eq!(rig.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_worker_whose_server_stays_away_ends_everything() {
    // Longer than a slow machine lets a new worker wait for its first answer.
    let mut rig = Rig::new(&["--away", "5"]);
    let mut line = rig.run("setsid sleep 1000 & echo $!; sleep 1000").await;
    let FromBox::Line { bytes, .. } = soon(line.next()).await else { panic!("no line") };
    let left: u32 = String::from_utf8(bytes).unwrap().parse().unwrap();
    drop(line);
    // The socket is there, and calls are taken by the kernel, but no server answers.
    assert_eq!(rig.ended().await.code(), Some(75));
    assert!(!lives(left));
}

#[tokio::test]
async fn nobody_but_the_worker_is_answered() {
    let mut stranger = None;
    // Before the worker: who stands behind it in the queue is not looked at while it is connected.
    let rig = Rig::after(&[], |socket| {
        let mut caller = UnixStream::connect(socket).unwrap();
        caller.set_read_timeout(Some(DEADLINE)).unwrap();
        caller.write_all(&[1; 100]).unwrap();
        stranger = Some(caller);
    });
    let mut stranger = stranger.unwrap();
    let mut line = rig.run("echo hello").await;
    assert_eq!(to_the_end(&mut line).await, (vec!["hello".to_owned()], Some(0)));
    // Hung up on, with or without a word about what it wrote.
    match stranger.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn a_stranger_in_place_of_the_worker_is_refused_or_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker.sock");
    let listener = engine::line::listener(UnixListener::bind(&path).unwrap()).unwrap();
    let hello = |first: u64, end: u64| {
        let mut bytes = Vec::new();
        let agent = AgentState::Running;
        model::worker_wire::Up::Hello { protocol: 1, agent, first, end }
            .encode(&mut bytes)
            .unwrap();
        bytes
    };
    for (said, expected) in [
        (vec![0xff; 64], "a frame of 4294967295 bytes is longer than 262144"),
        (vec![3, 8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], "output 9 came where 0 was due"),
        (hello(0, 0), "the worker greets twice"),
    ] {
        let mut worker = UnixStream::connect(&path).unwrap();
        worker.write_all(&hello(0, 0)).unwrap();
        worker.write_all(&said).unwrap();
        let mut line = soon(Line::accept(&listener, std::process::id(), 0)).await.unwrap();
        assert_eq!(soon(line.next()).await, FromBox::Broken(expected.to_owned()));
    }
}

#[tokio::test]
async fn a_loopback_port_leads_to_the_socket_of_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let gate = UnixListener::bind(folder.path().join("gate.sock")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let forward = format!("{port}={}", folder.path().join("gate.sock").display());
    let rig = Rig::new(&["--forward", &forward]);
    let mut line = rig.run("read end").await;
    let echo = std::thread::spawn(move || {
        let (mut caller, _) = gate.accept().unwrap();
        caller.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut said = Vec::new();
        caller.read_to_end(&mut said).unwrap();
        caller.write_all(&said).unwrap();
    });
    let call = std::thread::spawn(move || {
        let mut caller = TcpStream::connect(("127.0.0.1", port)).unwrap();
        caller.set_read_timeout(Some(DEADLINE)).unwrap();
        let said: Vec<u8> =
            (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        caller.write_all(&said).unwrap();
        caller.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        caller.read_to_end(&mut heard).unwrap();
        assert!(heard == said, "{} bytes came back", heard.len());
    });
    until("the call is over", || call.is_finished() && echo.is_finished()).await;
    call.join().unwrap();
    echo.join().unwrap();
    line.close_input().unwrap();
    to_the_end(&mut line).await;
}

/// A worker that waits costs a few hundred kibibytes, and next to none of them are its own.
#[tokio::test]
async fn an_idle_worker_is_small() {
    let rig = Rig::new(&[]);
    let mut line = rig.run("echo up; read end").await;
    assert!(matches!(soon(line.next()).await, FromBox::Line { .. }));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", rig.worker.id())).unwrap();
    let private: u64 = rollup
        .lines()
        .filter(|line| line.starts_with("Private_Dirty"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(private < 512, "{private} KiB of its own");
}
