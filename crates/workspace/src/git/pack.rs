//! Writes the objects of one commit as one pack and its index: a large one synced before anything may name it, a small
//! one through the journal. Never deletes or changes what is there.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{
    Error,
    git::{
        object::Kind,
        store::{self, Hasher, Object},
    },
    id::{ID_BYTES, Oid, to_hex},
};

/// Bytes of packed objects kept in memory before they go to the disk.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// Bytes of one pack at most, so that its index needs no large offsets.
const PACK_BYTES_MAX: u64 = 1 << 31;

/// Bytes of a pack that goes through the journal at most, and of the objects of one that are remembered.
const SMALL_BYTES_MAX: usize = 64 << 10;

const HEADER_BYTES: usize = 12;

/// Where one object stands in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) id: Oid,
    pub(crate) crc: u32,
    pub(crate) offset: u32,
}

/// Objects that are being gathered for one commit. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    memory: Vec<u8>,
    spilled: Option<(File, TempPath)>,
    spilled_bytes: u64,
    placed: Vec<Placed>,
    known: HashSet<Oid>,
    trees: HashMap<Oid, Vec<u8>>,
    small: Vec<Object>,
    small_bytes: usize,
    deflate: Compress,
}

impl Stage {
    /// Begins a pack for the object database at `objects`.
    pub(crate) fn new(objects: &Path) -> Self {
        Self {
            directory: objects.join("pack"),
            memory: vec![0; HEADER_BYTES],
            spilled: None,
            spilled_bytes: 0,
            placed: Vec::new(),
            known: HashSet::new(),
            trees: HashMap::new(),
            small: Vec::new(),
            small_bytes: 0,
            deflate: Compress::new(Compression::fast(), true),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// Adds an object and returns its name. The same object twice is stored once.
    pub(crate) fn put(&mut self, kind: Kind, content: &[u8]) -> Result<Oid, Error> {
        let id = store::hash(kind, content)?;
        self.put_hashed(kind, id, content)?;
        Ok(id)
    }

    /// [`put`](Self::put) for content whose name is known already.
    pub(crate) fn put_hashed(&mut self, kind: Kind, id: Oid, content: &[u8]) -> Result<(), Error> {
        if !self.known.insert(id) {
            return Ok(());
        }
        if kind == Kind::Tree {
            self.trees.insert(id, content.to_vec());
        }
        if self.small_bytes + content.len() <= SMALL_BYTES_MAX {
            self.small_bytes += content.len();
            self.small.push(Object { kind, id, content: content.to_vec() });
        }
        let start = self.memory.len();
        push_header(&mut self.memory, kind, content.len());
        self.deflate(content)?;
        self.place(id, start)
    }

    /// Appends `content`, compressed. One compressor serves all objects: making one costs more than a small file.
    fn deflate(&mut self, mut content: &[u8]) -> Result<(), Error> {
        self.deflate.reset();
        loop {
            self.memory.reserve(content.len() / 2 + 256);
            let before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(content, &mut self.memory, FlushCompress::Finish)
                .map_err(|error| Error::io("compress an object")(error.into()))?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(content.len());
            content = &content[taken..];
            if status == Status::StreamEnd {
                return Ok(());
            }
        }
    }

    /// Adds an object that is packed already: its bytes in another pack, header and all.
    pub(crate) fn put_packed(&mut self, id: Oid, packed: &[u8]) -> Result<(), Error> {
        if !self.known.insert(id) {
            return Ok(());
        }
        let start = self.memory.len();
        self.memory.extend_from_slice(packed);
        self.place(id, start)
    }

    /// A tree that was put into this stage.
    pub(crate) fn tree(&self, id: &Oid) -> Option<&[u8]> {
        self.trees.get(id).map(Vec::as_slice)
    }

    /// The content of an object that was put into this stage, and is no tree: unpacked again, for the few that are
    /// merged.
    pub(crate) fn content(&self, id: &Oid) -> Result<Option<Vec<u8>>, Error> {
        let Some(packed) = self.packed(id)? else { return Ok(None) };
        let damaged = || Error::damaged("cannot read object", id);
        let (size, start) = parse_header(&packed).ok_or_else(damaged)?;
        let mut content = Vec::with_capacity(size);
        let status = Decompress::new(true)
            .decompress_vec(&packed[start..], &mut content, FlushDecompress::Finish)
            .map_err(|_| damaged())?;
        if status == Status::StreamEnd && content.len() == size {
            Ok(Some(content))
        } else {
            Err(damaged())
        }
    }

    /// How many bytes the content of a staged object has.
    pub(crate) fn size(&self, id: &Oid) -> Result<Option<usize>, Error> {
        Ok(self.packed(id)?.and_then(|packed| parse_header(&packed)).map(|(size, _)| size))
    }

    fn packed(&self, id: &Oid) -> Result<Option<Vec<u8>>, Error> {
        if !self.known.contains(id) {
            return Ok(None);
        }
        let Some(at) = self.placed.iter().position(|placed| placed.id == *id) else {
            return Ok(None);
        };
        let all = self.spilled_bytes + self.memory.len() as u64;
        let start = u64::from(self.placed[at].offset);
        let end = self.placed.get(at + 1).map_or(all, |next| u64::from(next.offset));
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(start) = start.checked_sub(self.spilled_bytes) {
            let end = end - self.spilled_bytes;
            return Ok(self.memory.get(index(start)..index(end)).map(<[u8]>::to_vec));
        }
        let Some((file, _)) = &self.spilled else { return Ok(None) };
        let mut packed = vec![0; index(end - start)];
        file.read_exact_at(&mut packed, start).map_err(Error::io("read a pack"))?;
        Ok(Some(packed))
    }

    /// Staged objects that the next reader will want, as long as they are small.
    pub(crate) fn take_small_objects(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.small)
    }

    fn place(&mut self, id: Oid, start: usize) -> Result<(), Error> {
        let offset = self.spilled_bytes + start as u64;
        let end = self.spilled_bytes + self.memory.len() as u64;
        let offset = u32::try_from(offset).ok().filter(|_| end < PACK_BYTES_MAX);
        let offset = offset.ok_or(Error::Full { action: "hold so many changes in one commit" })?;
        let mut crc = flate2::Crc::new();
        crc.update(&self.memory[start..]);
        self.placed.push(Placed { id, crc: crc.sum(), offset });
        if self.memory.len() > MEMORY_BYTES_MAX { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Error> {
        let failed = Error::io("write a pack");
        if self.spilled.is_none() {
            self.spilled = Some(temp_file(&self.directory)?);
        }
        if let Some((file, _)) = &mut self.spilled {
            file.write_all(&self.memory).map_err(failed)?;
        }
        self.spilled_bytes += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// The pack and its index, where they are small; they stay staged. `None` for others, also without objects.
    pub(crate) fn small(&mut self) -> Result<Option<Small>, Error> {
        if self.is_empty() || self.spilled.is_some() || self.memory.len() > SMALL_BYTES_MAX {
            return Ok(None);
        }
        let mut pack = self.memory.clone();
        pack[..HEADER_BYTES].copy_from_slice(&self.header()?);
        let mut hasher = Hasher::default();
        hasher.update(&pack);
        let checksum = hasher.finish()?;
        pack.extend_from_slice(&checksum);
        let index = encode_index(&mut self.placed.clone(), &checksum)?;
        Ok(Some(Small { checksum, pack, index }))
    }

    fn header(&self) -> Result<[u8; HEADER_BYTES], Error> {
        let count = u32::try_from(self.placed.len())
            .map_err(|_| Error::Full { action: "hold so many objects in one pack" })?;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(b"PACK");
        header[4..8].copy_from_slice(&2_u32.to_be_bytes());
        header[8..].copy_from_slice(&count.to_be_bytes());
        Ok(header)
    }

    /// Writes and syncs the pack and its index, and gives both their names. Without objects: does nothing.
    ///
    /// The new names themselves survive a power cut only once the directory is synced: see [`Packed::sync`].
    pub(crate) fn finish(mut self) -> Result<Option<Packed>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let failed = Error::io("write a pack");
        let header = self.header()?;
        let checksum = self.seal(&header)?;
        if self.spilled.is_none() {
            self.spilled = Some(temp_file(&self.directory)?);
        }
        let Some((mut pack, pack_path)) = self.spilled.take() else { return Ok(None) };
        pack.write_all(&self.memory).map_err(&failed)?;

        let (mut index, index_path) = temp_file(&self.directory)?;
        index.write_all(&encode_index(&mut self.placed, &checksum)?).map_err(&failed)?;
        sync_both(&pack, &index)?;

        let name = self.directory.join(format!("pack-{}", to_hex(&checksum)));
        pack_path.rename(&name.with_extension("pack"))?;
        index_path.rename(&name.with_extension("idx"))?;
        Ok(Some(Packed { directory: self.directory, name }))
    }

    /// Sets the header, hashes everything and appends the checksum to what is in memory.
    fn seal(&mut self, header: &[u8; HEADER_BYTES]) -> Result<Oid, Error> {
        let failed = Error::io("write a pack");
        let mut hasher = Hasher::default();
        match &mut self.spilled {
            None => self.memory[..HEADER_BYTES].copy_from_slice(header),
            Some((file, _)) => {
                file.seek(SeekFrom::Start(0)).map_err(&failed)?;
                file.write_all(header).map_err(&failed)?;
                file.seek(SeekFrom::Start(0)).map_err(&failed)?;
                let mut piece = vec![0; 1 << 16];
                loop {
                    let read = file.read(&mut piece).map_err(&failed)?;
                    if read == 0 {
                        break;
                    }
                    hasher.update(&piece[..read]);
                }
            }
        }
        hasher.update(&self.memory);
        let checksum = hasher.finish()?;
        self.memory.extend_from_slice(&checksum);
        Ok(checksum)
    }
}

/// A small pack with its index, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Small {
    /// The pack's checksum, from which both files have their name.
    pub(crate) checksum: Oid,
    pub(crate) pack: Vec<u8>,
    pub(crate) index: Vec<u8>,
}

impl Small {
    /// Writes both files into the object database at `objects`, whole under their names, but not synced.
    pub(crate) fn write(&self, objects: &Path) -> Result<(), Error> {
        let directory = objects.join("pack");
        let name = directory.join(format!("pack-{}", to_hex(&self.checksum)));
        for (content, extension) in [(&self.pack, "pack"), (&self.index, "idx")] {
            let (mut file, temp) = temp_file(&directory)?;
            file.write_all(content).map_err(Error::io("write a pack"))?;
            temp.rename(&name.with_extension(extension))?;
        }
        Ok(())
    }
}

/// A finished pack.
#[derive(Debug)]
pub(crate) struct Packed {
    directory: PathBuf,
    /// Path of the pack without its extension.
    pub(crate) name: PathBuf,
}

impl Packed {
    /// Makes the names of the pack and its index durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        sync_directory(&self.directory)
    }
}

/// Makes two files durable at once: a journal commits for both in the time it takes for one.
fn sync_both(pack: &File, index: &File) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| index.sync_all().map_err(Error::sync("a pack's index")));
        let one = pack.sync_all().map_err(Error::sync("a pack"));
        one.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), Error> {
    let opened = File::open(directory).map_err(Error::io("open a directory"))?;
    opened.sync_all().map_err(Error::sync("a directory"))
}

