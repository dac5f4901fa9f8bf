//! Named pointers to commits: read as git keeps them, moved by compare-and-swap, durable when a move returns. Never
//! follows a symbolic ref other than HEAD's fixed one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use crate::{
    Error,
    git::pack::{sync_directory, temp_file},
    id::{Oid, from_hex, to_hex},
    point::{Point, Probe},
};

/// The branch that is a workspace's folder.
pub(crate) const MAIN: &str = "refs/heads/main";

/// Bytes of the file of packed refs that are read at most.
const PACKED_BYTES_MAX: u64 = 64 << 20;

/// The refs of one repository.
#[derive(Debug)]
pub(crate) struct Refs {
    repository: PathBuf,
    probe: Probe,
}

/// Whoever holds this is the only one, of all processes, that moves refs of the repository.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    refs: &'a Refs,
    _lock: File,
}

impl Refs {
    pub(crate) fn new(repository: &Path, probe: Probe) -> Self {
        Self { repository: repository.to_owned(), probe }
    }

    /// What a ref points to, if it exists.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Oid>, Error> {
        let damaged = || Error::Damaged { what: "malformed ref", id: name.to_owned() };
        match fs::read(self.repository.join(name)) {
            Ok(text) => from_hex(text.trim_ascii_end()).map(Some).ok_or_else(damaged),
            Err(error) if is_absent(&error) => self.get_packed(name),
            Err(error) => Err(Error::io("read a ref")(error)),
        }
    }

    fn get_packed(&self, name: &str) -> Result<Option<Oid>, Error> {
        let mut text = Vec::new();
        match File::open(self.repository.join("packed-refs")) {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened
                .and_then(|file| file.take(PACKED_BYTES_MAX).read_to_end(&mut text))
                .map_err(Error::io("read the packed refs"))?,
        };
        let mut lines = text.split(|byte| *byte == b'\n');
        let found = lines.find_map(|line| {
            let (hex, rest) = line.split_at_checked(40)?;
            (rest.strip_prefix(b" ")? == name.as_bytes()).then(|| from_hex(hex)).flatten()
        });
        Ok(found)
    }

    /// Waits until no one else moves refs. A holder that dies lets go.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Error> {
        let failed = Error::io("lock the refs");
        let path = self.repository.join("remit.lock");
        let lock = OpenOptions::new().create(true).append(true).open(path).map_err(&failed)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| failed(error.into()))?;
        Ok(Locked { refs: self, _lock: lock })
    }
}

impl Locked<'_> {
    /// Points `name` to `new` if it still points to `expected`; says whether it did. When this returns `true`, the
    /// move survives a power cut. `before` is what must be durable earlier; it runs while the ref's bytes are synced.
    pub(crate) fn swap(
        &self,
        name: &str,
        expected: Option<&Oid>,
        new: &Oid,
        before: impl FnOnce() -> Result<(), Error> + Send,
    ) -> Result<bool, Error> {
        if self.refs.get(name)?.as_ref() != expected {
            return Ok(false);
        }
        let path = self.refs.repository.join(name);
        let directory = path.parent().unwrap_or(&self.refs.repository);
        make_directories(&self.refs.repository, directory)?;
        // Beside `refs`, so that no reader of refs ever lists it.
        let (mut file, temp) = temp_file(&self.refs.repository)?;
        file.write_all(format!("{}\n", to_hex(new)).as_bytes())
            .map_err(Error::io("write a ref"))?;
        std::thread::scope(|scope| {
            let other = scope.spawn(before);
            let synced = file.sync_all().map_err(Error::sync("a ref"));
            synced.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        self.refs.probe.reach(Point::RefWritten);
        temp.rename(&path)?;
        self.refs.probe.reach(Point::RefMoved);
        sync_directory(directory)?;
        Ok(true)
    }
}

impl Locked<'_> {
    /// Removes a ref; one that is not there is no error. Durable when it returns.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.refs.repository.join(name);
        match fs::remove_file(&path) {
            Err(error) if is_absent(&error) => return Ok(()),
            removed => removed.map_err(Error::io("remove a ref"))?,
        }
        sync_directory(path.parent().unwrap_or(&self.refs.repository))
    }
}

/// Creates `directory` below `top`, each new name durable.
fn make_directories(top: &Path, directory: &Path) -> Result<(), Error> {
    if directory.is_dir() || directory == top {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(top);
    make_directories(top, parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io("create a directory of refs")(error))
        }
        _ => sync_directory(parent),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Whether `name` may be one part of a ref's name: short, and only letters, digits, `_`, `-` and single dots inside.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(plain)
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.ends_with(".lock")
}
