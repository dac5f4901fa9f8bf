//! Moves of refs that are durable before the files of the repository are: a move and its pack are one record and one
//! sync here, and the files that git reads follow without a sync of their own. After a crash they are made from the
//! records anew. Holds nothing that is needed once those files are synced, or are sealed elsewhere.
//!
//! Where the repository is sealed at rest, so is each record, bound to its generation and its number; how many there are
//! and how long they are shows.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error,
    git::{
        pack::{Small, sync_directory},
        vault::Vault,
    },
    id::{ID_BYTES, Oid},
};

/// The file in the repository; git knows nothing of it.
pub(crate) const NAME: &str = "remit.journal";
/// The file grows by so many bytes of zeros, so that a record needs no other sync than its own.
const STEP_BYTES: u64 = 128 << 10;
/// Records end here; then the files of the repository are synced and the journal begins anew.
const BYTES_MAX: u64 = 1 << 20;
/// The head of the file has a sector of its own.
const HEAD_BYTES: u64 = 512;
const HEAD_MARK: &[u8; 8] = b"remitjo1";
const RECORD_MARK: &[u8; 4] = b"move";
/// Mark, checksum, generation, number, length.
const RECORD_HEAD_BYTES: usize = 24;
/// Where in a record the checksum begins to count.
const CHECKED_FROM: usize = 8;

/// A ref that moved, and what it needs that was not there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) name: String,
    /// `None`: it was removed.
    pub(crate) to: Option<Oid>,
    pub(crate) pack: Option<Small>,
}

/// The journal of one repository. All calls but [`Journal::is_empty`] are for the holder of the refs' lock.
#[derive(Debug)]
pub(crate) struct Journal {
    place: Place,
    tail: Option<Tail>,
}

#[derive(Debug)]
enum Place {
    /// The file, which lies in the repository.
    Clear(PathBuf),
    /// A vault has it: which file it is, depends on the generation.
    Sealed(Arc<Vault>),
}

/// Where the next record goes, as far as this process knows.
#[derive(Debug)]
struct Tail {
    file: File,
    generation: u64,
    number: u32,
    end: u64,
    length: u64,
}

impl Journal {
    pub(crate) fn new(repository: &Path) -> Self {
        Self { place: Place::Clear(repository.join(NAME)), tail: None }
    }

    pub(crate) fn sealed(vault: Arc<Vault>) -> Self {
        Self { place: Place::Sealed(vault), tail: None }
    }

