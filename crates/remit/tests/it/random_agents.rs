//! Several people's agents do random things to shared workspaces, what they propose is approved, denied or left alone,
//! and once in between the server dies by kill -9. Git is the judge: what was approved landed once and under the name
//! of whoever asked for it, nothing else ever did, and the histories are lines. `REMIT_TEST_SEED` chooses one seed.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Client, Folder, Server, Stream};
use crate::judge::{Repository, of_type};
use crate::kills::ends_when_idle;
use crate::random_kills::Random;
use crate::sharing::Shared;

const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// Each agent does one thing in each.
const ROUNDS: usize = 7;
/// In this one the server dies.
const DEADLY: usize = 4;
/// So many agents of everybody are at work at once.
const AGENTS: usize = 2;
/// So many files are fought over.
const FILES: u64 = 3;
/// Of those who are asked; the last one may only read.
const PEOPLE: [&str; 4] = ["ann", "joe", "cleo", "vic"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_lands_once_and_nothing_else_ever_does() {
    #[expect(clippy::disallowed_methods, reason = "which test runs is said from outside")]
    let seed = std::env::var("REMIT_TEST_SEED").ok().map(|it| it.parse().expect("a number"));
    let (mut running, mut names, mut failed) = (JoinSet::new(), BTreeMap::new(), vec![]);
    let mut all = Seen::default();
    for seed in seed.map_or(SEEDS.to_vec(), |seed| vec![seed]) {
        names.insert(running.spawn(World::live(seed)).id(), seed);
    }
    while let Some(ended) = running.join_next_with_id().await {
        match ended {
            Ok((_, seen)) => all.add(&seen),
            Err(panicked) => failed.push(names[&panicked.id()]),
        }
    }
    assert!(failed.is_empty(), "run again with REMIT_TEST_SEED, one of {failed:?}");
    let Seen { landed, approved, denied, open } = all;
    let least = landed.min(approved).min(denied).min(open);
    assert!(least > 0, "nothing was put to the test: {all:?}");
}

/// How much of everything there was.
#[derive(Debug, Default)]
struct Seen {
    landed: usize,
    approved: usize,
    denied: usize,
    open: usize,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.landed += other.landed;
        self.approved += other.approved;
        self.denied += other.denied;
        self.open += other.open;
    }
}

struct Person {
    name: &'static str,
    id: String,
    client: Client,
}

/// What somebody's agent was asked to do, and what came of it.
struct Step {
    number: usize,
    by: usize,
    workspace: usize,
    mode: &'static str,
    prompt: String,
    /// Whether its agent came to its end before the server's.
    was_told: bool,
}

impl Step {
    fn turn(&self) -> String {
        format!("step-{}", self.number)
    }
}

/// What was decided about the proposal of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Approved,
    Denied,
}

struct World {
    folder: Folder,
    /// None only while it is dead.
    server: Option<Server>,
    people: Vec<Person>,
    workspaces: Vec<String>,
    random: Random,
    steps: Vec<Step>,
    /// How many steps were thought of.
    begun: usize,
    decided: BTreeMap<String, Decision>,
}

impl World {
    async fn live(seed: u64) -> Seen {
        let mut world = Self::begin(seed).await;
        for round in 0..ROUNDS {
            world.round(round == DEADLY).await;
            world.decide().await;
        }
        world.is_as_it_should_be().await
    }

    async fn begin(seed: u64) -> Self {
        let folder = Folder::new();
        let server = ends_when_idle(&folder).server();
        let team = Shared::of(&server).await;
        let me =
            team.owner.get("/auth/me").await.ok()["user_id"].as_str().expect("an id").to_owned();
        let mut people = vec![Person { name: PEOPLE[0], id: me, client: team.owner.clone() }];
        let made = team.owner.post("/agent/workspace/new", json!({"name": "side"})).await.ok();
        let side = Shared {
            owner: team.owner.clone(),
            workspace: made["id"].as_str().expect("an id").to_owned(),
        };
        for (name, role) in PEOPLE[1..].iter().zip(["contributor", "contributor", "viewer"]) {
            let (client, id) = team.member(&server, name, role).await;
            side.joins(&client, role).await;
            people.push(Person { name, id, client });
        }
        let workspaces = vec![team.workspace, side.workspace];
        let (random, steps, decided) = (Random(seed), vec![], BTreeMap::new());
        let server = Some(server);
        Self { folder, server, people, workspaces, random, steps, begun: 0, decided }
    }

