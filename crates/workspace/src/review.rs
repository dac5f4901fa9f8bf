//! A held change-set as it would change the folder as it stands now: what a person reviews. Writes nothing.

use crate::{
    Changed, CommitId, Conflict, Edit, Error, FileEntry, FileMode, FilePatch, Limits, Reason,
    Refusals, Repository, TreeId, TreePath,
    blobs::Blobs,
    git::pack::Stage,
    merge::{Merge, Sides, merge},
    patch::{Room, file_patch},
    policy::check_target,
    rename::{Moved, with_renames},
    tree::{self, EMPTY_TREE, Trees},
};

/// A held change-set against the folder as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What the change-set was made from.
    pub base: CommitId,
    /// The folder that it is compared with.
    pub head: CommitId,
    /// What it would change, in the order of [`TreePath`]. Nothing if the folder has all of it already.
    pub files: Vec<Reviewed>,
    /// What no commit of ours may hold: left out, whatever is chosen.
    pub refused: Refusals,
}

/// One file of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// What would become of it. Where both sides changed it: what they agree on, and else as the change-set has it.
    pub patch: FilePatch,
    /// How the change-set disagrees with what happened in the folder meanwhile.
    pub conflict: Option<Conflict>,
}

/// A review with what a commit of it needs.
pub(crate) struct Reviewing {
    pub(crate) review: Review,
    pub(crate) theirs: TreeId,
    pub(crate) stage: Stage,
}

impl Repository {
    /// Reviews the change-set of the commit `held` against `head`: the change from its first parent to it.
    ///
    /// # Errors
    /// [`Error::NoCommit`].
    pub fn review(&self, held: CommitId, head: CommitId) -> Result<Review, Error> {
        Ok(self.reviewing(held, head)?.review)
    }

    pub(crate) fn reviewing(&self, held: CommitId, head: CommitId) -> Result<Reviewing, Error> {
        let commit = self.commit_of(held)?;
        let base = commit.parents.first().map_or(held, |base| CommitId::new(*base));
        let origin = match commit.parents.first() {
            Some(base) => self.tree_of(CommitId::new(*base))?,
            None => TreeId::new(EMPTY_TREE),
        };
        let sides = Sides { origin, ours: TreeId::new(commit.tree), theirs: self.tree_of(head)? };
        let mut stage = self.stage();
        let Merge { edits, conflicts } = merge(&self.store, &mut stage, sides)?;
        let mut refused = Refusals::default();
        let mut kept = Vec::new();
        for edit in edits {
            match self.admissible(&edit, &stage)? {
                Ok(()) => kept.push(edit),
                Err(reason) => {
                    refused.add(&Limits::WORKSPACE, edit.path.as_str().as_bytes(), reason);
                }
            }
        }
        let changed = tree::edit(&self.store, &mut stage, &sides.theirs, &kept)?;
        let mut files = self.files(&stage, [&sides.theirs, &changed], &conflicts)?;
        let in_the_way = conflicts.iter().filter(|(_, conflict)| **conflict == Conflict::Place);
        let in_the_way: Vec<TreePath> = in_the_way.map(|(path, _)| path.clone()).collect();
        files.extend(self.without_place(&stage, sides, &in_the_way)?);
        files.sort_by(|one, other| one.patch.path.cmp(&other.patch.path));
        let review = Review { base, head, files, refused };
        Ok(Reviewing { review, theirs: sides.theirs, stage })
    }

    /// What a walker would refuse: a change-set may have been pushed.
    fn admissible(&self, edit: &Edit, stage: &Stage) -> Result<Result<(), Reason>, Error> {
        let Some(file) = edit.after else { return Ok(Ok(())) };
        if let Err(reason) = TreePath::new(edit.path.as_str()) {
            return Ok(Err(reason));
        }
        let blobs = Blobs { store: &self.store, stage: Some(stage) };
        match file.mode {
            FileMode::Submodule => Ok(Err(Reason::Submodules)),
            FileMode::Link if crate::policy::is_special(edit.path.name()) => {
                Ok(Err(Reason::LinkIsSpecial))
            }
            FileMode::Link if blobs.size(file.blob)? > LINK_BYTES_MAX => {
                Ok(Err(Reason::LinkLeadsOut))
            }
            FileMode::Link => Ok(check_target(&blobs.get(file.blob)?, edit.path.names().count())),
            FileMode::Plain | FileMode::Executable => {
                let large = blobs.size(file.blob)? as u64 > Limits::WORKSPACE.file_bytes_max;
                Ok(if large { Err(Reason::TooLarge) } else { Ok(()) })
            }
        }
    }

    fn files(
        &self,
        stage: &Stage,
        [before, after]: [&TreeId; 2],
        conflicts: &std::collections::BTreeMap<TreePath, Conflict>,
    ) -> Result<Vec<Reviewed>, Error> {
        let changes = Trees { store: &self.store, stage: Some(stage) }.changes(before, after)?;
        let blobs = Blobs { store: &self.store, stage: Some(stage) };
        let mut room = Room::default();
        let reviewed = |moved: Moved| {
            let conflict = conflicts.get(&moved.path).copied();
            Ok(Reviewed { patch: file_patch(blobs, moved, &mut room)?, conflict })
        };
        with_renames(blobs, changes)?.into_iter().map(reviewed).collect()
    }

    /// Files of the change-set that something else stands in the way of, as if they were new.
    fn without_place(
        &self,
        stage: &Stage,
        sides: Sides,
        paths: &[TreePath],
    ) -> Result<Vec<Reviewed>, Error> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let blobs = Blobs { store: &self.store, stage: Some(stage) };
        let changes = self.trees().changes(&sides.origin, &sides.ours)?;
        let mut room = Room::default();
        let found = changes.into_iter().filter(|changed| paths.contains(&changed.path));
        let reviewed = |Changed { path, after, .. }: Changed| {
            let moved = Moved { path, from: None, before: None, after };
            let patch = file_patch(blobs, moved, &mut room)?;
            Ok(Reviewed { patch, conflict: Some(Conflict::Place) })
        };
        found.map(reviewed).collect()
    }
}

/// Bytes of a link's target at most.
const LINK_BYTES_MAX: usize = 1024;

impl Reviewed {
    /// What stands there before and afterwards, as far as it binds an approval: mode and name of the content.
    pub fn entries(&self) -> [Option<FileEntry>; 2] {
        [self.patch.before, self.patch.after]
    }
}
