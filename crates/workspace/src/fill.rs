//! Writes what a commit holds into a directory of ours. Writes only beneath the descriptor it is given, follows no
//! link there, and never changes a file that has a name elsewhere: it makes a new one.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, linkat, mkdirat, openat,
        symlinkat, unlinkat,
    },
    io::Errno,
};

use crate::{
    Changed, Error, FileMode, Owner, Repository, TreeId, TreePath,
    git::object::{Entry, Kind, Tree},
    path::Shown,
    policy::check_contained,
    root::{Root, RootError},
    tree::file_entry,
};

/// Directories inside each other that are written; a commit of ours has fewer.
const DEPTH_MAX: usize = 128;

/// How a directory is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct To {
    /// Who shall own what is written; `None`: whoever we are.
    pub(crate) owner: Option<Owner>,
    /// How deep it lies.
    pub(crate) depth: usize,
}

impl To {
    fn below(self) -> Result<Self, Error> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            return Err(Error::Damaged { what: "bottomless tree", id: String::new() });
        }
        Ok(Self { depth, ..self })
    }
}

/// Writes a tree into a directory that holds none of its names.
pub(crate) fn write_tree(
    repository: &Repository,
    into: BorrowedFd<'_>,
    tree: &Tree,
    to: To,
) -> Result<(), Error> {
    for (name, entry) in tree {
        check(name)?;
        if entry.is_tree() {
            let directory = make_directory(into, name, to.owner)?;
            let inner = repository.trees().read(&entry.id)?;
            write_tree(repository, directory.as_fd(), &inner, to.below()?)?;
        } else {
            write_file(repository, into, (name, entry), to.owner)?;
        }
    }
    Ok(())
}

/// Writes a tree into an empty directory of ours, giving files that stand the same in the checkout `near` a second
/// name.
pub(crate) fn fill(
    repository: &Repository,
    into: BorrowedFd<'_>,
    tree: &TreeId,
    near: Option<(BorrowedFd<'_>, &TreeId)>,
) -> Result<(), Error> {
    let tree = repository.trees().read(tree.raw())?;
    let to = To { owner: None, depth: 0 };
    match near {
        None => write_tree(repository, into, &tree, to),
        Some((from, near)) => {
            let near = repository.trees().read(near.raw())?;
            fill_beside(repository, into, &tree, Near { from, tree: near, to })
        }
    }
}

/// The directory of another checkout that corresponds to the one being written.
struct Near<'a> {
    from: BorrowedFd<'a>,
    tree: Tree,
    to: To,
}

fn fill_beside(
    repository: &Repository,
    into: BorrowedFd<'_>,
    tree: &Tree,
    near: Near<'_>,
) -> Result<(), Error> {
    let Near { from, tree: near, to } = near;
    for (name, entry) in tree {
        check(name)?;
        let twin = near.get(name).filter(|twin| twin.mode == entry.mode);
        if entry.is_tree() {
            let directory = make_directory(into, name, None)?;
            let inner = repository.trees().read(&entry.id)?;
            let below = twin.and_then(|twin| Some((open_below(from, name)?, twin.id)));
            match below {
                Some((from, id)) => {
                    let tree = repository.trees().read(&id)?;
                    let near = Near { from: from.as_fd(), tree, to: to.below()? };
                    fill_beside(repository, directory.as_fd(), &inner, near)?;
                }
                None => write_tree(repository, directory.as_fd(), &inner, to.below()?)?,
            }
        } else if !twin.is_some_and(|twin| twin == entry && link(from, into, name)) {
            write_file(repository, into, (name, entry), None)?;
        }
    }
    Ok(())
}

/// Changes beyond which a checkout is made anew instead of changed.
const ADVANCE_MAX: usize = 2_000;

/// What turns a checkout of one tree into one of another, if that is less work than making it anew.
pub(crate) fn plan(
    repository: &Repository,
    old: TreeId,
    new: TreeId,
) -> Result<Option<Vec<Changed>>, Error> {
    let changes = repository.changes(old, new)?;
    let submodule = |changed: &Changed| {
        [changed.before, changed.after]
            .iter()
            .flatten()
            .any(|file| file.mode == FileMode::Submodule)
    };
    let worthwhile = changes.len() <= ADVANCE_MAX && !changes.iter().any(submodule);
    Ok(worthwhile.then_some(changes))
}

