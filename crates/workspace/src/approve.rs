//! What of a held change-set a person takes over, made ready byte for byte and landed once. Never takes a byte that
//! was not chosen, and never overwrites what changed since.

use std::collections::{BTreeSet, HashSet};

use crate::{
    Attribution, Changed, CommitId, Conflict, Edit, Error, FileEntry, FileMode, Limits, PatchBody,
    Reason, Refusals, Repository, Reviewed, Trailer, TreeId, TreePath,
    blobs::Blobs,
    commit::{Move, commit_object},
    git::{
        object::Kind,
        pack::Stage,
        refs::{MAIN, is_plain_name},
    },
    patch::with_hunks,
    path::Shown,
    point::Point,
    policy::fold,
    review::Reviewing,
    text::as_text,
    tree,
};

/// What is to be taken of a held change-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// All of it. Not where it disagrees with the folder: then each file is chosen by itself.
    All,
    /// These files.
    Files(Vec<FileChoice>),
}

/// What is to be taken of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChoice {
    /// The file's path in the review.
    pub path: String,
    /// What of it.
    pub take: Take,
}

/// What is to be taken of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// All of it: content, mode and place.
    Whole,
    /// These hunks, by number from 0. The mode stays as it is.
    Hunks(BTreeSet<usize>),
    /// This instead of what was proposed. The mode stays as it is.
    Content(Vec<u8>),
}

/// Why nothing can be taken as it was chosen. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// All was chosen, but these paths disagree with the folder.
    #[error("{} changed in the folder, too", shown(.0))]
    Conflicts(Vec<TreePath>),
    /// Something else stands where the file would have to stand.
    #[error("something else stands in the way of {0}")]
    InTheWay(TreePath),
    /// The change-set does not change that path.
    #[error("{0} is none of the changed files")]
    NoSuchFile(Shown),
    /// A path was chosen twice.
    #[error("{0} is chosen twice")]
    Twice(TreePath),
    /// The file has no hunk of that number.
    #[error("{0} has no hunk {1}")]
    NoSuchHunk(TreePath, usize),
    /// The file is not shown as text: all of it can be taken, or nothing.
    #[error("{0} can only be taken whole")]
    NotText(TreePath),
    /// No commit may hold what was put in its place.
    #[error("{0} is not allowed: {1}")]
    NotAllowed(TreePath, Reason),
    /// Nothing would change.
    #[error("nothing would change")]
    Nothing,
}

fn shown(paths: &[TreePath]) -> String {
    let first: Vec<&str> = paths.iter().take(5).map(TreePath::as_str).collect();
    let more = if paths.len() > first.len() { " and others" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// An approval that is to be made ready.
#[derive(Debug)]
pub struct Approval<'a> {
    /// The held change-set.
    pub held: CommitId,
    /// The folder that it was reviewed against.
    pub head: CommitId,
    /// What was chosen.
    pub choice: &'a Choice,
    /// By whom and why.
    pub by: &'a Attribution,
    /// Under which name it is kept until it has landed: `refs/remit/approved/<name>`.
    pub name: &'a str,
}

/// What became of an approval that was made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landing {
    /// It is the newest commit of the folder, durably.
    Landed(CommitId),
    /// It had become this commit before.
    Before(CommitId),
    /// These paths changed in the folder since: nothing was done, and it can never land.
    Moved(Vec<TreePath>),
}

/// Commits that are looked through for one that has landed before. More are never made between an approval and its
/// landing.
const LOOKED_THROUGH_MAX: usize = 100_000;

/// What a landed approval says it was made ready as.
const TRAILER: &str = "Approval";

