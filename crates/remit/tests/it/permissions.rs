//! Questions of agents: asked where a dispatch says so, answered by a person, refused by time, kept
//! over kill -9.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, DEADLINE, Folder, Server, Start, Stream, backend};

/// Says something with questions on; its dispatch, and the frames that follow.
async fn ask(me: &Client, prompt: &str) -> (String, Stream) {
    let request = me.request("POST", "/agent/chat?permissions=ask");
    let stream = Stream::of(request.json(&json!({"prompt": prompt}))).await;
    (stream.header("x-unit-id"), stream)
}

/// The question of a dispatch, once it waits.
async fn question(me: &Client, dispatch: &str) -> Value {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let all = me.get("/agent/permissions").await.ok();
            let all = all["permissions"].as_array().expect("a list").clone();
            if let Some(found) = all.into_iter().find(|it| it["dispatch"] == dispatch) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("a question in time")
}

fn path(question: &Value) -> String {
    let text = |name: &str| question[name].as_str().expect("text");
    format!("/agent/dispatches/{}/permissions/{}", text("dispatch"), text("ask"))
}

async fn answered(me: &Client, dispatch: &str) -> Value {
    let events = me.events(dispatch).await;
    let found = events.iter().find(|entry| entry["event"]["type"] == "permission_answered");
    found.expect("it is in the stream")["event"].clone()
}

#[tokio::test]
async fn a_person_sees_all_of_a_call_and_allows_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let (dispatch, mut stream) = ask(&me, "write Hello to a.md").await;
    let asked = question(&me, &dispatch).await;
    assert_eq!(asked["tool"], "write_file", "{asked}");
    assert_eq!(asked["arguments"], json!({"path": "a.md", "content": "Hello"}), "{asked}");
    assert_eq!(asked["runner"], "remit");
    let (other, _) = server.person("somebody", "agent,read").await;
    assert_eq!(other.get("/agent/permissions").await.ok()["permissions"], json!([]));
    let foreign = other.post(&path(&asked), json!({"option": "allow_once"})).await;
    assert_eq!(foreign.status.as_u16(), 404, "{foreign:?}");
    let wrong = me.post(&path(&asked), json!({"option": "whatever"})).await;
    assert_eq!(wrong.status.as_u16(), 422, "{wrong:?}");
    me.post(&path(&asked), json!({"option": "allow_once"})).await.ok();
    let again = me.post(&path(&asked), json!({"option": null})).await;
    assert_eq!(again.status.as_u16(), 404, "it is answered once: {again:?}");
    let frames = stream.rest().await;
    assert!(frames.iter().any(|frame| frame.data["type"] == "commit"), "{frames:#?}");
    let user = me.get("/auth/me").await.ok()["user_id"].clone();
    let answer = answered(&me, &dispatch).await;
    assert_eq!((&answer["option"], &answer["by"]), (&json!("allow_once"), &user));
}

#[tokio::test]
async fn what_is_refused_or_not_answered_in_time_is_not_done() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let (dispatch, mut stream) = ask(&me, "write Hello to a.md").await;
    let asked = question(&me, &dispatch).await;
    let ran = folder.run(&["dispatch", "asks"]).ok();
    assert!(ran.out.contains("a.md") && ran.out.contains("allow_once"), "{ran:?}");
    folder.run(&["dispatch", "answer", &dispatch, asked["ask"].as_str().expect("text")]).ok();
    let frames = stream.rest().await;
    assert!(!frames.iter().any(|frame| frame.data["type"] == "commit"), "{frames:#?}");
    let answer = answered(&me, &dispatch).await;
    assert_eq!(answer["option"], Value::Null);
    assert_ne!(answer["by"], "time-out");
    assert!(server.stop().success());

    let server = Start::on(&folder).setting("limits.permission_s", "1").server();
    let me = server.client();
    let (dispatch, mut stream) = ask(&me, "write Hello to b.md").await;
    let frames = stream.rest().await;
    assert!(!frames.iter().any(|frame| frame.data["type"] == "commit"), "{frames:#?}");
    let answer = answered(&me, &dispatch).await;
    assert_eq!((&answer["option"], &answer["by"]), (&Value::Null, &json!("time-out")));
    assert_eq!(me.get("/agent/permissions").await.ok()["permissions"], json!([]));
}

#[tokio::test]
async fn a_question_survives_kill_9_and_its_answer_reaches_the_agent() {
    if backend() != "native" {
        return; // nothing outlives its server there
    }
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (dispatch, _cut) = ask(&server.client(), "write Hello to a.md").await;
    let before = question(&server.client(), &dispatch).await;
    server.kill();
    let server = Server::start(&folder);
    let me = server.client();
    let after = question(&me, &dispatch).await;
    // The server may have died before it had written the question: then it was asked anew.
    for name in ["ask", "call", "tool", "arguments", "options"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    me.post(&path(&after), json!({"option": "allow_once"})).await.ok();
    me.until(&dispatch, "idle").await;
    let events = me.events(&dispatch).await;
    let commits = events.iter().filter(|entry| entry["event"]["type"] == "commit").count();
    assert_eq!(commits, 1, "{events:#?}");
}

#[tokio::test]
async fn an_agent_that_cannot_ask_is_not_taken_for_one_that_does() {
    let folder = Folder::new();
    let runners = folder.data().join("runners");
    std::fs::create_dir_all(&runners).expect("a folder");
    let mute = "name = \"mute\"\ntitle = \"t\"\nprogram = { folder = \"/usr\" }\nargv = [\"cat\"]\n\
        protocol = \"text\"\nmodel_api = \"openai-chat\"\nenv = { PATH = \"/usr/bin:/bin\" }\n";
    std::fs::write(runners.join("mute.toml"), mute).expect("writable");
    let server = Server::start(&folder);
    let me = server.client();
    let path = "/agent/chat?runner=mute&untested=true&permissions=ask";
    let refused = me.post(path, json!({"prompt": "hi"})).await;
    assert_eq!(refused.status.as_u16(), 422, "{refused:?}");
    assert!(refused.body.contains("cannot ask"), "{refused:?}");
    // Without it, a program that knows nothing of us answers: what it writes is what it says.
    let path = "/agent/chat?runner=mute&untested=true";
    let frames = Stream::of(me.request("POST", path).json(&json!({"prompt": "two\nlines"}))).await;
    let mut frames = frames;
    let frames = frames.rest().await;
    let done = frames.iter().find(|frame| frame.data["type"] == "done").expect("it ends");
    assert_eq!((&done.data["ok"], &done.data["reply"]), (&json!(true), &json!("two\nlines")));
}
