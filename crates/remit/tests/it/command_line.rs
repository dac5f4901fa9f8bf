//! The command line: what it prints where, and how it ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Folder, Server, Start, ask_to_stop, ended, lines};

#[track_caller]
fn check(folder: &Folder, args: &[&str], code: i32, says: &str) {
    let ran = folder.run(args);
    assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    assert!(ran.err.contains(says), "{args:?} should say `{says}`: {ran:?}");
    assert_eq!(ran.out, "", "{args:?}: complaints go to stderr");
}

#[test]
fn without_a_server_commands_end_with_their_documented_codes() {
    let folder = Folder::new();
    check(&folder, &[], 2, "Usage: remit");
    check(&folder, &["dance"], 2, "unrecognized subcommand");
    check(&folder, &["run"], 2, "required");
    check(&folder, &["dispatch", "ls"], 7, "remit up");
    check(&folder, &["dispatch", "ls", "--url", "http://127.0.0.1:9"], 4, "no key is known");
    let away = ["dispatch", "ls", "--url", "http://127.0.0.1:9", "--key", "k"];
    check(&folder, &away, 7, "no answer from http://127.0.0.1:9\n  why: Connection refused");
    let no_url = ["dispatch", "ls", "--url", "127.0.0.1:7070", "--key", "k"];
    check(&folder, &no_url, 3, "write it as http://127.0.0.1:7070");
    check(&folder, &["key", "show"], 5, "there is no profile");
    check(&folder, &["up", "--backend", "magic"], 3, "one of native, process");
    check(&folder, &["up", "--model-url", "http://127.0.0.1:9"], 3, "model.name is not");
    check(&folder, &["up", "--log", "remit=loud"], 3, "log.filter");
    std::fs::write(folder.path().join("remit.toml"), "[server]\nlisten_on = 1").expect("written");
    check(&folder, &["config", "show"], 3, "did you mean `server.listen`?");
}

#[test]
fn what_fails_is_an_object_for_programs() {
    let folder = Folder::new();
    let ran = folder.run(&["dispatch", "ls", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(7), ""), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.err).expect("one object");
    assert_eq!((&told["exit"], &told["code"]), (&json!(7), &Value::Null));
    for part in ["error", "why", "hint"] {
        assert!(told[part].as_str().is_some_and(|it| !it.is_empty()), "{part}: {told}");
    }
}

#[test]
fn completions_and_manual_tell_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.run(&["completions", shell]).ok().out;
        for word in ["remit", "dispatch", "no-follow", "permissions"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    check(&folder, &["completions", "csh"], 2, "possible values: bash");
    let pages = folder.path().join("man1");
    folder.run(&["man", "man1"]).ok();
    let of = |name: &str| std::fs::read_to_string(pages.join(name)).expect(name);
    assert!(of("remit.1").contains("the turn ran, and the agent failed"));
    assert!(of("remit-run.1").contains("Do not wait"));
    assert!(of("remit-ws-invite.1").contains("expires"));
    std::fs::write(folder.path().join("file"), "").expect("written");
    check(&folder, &["man", "file/below"], 1, "cannot write to file/below");
}

#[test]
fn the_description_of_the_api_needs_no_server() {
    let folder = Folder::new();
    let document: Value = serde_json::from_str(&folder.run(&["openapi"]).ok().out).expect("json");
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn help_is_plain_text_where_nobody_sees_colours() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]).ok();
    assert!(help.out.contains("130  SIGINT or SIGTERM ended it"), "{help:?}");
    let run = folder.run(&["run", "--help"]).ok();
    assert!(run.out.contains("Examples:\n  remit run"), "{run:?}");
    assert!(!help.out.contains('\u{1b}') && !run.out.contains('\u{1b}'));
    let wrong = folder.run(&["run", "--sesion", "x"]);
    assert!(wrong.err.contains("'--session'") && !wrong.err.contains('\u{1b}'), "{wrong:?}");
}

