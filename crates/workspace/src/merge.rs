//! Brings a change-set onto a folder that has moved on: path by path, along moved files, and line by line within a
//! text. Never merges what is not text, and never decides between two who disagree: it says where.

use std::collections::{BTreeMap, HashMap};

use crate::{
    BlobId, Changed, Edit, Error, FileEntry, FileMode, TreeId, TreePath,
    blobs::Blobs,
    git::{object::Kind, pack::Stage, store::Store},
    merge3::merge3,
    policy::fold,
    rename::{Moved, with_renames},
    text::{as_text, has_too_many_lines},
    tree::Trees,
};

/// Bytes of a text that is merged; a larger one that both changed, or one of more than 50,000 lines, is in conflict.
pub const MERGE_BYTES_MAX: usize = 1 << 20;

/// The three states of a folder that a merge is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    /// What both were made from.
    pub(crate) origin: TreeId,
    /// The change-set.
    pub(crate) ours: TreeId,
    /// The folder as it stands now.
    pub(crate) theirs: TreeId,
}

/// What a change-set would do to the folder as it stands now.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// The steps, in the order of [`TreePath`]. Where both disagree: as the change-set has it; in the way of something
    /// else: none.
    pub(crate) edits: Vec<Edit>,
    /// Where both disagree, in the same order.
    pub(crate) conflicts: BTreeMap<TreePath, Conflict>,
}

/// How two changes disagree about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    /// Both changed what it holds, or one took it away.
    Content,
    /// Something else stands in its way: a directory, a file above it, or a name that differs only in case.
    Place,
}

/// Merges. What comes of texts that both changed is put into `stage`.
pub(crate) fn merge(store: &Store, stage: &mut Stage, sides: Sides) -> Result<Merge, Error> {
    let (ours, theirs) = {
        let trees = Trees { store, stage: Some(stage) };
        let ours = trees.changes(&sides.origin, &sides.ours)?;
        (ours, trees.changes(&sides.origin, &sides.theirs)?)
    };
    let mut merging = Merging::new(store, stage, theirs);
    if merging.meets_none_of(&ours) {
        return Ok(merging.untouched(ours));
    }
    let ours = with_renames(Blobs { store, stage: Some(merging.stage) }, ours)?;
    merging.follow_renames()?;
    for moved in ours {
        merging.one(moved)?;
    }
    merging.merge.edits.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(merging.merge)
}

struct Merging<'a> {
    store: &'a Store,
    stage: &'a mut Stage,
    theirs: BTreeMap<TreePath, Changed>,
    /// Where theirs moved a file to.
    moved_to: HashMap<TreePath, TreePath>,
    /// Each name that theirs put somewhere, and those above it, as a case-insensitive file system sees them.
    folded: HashMap<String, String>,
    merge: Merge,
}

impl<'a> Merging<'a> {
    fn new(store: &'a Store, stage: &'a mut Stage, theirs: Vec<Changed>) -> Self {
        let mut folded = HashMap::new();
        for changed in theirs.iter().filter(|changed| changed.after.is_some()) {
            for part in prefixes(&changed.path) {
                folded.entry(fold(part)).or_insert_with(|| part.to_owned());
            }
        }
        let theirs = theirs.into_iter().map(|changed| (changed.path.clone(), changed)).collect();
        let (moved_to, merge) = (HashMap::new(), Merge::default());
        Self { store, stage, theirs, moved_to, folded, merge }
    }

    /// Whether no path of ours is one of theirs, above or below one, or its twin.
    fn meets_none_of(&self, ours: &[Changed]) -> bool {
        ours.iter().all(|changed| {
            !self.theirs.contains_key(&changed.path)
                && (changed.after.is_none() || self.has_place(&changed.path))
        })
    }

    fn untouched(self, ours: Vec<Changed>) -> Merge {
        let edits = ours.into_iter().map(|it| Edit { path: it.path, after: it.after }).collect();
        Merge { edits, ..self.merge }
    }