/// Changes the checkout at `path`, which nobody uses.
///
/// # Errors
/// Any, and then the directory is good for nothing.
pub(crate) fn advance(
    repository: &Repository,
    path: &Path,
    changes: &[Changed],
) -> Result<(), Error> {
    let root = Root::open(path).map_err(of_root)?;
    let mut emptied = BTreeSet::new();
    for changed in changes.iter().filter(|changed| changed.before.is_some()) {
        let (directory, name) = locate(&root, &changed.path)?;
        unlinkat(&directory, name, AtFlags::empty()).map_err(failed)?;
        emptied.extend(above(&changed.path));
    }
    // Inner before outer; one that still holds something stays.
    for directory in emptied.iter().rev() {
        let (parent, name) = locate(&root, directory)?;
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    for changed in changes {
        let Some(file) = changed.after else { continue };
        for directory in above(&changed.path) {
            let (parent, name) = locate(&root, &directory)?;
            match root.open_directory(Path::new(directory.as_str())) {
                Err(RootError::Absent) => {
                    drop(make_directory(parent.as_fd(), name.as_bytes(), None)?);
                }
                opened => drop(opened.map_err(of_root)?),
            }
        }
        let (directory, name) = locate(&root, &changed.path)?;
        write_file(repository, directory.as_fd(), (name.as_bytes(), &file.entry()), None)?;
    }
    Ok(())
}

/// The directories above a path, outer before inner.
fn above(path: &TreePath) -> Vec<TreePath> {
    let text = path.as_str();
    let ends = text.match_indices('/').map(|(end, _)| end);
    ends.map(|end| TreePath::from_checked(text[..end].to_owned())).collect()
}

/// The directory that a path stands in, and its name there.
fn locate<'a>(root: &Root, path: &'a TreePath) -> Result<(OwnedFd, &'a str), Error> {
    path.names().try_for_each(|name| check(name.as_bytes()))?;
    let parent = above(path).pop();
    let parent = parent.as_ref().map_or(".", TreePath::as_str);
    Ok((root.open_directory(Path::new(parent)).map_err(of_root)?, path.name()))
}

fn write_file(
    repository: &Repository,
    into: BorrowedFd<'_>,
    (name, entry): (&[u8], &Entry),
    owner: Option<Owner>,
) -> Result<(), Error> {
    let mode = match file_entry(*entry).mode {
        // git, too, makes an empty directory of these.
        FileMode::Submodule => return make_directory(into, name, owner).map(drop),
        FileMode::Link => return write_link(repository, into, (name, entry), owner),
        FileMode::Executable => Mode::from_raw_mode(0o755),
        FileMode::Plain => Mode::from_raw_mode(0o644),
    };
    let content = repository.store.get(Kind::Blob, &entry.id)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(into, name, flags, mode).map_err(failed)?;
    let mut rest = content.as_slice();
    while !rest.is_empty() {
        let written =
            rustix::io::retry_on_intr(|| rustix::io::write(&file, rest)).map_err(failed)?;
        rest = &rest[written..];
    }
    if let Some((uid, gid)) = ids(owner) {
        fchown(&file, uid, gid).map_err(failed)?;
    }
    fchmod(&file, mode).map_err(failed)
}

fn write_link(
    repository: &Repository,
    into: BorrowedFd<'_>,
    (name, entry): (&[u8], &Entry),
    owner: Option<Owner>,
) -> Result<(), Error> {
    let target = repository.store.get(Kind::Blob, &entry.id)?;
    symlinkat(target.as_slice(), into, name).map_err(failed)?;
    if let Some((uid, gid)) = ids(owner) {
        chownat(into, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    }
    Ok(())
}

/// Makes a directory and opens it, whatever is done to its name meanwhile.
fn make_directory(
    into: BorrowedFd<'_>,
    name: &[u8],
    owner: Option<Owner>,
) -> Result<OwnedFd, Error> {
    let mode = Mode::from_raw_mode(0o755);
    mkdirat(into, name, mode).map_err(failed)?;
    let directory = openat(into, name, DIRECTORY, Mode::empty()).map_err(failed)?;
    if let Some((uid, gid)) = ids(owner) {
        fchown(&directory, uid, gid).map_err(failed)?;
    }
    fchmod(&directory, mode).map_err(failed)?;
    Ok(directory)
}

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::RDONLY).union(OFlags::CLOEXEC);

fn open_below(from: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    openat(from, name, DIRECTORY, Mode::empty()).ok()
}

/// Gives a file of another checkout a second name here; `false` if it has too many or the file system cannot.
fn link(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &[u8]) -> bool {
    linkat(from, name, into, name, AtFlags::empty()).is_ok()
}

fn check(name: &[u8]) -> Result<(), Error> {
    check_contained(name).map_err(|reason| Error::NotAllowed { path: Shown::new(name), reason })
}

fn failed(errno: Errno) -> Error {
    Error::io("write a checkout")(errno.into())
}

fn of_root(error: RootError) -> Error {
    Error::io("read a checkout")(std::io::Error::other(error))
}

fn ids(owner: Option<Owner>) -> Option<(Option<Uid>, Option<Gid>)> {
    owner.map(|Owner { uid, gid }| (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}
