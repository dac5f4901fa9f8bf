//! What models were asked and answered is kept where a dispatch asks for it and the server allows it.

use serde_json::{Value, json};

use crate::harness::{Client, Folder, Server, Start, Stream};

/// A turn in a sandbox that is to be recorded; the dispatch.
async fn recorded(me: &Client, prompt: &str) -> String {
    let request = me.request("POST", "/agent/chat?record=true").json(&json!({"prompt": prompt}));
    Stream::of(request).await.turn().await.dispatch
}

#[tokio::test]
async fn what_was_said_to_a_model_is_kept_and_its_owner_gets_it() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("recording.allowed", "yes").server();
    let me = server.client();
    let dispatch = recorded(&me, "write canary-words to a.md").await;
    let path = format!("/agent/dispatches/{dispatch}/recording");
    let got = me.get(&path).await;
    assert!(got.headers["content-disposition"].to_str().is_ok_and(|it| it.contains(&dispatch)));
    let lines: Vec<Value> =
        got.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown = me.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
    assert_eq!((&shown["record"], lines.len()), (&json!(true), 2), "a call of a tool, and the end");
    for line in &lines {
        let text = |name: &str| line[name].as_str().expect("a text");
        assert_eq!((text("endpoint"), text("model")), ("demo", "remit-demo"));
        assert!(text("request").contains("canary-words"), "{line:#}");
        assert!(serde_json::from_str::<Value>(text("request")).is_ok());
        assert!(text("answer").contains("data: ") && line["whole"] == true, "{line:#}");
    }
    let ran = folder.run(&["dispatch", "recording", &dispatch]).ok();
    assert_eq!(ran.json(), lines);
    let (stranger, _) = server.person("joe", "agent,read").await;
    assert_eq!(stranger.get(&path).await.status.as_u16(), 404);
    let log = server.log();
    assert!(!log.contains("canary-words"), "nothing of it is logged");
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_asked_or_it_is_not_allowed() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    for (path, body) in [
        ("/agent/chat?record=true", json!({"prompt": "say 3 words"})),
        (
            "/agent/invocations?record=true",
            json!({
                "runner": "remit",
                "workspaces": [{"id": "home", "mode": "rw"}],
                "trigger": "message",
                "start": {"entrypoint": {"inline": "say 1 words"}},
            }),
        ),
    ] {
        let request = me.request("POST", path).header("accept", "application/problem+json");
        let refused = crate::harness::Answer::of(request.json(&body)).await;
        assert_eq!(refused.status.as_u16(), 403, "{refused:?}");
        assert_eq!(refused.json()["code"], "recording-not-allowed");
    }
    let turn = me.turn(json!({"prompt": "say 3 words"})).await.ok();
    let path = format!("/agent/dispatches/{}/recording", turn.dispatch);
    assert_eq!(me.get(&path).await.status.as_u16(), 404);
}
