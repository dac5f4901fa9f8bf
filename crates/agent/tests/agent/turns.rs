//! Turns: the loop, its tools, the stop, and a model that is away.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use serde_json::json;

use crate::model::{Answer, Model};
use crate::talk::{Home, lives, wait_until};

#[test]
fn a_turn_calls_tools_and_tells_the_model_what_came_of_them() {
    let home = Home::new();
    let write = ("write_file", json!({"path": "notes/a.md", "content": "hello\n"}));
    let edit = ("edit_file", json!({"path": "notes/a.md", "old": "hello", "new": "good day"}));
    let model = Model::new(vec![Answer::Calls(vec![write, edit]), Answer::Says("Done, twice.")]);
    let done = home.begin(&model.url).prompt("write and edit");
    assert_eq!(done.stop_reason(), "end_turn");
    assert_eq!(home.read("notes/a.md"), "good day\n");
    assert_eq!(done.text(), "Done, twice.");
    let path = home.workspace().join("notes/a.md");
    assert_eq!(
        done.updates[..2],
        [
            json!({
                "sessionUpdate": "tool_call",
                "toolCallId": "call_1",
                "title": "Write notes/a.md",
                "kind": "edit",
                "status": "in_progress",
                "rawInput": {"path": "notes/a.md", "content": "hello\n"},
                "locations": [{"path": path}],
                "_meta": {"toolName": "write_file"},
            }),
            json!({
                "sessionUpdate": "tool_call_update",
                "toolCallId": "call_1",
                "status": "completed",
                "content": [
                    {"type": "content", "content": {
                        "type": "text",
                        "text": format!("Wrote 6 bytes to {}.", path.display()),
                    }},
                    {"type": "diff", "path": path, "oldText": null, "newText": "hello\n"},
                ],
            }),
        ]
    );
    let roles = |messages: Vec<serde_json::Value>| {
        messages.iter().map(|message| message["role"].to_string()).collect::<String>()
    };
    assert_eq!(roles(model.messages()), r#""system""user""#);
    let second = model.messages();
    assert_eq!(second[3]["tool_call_id"], "call_1");
    assert_eq!(second[4]["tool_call_id"], "call_2");
    assert_eq!(roles(second), r#""system""user""assistant""tool""tool""#);
}

#[test]
fn the_model_is_asked_to_say_what_it_used() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Says("Hello.")]);
    home.begin(&model.url).prompt("hi");
    let request = model.request();
    assert_eq!(request["stream"], true);
    assert_eq!(request["stream_options"], json!({"include_usage": true}));
}

#[test]
fn a_model_that_does_not_stream_is_heard_too() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Whole("All at once.")]);
    assert_eq!(home.begin(&model.url).prompt("hello").text(), "All at once.");
}

#[test]
fn an_answer_without_end_is_an_error_that_says_so() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Endless("and on and on ")]);
    let error = home.begin(&model.url).prompt("talk for ever").answer["error"].take();
    let message = "the model's answer is longer than 16 MiB of its stream; ask for less at once";
    assert_eq!(error["message"], message);
}

#[test]
fn a_stopped_turn_breaks_off_the_call_to_the_model() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Hangs, Answer::Says("Here again.")]);
    let mut talk = home.begin(&model.url);
    talk.begin_prompt("think for long");
    model.messages();
    talk.cancel();
    assert_eq!(talk.done().stop_reason(), "cancelled");
    assert!(model.request().is_null());
    assert_eq!(talk.prompt("still there?").text(), "Here again.");
}

