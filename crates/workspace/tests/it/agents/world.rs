//! One folder, its agents, its proposals and all that ever landed in it. Checks each commit as it lands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use workspace::{
    Attribution, Change, CommitId, FileEntry, Held, Limits, Outcome, Repository, Shown, Trailer,
    TreeId, Undone, Write, Written,
};

use super::{
    canary::{Canary, SECRET},
    desk::{Act, Desk, Kind, SECRET_NAME, Words},
    model::{self, Folder, Sides, all_words, assert_same},
};
use crate::house::{House, by, git, tree_path};

/// What an agent's work becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Commit,
    Propose,
}

/// An agent, and what it had when its last change-set landed.
struct Agent {
    desk: Desk,
    goal: Goal,
    seen: Option<TreeId>,
    had: Folder,
}

/// A change-set that somebody has to decide about.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub(super) commit: CommitId,
    pub(super) base: Folder,
    pub(super) ours: Folder,
}

/// A commit of the folder, as it must stand in the history.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) commit: CommitId,
    author: String,
    dispatch: String,
    pub(super) folder: Folder,
}

pub(super) struct World {
    pub(super) house: House,
    pub(super) canary: Canary,
    pub(super) words: Words,
    agents: Vec<Agent>,
    pub(super) proposals: Vec<Proposal>,
    /// Every commit of the folder, oldest first.
    pub(super) history: Vec<Made>,
    /// Commits that were taken back.
    undone: BTreeSet<usize>,
    /// Every word that a trusted agent wrote or a person approved.
    approved: BTreeSet<Vec<u8>>,
    number: usize,
}

/// Agents at work at the same time.
const AGENTS_MAX: usize = 6;

/// How often somebody looks at a folder whose entries are being swapped.
const LOOKS: usize = 20;

impl World {
    pub(super) fn new() -> Self {
        let mut words = Words::default();
        let mut text = || (0..6).map(|_| words.line()).collect::<String>();
        let seeds = ["a.md", "b.md", "d/x.md", "d/e/z.md"].map(|path| (path, text()));
        let seeds = seeds.each_ref().map(|(path, text)| (*path, text.as_str()));
        let house = House::new_in_memory(&seeds);
        let canary = Canary::at(house.path("outside"));
        let folder = folder_of(&house.repository, house.head());
        let approved = all_words(&folder);
        let made = Made {
            commit: house.head(),
            author: "Ada Lovelace".to_owned(),
            dispatch: "dsp_1".to_owned(),
            folder,
        };
        Self {
            house,
            canary,
            words,
            agents: Vec::new(),
            proposals: Vec::new(),
            history: vec![made],
            undone: BTreeSet::new(),
            approved,
            number: 1,
        }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.history.last().unwrap().folder
    }

    pub(super) fn open(&mut self, kind: Kind, goal: Goal) {
        if self.agents.len() < AGENTS_MAX {
            self.number += 1;
            let had = self.folder().clone();
            let desk = Desk::new(&self.house, self.number, kind, &had);
            self.agents.push(Agent { desk, goal, seen: None, had });
        }
    }

    pub(super) fn close(&mut self, agent: usize) {
        if !self.agents.is_empty() {
            self.agents.remove(agent % self.agents.len());
        }
    }

    pub(super) fn act(&mut self, agent: usize, act: &Act) {
        let count = self.agents.len().max(1);
        if let Some(agent) = self.agents.get_mut(agent % count) {
            agent.desk.act(act, &mut self.words, &self.canary);
        }
    }

    /// The turn of one agent ends.
    pub(super) fn turn(&mut self, agent: usize) {
        if !self.agents.is_empty() {
            let at = agent % self.agents.len();
            let agents = vec![self.agents.remove(at)];
            self.turns(agents);
        }
    }

    /// The turns of all agents end at once, while others read and tidy up.
    pub(super) fn all_turns(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        self.turns(agents);
    }

