//! What the program is for, from outside: a conversation over two sandboxes, commits that git accepts,
//! mounts that hold, and work of several at once of which nothing is lost.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Client, Folder, Server, Stream, backend};
use crate::judge::{Repository, is_over_once, of_type, only};

#[tokio::test]
async fn the_second_turn_in_another_sandbox_knows_what_the_first_was_told() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, home) = (server.client(), Repository::home(&folder, &server));
    let before = home.head();
    let asked = "write hello there to notes/a.md; remember heron";
    let first = me.turn(json!({"prompt": asked, "turn_id": "t-first"})).await.ok();
    me.post(&format!("/agent/dispatches/{}/cancel", first.dispatch), json!({})).await.ok();
    me.until(&first.dispatch, "ended").await;
    let asked = json!({"prompt": "which word?; read notes/a.md", "session": first.session});
    let second = me.turn(asked).await.ok();
    assert!(second.reply().contains("heron"), "{}", second.reply());
    assert!(second.reply().contains("hello there"), "{}", second.reply());
    assert_ne!(second.dispatch, first.dispatch);

    let events = me.events(&first.dispatch).await;
    is_over_once(&events);
    let later = me.events(&second.dispatch).await;
    let (one, other) = (only(&events, "sandbox_started"), only(&later, "sandbox_started"));
    assert_ne!(one["sandbox"], other["sandbox"]);
    for started in [one, other] {
        assert_eq!(started["backend"], backend());
    }

    let commit = only(&events, "commit")["commit"].as_str().expect("a commit").to_owned();
    assert_eq!(home.head(), commit, "the second turn changed nothing");
    assert_eq!(home.file(&commit, "notes/a.md").as_deref(), Some("hello there"));
    assert_eq!(
        home.git(&["log", "-1", "--format=%an <%ae> %P", &commit]),
        format!("Owner <owner@remit.local> {before}")
    );
    assert_ne!(home.git(&["log", "-1", "--format=%cn", &commit]), "Owner", "the platform commits");
    let user = events[0]["event"]["subject"].as_str().expect("a person").to_owned();
    let launcher = format!("user {user}");
    let facts = [
        ("Dispatch", first.dispatch.as_str()),
        ("Turn", "t-first"),
        ("Subject", &user),
        ("Launcher", &launcher),
        ("Label", "trusted"),
    ];
    for (key, value) in facts {
        assert_eq!(home.trailer(&commit, key), value, "{key}");
    }
    home.is_sound(folder.path());
}

#[tokio::test]
async fn a_warm_follow_up_goes_to_the_same_sandbox() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let first = me.turn(json!({"prompt": "run echo kept > /tmp/mark"})).await.ok();
    let asked = json!({"prompt": "run cat /tmp/mark", "session": first.session});
    let second = me.turn(asked).await.ok();
    assert_eq!(second.dispatch, first.dispatch);
    assert!(second.reply().contains("kept"), "{}", second.reply());
    only(&me.events(&first.dispatch).await, "sandbox_started");
}

#[tokio::test]
async fn what_is_mounted_to_be_read_cannot_be_written() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, home) = (server.client(), Repository::home(&folder, &server));
    let before = home.head();
    let asked = json!({"prompt": "read README.md; run touch new.md; write x to README.md"});
    let entries = mounted(&me, "home:ro", asked).await;
    assert_eq!(home.head(), before);
    for kind in ["commit", "held", "refused"] {
        assert!(of_type(&entries, kind).is_empty(), "{entries:#?}");
    }
    if backend() == "native" {
        let refused = of_type(&entries, "tool_update").into_iter().filter(|update| {
            let result = update["result"].as_str().unwrap_or_default();
            update["status"] == "failed" && result.contains("Read-only file system")
        });
        assert_eq!(refused.count(), 2, "the kernel refuses both: {entries:#?}");
    }
}

#[tokio::test]
async fn what_may_only_be_proposed_is_held_whole_and_moves_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, home) = (server.client(), Repository::home(&folder, &server));
    let before = home.head();
    let asked = json!({"prompt": "write mine to idea.md"});
    let entries = mounted(&me, "home:propose", asked).await;
    assert!(of_type(&entries, "commit").is_empty(), "{entries:#?}");
    let held = only(&entries, "held");
    assert_eq!(held["reason"], "propose_only");
    assert_eq!(home.head(), before);
    let reference = held["reference"].as_str().expect("a ref");
    assert_eq!(home.git(&["rev-parse", reference]), held["commit"].as_str().expect("a commit"));
    assert_eq!(home.file(reference, "idea.md").as_deref(), Some("mine"));
    assert_eq!(home.file("main", "idea.md"), None);
    home.is_sound(folder.path());
}

/// Says something in a conversation of its own over these workspaces; all that happened.
async fn mounted(me: &Client, workspaces: &str, asked: Value) -> Vec<Value> {
    let request = me.request("POST", &format!("/agent/chat?workspace={workspaces}"));
    let mut stream = Stream::of(request.json(&asked)).await;
    let dispatch = stream.header("x-unit-id");
    stream.rest().await;
    me.events(&dispatch).await
}

#[tokio::test]
async fn two_at_once_that_write_different_files_both_land() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, home) = (server.client(), Repository::home(&folder, &server));
    let (slow, quick) = crossed(&me, "write one to a.md", "write two to b.md").await;
    let commits: BTreeSet<_> =
        [&slow, &quick].map(|it| only(it, "commit")["commit"].to_string()).into();
    assert_eq!(commits.len(), 2);
    for (path, text) in [("a.md", "one"), ("b.md", "two")] {
        assert_eq!(home.file("main", path).as_deref(), Some(text));
    }
    home.is_sound(folder.path());
}

#[tokio::test]
async fn of_two_at_once_that_write_one_file_the_later_is_held_and_nothing_is_lost() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, home) = (server.client(), Repository::home(&folder, &server));
    let (slow, quick) = crossed(&me, "write one to same.md", "write two to same.md").await;
    assert_eq!(only(&quick, "commit")["commit"], home.head().as_str());
    assert!(of_type(&slow, "commit").is_empty(), "{slow:#?}");
    let held = only(&slow, "held");
    assert_eq!((&held["reason"], &held["paths"]), (&json!("conflict"), &json!(["same.md"])));
    assert_eq!(home.file("main", "same.md").as_deref(), Some("two"));
    let reference = held["reference"].as_str().expect("a ref");
    assert_eq!(home.file(reference, "same.md").as_deref(), Some("one"));
    home.is_sound(folder.path());
}

/// One turn writes and goes on; meanwhile another writes and ends; then the first is stopped.
/// Their events.
async fn crossed(me: &Client, slow: &str, quick: &str) -> (Vec<Value>, Vec<Value>) {
    let mut first = me.chat(json!({"prompt": format!("{slow}; sleep 600")})).await;
    let (dispatch, session) = (first.header("x-unit-id"), first.header("x-chat-session"));
    while first.next().await.expect("it goes on").event != "tool-result" {}
    let second = me.turn(json!({"prompt": quick})).await.ok();
    me.post("/agent/chat/stop", json!({"session": session})).await.ok();
    first.rest().await;
    (me.events(&dispatch).await, me.events(&second.dispatch).await)
}
