//! A server that is asked to stop, once or twice.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{Folder, Server};
use crate::judge::is_over_once;

#[tokio::test]
async fn asked_twice_it_ends_at_once_and_the_next_one_finds_the_rest() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let me = server.client();
    let mut stream = me.chat(json!({"prompt": "write kept to a.md; sleep 600"})).await;
    while stream.next().await.expect("it goes on").event != "tool-result" {}
    let dispatch = stream.header("x-unit-id");
    let process = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    // Both are there before it can answer either: the second comes while it stops in order.
    for signal in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        kill_process(process, signal).expect("it lives");
    }
    assert_eq!(server.ended().code(), Some(130), "{}", server.log());
    let again = Server::start(&folder);
    let me = again.client();
    me.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
    me.post(&format!("/agent/dispatches/{dispatch}/cancel"), json!({})).await.ok();
    me.until(&dispatch, "ended").await;
    is_over_once(&me.events(&dispatch).await);
    me.turn(json!({"prompt": "say 2 words"})).await.ok();
}
