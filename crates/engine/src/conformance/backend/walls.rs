//! What a box sees and may do.

use std::fs;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use model::{InputTrust, Mode};

use super::field::{Field, changes, soon, text, until};
use crate::line::FromBox;
use crate::port::{Door, Exit, StartError};

pub(super) async fn changes_are_found_per_mount_and_never_in_the_checkout(field: &Field<'_>) {
    let mut launch = field.launch();
    launch.mounts = vec![
        field.mount("/workspace/mine", Mode::ReadWrite),
        field.mount("/workspace/theirs", Mode::ReadOnly),
        field.mount("/workspace/ours", Mode::Propose),
    ];
    let checkouts: Vec<_> = launch.mounts.iter().map(|mount| mount.checkout.clone()).collect();
    let mut alive = field.start(launch).await;
    let script = "for name in mine theirs ours; do cat $name/folder/deep.md; \
        echo changed >> $name/note.md; echo new > $name/folder/$name; done; echo done";
    alive.run(script).await;
    let expected = ["deep", "deep", "deep", "done"].map(str::to_owned).to_vec();
    assert_eq!(alive.output().await, (expected, Some(0)));
    soon("a box is killed", alive.running.kill()).await.expect("a box can be killed");
    soon("the box ends", alive.running.wait()).await;
    for (mount, name) in [(0, "mine"), (2, "ours")] {
        let changes = changes(&*alive.running, mount).expect("it can be written");
        assert_eq!(text(&changes, "note.md").as_deref(), Some("as it was\nchanged\n"));
        assert_eq!(text(&changes, &format!("folder/{name}")).as_deref(), Some("new\n"));
    }
    if field.isolates() {
        assert!(changes(&*alive.running, 1).is_none(), "what is read-only has no changes");
    }
    assert!(alive.running.delta(3).is_err(), "there is no fourth mount");
    alive.destroy().await;
    for checkout in checkouts {
        let note = fs::read_to_string(checkout.join("note.md")).expect("the checkout stays");
        assert_eq!(note, "as it was\n", "a checkout never changes");
        let deep = fs::read_dir(checkout.join("folder")).expect("the checkout stays").count();
        assert_eq!(deep, 1, "a checkout never changes");
    }
    field.nothing_is_left().await;
}

pub(super) async fn the_session_is_there_before_the_agent_and_after_the_box(field: &Field<'_>) {
    let prepare = |folder: std::os::fd::OwnedFd| {
        let root = format!("/proc/self/fd/{}", folder.as_raw_fd());
        fs::create_dir(format!("{root}/deep"))?;
        fs::write(format!("{root}/deep/session.jsonl"), "{\"turn\":1}\n")
    };
    let mut alive = field.start_prepared(field.launch(), Box::new(prepare)).await;
    let session = alive.running.path(Path::new("/session"));
    let script = format!(
        "cd {}; cat deep/session.jsonl; echo '{{\"turn\":2}}' >> deep/session.jsonl; echo x > new",
        session.display()
    );
    alive.run(&script).await;
    assert_eq!(alive.output().await, (vec!["{\"turn\":1}".to_owned()], Some(0)));
    let read = |alive: &super::field::Alive| {
        let session = alive.running.session().expect("the session can be read");
        (text(&session, "deep/session.jsonl"), text(&session, "new"))
    };
    let expected = (Some("{\"turn\":1}\n{\"turn\":2}\n".to_owned()), Some("x\n".to_owned()));
    assert_eq!(read(&alive), expected, "while the box lives");
    soon("a box is killed", alive.running.kill()).await.expect("a box can be killed");
    soon("the box ends", alive.running.wait()).await;
    assert_eq!(read(&alive), expected, "after the box");
    alive.destroy().await;
    field.nothing_is_left().await;
}

pub(super) async fn the_doors_lead_from_the_box_to_the_gate(field: &Field<'_>) {
    let mut alive = field.start(field.launch()).await;
    let doors = alive.running.doors().expect("the doors");
    assert!(alive.running.doors().expect("no doors").is_empty(), "doors are given out once");
    let url = alive.running.gate_url();
    let address = url.strip_prefix("http://").expect("a plain URL").replace(':', "/");
    alive.run(&format!("bash -c 'echo to the gate > /dev/tcp/{address}'")).await;
    let mut heard = None;
    until("the agent calls the gate", || {
        heard = heard.take().or_else(|| doors.iter().find_map(|door| call(door).ok()));
        heard.is_some()
    })
    .await;
    assert_eq!(heard.as_deref(), Some("to the gate\n"));
    assert_eq!(alive.output().await, (Vec::new(), Some(0)));
    let by_socket = doors.iter().any(|door| matches!(door, Door::Unix(_)));
    assert!(by_socket, "there is a socket beside the port");
    alive.destroy().await;
    field.nothing_is_left().await;
}

