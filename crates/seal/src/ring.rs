//! The keys of workspaces: each wrapped in a file of the workspace's sealed folder, unwrapped once and kept in memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::WorkspaceId;
use parking_lot::Mutex;

use crate::keys::{DataKey, Keys, Wrapped};
use crate::sealer::{SealError, Sealer, parse_text};
use crate::whole::{shred, sync_folder, write_whole};

/// The wrapped key in the sealed folder of a workspace.
const KEY_FILE: &str = "key";

/// So many keys are kept unwrapped.
const OPEN_MAX: usize = 4_096;

/// What is sealed for a workspace, by purpose.
#[derive(Debug)]
pub struct WorkspaceKey {
    /// Its repository.
    pub files: Sealer,
    /// Rows of the ledger that belong to it.
    pub rows: Sealer,
}

impl WorkspaceKey {
    fn new(workspace: WorkspaceId, key: &DataKey) -> Arc<Self> {
        let sealer = |purpose| Sealer::new(workspace, key, purpose);
        Arc::new(Self { files: sealer("files"), rows: sealer("rows") })
    }
}

/// The keys of all workspaces. Every workspace has a folder below one directory, called by its id.
#[derive(Debug)]
pub struct Keyring {
    keys: Arc<dyn Keys>,
    directory: PathBuf,
    open: Mutex<HashMap<WorkspaceId, Arc<WorkspaceKey>>>,
    /// Held while a key is made: two for one workspace would be one too many.
    making: Mutex<()>,
}

impl Keyring {
    /// The keys below `directory`, which is made where it is missing.
    pub fn new(keys: Arc<dyn Keys>, directory: &Path) -> Result<Self, SealError> {
        let failed = SealError::io("make the folder of sealed workspaces");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.and_then(|()| sync_folder(directory)).map_err(failed)?;
        Ok(Self {
            keys,
            directory: directory.to_owned(),
            open: Mutex::default(),
            making: Mutex::default(),
        })
    }

    /// Where all sealed folders are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The sealed folder of a workspace, whether it is there or not.
    pub fn folder(&self, workspace: WorkspaceId) -> PathBuf {
        self.directory.join(workspace.to_string())
    }

