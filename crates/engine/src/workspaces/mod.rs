//! The workspaces of this server as folders of its state directory, over crate `workspace`.
//!
//! `<data>/workspaces/<wsp_…>.git` are the repositories, `<data>/checkouts/<wsp_…>/` the immutable
//! checkouts that sandboxes are laid over. Where they are sealed at rest, both are below a folder in memory
//! instead, and the truth is what the keyring's folder holds. Everything that blocks runs on a thread for that. Never
//! runs git, never reads a path that an agent could have changed except through the walker.

pub mod diff;
pub mod files;
pub mod push;
pub mod template;
mod view;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;
use model::{CommitId, Mode, Mount, SessionId, Time, WorkspaceId};
use parking_lot::Mutex;
use seal::Keyring;
use workspace::{Attribution, Checkouts, Repository, Seed, TreePath};
pub use workspace::{Error as RepositoryError, FileMode, History, Record, Signature};

use crate::port::Person;
use crate::task::Tasks;

pub(crate) use view::{Author, Closed, MountedView, SessionFolder, TurnCommit, close, platform};

/// So many repositories are kept open.
const OPEN_MAX: usize = 256;

/// When a workspace has more checkouts, those that nobody uses are removed.
const CHECKOUTS_MAX: usize = 16;

/// A workspace did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum WorkspacesError {
    /// There is no repository for it, though there should be one.
    #[error("the folder of {0} is missing")]
    Missing(WorkspaceId),
    /// The repository did not do as asked.
    #[error("the repository of {workspace} failed")]
    Repository {
        /// Which workspace.
        workspace: WorkspaceId,
        /// What it said.
        #[source]
        source: workspace::Error,
    },
    /// The path is none that a workspace can have.
    #[error("`{path}` is not a path of a workspace")]
    Path {
        /// The path, cut to 200 characters.
        path: String,
    },
    /// Our own mistake, which the log tells.
    #[error("the work on {0} ended in a panic")]
    Broken(WorkspaceId),
}

/// One workspace, open.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) id: WorkspaceId,
    pub(crate) repository: Repository,
    pub(crate) checkouts: Checkouts,
}

impl Folder {
    pub(crate) fn failed(&self, source: workspace::Error) -> WorkspacesError {
        WorkspacesError::Repository { workspace: self.id, source }
    }
}

/// All workspaces of this server.
#[derive(Debug, Clone)]
pub struct Workspaces {
    /// Below it are the repositories and the checkouts.
    place: PathBuf,
    /// The keys, where workspaces are sealed at rest.
    ring: Option<Arc<Keyring>>,
    tasks: Tasks,
    open: Arc<Mutex<HashMap<WorkspaceId, Arc<Slot>>>>,
}

/// A workspace that is open, or that somebody opens: whoever else wants it then waits.
type Slot = Mutex<Option<Arc<Folder>>>;

