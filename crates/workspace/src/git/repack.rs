//! Merges the small packs that single commits leave into one, so that a repository of many commits stays quick to
//! read. Never touches a pack with deltas (somebody pushed it) nor an object that nothing else holds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Error,
    git::pack::{Placed, Stage},
    id::ID_BYTES,
    point::{Point, Probe},
};

/// Packs that may stand side by side before the small ones are merged.
pub(crate) const PACKS_MAX: usize = 50;

/// Packs beyond this many bytes are left alone.
const SMALL_BYTES_MAX: u64 = 16 << 20;

/// Merges the small packs at `objects` if there are more than [`PACKS_MAX`] packs; returns how many it merged.
///
/// The caller holds the lock of the refs, so that no two merge at once. Readers go on: what they have open stays
/// readable, and what they look for next is in the merged pack.
pub(crate) fn merge_small(objects: &Path, probe: &Probe) -> Result<usize, Error> {
    let packs = list(&objects.join("pack"))?;
    if packs.len() <= PACKS_MAX {
        return Ok(0);
    }
    let mut stage = Stage::new(objects);
    let mut merged = Vec::new();
    for pack in packs {
        if let Some(objects) = read_small(&pack)? {
            for (placed, packed) in objects.slices() {
                stage.put_packed(placed.id, packed)?;
            }
            merged.push(pack);
        }
    }
    if merged.len() < 2 {
        return Ok(0);
    }
    let Some(packed) = stage.finish()? else { return Ok(0) };
    packed.sync()?;
    probe.reach(Point::Repacked);
    merged.retain(|pack| *pack != packed.name);
    for pack in &merged {
        // The index first: without it nobody looks for the pack.
        for extension in ["idx", "pack"] {
            fs::remove_file(pack.with_extension(extension)).map_err(Error::io("remove a pack"))?;
        }
    }
    Ok(merged.len())
}

/// How many packs there are.
pub(crate) fn count(objects: &Path) -> Result<usize, Error> {
    list(&objects.join("pack")).map(|packs| packs.len())
}

/// Paths, without extension, of all packs that have an index.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = Error::io("list the packs");
    let mut packs = Vec::new();
    for entry in fs::read_dir(directory).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            packs.push(path.with_extension(""));
        }
    }
    packs.sort();
    Ok(packs)
}

/// A whole small pack in memory, its objects by offset.
struct SmallPack {
    raw: Vec<u8>,
    placed: Vec<Placed>,
}

impl SmallPack {
    fn slices(&self) -> impl Iterator<Item = (&Placed, &[u8])> {
        let end = self.raw.len() - ID_BYTES;
        let ends = self.placed.iter().skip(1).map(|next| next.offset as usize).chain([end]);
        self.placed
            .iter()
            .zip(ends)
            .filter_map(|(placed, end)| Some((placed, self.raw.get(placed.offset as usize..end)?)))
    }

    fn has_deltas(&self) -> bool {
        self.slices()
            .any(|(_, packed)| !matches!(packed.first().map(|byte| byte >> 4 & 7), Some(1..=3)))
    }
}

/// Reads a pack that is small and without deltas; any other, or one kept on purpose, is `None`.
fn read_small(pack: &Path) -> Result<Option<SmallPack>, Error> {
    let failed = Error::io("read a pack");
    let file = pack.with_extension("pack");
    let kept = pack.with_extension("keep").exists() || pack.with_extension("promisor").exists();
    if kept || fs::metadata(&file).map_err(&failed)?.len() > SMALL_BYTES_MAX {
        return Ok(None);
    }
    let raw = fs::read(&file).map_err(&failed)?;
    let index = fs::read(pack.with_extension("idx")).map_err(&failed)?;
    let Some(placed) = parse_index(&index).filter(|_| raw.len() > 12 + ID_BYTES) else {
        return Ok(None);
    };
    let pack = SmallPack { raw, placed };
    Ok((!pack.has_deltas() && pack.slices().count() == pack.placed.len()).then_some(pack))
}

fn parse_index(raw: &[u8]) -> Option<Vec<Placed>> {
    let table = raw.strip_prefix(b"\xfftOc\0\0\0\x02")?;
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
    let count = number(table.get(1020..1024)?)? as usize;
    let ids = table.get(1024..)?;
    let crcs = ids.get(count * ID_BYTES..)?;
    let offsets = crcs.get(count * 4..)?.get(..count * 4)?;
    let mut placed = (0..count)
        .map(|at| {
            let id = ids.get(at * ID_BYTES..(at + 1) * ID_BYTES)?.try_into().ok()?;
            let crc = number(crcs.get(at * 4..at * 4 + 4)?)?;
            let offset = number(offsets.get(at * 4..at * 4 + 4)?)?;
            (offset < 1 << 31).then_some(Placed { id, crc, offset })
        })
        .collect::<Option<Vec<_>>>()?;
    placed.sort_unstable_by_key(|object| object.offset);
    Some(placed)
}
