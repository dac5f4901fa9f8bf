//! The pages are held to the vocabulary of streams: one sample of every event, as it is sent, is what
//! the types and the tests of the pages are built on.

use std::collections::BTreeSet;
use std::path::Path;

use model::event::{
    Brokered, Diff, Failure, HeldReason, PermissionOption, PlanStep, Refusal, ToolKind, ToolStatus,
    TurnOutcome,
};
use model::{
    CommitId, End, Entry, Event, EventId, FailureCode, Label, Launcher, Mode, Mount, ProposalId,
    SandboxId, SessionId, Time, UserId, WorkspaceId,
};
use serde_json::{Value, json};
use uuid::Uuid;

fn uuid(bits: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + bits)
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("forty digits")
}

fn workspace() -> WorkspaceId {
    WorkspaceId::from_uuid(uuid(2))
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn failure() -> Failure {
    Failure { code: FailureCode::AgentDied, message: text("the agent ended with code 1") }
}

/// What a dispatch of two turns says that meets everything there is, in order.
fn story() -> Vec<Event> {
    [beginning(), first_turn(), kept(), ending()].concat()
}

fn beginning() -> Vec<Event> {
    let mount = Mount {
        workspace: workspace(),
        name: "home".parse().expect("a name"),
        mode: Mode::ReadWrite,
        base: Some(commit('a')),
        purpose: text("what we know"),
    };
    vec![
        Event::Accepted {
            subject: UserId::from_uuid(uuid(1)),
            launcher: Launcher::User(UserId::from_uuid(uuid(1))),
            runner: "remit".parse().expect("a name"),
            session: SessionId::from_uuid(uuid(4)),
            mounts: vec![mount],
            label: Label { integrity: BTreeSet::from([text("mail")]), ..Label::default() },
        },
        turn_accepted("t1", 1, "write hi to a.md"),
        Event::Queued { ahead: 2 },
        Event::SandboxStarted {
            sandbox: SandboxId::from_uuid(uuid(3)),
            backend: text("native"),
            start_us: 8_250,
            isolates: true,
        },
        Event::TurnStarted { turn: "t1".parse().expect("a name") },
    ]
}

fn first_turn() -> Vec<Event> {
    let say = |words: &str| Event::Message { item: text("m1"), text: text(words) };
    let think = |words: &str| Event::Thought { item: text("h1"), text: text(words) };
    let step = PlanStep { text: text("write a.md"), status: text("in_progress") };
    let allow =
        PermissionOption { option: text("yes"), name: text("Allow"), kind: text("allow_once") };
    let arguments = json!({"path": "a.md", "content": "hi"});
    vec![
        think("A file is asked for. "),
        think("I write it."),
        Event::Plan { steps: vec![step] },
        say("I "),
        Event::ToolCall {
            call: text("c1"),
            tool: text("write_file"),
            title: text("Write a.md"),
            kind: ToolKind::Edit,
            arguments: Value::Null,
            locations: vec![text("a.md")],
        },
        Event::PermissionAsked {
            ask: text("p1"),
            call: text("c1"),
            title: text("Write a.md"),
            options: vec![allow],
        },
        Event::PermissionAnswered {
            ask: text("p1"),
            option: Some(text("yes")),
            by: text("policy"),
        },
        update("c1", Some("write_file"), Some(ToolStatus::InProgress), Some(arguments)),
        Event::ToolUpdate {
            call: text("c1"),
            tool: None,
            status: Some(ToolStatus::Completed),
            title: Some(text("Wrote a.md")),
            arguments: None,
            result: Some(text("2 bytes")),
            diffs: vec![Diff { path: text("a.md"), old: None, new: text("hi") }],
        },
        update("nobody", None, None, None),
        Event::Usage {
            model: text("remit-demo"),
            input_tokens: 900,
            output_tokens: 40,
            elapsed_ms: 12,
        },
        Event::Brokered {
            server: "knowledge".parse().expect("a name"),
            tool: text("search"),
            arguments: json!({"query": "hi"}),
            outcome: Brokered::Answered,
            elapsed_ms: 3,
        },
        say("wrote it."),
    ]
}

fn update(
    call: &str,
    tool: Option<&str>,
    status: Option<ToolStatus>,
    arguments: Option<Value>,
) -> Event {
    Event::ToolUpdate {
        call: text(call),
        tool: tool.map(text),
        status,
        title: None,
        arguments,
        result: None,
        diffs: vec![],
    }
}

fn kept() -> Vec<Event> {
    let refusal = Refusal { path: text(".git/hooks"), reason: text("a name of git's") };
    vec![
        Event::SandboxAdopted { sandbox: SandboxId::from_uuid(uuid(3)) },
        Event::Diagnostic { source: text("agent"), text: text("nothing to warn of") },
        Event::Commit {
            workspace: workspace(),
            commit: commit('b'),
            changed: 1,
            paths: vec![text("a.md")],
        },
        Event::Refused { workspace: workspace(), count: 1, refusals: vec![refusal] },
        Event::Held {
            workspace: workspace(),
            reference: text("refs/remit/held/x"),
            commit: commit('c'),
            reason: HeldReason::Conflict,
            paths: vec![text("b.md")],
        },
        Event::Proposed {
            proposal: ProposalId::from_uuid(uuid(5)),
            workspace: workspace(),
            reason: HeldReason::Conflict,
            paths: vec![text("b.md")],
        },
        Event::SessionSaved { session: SessionId::from_uuid(uuid(4)), commit: commit('d') },
        turn_ended("t1", TurnOutcome::Completed, "I wrote it."),
    ]
}

fn ending() -> Vec<Event> {
    vec![
        turn_accepted("t2", 2, "go on"),
        turn_ended("t2", TurnOutcome::Failed { failure: failure() }, ""),
        Event::Ended { end: End::Failed, failure: Some(failure()) },
    ]
}

fn turn_accepted(turn: &str, number: u32, prompt: &str) -> Event {
    Event::TurnAccepted { turn: turn.parse().expect("a name"), number, prompt: text(prompt) }
}

fn turn_ended(turn: &str, outcome: TurnOutcome, reply: &str) -> Event {
    Event::TurnEnded { turn: turn.parse().expect("a name"), outcome, reply: text(reply) }
}

/// The entries; the epoch grows where another server took over.
fn entries() -> Vec<Entry> {
    let entry = |(event, n): (Event, u64)| Entry {
        id: EventId { epoch: if n < 18 { 1 } else { 2 }, n },
        at: Time::from_ms(1_700_000_000_000 + n * 100),
        event,
    };
    story().into_iter().zip(1_u64..).map(entry).collect()
}

/// An event that is added is missed here by the compiler; give it a sample above, too.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Accepted { .. } => "accepted",
        Event::Queued { .. } => "queued",
        Event::SandboxStarted { .. } => "sandbox_started",
        Event::SandboxAdopted { .. } => "sandbox_adopted",
        Event::TurnAccepted { .. } => "turn_accepted",
        Event::TurnStarted { .. } => "turn_started",
        Event::Message { .. } => "message",
        Event::Thought { .. } => "thought",
        Event::ToolCall { .. } => "tool_call",
        Event::ToolUpdate { .. } => "tool_update",
        Event::Plan { .. } => "plan",
        Event::PermissionAsked { .. } => "permission_asked",
        Event::PermissionAnswered { .. } => "permission_answered",
        Event::Usage { .. } => "usage",
        Event::Brokered { .. } => "brokered",
        Event::Commit { .. } => "commit",
        Event::Refused { .. } => "refused",
        Event::Held { .. } => "held",
        Event::Proposed { .. } => "proposed",
        Event::SessionSaved { .. } => "session_saved",
        Event::Diagnostic { .. } => "diagnostic",
        Event::TurnEnded { .. } => "turn_ended",
        Event::Ended { .. } => "ended",
    }
}