/// Who reads one line and leaves, as `head -1` does, stops a command without a word.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = Folder::new();
    let mut command = folder.remit(&["openapi"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut first = String::new();
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().expect("piped"));
    stdout.read_line(&mut first).expect("a line");
    drop(stdout);
    let ended = ended(child, DEADLINE);
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_server_that_does_not_answer_is_told_from_one_that_is_not_there() {
    let folder = Folder::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let asked = ["dispatch", "ls", "--url", &url, "--key", "k"];
    let ran = folder.run_with(&asked, &[("REMIT_CLIENT__ANSWER_S", "1")]);
    assert_eq!(ran.code, Some(9), "{ran:?}");
    assert!(ran.err.contains("did not answer within 1 s"), "{ran:?}");
}

#[tokio::test]
async fn a_turn_ends_with_what_became_of_it() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("limits.turn_s", "1").server();
    let failed = folder.run(&["run", "sleep 60"]);
    assert_eq!(failed.code, Some(10), "the agent ran out of time: {failed:?}");
    drop(server);
    let server = Server::start(&folder);
    let mut command = folder.remit(&["run", "--json", "write hi to a.md; sleep 300"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let lines = lines(child.stdout.take().expect("piped"));
    while !lines.recv_timeout(DEADLINE).expect("it begins in time").contains("tool-call") {}
    ask_to_stop(child.id());
    let ended = ended(child, DEADLINE);
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    drop(server);
}

#[test]
fn the_version_and_the_configuration_are_data() {
    let folder = Folder::new();
    let version = folder.run(&["--version"]).ok();
    assert_eq!(version.out, format!("remit {}\n", env!("CARGO_PKG_VERSION")));
    let secret = [("REMIT_MODEL__KEY", "sk-canary"), ("REMIT_LIMITS__IDLE_S", "7")];
    let shown = folder.run_with(&["config", "show", "--origin"], &secret).ok();
    assert!(!shown.out.contains("sk-canary"), "{}", shown.out);
    let idle = shown.out.lines().find(|line| line.starts_with("limits.idle_s")).expect("a line");
    let words: Vec<_> = idle.split_whitespace().take(4).collect();
    assert_eq!(words, ["limits.idle_s", "7", "environment", "REMIT_LIMITS__IDLE_S"]);
    let json = folder.run_with(&["config", "show", "--json"], &secret).ok().json();
    assert_eq!(json[0]["limits.idle_s"], "7");
    assert_eq!(json[0]["model.key"], "(hidden)");
}

#[tokio::test]
async fn run_talks_to_the_running_server() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ran = folder.run(&["run", "write hi to a.md; remember wren"]).ok();
    assert!(!ran.out.is_empty(), "{ran:?}");
    assert!(ran.err.contains("commit "), "{ran:?}");
    let session = ran.err.lines().find_map(|line| line.strip_prefix("session "));
    let session = session.unwrap_or_else(|| panic!("{ran:?}"));
    let next = folder.run(&["run", "which word?", "--session", session]).ok();
    assert!(next.out.contains("wren"), "{next:?}");

    let json = folder.run(&["run", "say 2 words", "--json", "-w", "home:ro"]).ok().json();
    let finished = json.last().expect("a last line");
    assert_eq!((&finished["type"], &finished["ok"]), (&json!("finished"), &json!(true)));
    let dispatch = finished["dispatch"].as_str().expect("an id");

    let shown = folder.run(&["dispatch", "show", dispatch, "--json"]).ok().json();
    assert_eq!(shown[0]["workspaces"][0]["mode"], "ro");
    let ended = folder.run(&["dispatch", "cancel", dispatch, "--json"]).ok().json();
    assert_eq!(ended[0]["state"], "ended");
    let events = folder.run(&["dispatch", "watch", dispatch, "--json"]).ok().json();
    assert_eq!(events.last().map(|it| &it["event"]["type"]), Some(&json!("ended")));
    let ls = folder.run(&["dispatch", "ls", "--json", "--limit", "2"]).ok().json();
    assert_eq!((ls.len(), &ls[0]["id"]), (2, &json!(dispatch)));
    let sessions = folder.run(&["session", "ls", "--json"]).ok().json();
    assert_eq!(sessions.len(), 2);
    let resumed = folder.run(&["dispatch", "resume", dispatch, "say 1 words", "--json"]).ok();
    assert_ne!(resumed.json()[0]["id"], dispatch);
    drop(server);
}

#[tokio::test]
async fn commands_against_a_server_end_with_their_documented_codes() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ghost = "dsp_01jzr00000fay8vvr14d2pf2db";
    check(&folder, &["dispatch", "show", ghost], 5, "there is no dispatch");
    check(&folder, &["dispatch", "ls", "--key", "wrong"], 4, "Invalid API key");
    check(&folder, &["run", "hi", "--session", "nobody"], 5, "there is no conversation");
    check(&folder, &["run", "hi", "--runner", "none"], 2, "there is no runner");
    check(&folder, &["run", "hi", "-w", "nowhere"], 5, "there is no workspace");
    check(&folder, &["run", " "], 2, "the prompt is empty");
    check(&folder, &["key", "new", "--scopes", "admin"], 4, "more than it has");
    let detached = folder.run(&["run", "say 1 words", "--detach"]).ok();
    assert!(detached.out.starts_with("dsp_"), "{detached:?}");
    let key = folder.run(&["key", "new", "--scopes", "read", "--label", "for a test"]).ok();
    let key = key.out.trim().to_owned();
    let ls = ["dispatch", "ls", "--json", "--key", &key];
    assert_eq!(folder.run(&ls).ok().json().len(), 1);
    check(&folder, &["run", "hi", "--url", server.url(), "--key", &key], 4, "scope");
}