impl Repository {
    /// Makes a commit of exactly what was chosen, on the head it was reviewed against, and keeps it beside the folder,
    /// durably. [`land`](Self::land) brings it into the folder.
    pub fn prepare(&self, approval: &Approval<'_>) -> Result<Result<CommitId, ChoiceError>, Error> {
        let name = approved_ref(approval.name)?;
        let mut reviewing = self.reviewing(approval.held, approval.head)?;
        let edits = match self.chosen(&mut reviewing, approval.choice)? {
            Ok(edits) => edits,
            Err(error) => return Ok(Err(error)),
        };
        let Reviewing { theirs, mut stage, .. } = reviewing;
        if let Some(path) = self.in_the_way(&theirs, &edits)? {
            return Ok(Err(ChoiceError::InTheWay(path)));
        }
        let tree = tree::edit(&self.store, &mut stage, &theirs, &edits)?;
        if tree == theirs {
            return Ok(Err(ChoiceError::Nothing));
        }
        let parents = [*approval.head.raw()];
        let refusals = Refusals::default();
        let commit = commit_object(&mut stage, &tree, &parents, approval.by, &refusals)?;
        let from = self.refs.get(&name)?.map(CommitId::new);
        if from == Some(commit) {
            return Ok(Ok(commit));
        }
        if self.publish(stage, Move { name: &name, from, to: commit }, None)?.is_moved() {
            return Ok(Ok(commit));
        }
        Err(Error::Damaged { what: "approval made ready twice at once", id: name })
    }

    /// Brings what was made ready into the folder, once, however often it is asked: it is found again by its name, or
    /// by the trailer that names it. Exactly these bytes, or nothing: where one of its paths changed since, it never
    /// lands.
    ///
    /// # Errors
    /// [`Error::NoCommit`]; [`Error::Unborn`].
    pub fn land(&self, prepared: CommitId, by: &Attribution) -> Result<Landing, Error> {
        let ready = self.record(prepared)?;
        let [base] = ready.parents.as_slice() else {
            return Err(Error::Damaged { what: "approval on no folder", id: prepared.to_string() });
        };
        let before = self.tree_of(*base)?;
        let changes = self.changes(before, ready.tree)?;
        let locked = self.refs.lock()?;
        let head = self.head()?.ok_or(Error::Unborn)?;
        if let Some(commit) = self.landed(prepared, head, *base)? {
            return Ok(Landing::Before(commit));
        }
        if head == *base {
            self.probe.reach(Point::ApprovalReady);
            let moved = locked.swap(MAIN, Some(head.raw()), prepared.raw(), None)?;
            return if moved { Ok(Landing::Landed(prepared)) } else { Err(moved_under_lock()) };
        }
        let theirs = self.tree_of(head)?;
        let moved = self.moved_since([&before, &theirs], &changes)?;
        if !moved.is_empty() {
            return Ok(Landing::Moved(moved));
        }
        let mut stage = self.stage();
        let edits: Vec<Edit> =
            changes.into_iter().map(|it| Edit { path: it.path, after: it.after }).collect();
        let tree = tree::edit(&self.store, &mut stage, &theirs, &edits)?;
        let by = by.with(TRAILER, &prepared.to_string());
        let parents = [*head.raw()];
        let commit = commit_object(&mut stage, &tree, &parents, &by, &Refusals::default())?;
        self.probe.reach(Point::ApprovalReady);
        let step = Move { name: MAIN, from: Some(head), to: commit };
        if self.publish(stage, step, Some(locked))?.is_moved() {
            return Ok(Landing::Landed(commit));
        }
        Err(moved_under_lock())
    }

    /// The first path at which something stands that was not chosen to go: what some of a change-set needs may be gone
    /// in another part of it.
    fn in_the_way(&self, theirs: &TreeId, edits: &[Edit]) -> Result<Option<TreePath>, Error> {
        let mut changes = Vec::new();
        for Edit { path, after } in edits {
            let there = self.trees().at(theirs, path)?.filter(|entry| !entry.is_tree());
            let before = there.map(tree::file_entry);
            changes.push(Changed { path: path.clone(), before, after: *after });
        }
        Ok(self.moved_since([&TreeId::EMPTY, theirs], &changes)?.into_iter().next())
    }

    /// Forgets what was made ready under a name. What has landed stays.
    pub fn forget_approval(&self, name: &str) -> Result<(), Error> {
        self.refs.lock()?.remove(&approved_ref(name)?)
    }

    /// The commit that the approval became, if it did: none before the one it was made ready on.
    fn landed(
        &self,
        prepared: CommitId,
        head: CommitId,
        base: CommitId,
    ) -> Result<Option<CommitId>, Error> {
        let name = prepared.to_string();
        let mut next = Some(head);
        for _ in 0..LOOKED_THROUGH_MAX {
            let Some(commit) = next.filter(|commit| *commit != base) else { return Ok(None) };
            let record = self.record(commit)?;
            let names_it = |it: &Trailer| it.key() == TRAILER && it.value() == name;
            if commit == prepared || record.trailers.iter().any(names_it) {
                return Ok(Some(commit));
            }
            next = record.parents.first().copied();
        }
        Ok(None)
    }

