//! Git folders as trusted code sees them: checkout, walk, commit. Never runs git, never honours a folder's config,
//! attributes, hooks or index, and never follows a link that lies in a folder.
//!
//! The way of a change: [`Checkouts::checkout`] gives an immutable directory of a commit; a sandbox works on a view
//! over it; when the sandbox is dead, [`Repository::delta`] finds what the [`View`] changed and
//! [`Repository::commit`] makes it the newest commit, merges it with what others committed meanwhile, or holds it.
//! What the policy does not allow is left out and listed as [`Refusals`]: a hostile folder makes no call fail.
//!
//! All calls block on the disk. [`Repository`] and [`Checkouts`] are `Send + Sync`; share them in an `Arc`.

mod approve;
mod blobs;
mod checkout;
mod commit;
mod content;
mod delta;
mod error;
mod fill;
mod flag;
mod foreign;
mod git;
mod history;
mod id;
mod ignore;
mod merge;
mod merge3;
mod overlay;
mod patch;
mod path;
mod point;
mod policy;
mod reach;
mod receive;
mod rename;
mod repository;
mod review;
mod root;
mod sealed;
mod session;
mod text;
mod trailer;
mod tree;
mod undo;
mod walk;
mod write;

pub use approve::{Approval, Choice, ChoiceError, FileChoice, Landing, Take};
pub use checkout::{Checkout, Checkouts};
pub use commit::{Attribution, Change, Committed, Held, Outcome, View};
pub use content::StatCache;
pub use delta::{Delta, Edit, FileEntry, FileMode};
pub use error::Error;
pub use flag::Flag;
pub use history::{History, Record};
pub use id::{BlobId, CommitId, IdError, TreeId};

pub use merge::{Conflict, MERGE_BYTES_MAX};
pub use patch::{
    FilePatch, Hunk, Line, PATCH_BYTES_MAX, PATCH_FILE_BYTES_MAX, PATCH_LINES_MAX, PatchBody, Side,
    Status, with_hunks,
};
pub use path::{Shown, TreePath};
pub use point::{Point, Probe};
pub use policy::{Limits, Reason, Refusal, Refusals};
pub use receive::{Incoming, Origin, Otherwise, Quarantine, Received, Why};
pub use repository::{Repository, Seed};
pub use review::{Review, Reviewed};
pub use root::{EntryKind, Root, RootError};
pub use session::{Owner, Saved};
pub use trailer::{Signature, Trailer};
pub use tree::Changed;
pub use undo::Undone;
pub use write::{Write, Written};
