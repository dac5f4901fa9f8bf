//! What a folder's view changed against the commit it was made from. Plain data; the content of changed files is
//! already packed beside it, not yet visible to anybody.

use crate::{
    BlobId, Refusals, TreeId, TreePath,
    git::{
        object::{Entry, mode},
        pack::Stage,
    },
};

/// How a file stands in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileMode {
    /// A file, 0644.
    Plain,
    /// A file that may be executed, 0755.
    Executable,
    /// A symbolic link; its content is its target.
    Link,
    /// A pointer into another repository. Kept as it is, never followed, never made.
    Submodule,
}

impl FileMode {
    pub(crate) fn raw(self) -> u32 {
        match self {
            Self::Plain => mode::FILE,
            Self::Executable => mode::EXECUTABLE,
            Self::Link => mode::LINK,
            Self::Submodule => mode::SUBMODULE,
        }
    }

    /// Reads the mode of an entry that is not a directory. Old repositories have further modes: the bit of the owner
    /// decides.
    pub(crate) fn from_raw(raw: u32) -> Self {
        match raw & 0o170_000 {
            mode::LINK => Self::Link,
            mode::SUBMODULE => Self::Submodule,
            _ if raw & 0o100 != 0 => Self::Executable,
            _ => Self::Plain,
        }
    }
}

/// One file of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// How it stands there.
    pub mode: FileMode,
    /// What it holds.
    pub blob: BlobId,
}

impl FileEntry {
    pub(crate) fn entry(self) -> Entry {
        Entry { mode: self.mode.raw(), id: *self.blob.raw() }
    }
}

/// One step of a [`Delta`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub path: TreePath,
    /// What stands there afterwards, instead of whatever stood there before, file or directory. `None`: nothing.
    pub after: Option<FileEntry>,
}

/// What a view changed, ready to be committed. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Delta {
    pub(crate) edits: Vec<Edit>,
    pub(crate) refusals: Refusals,
    pub(crate) origin: TreeId,
    pub(crate) stage: Stage,
}

impl Delta {
    /// The steps, in the order of [`TreePath`]: what is deleted or replaced comes before what stands below it.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// What was left out, and why.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }
}