#[test]
fn run_needs_no_server_and_leaves_none() {
    let folder = Folder::new();
    let first = folder.run(&["run", "remember dunlin"]).ok();
    let session = first.err.lines().find_map(|line| line.strip_prefix("session "));
    let session = session.unwrap_or_else(|| panic!("{first:?}"));
    let second = folder.run(&["run", "which word?", "--session", session]).ok();
    assert!(second.out.contains("dunlin"), "{second:?}");
    check(&folder, &["dispatch", "ls"], 7, "no answer from");
    check(&folder, &["run", "hi", "--detach"], 2, "needs a server that stays");
}

#[test]
fn the_demo_holds_what_it_promises() {
    let folder = Folder::new();
    let demo = folder.run(&["demo", "--json"]).ok().json();
    let [one, other] = [0, 1].map(|at| demo[0]["sandboxes"][at]["sandbox"].clone());
    assert_ne!(one, other);
    assert_eq!(demo[0]["word"], "heron");
    assert_eq!(demo[0]["commit"].as_str().map(str::len), Some(40));
}

#[test]
fn doctor_tells_of_each_wall() {
    let folder = Folder::new();
    let findings = folder.run(&["doctor", "--json", "--backend", "process"]);
    assert_eq!(findings.code, Some(1), "the process backend does not isolate: {findings:?}");
    let findings = findings.json();
    let of = |what: &str| findings.iter().find(|it| it["what"] == what).map(|it| it["ok"].clone());
    assert_eq!(of("backend process"), Some(json!(false)));
    assert_eq!(of("worker program"), Some(json!(true)));
    assert_eq!(of("model endpoint"), Some(json!(true)));
    assert!(
        findings.iter().any(|it| it["what"].as_str().is_some_and(|it| it.starts_with("wall ")))
    );
    let lost = folder.run_with(&["doctor"], &[("REMIT_BACKEND__WORKER", "/nowhere")]);
    assert_eq!(lost.code, Some(1));
    assert!(lost.out.contains("install `remit-worker` beside `remit`"), "{lost:?}");
}

