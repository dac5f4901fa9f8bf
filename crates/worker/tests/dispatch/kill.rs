//! kill -9 at every named point: the next server keeps every promise that the dead one made.
//!
//! The server that dies is this very test program, started again with its state directory and its
//! kill point in the environment.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use engine::kill_point::{KILL_POINTS, arm};
use engine::port::Ledger;
use model::{DispatchId, Event, Limits, Turn};
use rustix::event::{PollFd, PollFlags, Timespec};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::house::{House, Options, run};

const DATA: &str = "REMIT_TEST_DATA";
const POINT: &str = "REMIT_TEST_KILL_POINT";

#[test]
fn a_server_killed_anywhere_in_the_first_third_breaks_no_promise() {
    each(0, "kill::a_server_killed_anywhere_in_the_first_third_breaks_no_promise");
}

#[test]
fn a_server_killed_anywhere_in_the_second_third_breaks_no_promise() {
    each(1, "kill::a_server_killed_anywhere_in_the_second_third_breaks_no_promise");
}

#[test]
fn a_server_killed_anywhere_in_the_last_third_breaks_no_promise() {
    each(2, "kill::a_server_killed_anywhere_in_the_last_third_breaks_no_promise");
}

/// Every third point, by a server started as the test of this name.
fn each(third: usize, test: &str) {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its other self who it is")]
    let (data, point) = (std::env::var_os(DATA), std::env::var(POINT));
    if let (Some(data), Ok(point)) = (data, point) {
        return die(Path::new(&data), &point);
    }
    for point in KILL_POINTS.iter().skip(third).step_by(3) {
        let folder = TempDir::new().unwrap();
        kill(folder.path(), point, test);
        keeps_its_promises(folder.path(), point);
    }
}

fn options() -> Options {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    Options { concurrent_max: 2, limits, ..Options::default() }
}

/// Starts a server and waits until it is dead, of its own hand.
fn kill(data: &Path, point: &str, test: &str) {
    let mut server = Command::new(std::env::current_exe().unwrap());
    server.args([test, "--exact", "--nocapture"]).env(DATA, data).env(POINT, point);
    let log = data.join("said");
    let said = fs::File::create(&log).unwrap();
    server.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
    let mut server = server.spawn().unwrap();
    let status = ended(&mut server).inspect_err(|_| server.kill().unwrap_or_default());
    let said = fs::read_to_string(&log).unwrap();
    let status = status.unwrap_or_else(|late| panic!("`{point}`: {late}: {said}"));
    assert_eq!(status.signal(), Some(9), "`{point}` was not reached: {said}");
}

/// How a process ended, which must be in time.
fn ended(server: &mut Child) -> Result<ExitStatus, &'static str> {
    let pid = rustix::process::Pid::from_child(server);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let mut over = [PollFd::new(&pidfd, PollFlags::IN)];
    let deadline = Timespec { tv_sec: 600, tv_nsec: 0 };
    match rustix::event::poll(&mut over, Some(&deadline)).unwrap() {
        0 => Err("the server does not come to its end"),
        _ => Ok(server.wait().unwrap()),
    }
}

/// The server that dies: it does all that servers do until it comes to its point.
fn die(data: &Path, point: &str) {
    let recovers = point.starts_with("recovery_");
    if !recovers {
        arm(point, 1).unwrap();
    }
    let first = Runtime::new().unwrap();
    run(&first, async {
        let (house, _) = House::on(data.to_owned(), options()).await;
        let busy = acknowledged(data, house.ask("hang half").await);
        house.heard(&busy, "hanging").await;
        acknowledged(data, house.go_on(&busy, "write after").await);
        let other = acknowledged(data, house.ask("remember plum").await);
        acknowledged(data, house.ask("write waited").await);
        house.turn_end(&other).await;
    });
    first.shutdown_timeout(Duration::from_secs(20));
    if recovers {
        arm(point, 1).unwrap();
    }
    let second = Runtime::new().unwrap();
    run(&second, async {
        let (house, _) = House::on(data.to_owned(), options()).await;
        let acks = acks(data);
        house.dispatcher.stop_turn(&house.principal(), acks[0].0).await.unwrap();
        for (dispatch, turn) in acks {
            house.until(dispatch, |event| is_end(event, &turn).then_some(())).await;
        }
        let fresh = acknowledged(data, house.ask("remember pear").await);
        house.end(fresh.dispatch).await;
        acknowledged(data, house.go_on(&fresh, "recall").await);
        house.is_empty().await;
    });
}

