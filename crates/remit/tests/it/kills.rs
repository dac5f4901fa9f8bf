//! The server dies, by kill -9, at every named place; the next one on the same data must leave every
//! promise true.
//!
//! The places are [`KILL_POINTS`], read from the code: a new one is tested without a word here, and one
//! that the script does not reach fails with its name. The program that tests start knows
//! `REMIT_KILL_POINT`, because the dev-dependencies of this crate switch on `engine/kill-points`; cargo
//! does not do so where no test is built, so a program from `cargo build --release` knows neither the
//! variable nor the places.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use engine::kill_point::KILL_POINTS;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, DEADLINE, Folder, Server, Start, Stream};
use crate::judge::{Repository, is_over_once, of_type};

/// So many servers are killed side by side.
const AT_ONCE: usize = 4;

/// A turn as its client knows it.
pub(crate) struct Asked {
    body: Value,
    /// The dispatch and the conversation, once the client was told that the turn is accepted.
    pub(crate) accepted: Option<(String, String)>,
    /// What is still to be heard; none when the server was gone before.
    stream: Option<Stream>,
}

impl Asked {
    /// Asks, and listens until the turn is accepted or the server gone.
    pub(crate) async fn of(me: &Client, body: Value) -> Self {
        let request = me.request("POST", "/agent/chat").json(&body);
        let mut asked = Self { body, accepted: None, stream: Stream::attempt(request).await };
        if let Some(stream) = &mut asked.stream
            && let Some(frame) = stream.next().await
        {
            assert_eq!(frame.event, "turn-accepted");
            asked.accepted = Some((stream.header("x-unit-id"), stream.header("x-chat-session")));
        }
        asked
    }

    /// Listens until a frame of this kind; whether it came.
    pub(crate) async fn hears(&mut self, kind: &str) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        while let Some(frame) = stream.next().await {
            if frame.event == kind {
                return true;
            }
        }
        false
    }

    async fn finished(mut self) -> Self {
        self.hears("turn-complete").await;
        self
    }

    pub(crate) fn turn(&self) -> &str {
        self.body["turn_id"].as_str().expect("a turn id")
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.accepted.as_ref().map(|(_, session)| session.as_str())
    }
}

/// A turn that leaves one mark in a file, in a conversation or a new one.
pub(crate) fn marks(turn: &str, file: &str, more: &str, session: Option<&str>) -> Value {
    let mut body =
        json!({"prompt": format!("append {} to {file}{more}", mark(turn)), "turn_id": turn});
    if let Some(session) = session {
        body["session"] = json!(session);
    }
    body
}

fn mark(turn: &str) -> String {
    format!("mark:{turn}.")
}

/// Its sandboxes would outlive the test if no server ended them.
pub(crate) fn ends_when_idle(folder: &Folder) -> Start<'_> {
    let away = (2 * DEADLINE).as_secs().to_string();
    Start::on(folder).setting("limits.idle_s", "0").setting("limits.away_s", &away)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_named_place() {
    let (mut running, mut failed) = (JoinSet::new(), vec![]);
    let mut names = BTreeMap::new();
    let mut points = KILL_POINTS.iter().copied();
    loop {
        while running.len() < AT_ONCE
            && let Some(point) = points.next()
        {
            names.insert(running.spawn(die_at(point)).id(), point);
        }
        match running.join_next_with_id().await {
            None => break,
            Some(Ok(_)) => {}
            Some(Err(panicked)) => failed.push(names[&panicked.id()]),
        }
    }
    assert!(failed.is_empty(), "these kill points left a promise broken: {failed:?}");
}

/// One server is killed in the middle of a turn, the next at the point, and the last is judged.
async fn die_at(point: &'static str) {
    let folder = Folder::new();
    let first = ends_when_idle(&folder).server();
    let mut begun = Asked::of(&first.client(), marks("t-0", "zero.md", "; sleep 0.5", None)).await;
    assert!(begun.hears("tool-result").await, "{}", first.log());
    first.kill();
    let mut asked = vec![begun];

    // The ledger is written to before anything is asked; later is more telling.
    let nth = if point.starts_with("ledger_") { 8 } else { 1 };
    let armed = ends_when_idle(&folder).variable("REMIT_KILL_POINT", &format!("{point}:{nth}"));
    let status = match armed.attempt() {
        Err((status, _)) => status,
        Ok(mut server) => {
            asked.extend(script(&server).await);
            server.ended()
        }
    };
    assert_eq!(status.signal(), Some(9), "{point}: the server did not die there: {status}");
    judged(&folder, &asked).await;
}

