//! Where a repository is kept at rest when it is sealed: its packs, its refs and its journal, each under the key of the
//! workspace. The repository itself then lies in a file system in memory, is made from here when it is opened, and may be
//! lost at any time. Never holds anything that is not sealed.
//!
//! The folder holds `key`, the wrapped key; `manifest`, which names the packs and the refs of one generation;
//! `<name>.pack`, a pack with its index under a name that tells nothing; and two journals, of which one goes with the
//! manifest: its records are newer. A file that is put back, cut short or swapped with another one is noticed. What is not:
//! the folder as a whole put back, and the last records of the journal cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::FlockOperation;
use seal::{WorkspaceKey, write_whole};

use crate::{
    Error,
    git::{
        journal::{Journal, Numbered, Prepared},
        pack::{temp_file, temp_path},
        repack,
    },
    id::{ID_BYTES, Oid, from_hex, to_hex},
    repository::lay_out,
};

const MANIFEST: &str = "manifest";
const MANIFEST_MARK: &str = "remit-manifest 1";
/// The file is there once a change-set was held, so that nobody need open the vault to learn that none was.
pub(crate) const HELD_MARK: &str = "held";
const HELD_REFS: &str = "refs/remit/held/";
const PACK: &str = "pack";

/// The sealed files of one repository. All calls but [`Vault::restore`] are for the holder of the refs' lock, or for
/// whoever alone knows of the folder.
#[derive(Debug)]
pub(crate) struct Vault {
    folder: PathBuf,
    key: Arc<WorkspaceKey>,
}

/// What a repository consists of in one generation.
#[derive(Debug, PartialEq, Eq)]
struct Manifest {
    generation: u64,
    refs: BTreeMap<String, Oid>,
    packs: BTreeSet<String>,
}

impl Vault {
    pub(crate) fn new(folder: &Path, key: Arc<WorkspaceKey>) -> Self {
        Self { folder: folder.to_owned(), key }
    }

