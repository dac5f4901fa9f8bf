//! What can go wrong with a repository, a checkout or a session. Never carries content of a file, and shows no
//! path that was not made safe.

use std::{io, path::PathBuf};

use crate::{CommitId, Reason, path::Shown};

/// A repository, checkout or session did not do as asked. Refused entries of a folder are not errors: they are
/// [`Refusal`](crate::Refusal)s.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `init` found something at that path. Nothing was touched.
    #[error("there is already something at {}", path.display())]
    Exists {
        /// Where the repository was to be.
        path: PathBuf,
    },
    /// There is no repository of ours at that path.
    #[error("no repository at {}", path.display())]
    NotARepository {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The repository has no such commit (or the name is one of something else).
    #[error("no commit {commit}")]
    NoCommit {
        /// The commit asked for.
        commit: CommitId,
    },
    /// The repository has no commit at all yet.
    #[error("the repository has no commit")]
    Unborn,
    /// The caller's path or name is not one that a workspace may hold. Nothing was done.
    #[error("{path} is not allowed: {reason}")]
    NotAllowed {
        /// The path or name, made safe to show.
        path: Shown,
        /// Which rule it breaks.
        reason: Reason,
    },
    /// An object of the repository is missing or is not what its kind demands: damage, or a hostile push.
    /// Nothing was changed.
    #[error("the repository is damaged: {what} {id}")]
    Damaged {
        /// What is wrong, for people.
        what: &'static str,
        /// The object (hexadecimal), or the ref.
        id: String,
    },
    /// The disk or a quota is full. Nothing visible was changed; reads go on.
    #[error("no space left to {action}")]
    Full {
        /// What was tried.
        action: &'static str,
    },
    /// The file system took no write. Nothing visible was changed; reads go on.
    #[error("the file system is read-only: cannot {action}")]
    ReadOnly {
        /// What was tried.
        action: &'static str,
    },
    /// The system could not promise that written bytes are on the disk. What was written may or may not be there
    /// after a power cut: the process must stop and start again.
    #[error("cannot make {action} durable")]
    NotDurable {
        /// What was being synced.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// What is sealed at rest cannot be opened, or nothing can be sealed: its key is not there, or it was changed behind
    /// our back. Nothing was changed.
    #[error("what is sealed at rest cannot be used")]
    Sealed(#[source] seal::SealError),
    /// Any other failure of the operating system.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl From<seal::SealError> for Error {
    fn from(error: seal::SealError) -> Self {
        match error {
            seal::SealError::Io { action, source } => Self::io(action)(source),
            other => Self::Sealed(other),
        }
    }
}

impl Error {
    /// Sorts a failure of the operating system into what a caller can do about it.
    pub(crate) fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action },
            _ => Self::Io { action, source },
        }
    }

    /// The same for a failed sync, which is never harmless unless the disk is merely full.
    pub(crate) fn sync(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action },
            _ => Self::NotDurable { action, source },
        }
    }

    pub(crate) fn damaged(what: &'static str, id: &[u8]) -> Self {
        Self::Damaged { what, id: crate::id::to_hex(id) }
    }
}