    /// The key of a workspace.
    ///
    /// # Errors
    /// [`SealError::NoKey`].
    pub fn key(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKey>, SealError> {
        if let Some(key) = self.open.lock().get(&workspace) {
            return Ok(key.clone());
        }
        let wrapped = self.wrapped(workspace)?.ok_or(SealError::NoKey(workspace.into()))?;
        let key = self.keys.unwrap(workspace.into(), &wrapped)?;
        let key = WorkspaceKey::new(workspace, &key);
        let mut open = self.open.lock();
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        Ok(open.entry(workspace).or_insert(key).clone())
    }

    /// The key of a workspace, made where there is none.
    pub fn key_or_new(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKey>, SealError> {
        match self.key(workspace) {
            Err(SealError::NoKey(_)) => {}
            found => return found,
        }
        let _alone = self.making.lock();
        match self.key(workspace) {
            Err(SealError::NoKey(_)) => {}
            found => return found,
        }
        let folder = self.folder(workspace);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.and_then(|()| sync_folder(&folder)).map_err(SealError::io("make a sealed folder"))?;
        write_key(&folder, &self.keys.wrap(workspace.into(), &DataKey::random()?)?)?;
        self.key(workspace)
    }

    /// A text that [`Sealer::seal_text`] sealed as rows, by whichever workspace.
    pub fn open_text(
        &self,
        what: &'static str,
        name: &[&[u8]],
        text: &str,
    ) -> Result<String, SealError> {
        let nobody = WorkspaceId::from_uuid(uuid::Uuid::nil());
        let (workspace, mut message) =
            parse_text(text).ok_or(SealError::Broken { what, owner: nobody.into() })?;
        let key = self.key(workspace)?;
        let opened = key.rows.open_in_place(what, name, &mut message)?;
        String::from_utf8(opened.to_vec())
            .map_err(|_| SealError::Broken { what, owner: workspace.into() })
    }

    /// Destroys the key of a workspace: all that was sealed for it is lost, every copy of it too. Done when this returns,
    /// and no error if it was done before.
    pub fn shred(&self, workspace: WorkspaceId) -> Result<(), SealError> {
        let failed = SealError::io("destroy the key of a workspace");
        self.open.lock().remove(&workspace);
        let path = self.folder(workspace).join(KEY_FILE);
        shred(&path).map_err(failed)?;
        self.open.lock().remove(&workspace);
        Ok(())
    }

    /// Whether the master keys open the key of every workspace.
    ///
    /// # Errors
    /// What the first one that does not open says.
    pub fn check(&self) -> Result<(), SealError> {
        for (workspace, wrapped) in self.all_wrapped()? {
            self.keys.unwrap(workspace.into(), &wrapped)?;
        }
        Ok(())
    }

    /// Wraps every key that an older master key wraps by the present one; how many. May be repeated after a crash.
    pub fn rewrap(&self) -> Result<usize, SealError> {
        let mut count = 0;
        for (workspace, wrapped) in self.all_wrapped()? {
            if wrapped.master != *self.keys.master() {
                let key = self.keys.unwrap(workspace.into(), &wrapped)?;
                write_key(&self.folder(workspace), &self.keys.wrap(workspace.into(), &key)?)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The wrapped key of a workspace, if it has one.
    fn wrapped(&self, workspace: WorkspaceId) -> Result<Option<Wrapped>, SealError> {
        match fs::read_to_string(self.folder(workspace).join(KEY_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.map_err(SealError::io("read the key of a workspace"))?;
                Ok(Some(text.parse()?))
            }
        }
    }

    /// The wrapped keys of all workspaces that have one.
    fn all_wrapped(&self) -> Result<Vec<(WorkspaceId, Wrapped)>, SealError> {
        let failed = SealError::io("list the sealed workspaces");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Some(workspace) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            found.extend(self.wrapped(workspace)?.map(|wrapped| (workspace, wrapped)));
        }
        Ok(found)
    }
}

fn write_key(folder: &Path, wrapped: &Wrapped) -> Result<(), SealError> {
    write_whole(&folder.join(KEY_FILE), format!("{wrapped}\n").as_bytes())
        .map_err(SealError::io("write the key of a workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileKeys, KeysError, MASTER_KEY_FILE};

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn ring(folder: &Path) -> Keyring {
        let path = folder.join(MASTER_KEY_FILE);
        let keys = match FileKeys::open(&path).unwrap() {
            Some(keys) => keys,
            None => FileKeys::create(&path).unwrap(),
        };
        Keyring::new(Arc::new(keys), &folder.join("sealed")).unwrap()
    }

    const NAME: &[&[u8]] = &[b"titles", b"1"];

    #[test]
    fn a_text_opens_in_the_next_process_by_the_workspace_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let ours = ring(folder.path());
        assert!(matches!(ours.key(workspace(1)), Err(SealError::NoKey(_))));
        let texts: Vec<String> = [1, 2]
            .map(|number| ours.key_or_new(workspace(number)).unwrap())
            .map(|key| key.rows.seal_text(NAME, "hello").unwrap())
            .into();
        let next = ring(folder.path());
        for text in &texts {
            assert_eq!(next.open_text("a title", NAME, text).unwrap(), "hello");
        }
        assert!(next.open_text("a title", &[b"titles", b"2"], &texts[0]).is_err());
        assert!(next.open_text("a title", NAME, "hello").is_err());
    }

    #[test]
    fn what_a_destroyed_key_sealed_does_not_open_even_from_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let ours = ring(folder.path());
        let texts = [1, 2].map(|number| {
            let key = ours.key_or_new(workspace(number)).unwrap();
            key.rows.seal_text(NAME, "hello").unwrap()
        });
        ours.shred(workspace(1)).unwrap();
        ours.shred(workspace(1)).unwrap();
        for ring in [ours, ring(folder.path())] {
            let lost = ring.open_text("a title", NAME, &texts[0]);
            assert!(matches!(lost, Err(SealError::NoKey(_))), "{lost:?}");
            assert_eq!(ring.open_text("a title", NAME, &texts[1]).unwrap(), "hello");
        }
    }

    #[test]
    fn a_rotation_that_dies_between_any_two_steps_is_taken_up() {
        let path = |folder: &Path, number| {
            folder.join("sealed").join(workspace(number).to_string()).join(KEY_FILE)
        };
        // So many of three keys are wrapped anew when it dies.
        for done in 0..=3 {
            let folder = tempfile::tempdir().unwrap();
            let first = ring(folder.path());
            let texts = [1, 2, 3].map(|number| {
                let key = first.key_or_new(workspace(number)).unwrap();
                key.rows.seal_text(NAME, "hello").unwrap()
            });
            let before = [1, 2, 3].map(|number| fs::read(path(folder.path(), number)).unwrap());
            let keys = FileKeys::open(&folder.path().join(MASTER_KEY_FILE)).unwrap().unwrap();
            keys.renew().unwrap();
            assert_eq!(ring(folder.path()).rewrap().unwrap(), 3);
            for (number, before) in (1..).zip(&before).skip(done) {
                fs::write(path(folder.path(), number), before).unwrap();
            }
            let again = ring(folder.path());
            for text in &texts {
                assert_eq!(again.open_text("a title", NAME, text).unwrap(), "hello");
            }
            assert_eq!(again.rewrap().unwrap(), 3 - done);
            let mut keys = FileKeys::open(&folder.path().join(MASTER_KEY_FILE)).unwrap().unwrap();
            keys.forget_older().unwrap();
            let last = ring(folder.path());
            for text in &texts {
                assert_eq!(last.open_text("a title", NAME, text).unwrap(), "hello");
            }
            fs::write(path(folder.path(), 1), &before[0]).unwrap();
            let stale = ring(folder.path()).key(workspace(1));
            let refused = matches!(stale, Err(SealError::Keys(KeysError::NoMaster(_))));
            assert!(refused, "a copy of an older key file is of no use: {stale:?}");
        }
    }
}
