//! Finds the files that moved: what one change took away and put down elsewhere, alike enough; links, the same. Reads
//! only, and only so much.

use std::collections::{HashMap, HashSet};

use crate::{BlobId, Changed, Error, FileEntry, FileMode, TreePath, blobs::Blobs, text::lines};

/// A changed path, and where it stood before if it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) path: TreePath,
    pub(crate) from: Option<TreePath>,
    pub(crate) before: Option<FileEntry>,
    pub(crate) after: Option<FileEntry>,
}

/// Files that went, and files that came, of which alike ones are looked for; beyond, only equal ones are found.
const SIDE_MAX: usize = 64;

/// Bytes of a file that is compared.
const FILE_BYTES_MAX: usize = 256 << 10;

/// Bytes that are compared in all.
const BYTES_MAX: usize = 4 << 20;

/// Share of what both hold, in percent, from which on two files count as one that moved. As in git.
const ALIKE_PERCENT: usize = 50;

/// The same changes, each pair of a file that went and one that came, alike enough, made one.
pub(crate) fn with_renames(blobs: Blobs<'_>, changes: Vec<Changed>) -> Result<Vec<Moved>, Error> {
    let mut gone: Vec<&Changed> = changes.iter().filter(|it| went(it)).collect();
    let mut come: Vec<&Changed> = changes.iter().filter(|it| came(it)).collect();
    let mut pairs: HashMap<TreePath, TreePath> = HashMap::new();
    if !gone.is_empty() && !come.is_empty() {
        pair_equal(&mut gone, &mut come, &mut pairs);
        pair_alike(blobs, &gone, &come, &mut pairs)?;
    }
    let before: HashMap<TreePath, Option<FileEntry>> =
        pairs.values().map(|from| (from.clone(), entry_before(&changes, from))).collect();
    let moved = changes.into_iter().filter(|it| !before.contains_key(&it.path) || !went(it));
    let moved = moved.map(|Changed { path, before: own, after }| match pairs.remove(&path) {
        Some(from) => {
            let before = before.get(&from).copied().flatten();
            Moved { path, from: Some(from), before, after }
        }
        None => Moved { path, from: None, before: own, after },
    });
    Ok(moved.collect())
}

fn entry_before(changes: &[Changed], path: &TreePath) -> Option<FileEntry> {
    let at = changes.binary_search_by(|changed| changed.path.cmp(path)).ok()?;
    changes.get(at)?.before
}

fn went(changed: &Changed) -> bool {
    changed.after.is_none() && changed.before.is_some_and(may_move)
}

fn came(changed: &Changed) -> bool {
    changed.before.is_none() && changed.after.is_some_and(may_move)
}

/// Whether it can be told from others by what it holds.
fn may_move(file: FileEntry) -> bool {
    file.mode != FileMode::Submodule && file.blob != EMPTY
}

/// The content of a file without content.
const EMPTY: BlobId = BlobId::new([
    0xe6, 0x9d, 0xe2, 0x9b, 0xb2, 0xd1, 0xd6, 0x43, 0x4b, 0x8b, 0x29, 0xae, 0x77, 0x5a, 0xd8, 0xc2,
    0xe4, 0x8c, 0x53, 0x91,
]);

/// Takes out of both lists what is the same content; the one of the same name where there are several.
fn pair_equal(
    gone: &mut Vec<&Changed>,
    come: &mut Vec<&Changed>,
    pairs: &mut HashMap<TreePath, TreePath>,
) {
    let same = |file: FileEntry| (file.mode == FileMode::Link, file.blob);
    let mut by_blob: HashMap<(bool, BlobId), Vec<&Changed>> = HashMap::new();
    for changed in gone.iter().rev() {
        if let Some(file) = changed.before {
            by_blob.entry(same(file)).or_default().push(changed);
        }
    }
    let mut taken: HashSet<&TreePath> = HashSet::new();
    for same_name in [true, false] {
        for new in come.iter() {
            let Some(olds) = new.after.and_then(|file| by_blob.get_mut(&same(file))) else {
                continue;
            };
            let fits = |old: &&Changed| !same_name || old.path.name() == new.path.name();
            if pairs.contains_key(&new.path) {
                continue;
            }
            if let Some(at) = olds.iter().rposition(fits) {
                let old = olds.remove(at);
                taken.insert(&old.path);
                pairs.insert(new.path.clone(), old.path.clone());
            }
        }
    }
    gone.retain(|old| !taken.contains(&old.path));
    come.retain(|new| !pairs.contains_key(&new.path));
}