    /// Everybody asks for something at once; in a deadly round the server is gone before all is done.
    async fn round(&mut self, deadly: bool) {
        let mut asked = JoinSet::new();
        for by in (0..self.people.len()).cycle().take(AGENTS * PEOPLE.len()) {
            let step = self.step(by);
            let client = self.people[by].client.clone();
            let workspace = format!("{}:{}", self.workspaces[step.workspace], step.mode);
            asked.spawn(ask(client, workspace, step));
        }
        if deadly {
            tokio::time::sleep(std::time::Duration::from_millis(self.random.below(500))).await;
            self.server.take().expect("alive").kill();
        }
        while let Some(step) = asked.join_next().await {
            self.steps.push(step.expect("a client does not fail when its server does"));
        }
        if deadly {
            let server = ends_when_idle(&self.folder).server();
            for person in &mut self.people {
                person.client = person.client.at(server.url());
            }
            self.server = Some(server);
        }
    }

    /// What somebody's agent is to do next.
    fn step(&mut self, by: usize) -> Step {
        let number = self.begun;
        self.begun += 1;
        let (one, other) = (self.random.below(FILES), self.random.below(FILES));
        let mark = mark(number);
        let prompt = match self.random.below(9) {
            0..=2 => format!("append {mark} to log-{one}.md"),
            3 | 4 => format!("write {mark} to f{one}.md"),
            5 => format!("delete f{one}.md"),
            6 => format!("run mv f{one}.md f{other}.md"),
            7 => {
                format!("run ln -s log-{one}.md link-{number}; run ln -s /etc/passwd evil-{number}")
            }
            _ => format!("run printf '{mark}\\000\\377' > bin-{number}.dat"),
        };
        let workspace = usize::from(self.random.below(3) == 0);
        let mode = match self.random.below(6) {
            _ if by == PEOPLE.len() - 1 => "ro",
            0 => "ro",
            1 | 2 => "propose",
            _ => "rw",
        };
        Step { number, by, workspace, mode, prompt, was_told: false }
    }

    /// Some of what waits is approved, some denied, some left.
    async fn decide(&mut self) {
        let list = self.people[0].client.get("/agent/proposals?limit=100").await.ok();
        let open = list["proposals"].as_array().expect("a list").clone();
        for id in open.iter().map(|it| it["id"].as_str().expect("an id")) {
            let client = self.people[usize::from(self.random.below(2) == 0)].client.clone();
            let path = |verb: &str| format!("/agent/proposals/{id}{verb}");
            let decision = match self.random.below(3) {
                0 => Decision::Approved,
                1 => Decision::Denied,
                _ => continue,
            };
            let answer = if decision == Decision::Approved {
                let digest = client.get(&path("")).await.ok()["digest"].clone();
                client.post(&path("/approve"), json!({"digest": digest, "all": true})).await
            } else {
                client.post(&path("/deny"), json!({})).await
            };
            match answer.status {
                StatusCode::OK => drop(self.decided.insert(id.to_owned(), decision)),
                // The two disagree, and nobody said how.
                StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
                    if decision == Decision::Approved => {}
                status => panic!("{decision:?} {status}: {}", answer.body),
            }
        }
    }

    /// What the streams tell of each step, once all are over: the commits that its turn made, and its proposals.
    async fn told(&self) -> BTreeMap<usize, Told> {
        let mut told = BTreeMap::new();
        for person in &self.people {
            let list = person.client.get("/agent/dispatches?limit=500").await.ok();
            for dispatch in list["dispatches"].as_array().expect("a list") {
                let id = dispatch["id"].as_str().expect("an id");
                person.client.until(id, "ended").await;
                let events = person.client.events(id).await;
                let texts = |kind: &str, field: &str| -> Vec<String> {
                    let found = of_type(&events, kind).into_iter().map(|it| it[field].as_str());
                    found.map(|text| text.expect("text").to_owned()).collect()
                };
                for turn in texts("turn_accepted", "turn") {
                    let number =
                        turn.strip_prefix("step-").expect("ours").parse().expect("a number");
                    let step = Told {
                        commits: texts("commit", "commit"),
                        proposals: texts("proposed", "proposal"),
                    };
                    assert!(told.insert(number, step).is_none(), "{turn} ran twice");
                }
            }
        }
        told
    }

