//! Turns what a view changed into a commit, durably and without overwriting anybody. Never writes a file of a
//! folder.

use crate::{
    Changed, CommitId, Delta, Error, Limits, Reason, Refusals, Repository, Root, Signature,
    StatCache, Trailer, TreeId, TreePath,
    content::Reader,
    git::{
        object::{Commit, Kind, encode_commit},
        pack::Stage,
        refs::{Locked, MAIN, is_plain_name},
    },
    merge::{Sides, merge},
    path::Shown,
    point::Point,
    trailer,
    tree::{self, Trees},
    walk::{self, Folder, Ignore, Source},
};

/// A folder as a sandbox left it.
#[derive(Debug)]
pub enum View {
    /// The upper directory of an overlay over a checkout, mounted with neither `redirect_dir` nor `metacopy`. Only
    /// what changed is looked at.
    Overlay(Root),
    /// A full copy of a checkout. Everything is looked at, what the [`StatCache`] does not know is read.
    Plain(Root),
}

/// By whom and why a commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// The person for whom it was done.
    pub author: Signature,
    /// The platform.
    pub committer: Signature,
    /// What was done, in words; may come from anybody. 64 KiB at most are kept.
    pub message: String,
    /// What the platform vouches for. `Refused` trailers are added to these.
    pub trailers: Vec<Trailer>,
}

/// A change-set that is to become a commit.
#[derive(Debug)]
pub struct Change<'a> {
    /// What the view changed, all since its checkout.
    pub delta: Delta,
    /// The commit that the view was made from.
    pub checkout: CommitId,
    /// `view` of the last [`Committed`] of the same view: then only what changed since is this change-set. `None`
    /// for the first one.
    pub seen: Option<TreeId>,
    /// By whom and why.
    pub by: &'a Attribution,
    /// Where a change-set that conflicts is kept: `refs/remit/held/<name>`; the dispatch's id. Letters, digits, `_`,
    /// `-` and `.`.
    pub hold_as: &'a str,
}

/// What became of a change-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing differs from what is committed already. No commit was made.
    Unchanged {
        /// The folder as the view has it: the [`Change::seen`] of the view's next change-set. Others, or the same
        /// change-set before its answer was lost, may have made a commit that already has all of it.
        view: TreeId,
        /// What was left out.
        refusals: Refusals,
    },
    /// It is the newest commit of the folder, durably.
    Committed(Committed),
    /// Others changed the same paths meanwhile. The change-set is kept, whole and durably, beside the folder.
    Held(Held),
}

/// A change-set that became a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new head.
    pub commit: CommitId,
    /// The folder as the view has it: the [`Change::seen`] of the view's next change-set. Differs from the commit's
    /// tree if others committed meanwhile.
    pub view: TreeId,
    /// What this change-set changed.
    pub changed: Vec<Changed>,
    /// What was left out.
    pub refusals: Refusals,
}

/// A change-set that waits for somebody to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The ref that holds it.
    pub name: String,
    /// The commit on that ref; its parent holds what the view had when the change-set began.
    pub commit: CommitId,
    /// The paths that both sides changed.
    pub paths: Vec<TreePath>,
    /// What was left out.
    pub refusals: Refusals,
}

/// The trailer of a held change-set, and what it says.
const HELD: &str = "Held";
const PROPOSE_ONLY: &str = "propose-only";
const CONFLICT: &str = "conflict";

/// Where held change-sets are.
const HELD_REFS: &str = "refs/remit/held";

impl Attribution {
    /// The same with one more trailer.
    pub(crate) fn with(&self, key: &str, value: &str) -> Self {
        let mut by = self.clone();
        by.trailers.extend(Trailer::new(key, value));
        by
    }
}

/// A change-set is moved onto a newer head without the lock once; then with it, so that nobody starves.
const ATTEMPTS: [Attempt; 2] = [Attempt::Optimistic, Attempt::Locked];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Optimistic,
    Locked,
}

/// Held change-sets of one dispatch at most.
const HELD_MAX: usize = 1000;