/// Notes that a turn was accepted: from now on it is a promise.
fn acknowledged(data: &Path, turn: Turn) -> Turn {
    let mut file =
        fs::OpenOptions::new().append(true).create(true).open(data.join("acks")).unwrap();
    writeln!(file, "{} {}", turn.dispatch, turn.id).unwrap();
    turn
}

fn acks(data: &Path) -> Vec<(DispatchId, String)> {
    let text = fs::read_to_string(data.join("acks")).unwrap_or_default();
    let line = |line: &str| {
        let (dispatch, turn) = line.split_once(' ').unwrap();
        (dispatch.parse().unwrap(), turn.to_owned())
    };
    text.lines().map(line).collect()
}

fn is_end(event: &Event, turn: &str) -> bool {
    matches!(event, Event::TurnEnded { turn: ended, .. } if ended.as_str() == turn)
}

fn keeps_its_promises(data: &Path, point: &str) {
    let acks = acks(data);
    let runtime = Runtime::new().unwrap();
    run(&runtime, async {
        let (house, _) = House::on(data.to_owned(), options()).await;
        stop_what_hangs(&house).await;
        for (dispatch, turn) in &acks {
            house.end(*dispatch).await;
            let events = house.events(*dispatch).await;
            let ends = events.iter().filter(|event| is_end(event, turn)).count();
            assert_eq!(ends, 1, "`{point}`: {turn} in {events:#?}");
            let started = events.iter().filter(|event| {
                matches!(event, Event::TurnStarted { turn: started } if started.as_str() == turn)
            });
            assert!(started.count() <= 1, "`{point}`: {turn} ran twice: {events:#?}");
        }
        house.is_empty().await;
        assert!(house.ledger.live().await.unwrap().is_empty(), "`{point}`");
        committed_once(&house, point).await;
    });
}

/// The agent that hangs would do so for as long as a turn may take; its turn may also have been
/// accepted without anybody having been told.
async fn stop_what_hangs(house: &House) {
    for record in house.ledger.live().await.unwrap() {
        if record.dispatch.start.turn().1.starts_with("hang") {
            // It may end by itself in this moment.
            house.dispatcher.cancel(&house.principal(), record.dispatch.id).await.ok();
        }
    }
}

/// No turn has two commits, and every commit that there is was told.
async fn committed_once(house: &House, point: &str) {
    let log = house.workspaces.with(house.workspace, "read the log", |repository| {
        repository.log(repository.head()?.expect("a head"), 1_000)
    });
    let mut commits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in log.await.unwrap() {
        let value = |key: &str| {
            let found = record.trailers.iter().find(|trailer| trailer.key() == key);
            found.map(|trailer| trailer.value().to_owned())
        };
        if let (Some(dispatch), Some(turn)) = (value("Dispatch"), value("Turn")) {
            let events = house.events(dispatch.parse().unwrap()).await;
            let commit = record.commit.to_string();
            let told = events.iter().any(|event| {
                matches!(event, Event::Commit { commit: told, .. } if told.as_str() == commit)
            });
            assert!(told, "`{point}`: {commit} is not told in {events:#?}");
            commits.entry(turn).or_default().push(commit);
        }
    }
    let twice = commits.iter().find(|(_, commits)| commits.len() > 1);
    assert_eq!(twice, None, "`{point}`");
}
