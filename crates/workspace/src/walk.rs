//! Looks through a folder that an agent may have written and finds what differs from a tree, by names and stats
//! alone. Reads no file's content (that is [`content`](crate::content)), follows no link, and does not fail for
//! anything that lies there.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{FileType, Stat};

use crate::{
    Edit, Error, Limits, Reason, Refusals, TreeId, TreePath,
    git::object::{Entry, Kind, Tree, mode},
    ignore::{FILE_BYTES_MAX, Rules},
    overlay::{Opaque, has_marks, opaqueness},
    policy::{check_contained, check_name, check_target, fold, is_special},
    root::{Root, RootError, names, open_directory_in, read_link_in, stat_in, type_of},
    tree::Trees,
};

/// How a folder stands to the tree it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The upper directory of an overlay: only what was changed, with whiteouts.
    Overlay,
    /// Everything: what is not there was deleted.
    Plain,
}

/// A regular file that may differ.
pub(crate) struct Candidate {
    pub(crate) path: TreePath,
    pub(crate) stat: Stat,
    pub(crate) before: Option<Entry>,
}

/// A symbolic link that the policy allows, and its target.
pub(crate) struct Link {
    pub(crate) path: TreePath,
    pub(crate) target: Vec<u8>,
    pub(crate) before: Option<Entry>,
}

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) deletions: Vec<Edit>,
    pub(crate) files: Vec<Candidate>,
    pub(crate) links: Vec<Link>,
    pub(crate) refusals: Refusals,
    /// How many names of each file with several were seen.
    pub(crate) names_of: HashMap<(u64, u64), u64>,
    entries: usize,
}

impl Found {
    pub(crate) fn changes(&self) -> usize {
        self.deletions.len() + self.files.len() + self.links.len()
    }
}

/// A folder to be walked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folder<'a> {
    pub(crate) root: &'a Root,
    pub(crate) source: Source,
    pub(crate) ignore: Ignore,
}

/// Which patterns say what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignore {
    /// None.
    Nothing,
    /// Those of the `.gitignore` files of the tree that the folder is compared with. What that tree holds is never
    /// left out, and what an agent made of those files counts for nothing.
    AsCommitted,
}

/// Walks `folder`, comparing with the tree `origin`.
pub(crate) fn walk(
    folder: Folder<'_>,
    trees: Trees<'_>,
    origin: &TreeId,
    limits: &Limits,
) -> Result<Found, Error> {
    let Folder { source, ignore, .. } = folder;
    let tree = trees.read(origin.raw())?;
    let (found, rules) = (Found::default(), Rules::default());
    let mut walk = Walk { source, ignore, trees, limits, found, rules };
    let shape = match source {
        Source::Overlay => Shape::Changes,
        Source::Plain => Shape::Whole,
    };
    let top = Place {
        fd: folder.root.as_fd(),
        path: String::new(),
        depth: 0,
        shape,
        whiteout_files: false,
        ignored: false,
    };
    walk.directory(&top, &tree)?;
    Ok(walk.found)
}

struct Walk<'a> {
    source: Source,
    ignore: Ignore,
    trees: Trees<'a>,
    limits: &'a Limits,
    found: Found,
    rules: Rules,
}

/// Whether a directory holds only what changed or all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Changes,
    Whole,
}

/// A directory on the walk.
struct Place<'a> {
    fd: BorrowedFd<'a>,
    path: String,
    depth: usize,
    shape: Shape,
    /// Whether empty files here may stand for deletions (overlays that cannot make device nodes).
    whiteout_files: bool,
    /// Whether all of it is left out that the tree does not hold.
    ignored: bool,
}

impl Place<'_> {
    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    fn shown(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            name.to_vec()
        } else {
            [self.path.as_bytes(), b"/", name].concat()
        }
    }
}

/// A name in a directory with its stat.
struct Seen {
    name: Vec<u8>,
    stat: Stat,
}

