//! Named pointers to commits: read as git keeps them, moved by compare-and-swap, durable when a move returns. Never
//! follows a symbolic ref other than HEAD's fixed one.
//!
//! A move is made durable by the journal; the files of the refs and of small packs are not synced one by one. Whoever
//! locks the refs first makes what a dead process had left in the journal. Where the repository is sealed at rest, its
//! files need not be durable at all: its vault is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use crate::{
    Error,
    git::{
        journal::{Journal, Moved},
        pack::{Small, sync_directory, temp_file},
        vault::Vault,
    },
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
    journal: Mutex<Journal>,
    vault: Option<Arc<Vault>>,
    probe: Probe,
}

/// Whoever holds this is the only one, of all processes, that moves refs of the repository.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    refs: &'a Refs,
    _lock: File,
}

impl Refs {
    pub(crate) fn new(repository: &Path, vault: Option<Arc<Vault>>, probe: Probe) -> Self {
        let journal = match &vault {
            Some(vault) => Journal::sealed(Arc::clone(vault)),
            None => Journal::new(repository),
        };
        let journal = Mutex::new(journal);
        Self { repository: repository.to_owned(), journal, vault, probe }
    }

    /// Makes the moves that a process which is gone had made durable and nothing more. Takes no lock without need.
    pub(crate) fn recover(&self) -> Result<(), Error> {
        if self.journal.lock().is_empty()? {
            return Ok(());
        }
        self.lock().map(drop)
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

    /// The last parts of the names of all refs directly in `directory`, sorted.
    pub(crate) fn names(&self, directory: &str) -> Result<Vec<String>, Error> {
        let failed = Error::io("list refs");
        let entries = match fs::read_dir(self.repository.join(directory)) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            entries => entries.map_err(&failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(&failed)?.file_name().into_string().ok());
        }
        names.retain(|name| is_plain_name(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Waits until no one else moves refs. A holder that dies lets go.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Error> {
        let failed = Error::io("lock the refs");
        let path = self.repository.join("remit.lock");
        let lock = OpenOptions::new().create(true).append(true).open(path).map_err(&failed)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| failed(error.into()))?;
        let locked = Locked { refs: self, _lock: lock };
        locked.make_unmade()?;
        Ok(locked)
    }

    /// Makes all files of the repository durable. Takes as long as the file system has things to write.
    pub(crate) fn sync_files(&self) -> Result<(), Error> {
        let failed = |errno: rustix::io::Errno| Error::sync("a repository")(errno.into());
        let directory = File::open(&self.repository).map_err(Error::io("open a repository"))?;
        rustix::fs::syncfs(directory).map_err(failed)
    }

    /// Makes all that the journal moved durable elsewhere, and begins it anew. For the holder of the lock.
    fn settle(&self, journal: &mut Journal) -> Result<(), Error> {
        let Some(vault) = &self.vault else {
            self.sync_files()?;
            return journal.reset();
        };
        let next = vault.settle(&self.repository)?;
        self.probe.reach(Point::Sealed);
        journal.go_on(next);
        Ok(())
    }

    fn make(&self, moved: &Moved) -> Result<(), Error> {
        if let Some(pack) = &moved.pack {
            pack.write(&self.repository.join("objects"))?;
        }
        let path = self.repository.join(&moved.name);
        let Some(to) = &moved.to else {
            return match fs::remove_file(&path) {
                Err(error) if is_absent(&error) => Ok(()),
                removed => removed.map_err(Error::io("remove a ref")),
            };
        };
        fs::create_dir_all(path.parent().unwrap_or(&self.repository))
            .map_err(Error::io("create a directory of refs"))?;
        let (mut file, temp) = temp_file(&self.repository)?;
        write_ref(&mut file, to)?;
        temp.rename(&path)
    }
}

fn write_ref(file: &mut File, to: &Oid) -> Result<(), Error> {
    file.write_all(format!("{}\n", to_hex(to)).as_bytes()).map_err(Error::io("write a ref"))
}

impl Locked<'_> {
    /// Points `name` to `new` if it still points to `expected`; says whether it did. When this returns `true`, the
    /// move survives a power cut, and so does `pack`, which is written with it.
    pub(crate) fn swap(
        &self,
        name: &str,
        expected: Option<&Oid>,
        new: &Oid,
        pack: Option<Small>,
    ) -> Result<bool, Error> {
        let refs = self.refs;
        if refs.get(name)?.as_ref() != expected {
            return Ok(false);
        }
        let path = refs.repository.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&refs.repository))
            .map_err(Error::io("create a directory of refs"))?;
        // Beside `refs`, so that no reader of refs ever lists it.
        let (mut file, temp) = temp_file(&refs.repository)?;
        write_ref(&mut file, new)?;
        if let Some(pack) = &pack {
            pack.write(&refs.repository.join("objects"))?;
        }
        self.append(&Moved { name: name.to_owned(), to: Some(*new), pack })?;
        refs.probe.reach(Point::RefWritten);
        // What is in the journal and not in the file yet, the next lock makes.
        temp.rename(&path).inspect_err(|_| refs.journal.lock().forget())?;
        refs.probe.reach(Point::RefMoved);
        Ok(true)
    }

    /// Removes a ref; one that is not there is no error. Durable when it returns.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.refs.repository.join(name);
        match path.symlink_metadata() {
            Err(error) if is_absent(&error) => return Ok(()),
            found => found.map(drop).map_err(Error::io("look for a ref"))?,
        }
        let removed = Moved { name: name.to_owned(), to: None, pack: None };
        self.append(&removed)?;
        self.refs.make(&removed).inspect_err(|_| self.refs.journal.lock().forget())
    }

    fn append(&self, moved: &Moved) -> Result<(), Error> {
        if let Some(vault) = &self.refs.vault {
            vault.note(&moved.name)?;
        }
        let mut journal = self.refs.journal.lock();
        if journal.append(moved)? {
            return Ok(());
        }
        self.refs.settle(&mut journal)?;
        if journal.append(moved)? {
            return Ok(());
        }
        Err(Error::Full { action: "write so long a move" })
    }

    /// Makes all files of the repository durable, and begins the journal anew.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        self.refs.settle(&mut self.refs.journal.lock())
    }

    fn make_unmade(&self) -> Result<(), Error> {
        let mut journal = self.refs.journal.lock();
        let unmade = journal.unmade()?;
        if unmade.is_empty() {
            return Ok(());
        }
        let made = unmade.iter().try_for_each(|moved| self.refs.make(moved));
        let made = made.and_then(|()| self.refs.settle(&mut journal));
        made.inspect_err(|_| journal.forget())
    }

    /// [`swap`](Self::swap) of a repository in the making, without a journal. `before` is what must be durable
    /// earlier.
    pub(crate) fn begin(
        &self,
        name: &str,
        first: &Oid,
        before: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.refs.repository.join(name);
        let (mut file, temp) = temp_file(&self.refs.repository)?;
        write_ref(&mut file, first)?;
        file.sync_all().map_err(Error::sync("a ref"))?;
        before()?;
        temp.rename(&path)?;
        sync_directory(path.parent().unwrap_or(&self.refs.repository))
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
