//! Starting, starting again, and ending.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Folder, Server, Start};

#[tokio::test]
async fn the_first_line_tells_all_that_a_script_needs() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let fields: Vec<_> = server.ready.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["admin_key", "key", "login", "url", "workspace"]);
    let me = server.client().get("/auth/me").await.ok();
    assert_eq!(me["scopes"], json!(["agent", "read"]));
    let health = server.nobody().get("/health").await.ok();
    assert_eq!(health["status"], "ok");
    let profile = folder.data().join("profile.json");
    let mode = std::fs::metadata(&profile).expect("a profile").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let data = std::fs::metadata(folder.data()).expect("a folder").permissions().mode();
    assert_eq!(data & 0o777, 0o700);
}

#[tokio::test]
async fn no_key_stands_in_the_store_or_the_log() {
    let folder = Folder::new();
    let server = Start::on(&folder).arg("--log").arg("trace").server();
    server.client().turn(json!({"prompt": "say 1 words"})).await.ok();
    let keys =
        ["key", "admin_key"].map(|key| server.ready[key].as_str().expect("a key").to_owned());
    let log = server.log();
    assert!(server.stop().success());
    for key in keys {
        assert!(!log.contains(&key), "a key in the log");
        for entry in std::fs::read_dir(folder.data()).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_file() && !path.ends_with("profile.json") {
                let bytes = std::fs::read(&path).expect("readable");
                let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                assert!(!found, "a key in {}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_keys_workspace_and_conversations() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let first = server.client().turn(json!({"prompt": "remember plover"})).await.ok();
    let known = server.ready.clone();
    assert!(server.stop().success());
    let server = Server::start(&folder);
    for field in ["key", "admin_key", "workspace"] {
        assert_eq!(server.ready[field], known[field]);
    }
    let asked = json!({"prompt": "which word?", "session": first.session});
    let second = server.client().turn(asked).await.ok();
    assert!(second.reply().contains("plover"), "{}", second.reply());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (status, log) = Start::on(&folder).attempt().err().expect("refused");
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(log.contains("is used by the process"), "{log}");
    server.nobody().get("/health").await.ok();
}

#[tokio::test]
async fn after_kill_9_the_next_server_has_what_was_acknowledged() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let turn = server.client().turn(json!({"prompt": "write kept to k.md"})).await.ok();
    let before = server.client().events(&turn.dispatch).await;
    server.kill();
    let server = Server::start(&folder);
    let after = server.client().events(&turn.dispatch).await;
    assert_eq!(after[..before.len()], before);
}

#[test]
fn a_lost_profile_gets_new_keys() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let known = server.ready.clone();
    assert!(server.stop().success());
    std::fs::remove_file(folder.data().join("profile.json")).expect("removed");
    let server = Server::start(&folder);
    assert_ne!(server.ready["key"], known["key"]);
    assert_eq!(server.ready["workspace"], known["workspace"]);
}

#[test]
fn a_taken_port_is_told_before_anything_is_made() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ran = folder.run(&["up", "--listen", &address]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.err.contains("cannot listen on"), "{ran:?}");
    assert!(!folder.data().exists());
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops_and_goes_on_with_the_next() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut stream = server.client().chat(json!({"prompt": "say 3 words"})).await;
    let frames = stream.rest().await;
    assert_eq!(frames.last().map(|it| it.event.as_str()), Some("turn-complete"));
    let list: Value = server.client().get("/agent/dispatches").await.ok();
    let id = list["dispatches"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/agent/dispatches/{id}/events");
    let mut events = crate::harness::Stream::of(server.client().request("GET", &path)).await;
    assert!(events.next().await.is_some());
    assert!(server.stop().success());
    events.rest().await;
}

#[tokio::test]
async fn a_turn_that_runs_when_the_server_stops_ends_with_a_terminal_frame() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut stream = server.client().chat(json!({"prompt": "say 2 words; sleep 60"})).await;
    let dispatch = stream.header("x-unit-id");
    server.client().until(&dispatch, "running").await;
    server.ask_to_stop();
    let frames = stream.rest().await;
    assert!(server.ended().success());
    let [.., done, complete] = frames.as_slice() else { panic!("{frames:#?}") };
    assert_eq!((&done.data["type"], &done.data["ok"]), (&json!("done"), &json!(false)));
    assert_eq!(complete.event, "turn-complete");
}
