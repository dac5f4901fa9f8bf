//! Conversations with an agent as files: what is called, what the agent says, and, indented, the
//! steps that must follow.
//!
//! `turn N TEXT`, `cancel`, `answer ASK OPTION`, `exited CODE`, `agent LINE`; a first line `resumes`
//! makes it a continued conversation.

use std::fs;
use std::path::Path;

use engine::runner::{Adapter, LaunchContext, Step, TurnAsk};
use model::Event;

pub(crate) fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    fs::read_to_string(folder.join(format!("{name}.txt"))).expect("the transcript is there")
}

/// What the agent says in it.
pub(crate) fn lines(script: &str) -> Vec<String> {
    script.lines().filter_map(|line| line.strip_prefix("agent ")).map(str::to_owned).collect()
}

/// Plays it and compares what follows with what is written. The actual course is left beside the
/// test's other output, to be read and, if it is right, taken over.
pub(crate) fn check(name: &str, new: impl Fn(LaunchContext) -> Box<dyn Adapter>) {
    let script = read(name);
    let resumes = script.starts_with("resumes");
    let adapter = new(LaunchContext { resumes, ..super::context() });
    let actual = play(&script, adapter, |adapter, _, _| adapter);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
    fs::write(&kept, &actual).expect("the folder of the test can be written");
    assert!(actual == script, "the course of `{name}` is another one; see {}", kept.display());
}

/// Plays it; between any two calls the adapter goes through `between`, with the running turn and its
/// events.
pub(crate) fn play(
    script: &str,
    mut adapter: Box<dyn Adapter>,
    between: impl Fn(Box<dyn Adapter>, Option<&TurnAsk>, &[Event]) -> Box<dyn Adapter>,
) -> String {
    let mut course = String::new();
    let mut events = Vec::new();
    let mut running = None;
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        course.extend([line, "\n"]);
        let (call, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        adapter = between(adapter, running.as_ref(), &events);
        let step = match call {
            "turn" => {
                let ask = super::turn(first.parse().expect("a number"), second);
                events.clear();
                running = Some(ask.clone());
                adapter.turn(&ask)
            }
            "cancel" => adapter.cancel(),
            "answer" => adapter.answer(first, (!second.is_empty()).then_some(second)),
            "exited" => adapter.exited(first.parse().ok(), None),
            "agent" => adapter.line(rest.as_bytes(), false),
            _ => continue, // a remark
        };
        if step.turn.is_some() {
            running = None;
        }
        events.extend(step.events.iter().cloned());
        course += &shown(&step);
    }
    course
}

fn shown(step: &Step) -> String {
    let json = |event| serde_json::to_string(event).expect("plain data");
    let events = step.events.iter().map(|event| format!("  event {}\n", json(event)));
    // One line each, also of an input that has several.
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.strip_suffix('\n').unwrap_or(&text).replace('\n', "\\n")
    };
    let inputs =
        step.input.iter().map(|put| format!("  input {:#x} {}\n", put.id, said(&put.bytes)));
    let ended = step.turn.iter().map(|outcome| {
        let outcome = serde_json::to_string(outcome).expect("plain data");
        format!("  ended {outcome} {:?}\n", step.reply)
    });
    let interrupt = step.interrupt.then(|| "  interrupt\n".to_owned());
    let close = step.close_input.then(|| "  close\n".to_owned());
    events.chain(inputs).chain(interrupt).chain(ended).chain(close).collect()
}
