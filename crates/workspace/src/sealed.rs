//! Repositories that are sealed at rest: how they are made, opened and taken over from ones that are not. They lie in a
//! file system in memory, and are made anew from their vault whenever they are not there.

use std::{fs, path::Path, sync::Arc};

use model::WorkspaceId;
use seal::Keyring;

use crate::{
    Attribution, Error, Repository, Seed,
    git::{
        pack::sync_directory,
        vault::{HELD_MARK, Vault, lock},
    },
    repository::{Unfinished, remove_unfinished},
};

impl Repository {
    /// [`init`](Self::init) of a repository that is sealed at rest: its truth is in the workspace's folder of `ring`, and
    /// the repository at `path` is made from it.
    ///
    /// # Errors
    /// [`Error::Exists`] if the workspace has a vault.
    pub fn init_sealed(
        path: &Path,
        workspace: WorkspaceId,
        ring: &Keyring,
        seeds: &[Seed],
        by: &Attribution,
    ) -> Result<Self, Error> {
        let folder = ring.folder(workspace);
        if Vault::is_in(&folder) {
            return Err(Error::Exists { path: folder });
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        let unfinished = Unfinished::first_commit(parent, seeds, by)?;
        found_vault(&unfinished.0, workspace, ring)?;
        Self::open_sealed(path, workspace, ring)
    }

    /// [`open`](Self::open) of a repository that is sealed at rest. Where it is not at `path`, it is made from its vault,
    /// in time proportional to its size.
    ///
    /// # Errors
    /// [`Error::NotARepository`] if the workspace has no vault; [`Error::Sealed`] and [`Error::Damaged`] if what is
    /// there is not what was last written.
    pub fn open_sealed(path: &Path, workspace: WorkspaceId, ring: &Keyring) -> Result<Self, Error> {
        let folder = ring.folder(workspace);
        if !Vault::is_in(&folder) {
            return Err(Error::NotARepository { path: folder });
        }
        let vault = Arc::new(Vault::new(&folder, ring.key(workspace)?));
        if !path.exists() {
            remove_unfinished(&folder);
            vault.restore(path)?;
        }
        Self::open_with(path, Some(vault))
    }

    /// Takes the repository at `plain` over into a vault and removes it. May be repeated after a crash.
    pub fn seal(plain: &Path, workspace: WorkspaceId, ring: &Keyring) -> Result<(), Error> {
        if !Vault::is_in(&ring.folder(workspace)) {
            // What a dead process left in its journal must be in its files.
            let repository = Self::open(plain)?;
            if has_loose_objects(&repository.objects())? {
                let id = plain.display().to_string();
                return Err(Error::Damaged { what: "loose objects; run `git repack -ad` in", id });
            }
            found_vault(plain, workspace, ring)?;
        }
        fs::remove_dir_all(plain).map_err(Error::io("remove a repository that is sealed now"))?;
        sync_directory(plain.parent().unwrap_or(Path::new(".")))
    }

    /// Whether change-sets are, or were, held in a workspace that is sealed at rest. Opens nothing.
    pub fn may_hold(workspace: WorkspaceId, ring: &Keyring) -> bool {
        ring.folder(workspace).join(HELD_MARK).exists()
    }
}

/// Makes the vault of a repository, whole or not at all: it is one once it has a manifest.
fn found_vault(repository: &Path, workspace: WorkspaceId, ring: &Keyring) -> Result<(), Error> {
    let key = ring.key_or_new(workspace)?;
    let folder = ring.folder(workspace);
    let _alone = lock(&folder)?;
    if Vault::is_in(&folder) {
        return Err(Error::Exists { path: folder });
    }
    Vault::new(&folder, key).begin(repository)
}

fn has_loose_objects(objects: &Path) -> Result<bool, Error> {
    let failed = Error::io("list the objects");
    for entry in fs::read_dir(objects).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if entry.file_name().len() == 2 && entry.path().read_dir().map_err(&failed)?.count() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