impl Walk<'_> {
    fn refuse(&mut self, path: &[u8], reason: Reason) {
        self.found.refusals.add(self.limits, path, reason);
    }

    fn directory(&mut self, place: &Place<'_>, tree: &Tree) -> Result<(), Error> {
        let room = self.limits.entries_max - self.found.entries;
        let names = match names(place.fd, room) {
            Ok(names) => names,
            Err(error) => {
                self.refuse(place.path.as_bytes(), reason(&error));
                return Ok(());
            }
        };
        self.found.entries += names.len();
        let mut kept: HashSet<Vec<u8>> = HashSet::new();
        let mut gone: HashSet<Vec<u8>> = HashSet::new();
        let mut seen = Vec::with_capacity(names.len());
        for name in names {
            match stat_in(place.fd, &name) {
                Ok(stat) if self.is_whiteout(place, &name, &stat) => {
                    if place.shape == Shape::Changes && tree.contains_key(&name) {
                        self.delete(place, &name);
                        gone.insert(name);
                    }
                }
                Ok(stat) => {
                    kept.insert(name.clone());
                    seen.push(Seen { name, stat });
                }
                Err(error) => {
                    self.refuse(&place.shown(&name), reason(&error));
                    kept.insert(name);
                }
            }
        }
        if place.shape == Shape::Whole {
            self.delete_missing(place, tree, &kept);
        }
        let stays = |name: &[u8]| match place.shape {
            Shape::Whole => kept.contains(name),
            Shape::Changes => !gone.contains(name),
        };
        let mut twins = Twins::new(tree.keys().filter(|name| stays(name)));
        let (outer, mut told) = (self.rules.count(), false);
        self.read_rules(place, tree)?;
        for Seen { name, stat } in seen {
            let before = tree.get(&name).copied();
            if before.is_none() && self.is_ignored(place, &name, &stat) {
                if !std::mem::replace(&mut told, true) {
                    self.refuse(&place.shown(&name), Reason::Ignored);
                }
                continue;
            }
            match self.check(place, &name, before.is_some(), &mut twins) {
                Ok(name) => self.entry(place, &name, &stat, before)?,
                Err(reason) => self.refuse(&place.shown(&name), reason),
            }
        }
        self.rules.leave(outer);
        Ok(())
    }

    /// The patterns of a directory as it was committed.
    fn read_rules(&mut self, place: &Place<'_>, tree: &Tree) -> Result<(), Error> {
        let Some(file) = tree.get(&b".gitignore"[..]) else { return Ok(()) };
        let is_file = matches!(file.mode, mode::FILE | mode::EXECUTABLE);
        let store = self.trees.store;
        if self.ignore == Ignore::Nothing || !is_file {
            return Ok(());
        }
        if store.size(&file.id)?.is_some_and(|bytes| bytes <= FILE_BYTES_MAX) {
            self.rules.enter(place.depth, &store.get(Kind::Blob, &file.id)?);
        }
        Ok(())
    }

    /// Whether what the tree does not hold is left out.
    fn is_ignored(&self, place: &Place<'_>, name: &[u8], stat: &Stat) -> bool {
        place.ignored || self.is_named(place, name, type_of(stat) == FileType::Directory)
    }

    fn is_named(&self, place: &Place<'_>, name: &[u8], is_directory: bool) -> bool {
        self.rules.count() > 0 && self.rules.names(&place.shown(name), is_directory)
    }

    fn check<'a>(
        &self,
        place: &Place<'_>,
        name: &[u8],
        known: bool,
        twins: &mut Twins<'a, impl Iterator<Item = &'a Vec<u8>>>,
    ) -> Result<String, Reason> {
        let text = check_name(name)?;
        if place.depth >= self.limits.depth_max {
            return Err(Reason::TooDeep);
        }
        if place.path.len() + 1 + text.len() > self.limits.path_bytes_max {
            return Err(Reason::PathTooLong);
        }
        if !known && !twins.is_alone(text) {
            return Err(Reason::CaseTwin);
        }
        Ok(text.to_owned())
    }

    fn entry(
        &mut self,
        place: &Place<'_>,
        name: &str,
        stat: &Stat,
        before: Option<Entry>,
    ) -> Result<(), Error> {
        let path = place.child(name);
        let refused = match type_of(stat) {
            FileType::Directory => return self.enter(place, name, before),
            FileType::RegularFile => self.file(path.clone(), stat, before),
            FileType::Symlink => self.link(place, name, before),
            FileType::Fifo => Err(Reason::Fifo),
            FileType::Socket => Err(Reason::Socket),
            _ => Err(Reason::Device),
        };
        if let Err(reason) = refused {
            self.refuse(path.as_bytes(), reason);
        }
        Ok(())
    }

    fn file(&mut self, path: String, stat: &Stat, before: Option<Entry>) -> Result<(), Reason> {
        if stat.st_nlink > 1 {
            *self.found.names_of.entry((stat.st_dev, stat.st_ino)).or_default() += 1;
        }
        if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > self.limits.file_bytes_max {
            return Err(Reason::TooLarge);
        }
        if self.is_full() {
            return Err(Reason::TooMany);
        }
        let path = TreePath::from_checked(path);
        self.found.files.push(Candidate { path, stat: *stat, before });
        Ok(())
    }

    fn link(&mut self, place: &Place<'_>, name: &str, before: Option<Entry>) -> Result<(), Reason> {
        if is_special(name) {
            return Err(Reason::LinkIsSpecial);
        }
        if self.is_full() {
            return Err(Reason::TooMany);
        }
        let target = read_link_in(place.fd, name.as_bytes()).map_err(|error| reason(&error))?;
        check_target(&target, place.depth + 1)?;
        let path = TreePath::from_checked(place.child(name));
        self.found.links.push(Link { path, target, before });
        Ok(())
    }

    /// Goes into a directory, or refuses it as a whole: then what the tree has there stays.
    fn enter(&mut self, place: &Place<'_>, name: &str, before: Option<Entry>) -> Result<(), Error> {
        let path = place.child(name);
        let opened = self.open(name, place);
        let (directory, overlay) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.refuse(path.as_bytes(), reason);
                return Ok(());
            }
        };
        if before.is_some_and(|entry| entry.mode == mode::SUBMODULE) {
            return Ok(());
        }
        if before.is_some_and(|entry| !entry.is_tree()) {
            self.delete(place, name.as_bytes());
        }
        let tree = match before.filter(Entry::is_tree) {
            Some(entry) => self.trees.read(&entry.id)?,
            None => Tree::new(),
        };
        let shape = if overlay == Opaque::Yes { Shape::Whole } else { place.shape };
        let whiteout_files = overlay == Opaque::WithWhiteoutFiles;
        let depth = place.depth + 1;
        let ignored = place.ignored || self.is_named(place, name.as_bytes(), true);
        let inner = Place { fd: directory.as_fd(), path, depth, shape, whiteout_files, ignored };
        self.directory(&inner, &tree)
    }

    fn open(&self, name: &str, place: &Place<'_>) -> Result<(OwnedFd, Opaque), Reason> {
        if place.depth + 1 >= self.limits.depth_max {
            return Err(Reason::TooDeep);
        }
        if self.is_full() {
            return Err(Reason::TooMany);
        }
        let directory =
            open_directory_in(place.fd, Path::new(name)).map_err(|error| reason(&error))?;
        let overlay = match self.source {
            Source::Overlay => opaqueness(directory.as_fd())?,
            Source::Plain => Opaque::No,
        };
        Ok((directory, overlay))
    }

    fn is_whiteout(&self, place: &Place<'_>, name: &[u8], stat: &Stat) -> bool {
        if self.source == Source::Plain {
            return false;
        }
        match type_of(stat) {
            FileType::CharacterDevice => stat.st_rdev == 0,
            FileType::RegularFile if place.whiteout_files && stat.st_size == 0 => {
                let root = place.fd.try_clone_to_owned().map(Root::new);
                let file = root.ok().and_then(|root| root.read_whole(as_path(name), 0).ok());
                file.is_some_and(|file| has_marks(file.file.as_fd(), &["whiteout"]))
            }
            _ => false,
        }
    }

    fn delete_missing(&mut self, place: &Place<'_>, tree: &Tree, kept: &HashSet<Vec<u8>>) {
        for (name, entry) in tree {
            // What no checkout contains cannot have been deleted from it.
            let was_there = entry.mode != mode::SUBMODULE && check_contained(name).is_ok();
            if was_there && !kept.contains(name) {
                self.delete(place, name);
            }
        }
    }

    /// Whether no more changes are taken. In a whole folder most entries are as before: what counts there is counted
    /// when they are read.
    fn is_full(&self) -> bool {
        self.source == Source::Overlay && self.found.changes() >= self.limits.changes_max
    }

    fn delete(&mut self, place: &Place<'_>, name: &[u8]) {
        match str::from_utf8(name) {
            _ if self.is_full() => {
                self.refuse(&place.shown(name), Reason::TooMany);
            }
            Ok(name) => {
                let path = TreePath::from_checked(place.child(name));
                self.found.deletions.push(Edit { path, after: None });
            }
            Err(_) => self.refuse(&place.shown(name), Reason::NotUtf8),
        }
    }
}

/// The names of a directory that will stand there, as a case-insensitive file system sees them.
struct Twins<'a, Names: Iterator<Item = &'a Vec<u8>>> {
    standing: Option<Names>,
    folded: HashSet<String>,
}

impl<'a, Names: Iterator<Item = &'a Vec<u8>>> Twins<'a, Names> {
    fn new(standing: Names) -> Self {
        Self { standing: Some(standing), folded: HashSet::new() }
    }

    /// Whether no other name of the directory folds to the same; if so, `name` stands there from now on.
    fn is_alone(&mut self, name: &str) -> bool {
        if let Some(standing) = self.standing.take() {
            self.folded.extend(standing.map(|name| fold(&String::from_utf8_lossy(name))));
        }
        self.folded.insert(fold(name))
    }
}

/// Why an entry that could not be looked at is refused.
pub(crate) fn reason(error: &RootError) -> Reason {
    match error {
        RootError::Absent => Reason::Changing,
        RootError::Refused(reason) => *reason,
        RootError::Io(_) => Reason::Unreadable,
    }
}

fn as_path(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(name))
}
