//! What views of a workspace of 10,000 pages cost: `cargo run --release -p knowledge --example bench [-- --json]`. The
//! figure to watch is the ratio of building anew to taking in one commit.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: prints, measures real time, and ends when something fails"
)]

use std::fs;
use std::path::Path;
use std::time::Instant;

use engine::port::Person;
use engine::task::Tasks;
use engine::workspaces::{SeedFile, Workspaces};
use knowledge::Knowledge;
use model::{Time, UserId, WorkspaceId};
use serde_json::{Map, json};
use workspace::{Attribution, Change, Limits, Repository, Root, Signature, StatCache, View};

const FILES: usize = 10_000;
const ROUNDS: usize = 21;
const TODAY: jiff::civil::Date = jiff::civil::date(2026, 7, 1);

#[tokio::main]
async fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let workspaces = Workspaces::new(directory.path(), Tasks::new()).unwrap();
    let id = WorkspaceId::from_uuid(uuid::Uuid::from_u128(1));
    let at = Time::from_ms(1_790_000_000_000);
    let user = UserId::from_uuid(uuid::Uuid::from_u128(2));
    let person = Person {
        id: user,
        email: "b@localhost".into(),
        name: "B".into(),
        concurrent_max: 1,
        created: at,
    };
    workspaces.create(id, (0..FILES).map(page).collect(), &person, at).await.unwrap();
    let knowledge = Knowledge::new(workspaces.clone());
    let mut figures = Map::new();
    let mut put = |name: &str, ms: f64| {
        figures.insert(name.to_owned(), json!((ms * 1000.0).round() / 1000.0));
    };

    let begun = Instant::now();
    knowledge.search(id, "begin".into(), 20).await.unwrap();
    let build = ms(begun);
    let mut steps = vec![];
    let mut asks = vec![];
    for round in 0..ROUNDS {
        let upper = directory.path().join(format!("upper{round}"));
        workspaces
            .with(id, "commit", move |repository| {
                commit(repository, &upper, round);
                Ok(())
            })
            .await
            .unwrap();
        for times in [&mut steps, &mut asks] {
            let begun = Instant::now();
            let found = knowledge.search(id, format!("changed round{round}"), 20).await.unwrap();
            assert_eq!(found.hits.len(), 1);
            times.push(ms(begun));
        }
    }
    let (step, ask) = (middle(steps), middle(asks));
    put("build_ms", build);
    put("commit_and_search_ms", step);
    put("search_ms", ask);
    put("build_to_step_ratio", build / step);
    for (name, typed) in [("search_common_ms", "words"), ("search_prefix_ms", "wo")] {
        let begun = Instant::now();
        knowledge.search(id, typed.into(), 20).await.unwrap();
        put(name, ms(begun));
    }
    let begun = Instant::now();
    knowledge.check(id, TODAY).await.unwrap();
    put("check_ms", ms(begun));
    let begun = Instant::now();
    knowledge.graph(id, TODAY).await.unwrap();
    put("graph_ms", ms(begun));
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json!({"files": FILES, "rounds": ROUNDS, "figures": figures}));
        return;
    }
    println!("{FILES} pages, {ROUNDS} rounds");
    for (name, value) in figures {
        println!("{name:<28} {:>10.4}", value.as_f64().unwrap());
    }
}

fn page(number: usize) -> SeedFile {
    let words = "some words of text ".repeat(number % 40);
    let content = format!(
        "---\ntype: note\nid: n{number}\ntitle: Note {number}\n---\n# Note {number}\n\n{words}\n[[file{}]] [[file{}|x]]\n",
        (number * 7) % FILES,
        (number * 13 + 1) % FILES
    );
    let path = format!("dir{}/sub{}/file{number}.md", number % 20, number / 20 % 10);
    SeedFile { path, content: content.into_bytes() }
}

fn commit(repository: &Repository, upper: &Path, round: usize) {
    fs::create_dir_all(upper.join("dir3/sub4")).unwrap();
    fs::write(upper.join("dir3/sub4/file83.md"), format!("changed round{round} [[file1]]\n"))
        .unwrap();
    let head = repository.head().unwrap().unwrap();
    let view = View::Overlay(Root::open(upper).unwrap());
    let mut cache = StatCache::default();
    let delta = repository.delta(head, &view, &Limits::WORKSPACE, &mut cache).unwrap();
    let who =
        || Signature { name: "B".into(), email: "b@localhost".into(), seconds: 1_790_000_000 };
    let by = Attribution { author: who(), committer: who(), message: "x".into(), trailers: vec![] };
    repository.commit(Change { delta, checkout: head, seen: None, by: &by, hold_as: "x" }).unwrap();
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