    fn turns(&mut self, mut agents: Vec<Agent>) {
        let repository = &self.house.repository;
        let outcomes: Vec<Outcome> = thread::scope(|scope| {
            let ends: Vec<_> =
                agents.iter_mut().map(|agent| scope.spawn(|| agent.end_turn(repository))).collect();
            scope.spawn(|| repository.maintain().unwrap());
            scope.spawn(|| folder_of(repository, repository.head().unwrap().unwrap()));
            ends.into_iter().map(|end| end.join().unwrap()).collect()
        });
        let before = self.history.len() - 1;
        for commit in self.new_commits() {
            let landed = |outcome: &Outcome| matches!(outcome, Outcome::Committed(done) if done.commit == commit);
            let at = outcomes.iter().position(landed).expect("a commit that nobody made");
            let agent = &agents[at];
            let ours = agent.desk.offered();
            self.landed(commit, &agent.by(), &agent.had, &ours);
        }
        for (agent, outcome) in agents.into_iter().zip(outcomes) {
            self.after_turn(agent, outcome, before);
        }
        self.canary.assert_untouched();
    }

    /// The commits since the last known one, oldest first.
    fn new_commits(&self) -> Vec<CommitId> {
        let known = self.history.last().unwrap().commit;
        let log = self.house.repository.log(self.house.head(), 1_000).unwrap();
        assert!(log.iter().all(|record| record.parents.len() <= 1), "history is not linear");
        let mut new: Vec<_> =
            log.iter().map(|record| record.commit).take_while(|commit| *commit != known).collect();
        assert!(new.len() < log.len(), "history was rewritten");
        new.reverse();
        new
    }

    /// Checks a commit that landed and takes it into the history.
    pub(super) fn landed(
        &mut self,
        commit: CommitId,
        by: &Attribution,
        base: &Folder,
        ours: &Folder,
    ) {
        let folder = folder_of(&self.house.repository, commit);
        Sides { base, ours, theirs: self.folder() }.check_landed(&folder);
        self.approved.append(&mut all_words(ours));
        self.take_in(commit, by, folder);
    }

    /// Takes a commit into the history.
    pub(super) fn take_in(&mut self, commit: CommitId, by: &Attribution, folder: Folder) {
        let author = by.author.name.clone();
        let trailer = by.trailers.iter().find(|trailer| trailer.key() == "Dispatch").unwrap();
        let dispatch = trailer.value().to_owned();
        self.history.push(Made { commit, author, dispatch, folder });
    }

    fn after_turn(&mut self, mut agent: Agent, outcome: Outcome, before: usize) {
        let repository = &self.house.repository;
        let ours = agent.desk.offered();
        match outcome {
            Outcome::Unchanged { view, refusals } => {
                assert_eq!(refusals.count, agent.desk.traps().len());
                agent.saw(repository, view);
            }
            Outcome::Committed(done) => {
                assert_eq!(agent.goal, Goal::Commit, "what was only proposed landed");
                agent.saw(repository, done.view);
            }
            Outcome::Held(held) => {
                let proposal = self.held(&held, &agent, ours);
                if agent.goal == Goal::Commit {
                    let fits = |made: &Made| {
                        let (base, ours) = (&proposal.base, &proposal.ours);
                        Sides { base, ours, theirs: &made.folder }.merged().is_some()
                    };
                    let in_doubt = self.history[before..].iter().any(|made| !fits(made));
                    assert!(in_doubt, "held without a doubt: {:?}", held.paths);
                }
                self.proposals.push(proposal);
                // Its work waits for somebody; another one goes on.
                return;
            }
        }
        self.agents.push(agent);
    }

    /// What is held is all that the agent did, and nothing else.
    fn held(&self, held: &Held, agent: &Agent, ours: Folder) -> Proposal {
        let repository = &self.house.repository;
        assert_same(&folder_of(repository, held.commit), &ours, "a held change-set");
        let record = repository.record(held.commit).unwrap();
        assert_eq!(record.author, agent.by().author);
        let [base] = record.parents.as_slice() else { panic!("held on {:?}", record.parents) };
        let base = folder_of(repository, *base);
        assert_same(&base, &agent.had, "what a held change-set was made from");
        Proposal { commit: held.commit, base, ours }
    }

