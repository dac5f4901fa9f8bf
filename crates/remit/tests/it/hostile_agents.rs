//! Agents that do their worst: each comes to a documented end, and the server is as before.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Client, Folder, Server, Start, Turn, backend};

/// How much the server may grow while agents do their worst, in KiB.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// Puts the agent that misbehaves into the data folder as two runners: one that speaks, and one that
/// ends at once.
fn install(folder: &Folder) {
    let runners = folder.data().join("runners");
    let program = runners.join("hostile");
    std::fs::create_dir_all(&program).expect("a folder");
    std::fs::write(program.join("agent.py"), include_str!("hostile_agent.py")).expect("written");
    for (name, args) in [("hostile", ""), ("at-once", r#", "at-once""#)] {
        let text = format!(
            r#"
            name = "{name}"
            title = "An agent that does its worst"
            program = {{ folder = "runners/hostile" }}
            argv = ["/usr/bin/python3", "/opt/runner/agent.py"{args}]
            env = {{ PATH = "/usr/bin:/bin" }}
            protocol = "acp"
            model_api = "openai-chat"
            "#
        );
        std::fs::write(runners.join(format!("{name}.toml")), text).expect("written");
    }
}

/// Whether the agent can run here; says so where it cannot.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must know what was not tried")]
fn possible(what: &str) -> bool {
    let python = Path::new("/usr/bin/python3").exists();
    let walls = backend() == "native";
    if !python || !walls {
        eprintln!("SKIPPED {what}: needs /usr/bin/python3 ({python}) and isolation ({walls})");
    }
    python && walls
}

fn start(folder: &Folder) -> Start<'_> {
    install(folder);
    Start::on(folder)
        .setting("limits.turn_s", "240")
        .setting("limits.memory_mib", "96")
        .setting("limits.scratch_mib", "24")
        .setting("limits.pids", "32")
        .setting("limits.idle_s", "1")
}

/// Says something to the agent that misbehaves.
async fn provoke(me: &Client, runner: &str, prompt: &str, session: Option<&str>) -> Turn {
    let mut body = json!({"prompt": prompt});
    if let Some(session) = session {
        body["session"] = json!(session);
    }
    let request =
        me.request("POST", &format!("/agent/chat?runner={runner}&untested=true")).json(&body);
    crate::harness::Stream::of(request).await.turn().await
}

/// The end of a dispatch: its stop reason, and the code of its failure; told once, and last.
async fn end(me: &Client, dispatch: &str) -> (String, Option<String>) {
    let shown = me.until(dispatch, "ended").await;
    let events = me.events(dispatch).await;
    let ends = events.iter().filter(|entry| entry["event"]["type"] == "ended").count();
    assert_eq!(ends, 1, "one terminal event: {events:#?}");
    let last = &events.last().expect("it has events")["event"];
    assert_eq!(last["type"], "ended", "and nothing after it");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&shown["stop_reason"]).expect("it ended"), text(&last["failure"]["code"]))
}

/// The resident memory of the server, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A turn that fails, and its dispatch with it, for a reason with this code.
async fn fails_with(me: &Client, runner: &str, prompt: &str, code: &str) {
    let turn = provoke(me, runner, prompt, None).await;
    assert_eq!(turn.find("done")["ok"], false, "{prompt}");
    turn.find("error");
    let ended = end(me, &turn.dispatch).await;
    assert_eq!(ended, ("failed".to_owned(), Some(code.to_owned())), "{runner} {prompt}");
}

fn grew_little(server: &Server, before_kib: u64, what: &str) {
    let grown = resident_kib(server).saturating_sub(before_kib);
    assert!(grown < GROWTH_KIB_MAX, "{what}: the server grew by {grown} KiB");
}

/// A normal conversation still works, and nothing of the server grew without bound.
async fn healthy(server: &Server, before_kib: u64, what: &str) {
    let turn = server.client().turn(json!({"prompt": "write fine to ok.md"})).await.ok();
    turn.find("commit");
    server.client().post(&format!("/agent/dispatches/{}/cancel", turn.dispatch), json!({})).await;
    grew_little(server, before_kib, what);
}

