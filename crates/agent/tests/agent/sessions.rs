//! The session file: what another process makes of it, whole or broken.

use std::fs;

use serde_json::{Value, json};

use crate::model::{Answer, Model};
use crate::talk::{Home, SESSION};

/// A home with a conversation of one turn in which a tool was called.
fn spoken() -> Home {
    let home = Home::new();
    let list = ("list", json!({}));
    let model = Model::new(vec![Answer::Calls(vec![list]), Answer::Says("I will remember plum.")]);
    home.begin(&model.url).prompt("remember plum");
    home
}

fn append(home: &Home, text: &str) {
    let file = fs::read_to_string(home.session_file()).expect("there");
    fs::write(home.session_file(), file + text).expect("writable");
}

#[test]
fn another_process_continues_the_conversation() {
    let home = spoken();
    let model = Model::new(vec![Answer::Says("It was plum.")]);
    let mut talk = home.start(&model.url, &[]);
    let loaded = talk.load();
    let kinds = loaded.updates.iter().map(|update| update["sessionUpdate"].as_str().expect("text"));
    let expected = ["user_message_chunk", "tool_call", "tool_call_update", "agent_message_chunk"];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    assert_eq!(talk.prompt("which word?").text(), "It was plum.");
    let contents =
        model.messages().iter().map(|message| message["content"].clone()).collect::<Vec<_>>();
    assert_eq!(contents[1], "remember plum");
    assert_eq!(contents[4..], [json!("I will remember plum."), json!("which word?")]);
}

#[test]
fn a_last_line_that_was_being_written_is_taken_off() {
    let home = spoken();
    let before = fs::read_to_string(home.session_file()).expect("there");
    append(&home, r#"{"role":"user","conte"#);
    let model = Model::new(vec![Answer::Says("Yes.")]);
    let mut talk = home.start(&model.url, &[]);
    assert!(talk.load().answer["result"].is_object());
    assert_eq!(fs::read_to_string(home.session_file()).expect("there"), before);
    assert_eq!(talk.prompt("go on").stop_reason(), "end_turn");
}

#[test]
fn a_call_that_was_running_when_the_agent_was_killed_is_settled() {
    let home = spoken();
    append(
        &home,
        "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_2\",\"type\":\"function\",\
         \"function\":{\"name\":\"run\",\"arguments\":\"{}\"}}]}\n",
    );
    let model = Model::new(vec![Answer::Says("Yes.")]);
    let mut talk = home.start(&model.url, &[]);
    talk.load();
    talk.prompt("go on");
    let messages = model.messages();
    let settled = &messages[messages.len() - 2];
    assert_eq!((&settled["role"], &settled["tool_call_id"]), (&json!("tool"), &json!("call_2")));
}

fn refusal(home: &Home) -> Value {
    home.start("http://127.0.0.1:1", &[]).load().answer["error"].take()
}

#[test]
fn a_session_file_that_cannot_be_read_is_an_error_of_its_kind() {
    let missing = refusal(&Home::new());
    assert_eq!(missing["data"]["kind"], "session");
    assert_eq!(missing["message"], format!("there is no session `{SESSION}`: its file is missing"));
    for (content, line) in [("", 1), ("\0\0\0\n", 1), ("{\"remit_session\":9,\"id\":\"x\"}\n", 1)] {
        let home = Home::new();
        fs::write(home.session_file(), content).expect("writable");
        let error = refusal(&home);
        assert_eq!(error["data"]["kind"], "session", "{content:?}");
        let message = error["message"].as_str().expect("text");
        assert!(message.contains(&format!("line {line} ")), "{message}");
    }
    let home = spoken();
    append(&home, "{\"role\":\"weather\"}\n");
    let message = refusal(&home)["message"].take();
    assert!(
        message.as_str().is_some_and(|text| text.contains("line 6 is no message")),
        "{message}"
    );
}

#[test]
fn a_session_file_is_a_file_below_its_folder() {
    let home = Home::new();
    std::os::unix::fs::symlink("/etc/passwd", home.session_file()).expect("a link");
    assert_eq!(refusal(&home)["data"]["kind"], "session");
    let mut talk = home.start("http://127.0.0.1:1", &[]);
    let params = json!({"sessionId": "../x", "cwd": "/", "mcpServers": []});
    let answer = talk.ask("session/load", &params);
    assert_eq!(answer["error"]["message"], "`../x` is no id of a session");
}

#[test]
fn a_new_conversation_does_not_write_over_an_old_one() {
    let home = spoken();
    let mut talk = home.start("http://127.0.0.1:1", &[]);
    let answer = talk.ask("session/new", &json!({"cwd": "/", "mcpServers": []}));
    assert_eq!(answer["error"]["data"]["kind"], "session");
}
