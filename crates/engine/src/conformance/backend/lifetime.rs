//! How boxes begin, go on and end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::worker_wire::AgentState;

use super::field::{Alive, Field, soon};
use crate::line::FromBox;
use crate::port::{AdoptError, Exit, StartError};

pub(super) async fn a_box_runs_an_agent_until_it_is_stopped(field: &Field<'_>) {
    let launch = field.launch();
    let sandbox = launch.sandbox;
    let mut alive = field.start(launch).await;
    assert_eq!(alive.running.id(), sandbox);
    assert!(alive.running.start_time() > Duration::ZERO);
    assert!(alive.running.worker().is_err(), "the worker's socket is given out once");
    alive.run("pwd; cat note.md; exit 3").await;
    let workspace = alive.running.path(Path::new("/workspace"));
    let expected = vec![workspace.display().to_string(), "as it was".to_owned()];
    assert_eq!(alive.output().await, (expected, Some(3)));
    alive.reconnect().await;
    assert_eq!(alive.next().await, FromBox::AgentExited { code: Some(3), signal: None });
    alive.run("read end").await;
    let stats = soon("what a box uses", alive.running.stats()).await;
    assert!(stats.pids.is_none_or(|pids| (2..10).contains(&pids)), "{stats:?}");
    alive.line.stop(Duration::from_secs(10)).expect("room for a stop");
    alive.output().await;
    assert_eq!(soon("the box ends", alive.running.wait()).await, Exit::Code(0));
    assert_eq!(soon("it stays ended", alive.running.wait()).await, Exit::Code(0));
    alive.destroy().await;
    field.nothing_is_left().await;
}

pub(super) async fn a_killed_box_leaves_nothing(field: &Field<'_>) {
    let mut alive = field.start(field.launch()).await;
    alive.run("trap '' TERM; setsid sleep 1000 & sleep 1000 & echo up; wait").await;
    assert_eq!(alive.line().await, "up");
    soon("a box is killed", alive.running.kill()).await.expect("a box can be killed");
    assert_eq!(soon("the box ends", alive.running.wait()).await, Exit::Signal(9));
    alive.destroy().await;
    field.nothing_is_left().await;

    // Without a kill before, in the middle of its work.
    let mut alive = field.start(field.launch()).await;
    alive.run("while :; do echo working; done").await;
    assert_eq!(alive.line().await, "working");
    alive.destroy().await;
    field.nothing_is_left().await;
}

pub(super) async fn a_start_that_fails_leaves_nothing(field: &Field<'_>) {
    let mut launch = field.launch();
    launch.mounts[0].checkout = PathBuf::from("/no/such/checkout");
    let failed = soon("a start", field.backend.start(launch, Box::new(|_| Ok(())))).await;
    let path = match failed {
        Err(StartError::Mount { path, .. }) => Some(path),
        _ => None,
    };
    assert_eq!(path, Some(PathBuf::from("/no/such/checkout")), "a missing folder is named");
    field.nothing_is_left().await;

    let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
    let failed = field.backend.start(field.launch(), Box::new(move |_| full())).await;
    assert!(failed.is_err(), "a session that cannot be prepared fails the start");
    field.nothing_is_left().await;
}

pub(super) async fn a_start_that_is_given_up_leaves_nothing(field: &Field<'_>) {
    for patience in [0, 1, 5, 20] {
        let start = field.backend.start(field.launch(), Box::new(|_| Ok(())));
        let started = tokio::time::timeout(Duration::from_millis(patience), start).await;
        if let Ok(started) = started {
            let destroyed = started.expect("a box starts").destroy().await;
            destroyed.expect("a box can be destroyed");
        }
    }
    field.nothing_is_left().await;
}

pub(super) async fn a_box_is_adopted_with_its_agent(field: &Field<'_>) {
    let mut alive = field.start(field.launch()).await;
    alive.run("echo up; while read word; do echo \"$word\" > said; echo got $word; done").await;
    assert_eq!(alive.line().await, "up");
    let (record, sandbox) = (alive.running.record(), alive.running.id());
    let gate_url = alive.running.gate_url();
    drop(alive);

    let backend = field.ground.backend().await;
    let adopted = soon("a box is adopted", backend.adopt(&record)).await;
    let mut running = adopted.expect("a living box is adopted");
    assert_eq!((running.id(), running.gate_url()), (sandbox, gate_url));
    assert!(!running.doors().expect("the doors").is_empty(), "an adopted box has its doors");
    let mut alive = Alive::new(running, 3).await;
    assert_eq!(alive.line.agent(), AgentState::Running);
    alive.next().await; // It runs, the worker says again.
    alive.line.input(1, b"hello\n").expect("room for input");
    assert_eq!(alive.line().await, "got hello");
    let changes = super::field::changes(&*alive.running, 0).expect("it can be written");
    assert_eq!(super::field::text(&changes, "said").as_deref(), Some("hello\n"));
    let record = alive.running.record();
    alive.destroy().await;
    let gone = soon("an adoption", backend.adopt(&record)).await;
    assert!(matches!(gone, Err(AdoptError::Gone)), "a box that is gone is not adopted: {gone:?}");
    let bad = soon("an adoption", backend.adopt("no record")).await;
    assert!(matches!(bad, Err(AdoptError::Destroyed(_))), "a record is checked: {bad:?}");
    field.nothing_is_left().await;
}

pub(super) async fn a_sweep_removes_what_is_not_kept(field: &Field<'_>) {
    let (mut kept, mut lost) =
        (field.start(field.launch()).await, field.start(field.launch()).await);
    kept.run("read end").await;
    lost.run("setsid sleep 1000 & read end").await;
    let (kept_id, record) = (kept.running.id(), kept.running.record());
    let lost_record = lost.running.record();
    drop((kept, lost));

    let backend = field.ground.backend().await;
    assert_eq!(soon("a sweep", backend.sweep(&[kept_id])).await.expect("a sweep"), 1);
    let gone = soon("an adoption", backend.adopt(&lost_record)).await;
    assert!(matches!(gone, Err(AdoptError::Gone)), "what is swept is gone: {gone:?}");
    let kept = soon("an adoption", backend.adopt(&record)).await.expect("what is kept lives");
    let mut kept = Alive::new(kept, 0).await;
    kept.next().await; // It runs, the worker says again.
    kept.line.close_input().expect("room to close");
    assert_eq!(kept.output().await, (Vec::new(), Some(1)));
    kept.destroy().await;
    assert_eq!(soon("a sweep", backend.sweep(&[])).await.expect("a sweep"), 0);
    field.nothing_is_left().await;
}
