//! What people do with a workspace by hand: look at its files and its history, write, delete, take
//! back. Every change is one commit in their name, made by the same trusted code as an agent's.

use model::{CommitId, Time, UserId, WorkspaceId};
use workspace::{
    Attribution, FileMode, History, Record, Repository, Signature, Trailer, TreePath, Undone,
    Write, Written,
};

use super::push::held_change;
use super::{Workspaces, WorkspacesError, ours, theirs, tree_path, view};
use crate::port::Person;
use crate::proposal::HeldChange;

/// By whom a change is made by hand, when, and how it is called in the history.
#[derive(Debug, Clone)]
pub struct Hand {
    /// The person, the author of the commit.
    pub person: Person,
    /// When.
    pub at: Time,
    /// The first line of the commit's message.
    pub message: String,
}

impl Hand {
    pub(super) fn attribution(&self) -> Attribution {
        let id: UserId = self.person.id;
        let facts = [
            ("Subject", id.to_string()),
            ("Launcher", format!("user {id}")),
            ("Label", "trusted".to_owned()),
        ];
        let trailers = facts.iter().filter_map(|(key, value)| Trailer::new(key, value).ok());
        Attribution {
            author: Signature {
                name: self.person.name.clone(),
                email: self.person.email.clone(),
                seconds: view::seconds(self.at),
            },
            committer: view::platform(self.at),
            message: self.message.clone(),
            trailers: trailers.collect(),
        }
    }
}

/// A file, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where.
    pub path: String,
    /// What stands there.
    pub mode: FileMode,
    /// How many bytes it has.
    pub bytes: u64,
}

/// The files of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which revision; none where the workspace has no commit.
    pub revision: Option<CommitId>,
    /// The files, in the order of their paths.
    pub files: Vec<Listed>,
}

/// One file of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Which revision.
    pub revision: CommitId,
    /// What stands there.
    pub mode: FileMode,
    /// What it holds; of a link, its target.
    pub bytes: Vec<u8>,
}

/// A file to write, or to delete where it has no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileWrite {
    /// Where.
    pub path: String,
    /// What stands there afterwards.
    pub content: Option<Vec<u8>>,
}

/// A change by hand was not made, for a reason that its maker can do something about. Nothing was
/// written.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// Somebody else changed the same meanwhile.
    #[error("{} changed meanwhile", paths.join(", "))]
    Moved {
        /// The newest revision.
        current: CommitId,
        /// What they changed; the first 20.
        paths: Vec<String>,
    },
    /// Somebody else changed the same since, so that it cannot be taken back by itself. What would take
    /// it back waits, and a proposal is to be written of it.
    #[error("{} changed since", paths.join(", "))]
    Waits {
        /// What they changed; the first 20.
        paths: Vec<String>,
        /// What waits.
        held: HeldChange,
    },
    /// There is nothing to delete.
    #[error("there is no file `{0}`")]
    Absent(String),
    /// A directory or a link stands there, or a file where a directory is needed.
    #[error("`{0}` is no file, or needs a directory where a file stands")]
    Occupied(String),
    /// The policy of commits does not let it in.
    #[error("`{path}` is refused: {reason}")]
    Refused {
        /// Which path.
        path: String,
        /// Which rule it breaks, as `too-large`.
        reason: &'static str,
    },
    /// The workspace cannot be read or written.
    #[error(transparent)]
    Workspace(#[from] WorkspacesError),
}

/// Paths that a refusal names.
const PATHS_MAX: usize = 20;

impl Workspaces {
    /// The files of a revision, or of the newest one.
    pub async fn listing(
        &self,
        id: WorkspaceId,
        at: Option<CommitId>,
    ) -> Result<Listing, WorkspacesError> {
        self.with(id, "list files", move |repository| {
            let Some(revision) = revision(repository, at.as_ref())? else {
                return Ok(Listing { revision: None, files: vec![] });
            };
            let mut files = vec![];
            for (path, entry) in repository.tree(revision)? {
                let bytes = repository.size(&entry)?;
                files.push(Listed { path: path.as_str().to_owned(), mode: entry.mode, bytes });
            }
            Ok(Listing { revision: Some(ours(revision)), files })
        })
        .await
    }

    /// The file at a path of a revision, or of the newest one; none where there is no file.
    pub async fn content(
        &self,
        id: WorkspaceId,
        path: &str,
        at: Option<CommitId>,
    ) -> Result<Option<Content>, WorkspacesError> {
        let path = tree_path(path)?;
        self.with(id, "read a file", move |repository| {
            let Some(revision) = revision(repository, at.as_ref())? else { return Ok(None) };
            let found = repository.read(revision, &path)?;
            let revision = ours(revision);
            Ok(found.map(|(entry, bytes)| Content { revision, mode: entry.mode, bytes }))
        })
        .await
    }