/// A file of ours that is removed again unless it gets its name.
#[derive(Debug)]
pub(crate) struct TempPath(Option<PathBuf>);

/// What names of unfinished files begin with; git's own housekeeping removes such files, too.
pub(crate) const TEMP_PREFIX: &str = "tmp_remit_";

static NEXT_TEMP: AtomicU64 = AtomicU64::new(0);

/// A new file in `directory`, read-only for others.
pub(crate) fn temp_file(directory: &Path) -> Result<(File, TempPath), Error> {
    let path = temp_path(directory);
    let file = File::create_new(&path).map_err(Error::io("create a file"))?;
    Ok((file, TempPath(Some(path))))
}

/// A name in `directory` that no other call returns.
pub(crate) fn temp_path(directory: &Path) -> PathBuf {
    let number = NEXT_TEMP.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{TEMP_PREFIX}{}_{number}", std::process::id()))
}

impl TempPath {
    /// Gives the file its name, over what had it.
    pub(crate) fn rename(mut self, name: &Path) -> Result<(), Error> {
        let Some(path) = &self.0 else { return Ok(()) };
        fs::rename(path, name).map_err(Error::io("name a file"))?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        // What cannot be removed now, or is left after a crash, is removed when the repository is opened.
        if let Some(path) = &self.0 {
            fs::remove_file(path).ok();
        }
    }
}

