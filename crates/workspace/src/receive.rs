//! Takes in what somebody pushed, or what an outside repository holds: out of a quarantine, by the same policy as every
//! commit, as a fast-forward. What is refused was never part of the repository. Never runs git; who fills the
//! quarantine does.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Attribution, CommitId, Error, Held, Limits, Reason, Refusals, Repository, TreeId,
    commit::{Move, Moving, commit_object},
    content::is_sound_attributes,
    git::{
        object::{Commit, Entry, Kind, Tree, mode, parse_commit, parse_tree},
        pack::{Stage, temp_path},
        refs::MAIN,
        store::Store,
    },
    id::Oid,
    path::Shown,
    policy::{check_name, check_target, fold, is_special},
    trailer,
    tree::EMPTY_TREE,
};

/// Commits of one push at most.
const COMMITS_MAX: usize = 10_000;

/// Commits that a held push lists by their subjects.
const LISTED_MAX: usize = 50;

/// Commits that are looked through for the one that a push was made on.
const LOOKED_THROUGH_MAX: usize = 100_000;

/// Entries of trees that are looked at in one push at most.
const VISITS_MAX: usize = 500_000;

/// An empty repository inside ours that sees our objects and that nobody else sees. Gone with all it holds when it is
/// dropped, or when the repository is opened after a crash.
#[derive(Debug)]
pub struct Quarantine {
    path: PathBuf,
}

impl Quarantine {
    /// Where it is: the directory of a bare repository.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was fetched as [`INCOMING`](Self::INCOMING), if anything was.
    pub fn incoming(&self) -> Option<CommitId> {
        let text = fs::read_to_string(self.path.join(Self::INCOMING)).ok()?;
        text.trim_end().parse().ok()
    }

    /// The ref that a fetch is to write.
    pub const INCOMING: &str = "refs/heads/incoming";
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.path).is_err() {
            tracing::warn!("a quarantine could not be removed; the next start does");
        }
    }
}

/// From where commits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody pushed them. None may speak as the platform does.
    Push,
    /// Another server pushed them, which speaks as a platform does. What speaks so is noted, as of a remote.
    Server,
    /// An outside repository has them. Those that speak as the platform does are noted: nothing that they say about
    /// themselves is believed. Onto a folder that was only begun, any history may come.
    Remote,
}

/// What is to be taken in.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// What its maker took for the folder's newest commit.
    pub from: CommitId,
    /// What it is to become.
    pub tip: CommitId,
    /// From where it comes.
    pub origin: Origin,
    /// Who takes it in. The committer's mail address is the platform's.
    pub by: &'a Attribution,
    /// What becomes of what is no fast-forward.
    pub otherwise: Otherwise<'a>,
}

/// What becomes of what is not taken in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise<'a> {
    /// It is refused.
    Refuse,
    /// It is held under this name, beside the folder, for somebody to decide: as one change-set on the newest commit
    /// that both are made on.
    Hold(&'a str),
    /// So is a fast-forward.
    HoldAll(&'a str),
    /// The newest commit and it become the parents of another one, unless the two disagree.
    Merge,
}

/// What became of a push. Except for `Done`, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The folder stands at what was pushed, durably.
    Done {
        /// How many commits came.
        commits: usize,
    },
    /// The folder stands at a commit that joins it with what it held before, durably.
    Merged {
        /// That commit.
        commit: CommitId,
        /// How many commits came.
        commits: usize,
    },
    /// It waits beside the folder.
    Held(Held),
    /// It holds nothing that the folder does not, and there is nothing to wait for.
    NothingNew,
    /// What was pushed is not made on the newest commit, and does not go with it.
    NotForward,
    /// Somebody else was quicker.
    Moved,
    /// A commit breaks a rule.
    Refused {
        /// Which commit.
        commit: CommitId,
        /// Where, made safe to show; empty where it is the commit itself.
        path: Shown,
        /// Which rule.
        why: Why,
    },
}

/// Why a commit is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// An entry breaks the policy of what a commit may hold.
    Policy(Reason),
    /// Its message has a trailer that only the platform writes, or it says that the platform made it.
    Forged,
    /// The push has too many commits or objects, or is too large.
    TooMuch,
}