impl Repository {
    /// What `view` changed against the commit it was made from. Takes time in proportion to the change (overlay) or
    /// to the number of files (plain). Call it when nothing runs in the view any more.
    ///
    /// What the policy does not allow is left out and listed: nothing that lies in a view makes this fail.
    pub fn delta(
        &self,
        checkout: CommitId,
        view: &View,
        limits: &Limits,
        cache: &mut StatCache,
    ) -> Result<Delta, Error> {
        let ignore = Ignore::AsCommitted;
        let folder = match view {
            View::Overlay(root) => Folder { root, source: Source::Overlay, ignore },
            View::Plain(root) => Folder { root, source: Source::Plain, ignore },
        };
        self.delta_from(self.tree_of(checkout)?, folder, limits, cache)
    }

    pub(crate) fn delta_from(
        &self,
        origin: TreeId,
        folder: Folder<'_>,
        limits: &Limits,
        cache: &mut StatCache,
    ) -> Result<Delta, Error> {
        let found = walk::walk(folder, self.trees(), &origin, limits)?;
        let reader = Reader {
            root: folder.root,
            known: self.store.known(),
            limits,
            cache,
            stage: self.stage(),
        };
        reader.delta(found, origin)
    }

    /// Makes `change` the newest commit of the folder, on top of whatever is the newest one then. When this returns,
    /// what it says survives a crash and a power cut; if it fails, the folder is as before.
    pub fn commit(&self, change: Change<'_>) -> Result<Outcome, Error> {
        self.settle(change, Goal::Head)
    }

    /// Holds `change` beside the folder, for somebody to decide: [`Outcome::Held`] with no path in conflict. The same
    /// change-set of the same name is held once.
    pub fn propose(&self, change: Change<'_>) -> Result<Outcome, Error> {
        self.settle(change, Goal::Held)
    }

    fn settle(&self, change: Change<'_>, goal: Goal) -> Result<Outcome, Error> {
        if !is_plain_name(change.hold_as) {
            let path = Shown::new(change.hold_as.as_bytes());
            return Err(Error::NotAllowed { path, reason: Reason::ControlCharacter });
        }
        let Delta { edits, refusals, origin, mut stage } = change.delta;
        self.probe.reach(Point::Gathered);
        let ours = tree::edit(&self.store, &mut stage, &origin, &edits)?;
        let seen = change.seen.unwrap_or(origin);
        if ours == seen {
            return Ok(Outcome::Unchanged { view: ours, refusals });
        }
        let moving = Moving {
            repository: self,
            seen,
            ours,
            checkout: change.checkout,
            by: change.by,
            refusals,
        };
        match goal {
            Goal::Head => moving.land(stage, change.hold_as),
            Goal::Held => moving.hold(stage, change.hold_as, Vec::new(), None),
        }
    }
}

/// Where a change-set is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Onto the head, or beside it if it conflicts.
    Head,
    /// Beside the head.
    Held,
}

/// A change-set on its way onto the head.
pub(crate) struct Moving<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) seen: TreeId,
    pub(crate) ours: TreeId,
    pub(crate) checkout: CommitId,
    pub(crate) by: &'a Attribution,
    pub(crate) refusals: Refusals,
}