/// A server that has done its first turn, and how much memory it has then.
async fn warm(start: Start<'_>) -> (Server, u64) {
    let server = start.server();
    let turn = server.client().turn(json!({"prompt": "say 1 words"})).await.ok();
    server.client().post(&format!("/agent/dispatches/{}/cancel", turn.dispatch), json!({})).await;
    let resident = resident_kib(&server);
    (server, resident)
}

#[tokio::test]
async fn what_an_agent_writes_is_bounded_and_read_as_hostile() {
    if !possible("hostile output") {
        return;
    }
    let folder = Folder::new();
    let (server, before) = warm(start(&folder)).await;
    let me = server.client();
    let flood = provoke(&me, "hostile", "flood", None).await;
    let ended = end(&me, &flood.dispatch).await;
    assert_eq!(ended, ("failed".to_owned(), Some("output_flood".to_owned())), "{flood:#?}");
    let long = provoke(&me, "hostile", "longline", None).await;
    assert_eq!(end(&me, &long.dispatch).await.1.as_deref(), Some("output_flood"));
    for word in ["badtext", "garbage", "deep"] {
        let turn = provoke(&me, "hostile", word, None).await.ok();
        assert_eq!(turn.reply(), "still here", "{word}");
        let events = me.events(&turn.dispatch).await;
        let told = |entry: &Value| entry["event"]["source"] == "protocol";
        assert!(events.iter().any(told), "{word}: {events:#?}");
        assert_eq!(end(&me, &turn.dispatch).await, ("idle_timeout".to_owned(), None), "{word}");
    }
    healthy(&server, before, "output").await;
}

#[tokio::test]
async fn an_agent_that_dies_or_never_ends_has_a_documented_end() {
    if !possible("dying and endless agents") {
        return;
    }
    let folder = Folder::new();
    let (server, before) = warm(start(&folder)).await;
    fails_with(&server.client(), "at-once", "hi", "agent_start").await;
    fails_with(&server.client(), "hostile", "die", "agent_died").await;
    healthy(&server, before, "ends").await;
    drop(server);
    // Time enough for nothing else.
    let server = start(&folder).setting("limits.turn_s", "2").server();
    let before = resident_kib(&server);
    fails_with(&server.client(), "hostile", "silent", "turn_timeout").await;
    fails_with(&server.client(), "hostile", "deaf", "turn_timeout").await;
    grew_little(&server, before, "endless turns");
}

#[tokio::test]
async fn what_an_agent_uses_up_is_its_own() {
    if !possible("agents that use things up") {
        return;
    }
    let folder = Folder::new();
    let (server, before) = warm(start(&folder)).await;
    let me = server.client();
    let bomb = provoke(&me, "hostile", "bomb", None).await.ok();
    assert!(bomb.reply().contains("Resource temporarily unavailable"), "{}", bomb.reply());
    let made: u32 =
        bomb.reply().split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    assert!(made < 32, "{made} processes");
    assert_eq!(end(&me, &bomb.dispatch).await, ("idle_timeout".to_owned(), None));
    let bytes = provoke(&me, "hostile", "bytes", None).await.ok();
    assert!(bytes.reply().ends_with("No space left on device"), "{}", bytes.reply());
    assert_eq!(end(&me, &bytes.dispatch).await.0, "idle_timeout");
    let left = provoke(&me, "hostile", "leave", None).await.ok();
    assert_eq!(end(&me, &left.dispatch).await, ("idle_timeout".to_owned(), None));
    let eaten = provoke(&me, "hostile", "eat", None).await;
    assert_eq!(eaten.find("done")["ok"], false);
    let ended = end(&me, &eaten.dispatch).await;
    assert_eq!(ended, ("oom".to_owned(), Some("sandbox_died".to_owned())));
    let run = std::fs::read_dir(folder.data().join("run")).expect("a folder");
    healthy(&server, before, "resources").await;
    drop(run);
}