    /// Entries of a view are swapped while the committer looks at it, again and again. What it takes is what stood
    /// there at some time, and never from outside.
    pub(super) fn race(&mut self, agent: usize) {
        let count = self.agents.len().max(1);
        let Some(agent) = self.agents.get_mut(agent % count) else { return };
        let place = agent.desk.prepare_race(self.words.number(), &self.canary);
        let repository = &self.house.repository;
        let calm = agent.look(repository);
        let harmless = calm["race/file"];
        let rest = |mut seen: BTreeMap<String, Option<FileEntry>>| {
            seen.retain(|path, after| {
                let races = path.starts_with("race/");
                assert!(!races || *after == harmless, "{path} became {after:?}");
                !races
            });
            seen
        };
        let calm = rest(calm);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| swap_until(&place, &stop));
            let _stop = Stop(&stop);
            for _ in 0..LOOKS {
                assert_eq!(rest(agent.look(repository)), calm);
            }
        });
        agent.desk.end_race();
        self.canary.assert_untouched();
    }

    /// Somebody takes back a commit, each once.
    pub(super) fn undo(&mut self, nth: usize) {
        let at = nth % self.history.len();
        if at == 0 || !self.undone.insert(at) {
            return;
        }
        let (base, ours) = (self.history[at].folder.clone(), self.history[at - 1].folder.clone());
        let by = self.person();
        match self.house.repository.undo(self.history[at].commit, &by, "revert").unwrap() {
            Undone::Done(commit) => self.maybe_landed(commit, &by, &base, &ours),
            Undone::Held { held, .. } => {
                let sides = Sides { base: &base, ours: &ours, theirs: self.folder() };
                assert!(sides.merged().is_none(), "not taken back without a doubt");
                let held = folder_of(&self.house.repository, held.commit);
                assert_same(&held, &ours, "what would take a commit back");
            }
        }
    }

    /// Somebody writes a file by hand, having seen some commit or none.
    pub(super) fn write(&mut self, path: &str, nth: Option<usize>) {
        let seen = nth.map(|nth| nth % self.history.len());
        let content = self.words.line().into_bytes();
        let write = Write { path: tree_path(path), content: Some(content.clone()) };
        let by = self.person();
        let base = seen.map(|seen| self.history[seen].commit);
        let done = self.house.repository.write(base, &[write], &by).unwrap();
        let moved =
            seen.is_some_and(|seen| self.history[seen].folder.get(path) != self.folder().get(path));
        match done {
            Written::Done(commit) => {
                assert!(!moved, "somebody's work was overwritten");
                let base = self.folder().clone();
                let mut ours = base.clone();
                let mode = base.get(path).map_or(workspace::FileMode::Plain, |(mode, _)| *mode);
                ours.insert(path.to_owned(), (mode, content));
                self.maybe_landed(commit, &by, &base, &ours);
            }
            Written::Moved { .. } => {
                let seen = &self.history[seen.expect("nothing was seen")].folder;
                let mut moved = model::changed(seen, self.folder()).into_iter();
                assert!(moved.any(|moved| model::meet(moved, path)), "nothing moved");
            }
            Written::Occupied(_) | Written::Refused { .. } => assert!(self.is_crowded(path)),
            Written::Absent(_) => panic!("nothing was to be deleted"),
        }
    }

    /// Whether something else than a file stands at a path, or something in its way.
    fn is_crowded(&self, path: &str) -> bool {
        let link = |(mode, _): &model::File| *mode == workspace::FileMode::Link;
        self.folder().get(path).is_some_and(link)
            || self.folder().keys().any(|other| other != path && model::meet(other, path))
    }

    /// A commit, unless there was nothing left to commit.
    fn maybe_landed(&mut self, commit: CommitId, by: &Attribution, base: &Folder, ours: &Folder) {
        if commit == self.history.last().unwrap().commit {
            let sides = Sides { base, ours, theirs: self.folder() };
            return sides.check_landed(self.folder());
        }
        assert_eq!(self.new_commits(), [commit]);
        self.landed(commit, by, base, ours);
    }

    /// The words of a folder may be there from now on.
    pub(super) fn approve_words(&mut self, words: &mut BTreeSet<Vec<u8>>) {
        self.approved.append(words);
    }

    pub(super) fn person(&mut self) -> Attribution {
        self.number += 1;
        attribution("Person", self.number)
    }

    /// The server goes and comes again.
    pub(super) fn restart(&mut self) {
        self.house.repository = Repository::open(&self.house.path("folder.git")).unwrap();
    }

    /// git finds the same folder and the same history, and in all of it no word that nobody approved.
    pub(super) fn judge(&self) {
        self.house.judge();
        let bare = self.house.path("folder.git");
        let format = "--format=%H|%an|%cn|%(trailers:key=Dispatch,valueonly,separator=%x2c)";
        let log = git(&bare, &["log", "--reverse", format, "main"]);
        let made = self
            .history
            .iter()
            .map(|made| format!("{}|{}|Remit|{}", made.commit, made.author, made.dispatch));
        assert_eq!(log.lines().collect::<Vec<_>>(), made.collect::<Vec<_>>());
        assert_eq!(git(&bare, &["rev-list", "--min-parents=2", "main"]), "");
        git(self.house.directory.path(), &["clone", "-q", "folder.git", "clone"]);
        let clone = self.house.path("clone");
        fs::remove_dir_all(clone.join(".git")).unwrap();
        let mut shown = Folder::new();
        crate::overlays::read_all(&clone, &clone, &mut shown);
        assert_same(&shown, self.folder(), "a clone");
        fs::remove_dir_all(clone).unwrap();
        for made in &self.history {
            for word in all_words(&made.folder) {
                let shown = String::from_utf8_lossy(&word).into_owned();
                assert!(self.approved.contains(&word), "nobody approved {shown:?}");
                assert!(shown != SECRET && shown != SECRET_NAME, "it never may land");
            }
        }
        self.canary.assert_untouched();
    }
}