#[tokio::test]
async fn workspaces_are_read_written_and_shared_from_the_command_line() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let run = |args: &[&str]| {
        let all: Vec<&str> = ["ws"].iter().chain(args).copied().collect();
        folder.run(&all)
    };
    let made = run(&["new", "law", "--purpose", "contracts", "--json"]).ok().json();
    assert_eq!((&made[0]["name"], &made[0]["role"]), (&json!("law"), &json!("owner")));
    let list = run(&["ls", "--json"]).ok().json();
    assert_eq!((list.len(), &list[0]["name"]), (2, &json!("home")));
    std::fs::write(folder.path().join("draft.md"), "one\n").expect("written");
    let first = run(&["write", "a.md", "--file", "draft.md", "-w", "law"]).ok().out;
    std::fs::write(folder.path().join("draft.md"), "two\n").expect("written");
    let base = ["write", "a.md", "--file", "draft.md", "-w", "law", "--base", first.trim()];
    let second = run(&base).ok().out;
    let late = run(&base);
    assert_eq!((late.code, late.out.as_str()), (Some(0), second.as_str()), "it is so already");
    std::fs::write(folder.path().join("draft.md"), "three\n").expect("written");
    let late = run(&base);
    assert_eq!(late.code, Some(6), "{late:?}");
    assert!(late.err.contains("a.md changed meanwhile"), "{late:?}");
    assert_eq!(run(&["cat", "a.md", "-w", "law"]).ok().out, "two\n");
    assert_eq!(run(&["cat", "a.md", "-w", "law", "--at", first.trim()]).ok().out, "one\n");
    assert_eq!(run(&["cat", "none", "-w", "law"]).code, Some(5));
    let uploaded = run(&["upload", "draft.md", "--to", "in", "-w", "law"]).ok();
    assert!(uploaded.out.contains("in/draft.md"), "{uploaded:?}");
    let tree = run(&["tree", "-w", "law", "--json"]).ok().json();
    assert!(tree.iter().any(|it| it["path"] == "in/draft.md"), "{tree:?}");
    let diff = run(&["diff", second.trim(), "-w", "law"]).ok().out;
    assert!(
        diff.contains("modified a.md") && diff.contains("-one") && diff.contains("+two"),
        "{diff}"
    );
    run(&["revert", second.trim(), "-w", "law"]).ok();
    let log = run(&["log", "a.md", "-w", "law", "--json"]).ok().json();
    assert_eq!((log.len(), &log[0]["subject"]), (3, &json!("Revert \"Write a.md\"")));
    run(&["rm", "a.md", "-w", "law"]).ok();
    let activated = run(&["activate", "law", "--json"]).ok().json();
    assert_eq!(activated[0]["active"], true);
    let invite = run(&["invite", "viewer", "-w", "law"]).ok();
    assert!(invite.out.starts_with("rmi_") && invite.err.contains("shown once"), "{invite:?}");
    let (_, id) = server.person("joe", "agent,read").await;
    let key = server.admin().post(&format!("/admin/users/{id}/tokens"), json!({})).await.ok();
    let key = key["token"].as_str().expect("a key");
    let url = server.url();
    let joined = run(&["join", invite.out.trim(), "--url", url, "--key", key]).ok();
    assert_eq!(joined.out, "law\n");
    let refused =
        run(&["write", "x", "--file", "draft.md", "-w", "law", "--url", url, "--key", key]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let members = run(&["members", "-w", "law", "--json"]).ok().json();
    assert_eq!((members.len(), &members[1]["role"]), (2, &json!("viewer")));
    run(&["role", &id, "contributor", "-w", "law"]).ok();
    run(&["write", "x", "--file", "draft.md", "-w", "law", "--url", url, "--key", key]).ok();
    run(&["remove", &id, "-w", "law"]).ok();
    assert_eq!(run(&["tree", "-w", "law", "--url", url, "--key", key]).code, Some(5));
    assert_eq!(run(&["leave", "-w", "law"]).code, Some(6), "the last owner stays");
    let cloned = run(&["clone", "law"]).ok();
    assert_eq!(cloned.out, "law\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("law/x")).expect("cloned"), "three\n");
    let config = std::fs::read_to_string(folder.path().join("law/.git/config")).expect("there");
    assert!(!config.contains("rmt_") && !config.contains("extraHeader"), "{config}");
}