impl Moving<'_> {
    fn land(self, stage: Stage, hold_as: &str) -> Result<Outcome, Error> {
        let repository = self.repository;
        let mut kept = Some(stage);
        for attempt in ATTEMPTS {
            let locked = match attempt {
                Attempt::Optimistic => None,
                Attempt::Locked => Some(repository.refs.lock()?),
            };
            // What the first attempt staged still is, or is on the disk: the second adds trees and a commit.
            let mut stage = kept.take().unwrap_or_else(|| repository.stage());
            let head = repository.head()?.ok_or(Error::Unborn)?;
            let theirs = repository.tree_of(head)?;
            let tree = match self.onto(&mut stage, theirs)? {
                Ok(tree) => tree,
                Err(paths) => return self.hold(stage, hold_as, paths, locked),
            };
            if tree == theirs {
                drop(locked);
                repository.keep(self.ours, stage)?;
                return Ok(Outcome::Unchanged { view: self.ours, refusals: self.refusals });
            }
            let changed = Trees { store: &repository.store, stage: Some(&stage) }
                .changes(&self.seen, &self.ours)?;
            let parents = [*head.raw()];
            let commit = commit_object(&mut stage, &tree, &parents, self.by, &self.refusals)?;
            let step = Move { name: MAIN, from: Some(head), to: commit };
            match repository.publish(stage, step, locked)? {
                Published::Moved => {
                    let (view, refusals) = (self.ours, self.refusals);
                    return Ok(Outcome::Committed(Committed { commit, view, changed, refusals }));
                }
                Published::Lost(stage) => kept = Some(*stage),
            }
        }
        Err(Error::Damaged { what: "ref moved under its lock", id: MAIN.to_owned() })
    }

    /// Holds it, as what conflicts with the head where it does.
    pub(crate) fn suggest(self, mut stage: Stage, hold_as: &str) -> Result<Held, Error> {
        let repository = self.repository;
        let head = repository.head()?.ok_or(Error::Unborn)?;
        let onto = self.onto(&mut stage, repository.tree_of(head)?)?;
        match self.hold(stage, hold_as, onto.err().unwrap_or_default(), None)? {
            Outcome::Held(held) => Ok(held),
            Outcome::Unchanged { .. } | Outcome::Committed(_) => {
                Err(Error::Damaged { what: "held nothing", id: hold_as.to_owned() })
            }
        }
    }

    /// The head with the change-set in it, or where the two disagree.
    pub(crate) fn onto(
        &self,
        stage: &mut Stage,
        head: TreeId,
    ) -> Result<Result<TreeId, Vec<TreePath>>, Error> {
        if head == self.seen {
            return Ok(Ok(self.ours));
        }
        let store = &self.repository.store;
        let sides = Sides { origin: self.seen, ours: self.ours, theirs: head };
        let merged = merge(store, stage, sides)?;
        if !merged.conflicts.is_empty() {
            return Ok(Err(merged.conflicts.into_keys().collect()));
        }
        Ok(Ok(tree::edit(store, stage, &head, &merged.edits)?))
    }

    fn hold(
        self,
        mut stage: Stage,
        hold_as: &str,
        paths: Vec<TreePath>,
        locked: Option<Locked<'_>>,
    ) -> Result<Outcome, Error> {
        let repository = self.repository;
        let locked = match locked {
            Some(locked) => locked,
            None => repository.refs.lock()?,
        };
        let (name, held) = self.held_name(hold_as)?;
        if let Some(commit) = held {
            return Ok(Outcome::Held(Held { name, commit, paths, refusals: self.refusals }));
        }
        let parents = [*self.base(&mut stage)?.raw()];
        let by = self.by.with(HELD, if paths.is_empty() { PROPOSE_ONLY } else { CONFLICT });
        let commit = commit_object(&mut stage, &self.ours, &parents, &by, &self.refusals)?;
        let step = Move { name: &name, from: None, to: commit };
        if repository.publish(stage, step, Some(locked))?.is_moved() {
            return Ok(Outcome::Held(Held { name, commit, paths, refusals: self.refusals }));
        }
        Err(Error::Damaged { what: "ref moved under its lock", id: name })
    }

    /// The commit whose content the change-set changed: the checkout, or one on it that holds what the view had seen.
    fn base(&self, stage: &mut Stage) -> Result<CommitId, Error> {
        if self.repository.tree_of(self.checkout)? == self.seen {
            return Ok(self.checkout);
        }
        let by = Attribution { message: "What the view had seen".to_owned(), ..self.by.clone() };
        let parents = [*self.checkout.raw()];
        commit_object(stage, &self.seen, &parents, &by, &Refusals::default())
    }

    /// A free name, or the one that holds this very change-set already: a caller that lost the answer asks again.
    fn held_name(&self, hold_as: &str) -> Result<(String, Option<CommitId>), Error> {
        let repository = self.repository;
        let plain = format!("{HELD_REFS}/{hold_as}");
        for number in 1..=HELD_MAX {
            let name = if number == 1 { plain.clone() } else { format!("{plain}-{number}") };
            let Some(held) = repository.refs.get(&name)?.map(CommitId::new) else {
                return Ok((name, None));
            };
            if self.is_held_by(&repository.commit_of(held)?)? {
                return Ok((name, Some(held)));
            }
        }
        Err(Error::Full { action: "hold so many change-sets of one dispatch" })
    }

    fn is_held_by(&self, commit: &Commit) -> Result<bool, Error> {
        let [base] = commit.parents.as_slice() else { return Ok(false) };
        let seen = self.repository.tree_of(CommitId::new(*base))?;
        Ok(commit.tree == *self.ours.raw() && seen == self.seen)
    }
}

