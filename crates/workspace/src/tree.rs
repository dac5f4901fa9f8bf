//! Edits, compares and merges trees, touching only the directories that differ. Never reads a work tree.

use std::collections::BTreeMap;

use crate::{
    BlobId, Edit, Error, FileEntry, FileMode, TreeId, TreePath,
    git::{
        object::{Entry, Kind, Tree, encode_tree, parse_tree},
        pack::Stage,
        store::Store,
    },
    id::Oid,
};

/// Directories inside each other that are followed at most: beyond, a pushed tree is hostile.
const DEPTH_MAX: usize = 512;

/// Reads trees, on the disk or still staged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trees<'a> {
    pub(crate) store: &'a Store,
    pub(crate) stage: Option<&'a Stage>,
}

/// A path whose content differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub path: TreePath,
    /// What stood there, if anything.
    pub before: Option<FileEntry>,
    /// What stands there now, if anything.
    pub after: Option<FileEntry>,
}

impl Trees<'_> {
    pub(crate) fn read(&self, id: &Oid) -> Result<Tree, Error> {
        match self.stage.and_then(|stage| stage.tree(id)) {
            Some(raw) => parse_tree(raw, id),
            None if *id == EMPTY_TREE => Ok(Tree::new()),
            None => parse_tree(&self.store.get(Kind::Tree, id)?, id),
        }
    }

    /// What stands at a path: a file or a directory.
    pub(crate) fn at(&self, tree: &TreeId, path: &TreePath) -> Result<Option<Entry>, Error> {
        let mut found = Entry { mode: crate::git::object::mode::TREE, id: *tree.raw() };
        for name in path.names() {
            if !found.is_tree() {
                return Ok(None);
            }
            match self.read(&found.id)?.get(name.as_bytes()) {
                Some(entry) => found = *entry,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Every file that differs, in the order of [`TreePath`].
    pub(crate) fn changes(&self, before: &TreeId, after: &TreeId) -> Result<Vec<Changed>, Error> {
        let mut found = Vec::new();
        let top = |id: &TreeId| Some(Entry { mode: crate::git::object::mode::TREE, id: *id.raw() });
        self.compare(top(before), top(after), &mut Vec::new(), &mut found)?;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn compare(
        &self,
        before: Option<Entry>,
        after: Option<Entry>,
        path: &mut Vec<String>,
        found: &mut Vec<Changed>,
    ) -> Result<(), Error> {
        if before == after {
            return Ok(());
        }
        if path.len() > DEPTH_MAX {
            return Err(Error::Damaged { what: "bottomless tree", id: String::new() });
        }
        let file = |side: Option<Entry>| side.filter(|entry| !entry.is_tree()).map(file_entry);
        let (file_before, file_after) = (file(before), file(after));
        if file_before != file_after {
            let path = TreePath::from_checked(path.join("/"));
            found.push(Changed { path, before: file_before, after: file_after });
        }
        let directory = |side: Option<Entry>| match side.filter(Entry::is_tree) {
            Some(entry) => self.read(&entry.id),
            None => Ok(Tree::new()),
        };
        let (one, other) = (directory(before)?, directory(after)?);
        let mut pairs: BTreeMap<&[u8], (Option<Entry>, Option<Entry>)> = BTreeMap::new();
        for (name, entry) in &one {
            pairs.entry(name).or_default().0 = Some(*entry);
        }
        for (name, entry) in &other {
            pairs.entry(name).or_default().1 = Some(*entry);
        }
        for (name, (before, after)) in pairs {
            path.push(String::from_utf8_lossy(name).into_owned());
            self.compare(before, after, path, found)?;
            path.pop();
        }
        Ok(())
    }
}

pub(crate) fn file_entry(entry: Entry) -> FileEntry {
    FileEntry { mode: FileMode::from_raw(entry.mode), blob: BlobId::new(entry.id) }
}

/// The name of the tree without entries, which repositories need not hold.
pub(crate) const EMPTY_TREE: Oid = [
    0x4b, 0x82, 0x5d, 0xc6, 0x42, 0xcb, 0x6e, 0xb9, 0xa0, 0x60, 0xe5, 0x4b, 0xf8, 0xd6, 0x92, 0x88,
    0xfb, 0xee, 0x49, 0x04,
];

/// Applies `edits`, which stand in the order of [`TreePath`], to a tree; puts the changed trees into `stage`.
pub(crate) fn edit(
    store: &Store,
    stage: &mut Stage,
    tree: &TreeId,
    edits: &[Edit],
) -> Result<TreeId, Error> {
    let rows: Vec<Row<'_>> = edits
        .iter()
        .map(|edit| Row { names: edit.path.names().collect(), after: edit.after })
        .collect();
    match edit_level(store, stage, Some(tree.raw()), &rows, 0)? {
        Some(id) => Ok(TreeId::new(id)),
        None => Ok(TreeId::new(stage.put(Kind::Tree, b"")?)),
    }
}

struct Row<'a> {
    names: Vec<&'a str>,
    after: Option<FileEntry>,
}

/// Edits one directory; `None` if nothing is left of it.
fn edit_level(
    store: &Store,
    stage: &mut Stage,
    tree: Option<&Oid>,
    rows: &[Row<'_>],
    depth: usize,
) -> Result<Option<Oid>, Error> {
    let mut entries = match tree {
        Some(id) => Trees { store, stage: Some(stage) }.read(id)?,
        None => Tree::new(),
    };
    for group in rows.chunk_by(|one, other| one.names[depth] == other.names[depth]) {
        let name = group[0].names[depth].as_bytes();
        let here = group.iter().take_while(|row| row.names.len() == depth + 1).count();
        if let Some(row) = group[..here].last() {
            match row.after {
                Some(file) => entries.insert(name.to_vec(), file.entry()),
                None => entries.remove(name),
            };
        }
        let below = &group[here..];
        if below.is_empty() {
            continue;
        }
        let inner = entries.get(name).filter(|entry| entry.is_tree()).map(|entry| entry.id);
        match edit_level(store, stage, inner.as_ref(), below, depth + 1)? {
            Some(id) => {
                let entry = Entry { mode: crate::git::object::mode::TREE, id };
                entries.insert(name.to_vec(), entry);
            }
            // Nothing came of it: a file that stands there stays.
            None if entries.get(name).is_some_and(Entry::is_tree) => {
                entries.remove(name);
            }
            None => {}
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(stage.put(Kind::Tree, &encode_tree(&entries))?))
}