impl Repository {
    /// A quarantine for one push.
    pub fn quarantine(&self) -> Result<Quarantine, Error> {
        let failed = Error::io("make a quarantine");
        let quarantine = Quarantine { path: temp_path(&self.path) };
        for directory in ["", "objects", "objects/info", "objects/pack", "refs", "refs/heads"] {
            fs::create_dir(quarantine.path.join(directory)).map_err(&failed)?;
        }
        let alternates = format!("{}\n", self.objects().display());
        let config =
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\thooksPath = /dev/null\n";
        let head = self.head()?.map(|head| format!("{head}\n"));
        let files = [
            ("HEAD", Some("ref: refs/heads/main\n")),
            ("config", Some(config)),
            ("objects/info/alternates", Some(alternates.as_str())),
            // Who fetches into it has this, and says so.
            (MAIN, head.as_deref()),
        ];
        for (name, content) in files.iter().filter_map(|(name, it)| Some((name, (*it)?))) {
            fs::write(quarantine.path.join(name), content).map_err(&failed)?;
        }
        Ok(quarantine)
    }

    /// Moves the folder from `from`, which must be its newest commit, on to `tip`, which lies in `quarantine` and was
    /// made on it: every commit between them is checked entry by entry against what it changed.
    pub fn receive(
        &self,
        quarantine: &Quarantine,
        incoming: &Incoming<'_>,
    ) -> Result<Received, Error> {
        let Incoming { from, tip, origin, by, otherwise } = *incoming;
        let store = Store::open(&quarantine.path.join("objects"))?;
        let mut push = Push::new(self, &store);
        let New { commits, forward, joints } = push.commits(from, tip)?;
        if commits.len() > COMMITS_MAX {
            return Ok(refused(tip, b"", Why::TooMuch));
        }
        let forward = (forward && self.head()? == Some(from))
            || (origin == Origin::Remote && self.is_only_begun(from)?);
        let hold_as = match otherwise {
            Otherwise::Hold(name) if !forward => Some(name),
            Otherwise::HoldAll(name) => Some(name),
            Otherwise::Refuse if !forward => return Ok(Received::NotForward),
            Otherwise::Refuse | Otherwise::Hold(_) | Otherwise::Merge => None,
        };
        let base = self.newest_of(&joints)?;
        if (hold_as.is_some() || !forward) && (base.is_none() || commits.is_empty()) {
            return Ok(Received::NotForward);
        }
        // What waits here is ours, whoever brings it back.
        let held: HashSet<CommitId> = match origin {
            Origin::Push => HashSet::new(),
            Origin::Server | Origin::Remote => self.held()?.into_iter().map(|it| it.1).collect(),
        };
        let mut foreign = Vec::new();
        for (id, commit) in &commits {
            if is_forged(commit, &by.committer.email) {
                match origin {
                    Origin::Server | Origin::Remote if !held.contains(id) => foreign.push(*id),
                    _ => return Ok(refused(*id, b"", Why::Forged)),
                }
            }
            if let Err((path, why)) = push.check(commit)? {
                return Ok(refused(*id, &path, why));
            }
        }
        let stage = push.stage(commits.iter().map(|(id, _)| *id))?;
        if let (Some(hold_as), Some(base)) = (hold_as, base) {
            return self.hold_push(stage, (base, hold_as), by, &commits);
        }
        // Before anybody can read them as the folder's.
        self.note_foreign(&foreign, by)?;
        if let (false, Some(base)) = (forward, base) {
            return self.join(stage, base, by, &commits);
        }
        let moved = self.publish(stage, Move { name: MAIN, from: Some(from), to: tip }, None)?;
        Ok(if moved.is_moved() {
            Received::Done { commits: commits.len() }
        } else {
            Received::Moved
        })
    }

    /// Holds what turns `base` into the tip of these commits as one change-set that says what its commits are called.
    fn hold_push(
        &self,
        stage: Stage,
        (base, hold_as): (CommitId, &str),
        by: &Attribution,
        commits: &[(CommitId, Commit)],
    ) -> Result<Received, Error> {
        let subject = |commit: &Commit| trailer::split(&commit.message).0;
        // The tip comes first.
        let [(_, of_tip), ..] = commits else { return Ok(Received::NotForward) };
        let mut message = subject(of_tip);
        if commits.len() > 1 {
            message.push_str("\n\n");
            let listed = commits.iter().take(LISTED_MAX);
            let lines = listed.map(|(_, commit)| format!("* {}\n", subject(commit)));
            message.extend(lines);
        }
        let by = Attribution { message, ..by.clone() };
        let (seen, ours) = (self.tree_of(base)?, TreeId::new(of_tip.tree));
        if seen == ours {
            return Ok(Received::NothingNew);
        }
        let refusals = Refusals::default();
        let moving = Moving { repository: self, seen, ours, checkout: base, by: &by, refusals };
        Ok(Received::Held(moving.suggest(stage, hold_as)?))
    }