#[test]
fn a_stopped_turn_ends_its_command_with_all_it_started() {
    let home = Home::new();
    let command = "sleep 600 & echo $! > child; echo $$ > shell; wait";
    let run = ("run", json!({"command": command}));
    let never = ("write_file", json!({"path": "never", "content": ""}));
    let model = Model::new(vec![Answer::Calls(vec![run, never]), Answer::Says("Fine.")]);
    let mut talk = home.begin(&model.url);
    talk.begin_prompt("sleep");
    let pids = || ["child", "shell"].map(|name| fs::read_to_string(home.workspace().join(name)));
    wait_until("the command runs", || {
        pids().iter().all(|pid| pid.as_ref().is_ok_and(|pid| pid.ends_with('\n')))
    });
    talk.cancel();
    let done = talk.done();
    assert_eq!(done.stop_reason(), "cancelled");
    assert_eq!(done.results(), [("failed", "[stopped]")]);
    for pid in pids() {
        let pid = pid.expect("was there");
        wait_until("the processes end", || !lives(&pid));
    }
    assert!(!home.workspace().join("never").exists());
    talk.prompt("and now?");
    model.messages();
    let second = model.messages();
    assert_eq!(second[4]["content"], "The call was stopped before it began.");
}

#[test]
fn a_model_that_was_away_is_asked_again_and_nothing_is_said_twice() {
    let home = Home::new();
    let model = Model::new(vec![
        Answer::Status(503, "busy"),
        Answer::Breaks("The answer is "),
        Answer::Says("The answer is 42."),
    ]);
    let done = home.begin(&model.url).prompt("what is it?");
    assert_eq!((done.stop_reason(), &*done.text()), ("end_turn", "The answer is 42."));
}

#[test]
fn a_model_that_nobody_serves_yet_is_waited_for() {
    let home = Home::new();
    // Bound, so that it is nobody else's, and not listened at yet: who connects is refused.
    let reserved = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&reserved, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listener = TcpListener::from(reserved);
    let address = listener.local_addr().expect("bound");
    let mut talk = home.begin(&format!("http://{address}"));
    talk.begin_prompt("hello");
    wait_until("the turn has begun", || {
        fs::read_to_string(home.session_file()).is_ok_and(|file| file.contains("hello"))
    });
    listen(&listener, 8).expect("it is bound");
    let _model = Model::on(listener, vec![Answer::Says("Back.")]);
    assert_eq!(talk.done().text(), "Back.");
}

#[test]
fn a_stop_does_not_wait_for_a_model_that_is_away() {
    let home = Home::new();
    let mut talk = home.begin("http://127.0.0.1:1");
    talk.begin_prompt("hello");
    talk.cancel();
    assert_eq!(talk.done().stop_reason(), "cancelled");
}

#[test]
fn a_model_that_refuses_is_an_error_with_its_words() {
    let home = Home::new();
    let model = Model::new(vec![
        Answer::Status(401, r#"{"error":{"message":"no such key"}}"#),
        Answer::Says("Yes."),
    ]);
    let mut talk = home.begin(&model.url);
    let error = talk.prompt("hello").answer["error"].take();
    assert_eq!(error["data"]["kind"], "model");
    assert_eq!(error["message"], "the model refused the request (HTTP 401): no such key");
    assert_eq!(talk.prompt("now?").text(), "Yes.");
}

#[test]
fn nothing_is_changed_that_the_person_refuses() {
    let home = Home::new();
    let write = |path| ("write_file", json!({"path": path, "content": "x"}));
    let read = ("list", json!({}));
    let calls = vec![read, write("a"), write("b"), write("c")];
    let model = Model::new(vec![Answer::Calls(calls), Answer::Says("Well.")]);
    let mut talk = home.start(&model.url, &[("REMIT_AGENT_ASKS", "writes")]);
    talk.open();
    talk.begin_prompt("write");
    for option in ["reject_once", "allow_always"] {
        let question = talk.done().answer;
        assert_eq!(question["method"], "session/request_permission");
        let outcome = json!({"outcome": {"outcome": "selected", "optionId": option}});
        talk.say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": outcome}));
    }
    assert_eq!(talk.done().stop_reason(), "end_turn");
    let there = ["a", "b", "c"].map(|name| home.workspace().join(name).exists());
    assert_eq!(there, [false, true, true]);
}
