//! Two servers on one machine: what one lends to its boxes the other does not.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::harness::{Folder, Server, backend};
use crate::leftovers::Traces;

/// The uids under which the boxes of a server run, as this machine sees them.
fn uids(folder: &Folder) -> BTreeSet<u32> {
    let of = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Traces::of(folder).processes.into_iter().filter_map(of).collect()
}

#[tokio::test]
async fn no_box_of_one_has_the_uid_of_a_box_of_the_other() {
    if backend() != "native" || !rustix::process::geteuid().is_root() {
        return;
    }
    let folders = [Folder::new(), Folder::new()];
    let servers = folders.each_ref().map(Server::start);
    for server in &servers {
        for _ in 0..3 {
            server.client().turn(json!({"prompt": "say 2 words"})).await.ok();
        }
    }
    let [ours, theirs] = folders.each_ref().map(uids);
    assert_eq!((ours.len(), theirs.len()), (3, 3), "{ours:?} {theirs:?}");
    assert!(ours.is_disjoint(&theirs), "{ours:?} {theirs:?}");

    // One dies, its boxes live: a third server does not get their uids, and the next one of that folder goes on.
    let [first, second] = servers;
    first.kill();
    let third = Folder::new();
    let stranger = Server::start(&third);
    stranger.client().turn(json!({"prompt": "say 2 words"})).await.ok();
    let strange = uids(&third);
    assert_eq!(strange.len(), 1);
    assert!(strange.is_disjoint(&ours) && strange.is_disjoint(&theirs), "{strange:?} {ours:?}");
    let again = Server::start(&folders[0]);
    again.client().turn(json!({"prompt": "say 2 words"})).await.ok();
    let adopted = uids(&folders[0]);
    assert!(adopted.is_superset(&ours), "adopted with their uids: {adopted:?} {ours:?}");
    assert_eq!(adopted.len(), 4);
    assert!(adopted.is_disjoint(&strange) && adopted.is_disjoint(&theirs), "{adopted:?}");
    drop(second);
}