    /// The paths that do not stand as they stood when the approval was made.
    fn moved_since(
        &self,
        [before, now]: [&TreeId; 2],
        changes: &[Changed],
    ) -> Result<Vec<TreePath>, Error> {
        let mut moved = Vec::new();
        let cleared: HashSet<&TreePath> =
            changes.iter().filter(|it| it.after.is_none()).map(|it| &it.path).collect();
        for changed in changes {
            let there = self.trees().at(now, &changed.path)?;
            let stands = match changed.before {
                Some(before) => {
                    there.is_some_and(|it| !it.is_tree() && tree::file_entry(it) == before)
                }
                // A directory may stand there if all that is in it goes with this very approval.
                None => match there {
                    None => {
                        !self.is_below_file(now, &changed.path, &cleared)?
                            && !self.has_new_twin([before, now], &changed.path, &cleared)?
                    }
                    Some(entry) if entry.is_tree() => {
                        let empty = TreeId::EMPTY;
                        let below = self.trees().changes(&empty, &TreeId::new(entry.id))?;
                        below.iter().all(|it| cleared.contains(&changed.path.below(&it.path)))
                    }
                    Some(_) => false,
                },
            };
            if !stands {
                moved.push(changed.path.clone());
            }
        }
        Ok(moved)
    }

    fn is_below_file(
        &self,
        now: &TreeId,
        path: &TreePath,
        cleared: &HashSet<&TreePath>,
    ) -> Result<bool, Error> {
        for above in path.above() {
            let there = self.trees().at(now, &above)?;
            if there.is_some_and(|entry| !entry.is_tree()) {
                return Ok(!cleared.contains(&above));
            }
        }
        Ok(false)
    }

