//! Fifty dispatches of several people at once on one workspace: all of it lands, each under its own name, and each
//! dispatch ends once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, Folder, Start, Stream};
use crate::judge::{Repository, is_over_once, of_type, only};
use crate::sharing::Shared;

const PEOPLE: usize = 5;
const DISPATCHES: usize = 50;

/// A dispatch that is over.
struct Done {
    number: usize,
    id: String,
    person: String,
    events: Vec<Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_all_land_each_under_its_name() {
    let folder = Folder::new();
    let places = DISPATCHES.to_string();
    let server = Start::on(&folder)
        .setting("limits.idle_s", "0")
        .setting("limits.live_per_person", &places)
        .server();
    let team = Shared::of(&server).await;
    let lines: Vec<_> =
        (0..DISPATCHES).map(|number| format!("item {number} open\n\n\n\n")).collect();
    let list = lines.concat();
    team.owner.put("list.md", &list, &team.workspace).await;
    let repository = Repository::of(&folder, &team.workspace);
    let before = repository.head();
    let mut people = vec![];
    for number in 0..PEOPLE {
        let name = format!("person{number}");
        people.push((team.member(&server, &name, "contributor").await.0, name));
    }
    let mut running = JoinSet::new();
    for number in 0..DISPATCHES {
        let (client, person) = people[number % PEOPLE].clone();
        running.spawn(work(client, person, team.workspace.clone(), number));
    }
    let done = running.join_all().await;

    let mut landed = BTreeMap::new();
    for Done { number, id, person, events } in &done {
        let turns = is_over_once(events);
        assert_eq!(turns.into_values().collect::<Vec<_>>(), [json!("completed")], "{events:#?}");
        assert!(of_type(events, "held").is_empty(), "dispatch {number} is held: {events:#?}");
        let commit = only(events, "commit")["commit"].as_str().expect("a commit").to_owned();
        assert_eq!(repository.git(&["log", "-1", "--format=%an", &commit]), *person);
        assert_eq!(repository.trailer(&commit, "Dispatch"), *id);
        landed.insert(commit, id.clone());
    }
    assert_eq!(landed.len(), DISPATCHES);
    let history = repository.git(&["rev-list", &format!("{before}..main")]);
    assert_eq!(
        history.lines().collect::<BTreeSet<_>>(),
        landed.keys().map(String::as_str).collect()
    );
    assert_eq!(repository.git(&["rev-list", "--min-parents=2", "main"]), "");
    for number in 0..DISPATCHES {
        let own = repository.file("main", &format!("own/{number}.md"));
        assert_eq!(own.as_deref(), Some(format!("mine is {number}").as_str()));
    }
    let found = repository.file("main", "list.md").expect("it stands there");
    assert_eq!(found, list.replace("open", "closed").trim_end());
    repository.is_sound(folder.path());
}

/// One turn that writes a file of its own and changes a line of one that all change.
async fn work(client: Client, person: String, workspace: String, number: usize) -> Done {
    let prompt = format!(
        "write mine is {number} to own/{number}.md; \
         run sed -i 's/^item {number} open$/item {number} closed/' list.md; sleep 1"
    );
    let route = format!("/agent/chat?workspace={workspace}");
    let mut stream =
        Stream::of(client.request("POST", &route).json(&json!({"prompt": prompt}))).await;
    let id = stream.header("x-unit-id");
    stream.rest().await;
    client.until(&id, "ended").await;
    Done { number, events: client.events(&id).await, id, person }
}