impl Agent {
    fn by(&self) -> Attribution {
        attribution("Agent", self.desk.number)
    }

    fn end_turn(&mut self, repository: &Repository) -> Outcome {
        let checkout = self.desk.checkout();
        let view = self.desk.view();
        let cache = &mut self.desk.cache;
        let delta = repository.delta(checkout, &view, &Limits::WORKSPACE, cache).unwrap();
        let refused: BTreeSet<_> = delta.refusals().listed.iter().cloned().collect();
        let traps = self.desk.traps().iter();
        let expected = traps
            .map(|(path, reason)| workspace::Refusal { path: Shown::new(path), reason: *reason });
        assert_eq!(refused, expected.collect(), "what is refused");
        let hold_as = format!("dsp_{}", self.desk.number);
        let by = self.by();
        let change = Change { delta, checkout, seen: self.seen, by: &by, hold_as: &hold_as };
        match self.goal {
            Goal::Commit => repository.commit(change).unwrap(),
            Goal::Propose => repository.propose(change).unwrap(),
        }
    }

    fn saw(&mut self, repository: &Repository, view: TreeId) {
        self.had = folder_of_tree(repository, view);
        assert_same(&self.had, &self.desk.offered(), "a view");
        self.seen = Some(view);
    }

    /// What of the view would be committed just now.
    fn look(&mut self, repository: &Repository) -> BTreeMap<String, Option<FileEntry>> {
        let (checkout, view) = (self.desk.checkout(), self.desk.view());
        let cache = &mut self.desk.cache;
        let delta = repository.delta(checkout, &view, &Limits::WORKSPACE, cache).unwrap();
        delta.edits().iter().map(|edit| (edit.path.to_string(), edit.after)).collect()
    }
}

fn attribution(who: &str, number: usize) -> Attribution {
    let mut by = by(&format!("Work of {who} {number}"));
    by.author.name = format!("{who} {number}");
    by.trailers = vec![Trailer::new("Dispatch", &format!("dsp_{number}")).unwrap()];
    by
}

/// Ends the other side of a race, also when this side fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps a file for a link to outside, and a directory for one, for as long as it may.
fn swap_until(place: &Path, stop: &AtomicBool) {
    let swap = |one: &str, other: &str| {
        let (one, other) = (place.join(one), place.join(other));
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    };
    while !stop.load(Ordering::Relaxed) {
        swap("file", "link");
        swap("directory", "elsewhere");
    }
}

/// All files of a commit.
pub(super) fn folder_of(repository: &Repository, commit: CommitId) -> Folder {
    folder_of_tree(repository, repository.tree_of(commit).unwrap())
}

fn folder_of_tree(repository: &Repository, tree: TreeId) -> Folder {
    let files = repository.changes(TreeId::EMPTY, tree).unwrap();
    let file = |changed: workspace::Changed| {
        let after = changed.after.unwrap();
        (changed.path.to_string(), (after.mode, repository.blob(after.blob).unwrap()))
    };
    files.into_iter().map(file).collect()
}