    /// Whether a name has come since that only its case tells from one of the path's.
    fn has_new_twin(
        &self,
        [before, now]: [&TreeId; 2],
        path: &TreePath,
        cleared: &HashSet<&TreePath>,
    ) -> Result<bool, Error> {
        let mut directory = self.trees().read(now.raw())?;
        for path in path.above().chain([path.clone()]) {
            match directory.get(path.name().as_bytes()) {
                Some(entry) if entry.is_tree() => directory = self.trees().read(&entry.id)?,
                Some(_) => return Ok(false),
                None => {
                    let folded = fold(path.name());
                    for name in directory.keys().filter_map(|name| str::from_utf8(name).ok()) {
                        let twin = path.beside(name);
                        if fold(name) == folded
                            && !cleared.contains(&twin)
                            && self.trees().at(before, &twin)?.is_none()
                        {
                            return Ok(true);
                        }
                    }
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    fn chosen(
        &self,
        reviewing: &mut Reviewing,
        choice: &Choice,
    ) -> Result<Result<Vec<Edit>, ChoiceError>, Error> {
        let files = &reviewing.review.files;
        let mut edits = Vec::new();
        match choice {
            Choice::All => {
                let conflicts: Vec<TreePath> = files
                    .iter()
                    .filter(|file| file.conflict.is_some())
                    .map(|file| file.patch.path.clone())
                    .collect();
                if !conflicts.is_empty() {
                    return Ok(Err(ChoiceError::Conflicts(conflicts)));
                }
                edits.extend(files.iter().flat_map(whole));
            }
            Choice::Files(choices) => {
                for one in choices {
                    let file = files.iter().find(|file| file.patch.path.as_str() == one.path);
                    let Some(file) = file else {
                        let path = Shown::new(one.path.as_bytes());
                        return Ok(Err(ChoiceError::NoSuchFile(path)));
                    };
                    match self.file(file, &one.take, &mut reviewing.stage)? {
                        Ok(more) => edits.extend(more),
                        Err(error) => return Ok(Err(error)),
                    }
                }
            }
        }
        edits.sort_by(|one, other| one.path.cmp(&other.path));
        let twice = edits.windows(2).find(|pair| pair[0].path == pair[1].path);
        if let Some(pair) = twice {
            return Ok(Err(ChoiceError::Twice(pair[0].path.clone())));
        }
        Ok(Ok(edits))
    }

    fn file(
        &self,
        file: &Reviewed,
        take: &Take,
        stage: &mut Stage,
    ) -> Result<Result<Vec<Edit>, ChoiceError>, Error> {
        let path = file.patch.path.clone();
        if file.conflict == Some(Conflict::Place) {
            return Ok(Err(ChoiceError::InTheWay(path)));
        }
        let content = match take {
            Take::Whole => return Ok(Ok(whole(file))),
            Take::Content(content) => Ok(content.clone()),
            Take::Hunks(_) if !is_text(file) => Err(ChoiceError::NotText(path.clone())),
            Take::Hunks(chosen) => {
                let PatchBody::Text(hunks) = &file.patch.body else {
                    return Ok(Err(ChoiceError::NotText(path)));
                };
                if let Some(number) = chosen.iter().find(|number| **number >= hunks.len()) {
                    return Ok(Err(ChoiceError::NoSuchHunk(path, *number)));
                }
                if file.patch.after.is_none() && chosen.len() == hunks.len() {
                    return Ok(Ok(whole(file)));
                }
                let blobs = Blobs { store: &self.store, stage: Some(stage) };
                let before = file.patch.before.map(|before| blobs.get(before.blob)).transpose()?;
                let before = before.unwrap_or_default();
                let text = as_text(&before).map(|text| with_hunks(text, hunks, chosen));
                text.map(String::into_bytes).ok_or_else(|| ChoiceError::NotText(path.clone()))
            }
        };
        let content = match content.and_then(|content| checked(file, content)) {
            Ok(content) => content,
            Err(error) => return Ok(Err(error)),
        };
        let mode = file.patch.before.map_or(FileMode::Plain, |before| before.mode);
        let blob = crate::BlobId::new(stage.put(Kind::Blob, &content)?);
        let mut edits = vec![Edit { path, after: Some(FileEntry { mode, blob }) }];
        edits.extend(file.patch.from.clone().map(|path| Edit { path, after: None }));
        Ok(Ok(edits))
    }
}

fn whole(file: &Reviewed) -> Vec<Edit> {
    let patch = &file.patch;
    let mut edits = vec![Edit { path: patch.path.clone(), after: patch.after }];
    edits.extend(patch.from.clone().map(|path| Edit { path, after: None }));
    edits
}

/// Whether both sides of it are files, or nothing, so that its text can be chosen from.
fn is_text(file: &Reviewed) -> bool {
    let plain = |entry: &Option<FileEntry>| {
        entry.is_none_or(|it| matches!(it.mode, FileMode::Plain | FileMode::Executable))
    };
    file.entries().iter().all(plain) && matches!(file.patch.body, PatchBody::Text(_))
}

/// What a person put together is bound by the same table as what an agent wrote.
fn checked(file: &Reviewed, content: Vec<u8>) -> Result<Vec<u8>, ChoiceError> {
    let path = &file.patch.path;
    let not_allowed = |reason| Err(ChoiceError::NotAllowed(path.clone(), reason));
    let link = |entry: &Option<FileEntry>| {
        entry.is_some_and(|it| matches!(it.mode, FileMode::Link | FileMode::Submodule))
    };
    if file.entries().iter().any(link) {
        return Err(ChoiceError::NotText(path.clone()));
    }
    if content.len() as u64 > Limits::WORKSPACE.file_bytes_max {
        return not_allowed(Reason::TooLarge);
    }
    if path.name() == ".gitattributes" && !crate::content::is_sound_attributes(&content) {
        return not_allowed(Reason::Attributes);
    }
    Ok(content)
}

fn approved_ref(name: &str) -> Result<String, Error> {
    if !is_plain_name(name) {
        let path = Shown::new(name.as_bytes());
        return Err(Error::NotAllowed { path, reason: Reason::ControlCharacter });
    }
    Ok(format!("refs/remit/approved/{name}"))
}

fn moved_under_lock() -> Error {
    Error::Damaged { what: "ref moved under its lock", id: MAIN.to_owned() }
}
