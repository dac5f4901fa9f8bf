//! What happens when something goes wrong: a clear end, the work kept, nothing left behind.

use std::time::Duration;

use embedded::system::SystemClock;
use engine::dispatcher::{DispatchError, QueueBounds};
use engine::port::Clock;
use model::{End, Event, FailureCode, Limits, SessionId, State, TurnOutcome};
use trust::{Principal, Reason, Scope};

use crate::house::{House, Options};

fn limited(edit: impl FnOnce(&mut Limits)) -> Options {
    let mut options = Options::default();
    edit(&mut options.limits);
    options
}

/// Ten times what a whole turn takes here and now, and a second.
async fn ample() -> Duration {
    let house = House::new(Options::default()).await;
    let begun = SystemClock.instant();
    let turn = house.ask("write soon.txt").await;
    assert_eq!(house.turn_end(&turn).await.0, TurnOutcome::Completed);
    let took = SystemClock.instant().duration_since(begun);
    house.shut_down().await;
    10 * took + Duration::from_secs(1)
}

fn code(outcome: &TurnOutcome) -> Option<FailureCode> {
    match outcome {
        TurnOutcome::Failed { failure } => Some(failure.code),
        TurnOutcome::Completed | TurnOutcome::Stopped => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_ends_its_dispatch_and_its_work_is_kept() {
    let house = House::new(Options::default()).await;
    let turn = house.ask("die late.txt").await;
    assert_eq!(code(&house.turn_end(&turn).await.0), Some(FailureCode::AgentDied));
    assert_eq!(house.end(turn.dispatch).await, (End::Failed, Some(FailureCode::AgentDied)));
    assert_eq!(house.file("late.txt").await.as_deref(), Some("late.txt\n"));
    let next = house.go_on(&turn, "write more").await;
    assert_ne!(next.dispatch, turn.dispatch);
    assert_eq!(house.turn_end(&next).await.0, TurnOutcome::Completed);
    house.shut_down().await;
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_cut_off() {
    let house = House::new(limited(|limits| limits.output_bytes_max = 1 << 20)).await;
    let turn = house.ask("flood").await;
    assert_eq!(code(&house.turn_end(&turn).await.0), Some(FailureCode::OutputFlood));
    assert_eq!(house.end(turn.dispatch).await, (End::Failed, Some(FailureCode::OutputFlood)));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_told_and_survived() {
    let house = House::new(Options::default()).await;
    let turn = house.ask("garbage").await;
    let (outcome, reply) = house.turn_end(&turn).await;
    assert_eq!((outcome, reply.as_str()), (TurnOutcome::Completed, "after the garbage"));
    let events = house.events(turn.dispatch).await;
    let told = events
        .iter()
        .any(|event| matches!(event, Event::Diagnostic { source, .. } if source == "protocol"));
    assert!(told, "{events:#?}");
    house.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_takes_too_long_is_ended_and_its_work_kept() {
    let ample = ample().await;
    let house = House::new(limited(|limits| limits.turn = ample)).await;
    let turn = house.ask("hang slow.txt").await;
    assert_eq!(house.end(turn.dispatch).await, (End::Failed, Some(FailureCode::TurnTimeout)));
    assert_eq!(house.file("slow.txt").await.as_deref(), Some("slow.txt\n"));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_lives_no_longer_than_it_may() {
    let ample = ample().await;
    let house = House::new(limited(|limits| limits.lifetime = ample)).await;
    let turn = house.ask("write early.txt").await;
    assert_eq!(house.turn_end(&turn).await.0, TurnOutcome::Completed);
    let (end, _) = house.end(turn.dispatch).await;
    assert_eq!(end, End::MaxLifetime);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_obey_a_stop_is_ended() {
    let stop = Duration::from_secs(1);
    let house = House::new(Options { stop, ..Options::default() }).await;
    let turn = house.ask("deaf").await;
    house.heard(&turn, "deaf").await;
    house.dispatcher.stop_turn(&house.principal(), turn.dispatch).await.unwrap();
    assert_eq!(house.turn_end(&turn).await.0, TurnOutcome::Stopped);
    assert_eq!(house.end(turn.dispatch).await, (End::Stopped, None));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_can_be_cancelled_wherever_it_stands() {
    let options = Options { concurrent_max: 1, ..Options::default() };
    let house = House::new(options).await;
    let me = house.principal();
    let running = house.ask("hang half.txt").await;
    house.heard(&running, "hanging").await;
    let queued = house.ask("write never.txt").await;
    house.dispatcher.cancel(&me, queued.dispatch).await.unwrap();
    assert_eq!(house.end(queued.dispatch).await, (End::Stopped, None));
    assert_eq!(house.turn_end(&queued).await.0, TurnOutcome::Stopped);
    house.dispatcher.cancel(&me, running.dispatch).await.unwrap();
    assert_eq!(house.end(running.dispatch).await, (End::Stopped, None));
    assert_eq!(house.file("half.txt").await.as_deref(), Some("half.txt\n"));
    let starting = house.ask("write perhaps.txt").await;
    house.dispatcher.cancel(&me, starting.dispatch).await.unwrap();
    house.end(starting.dispatch).await;
    let idle = house.ask("write done.txt").await;
    house.turn_end(&idle).await;
    house.dispatcher.cancel(&me, idle.dispatch).await.unwrap();
    assert_eq!(house.end(idle.dispatch).await, (End::Stopped, None));
    let over = house.dispatcher.cancel(&me, idle.dispatch).await;
    assert!(matches!(over, Err(DispatchError::Over(_))), "{over:?}");
    assert_eq!(house.file("never.txt").await, None);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_leaves_running_goes_with_its_box() {
    let house = House::new(limited(|limits| limits.idle = Duration::ZERO)).await;
    let turn = house.ask("leave").await;
    assert_eq!(house.end(turn.dispatch).await, (End::Reaped, None));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_before_anything_is_written() {
    let house = House::new(Options::default()).await;
    let refusal = async |edit: &dyn Fn(&mut engine::dispatcher::Message)| {
        let mut message = house.message(None, "hi");
        edit(&mut message);
        house.dispatcher.say(message).await.expect_err("it cannot be")
    };
    let other = SessionId::from_uuid(house.workspace.uuid());
    let cases: Vec<(DispatchError, &str)> = vec![
        (refusal(&|it| it.runner = Some("nope".parse().unwrap())).await, "there is no runner"),
        (refusal(&|it| it.session = Some(other)).await, "there is no conversation"),
        (refusal(&|it| it.prompt = " ".to_owned()).await, "the prompt is empty"),
        (refusal(&|it| it.prompt = "x".repeat(2 << 20)).await, "the prompt has 2097152 bytes"),
        (
            refusal(&|it| it.limits = Some(Limits { pids_max: 1, ..Limits::default() })).await,
            "the limit `pids_max` must be",
        ),
    ];
    for (error, words) in cases {
        assert!(error.to_string().starts_with(words), "{error}");
    }
    let reader = Principal::person(house.person.id, [Scope::Read]);
    let error = refusal(&|it| it.principal = reader.clone()).await;
    assert!(matches!(error, DispatchError::Denied(Reason::ScopeMissing(Scope::Agent))));
    assert_eq!(house.dispatcher.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_in_good_order_leaves_what_waits_and_nothing_else() {
    let queue = QueueBounds { live_max: 1, ..QueueBounds::default() };
    let house = House::new(Options { queue, ..Options::default() }).await;
    let running = house.ask("hang cut.txt").await;
    house.heard(&running, "hanging").await;
    let waiting = house.ask("write later.txt").await;
    house.shut_down().await;
    assert_eq!(house.end(running.dispatch).await, (End::Failed, Some(FailureCode::ServerRestart)));
    assert_eq!(house.file("cut.txt").await.as_deref(), Some("cut.txt\n"));
    use engine::port::Ledger;
    let record = house.ledger.record(waiting.dispatch).await.unwrap().unwrap();
    assert_eq!(record.state, State::Queued);
    let refused = house.dispatcher.say(house.message(None, "hi")).await;
    assert!(matches!(refused, Err(DispatchError::ShuttingDown)), "{refused:?}");
    house.is_empty().await;
}
