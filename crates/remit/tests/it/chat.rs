//! The stream of a chat: whole, resumed at every point, taken up again, left alone.

use serde_json::{Value, json};

use crate::harness::{Answer, DEADLINE, Folder, Frame, Server, Start, until};

fn kinds(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.event.as_str()).collect()
}

#[tokio::test]
async fn a_turn_shows_words_tools_the_commit_and_its_end() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let turn =
        server.client().turn(json!({"prompt": "write hello there to notes/a.md"})).await.ok();
    let kinds = kinds(&turn.frames);
    assert_eq!(kinds.first(), Some(&"turn-accepted"));
    assert_eq!(kinds[kinds.len() - 2..], ["done", "turn-complete"]);
    let call = turn.find("tool-call");
    let result = turn.find("tool-result");
    assert_eq!((&result["callId"], &result["ok"]), (&call["callId"], &json!(true)));
    assert_eq!(turn.find("commit")["sha"].as_str().map(str::len), Some(40));
    assert_eq!(turn.find("done")["sessionId"], turn.session.as_str());
    for frame in &turn.frames {
        assert_eq!(frame.data["type"], frame.event.as_str(), "the type stands in both places");
    }
}

#[tokio::test]
async fn a_stream_that_is_resumed_at_any_point_is_the_same_as_one_that_was_not_cut() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let asked = json!({"prompt": "write x to a.md; say 40 words; read a.md", "turn_id": "t-cut"});
    let whole = me.turn(asked.clone()).await.ok();
    assert!(whole.frames.len() > 8, "{:#?}", whole.frames);
    for (at, frame) in whole.frames.iter().enumerate() {
        let mut resumed = me.chat_from(asked.clone(), Some(&frame.id)).await;
        assert_eq!(resumed.header("x-unit-id"), whole.dispatch);
        assert_eq!(resumed.header("x-chat-session"), whole.session);
        let rest: Vec<String> = resumed.rest().await.into_iter().map(|it| it.raw).collect();
        let expected: Vec<_> = whole.frames[at + 1..].iter().map(|it| it.raw.clone()).collect();
        assert_eq!(rest, expected, "cut after {}", frame.raw);
    }
}

#[tokio::test]
async fn a_repeated_turn_is_taken_up_and_never_runs_twice() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let asked = json!({"prompt": "append once to log.md; sleep 1; say 3 words", "turn_id": "t-1"});
    let mut first = me.chat(asked.clone()).await;
    let mut second = me.chat(asked.clone()).await;
    assert_eq!(first.header("x-unit-id"), second.header("x-unit-id"));
    assert_eq!(first.rest().await, second.rest().await);
    assert_eq!(me.turn(asked.clone()).await.dispatch, first.header("x-unit-id"));
    let list = me.get("/agent/dispatches").await.ok();
    assert_eq!(list["dispatches"].as_array().map(Vec::len), Some(1), "{list}");
    let session = first.header("x-chat-session");
    let read = me.turn(json!({"prompt": "read log.md", "session": session})).await.ok();
    assert_eq!(read.reply().matches("once").count(), 1, "{}", read.reply());

    let other = json!({"prompt": "something else", "turn_id": "t-1", "session": session});
    let refused = me.post("/agent/chat", other).await;
    assert_eq!(refused.status.as_u16(), 409, "{refused:?}");
}

#[tokio::test]
async fn leaving_a_stream_does_not_stop_the_turn() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let asked = json!({"prompt": "sleep 1; write done to end.md", "turn_id": "t-leave"});
    let mut stream = me.chat(asked.clone()).await;
    let first = stream.next().await.expect("a frame");
    drop(stream);
    let mut again = me.chat_from(asked, Some(&first.id)).await;
    let rest = again.rest().await;
    assert!(kinds(&rest).contains(&"commit"), "{rest:#?}");
    assert_eq!(rest.last().map(|frame| frame.event.as_str()), Some("turn-complete"));
}