    /// Whether no record waits to be made into files. Looks at the file; only the lock tells it of a sealed one.
    pub(crate) fn is_empty(&self) -> Result<bool, Error> {
        let Place::Clear(path) = &self.place else { return Ok(false) };
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            opened => {
                let file = opened.map_err(Error::io("open the journal"))?;
                Ok(self.records(&file, generation(&file)?)?.0.is_empty())
            }
        }
    }

    /// The records whose moves may not have been made, oldest first: those of another process, or of one that died.
    /// Until they are made into files and [`reset`](Self::reset), nothing can be appended.
    pub(crate) fn unmade(&mut self) -> Result<Vec<Moved>, Error> {
        if let Some(tail) = &self.tail
            && tail.is_last()?
        {
            return Ok(Vec::new());
        }
        self.tail = None;
        let (path, named) = match &self.place {
            Place::Clear(path) => (path.clone(), None),
            Place::Sealed(vault) => {
                let named = vault.generation()?;
                (vault.journal_path(named), Some(named))
            }
        };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match &self.place {
                Place::Clear(_) => return Ok(Vec::new()),
                Place::Sealed(vault) => return Err(vault.damaged("a journal is missing")),
            },
            opened => opened.map_err(Error::io("open the journal"))?,
        };
        let generation = generation(&file)?;
        if let Place::Sealed(vault) = &self.place
            && named != Some(generation)
        {
            return Err(vault.damaged("a journal does not go with its manifest"));
        }
        let (found, end) = self.records(&file, generation)?;
        let length = file.metadata().map_err(Error::io("read the journal"))?.len();
        let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
        self.tail = Some(Tail { file, generation, number, end, length });
        Ok(found)
    }

    /// Makes a move durable; `false` if there is no room for it before the next [`reset`](Self::reset).
    pub(crate) fn append(&mut self, moved: &Moved) -> Result<bool, Error> {
        if let (None, Place::Clear(path)) = (&self.tail, &self.place) {
            self.tail = Some(Tail::create(path, 1)?);
        }
        let Some(tail) = &mut self.tail else { return Ok(false) };
        let at = Numbered { generation: tail.generation, number: tail.number };
        let payload = encode(moved)?;
        let record = match &self.place {
            Place::Clear(_) => record(at, &payload)?,
            Place::Sealed(vault) => record(at, &vault.seal_record(at, &payload)?)?,
        };
        let end = tail.end + record.len() as u64;
        if end > BYTES_MAX {
            return Ok(false);
        }
        if let Err(error) = tail.write(&record, end) {
            // What was written of it, if anything, must not be found later; what this process knows is void.
            let blank = tail.file.write_all_at(&[0; RECORD_HEAD_BYTES], tail.end);
            blank.and_then(|()| tail.file.sync_data()).ok();
            self.tail = None;
            return Err(error);
        }
        (tail.number, tail.end) = (tail.number + 1, end);
        Ok(true)
    }

    /// Looks at the file again before the next append: a move that is in it may not have been made.
    pub(crate) fn forget(&mut self) {
        self.tail = None;
    }

    /// Forgets all records. Everything that they moved must be durable elsewhere.
    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        match &mut self.tail {
            Some(tail) if tail.number > 0 => tail.begin(tail.generation + 1),
            _ => Ok(()),
        }
    }

    /// Makes the journal of the next generation, durable with its name, beside the one that is in use.
    pub(crate) fn prepare(path: &Path, generation: u64) -> Result<Prepared, Error> {
        Tail::create(path, generation).map(Prepared)
    }

    /// Goes on with it. The manifest of its generation must be durable.
    pub(crate) fn go_on(&mut self, next: Prepared) {
        let before = self.tail.replace(next.0);
        if let Some(before) = before {
            // For others who have it open. After a crash the manifest tells which one is in use.
            before.file.write_all_at(&head(0), 0).ok();
        }
    }

    /// The records of a generation up to the first that is not whole, and where that one would stand.
    fn records(&self, file: &File, generation: u64) -> Result<(Vec<Moved>, u64), Error> {
        let length = file.metadata().map_err(Error::io("read the journal"))?.len().min(BYTES_MAX);
        let mut all = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = read_at(file, &mut all, 0)?;
        let mut rest =
            all[..read].get(usize::try_from(HEAD_BYTES).unwrap_or_default()..).unwrap_or(&[]);
        let (mut found, mut end) = (Vec::new(), HEAD_BYTES);
        loop {
            let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let at = Numbered { generation, number };
            let Some(head) = RecordHead::parse(rest, at) else { break };
            let split = rest.split_at_checked(RECORD_HEAD_BYTES + head.length);
            let Some((record, after)) = split else { break };
            if checksum(&record[CHECKED_FROM..]) != head.checksum {
                break;
            }
            let payload = match &self.place {
                Place::Clear(_) => Cow::Borrowed(&record[RECORD_HEAD_BYTES..]),
                Place::Sealed(vault) => vault.open_record(at, &record[RECORD_HEAD_BYTES..])?.into(),
            };
            let Some(moved) = decode(&payload) else { break };
            found.push(moved);
            end += record.len() as u64;
            rest = after;
        }
        Ok((found, end))
    }
}

/// A journal that is not in use yet.
#[derive(Debug)]
pub(crate) struct Prepared(Tail);

/// Which record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    generation: u64,
    number: u32,
}

impl Numbered {
    pub(crate) fn name(self) -> [u8; 12] {
        let mut name = [0; 12];
        name[..8].copy_from_slice(&self.generation.to_be_bytes());
        name[8..].copy_from_slice(&self.number.to_be_bytes());
        name
    }
}

impl Tail {
    /// Makes the file, durable with its name, or begins the one that is there anew.
    fn create(path: &Path, generation: u64) -> Result<Self, Error> {
        let failed = Error::io("make the journal");
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(&failed)?;
        let length = file.metadata().map_err(&failed)?.len();
        let mut tail = Self { file, generation, number: 0, end: HEAD_BYTES, length };
        tail.lengthen(HEAD_BYTES)?;
        tail.file.write_all_at(&head(generation), 0).map_err(&failed)?;
        tail.file.sync_all().map_err(Error::sync("the journal"))?;
        sync_directory(path.parent().unwrap_or(path))?;
        Ok(tail)
    }

