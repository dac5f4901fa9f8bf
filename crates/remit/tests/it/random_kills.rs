//! The server dies, by kill -9, at random times in the middle of several conversations; the last one on
//! the same data must leave every promise true. `REMIT_TEST_KILLS` is how often it dies.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::harness::{Client, Folder};
use crate::kills::{Asked, ends_when_idle, judged, marks};

/// Random kills where nobody says how many.
const KILLS: u64 = 20;
const SEED: u64 = 0x5eed_0002;
/// Conversations at once while kills are random.
const CHATS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn at_random_times() {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is said from outside")]
    let kills =
        std::env::var("REMIT_TEST_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let folder = Folder::new();
    let mut random = Random(SEED);
    let mut asked = vec![];
    let mut sessions = vec![None; CHATS];
    for round in 0..kills {
        let server = ends_when_idle(&folder).server();
        let mut chats = JoinSet::new();
        for (chat, session) in sessions.iter().cloned().enumerate() {
            chats.spawn(chatter(server.client(), round, chat, session));
        }
        tokio::time::sleep(Duration::from_millis(random.below(600))).await;
        server.kill();
        while let Some(chat) = chats.join_next().await {
            let (chat, turns) = chat.expect("a client does not fail when its server does");
            let session =
                turns.iter().rev().find_map(|turn: &Asked| turn.session().map(str::to_owned));
            sessions[chat] = session.or(sessions[chat].take());
            asked.extend(turns);
        }
    }
    assert!(asked.iter().any(|turn| turn.accepted.is_some()), "no turn was ever accepted");
    judged(&folder, &asked).await;
}

/// Says one thing after the other until the server is gone.
async fn chatter(
    me: Client,
    round: u64,
    chat: usize,
    session: Option<String>,
) -> (usize, Vec<Asked>) {
    let mut turns: Vec<Asked> = vec![];
    loop {
        let name = format!("r{round}-c{chat}-{}", turns.len());
        let file = format!("log-{chat}.md");
        let known = turns.iter().rev().find_map(Asked::session).or(session.as_deref());
        let body = marks(&name, &file, "", known);
        let mut turn = Asked::of(&me, body).await;
        let alive = turn.hears("turn-complete").await;
        turns.push(turn);
        if !alive {
            return (chat, turns);
        }
    }
}

/// Numbers that are the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
