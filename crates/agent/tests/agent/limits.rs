//! Weak models, large outputs, and drivers that do not keep to the protocol.

use std::fs;

use serde_json::json;

use crate::model::{Answer, Model};
use crate::talk::{Home, lives, wait_until};

/// What one call returns.
fn call(home: &Home, tool: &'static str, arguments: serde_json::Value) -> (String, String) {
    let model = Model::new(vec![Answer::Calls(vec![(tool, arguments)]), Answer::Says("Well.")]);
    let done = home.begin(&model.url).prompt("do it");
    fs::remove_file(home.session_file()).expect("there");
    let (status, text) = done.results()[0];
    (status.to_owned(), text.to_owned())
}

#[test]
fn arguments_that_cannot_be_read_are_explained_to_the_model() {
    let home = Home::new();
    let model = Model::new(vec![
        Answer::CallsBadly("run", "{\"command\": \"ls"),
        Answer::Calls(vec![("walk", json!({}))]),
        Answer::Says("I give up."),
    ]);
    let done = home.begin(&model.url).prompt("do it");
    let results = done.results();
    assert!(results[0].1.starts_with("The arguments of `run` cannot be read: EOF"), "{results:?}");
    assert!(results[1].1.starts_with("There is no tool `walk`."), "{results:?}");
    assert_eq!(done.stop_reason(), "end_turn");
}

#[test]
fn a_call_that_fails_again_and_again_ends_the_turn() {
    let home = Home::new();
    let read = || Answer::Calls(vec![("read_file", json!({"path": "nowhere"}))]);
    let model = Model::new(vec![read(), read(), read()]);
    let done = home.begin(&model.url).prompt("do it");
    assert_eq!(done.stop_reason(), "max_turn_requests");
    assert!(done.text().starts_with("I stopped: the same call failed 3 times"), "{}", done.text());
}

#[test]
fn a_turn_has_so_many_steps() {
    let home = Home::new();
    let list = || Answer::Calls(vec![("list", json!({}))]);
    let model = Model::new(vec![list(), list()]);
    let mut talk = home.start(&model.url, &[("REMIT_AGENT_STEPS", "2")]);
    talk.open();
    let done = talk.prompt("do it");
    assert_eq!(done.stop_reason(), "max_turn_requests");
    assert!(done.text().starts_with("I stopped after 2 steps"), "{}", done.text());
}

#[test]
fn an_empty_answer_is_said_to_be_one() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Says("")]);
    assert_eq!(home.begin(&model.url).prompt("hello").text(), "The model gave an empty answer.");
}

#[test]
fn a_command_that_fails_says_how() {
    let home = Home::new();
    let (status, text) = call(&home, "run", json!({"command": "echo out; echo err >&2; exit 3"}));
    assert_eq!((&*status, &*text), ("failed", "out\nerr\n[ended with status 3]"));
}

#[test]
fn of_a_flood_the_beginning_and_the_end_are_kept() {
    let home = Home::new();
    let command = "echo begin; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end";
    let (status, text) = call(&home, "run", json!({"command": command}));
    assert_eq!(status, "completed");
    assert!(text.starts_with("begin\nxxx") && text.ends_with("xxx\nend\n"));
    assert!(text.len() < 66_000 && text.contains("bytes left out"));
}

#[test]
fn a_command_that_never_ends_is_ended_however_much_it_writes() {
    let home = Home::new();
    for command in ["sleep 600", "yes", "trap '' TERM INT; while :; do sleep 1; done"] {
        let ask = json!({"command": command, "timeout_seconds": 1});
        let (status, text) = call(&home, "run", ask);
        assert_eq!(status, "failed", "{command}");
        assert!(text.ends_with("[ended after 1 s: its time was up]"), "{command}");
    }
}

#[test]
fn what_a_command_leaves_running_is_ended_with_it() {
    let home = Home::new();
    let (status, text) = call(&home, "run", json!({"command": "sleep 600 & echo $!"}));
    assert_eq!(status, "completed");
    wait_until("the process ends", || !lives(&text));
}

#[test]
fn only_regular_files_are_opened() {
    let home = Home::new();
    call(&home, "run", json!({"command": "mkfifo pipe"}));
    for (tool, arguments) in [
        ("read_file", json!({"path": "pipe"})),
        ("write_file", json!({"path": "pipe", "content": "x"})),
        ("edit_file", json!({"path": "pipe", "old": "x", "new": "y"})),
        ("read_file", json!({"path": "/dev/zero"})),
        ("read_file", json!({"path": "."})),
    ] {
        let (status, text) = call(&home, tool, arguments);
        assert!(status == "failed" && text.ends_with("is not a regular file"), "{tool}: {text}");
    }
    assert_eq!(call(&home, "search", json!({"pattern": "x"})).0, "completed");
}

#[test]
fn files_are_read_in_parts_edited_at_one_place_and_searched() {
    let home = Home::new();
    fs::write(home.workspace().join("a.txt"), "one\nTwo\nthree\ntwo\n").expect("writable");
    let check = |tool, arguments, expected: (&str, &str)| {
        let (status, text) = call(&home, tool, arguments);
        let text = text.replace(&format!("{}/", home.workspace().display()), "");
        assert_eq!((&*status, &*text), expected);
    };
    let part = json!({"path": "a.txt", "offset": 2, "limit": 1});
    check("read_file", part, ("completed", "Two\n\n[2 more lines; read on from line 3]"));
    check("search", json!({"pattern": "two"}), ("completed", "a.txt:2: Two\na.txt:4: two"));
    check("search", json!({"pattern": "Two"}), ("completed", "a.txt:2: Two"));
    check("search", json!({"pattern": "["}), ("completed", "No line of 1 files contains it."));
    let edit = |old| json!({"path": "a.txt", "old": old, "new": "2"});
    check("edit_file", edit("four"), ("failed", "`old` does not stand in a.txt"));
    check("edit_file", edit("e"), ("failed", "`old` stands 3 times in a.txt; give more of it"));
    check("edit_file", edit("Two\n"), ("completed", "Edited a.txt."));
    assert_eq!(home.read("a.txt"), "one\n2three\ntwo\n");
    check("list", json!({}), ("completed", "a.txt"));
}

#[test]
fn who_does_not_keep_to_the_protocol_is_told_so() {
    let home = Home::new();
    let mut talk = home.start("http://127.0.0.1:1", &[]);
    let codes = [
        ("session/prompt", json!({"sessionId": "x", "prompt": []}), -32602),
        ("session/new", json!({"cwd": "relative"}), -32602),
        ("weather/today", json!({}), -32601),
    ];
    for (method, params, code) in codes {
        assert_eq!(talk.ask(method, &params)["error"]["code"], code, "{method}");
    }
    talk.say(&json!("no object"));
    assert_eq!(talk.hear()["error"]["code"], -32700);
    assert_eq!(talk.ask("initialize", &json!({}))["result"]["protocolVersion"], 1);
    talk.open();
    assert_eq!(talk.ask("session/new", &json!({"cwd": "/"}))["error"]["code"], -32600);
}

#[test]
fn one_turn_runs_at_a_time() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Hangs]);
    let mut talk = home.begin(&model.url);
    talk.begin_prompt("think");
    model.messages();
    talk.begin_prompt("and this");
    assert_eq!(talk.hear()["error"]["message"], "a turn is running; cancel it first");
    drop(talk); // the end of its input ends the turn, and the call to the model
    assert!(model.request().is_null());
}