#[tokio::test]
async fn a_second_message_goes_to_the_living_sandbox_and_a_later_one_to_a_fresh_one() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let first = me.turn(json!({"prompt": "remember otter"})).await.ok();
    let session = &first.session;
    let warm = me.turn(json!({"prompt": "which word?", "session": session})).await.ok();
    assert_eq!(warm.dispatch, first.dispatch);
    assert!(warm.reply().contains("otter"), "{}", warm.reply());
    me.post("/agent/chat/reset", json!({"session": session})).await.ok();
    me.until(&first.dispatch, "ended").await;
    let cold = me.turn(json!({"prompt": "which word?", "session": session})).await.ok();
    assert_ne!(cold.dispatch, first.dispatch);
    assert!(cold.reply().contains("otter"), "{}", cold.reply());

    let history = me.get(&format!("/agent/sessions/{session}/history")).await.ok();
    let roles: Vec<_> = history["turns"].as_array().expect("turns").iter().collect();
    assert_eq!(roles.len(), 6, "{history}");
    assert_eq!(roles[0]["text"], "remember otter");
    let sessions = me.get("/agent/sessions").await.ok();
    assert_eq!(sessions["sessions"][0]["session"], session.as_str());
}

#[tokio::test]
async fn a_turn_that_is_stopped_ends_its_stream_and_the_conversation_goes_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let mut stream = me.chat(json!({"prompt": "sleep 60", "turn_id": "t-stop"})).await;
    let session = stream.header("x-chat-session");
    let stop = async || {
        let answer = me.post("/agent/chat/stop", json!({"session": session})).await;
        (stopped(&answer) == json!(true)).then_some(())
    };
    until("the turn is stopped", stop).await;
    let frames = stream.rest().await;
    let done = &frames[frames.len() - 2].data;
    assert_eq!((&done["type"], &done["ok"]), (&json!("done"), &json!(false)));
    let next = me.turn(json!({"prompt": "say 2 words", "session": session})).await.ok();
    assert_eq!(next.session, session);
}

fn stopped(answer: &Answer) -> Value {
    answer.json()["stopped"].clone()
}

#[tokio::test]
async fn the_events_of_a_dispatch_are_replayed_from_anywhere_in_both_forms() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let turn = me.turn(json!({"prompt": "say 5 words"})).await.ok();
    me.post(&format!("/agent/dispatches/{}/cancel", turn.dispatch), json!({})).await.ok();
    let entries = me.events(&turn.dispatch).await;
    assert_eq!(entries[0]["event"]["type"], "accepted");
    assert_eq!(entries.last().map(|it| &it["event"]["type"]), Some(&json!("ended")));
    for (at, entry) in entries.iter().enumerate() {
        let path = format!("/agent/dispatches/{}/events", turn.dispatch);
        let after = entry["id"].as_str().expect("an id");
        let request = me.request("GET", &path).header("last-event-id", after);
        let frames = crate::harness::Stream::of(request).await.rest().await;
        let data: Vec<_> = frames.into_iter().map(|frame| frame.data).collect();
        assert_eq!(data, entries[at + 1..], "after {after}");
    }
}

#[tokio::test]
async fn an_idle_sandbox_is_reaped() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("limits.idle_s", "0").server();
    let me = server.client();
    let turn = me.turn(json!({"prompt": "say 1 words"})).await.ok();
    let ended = me.until(&turn.dispatch, "ended").await;
    assert_eq!(ended["stop_reason"], "idle_timeout");
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    use tokio::io::AsyncWriteExt;
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let address = server.url().strip_prefix("http://").expect("http");
    let body = json!({"prompt": "say 20000 words", "turn_id": "t-deaf"}).to_string();
    let mut deaf = tokio::net::TcpStream::connect(address).await.expect("connected");
    let key = server.ready["key"].as_str().expect("a key");
    let head = format!(
        "POST /agent/chat HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    deaf.write_all(head.as_bytes()).await.expect("sent");
    let accepted = async || {
        let list = me.get("/agent/dispatches").await.ok();
        list["dispatches"][0]["id"].as_str().map(str::to_owned)
    };
    let dispatch = until("the turn is accepted", accepted).await;
    me.until(&dispatch, "idle").await;
    drop(deaf);
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let turn = me.turn(json!({"prompt": "say 1 words"})).await.ok();
    // What a model used may be told after the turn.
    let all = until("all is told", async || {
        let events = me.events(&turn.dispatch).await;
        let used = events.iter().any(|entry| entry["event"]["type"] == "usage");
        let over = events.iter().any(|entry| entry["event"]["type"] == "turn_ended");
        (used && over).then_some(events)
    });
    let last = all.await.last().expect("an entry")["id"].clone();
    let path = format!("/agent/dispatches/{}/events", turn.dispatch);
    let path = format!("{path}?after={}", last.as_str().expect("an id"));
    let mut silent = me.request("GET", &path).send().await.expect("the server answers");
    let said = tokio::time::timeout(DEADLINE, silent.chunk()).await.expect("in time");
    assert_eq!(said.expect("open").as_deref(), Some(b": keep-alive\n\n".as_slice()));
}