    async fn is_as_it_should_be(&self) -> Seen {
        let told = self.told().await;
        let mut landed = BTreeSet::new();
        for (at, workspace) in self.workspaces.iter().enumerate() {
            let repository = Repository::of(&self.folder, workspace);
            repository.is_sound(self.folder.path());
            assert_eq!(repository.git(&["rev-list", "--min-parents=2", "main"]), "", "a line");
            let names = repository.git(&["log", "--format=", "--name-only", "main"]);
            assert!(!names.contains("evil-"), "a link that leads out landed: {names}");
            landed.extend(self.landed(&repository, at, &told));
        }
        for step in &self.steps {
            let none = Told::default();
            let told = told.get(&step.number).unwrap_or(&none);
            let approved = |id: &String| self.decided.get(id) == Some(&Decision::Approved);
            let adds = step.prompt.contains(&mark(step.number));
            let may = !told.commits.is_empty() || told.proposals.iter().any(approved);
            let has = landed.contains(&step.number);
            assert!(!adds || !may || has, "step {} `{}` is lost", step.number, step.prompt);
            // Of one whose server died, the stream may lack what its folder has.
            assert!(may || !has || !step.was_told, "step {} landed by itself", step.number);
            assert!(step.mode == "rw" || told.commits.is_empty(), "{} committed", step.mode);
            assert!(step.mode != "ro" || told.proposals.is_empty(), "a reader proposed");
        }
        let proposals: usize = told.values().map(|it| it.proposals.len()).sum();
        let count = |which| self.decided.values().filter(|it| **it == which).count();
        let (approved, denied) = (count(Decision::Approved), count(Decision::Denied));
        Seen { landed: landed.len(), approved, denied, open: proposals - approved - denied }
    }

    /// The steps whose marks came into a folder, each by one commit that is theirs.
    fn landed(
        &self,
        repository: &Repository,
        at: usize,
        told: &BTreeMap<usize, Told>,
    ) -> Vec<usize> {
        let (mut landed, mut sources, mut before) = (vec![], BTreeSet::new(), vec![]);
        let commits = repository.git(&["rev-list", "--reverse", "main"]);
        // The first one begins the folder.
        for commit in commits.lines().skip(1) {
            let (turn, proposal) =
                (repository.trailer(commit, "Turn"), repository.trailer(commit, "Proposal"));
            let is_of = |step: &&Step| match told.get(&step.number) {
                Some(told) if !proposal.is_empty() => told.proposals.contains(&proposal),
                _ => proposal.is_empty() && step.turn() == turn,
            };
            let step = self.steps.iter().find(is_of);
            let step = step.unwrap_or_else(|| panic!("{commit} is nobody's: {turn} {proposal}"));
            let shown = format!("{commit} of step {} `{}`", step.number, step.prompt);
            assert!(sources.insert((step.number, proposal.clone())), "{shown} landed twice");
            assert_eq!(step.workspace, at, "{shown} is in another folder");
            if proposal.is_empty() {
                assert_eq!(step.mode, "rw", "{shown} was not to land");
            } else {
                let decision = self.decided.get(&proposal);
                assert_eq!(decision, Some(&Decision::Approved), "{shown} was not approved");
                let by = repository.trailer(commit, "Approved-by");
                assert!(self.people[..2].iter().any(|it| it.id == by), "{shown}: {by}");
            }
            let person = &self.people[step.by];
            assert_eq!(
                repository.git(&["log", "-1", "--format=%an", commit]),
                person.name,
                "{shown}"
            );
            assert_eq!(repository.trailer(commit, "Subject"), person.id, "{shown}");
            let marks = marks(repository, commit);
            let mut once: Vec<_> = marks.iter().collect();
            once.dedup();
            assert_eq!(once.len(), marks.len(), "{shown} holds something twice: {marks:?}");
            for new in marks.iter().filter(|it| !before.contains(*it)) {
                assert_eq!(*new, mark(step.number), "{shown} brought what is another's");
                assert!(!landed.contains(&step.number), "{shown} came back");
                landed.push(step.number);
            }
            before = marks;
        }
        landed
    }
}

/// What a stream tells of a step.
#[derive(Default)]
struct Told {
    commits: Vec<String>,
    proposals: Vec<String>,
}

/// What a step leaves where it leaves something.
fn mark(number: usize) -> String {
    format!("mark:{number}.")
}

/// The marks in all files of a commit, sorted.
fn marks(repository: &Repository, commit: &str) -> Vec<String> {
    let found = repository.matches_in(commit, "mark:[0-9]*[.]");
    let mut marks: Vec<_> = found.lines().map(str::to_owned).collect();
    marks.sort();
    marks
}

async fn ask(client: Client, mounted: String, mut step: Step) -> Step {
    let request = client.request("POST", &format!("/agent/chat?workspace={mounted}"));
    let body = json!({"prompt": step.prompt, "turn_id": step.turn()});
    if let Some(mut stream) = Stream::attempt(request.json(&body)).await {
        while let Some(frame) = stream.next().await {
            step.was_told |= frame.event == "turn-complete";
        }
    }
    step
}
