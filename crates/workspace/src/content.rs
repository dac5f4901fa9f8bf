//! Reads the files that a walk found, packs what is new of them and makes the delta. Never follows a link, never
//! takes a file that does not hold still, never reads more than the limits say.

use std::{collections::HashMap, os::fd::AsFd as _, path::Path};

use parking_lot::Mutex;
use rustix::fs::Stat;

use crate::{
    BlobId, Delta, Edit, Error, FileEntry, FileMode, Limits, Reason, Refusals, TreeId, TreePath,
    git::{
        object::{Entry, Kind},
        pack::Stage,
        store::{self, Known},
    },
    overlay::has_marks,
    root::{Root, Whole, is_executable},
    tree::file_entry,
    walk::{Candidate, Found, Link, reason},
};

/// Remembers the content of files by their stat, so that what did not change is not read again. For one folder.
#[derive(Debug, Default)]
pub struct StatCache {
    files: HashMap<String, Remembered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    print: Print,
    blob: BlobId,
}

/// What of a stat changes whenever the content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    fn of(stat: &Stat) -> Self {
        let nanos = |nanos| i64::try_from(nanos).unwrap_or(0);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        }
    }
}

/// A file changed this recently could change again without its stat showing it: timestamps move in steps.
const SETTLED_AFTER_NANOS: i128 = 50_000_000;

impl StatCache {
    /// How many files are known.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn get(&self, path: &TreePath, stat: &Stat) -> Option<BlobId> {
        let known = self.files.get(path.as_str())?;
        (known.print == Print::of(stat)).then_some(known.blob)
    }

    pub(crate) fn remember(&mut self, path: &TreePath, stat: &Stat, blob: BlobId) {
        let print = Print::of(stat);
        let nanos =
            |(seconds, nanos): (i64, i64)| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        if now_nanos() - nanos(print.changed) > SETTLED_AFTER_NANOS {
            self.files.insert(path.as_str().to_owned(), Remembered { print, blob });
        } else {
            self.files.remove(path.as_str());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only compared with the file system's own timestamps"
)]
fn now_nanos() -> i128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0))
}

/// Bytes from which on a file is large.
const LARGE_BYTES: u64 = 1 << 20;

/// Held while a large file is in memory, so that many commits at once need the memory of one.
static LARGE: Mutex<()> = Mutex::new(());

/// Where content is read from and where it goes.
pub(crate) struct Reader<'a> {
    pub(crate) root: &'a Root,
    pub(crate) known: Known,
    pub(crate) limits: &'a Limits,
    pub(crate) cache: &'a mut StatCache,
    pub(crate) stage: Stage,
}

struct Gathered {
    edits: Vec<Edit>,
    refusals: Refusals,
    bytes: u64,
}