#[tokio::test]
async fn how_many_files_an_agent_makes_is_bounded() {
    if !possible("agents that make a great many files") {
        return;
    }
    let folder = Folder::new();
    let (server, before) = warm(start(&folder).setting("limits.scratch_files", "500")).await;
    let me = server.client();
    let files = provoke(&me, "hostile", "inodes", None).await.ok();
    let (made, why) = files.reply().split_once(" files, then ").expect("both");
    assert!((100..500).contains(&made.parse::<u32>().expect("a number")), "{made}");
    assert_eq!(why, "No space left on device");
    assert_eq!(end(&me, &files.dispatch).await, ("idle_timeout".to_owned(), None));
    healthy(&server, before, "files").await;
}

#[tokio::test]
async fn whoever_crowds_the_door_of_a_worker_does_not_keep_it_out() {
    if !possible("agents that crowd a door") {
        return;
    }
    let folder = Folder::new();
    let (server, _) = warm(start(&folder).setting("limits.idle_s", "600")).await;
    let crowded = provoke(&server.client(), "hostile", "crowd", None).await.ok();
    assert_eq!(crowded.reply(), "full");
    server.kill();
    let server = start(&folder).setting("limits.idle_s", "600").server();
    let me = server.client();
    let again = provoke(&me, "hostile", "hi", Some(&crowded.session)).await.ok();
    assert_eq!(again.dispatch, crowded.dispatch, "its worker called again");
    me.post(&format!("/agent/dispatches/{}/cancel", again.dispatch), json!({})).await.ok();
    assert_eq!(end(&me, &again.dispatch).await, ("stopped".to_owned(), None));
}

#[tokio::test]
async fn a_spoilt_session_fails_clearly_and_a_new_one_works() {
    if !possible("spoilt sessions") {
        return;
    }
    let folder = Folder::new();
    let (server, _) = warm(start(&folder)).await;
    let me = server.client();
    let turn = provoke(&me, "hostile", "spoil", None).await.ok();
    end(&me, &turn.dispatch).await;
    let again = provoke(&me, "hostile", "hi", Some(&turn.session)).await;
    assert_ne!(again.dispatch, turn.dispatch);
    assert_eq!(again.find("done")["ok"], false);
    let ended = end(&me, &again.dispatch).await;
    assert_eq!(ended, ("failed".to_owned(), Some("session".to_owned())), "{again:#?}");
    provoke(&me, "hostile", "hi", None).await.ok();
}

#[tokio::test]
async fn no_agent_poses_as_its_worker_or_reaches_anothers_gate() {
    if !possible("agents that knock at doors") {
        return;
    }
    let folder = Folder::new();
    let (server, before) = warm(start(&folder).setting("limits.idle_s", "600")).await;
    let me = server.client();
    // Another living dispatch, whose gate and worker are there to be found.
    let other = me.turn(json!({"prompt": "remember heron"})).await.ok();
    let posed = provoke(&me, "hostile", "pose", None).await.ok();
    let worker = posed.reply().split("; ").next().expect("an answer").to_owned();
    // Nobody takes the call up, or whoever does hangs up on it.
    let refused =
        ["timed out", "b''", "Connection refused", "No such file", "Permission denied", "reset"];
    assert!(refused.iter().any(|it| worker.contains(it)), "{worker}");
    let knocked = provoke(&me, "hostile", "knock", Some(&posed.session)).await.ok();
    assert_eq!(knocked.dispatch, posed.dispatch, "its own line still stands");
    let (ports, hosts) = knocked.reply().split_once("; ").expect("both");
    assert_eq!(ports, "ports [8700]", "its own gate alone");
    for host in hosts.split("; ") {
        assert!(host.ends_with("Network is unreachable"), "{host}");
    }
    let again = json!({"prompt": "which word?", "session": other.session});
    let again = me.turn(again).await.ok();
    assert!(again.reply().contains("heron") && again.dispatch == other.dispatch, "{again:#?}");
    healthy(&server, before, "doors").await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_its_dispatch() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("limits.idle_s", "1").server();
    let me = server.client();
    let asked = json!({"prompt": "say 60000 words"});
    let response = me.request("POST", "/agent/chat").json(&asked).send().await.expect("answered");
    let dispatch = response.headers()["x-unit-id"].to_str().expect("text").to_owned();
    assert_eq!(end(&me, &dispatch).await, ("idle_timeout".to_owned(), None));
    drop(response);
    server.nobody().get("/health").await.ok();
}