/// A file that a new workspace begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedFile {
    /// Where it stands, as `notes/today.md`.
    pub path: String,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Workspaces {
    /// The workspaces below the state directory `data`. Blocks for a moment.
    pub fn new(data: &Path, tasks: Tasks) -> io::Result<Self> {
        std::fs::create_dir_all(data.join("workspaces"))?;
        std::fs::create_dir_all(data.join("checkouts"))?;
        Ok(Self { place: data.to_owned(), ring: None, tasks, open: Arc::default() })
    }

    /// Workspaces that are sealed at rest under the keys of `ring`, and open below `place`, which must be in
    /// memory and nobody else's. What a dead server had open is made anew from what is sealed; its checkouts,
    /// which living sandboxes are laid over, stay. Blocks for a moment.
    pub fn sealed(place: &Path, ring: Arc<Keyring>, tasks: Tasks) -> io::Result<Self> {
        match std::fs::remove_dir_all(place.join("workspaces")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let workspaces = Self::new(place, tasks)?;
        Ok(Self { ring: Some(ring), ..workspaces })
    }

    /// Takes workspaces that lie in the clear below the state directory `data` over, and removes them and
    /// their checkouts there; how many. No sandbox may be laid over these. Blocks; may be repeated after a
    /// crash.
    pub fn seal_all(&self, data: &Path) -> Result<usize, RepositoryError> {
        let Some(ring) = &self.ring else { return Ok(0) };
        let mut count = 0;
        let entries = std::fs::read_dir(data.join("workspaces"));
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".git"));
            let Some(id) = name.and_then(|name| name.parse().ok()) else { continue };
            Repository::seal(&path, id, ring)?;
            count += 1;
        }
        for folder in ["workspaces", "checkouts"] {
            remove_folder(&data.join(folder))?;
        }
        Ok(count)
    }

    /// Removes what is open of workspaces that are sealed at rest. Nothing may use them any more. Blocks.
    pub fn close(&self) {
        if self.ring.is_none() {
            return;
        }
        self.open.lock().clear();
        if let Err(error) = std::fs::remove_dir_all(&self.place) {
            tracing::warn!(%error, "open workspaces could not be removed from memory");
        }
    }

    /// Makes the folder of a workspace, whole or not at all; one that is there already stays as it
    /// is. Whether it was made.
    pub async fn create(
        &self,
        id: WorkspaceId,
        seeds: Vec<SeedFile>,
        owner: &Person,
        at: Time,
    ) -> Result<bool, WorkspacesError> {
        let path = self.repository_path(id);
        let author = Signature {
            name: owner.name.clone(),
            email: owner.email.clone(),
            seconds: view::seconds(at),
        };
        let by = Attribution {
            committer: platform(at),
            author,
            message: "Begin this workspace".to_owned(),
            trailers: vec![],
        };
        let seeds = seeds.into_iter().map(seed).collect::<Result<Vec<_>, _>>()?;
        let ring = self.ring.clone();
        let made = self.tasks.blocking("create a workspace", move || {
            let made = match &ring {
                Some(ring) => Repository::init_sealed(&path, id, ring, &seeds, &by),
                None => Repository::init(&path, &seeds, &by),
            };
            match made {
                Ok(_) => Ok(true),
                Err(workspace::Error::Exists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        });
        let made = made.await.ok_or(WorkspacesError::Broken(id))?;
        made.map_err(|source| WorkspacesError::Repository { workspace: id, source })
    }

    /// The newest commit of a workspace.
    pub async fn head(&self, id: WorkspaceId) -> Result<Option<CommitId>, WorkspacesError> {
        self.with(id, "read a head", |repository| Ok(repository.head()?.map(ours))).await
    }

    /// A text file of the newest commit; `None`: there is no such file, or it is not UTF-8.
    pub async fn text(
        &self,
        id: WorkspaceId,
        path: &str,
    ) -> Result<Option<String>, WorkspacesError> {
        let path = tree_path(path)?;
        let read = move |repository: &Repository| {
            let Some(head) = repository.head()? else { return Ok(None) };
            let found = repository.read(head, &path)?;
            Ok(found.and_then(|(_, content)| String::from_utf8(content).ok()))
        };
        self.with(id, "read a file", read).await
    }

    /// Whether a session file of the conversation is kept in the workspace.
    pub async fn has_session(
        &self,
        home: WorkspaceId,
        session: SessionId,
    ) -> Result<bool, WorkspacesError> {
        let name = session.to_string();
        self.with(home, "look for a session", move |repository| {
            Ok(repository.session(&name)?.is_some())
        })
        .await
    }

    /// Does something with the repository of a workspace, on a thread that may block.
    pub async fn with<T: Send + 'static>(
        &self,
        id: WorkspaceId,
        name: &'static str,
        work: impl FnOnce(&Repository) -> Result<T, workspace::Error> + Send + 'static,
    ) -> Result<T, WorkspacesError> {
        let workspaces = self.clone();
        let done = self.tasks.blocking(name, move || {
            let folder = workspaces.folder(id)?;
            work(&folder.repository).map_err(|error| folder.failed(error))
        });
        done.await.ok_or(WorkspacesError::Broken(id))?
    }

    /// Checks a commit out for a sandbox to be laid over; it stays as long as what is returned does.
    async fn mount(
        &self,
        id: WorkspaceId,
        mode: Mode,
        base: Option<CommitId>,
    ) -> Result<MountedView, WorkspacesError> {
        let workspaces = self.clone();
        let done = self.tasks.blocking("check a workspace out", move || {
            let folder = workspaces.folder(id)?;
            let base = match base {
                Some(base) => theirs(&base),
                None => folder.repository.head().map_err(|error| folder.failed(error))?,
            };
            let base = base.ok_or(WorkspacesError::Missing(id))?;
            let checkout = folder.checkouts.checkout(&folder.repository, base);
            let checkout = checkout.map_err(|error| folder.failed(error))?;
            Ok(MountedView::new(folder, mode, checkout))
        });
        done.await.ok_or(WorkspacesError::Broken(id))?
    }

    /// Checks every mount of a dispatch out.
    pub(crate) async fn mount_all(
        &self,
        mounts: &[Mount],
    ) -> Result<Vec<MountedView>, WorkspacesError> {
        let mounts = mounts.iter();
        try_join_all(mounts.map(|it| self.mount(it.workspace, it.mode, it.base.clone()))).await
    }

    /// Where the session file of a conversation is kept.
    pub(crate) async fn session_folder(
        &self,
        home: WorkspaceId,
        session: SessionId,
    ) -> Result<SessionFolder, WorkspacesError> {
        let workspaces = self.clone();
        let open = move || Ok(SessionFolder::new(workspaces.folder(home)?, session));
        let folder = self.tasks.blocking("open a workspace", open).await;
        folder.ok_or(WorkspacesError::Broken(home))?
    }

    /// Sees to it that a workspace does not grow by its use: merges small packs, and removes
    /// checkouts that nobody uses once there are many; a few are kept to make the next one from.
    pub(crate) async fn tidy_all(&self, ids: &[WorkspaceId]) {
        for &workspace in ids {
            if let Err(error) = self.tidy(workspace).await {
                tracing::warn!(%workspace, %error, "a workspace could not be tidied");
            }
        }
    }

    async fn tidy(&self, id: WorkspaceId) -> Result<(), WorkspacesError> {
        let workspaces = self.clone();
        let done = self.tasks.blocking("tidy a workspace", move || {
            let folder = workspaces.folder(id)?;
            let failed = |error| folder.failed(error);
            let checkouts = std::fs::read_dir(workspaces.checkouts_path(id));
            if checkouts.map_or(0, Iterator::count) > CHECKOUTS_MAX {
                let head = folder.repository.head().map_err(failed)?;
                folder.checkouts.collect(&head.into_iter().collect::<Vec<_>>()).map_err(failed)?;
            }
            folder.repository.maintain().map_err(failed)?;
            Ok(())
        });
        done.await.ok_or(WorkspacesError::Broken(id))?
    }

    /// Removes a workspace for good. Where it is sealed, its key goes first: when this returns, every copy of
    /// what was sealed is lost. No error if it was removed before.
    pub async fn remove(&self, id: WorkspaceId) -> Result<(), WorkspacesError> {
        let workspaces = self.clone();
        let done = self.tasks.blocking("remove a workspace", move || {
            let failed = |source| WorkspacesError::Repository { workspace: id, source };
            let mut folders = vec![workspaces.repository_path(id), workspaces.checkouts_path(id)];
            if let Some(ring) = &workspaces.ring {
                ring.shred(id).map_err(|error| failed(error.into()))?;
                folders.insert(0, ring.folder(id));
            }
            workspaces.open.lock().remove(&id);
            for folder in folders {
                remove_folder(&folder).map_err(failed)?;
            }
            Ok(())
        });
        done.await.ok_or(WorkspacesError::Broken(id))?
    }

    /// Where the repository of a workspace is, for a program that reads it: what a crash may have left
    /// there is whole when this returns.
    pub async fn settled_path(&self, id: WorkspaceId) -> Result<PathBuf, WorkspacesError> {
        self.with(id, "open a workspace", |_| Ok(())).await?;
        Ok(self.repository_path(id))
    }

    /// The workspaces in which change-sets are, or were, held. Looks at names of folders only.
    pub(crate) async fn with_held(&self) -> Vec<WorkspaceId> {
        let (folder, ring) = (self.place.join("workspaces"), self.ring.clone());
        let look = move || {
            if let Some(ring) = ring {
                let entries = std::fs::read_dir(ring.directory()).into_iter().flatten().flatten();
                let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
                return ids.filter(|id| Repository::may_hold(*id, &ring)).collect();
            }
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            // What a dead server had only begun to write is found when the repository is opened.
            let unread =
                |path: &Path| path.join("remit.journal").metadata().is_ok_and(|it| it.len() > 0);
            let held = entries.filter(|entry| {
                entry.path().join("refs/remit/held").is_dir() || unread(&entry.path())
            });
            held.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".git")?.parse().ok())
                .collect()
        };
        self.tasks.blocking("look for held change-sets", look).await.unwrap_or_default()
    }

    /// Where the repository of a workspace is: what `git clone` takes.
    pub fn repository_path(&self, id: WorkspaceId) -> PathBuf {
        self.place.join("workspaces").join(format!("{id}.git"))
    }

    fn checkouts_path(&self, id: WorkspaceId) -> PathBuf {
        self.place.join("checkouts").join(id.to_string())
    }

    /// Opens a workspace, or takes the one that is open. Blocks.
    pub(crate) fn folder(&self, id: WorkspaceId) -> Result<Arc<Folder>, WorkspacesError> {
        let slot = self.slot(id);
        let mut slot = slot.lock();
        if let Some(folder) = &*slot {
            return Ok(folder.clone());
        }
        let folder = Arc::new(self.open(id)?);
        *slot = Some(folder.clone());
        Ok(folder)
    }

    fn slot(&self, id: WorkspaceId) -> Arc<Slot> {
        let mut open = self.open.lock();
        if open.len() >= OPEN_MAX {
            open.retain(|_, slot| {
                let in_use = |folder: &Arc<Folder>| Arc::strong_count(folder) > 1;
                Arc::strong_count(slot) > 1 || slot.lock().as_ref().is_some_and(in_use)
            });
        }
        open.entry(id).or_default().clone()
    }

    fn open(&self, id: WorkspaceId) -> Result<Folder, WorkspacesError> {
        let failed = |source| WorkspacesError::Repository { workspace: id, source };
        let path = self.repository_path(id);
        let opened = match &self.ring {
            Some(ring) => Repository::open_sealed(&path, id, ring),
            None => Repository::open(&path),
        };
        let repository = match opened {
            Err(workspace::Error::NotARepository { .. }) => Err(WorkspacesError::Missing(id)),
            opened => opened.map_err(failed),
        }?;
        let checkouts = Checkouts::open(&self.checkouts_path(id)).map_err(failed)?;
        Ok(Folder { id, repository, checkouts })
    }
}