    /// Whether there is a whole vault in a folder.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(MANIFEST).is_file()
    }

    /// The journal of a generation. The file of the one before it is not touched while it is made.
    pub(crate) fn journal_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("journal-{}", generation % 2))
    }

    pub(crate) fn seal_record(&self, at: Numbered, payload: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key.files.seal(&[b"move", &at.name()], payload)?)
    }

    pub(crate) fn open_record(&self, at: Numbered, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let name: [&[u8]; 2] = [b"move", &at.name()];
        Ok(self.key.files.open("a record of the journal", &name, sealed)?)
    }

    /// The generation that is in use.
    pub(crate) fn generation(&self) -> Result<u64, Error> {
        self.manifest().map(|manifest| manifest.generation)
    }

    /// Seals the repository at `repository` for the first time.
    pub(crate) fn begin(&self, repository: &Path) -> Result<(), Error> {
        // Left by one who died before there was a manifest.
        for name in self.packs()? {
            fs::remove_file(self.path(&name)).map_err(Error::io("remove a sealed pack"))?;
        }
        for name in refs(repository)?.keys() {
            self.note(name)?;
        }
        self.settle_as(repository, 1).map(drop)
    }

    /// Seals a pack that is to be named by the journal, durably. `pack` is its path without extension.
    pub(crate) fn keep(&self, pack: &Path) -> Result<(), Error> {
        let path = self.seal_pack(pack)?;
        let file = File::open(&path).map_err(Error::io("open a sealed pack"))?;
        file.sync_all().map_err(Error::sync("a sealed pack"))?;
        self.sync_names()
    }

    /// Takes note of a ref that is to be moved.
    pub(crate) fn note(&self, name: &str) -> Result<(), Error> {
        let mark = self.folder.join(HELD_MARK);
        if !name.starts_with(HELD_REFS) || mark.exists() {
            return Ok(());
        }
        File::create(mark).map_err(Error::io("mark a sealed folder"))?;
        self.sync_names()
    }

    /// Seals all that the repository has and the vault has not, as a new generation with a journal of its own; then
    /// forgets what the repository has no more.
    pub(crate) fn settle(&self, repository: &Path) -> Result<Prepared, Error> {
        self.settle_as(repository, self.generation()? + 1)
    }

    fn settle_as(&self, repository: &Path, generation: u64) -> Result<Prepared, Error> {
        let mut packs = BTreeSet::new();
        for pack in repack::list(&repository.join("objects/pack"))? {
            let name = self.name(&checksum(&pack)?);
            if !self.path(&name).exists() {
                self.seal_pack(&pack)?;
            }
            packs.insert(name);
        }
        let journal = Journal::prepare(&self.journal_path(generation), generation)?;
        let folder = File::open(&self.folder).map_err(Error::io("open a sealed folder"))?;
        rustix::fs::syncfs(folder).map_err(|errno| Error::sync("sealed packs")(errno.into()))?;
        let manifest = Manifest { generation, refs: refs(repository)?, packs };
        let sealed = self.key.files.seal(&[MANIFEST.as_bytes()], manifest.text().as_bytes())?;
        write_whole(&self.folder.join(MANIFEST), &sealed).map_err(Error::io("write a manifest"))?;
        for name in self.packs()?.difference(&manifest.packs) {
            fs::remove_file(self.path(name)).map_err(Error::io("remove a sealed pack"))?;
        }
        Ok(journal)
    }

    /// Makes the repository at `path`, where none may be, as the manifest has it; what the journal has besides, its first
    /// reader makes. Whoever comes second finds it made.
    pub(crate) fn restore(&self, path: &Path) -> Result<(), Error> {
        let _alone = lock(&self.folder)?;
        if path.exists() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        let unfinished = crate::repository::Unfinished(temp_path(parent));
        self.make(&unfinished.0)?;
        fs::rename(&unfinished.0, path).map_err(Error::io("name a repository"))
    }

    fn make(&self, into: &Path) -> Result<(), Error> {
        let manifest = self.manifest()?;
        lay_out(into)?;
        let there = self.packs()?;
        if !manifest.packs.is_subset(&there) {
            return Err(self.damaged("a sealed pack is missing"));
        }
        for name in &there {
            match self.open_pack(name, into) {
                // It was not whole when the power went, and nothing names it.
                Err(Error::Sealed(_)) if !manifest.packs.contains(name) => {
                    fs::remove_file(self.path(name)).map_err(Error::io("remove a sealed pack"))?;
                }
                opened => opened?,
            }
        }
        for (name, to) in &manifest.refs {
            let path = into.join(name);
            fs::create_dir_all(path.parent().unwrap_or(into))
                .and_then(|()| fs::write(path, format!("{}\n", to_hex(to))))
                .map_err(Error::io("write a ref"))?;
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest, Error> {
        let sealed = fs::read(self.folder.join(MANIFEST)).map_err(Error::io("read a manifest"))?;
        let text = self.key.files.open("a manifest", &[MANIFEST.as_bytes()], &sealed)?;
        Manifest::parse(&text).ok_or_else(|| self.damaged("malformed manifest"))
    }

    fn name(&self, checksum: &Oid) -> String {
        self.key.files.blind_name(checksum)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(PACK)
    }

    /// The names of all sealed packs that are there.
    fn packs(&self) -> Result<BTreeSet<String>, Error> {
        let failed = Error::io("list the sealed packs");
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            if path.extension().is_some_and(|extension| extension == PACK) {
                names.extend(path.file_stem().and_then(|stem| Some(stem.to_str()?.to_owned())));
            }
        }
        Ok(names)
    }

    /// Seals a pack with its index, whole under its name but not synced; where it is then.
    fn seal_pack(&self, pack: &Path) -> Result<PathBuf, Error> {
        let failed = Error::io("seal a pack");
        let checksum = checksum(pack)?;
        let index = fs::read(pack.with_extension("idx")).map_err(&failed)?;
        let content = File::open(pack.with_extension("pack")).map_err(&failed)?;
        let length = (index.len() as u64).to_be_bytes();
        let head = [&checksum[..], &length, &index].concat();
        let mut whole = io::Cursor::new(head).chain(content);
        let name = self.name(&checksum);
        let (file, temp) = temp_file(&self.folder)?;
        let mut to = BufWriter::with_capacity(1 << 17, file);
        self.key.files.seal_object(&[PACK.as_bytes(), name.as_bytes()], &mut whole, &mut to)?;
        to.flush().map_err(&failed)?;
        let path = self.path(&name);
        temp.rename(&path)?;
        Ok(path)
    }

    /// Writes a pack and its index into a repository.
    fn open_pack(&self, name: &str, repository: &Path) -> Result<(), Error> {
        let failed = Error::io("open a sealed pack");
        let file = File::open(self.path(name)).map_err(&failed)?;
        let directory = repository.join("objects/pack");
        let (mut index, mut pack) = (temp_file(&directory)?, temp_file(&directory)?);
        let mut split = Split { head: Vec::new(), index: &mut index.0, pack: &mut pack.0, left: 0 };
        let about: [&[u8]; 2] = [PACK.as_bytes(), name.as_bytes()];
        let files = &self.key.files;
        files.open_object("a pack", &about, &mut BufReader::new(file), &mut split)?;
        let checksum = split.head.first_chunk().copied().unwrap_or_default();
        if self.name(&checksum) != name {
            return Err(self.damaged("a pack of another name"));
        }
        let path = directory.join(format!("pack-{}", to_hex(&checksum)));
        pack.1.rename(&path.with_extension("pack"))?;
        index.1.rename(&path.with_extension("idx"))
    }

    fn sync_names(&self) -> Result<(), Error> {
        crate::git::pack::sync_directory(&self.folder)
    }

    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { what, id: self.key.files.owner().to_string() }
    }
}