/// Passes every place of a server: a turn, one that waits for it, the end of the box, and a turn in
/// another box that takes the session up.
async fn script(server: &Server) -> Vec<Asked> {
    let me = server.client();
    let one = Asked::of(&me, marks("t-1", "log.md", "; sleep 0.3", None)).await;
    let Some((dispatch, session)) = one.accepted.clone() else { return vec![one] };
    let follow = Asked::of(&me, marks("t-2", "log.md", "", Some(&session)));
    let (one, two) = tokio::join!(one.finished(), follow);
    let mut asked = vec![one, two.finished().await];
    if over(&me, &dispatch).await {
        let three = Asked::of(&me, marks("t-3", "log.md", "", Some(&session))).await;
        asked.push(three.finished().await);
    }
    asked
}

/// Waits until a dispatch is over; false when the server is gone before.
async fn over(me: &Client, dispatch: &str) -> bool {
    let path = format!("/agent/dispatches/{dispatch}/events");
    let Some(mut events) = Stream::attempt(me.request("GET", &path)).await else { return false };
    while let Some(frame) = events.next().await {
        if frame.event == "ended" {
            return true;
        }
    }
    false
}

/// What must hold when a server is back on the data, and after all has come to its end.
pub(crate) async fn judged(folder: &Folder, asked: &[Asked]) {
    let server = ends_when_idle(folder).server();
    let me = server.client();
    tokio::time::timeout(DEADLINE, nobodys_boxes_go(folder, &me))
        .await
        .unwrap_or_else(|_| panic!("a sandbox of nobody stands: {:?}", boxes(folder)));
    let mut told = vec![];
    for turn in asked {
        told.push(again(&me, turn).await);
    }
    let ended = settled(&me).await;
    for (turn, dispatch) in asked.iter().zip(&told) {
        let outcomes = ended.get(dispatch).unwrap_or_else(|| panic!("{dispatch} is lost"));
        assert!(outcomes.contains_key(turn.turn()), "{} is lost", turn.turn());
    }
    one_change_each(&Repository::home(folder, &server), folder, asked, &ended);
    assert_eq!(boxes(folder), BTreeSet::new());
}

/// Asks the same again, which never runs it again; the dispatch of the turn.
async fn again(me: &Client, turn: &Asked) -> String {
    let mut again = me.chat(turn.body.clone()).await;
    let dispatch = again.header("x-unit-id");
    if let Some((known, _)) = &turn.accepted {
        assert_eq!(known, &dispatch, "{} was accepted and runs anew", turn.turn());
    }
    let last = again.rest().await.pop().expect("frames");
    assert_eq!(last.event, "turn-complete");
    dispatch
}

/// Every dispatch to its end, each with the outcomes of its turns.
async fn settled(me: &Client) -> BTreeMap<String, BTreeMap<String, Value>> {
    let list = me.get("/agent/dispatches?limit=500").await.ok();
    let mut ended = BTreeMap::new();
    for dispatch in list["dispatches"].as_array().expect("a list") {
        let id = dispatch["id"].as_str().expect("an id");
        me.until(id, "ended").await;
        ended.insert(id.to_owned(), is_over_once(&me.events(id).await));
    }
    ended
}

/// That every change is whole or absent, none is there twice, and what is said to be done is done.
fn one_change_each(
    home: &Repository,
    folder: &Folder,
    asked: &[Asked],
    ended: &BTreeMap<String, BTreeMap<String, Value>>,
) {
    home.is_sound(folder.path());
    let all: BTreeMap<_, _> = ended.values().flatten().collect();
    let files = home.matches("mark:.*");
    for turn in asked.iter().map(Asked::turn) {
        let marks = files.lines().filter(|line| *line == mark(turn)).count();
        let commits = home.commits_of(turn);
        assert_eq!(marks, commits, "{turn} in {files}");
        let expected = if all[&turn.to_owned()] == "completed" { 1..=1 } else { 0..=1 };
        assert!(
            expected.contains(&commits),
            "{turn}: {commits} commits, {:?}",
            all[&turn.to_owned()]
        );
    }
    let known: BTreeSet<_> = asked.iter().map(|turn| mark(turn.turn())).collect();
    for line in files.lines() {
        assert!(known.contains(line), "`{line}` is no whole change");
    }
}

/// The boxes whose folders stand.
fn boxes(folder: &Folder) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder.data().join("run")) else { return BTreeSet::new() };
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|it| it.starts_with("sbx_"))
        .collect()
}

/// Waits until each box that stands is that of a living dispatch.
async fn nobodys_boxes_go(folder: &Folder, me: &Client) {
    loop {
        let mut nobodys = boxes(folder);
        let live = me.get("/agent/dispatches?live=true&limit=500").await.ok();
        for dispatch in live["dispatches"].as_array().expect("a list") {
            let events = me.events(dispatch["id"].as_str().expect("an id")).await;
            for event in of_type(&events, "sandbox_started") {
                nobodys.remove(event["sandbox"].as_str().expect("an id"));
            }
        }
        if nobodys.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
