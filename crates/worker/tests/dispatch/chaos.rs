//! Many people's doings at once, in an order that a seed chooses, over servers that vanish: every turn
//! that was accepted ends once, every dispatch ends once, and nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use engine::dispatcher::{DispatchError, QueueBounds};
use engine::port::Ledger;
use model::{Event, Limits, Turn};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::house::{House, Options, run};

/// Numbers that are the same for the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn options() -> Options {
    let limits = Limits {
        idle: Duration::from_secs(2),
        turn: Duration::from_secs(8),
        output_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let queue = QueueBounds { live_max: 5, ..QueueBounds::default() };
    Options { concurrent_max: 3, queue, limits, ..Options::default() }
}

async fn happens(house: &House, turns: &mut Vec<Turn>, random: &mut Seeded) {
    let me = house.principal();
    let known = usize::try_from(random.below(turns.len().max(1) as u64)).unwrap();
    let known = turns.get(known).cloned();
    let n = turns.len();
    let prompts = [
        format!("write f{n}"),
        format!("write shared{}", n % 3),
        format!("remember w{n}"),
        "recall".to_owned(),
        format!("hang h{n}"),
        format!("die d{n}"),
        "flood".to_owned(),
        "garbage".to_owned(),
    ];
    let prompt = prompts[usize::try_from(random.below(8)).unwrap()].clone();
    match (random.below(10), known) {
        (0..=3, _) | (_, None) => match house.dispatcher.say(house.message(None, &prompt)).await {
            Ok(turn) => turns.push(turn),
            Err(DispatchError::TooMany { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        (4..=6, Some(turn)) => {
            match house.dispatcher.say(house.message(Some(turn.session), &prompt)).await {
                Ok(turn) => turns.push(turn),
                Err(DispatchError::TooMany { .. } | DispatchError::TooManyMessages { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        (7, Some(turn)) => match house.dispatcher.stop_turn(&me, turn.dispatch).await {
            Ok(()) | Err(DispatchError::Over(_) | DispatchError::NoTurn(_)) => {}
            Err(error) => panic!("{error}"),
        },
        (_, Some(turn)) => match house.dispatcher.cancel(&me, turn.dispatch).await {
            Ok(()) | Err(DispatchError::Over(_)) => {}
            Err(error) => panic!("{error}"),
        },
    }
}

fn check(seed: u64) {
    let folder = Arc::new(TempDir::new().unwrap());
    let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut turns = vec![];
    for _ in 0..3 {
        let runtime = Runtime::new().unwrap();
        run(&runtime, async {
            let (house, _) = House::at(folder.clone(), options()).await;
            for _ in 0..random.below(12) {
                happens(&house, &mut turns, &mut random).await;
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(20));
    }
    let runtime = Runtime::new().unwrap();
    run(&runtime, async {
        let (house, _) = House::at(folder.clone(), options()).await;
        for turn in &turns {
            house.end(turn.dispatch).await;
            let events = house.events(turn.dispatch).await;
            let ended = events.iter().filter(
                |event| matches!(event, Event::TurnEnded { turn: ended, .. } if *ended == turn.id),
            );
            assert_eq!(ended.count(), 1, "seed {seed}: {} in {events:#?}", turn.id);
            let started = events.iter().filter(|event| {
                matches!(event, Event::TurnStarted { turn: started } if *started == turn.id)
            });
            assert!(started.count() <= 1, "seed {seed}: {} ran twice: {events:#?}", turn.id);
        }
        assert!(house.ledger.live().await.unwrap().is_empty(), "seed {seed}");
        house.is_empty().await;
    });
}

#[test]
fn every_turn_and_every_dispatch_ends_once_whatever_happens() {
    for seed in 1..=6 {
        check(seed);
    }
}