    fn follow_renames(&mut self) -> Result<(), Error> {
        let blobs = Blobs { store: self.store, stage: None };
        let theirs = with_renames(blobs, self.theirs.values().cloned().collect())?;
        let moved = theirs.into_iter().filter_map(|moved| Some((moved.from?, moved.path)));
        self.moved_to = moved.collect();
        Ok(())
    }

    /// Whether nothing of theirs is in the way of a file at `path`.
    fn has_place(&self, path: &TreePath) -> bool {
        let twin = |part: &str| self.folded.get(&fold(part)).is_some_and(|other| other != part);
        !prefixes(path).any(twin) && !self.is_file_above(path) && !self.has_file_below(path)
    }

    fn is_file_above(&self, path: &TreePath) -> bool {
        let above = prefixes(path).filter(|part| *part != path.as_str());
        above
            .map(|part| TreePath::from_checked(part.to_owned()))
            .any(|above| self.theirs.get(&above).is_some_and(|changed| changed.after.is_some()))
    }

    fn has_file_below(&self, path: &TreePath) -> bool {
        use std::ops::Bound::{Excluded, Unbounded};
        self.theirs
            .range::<TreePath, _>((Excluded(path), Unbounded))
            .take_while(|(below, _)| path.is_above(below))
            .any(|(_, changed)| changed.after.is_some())
    }

    fn edit(&mut self, path: TreePath, after: Option<FileEntry>) {
        self.merge.edits.push(Edit { path, after });
    }

    fn disagree(&mut self, path: TreePath, after: Option<FileEntry>) {
        self.merge.conflicts.insert(path.clone(), Conflict::Content);
        self.edit(path, after);
    }

    /// One file of the change-set.
    fn one(&mut self, ours: Moved) -> Result<(), Error> {
        let Moved { path, from, before, after } = ours;
        if after.is_some() && !self.has_place(&path) {
            self.merge.conflicts.insert(path, Conflict::Place);
            return Ok(());
        }
        match (from, before, after) {
            (Some(from), Some(before), Some(after)) => self.moved(from, path, before, after),
            (None, Some(before), Some(after)) => self.changed(path, before, after),
            (_, None, after) => {
                self.added(path, after);
                Ok(())
            }
            (_, Some(_), None) => {
                self.removed(path);
                Ok(())
            }
        }
    }

    fn added(&mut self, path: TreePath, after: Option<FileEntry>) {
        match self.theirs.get(&path) {
            None => self.edit(path, after),
            Some(their) if their.after == after => {}
            Some(_) => self.disagree(path, after),
        }
    }

    fn removed(&mut self, path: TreePath) {
        match (self.moved_to.get(&path).cloned(), self.theirs.get(&path)) {
            (Some(to), _) => self.disagree(to, None),
            (None, None) => self.edit(path, None),
            (None, Some(their)) if their.after.is_none() => {}
            (None, Some(_)) => self.disagree(path, None),
        }
    }

    fn changed(
        &mut self,
        path: TreePath,
        before: FileEntry,
        after: FileEntry,
    ) -> Result<(), Error> {
        match (self.moved_to.get(&path).cloned(), self.theirs.get(&path)) {
            (Some(to), _) => {
                let their = self.theirs.get(&to).and_then(|their| their.after);
                self.followed(to, before, after, their)
            }
            (None, Some(their)) if their.after == Some(after) => Ok(()),
            (None, Some(their)) => {
                let their = their.after;
                self.both(path, before, after, their)
            }
            (None, None) => {
                self.edit(path, Some(after));
                Ok(())
            }
        }
    }

    fn moved(
        &mut self,
        from: TreePath,
        path: TreePath,
        before: FileEntry,
        after: FileEntry,
    ) -> Result<(), Error> {
        if self.moved_to.get(&from) == Some(&path) {
            let their = self.theirs.get(&path).and_then(|their| their.after);
            return self.both(path, before, after, their);
        }
        let there = self.theirs.get(&path).map(|their| their.after);
        let source = self.theirs.get(&from).map(|their| their.after);
        match (there, source) {
            // Theirs put something else there, took the file away or moved it elsewhere.
            (Some(Some(_)), _) | (_, Some(None)) => {
                if source.is_none() {
                    self.edit(from, None);
                }
                self.disagree(path, Some(after));
            }
            (_, Some(Some(their))) => {
                self.edit(from, None);
                return self.followed(path, before, after, Some(their));
            }
            (_, None) => {
                self.edit(from, None);
                self.edit(path, Some(after));
            }
        }
        Ok(())
    }

