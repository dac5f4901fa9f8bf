//! Fills a ledger with what pages are measured with: many dispatches that are over, and one with many events.
//!
//! `cargo run -p embedded --example ledger_fill -- FOLDER SUBJECT DISPATCHES EVENTS`; prints the id of the long one as JSON.
//! Nobody else may have the ledger open.

use std::path::Path;

use embedded::sqlite::SqliteLedger;
use engine::conformance::fixture::{Ids, at, new_dispatch, turn_id};
use engine::port::{Append, Durability, Ledger, NewDispatch};
use futures_util::future::try_join_all;
use model::{End, Event, State, TurnOutcome, UserId};
use serde_json::json;

type Failed = Box<dyn std::error::Error>;

/// So many are written at once.
const AT_ONCE: u64 = 250;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, subject, dispatches, events] = arguments.as_slice() else {
        return Err("say FOLDER SUBJECT DISPATCHES EVENTS".into());
    };
    let ledger = SqliteLedger::open(Path::new(folder))?;
    let (ids, subject) = (Ids::new(), subject.parse()?);
    let count: u64 = dispatches.parse()?;
    for from in (0..count).step_by(usize::try_from(AT_ONCE)?) {
        let some = (from..count.min(from + AT_ONCE)).map(|n| one(&ids, subject, n));
        try_join_all(some.map(|new| write(&ledger, new, Vec::new()))).await?;
    }
    let long = one(&ids, subject, count);
    let id = long.dispatch.id;
    write(&ledger, long, many(events.parse()?)?).await?;
    show(&json!({"long": id}).to_string());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of an example")]
fn show(line: &str) {
    println!("{line}");
}

fn one(ids: &Ids, subject: UserId, number: u64) -> NewDispatch {
    new_dispatch(ids, subject, &format!("t{number}"), number)
}

/// Writes a dispatch with these events and its end.
async fn write(ledger: &SqliteLedger, new: NewDispatch, events: Vec<Event>) -> Result<(), Failed> {
    let (dispatch, begun) = (new.dispatch.id, new.at);
    let turn = match &new.dispatch.start {
        model::Start::Ask { turn, .. } => turn.clone(),
        model::Start::Session { .. } => turn_id("t"),
    };
    ledger.create(new).await?;
    ledger.open(dispatch).await?;
    let mut all = vec![Event::TurnStarted { turn: turn.clone() }];
    all.extend(events);
    let reply = "done".to_owned();
    all.push(Event::TurnEnded { turn, outcome: TurnOutcome::Completed, reply });
    all.push(Event::Ended { end: End::Reaped, failure: None });
    let mut parts = all.chunks(500).map(<[Event]>::to_vec).peekable();
    while let Some(events) = parts.next() {
        let state = parts.peek().is_none().then_some(State::Ended(End::Reaped));
        let append = Append {
            dispatch,
            epoch: 1,
            events,
            at: begun.max(at(1)),
            state,
            cursor: None,
            recovery: None,
            durability: Durability::Relaxed,
        };
        ledger.append(append).await?;
    }
    Ok(())
}

/// About so many events, as an agent makes them that works for long: words, a call, what it returned.
fn many(count: u64) -> Result<Vec<Event>, serde_json::Error> {
    let rounds = (0..count / 4).flat_map(|n| {
        let (call, item) = (format!("c{n}"), format!("m{n}"));
        let path = format!("notes/page-{n}.md");
        [
            json!({"type": "message", "item": item, "text": format!("Step {n}: I look at **{path}**")}),
            json!({"type": "message", "item": item, "text": " and go on."}),
            json!({"type": "tool_call", "call": call, "tool": "read_file", "title": format!("Read {path}"), "kind": "read", "arguments": {"path": path}}),
            json!({"type": "tool_update", "call": call, "status": "completed", "result": "one\ntwo\nthree"}),
        ]
    });
    rounds.map(serde_json::from_value).collect()
}