fn push_header(out: &mut Vec<u8>, kind: Kind, size: usize) {
    let kind: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
    };
    let low = |bits: usize, mask: usize| u8::try_from(bits & mask).expect("masked to seven bits");
    let mut byte = kind << 4 | low(size, 15);
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    out.push(byte);
}

/// The size of an object, and where its packed content begins.
fn parse_header(packed: &[u8]) -> Option<(usize, usize)> {
    let first = *packed.first()?;
    let (mut size, mut shift, mut at, mut more) =
        (usize::from(first & 15), 4, 1, first & 0x80 != 0);
    while more {
        let byte = *packed.get(at)?;
        size |= usize::from(byte & 0x7f).checked_shl(shift)?;
        (shift, at, more) = (shift + 7, at + 1, byte & 0x80 != 0);
    }
    Some((size, at))
}

/// The index, version 2: fan-out, names, checksums, offsets, the pack's checksum and its own.
fn encode_index(placed: &mut [Placed], pack_checksum: &Oid) -> Result<Vec<u8>, Error> {
    placed.sort_unstable_by_key(|object| object.id);
    let mut raw = Vec::with_capacity(8 + 1024 + placed.len() * (ID_BYTES + 8) + 2 * ID_BYTES);
    raw.extend_from_slice(b"\xfftOc\0\0\0\x02");
    for first in 0..=u8::MAX {
        let up_to = placed.partition_point(|object| object.id[0] <= first);
        raw.extend_from_slice(&u32::try_from(up_to).unwrap_or(u32::MAX).to_be_bytes());
    }
    raw.extend(placed.iter().flat_map(|object| object.id));
    raw.extend(placed.iter().flat_map(|object| object.crc.to_be_bytes()));
    raw.extend(placed.iter().flat_map(|object| object.offset.to_be_bytes()));
    raw.extend_from_slice(pack_checksum);
    let mut hasher = Hasher::default();
    hasher.update(&raw);
    raw.extend_from_slice(&hasher.finish()?);
    Ok(raw)
}