    /// Makes a commit of the newest one and of the tip of these, which were made on `base`, where what they changed since
    /// goes together.
    fn join(
        &self,
        mut stage: Stage,
        base: CommitId,
        by: &Attribution,
        commits: &[(CommitId, Commit)],
    ) -> Result<Received, Error> {
        // The tip comes first.
        let [(tip, of_tip), ..] = commits else { return Ok(Received::NotForward) };
        let head = self.head()?.ok_or(Error::Unborn)?;
        let (seen, ours) = (self.tree_of(base)?, TreeId::new(of_tip.tree));
        let refusals = Refusals::default();
        let moving = Moving { repository: self, seen, ours, checkout: base, by, refusals };
        let Ok(tree) = moving.onto(&mut stage, self.tree_of(head)?)? else {
            return Ok(Received::NotForward);
        };
        let parents = [*head.raw(), *tip.raw()];
        let commit = commit_object(&mut stage, &tree, &parents, by, &Refusals::default())?;
        let step = Move { name: MAIN, from: Some(head), to: commit };
        Ok(if self.publish(stage, step, None)?.is_moved() {
            Received::Merged { commit, commits: commits.len() }
        } else {
            Received::Moved
        })
    }

    /// The one of these commits of the folder's history that was its newest last.
    fn newest_of(&self, joints: &[CommitId]) -> Result<Option<CommitId>, Error> {
        if joints.len() < 2 {
            return Ok(joints.first().copied());
        }
        let mut next = self.head()?;
        for _ in 0..LOOKED_THROUGH_MAX {
            let Some(commit) = next.filter(|commit| !joints.contains(commit)) else { break };
            next = self.commit_of(commit)?.parents.first().copied().map(CommitId::new);
        }
        Ok(next.filter(|commit| joints.contains(commit)).or(joints.first().copied()))
    }

    /// Whether the folder is empty and never held anything.
    fn is_only_begun(&self, head: CommitId) -> Result<bool, Error> {
        let commit = self.commit_of(head)?;
        Ok(commit.parents.is_empty() && commit.tree == EMPTY_TREE)
    }
}

fn refused(commit: CommitId, path: &[u8], why: Why) -> Received {
    Received::Refused { commit, path: Shown::new(path), why }
}

/// Whether a commit that somebody pushes poses as one of the platform's.
fn is_forged(commit: &Commit, platform: &str) -> bool {
    let (_, trailers) = trailer::split(&commit.message);
    crate::Signature::parse(&commit.committer).email == platform
        || trailers.iter().any(|it| trailer::is_reserved(it.key()))
}

struct Push<'a> {
    ours: &'a Repository,
    incoming: &'a Store,
    /// What the commits hold that their first parents do not.
    objects: Vec<(Kind, Oid)>,
    seen: HashSet<Oid>,
    bytes: u64,
    visits: usize,
}

/// An entry that is refused: its path, and why.
type Refused = (Vec<u8>, Why);

/// What is new to a folder.
struct New {
    commits: Vec<(CommitId, Commit)>,
    /// Whether they are made on the commit that their maker took for its newest.
    forward: bool,
    /// The commits of its history that they are made on.
    joints: Vec<CommitId>,
}

impl<'a> Push<'a> {
    fn new(ours: &'a Repository, incoming: &'a Store) -> Self {
        Self { ours, incoming, objects: Vec::new(), seen: HashSet::new(), bytes: 0, visits: 0 }
    }

    /// What was noted, and these commits, as far as they are new to the repository.
    fn stage(&self, commits: impl Iterator<Item = CommitId>) -> Result<Stage, Error> {
        let mut stage = self.ours.stage();
        let known = self.ours.store.known();
        let ids = commits.map(|id| (Kind::Commit, *id.raw()));
        for (kind, id) in self.objects.iter().copied().chain(ids) {
            if !known.has(&id) {
                stage.put_hashed(kind, id, &self.incoming.get(kind, &id)?)?;
            }
        }
        Ok(stage)
    }

    /// The commits that are new to the folder's history, at most one more than may come. What lies in the repository
    /// and is no part of that history (what waits for somebody, sessions) is as new as any other.
    fn commits(&self, from: CommitId, tip: CommitId) -> Result<New, Error> {
        let (mut new, mut waiting, mut seen) = (Vec::new(), vec![tip], HashSet::from([tip]));
        let (mut forward, mut joints) = (false, Vec::new());
        while let Some(id) = waiting.pop() {
            forward |= id == from;
            if self.ours.is_in_history(id)? {
                joints.push(id);
                continue;
            }
            let Some(raw) = self.incoming.find(Kind::Commit, id.raw())? else {
                return Err(Error::NoCommit { commit: id });
            };
            let commit = parse_commit(&raw, id.raw())?;
            let parents = commit.parents.iter().copied().map(CommitId::new);
            waiting.extend(parents.filter(|parent| seen.insert(*parent)));
            new.push((id, commit));
            if new.len() > COMMITS_MAX {
                break;
            }
        }
        Ok(New { commits: new, forward, joints })
    }

