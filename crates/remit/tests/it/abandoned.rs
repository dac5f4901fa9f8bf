//! A server dies and never comes back: what it left ends by itself, and other servers tidy up after it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::{DEADLINE, Folder, Server, Start, Stream, backend};
use crate::leftovers::{Traces, group_of, groups};

/// How long the sandboxes of these tests go on without a server; a slow one is not away for so long.
const AWAY: &str = "6";

/// Waits until no process of a box is left. Nobody but the box itself does anything about that.
async fn ends_by_itself(folder: &Folder) {
    let gone = async {
        while !Traces::of(folder).processes.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(DEADLINE, gone).await;
    assert!(gone.is_ok(), "a box of nobody lives: {:#?}", Traces::of(folder));
}

/// Asks for a turn, and waits until the server is gone.
async fn dies_in(server: &mut Server, prompt: &str) {
    let request = server.client().request("POST", "/agent/chat").json(&json!({"prompt": prompt}));
    if let Some(mut stream) = Stream::attempt(request).await {
        while stream.next().await.is_some() {}
    }
    assert_eq!(server.ended().signal(), Some(9), "{}", server.log());
}

fn is_frozen(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}

#[tokio::test]
async fn a_box_that_was_held_still_for_a_commit() {
    let folder = Folder::new();
    let start = Start::on(&folder).setting("limits.away_s", AWAY);
    let mut server = start.variable("REMIT_KILL_POINT", "after_freeze").server();
    let spread =
        "run setsid sleep 600 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do true; done";
    dies_in(&mut server, spread).await;
    let left = Traces::of(&folder);
    if backend() == "native" {
        assert!(left.processes.len() >= 3, "the worker, the agent and its child: {left:#?}");
        assert!(left.groups.iter().any(|group| is_frozen(group)), "nothing is frozen: {left:#?}");
    }
    ends_by_itself(&folder).await;
}

#[tokio::test]
async fn a_box_in_the_middle_of_a_turn() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("limits.away_s", AWAY).server();
    let me = server.client();
    let mut stream = me.chat(json!({"prompt": "run true; sleep 600"})).await;
    while stream.next().await.expect("it goes on").event != "tool-result" {}
    assert!(!Traces::of(&folder).processes.is_empty());
    server.kill();
    ends_by_itself(&folder).await;
}

#[tokio::test]
async fn the_control_groups_of_a_data_folder_that_is_gone() {
    if backend() != "native" {
        return;
    }
    let lost = Folder::new();
    let server = Start::on(&lost).setting("limits.away_s", AWAY).server();
    server.client().turn(json!({"prompt": "say 2 words"})).await.ok();
    let group = group_of(&lost.data().canonicalize().expect("the server made it"));
    server.kill();
    ends_by_itself(&lost).await;
    drop(lost);
    let living = Folder::new();
    let other = Server::start(&living);
    let gone = async {
        // Sweeping is not what a start waits for.
        while !groups(&group).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(DEADLINE, gone).await;
    assert!(gone.is_ok(), "these stay: {:#?}", groups(&group));
    other.client().turn(json!({"prompt": "say 2 words"})).await.ok();
}