impl Reader<'_> {
    /// Reads what the walk found and makes the delta against the tree `origin`.
    pub(crate) fn delta(mut self, found: Found, origin: TreeId) -> Result<Delta, Error> {
        let Found { deletions, files, links, refusals, names_of, .. } = found;
        let mut gathered = Gathered { edits: deletions, refusals, bytes: 0 };
        for link in links {
            self.link(link, &mut gathered)?;
        }
        for file in files {
            let names = names_of.get(&(file.stat.st_dev, file.stat.st_ino)).copied().unwrap_or(1);
            let path = file.path.clone();
            let taken = if names < file.stat.st_nlink {
                Err(Reason::LinkedOutside)
            } else {
                self.file(&file, &mut gathered)?
            };
            if let Err(reason) = taken {
                gathered.refusals.add(self.limits, path.as_str().as_bytes(), reason);
            }
        }
        let Gathered { mut edits, refusals, .. } = gathered;
        edits.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Delta { edits, refusals, origin, stage: self.stage })
    }

    fn link(&mut self, link: Link, gathered: &mut Gathered) -> Result<(), Error> {
        let id = store::hash(Kind::Blob, &link.target)?;
        let after = FileEntry { mode: FileMode::Link, blob: BlobId::new(id) };
        if link.before.is_some_and(|before| is_as_before(before, after)) {
            return Ok(());
        }
        if gathered.edits.len() >= self.limits.changes_max {
            gathered.refusals.add(self.limits, link.path.as_str().as_bytes(), Reason::TooMany);
            return Ok(());
        }
        self.stage.put_hashed(Kind::Blob, id, &link.target)?;
        gathered.edits.push(Edit { path: link.path, after: Some(after) });
        Ok(())
    }

    fn file(
        &mut self,
        file: &Candidate,
        gathered: &mut Gathered,
    ) -> Result<Result<(), Reason>, Error> {
        if let Some(blob) = self.cache.get(&file.path, &file.stat) {
            let after = FileEntry { mode: file_mode(&file.stat), blob };
            if file.before.is_some_and(|before| is_as_before(before, after)) {
                return Ok(Ok(()));
            }
            if self.known.has(blob.raw()) {
                return Ok(self.upsert(file.path.clone(), after, gathered));
            }
        }
        let size = u64::try_from(file.stat.st_size).unwrap_or(u64::MAX);
        let _one_at_a_time = (size > LARGE_BYTES).then(|| LARGE.lock());
        let room = self.limits.total_bytes_max - gathered.bytes;
        if size > room {
            return Ok(Err(Reason::TotalTooLarge));
        }
        let bytes_max =
            room.min(if size > LARGE_BYTES { self.limits.file_bytes_max } else { LARGE_BYTES });
        let whole = match self.root.read_whole(Path::new(file.path.as_str()), bytes_max) {
            Ok(whole) => whole,
            // It grew since the walk.
            Err(error) => {
                return Ok(Err(match reason(&error) {
                    Reason::TooLarge => Reason::Changing,
                    reason => reason,
                }));
            }
        };
        self.take(file, &whole, gathered)
    }

    fn take(
        &mut self,
        file: &Candidate,
        whole: &Whole,
        gathered: &mut Gathered,
    ) -> Result<Result<(), Reason>, Error> {
        if let Err(reason) = check_content(file, whole) {
            return Ok(Err(reason));
        }
        let id = store::hash(Kind::Blob, &whole.content)?;
        let after = FileEntry { mode: file_mode(&whole.stat), blob: BlobId::new(id) };
        self.cache.remember(&file.path, &whole.stat, after.blob);
        if file.before.is_some_and(|before| is_as_before(before, after)) {
            return Ok(Ok(()));
        }
        gathered.bytes += whole.content.len() as u64;
        let taken = self.upsert(file.path.clone(), after, gathered);
        if taken.is_ok() && !self.known.has(&id) {
            self.stage.put_hashed(Kind::Blob, id, &whole.content)?;
        }
        Ok(taken)
    }

    fn upsert(
        &self,
        path: TreePath,
        after: FileEntry,
        gathered: &mut Gathered,
    ) -> Result<(), Reason> {
        if gathered.edits.len() >= self.limits.changes_max {
            return Err(Reason::TooMany);
        }
        gathered.edits.push(Edit { path, after: Some(after) });
        Ok(())
    }
}

fn file_mode(stat: &Stat) -> FileMode {
    if is_executable(stat) { FileMode::Executable } else { FileMode::Plain }
}

fn is_as_before(before: Entry, after: FileEntry) -> bool {
    !before.is_tree() && file_entry(before) == after
}

/// Lines of `.gitattributes` longer than this are an error to git.
const ATTRIBUTE_LINE_BYTES_MAX: usize = 2048;

/// Bytes of a `.gitattributes` at most; git's own limit is 100 MiB.
const ATTRIBUTES_BYTES_MAX: usize = 1 << 20;

/// What can only be said of an open file.
fn check_content(file: &Candidate, whole: &Whole) -> Result<(), Reason> {
    if has_marks(whole.file.as_fd(), &["metacopy", "redirect"]) {
        return Err(Reason::OverlayRedirect);
    }
    // Swapped, since the walk, for a file with names elsewhere.
    if whole.stat.st_nlink > file.stat.st_nlink {
        return Err(Reason::LinkedOutside);
    }
    if file.path.name() == ".gitattributes" && !is_sound_attributes(&whole.content) {
        return Err(Reason::Attributes);
    }
    Ok(())
}

/// Whether git would read this as a `.gitattributes`.
pub(crate) fn is_sound_attributes(content: &[u8]) -> bool {
    let long = |line: &[u8]| line.len() >= ATTRIBUTE_LINE_BYTES_MAX;
    content.len() <= ATTRIBUTES_BYTES_MAX && !content.split(|byte| *byte == b'\n').any(long)
}