    /// Writes and deletes whole files as one commit, all or none; the newest revision then. `base` is
    /// the revision that the writer saw: what others changed since is not written over.
    pub async fn write(
        &self,
        id: WorkspaceId,
        base: Option<CommitId>,
        files: Vec<FileWrite>,
        by: Hand,
    ) -> Result<CommitId, NotChanged> {
        let mut writes: Vec<Write> = vec![];
        for FileWrite { path, content } in files {
            let path = TreePath::new(&path).map_err(|reason| NotChanged::Refused {
                path: path.chars().take(200).collect(),
                reason: reason.word(),
            })?;
            if writes.iter().any(|write| write.path == path) {
                let path = path.as_str().to_owned();
                return Err(NotChanged::Refused { path, reason: "named-twice" });
            }
            writes.push(Write { path, content });
        }
        let write = move |repository: &Repository| {
            let base = base.as_ref().and_then(theirs);
            repository.write(base, &writes, &by.attribution())
        };
        match self.with(id, "write files", write).await? {
            Written::Done(commit) => Ok(ours(commit)),
            Written::Moved { head, paths } => Err(moved(head, &paths)),
            Written::Absent(path) => Err(NotChanged::Absent(path.as_str().to_owned())),
            Written::Occupied(path) => Err(NotChanged::Occupied(path.as_str().to_owned())),
            Written::Refused { path, reason } => {
                let (path, reason) = (path.as_str().to_owned(), reason.word());
                Err(NotChanged::Refused { path, reason })
            }
        }
    }

    /// Takes a commit back by a new one; the newest revision then. What was done since stays; where that
    /// does not fit, it waits for a decision.
    pub async fn undo(
        &self,
        id: WorkspaceId,
        commit: CommitId,
        mut by: Hand,
    ) -> Result<CommitId, NotChanged> {
        let undo = move |repository: &Repository| {
            let Some(undone) = theirs(&commit) else { return Err(workspace::Error::Unborn) };
            let subject = repository.record(undone)?.subject;
            by.message = format!("Revert \"{subject}\"\n\nThis takes back {commit}.");
            let name = format!("revert-{}", &commit.as_str()[..12]);
            repository.undo(undone, &by.attribution(), &name)
        };
        match self.with(id, "take a commit back", undo).await? {
            Undone::Done(commit) => Ok(ours(commit)),
            Undone::Held { held, .. } => {
                let paths = held.paths.iter().take(PATHS_MAX).map(|path| path.as_str().to_owned());
                let paths = paths.collect();
                Err(NotChanged::Waits { paths, held: held_change(id, &held) })
            }
        }
    }

    /// The history before a commit, or from the newest one on: at most `count` commits, and only
    /// those that changed what stands at `path` where one is given.
    pub async fn history(
        &self,
        id: WorkspaceId,
        before: Option<CommitId>,
        path: Option<&str>,
        count: usize,
    ) -> Result<History, WorkspacesError> {
        let path = path.map(tree_path).transpose()?;
        self.with(id, "read a history", move |repository| {
            let from = match &before {
                Some(_) => {
                    let before = revision(repository, before.as_ref())?;
                    let record = before.map(|before| repository.record(before)).transpose()?;
                    record.and_then(|record| record.parents.first().copied())
                }
                None => repository.head()?,
            };
            match from {
                Some(from) => repository.history(from, path.as_ref(), count),
                None => Ok(History { records: vec![], next: None }),
            }
        })
        .await
    }

    /// Whether a commit is part of a workspace's history.
    pub async fn is_revision(
        &self,
        id: WorkspaceId,
        commit: CommitId,
    ) -> Result<bool, WorkspacesError> {
        self.with(id, "look for a commit", move |repository| {
            theirs(&commit).map_or(Ok(false), |commit| repository.is_in_history(commit))
        })
        .await
    }

    /// One commit of a workspace's history.
    pub async fn record(
        &self,
        id: WorkspaceId,
        commit: CommitId,
    ) -> Result<Option<Record>, WorkspacesError> {
        self.with(id, "read a commit", move |repository| {
            let found = revision(repository, Some(&commit))?;
            found.map(|commit| repository.record(commit)).transpose()
        })
        .await
    }
}

/// The revision that is meant, if it is part of the folder's history: what else the repository holds
/// (conversations, change-sets that wait) is nobody's to read by this way.
pub(super) fn revision(
    repository: &Repository,
    at: Option<&CommitId>,
) -> Result<Option<workspace::CommitId>, workspace::Error> {
    let head = repository.head()?;
    let Some(at) = at.and_then(theirs) else { return Ok(head) };
    if head == Some(at) || repository.is_in_history(at)? {
        return Ok(Some(at));
    }
    Err(workspace::Error::NoCommit { commit: at })
}

fn moved(head: workspace::CommitId, paths: &[TreePath]) -> NotChanged {
    let paths = paths.iter().take(PATHS_MAX).map(|path| path.as_str().to_owned());
    NotChanged::Moved { current: ours(head), paths: paths.collect() }
}
