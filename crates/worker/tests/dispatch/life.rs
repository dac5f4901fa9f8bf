//! What people do with dispatches when nothing goes wrong.

use std::time::Duration;

use engine::dispatcher::{DispatchError, Full, QueueBounds, Resume};
use model::{End, Event, Limits, TurnOutcome};

use crate::house::{House, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_committed_as_the_person_and_told_from_beginning_to_end() {
    let house = House::new(Options::default()).await;
    let turn = house.ask("write note.txt").await;
    assert_eq!(house.turn_end(&turn).await, (TurnOutcome::Completed, "written".to_owned()));
    assert_eq!(house.file("note.txt").await.as_deref(), Some("note.txt\n"));
    let events = house.events(turn.dispatch).await;
    let kinds: Vec<String> = events.iter().map(kind).collect();
    let expected = [
        "accepted",
        "turn_accepted",
        "sandbox_started",
        "turn_started",
        "message",
        "commit",
        "turn_ended",
    ];
    assert_eq!(kinds.iter().filter(|kind| *kind != "session_saved").collect::<Vec<_>>(), expected);
    let (id, dispatch) = (house.workspace, turn.dispatch.to_string());
    let record = house.workspaces.with(id, "read the log", |repository| {
        repository.record(repository.head()?.expect("a head"))
    });
    let record = record.await.unwrap();
    assert_eq!((record.author.name.as_str(), record.subject.as_str()), ("Jane", "write note.txt"));
    assert_eq!(record.committer.name, "Remit");
    let trailer = |key: &str| record.trailers.iter().find(|trailer| trailer.key() == key);
    assert_eq!(trailer("Dispatch").map(workspace::Trailer::value), Some(dispatch.as_str()));
    assert_eq!(trailer("Turn").map(workspace::Trailer::value), Some(turn.id.as_str()));
    assert_eq!(trailer("Label").map(workspace::Trailer::value), Some("trusted"));
    house.dispatcher.cancel(&house.principal(), turn.dispatch).await.unwrap();
    assert_eq!(house.end(turn.dispatch).await, (End::Stopped, None));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_wakes_an_idle_dispatch_and_its_work_is_committed_on_top() {
    let house = House::new(Options::default()).await;
    let first = house.ask("write a").await;
    house.turn_end(&first).await;
    let second = house.go_on(&first, "write b").await;
    assert_eq!((second.dispatch, second.number), (first.dispatch, 2));
    assert_eq!(house.turn_end(&second).await.0, TurnOutcome::Completed);
    let third = house.go_on(&first, "write a").await;
    house.turn_end(&third).await;
    assert_eq!(house.file("a").await.as_deref(), Some("a\n"));
    assert_eq!(house.file("b").await.as_deref(), Some("b\n"));
    let events = house.events(first.dispatch).await;
    let commits = events.iter().filter(|event| matches!(event, Event::Commit { .. })).count();
    assert_eq!(commits, 2, "the third turn changed nothing");
    house.shut_down().await;
    assert_eq!(house.end(first.dispatch).await, (End::Reaped, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_sandbox_goes_on_from_the_session_file() {
    let limits = Limits { idle: Duration::ZERO, ..Limits::default() };
    let house = House::new(Options { limits, ..Options::default() }).await;
    let first = house.ask("remember plum").await;
    assert_eq!(house.end(first.dispatch).await, (End::Reaped, None));
    let second = house.go_on(&first, "recall").await;
    assert_ne!(second.dispatch, first.dispatch);
    let (outcome, reply) = house.turn_end(&second).await;
    assert_eq!((outcome, reply.trim()), (TurnOutcome::Completed, "plum"));
    house.end(second.dispatch).await;
    let again = Resume {
        principal: house.principal(),
        dispatch: first.dispatch,
        turn: None,
        prompt: "recall".to_owned(),
    };
    let third = house.dispatcher.resume(again).await.unwrap();
    assert_eq!(house.turn_end(&third).await.1.trim(), "plum");
    house.end(third.dispatch).await;
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_turn_is_not_run_again() {
    let house = House::new(Options::default()).await;
    let mut message = house.message(None, "write once");
    message.turn = Some("mine".parse().unwrap());
    let first = house.dispatcher.say(message.clone()).await.unwrap();
    assert_eq!(house.dispatcher.say(message.clone()).await.unwrap(), first);
    house.turn_end(&first).await;
    message.session = Some(first.session);
    assert_eq!(house.dispatcher.say(message.clone()).await.unwrap(), first);
    message.prompt = "something else".to_owned();
    let refused = house.dispatcher.say(message).await;
    assert!(matches!(refused, Err(DispatchError::Conflict { .. })), "{refused:?}");
    house.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_a_working_agent_wait_in_order_and_too_many_are_refused() {
    let house = House::new(Options::default()).await;
    let first = house.ask("wait go").await;
    house.heard(&first, "waiting").await;
    let mut turns = vec![];
    let refused = loop {
        let prompt = format!("say {}", turns.len());
        match house.dispatcher.say(house.message(Some(first.session), &prompt)).await {
            Ok(turn) => turns.push(turn),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, DispatchError::TooManyMessages { .. }), "{refused}");
    assert_eq!(turns.len(), 16);
    house.put_into_the_box("go");
    for (number, turn) in turns.iter().enumerate() {
        let (outcome, reply) = house.turn_end(turn).await;
        assert_eq!((outcome, reply), (TurnOutcome::Completed, format!("you said say {number}")));
    }
    house.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_live_wait_and_an_idle_box_makes_room() {
    let queue = QueueBounds { waiting_per_subject_max: 1, ..QueueBounds::default() };
    let house = House::new(Options { concurrent_max: 1, queue, ..Options::default() }).await;
    let first = house.ask("hang x").await;
    house.heard(&first, "hanging").await;
    let second = house.ask("write y").await;
    let third = house.dispatcher.say(house.message(None, "write z")).await;
    let full = matches!(third, Err(DispatchError::TooMany { full: Full::Subject, .. }));
    assert!(full, "{third:?}");
    let waits = house.events(second.dispatch).await;
    assert!(matches!(waits.last(), Some(Event::Queued { ahead: 0 })), "{waits:?}");
    house.dispatcher.stop_turn(&house.principal(), first.dispatch).await.unwrap();
    assert_eq!(house.turn_end(&first).await.0, TurnOutcome::Stopped);
    assert_eq!(house.turn_end(&second).await.0, TurnOutcome::Completed);
    assert_eq!(house.end(first.dispatch).await, (End::Reaped, None));
    assert_eq!(house.file("x").await.as_deref(), Some("x\n"), "a stopped turn's work is kept");
    house.shut_down().await;
    house.is_empty().await;
}

fn kind(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap();
    value["type"].as_str().unwrap().to_owned()
}
