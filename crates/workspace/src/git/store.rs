//! Reads objects of a repository through gix, and hashes them. Never writes.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::Arc,
};

use gix_object::{Exists as _, Find as _};
use gix_odb::store::init::{Options, Slots};
use parking_lot::Mutex;

use crate::{
    Error,
    git::object::Kind,
    id::{ID_BYTES, Oid},
};

/// Packs that are known at a time; the repacker keeps far below.
const PACKS_MAX: u16 = 1024;

/// Bytes of one object that reading takes into memory at most, so that a hostile pack cannot fill it.
const OBJECT_BYTES_MAX: usize = 512 << 20;

/// Bytes of objects that were just written and are kept in memory.
const RECENT_BYTES_MAX: usize = 128 << 10;

/// The objects that are on the disk.
///
/// The last ones that were written are kept in memory, too: what one change-set leaves the next one reads, and would
/// have every pack looked for anew.
pub(crate) struct Store {
    odb: Arc<gix_odb::Store>,
    recent: Mutex<Recent>,
}

/// An object with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) id: Oid,
    pub(crate) content: Vec<u8>,
}

#[derive(Default)]
struct Recent {
    of: HashMap<Oid, (Kind, Vec<u8>)>,
    order: VecDeque<Oid>,
    bytes: usize,
}

impl Recent {
    fn add(&mut self, object: Object) {
        let bytes = object.content.len();
        if self.of.insert(object.id, (object.kind, object.content)).is_some() {
            return;
        }
        self.order.push_back(object.id);
        self.bytes += bytes;
        while self.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.of.remove(&oldest).map_or(0, |(_, content)| content.len());
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Store")
    }
}

impl Store {
    pub(crate) fn open(objects: &Path) -> Result<Self, Error> {
        let options = Options {
            slots: Slots::Given(PACKS_MAX),
            alloc_limit_bytes: Some(OBJECT_BYTES_MAX),
            current_dir: Some(objects.to_owned()),
            ..Options::default()
        };
        let kind = gix_hash::Kind::Sha1;
        let odb = gix_odb::Store::at_opts(objects.to_owned(), kind, &mut None.into_iter(), options)
            .map_err(Error::io("open the object database"))?;
        Ok(Self { odb: Arc::new(odb), recent: Mutex::default() })
    }

    /// Takes note of objects that are in the repository from now on.
    pub(crate) fn remember(&self, objects: Vec<Object>) {
        let mut recent = self.recent.lock();
        for object in objects {
            recent.add(object);
        }
    }

    /// The content of an object of a known kind, or `None` if there is no object of that name and kind.
    pub(crate) fn find(&self, kind: Kind, id: &Oid) -> Result<Option<Vec<u8>>, Error> {
        if let Some((found, content)) = self.recent.lock().of.get(id) {
            return Ok((*found == kind).then(|| content.clone()));
        }
        let mut content = Vec::new();
        let id = gix_hash::ObjectId::from_bytes_or_panic(id);
        let handle = self.odb.to_cache_arc();
        let found = handle.try_find(&id, &mut content).map_err(|cause| {
            tracing::error!(object = %id, cause = %cause, "an object cannot be read");
            Error::damaged("cannot read object", id.as_slice())
        })?;
        let Some(found) = found.map(|object| object.kind) else { return Ok(None) };
        Ok((found == gix_kind(kind)).then_some(content))
    }

    /// The content of an object that something in the repository names.
    pub(crate) fn get(&self, kind: Kind, id: &Oid) -> Result<Vec<u8>, Error> {
        self.find(kind, id)?.ok_or_else(|| Error::damaged(kind.missing(), id))
    }

    /// How many bytes the content of an object has; `None` if there is none of that name.
    pub(crate) fn size(&self, id: &Oid) -> Result<Option<usize>, Error> {
        let handle = self.odb.to_cache_arc();
        let id = gix_hash::oid::from_bytes_unchecked(id);
        let found = gix_object::FindHeader::try_header(&handle, id).map_err(|cause| {
            tracing::error!(object = %id, cause = %cause, "an object cannot be read");
            Error::damaged("cannot read object", id.as_bytes())
        })?;
        Ok(found.map(|header| usize::try_from(header.size).unwrap_or(usize::MAX)))
    }

    /// What is there as far as is known, for a great many questions.
    pub(crate) fn known(&self) -> Known {
        let mut handle = self.odb.to_cache_arc();
        handle.refresh_never();
        Known(handle)
    }
}

/// The objects that are known without looking at the disk again.
pub(crate) struct Known(gix_odb::HandleArc);

impl Known {
    pub(crate) fn has(&self, id: &Oid) -> bool {
        self.0.exists(gix_hash::oid::from_bytes_unchecked(id))
    }
}

/// The name of an object with this content.
pub(crate) fn hash(kind: Kind, content: &[u8]) -> Result<Oid, Error> {
    let mut hasher = Hasher::default();
    hasher.update(format!("{} {}\0", kind.word(), content.len()).as_bytes());
    hasher.update(content);
    hasher.finish()
}

/// SHA-1 that notices known collisions.
pub(crate) struct Hasher(gix_hash::Hasher);

impl Default for Hasher {
    fn default() -> Self {
        Self(gix_hash::hasher(gix_hash::Kind::Sha1))
    }
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the bytes were made to collide.
    pub(crate) fn finish(self) -> Result<Oid, Error> {
        let mut raw = [0; ID_BYTES];
        let digest =
            self.0.try_finalize().map_err(|_| Error::damaged("colliding content", &raw))?;
        raw.copy_from_slice(digest.as_slice());
        Ok(raw)
    }
}

fn gix_kind(kind: Kind) -> gix_object::Kind {
    match kind {
        Kind::Commit => gix_object::Kind::Commit,
        Kind::Tree => gix_object::Kind::Tree,
        Kind::Blob => gix_object::Kind::Blob,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_memory_has_a_bound_and_the_oldest_goes_first() {
        let mut recent = Recent::default();
        let object = |number: u8| Object {
            kind: Kind::Blob,
            id: [number; ID_BYTES],
            content: vec![number; RECENT_BYTES_MAX / 4],
        };
        for number in [0, 1, 1, 2, 3, 4] {
            recent.add(object(number));
        }
        let mut kept: Vec<_> = recent.of.keys().map(|id| id[0]).collect();
        kept.sort_unstable();
        assert_eq!(kept, [1, 2, 3, 4]);
        assert_eq!(recent.bytes, RECENT_BYTES_MAX);
    }
}