    /// A file that one changed and the other moved to `path`. From there, a link would lead elsewhere.
    fn followed(
        &mut self,
        path: TreePath,
        before: FileEntry,
        after: FileEntry,
        their: Option<FileEntry>,
    ) -> Result<(), Error> {
        if [Some(before), Some(after), their].into_iter().flatten().any(is_link) {
            self.disagree(path, Some(after));
            return Ok(());
        }
        self.both(path, before, after, their)
    }

    /// A file that both changed, to stand at `path`.
    fn both(
        &mut self,
        path: TreePath,
        before: FileEntry,
        after: FileEntry,
        their: Option<FileEntry>,
    ) -> Result<(), Error> {
        let Some(their) = their else {
            self.disagree(path, Some(after));
            return Ok(());
        };
        match self.entries(before, after, their)? {
            Ok(merged) => self.edit(path, Some(merged)),
            Err(disputed) => self.disagree(path, Some(disputed)),
        }
        Ok(())
    }

    /// One entry of two; with an error: as far as it goes, ours where they disagree.
    fn entries(
        &mut self,
        before: FileEntry,
        ours: FileEntry,
        theirs: FileEntry,
    ) -> Result<Result<FileEntry, FileEntry>, Error> {
        if ours == theirs || theirs == before {
            return Ok(Ok(ours));
        }
        if ours == before {
            return Ok(Ok(theirs));
        }
        let is_file = |file: FileEntry| matches!(file.mode, FileMode::Plain | FileMode::Executable);
        if ![before, ours, theirs].into_iter().all(is_file) {
            return Ok(Err(ours));
        }
        let mode = if ours.mode == before.mode { theirs.mode } else { ours.mode };
        let entry = |blob| FileEntry { mode, blob };
        if ours.blob == theirs.blob || theirs.blob == before.blob {
            return Ok(Ok(entry(ours.blob)));
        }
        if ours.blob == before.blob {
            return Ok(Ok(entry(theirs.blob)));
        }
        let merged = self.texts([before.blob, ours.blob, theirs.blob])?;
        Ok(merged.map(entry).map_err(|blob| FileEntry { mode: ours.mode, blob }))
    }

    fn texts(
        &mut self,
        [base, ours, theirs]: [BlobId; 3],
    ) -> Result<Result<BlobId, BlobId>, Error> {
        let blobs = Blobs { store: self.store, stage: Some(self.stage) };
        for blob in [base, ours, theirs] {
            if blobs.size(blob)? > MERGE_BYTES_MAX {
                return Ok(Err(ours));
            }
        }
        let texts = [blobs.get(base)?, blobs.get(ours)?, blobs.get(theirs)?];
        let [Some(base_text), Some(our_text), Some(their_text)] =
            texts.each_ref().map(|text| as_text(text))
        else {
            return Ok(Err(ours));
        };
        if [base_text, our_text, their_text].into_iter().any(has_too_many_lines) {
            return Ok(Err(ours));
        }
        let merged = merge3(base_text.as_bytes(), our_text.as_bytes(), their_text.as_bytes());
        if merged.text.len() > MERGE_BYTES_MAX {
            return Ok(Err(ours));
        }
        let blob = BlobId::new(self.stage.put(Kind::Blob, &merged.text)?);
        Ok(if merged.conflicts == 0 { Ok(blob) } else { Err(blob) })
    }
}

fn is_link(file: FileEntry) -> bool {
    file.mode == FileMode::Link
}

/// The directories above a path, from the top, and the path itself.
fn prefixes(path: &TreePath) -> impl Iterator<Item = &str> {
    let text = path.as_str();
    text.match_indices('/').map(|(at, _)| &text[..at]).chain([text])
}
