//! The form of trees and commits, read strictly and written as git writes it. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    Error,
    id::{self, ID_BYTES, Oid},
};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }

    pub(crate) fn missing(self) -> &'static str {
        match self {
            Self::Commit => "missing commit",
            Self::Tree => "missing tree",
            Self::Blob => "missing blob",
        }
    }
}

/// The mode of a tree's entry, as git writes it.
pub(crate) mod mode {
    pub(crate) const TREE: u32 = 0o040_000;
    pub(crate) const FILE: u32 = 0o100_644;
    pub(crate) const EXECUTABLE: u32 = 0o100_755;
    pub(crate) const LINK: u32 = 0o120_000;
    pub(crate) const SUBMODULE: u32 = 0o160_000;
}

/// What a name in a tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: u32,
    pub(crate) id: Oid,
}

impl Entry {
    pub(crate) fn is_tree(&self) -> bool {
        self.mode == mode::TREE
    }
}

/// A tree, by name.
pub(crate) type Tree = BTreeMap<Vec<u8>, Entry>;

/// Reads a tree object. A name that stands twice, or a broken form, is damage.
pub(crate) fn parse_tree(raw: &[u8], tree_id: &Oid) -> Result<Tree, Error> {
    let damaged = || Error::damaged("malformed tree", tree_id);
    let mut tree = Tree::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let mode = str::from_utf8(&rest[..space]).map_err(|_| damaged())?;
        let mode = u32::from_str_radix(mode, 8).map_err(|_| damaged())?;
        rest = &rest[space + 1..];
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(damaged)?;
        let name = rest[..end].to_vec();
        let (id, after) = rest[end + 1..].split_first_chunk::<ID_BYTES>().ok_or_else(damaged)?;
        rest = after;
        if name.is_empty() || tree.insert(name, Entry { mode, id: *id }).is_some() {
            return Err(damaged());
        }
    }
    Ok(tree)
}

/// Writes a tree object, in git's order: a directory sorts as if its name ended in `/`.
pub(crate) fn encode_tree(tree: &Tree) -> Vec<u8> {
    let mut entries: Vec<_> = tree.iter().collect();
    entries.sort_by_cached_key(|(name, entry)| {
        let mut key = (*name).clone();
        if entry.is_tree() {
            key.push(b'/');
        }
        key
    });
    let mut raw = Vec::new();
    for (name, entry) in entries {
        raw.extend_from_slice(format!("{:o} ", entry.mode).as_bytes());
        raw.extend_from_slice(name);
        raw.push(0);
        raw.extend_from_slice(&entry.id);
    }
    raw
}

/// A commit object as far as it matters here. `author` and `committer` are git's lines without their first word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) tree: Oid,
    pub(crate) parents: Vec<Oid>,
    pub(crate) author: String,
    pub(crate) committer: String,
    pub(crate) message: String,
}

/// Reads a commit object; what is not UTF-8 in it is replaced, extra headers are skipped.
pub(crate) fn parse_commit(raw: &[u8], commit_id: &Oid) -> Result<Commit, Error> {
    let damaged = || Error::damaged("malformed commit", commit_id);
    let text = String::from_utf8_lossy(raw);
    let (head, message) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let mut tree = None;
    let mut commit = Commit {
        tree: [0; ID_BYTES],
        parents: Vec::new(),
        author: String::new(),
        committer: String::new(),
        message: message.to_owned(),
    };
    for line in head.lines() {
        let object = |hex: &str| id::from_hex(hex.as_bytes()).ok_or_else(damaged);
        match line.split_once(' ') {
            Some(("tree", hex)) => tree = Some(object(hex)?),
            Some(("parent", hex)) => commit.parents.push(object(hex)?),
            Some(("author", who)) => who.clone_into(&mut commit.author),
            Some(("committer", who)) => who.clone_into(&mut commit.committer),
            _ => {}
        }
    }
    commit.tree = tree.ok_or_else(damaged)?;
    Ok(commit)
}

/// Writes a commit object.
pub(crate) fn encode_commit(commit: &Commit) -> Vec<u8> {
    let Commit { tree, parents, author, committer, message } = commit;
    let parents = parents.iter().fold(String::new(), |mut lines, parent| {
        writeln!(lines, "parent {}", id::to_hex(parent)).expect("a string takes all");
        lines
    });
    let tree = id::to_hex(tree);
    format!("tree {tree}\n{parents}author {author}\ncommitter {committer}\n\n{message}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_sorts_as_if_it_ended_in_a_slash() {
        let entry = |mode| Entry { mode, id: [7; ID_BYTES] };
        let tree = Tree::from([
            (b"a".to_vec(), entry(mode::TREE)),
            (b"a-b".to_vec(), entry(mode::FILE)),
            (b"a0".to_vec(), entry(mode::LINK)),
        ]);
        let raw = encode_tree(&tree);
        let at = |name: &[u8]| raw.windows(name.len()).position(|window| window == name).unwrap();
        assert!(at(b" a-b\0") < at(b" a\0") && at(b" a\0") < at(b" a0\0"));
        assert_eq!(parse_tree(&raw, &[0; ID_BYTES]).unwrap(), tree);
    }

    #[test]
    fn a_malformed_object_is_damage() {
        let zero = [0; ID_BYTES];
        for raw in [&b"100644"[..], b"100644 a", b"100644 a\0short", b"9 a\0aaaaaaaaaaaaaaaaaaaa"] {
            assert!(matches!(parse_tree(raw, &zero), Err(Error::Damaged { .. })), "{raw:?}");
        }
        let twice = [&b"100644 a\0"[..], &[1; 20], b"40000 a\0", &[2; 20]].concat();
        assert!(matches!(parse_tree(&twice, &zero), Err(Error::Damaged { .. })));
        assert!(matches!(parse_commit(b"author x\n\nhi", &zero), Err(Error::Damaged { .. })));
    }
}