    /// Whether nobody else appended or began anew.
    fn is_last(&self) -> Result<bool, Error> {
        if generation(&self.file)? != self.generation {
            return Ok(false);
        }
        let mut found = [0; RECORD_HEAD_BYTES];
        let read = read_at(&self.file, &mut found, self.end)?;
        let next = Numbered { generation: self.generation, number: self.number };
        Ok(RecordHead::parse(&found[..read], next).is_none())
    }

    /// Forgets all records and goes on in another generation.
    fn begin(&mut self, generation: u64) -> Result<(), Error> {
        self.file
            .write_all_at(&head(generation), 0)
            .map_err(Error::io("begin the journal anew"))?;
        self.file.sync_data().map_err(Error::sync("the journal"))?;
        (self.generation, self.number, self.end) = (generation, 0, HEAD_BYTES);
        Ok(())
    }

    fn write(&mut self, record: &[u8], end: u64) -> Result<(), Error> {
        self.lengthen(end)?;
        self.file.write_all_at(record, self.end).map_err(Error::io("write the journal"))?;
        self.file.sync_data().map_err(Error::sync("the journal"))
    }

    fn lengthen(&mut self, needed: u64) -> Result<(), Error> {
        let failed = Error::io("lengthen the journal");
        while self.length < needed {
            let zeros = vec![0; usize::try_from(STEP_BYTES).unwrap_or_default()];
            self.file.write_all_at(&zeros, self.length).map_err(&failed)?;
            self.length += STEP_BYTES;
        }
        Ok(())
    }
}

fn head(generation: u64) -> [u8; 20] {
    let mut head = [0; 20];
    head[..8].copy_from_slice(HEAD_MARK);
    head[8..16].copy_from_slice(&generation.to_be_bytes());
    let checksum = checksum(&head[..16]);
    head[16..].copy_from_slice(&checksum.to_be_bytes());
    head
}

/// The generation that the file is in; 1 where its head was never written whole.
fn generation(file: &File) -> Result<u64, Error> {
    let mut found = [0; 20];
    read_at(file, &mut found, 0)?;
    let generation = number(&found, 8);
    Ok(if head(generation) == found { generation } else { 1 })
}

struct RecordHead {
    checksum: u32,
    length: usize,
}

impl RecordHead {
    fn parse(raw: &[u8], at: Numbered) -> Option<Self> {
        let raw = raw.get(..RECORD_HEAD_BYTES)?;
        let ours = raw.starts_with(RECORD_MARK)
            && number(raw, 8) == at.generation
            && short(raw, 16) == at.number;
        ours.then(|| Self { checksum: short(raw, 4), length: short(raw, 20) as usize })
    }
}

fn encode(moved: &Moved) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    let mut part = |bytes: &[u8]| -> Result<(), Error> {
        let length = u32::try_from(bytes.len());
        let length = length.map_err(|_| Error::Full { action: "write so long a move" })?;
        payload.extend_from_slice(&length.to_be_bytes());
        payload.extend_from_slice(bytes);
        Ok(())
    };
    part(moved.name.as_bytes())?;
    part(moved.to.as_ref().map_or(&[], Oid::as_slice))?;
    if let Some(pack) = &moved.pack {
        part(&pack.checksum)?;
        part(&pack.pack)?;
        part(&pack.index)?;
    }
    Ok(payload)
}

/// A record with this payload.
fn record(at: Numbered, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let length = u32::try_from(payload.len());
    let length = length.map_err(|_| Error::Full { action: "write so long a move" })?;
    let mut record = Vec::with_capacity(RECORD_HEAD_BYTES + payload.len());
    record.extend_from_slice(RECORD_MARK);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&at.name());
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(payload);
    let checksum = checksum(&record[CHECKED_FROM..]);
    record[4..8].copy_from_slice(&checksum.to_be_bytes());
    Ok(record)
}