/// The lines of a file, by hash, sorted, with how many bytes each has.
struct Print {
    lines: Vec<(u64, usize)>,
    bytes: usize,
}

/// Pairs the files that share most of what they hold, the best pairs first.
fn pair_alike(
    blobs: Blobs<'_>,
    gone: &[&Changed],
    come: &[&Changed],
    pairs: &mut HashMap<TreePath, TreePath>,
) -> Result<(), Error> {
    if gone.len() > SIDE_MAX || come.len() > SIDE_MAX {
        return Ok(());
    }
    let mut room = BYTES_MAX;
    let mut prints = |side: &[&Changed]| -> Result<Vec<Option<Print>>, Error> {
        side.iter().map(|it| print(blobs, it.before.or(it.after), &mut room)).collect()
    };
    let (old, new) = (prints(gone)?, prints(come)?);
    let mut scores = Vec::new();
    for (x, one) in old.iter().enumerate() {
        for (y, other) in new.iter().enumerate() {
            let percent =
                one.as_ref().zip(other.as_ref()).map_or(0, |(one, other)| alike(one, other));
            if percent >= ALIKE_PERCENT {
                let same_name = gone[x].path.name() == come[y].path.name();
                scores.push((percent, same_name, x, y));
            }
        }
    }
    scores.sort_by(|one, other| other.cmp(one));
    let (mut used_old, mut used_new) = (HashSet::new(), HashSet::new());
    for (_, _, x, y) in scores {
        if !used_old.contains(&x) && !used_new.contains(&y) {
            used_old.insert(x);
            used_new.insert(y);
            pairs.insert(come[y].path.clone(), gone[x].path.clone());
        }
    }
    Ok(())
}

fn print(
    blobs: Blobs<'_>,
    file: Option<FileEntry>,
    room: &mut usize,
) -> Result<Option<Print>, Error> {
    let Some(file) = file.filter(|file| file.mode != FileMode::Link) else { return Ok(None) };
    let size = blobs.size(file.blob)?;
    if size == 0 || size > FILE_BYTES_MAX || size > *room {
        return Ok(None);
    }
    *room -= size;
    let content = blobs.get(file.blob)?;
    if content.contains(&0) {
        return Ok(None);
    }
    let mut lines: Vec<(u64, usize)> =
        lines(&content).into_iter().map(|line| (hash(line), line.len())).collect();
    lines.sort_unstable();
    Ok(Some(Print { lines, bytes: content.len() }))
}

fn hash(line: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// How much of the larger one both hold, in percent.
fn alike(one: &Print, other: &Print) -> usize {
    let larger = one.bytes.max(other.bytes).max(1);
    if one.bytes.min(other.bytes) * 100 < larger * ALIKE_PERCENT {
        return 0;
    }
    let (mut x, mut y, mut shared) = (0, 0, 0);
    while let (Some(left), Some(right)) = (one.lines.get(x), other.lines.get(y)) {
        match left.cmp(right) {
            std::cmp::Ordering::Less => x += 1,
            std::cmp::Ordering::Greater => y += 1,
            std::cmp::Ordering::Equal => {
                shared += left.1;
                (x, y) = (x + 1, y + 1);
            }
        }
    }
    shared * 100 / larger
}