/// How many arms [`name`] has.
const NAMES: usize = 23;

#[test]
fn every_event_has_a_sample_under_the_name_that_is_sent() {
    let mut names = BTreeSet::new();
    for event in story() {
        let sent = serde_json::to_value(&event).expect("plain data");
        assert_eq!(sent["type"], name(&event));
        names.insert(name(&event));
    }
    assert_eq!(names.len(), NAMES, "{names:?}");
}

#[test]
fn the_pages_have_the_samples_of_today() {
    let lines = entries().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let lines = lines.expect("plain data");
    let typed = format!(
        "// Written by crates/model/tests/vocabulary.rs: one of every event, as it is sent.\n\n\
         import type {{ Entry }} from './api.gen.ts';\n\n\
         export const samples = [\n  {},\n] satisfies Entry[];\n",
        lines.join(",\n  "),
    );
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let files = [
        (web.join("test/story.jsonl"), format!("{}\n", lines.join("\n"))),
        (web.join("src/lib/vocabulary.samples.ts"), typed),
    ];
    let stale = files.map(|(path, text)| stale(&path, &text)).into_iter().flatten();
    let stale: Vec<_> = stale.collect();
    assert!(stale.is_empty(), "not what the server sends now: compare, then {}", stale.join("; "));
}

/// How to bring a file up to date, where it is not: what it should be is left among the scratch of
/// tests.
fn stale(path: &Path, expected: &str) -> Option<String> {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path.file_name().expect("a file"));
    std::fs::write(&fresh, expected).expect("scratch is writable");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    (found != expected).then(|| format!("cp {} {}", fresh.display(), path.display()))
}