/// Waits until nobody else makes a vault in a folder, or a repository from it.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let failed = Error::io("lock a sealed folder");
    let folder = File::open(folder).map_err(&failed)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&folder, FlockOperation::LockExclusive))
        .map_err(|errno| failed(errno.into()))?;
    Ok(folder)
}

/// Bytes before the index of a sealed pack: the pack's checksum and how long the index is.
const SPLIT_HEAD_BYTES: usize = ID_BYTES + 8;

/// Writes the parts of a sealed pack where they belong.
struct Split<'a> {
    head: Vec<u8>,
    index: &'a mut File,
    pack: &'a mut File,
    /// Bytes of the index that are still to come.
    left: u64,
}

impl Write for Split<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = SPLIT_HEAD_BYTES - self.head.len();
        if missing > 0 {
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend_from_slice(head);
            if let Some(length) = self.head[..].get(ID_BYTES..).and_then(|it| it.try_into().ok()) {
                self.left = u64::from_be_bytes(length);
            }
            if rest.is_empty() {
                return Ok(bytes.len());
            }
            return Ok(head.len() + self.write(rest)?);
        }
        let of_index = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (index, pack) = bytes.split_at(of_index);
        self.index.write_all(index)?;
        self.left -= of_index as u64;
        self.pack.write_all(pack)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Manifest {
    fn text(&self) -> String {
        let mut text = format!("{MANIFEST_MARK}\ngeneration {}\n", self.generation);
        for (name, to) in &self.refs {
            writeln!(text, "ref {} {name}", to_hex(to)).expect("a string takes it");
        }
        for name in &self.packs {
            writeln!(text, "pack {name}").expect("a string takes it");
        }
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        if lines.next()? != MANIFEST_MARK {
            return None;
        }
        let generation = lines.next()?.strip_prefix("generation ")?.parse().ok()?;
        let (mut refs, mut packs) = (BTreeMap::new(), BTreeSet::new());
        for line in lines {
            if let Some(name) = line.strip_prefix("pack ") {
                packs.insert(name.to_owned());
            } else {
                let (to, name) = line.strip_prefix("ref ")?.split_once(' ')?;
                refs.insert(name.to_owned(), from_hex(to.as_bytes())?);
            }
        }
        Some(Self { generation, refs, packs })
    }
}

/// The checksum at the end of a pack.
fn checksum(pack: &Path) -> Result<Oid, Error> {
    use std::io::Seek as _;
    let failed = Error::io("read a pack");
    let mut file = File::open(pack.with_extension("pack")).map_err(&failed)?;
    let mut checksum = [0; ID_BYTES];
    file.seek(io::SeekFrom::End(-20)).map_err(&failed)?;
    file.read_exact(&mut checksum).map_err(&failed)?;
    Ok(checksum)
}

/// All refs of a repository, as git keeps them.
fn refs(repository: &Path) -> Result<BTreeMap<String, Oid>, Error> {
    let failed = Error::io("read the refs");
    let mut found = BTreeMap::new();
    match fs::read_to_string(repository.join("packed-refs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        text => {
            for line in text.map_err(&failed)?.lines() {
                if let Some((hex, name)) = line.split_once(' ')
                    && let Some(to) = from_hex(hex.as_bytes())
                {
                    found.insert(name.to_owned(), to);
                }
            }
        }
    }
    let mut folders = vec![("refs".to_owned(), repository.join("refs"))];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(folder).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}/{name}");
            if entry.file_type().map_err(&failed)?.is_dir() {
                folders.push((name, entry.path()));
                continue;
            }
            let text = fs::read(entry.path()).map_err(&failed)?;
            let damaged = || Error::Damaged { what: "malformed ref", id: name.clone() };
            let to = from_hex(text.trim_ascii_end()).ok_or_else(damaged)?;
            found.insert(name, to);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let refs = [("refs/heads/main".to_owned(), [7; ID_BYTES])].into();
        let manifest = Manifest { generation: 9, refs, packs: ["ab".to_owned()].into() };
        assert_eq!(Manifest::parse(manifest.text().as_bytes()), Some(manifest));
        for bad in ["", "remit-manifest 1\n", "remit-manifest 1\ngeneration 1\nref x y"] {
            assert_eq!(Manifest::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
