//! The object database and the refs of a bare repository, as far as the committer needs them, every move of a ref durable.
//! The only module that touches gix (to read and to hash). Never reads a configuration, an index or a work tree.

pub(crate) mod journal;
pub(crate) mod object;
pub(crate) mod pack;
pub(crate) mod refs;
pub(crate) mod repack;
pub(crate) mod store;
pub(crate) mod vault;