fn decode(mut payload: &[u8]) -> Option<Moved> {
    let mut part = || {
        let (length, rest) = payload.split_at_checked(4)?;
        let (bytes, rest) = rest.split_at_checked(short(length, 0) as usize)?;
        payload = rest;
        Some(bytes)
    };
    let name = String::from_utf8(part()?.to_vec()).ok()?;
    let to = match part()? {
        [] => None,
        to => Some(to.try_into().ok()?),
    };
    let pack = match part() {
        None => None,
        Some(checksum) => Some(Small {
            checksum: <[u8; ID_BYTES]>::try_from(checksum).ok()?,
            pack: part()?.to_vec(),
            index: part()?.to_vec(),
        }),
    };
    payload.is_empty().then_some(Moved { name, to, pack })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn number(raw: &[u8], at: usize) -> u64 {
    raw.get(at..at + 8).and_then(|raw| raw.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn short(raw: &[u8], at: usize) -> u32 {
    raw.get(at..at + 4).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Fills as much as there is; how much that was.
fn read_at(file: &File, mut into: &mut [u8], mut at: u64) -> Result<usize, Error> {
    let whole = into.len();
    while !into.is_empty() {
        match file.read_at(into, at) {
            Ok(0) => break,
            Ok(read) => (into, at) = (&mut into[read..], at + read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read the journal")(error)),
        }
    }
    Ok(whole - into.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(number: u8) -> Moved {
        let small = Small { checksum: [number; 20], pack: vec![number; 700], index: vec![1, 2] };
        let pack = number.is_multiple_of(2).then_some(small);
        let to = (number != 3).then_some([number; 20]);
        Moved { name: format!("refs/remit/sessions/s{number}"), to, pack }
    }

    fn appended(folder: &Path, numbers: impl Iterator<Item = u8>) -> Journal {
        let mut journal = Journal::new(folder);
        journal.unmade().unwrap();
        numbers.for_each(|number| assert!(journal.append(&moved(number)).unwrap()));
        journal
    }

    #[test]
    fn what_was_appended_is_found_by_the_next_process_and_by_no_other_generation() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::new(folder.path()).is_empty().unwrap());
        let mut ours = appended(folder.path(), 0..5);
        assert!(!ours.is_empty().unwrap());
        assert_eq!(ours.unmade().unwrap(), [], "we made them ourselves");
        let mut other = Journal::new(folder.path());
        assert_eq!(other.unmade().unwrap(), (0..5).map(moved).collect::<Vec<_>>());
        other.reset().unwrap();
        assert!(other.append(&moved(9)).unwrap());
        assert_eq!(ours.unmade().unwrap(), [moved(9)], "older records stand behind it still");
        assert!(ours.append(&moved(10)).unwrap());
        assert_eq!(other.unmade().unwrap(), [moved(9), moved(10)]);
    }

    #[test]
    fn a_record_that_was_not_written_whole_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let end = |journal: &Journal| journal.tail.as_ref().unwrap().end;
        let journal = appended(folder.path(), 0..3);
        let (last, path) = (end(&journal), folder.path().join(NAME));
        let before = end(&appended(tempfile::tempdir().unwrap().path(), 0..2));
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for torn in before..last {
            let mut bytes = whole.clone();
            bytes[usize::try_from(torn).unwrap()] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            let found = Journal::new(folder.path()).unmade().unwrap();
            assert_eq!(found, (0..2).map(moved).collect::<Vec<_>>(), "byte {torn}");
        }
        std::fs::write(&path, &whole[..usize::try_from(last).unwrap() - 1]).unwrap();
        assert_eq!(Journal::new(folder.path()).unmade().unwrap().len(), 2);
        std::fs::write(&path, b"remitjo1").unwrap();
        assert_eq!(Journal::new(folder.path()).unmade().unwrap(), []);
    }

    #[test]
    fn a_journal_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = appended(folder.path(), 0..1);
        let small = Small { checksum: [7; 20], pack: vec![7; 100 << 10], index: vec![] };
        let large = Moved { pack: Some(small), ..moved(1) };
        let taken = (0..100).take_while(|_| journal.append(&large).unwrap()).count();
        assert!((9..=10).contains(&taken), "{taken}");
        journal.reset().unwrap();
        assert!(journal.append(&large).unwrap());
        assert!(
            std::fs::metadata(folder.path().join(NAME)).unwrap().len() <= BYTES_MAX + STEP_BYTES
        );
    }
}
