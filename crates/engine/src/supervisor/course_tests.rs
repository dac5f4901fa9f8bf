//! The course of an agent that says what it does: `done`, `quit`, `ask`, anything else as text.

use super::*;
use crate::runner::Process;
use model::{End, FailureCode, Happened, State};

#[derive(Debug, Default)]
struct Scripted;

impl Adapter for Scripted {
    fn process(&self) -> Process {
        Process { argv: vec![], env: std::collections::BTreeMap::default(), cwd: "/".into() }
    }
    fn turn(&mut self, turn: &TurnAsk) -> Step {
        let id = u64::from(turn.number);
        Step { input: vec![Input { id, bytes: turn.prompt.clone().into() }], ..Step::default() }
    }
    fn resume(&mut self, turn: Option<&TurnAsk>) -> Step {
        turn.map(|turn| self.turn(turn)).unwrap_or_default()
    }
    fn line(&mut self, line: &[u8], _overlong: bool) -> Step {
        let completed = Some(TurnOutcome::Completed);
        match String::from_utf8_lossy(line).into_owned() {
            text if text == "done" => {
                Step { turn: completed, reply: "bye".to_owned(), ..Step::default() }
            }
            text if text == "quit" => {
                Step { turn: completed, close_input: true, ..Step::default() }
            }
            text if text == "ask" => Step { events: vec![question()], ..Step::default() },
            text => {
                let event = Event::Message { item: "m".to_owned(), text };
                Step { events: vec![event], ..Step::default() }
            }
        }
    }
    fn cancel(&mut self) -> Step {
        Step::default()
    }
    fn answer(&mut self, ask: &str, option: Option<&str>) -> Step {
        let bytes = format!("{ask}={}", option.unwrap_or("no")).into_bytes();
        Step { input: vec![Input { id: 77, bytes }], ..Step::default() }
    }
    fn exited(&mut self, _code: Option<i32>, _signal: Option<i32>) -> Step {
        Step::default()
    }
    fn snapshot(&self) -> String {
        String::new()
    }
}

fn question() -> Event {
    let option = |option: &str, kind: &str| PermissionOption {
        option: option.to_owned(),
        name: option.to_owned(),
        kind: kind.to_owned(),
    };
    Event::PermissionAsked {
        ask: "q1".to_owned(),
        call: "c1".to_owned(),
        title: "May I?".to_owned(),
        options: vec![option("never", "reject_always"), option("yes", "allow_once")],
    }
}

fn ask() -> TurnAsk {
    TurnAsk { turn: "t1".parse().expect("a name"), number: 1, prompt: "hi".to_owned() }
}

fn bounds(permission: Permission) -> Bounds {
    Bounds { output_bytes_max: 100, permission }
}

#[test]
fn a_question_for_a_person_waits_for_one() {
    let mut course = Course::new(Box::new(Scripted), bounds(Permission::Ask));
    course.begin(ask());
    let asked = course.line(b"ask", false, 1);
    assert_eq!((asked.events.len(), asked.input.len()), (1, 0), "{asked:?}");
    let then = course.answer("q1", None, "jane");
    let by = Event::PermissionAnswered { ask: "q1".into(), option: None, by: "jane".into() };
    assert_eq!(then.events, [by]);
    assert_eq!(then.input[0].bytes, b"q1=no");
}

fn begun() -> Course {
    let mut course = Course::new(Box::new(Scripted), bounds(Permission::Auto));
    let first = course.begin(ask());
    assert!(matches!(first.events[..], [Event::TurnStarted { .. }]));
    assert_eq!(first.input.len(), 1);
    course
}

#[test]
fn a_turn_ends_when_the_agent_says_so_and_the_next_may_begin() {
    let mut course = begun();
    let done = course.line(b"done", false, 5);
    assert_eq!(done.outcome, Some((TurnOutcome::Completed, "bye".to_owned())));
    assert_eq!(done.end, None);
    assert_eq!(course.turn_closed(), Some(ask()));
    assert_eq!(course.turn_closed(), None);
}

#[test]
fn what_an_agent_says_ended_while_no_turn_runs_is_not_believed() {
    let mut course = Course::new(Box::new(Scripted), bounds(Permission::Auto));
    assert_eq!(course.line(b"done", false, 5), Move::default());
}

#[test]
fn a_question_is_allowed_once_and_both_are_told() {
    let then = begun().line(b"ask", false, 4);
    assert!(matches!(
        &then.events[..],
        [Event::PermissionAsked { .. }, Event::PermissionAnswered { option: Some(yes), by, .. }]
            if yes == "yes" && by == "policy"
    ));
    assert_eq!(then.input, [Input { id: 77, bytes: b"q1=yes".to_vec() }]);
}

#[test]
fn an_agent_that_floods_is_ended_with_its_own_code() {
    let mut course = begun();
    assert_eq!(course.line(b"x", false, 60).end, None);
    let end = course.stderr(&[b'x'; 60]).end.expect("too much");
    assert_eq!(end.failure.expect("it failed").code, FailureCode::OutputFlood);
}