    fn tree(&self, id: &Oid) -> Result<Tree, Error> {
        parse_tree(&self.incoming.get(Kind::Tree, id)?, id)
    }

    /// Checks what a commit changed against its first parent, and notes it.
    fn check(&mut self, commit: &Commit) -> Result<Result<(), Refused>, Error> {
        let before = match commit.parents.first() {
            Some(parent) => {
                let raw = self.incoming.get(Kind::Commit, parent)?;
                Some(parse_commit(&raw, parent)?.tree)
            }
            None => None,
        };
        if before == Some(commit.tree) {
            return Ok(Ok(()));
        }
        self.directory(before, commit.tree, &mut Vec::new())
    }

    fn directory(
        &mut self,
        before: Option<Oid>,
        after: Oid,
        path: &mut Vec<Vec<u8>>,
    ) -> Result<Result<(), Refused>, Error> {
        let shown = |path: &[Vec<u8>]| path.join(&b'/');
        let tree = self.tree(&after)?;
        let old = before.map(|before| self.tree(&before)).transpose()?.unwrap_or_default();
        if !self.note(Kind::Tree, after) {
            return Ok(Err((shown(path), Why::TooMuch)));
        }
        let mut folded: HashMap<String, bool> = HashMap::new();
        for name in tree.keys() {
            let is_new = !old.contains_key(name);
            let twin = folded.insert(fold(&String::from_utf8_lossy(name)), is_new);
            if twin.is_some_and(|twin_is_new| is_new || twin_is_new) {
                path.push(name.clone());
                return Ok(Err((shown(path), Why::Policy(Reason::CaseTwin))));
            }
        }
        for (name, entry) in tree {
            let stood = old.get(&name).copied();
            if stood == Some(entry) {
                continue;
            }
            path.push(name.clone());
            if let Err(reason) = check_place(&name, path) {
                return Ok(Err((shown(path), Why::Policy(reason))));
            }
            if entry.is_tree() {
                let below = stood.filter(Entry::is_tree).map(|entry| entry.id);
                if let Err(refused) = self.directory(below, entry.id, path)? {
                    return Ok(Err(refused));
                }
            } else {
                match self.file(&name, entry, path.len())? {
                    Err(why) => return Ok(Err((shown(path), why))),
                    Ok(()) if !self.note(Kind::Blob, entry.id) => {
                        return Ok(Err((shown(path), Why::TooMuch)));
                    }
                    Ok(()) => {}
                }
            }
            path.pop();
        }
        Ok(Ok(()))
    }

    fn file(&mut self, name: &[u8], entry: Entry, depth: usize) -> Result<Result<(), Why>, Error> {
        let policy = |reason| Ok(Err(Why::Policy(reason)));
        match entry.mode {
            mode::FILE | mode::EXECUTABLE | mode::LINK => {}
            mode::SUBMODULE => return policy(Reason::Submodules),
            _ => return policy(Reason::Device),
        }
        let size = self.incoming.size(&entry.id)?.map_or(u64::MAX, |size| size as u64);
        if size > Limits::WORKSPACE.file_bytes_max {
            return policy(Reason::TooLarge);
        }
        self.bytes += size;
        if self.bytes > 2 * Limits::WORKSPACE.total_bytes_max {
            return Ok(Err(Why::TooMuch));
        }
        if entry.mode == mode::LINK {
            if is_special(&String::from_utf8_lossy(name)) {
                return policy(Reason::LinkIsSpecial);
            }
            let target = self.incoming.get(Kind::Blob, &entry.id)?;
            return Ok(check_target(&target, depth).map_err(Why::Policy));
        }
        if name == b".gitattributes"
            && !is_sound_attributes(&self.incoming.get(Kind::Blob, &entry.id)?)
        {
            return policy(Reason::Attributes);
        }
        Ok(Ok(()))
    }

    /// Notes an object to be taken in; whether there is room for it. One that stands in many places counts for each:
    /// a few trees that hold each other many times over must not be walked for ever.
    fn note(&mut self, kind: Kind, id: Oid) -> bool {
        self.visits += 1;
        if self.seen.insert(id) {
            self.objects.push((kind, id));
        }
        self.visits <= VISITS_MAX
    }
}

fn check_place(name: &[u8], path: &[Vec<u8>]) -> Result<(), Reason> {
    let limits = Limits::WORKSPACE;
    check_name(name)?;
    if path.len() > limits.depth_max {
        return Err(Reason::TooDeep);
    }
    if path.iter().map(|name| name.len() + 1).sum::<usize>() > limits.path_bytes_max + 1 {
        return Err(Reason::PathTooLong);
    }
    Ok(())
}