impl Repository {
    /// Every held change-set: the last part of its ref's name, and its commit.
    pub fn held(&self) -> Result<Vec<(String, CommitId)>, Error> {
        let mut held = Vec::new();
        for name in self.refs.names(HELD_REFS)? {
            if let Some(commit) = self.refs.get(&format!("{HELD_REFS}/{name}"))? {
                held.push((name, CommitId::new(commit)));
            }
        }
        Ok(held)
    }
}

/// Where a ref points and where it is to point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move<'a> {
    pub(crate) name: &'a str,
    pub(crate) from: Option<CommitId>,
    pub(crate) to: CommitId,
}

impl Repository {
    /// Writes what is staged, durably, if the state of a view that it holds is not there yet: no commit will hold that
    /// state, but the view's next change-set is compared with it.
    fn keep(&self, view: TreeId, stage: Stage) -> Result<(), Error> {
        if self.store.find(Kind::Tree, view.raw())?.is_some() {
            return Ok(());
        }
        let mut locked = None;
        if self.write_pack(stage, &mut locked)? {
            drop(locked);
            self.packed();
        }
        Ok(())
    }

    /// Writes what is staged as a pack, durably, and sealed where the repository is: then the refs are locked from now
    /// on, for until it is sealed no one else may merge it away. Whether there was anything to write.
    fn write_pack<'a>(
        &'a self,
        stage: Stage,
        locked: &mut Option<Locked<'a>>,
    ) -> Result<bool, Error> {
        if self.vault.is_some() && locked.is_none() {
            *locked = Some(self.refs.lock()?);
        }
        let Some(packed) = stage.finish()? else { return Ok(false) };
        packed.sync()?;
        self.vault.as_ref().map_or(Ok(()), |vault| vault.keep(&packed.name))?;
        Ok(true)
    }

    /// Writes what is staged and moves a ref if it still points where it did, all durably.
    pub(crate) fn publish<'a>(
        &'a self,
        mut stage: Stage,
        step: Move<'_>,
        mut locked: Option<Locked<'a>>,
    ) -> Result<Published, Error> {
        let small = stage.small()?;
        if small.is_none() {
            let staged = std::mem::replace(&mut stage, self.stage());
            self.write_pack(staged, &mut locked)?;
        }
        self.probe.reach(Point::PackNamed);
        let locked = match locked {
            Some(locked) => locked,
            None => self.refs.lock()?,
        };
        let from = step.from.as_ref().map(CommitId::raw);
        let moved = locked.swap(step.name, from, step.to.raw(), small)?;
        if moved {
            // Before the lock goes: whoever has it next reads them.
            self.store.remember(stage.take_small_objects());
        }
        drop(locked);
        if !moved {
            return Ok(Published::Lost(Box::new(stage)));
        }
        self.packed();
        Ok(Published::Moved)
    }
}

/// What became of a move.
#[derive(Debug)]
pub(crate) enum Published {
    /// The ref points to the new commit.
    Moved,
    /// It pointed elsewhere. What was staged still is, unless it is on the disk.
    Lost(Box<Stage>),
}

impl Published {
    pub(crate) fn is_moved(&self) -> bool {
        matches!(self, Self::Moved)
    }
}

pub(crate) fn commit_object(
    stage: &mut Stage,
    tree: &TreeId,
    parents: &[crate::id::Oid],
    by: &Attribution,
    refusals: &Refusals,
) -> Result<CommitId, Error> {
    let commit = Commit {
        tree: *tree.raw(),
        parents: parents.to_vec(),
        author: by.author.line(),
        committer: by.committer.line(),
        message: trailer::message(&by.message, &by.trailers, refusals),
    };
    stage.put(Kind::Commit, &encode_commit(&commit)).map(CommitId::new)
}
