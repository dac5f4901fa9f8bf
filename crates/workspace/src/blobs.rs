//! Reads the content of files by name, on the disk or still staged. Never writes.

use crate::{
    BlobId, Error,
    git::{object::Kind, pack::Stage, store::Store},
};

/// Where the content of files is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blobs<'a> {
    pub(crate) store: &'a Store,
    pub(crate) stage: Option<&'a Stage>,
}

impl Blobs<'_> {
    /// How many bytes a file has; as many as can be if it is not there.
    pub(crate) fn size(self, blob: BlobId) -> Result<usize, Error> {
        let staged = match self.stage {
            Some(stage) => stage.size(blob.raw())?,
            None => None,
        };
        match staged {
            Some(size) => Ok(size),
            None => Ok(self.store.size(blob.raw())?.unwrap_or(usize::MAX)),
        }
    }

    pub(crate) fn get(self, blob: BlobId) -> Result<Vec<u8>, Error> {
        let staged = match self.stage {
            Some(stage) => stage.content(blob.raw())?,
            None => None,
        };
        match staged {
            Some(content) => Ok(content),
            None => self.store.get(Kind::Blob, blob.raw()),
        }
    }
}