#[test]
fn standard_error_is_shown_up_to_a_bound_and_said_to_be_cut() {
    let mut course = Course::new(
        Box::new(Scripted),
        Bounds { output_bytes_max: u64::MAX, permission: Permission::Auto },
    );
    course.begin(ask());
    let pieces = 0..STDERR_SHOWN_MAX + 10;
    let shown = pieces.filter(|_| !course.stderr(b"\xff oh").events.is_empty()).count();
    assert_eq!(shown, STDERR_SHOWN_MAX as usize + 1);
}

#[test]
fn an_agent_that_ends_between_turns_is_done_and_within_one_has_died() {
    let mut course = Course::new(Box::new(Scripted), bounds(Permission::Auto));
    assert_eq!(course.exited(Some(0), None).end.expect("over").end, End::Completed);
    let end = begun().exited(Some(0), None).end.expect("over");
    assert_eq!(end.failure.expect("it failed").code, FailureCode::AgentDied);
    let mut stopped = begun();
    assert!(stopped.stop().is_some());
    assert_eq!(stopped.exited(None, Some(15)).end.expect("over").end, End::Stopped);
}

#[test]
fn an_agent_of_no_further_use_ends_the_dispatch_after_its_turn() {
    let then = begun().line(b"quit", false, 4);
    assert!(then.outcome.is_some());
    assert_eq!(then.end.expect("over").end, End::Completed);
}

#[test]
fn nothing_is_stopped_where_nothing_runs() {
    assert!(
        Course::new(
            Box::new(Scripted),
            Bounds { output_bytes_max: 1, permission: Permission::Auto }
        )
        .stop()
        .is_none()
    );
}

/// Whatever an agent says and people ask for, in whatever order: a turn ends at most once, nothing
/// ends that does not run, every state follows from the one before, and the end is the end.
#[test]
fn no_order_of_happenings_ends_anything_twice() {
    for seed in 0..2_000_u64 {
        let mut random = crate::seeded::Seeded::new(seed);
        let mut course = Course::new(
            Box::new(Scripted),
            Bounds { output_bytes_max: 2_000, permission: Permission::Auto },
        );
        let mut life = Life { state: State::Starting, number: 0, begun: 0, closed: 0 };
        for _ in 0..random.below(60) {
            let Some(then) = happens(&mut course, &mut life, &mut random) else { continue };
            let asked = count(&then, |event| matches!(event, Event::PermissionAsked { .. }));
            let answered = count(&then, |event| matches!(event, Event::PermissionAnswered { .. }));
            assert_eq!(asked, answered, "seed {seed}: every question is answered");
            life.follow(&mut course, then, seed);
            if life.state.is_ended() {
                break;
            }
        }
        let running = usize::from(life.state == State::Running);
        assert_eq!(life.begun, life.closed + running, "seed {seed}");
    }
}

/// A dispatch as its supervisor leads it, without waiting for anything.
struct Life {
    state: State,
    number: u32,
    begun: usize,
    closed: usize,
}

impl Life {
    fn now(&mut self, happened: Happened, seed: u64) {
        self.state = self.state.after(happened).unwrap_or_else(|wrong| panic!("{seed}: {wrong}"));
    }

    fn follow(&mut self, course: &mut Course, then: Move, seed: u64) {
        if then.outcome.is_some() {
            assert!(course.turn_closed().is_some(), "seed {seed}: a turn ends that does not run");
            self.closed += 1;
            self.now(Happened::TurnEnded, seed);
        }
        if let Some(end) = then.end {
            self.closed += usize::from(course.turn_closed().is_some());
            self.now(end.happened(), seed);
        }
    }
}

fn count(then: &Move, wanted: impl Fn(&Event) -> bool) -> usize {
    then.events.iter().filter(|event| wanted(event)).count()
}

fn happens(
    course: &mut Course,
    life: &mut Life,
    random: &mut crate::seeded::Seeded,
) -> Option<Move> {
    let rests = life.state != State::Running;
    match random.below(8) {
        0 | 1 if rests => {
            life.number += 1;
            life.begun += 1;
            let first = life.state == State::Starting;
            life.now(if first { Happened::Started } else { Happened::Message }, 0);
            Some(course.begin(TurnAsk { number: life.number, ..ask() }))
        }
        2 => course.stop(),
        3 => Some(course.stderr(&[b'e'; 30])),
        4 if random.below(4) == 0 => Some(course.exited(Some(0), None)),
        4 if random.below(4) == 0 => Some(course.exited(None, Some(9))),
        _ => {
            let lines: [&[u8]; 6] = [b"done", b"ask", b"text", b"quit", b"\xff\xfe", b""];
            let line = lines[usize::try_from(random.below(6)).ok()?];
            Some(course.line(line, random.below(9) == 0, random.below(80)))
        }
    }
}