/// What the next caller at a door says; an error where there is none.
fn call(door: &Door) -> io::Result<String> {
    let mut said = String::new();
    match door {
        Door::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            let mut caller: TcpStream = listener.accept()?.0;
            caller.set_nonblocking(false)?;
            caller.read_to_string(&mut said)?;
        }
        Door::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let mut caller: UnixStream = listener.accept()?.0;
            caller.set_nonblocking(false)?;
            caller.read_to_string(&mut said)?;
        }
    }
    Ok(said)
}

pub(super) async fn a_frozen_box_stands_still(field: &Field<'_>) {
    let mut alive = field.start(field.launch()).await;
    alive.run("while :; do echo tick; sleep 0.001; done").await;
    assert_eq!(alive.line().await, "tick");
    if soon("a box is frozen", alive.running.freeze())
        .await
        .expect("a box can be frozen, or not at all")
    {
        // What was on its way arrives, however much; then there is silence.
        let silence = Duration::from_millis(300);
        let falls_silent = async {
            while let Ok(said) = tokio::time::timeout(silence, alive.line.next()).await {
                assert!(matches!(said, FromBox::Line { .. }), "{said:?}");
            }
        };
        soon("a frozen box falls silent", falls_silent).await;
        soon("a box is thawed", alive.running.thaw()).await.expect("a frozen box can be thawed");
        assert_eq!(alive.line().await, "tick");
        soon("a box is frozen", alive.running.freeze()).await.expect("a box can be frozen again");
    }
    alive.destroy().await;
    field.nothing_is_left().await;
}

pub(super) async fn untrusted_input_runs_behind_walls_or_not_at_all(field: &Field<'_>) {
    let mut launch = field.launch();
    launch.input_trust = InputTrust::Untrusted;
    launch.mounts[0].mode = Mode::Propose;
    let start = field.backend.start(launch, Box::new(|_| Ok(())));
    let started = soon("a start", start).await;
    match started {
        Ok(running) => {
            assert!(field.isolates(), "untrusted input runs without walls");
            soon("a box is destroyed", running.destroy()).await.expect("a box can be destroyed");
        }
        Err(StartError::Wall { wall, .. }) => {
            assert!(!field.stands(&wall), "refused for want of `{wall}`, which stands");
        }
        Err(other) => unreachable!("untrusted input is refused for a wall or not at all: {other}"),
    }
    field.nothing_is_left().await;
}

pub(super) async fn memory_is_limited(field: &Field<'_>) {
    if !field.stands("memory_limit") {
        return;
    }
    let mut launch = field.launch();
    launch.limits.memory_bytes_max = 64 << 20;
    let mut alive = field.start(launch).await;
    alive.run("head -c 300000000 /dev/zero | tail -c 300000000 > /dev/null").await;
    // The kernel chooses what it kills: the agent, or the whole box.
    while !matches!(alive.next().await, FromBox::AgentExited { .. } | FromBox::Lost) {}
    alive.line.stop(Duration::ZERO).ok();
    let exit = soon("the box ends", alive.running.wait()).await;
    assert_eq!(exit, Exit::OutOfMemory);
    alive.destroy().await;
    field.nothing_is_left().await;
}

pub(super) async fn processes_are_limited(field: &Field<'_>) {
    if !field.stands("pids_limit") {
        return;
    }
    let mut launch = field.launch();
    launch.limits.pids_max = 20;
    let mut alive = field.start(launch).await;
    let bomb = "i=0; while [ $i -lt 60 ]; do sleep 100 & i=$((i+1)); done; echo all started";
    alive.run(bomb).await;
    let mut said = Vec::new();
    loop {
        match alive.next().await {
            FromBox::Line { bytes, .. } => said.push(bytes),
            FromBox::AgentExited { .. } | FromBox::Lost => break,
            _ => {}
        }
    }
    let stats = alive.running.stats().await;
    assert!(stats.pids.is_none_or(|pids| pids <= 20), "{stats:?}");
    assert!(!said.iter().any(|line| line == b"all started"), "sixty processes where 20 may be");
    alive.destroy().await;
    field.nothing_is_left().await;
}