/// Removes a folder; one that is not there is no error.
fn remove_folder(path: &Path) -> Result<(), RepositoryError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RepositoryError::Io { action: "remove a folder", source })
        }
        _ => Ok(()),
    }
}

fn tree_path(path: &str) -> Result<TreePath, WorkspacesError> {
    let shown = || WorkspacesError::Path { path: path.chars().take(200).collect() };
    TreePath::new(path).map_err(|_| shown())
}

fn seed(file: SeedFile) -> Result<Seed, WorkspacesError> {
    Ok(Seed { path: tree_path(&file.path)?, content: file.content })
}

/// The same commit in the words of the model.
pub(crate) fn ours(commit: workspace::CommitId) -> CommitId {
    commit.to_string().parse().expect("both are 40 hexadecimal digits")
}

/// The same commit in the words of the repository.
pub(crate) fn theirs(commit: &CommitId) -> Option<workspace::CommitId> {
    commit.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use model::UserId;
    use uuid::Uuid;

    use super::*;

    const AT_ONCE: usize = 8;

    /// Seen as `the repository of wsp_… failed` in one of fifty dispatches: the first uses of a workspace
    /// removed each other's folder of checkouts.
    #[tokio::test]
    async fn whoever_uses_a_new_workspace_first_and_at_once_opens_it_once() {
        let data = tempfile::tempdir().unwrap();
        let workspaces = Workspaces::new(data.path(), Tasks::new()).unwrap();
        let owner = Person {
            id: UserId::from_uuid(Uuid::from_u128(1)),
            name: "Ada".to_owned(),
            email: "ada@example.org".to_owned(),
            concurrent_max: 1,
            created: Time::from_ms(0),
        };
        for number in 0..20 {
            let id = WorkspaceId::from_uuid(Uuid::from_u128(number));
            assert!(workspaces.create(id, vec![], &owner, owner.created).await.unwrap());
            let (workspaces, begin) = (&workspaces, &Barrier::new(AT_ONCE));
            let first = std::thread::scope(|scope| {
                let opened = [(); AT_ONCE].map(|()| {
                    scope.spawn(move || {
                        begin.wait();
                        workspaces.folder(id).unwrap()
                    })
                });
                opened.map(|thread| thread.join().unwrap())
            });
            assert!(first.iter().all(|folder| Arc::ptr_eq(folder, &first[0])));
        }
    }
}
