//! A server that is gone in the middle of things, and the next one on its state directory. The first
//! one's tasks are dropped wherever they stand; its boxes live on, as after kill -9.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use embedded::system::SystemClock;
use engine::port::{Append, Clock, Durability, Ledger, NewDispatch, Record};
use engine::recovery::Recovered;
use futures_util::future::join_all;
use model::{DispatchId, End, Event, FailureCode, Session, SessionId, State, TurnOutcome};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::house::{House, Options, run};

/// Runs `before` on one server, drops that server wherever it stands, and runs `after` on the next.
fn crash<T>(
    options: fn() -> Options,
    before: impl AsyncFnOnce(&House) -> T,
    between: impl FnOnce(&TempDir),
    after: impl AsyncFnOnce(House, Recovered, T),
) {
    let folder = Arc::new(TempDir::new().unwrap());
    let first = Runtime::new().unwrap();
    let left = run(&first, async {
        let (house, _) = House::at(folder.clone(), options()).await;
        before(&house).await
    });
    first.shutdown_timeout(Duration::from_secs(20));
    between(&folder);
    let second = Runtime::new().unwrap();
    run(&second, async {
        let (house, recovered) = House::at(folder.clone(), options()).await;
        after(house, recovered, left).await;
    });
}

fn nothing(_: &TempDir) {}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_turn_goes_on_in_its_box_and_nothing_is_lost_or_doubled() {
    let before = async |house: &House| {
        let turn = house.ask("wait go").await;
        house.heard(&turn, "waiting").await;
        let second = house.go_on(&turn, "write after").await;
        (turn, second)
    };
    crash(Options::default, before, nothing, async |house, recovered, (turn, second)| {
        assert_eq!(recovered, Recovered { adopted: 1, ..Recovered::default() });
        house.put_into_the_box("go");
        assert_eq!(house.turn_end(&turn).await, (TurnOutcome::Completed, "waiting".to_owned()));
        assert_eq!(house.turn_end(&second).await.0, TurnOutcome::Completed);
        assert_eq!(house.file("after").await.as_deref(), Some("after\n"));
        let events = house.events(turn.dispatch).await;
        assert_eq!(count(&events, |it| matches!(it, Event::SandboxAdopted { .. })), 1);
        assert_eq!(count(&events, |it| matches!(it, Event::TurnStarted { .. })), 2);
        let said = events.iter().filter_map(|event| match event {
            Event::Message { text, .. } => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(said.collect::<String>(), "waitingwritten");
        house.shut_down().await;
        house.is_empty().await;
    });
}

#[test]
fn an_idle_box_is_taken_over_and_spoken_to() {
    let before = async |house: &House| {
        let turn = house.ask("write a").await;
        house.turn_end(&turn).await;
        turn
    };
    crash(Options::default, before, nothing, async |house, recovered, turn| {
        assert_eq!(recovered, Recovered { adopted: 1, ..Recovered::default() });
        let second = house.go_on(&turn, "write a").await;
        assert_eq!((second.dispatch, second.number), (turn.dispatch, 2));
        assert_eq!(house.turn_end(&second).await.0, TurnOutcome::Completed);
        let third = house.go_on(&turn, "write b").await;
        house.turn_end(&third).await;
        let events = house.events(turn.dispatch).await;
        assert_eq!(count(&events, |it| matches!(it, Event::Commit { .. })), 2);
        assert_eq!(count(&events, |it| matches!(it, Event::Held { .. })), 0);
        house.shut_down().await;
        house.is_empty().await;
    });
}

#[test]
fn what_waited_for_a_place_waits_on_and_runs() {
    let options = || Options { concurrent_max: 1, ..Options::default() };
    let before = async |house: &House| {
        let first = house.ask("hang x").await;
        house.heard(&first, "hanging").await;
        (first, house.ask("write y").await)
    };
    crash(options, before, nothing, async |house, recovered, (first, second)| {
        assert_eq!(recovered, Recovered { adopted: 1, waiting: 1, ..Recovered::default() });
        house.dispatcher.cancel(&house.principal(), first.dispatch).await.unwrap();
        assert_eq!(house.turn_end(&second).await.0, TurnOutcome::Completed);
        assert_eq!(house.file("x").await.as_deref(), Some("x\n"));
        assert_eq!(house.file("y").await.as_deref(), Some("y\n"));
        house.shut_down().await;
        house.is_empty().await;
    });
}

#[test]
fn a_box_that_is_gone_ends_its_dispatch_once_and_the_conversation_goes_on() {
    let before = async |house: &House| {
        let turn = house.ask("remember plum").await;
        house.turn_end(&turn).await;
        let second = house.go_on(&turn, "hang x").await;
        house.heard(&second, "hanging").await;
        second
    };
    crash(Options::default, before, kill_boxes, async |house, recovered, turn| {
        assert_eq!((recovered.adopted, recovered.ended), (0, 1));
        let restart = Some(FailureCode::ServerRestart);
        assert_eq!(house.end(turn.dispatch).await, (End::Failed, restart));
        let next = house.go_on(&turn, "recall").await;
        let (outcome, reply) = house.turn_end(&next).await;
        assert_eq!((outcome, reply.trim()), (TurnOutcome::Completed, "plum"));
        house.shut_down().await;
        house.is_empty().await;
    });
}

/// Kills the processes of the boxes below the state directory, and waits until they are gone.
fn kill_boxes(folder: &TempDir) {
    let run = folder.path().join("run");
    let living = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            cwd.starts_with(&run) || String::from_utf8_lossy(&words).contains(run.to_str().unwrap())
        };
        pids.filter(ours).collect::<Vec<_>>()
    };
    #[expect(clippy::disallowed_methods, reason = "a deadline of a test, outside of any runtime")]
    let begun = std::time::SystemTime::now();
    while !living().is_empty() {
        for pid in living() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        assert!(begun.elapsed().unwrap() < Duration::from_secs(30), "they do not die");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_quick_however_many_dispatches_are_over() {
    const STARTS: usize = 6;
    let folder = Arc::new(TempDir::new().unwrap());
    let (house, _) = House::at(folder.clone(), Options::default()).await;
    let model = house.ask("write a").await;
    house.dispatcher.cancel(&house.principal(), model.dispatch).await.unwrap();
    let before = house.ledger.record(model.dispatch).await.unwrap().unwrap();
    let many: Vec<u128> = (1..=10_000).collect();
    for some in many.chunks(500) {
        join_all(some.iter().map(|number| past(&house, &before, *number))).await;
    }
    house.shut_down().await;
    drop(house);
    let empty = Arc::new(TempDir::new().unwrap());
    start(empty.clone()).await;
    // One beside the other, and each as it is where nobody disturbs it.
    let (mut with, mut without) = (Duration::MAX, Duration::MAX);
    for _ in 0..STARTS {
        without = without.min(start(empty.clone()).await);
        with = with.min(start(folder.clone()).await);
    }
    assert!(with < 5 * without, "ready after {with:?}, and after {without:?} without them");
}

/// How long a start takes on this state directory, in which nothing lives.
async fn start(folder: Arc<TempDir>) -> Duration {
    let begun = SystemClock.instant();
    let (house, recovered) = House::at(folder, Options::default()).await;
    let took = SystemClock.instant().duration_since(begun);
    assert_eq!(recovered, Recovered::default());
    house.shut_down().await;
    took
}

/// Writes a dispatch that is over.
async fn past(house: &House, like: &Record, number: u128) {
    let uuid = |kind: u128| uuid::Uuid::from_u128((kind << 100) | number);
    let mut dispatch = like.dispatch.clone();
    dispatch.id = DispatchId::from_uuid(uuid(1));
    dispatch.session = SessionId::from_uuid(uuid(2));
    let at = dispatch.created;
    let (turn, prompt) = dispatch.start.turn();
    let turn = Event::TurnAccepted { turn: turn.clone(), number: 1, prompt: prompt.to_owned() };
    let session = Session {
        id: dispatch.session,
        subject: dispatch.subject,
        runner: dispatch.runner.clone(),
        home: house.workspace,
        title: String::new(),
        created: at,
        last_active: at,
        dispatch: Some(dispatch.id),
    };
    let id = dispatch.id;
    let (claims, idempotency) = ("{}".to_owned(), None);
    let new = NewDispatch { dispatch, claims, session, events: vec![turn], at, idempotency };
    house.ledger.create(new).await.unwrap();
    let record = house.ledger.open(id).await.unwrap();
    let append = Append {
        dispatch: id,
        epoch: record.epoch,
        events: vec![Event::Ended { end: End::Reaped, failure: None }],
        at,
        state: Some(State::Ended(End::Reaped)),
        cursor: None,
        recovery: None,
        durability: Durability::Synced,
    };
    house.ledger.append(append).await.unwrap();
}
