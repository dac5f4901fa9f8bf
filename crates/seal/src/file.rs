//! Master keys in a file: one line for each, the one that wraps first. For one machine; who can read the file and the
//! data can read everything.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::keys::{DataKey, Keys, KeysError, MasterId, Owner, Wrapped};
use crate::sealer::{SealError, Sealer, to_hex};
use crate::whole::write_whole;

/// What the file is called where nobody says.
pub const MASTER_KEY_FILE: &str = "master.key";

/// What every line begins with.
const LINE_MARK: &str = "remit-master-key 1";
/// The longest file of keys, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What a data key is sealed as.
const PURPOSE: &str = "data keys";

struct Master {
    id: MasterId,
    key: DataKey,
}

impl Master {
    fn random() -> Result<Self, KeysError> {
        let mut id = [0; 8];
        rand::fill(&mut id).map_err(|_| KeysError::NoRandomness)?;
        let id = MasterId::new(&to_hex(&id)).ok_or(KeysError::NoRandomness)?;
        Ok(Self { id, key: DataKey::random()? })
    }

    fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(LINE_MARK)?.strip_prefix(' ')?;
        let (id, key) = rest.split_once(' ')?;
        let decoded = Zeroizing::new(STANDARD_NO_PAD.decode(key).ok()?);
        Some(Self { id: MasterId::new(id)?, key: DataKey::from_slice(&decoded)? })
    }

    fn line(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(STANDARD_NO_PAD.encode(self.key.bytes()));
        Zeroizing::new(format!("{LINE_MARK} {} {}\n", self.id, *key))
    }
}

/// The master keys of a file.
pub struct FileKeys {
    path: PathBuf,
    /// Wraps from now on.
    first: Master,
    /// Unwrap what they wrapped, until it is wrapped anew.
    older: Vec<Master>,
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|master| &master.id).collect();
        f.debug_struct("FileKeys")
            .field("path", &self.path)
            .field("first", &self.first.id)
            .field("older", &older)
            .finish()
    }
}

impl FileKeys {
    /// The keys of the file at `path`; `None` if there is no such file.
    ///
    /// # Errors
    /// [`KeysError::Exposed`] if others than its owner may read or write it;
    /// [`KeysError::Malformed`].
    pub fn open(path: &Path) -> Result<Option<Self>, KeysError> {
        let io = |source| KeysError::Io { action: "read", path: path.to_owned(), source };
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(io)?,
        };
        if found.mode() & 0o077 != 0 {
            return Err(KeysError::Exposed { path: path.to_owned() });
        }
        let malformed = KeysError::Malformed { what: "the file of the master key" };
        if found.len() > FILE_BYTES_MAX {
            return Err(malformed);
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(io)?);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let Some(mut masters) = lines.map(Master::parse).collect::<Option<Vec<_>>>() else {
            return Err(malformed);
        };
        if masters.is_empty() {
            return Err(malformed);
        }
        let first = masters.remove(0);
        Ok(Some(Self { path: path.to_owned(), first, older: masters }))
    }

    /// Makes a file with a new key at `path`, where none may be.
    pub fn create(path: &Path) -> Result<Self, KeysError> {
        let keys = Self { path: path.to_owned(), first: Master::random()?, older: vec![] };
        keys.write()?;
        Ok(keys)
    }

    /// Puts a new key before the others. When this returns, it is in the file, and so are they.
    pub fn renew(mut self) -> Result<Self, KeysError> {
        let before = std::mem::replace(&mut self.first, Master::random()?);
        self.older.insert(0, before);
        self.write()?;
        Ok(self)
    }

    /// Whether there are keys that only unwrap: a rotation was begun and not finished.
    pub fn has_older(&self) -> bool {
        !self.older.is_empty()
    }

    /// Removes all keys but the first. Only once nothing is wrapped by them any more.
    pub fn forget_older(&mut self) -> Result<(), KeysError> {
        self.older.clear();
        self.write()
    }

    fn write(&self) -> Result<(), KeysError> {
        let mut text = Zeroizing::new(String::new());
        for master in std::iter::once(&self.first).chain(&self.older) {
            text.push_str(&master.line());
        }
        write_whole(&self.path, text.as_bytes()).map_err(|source| KeysError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

impl Keys for FileKeys {
    fn master(&self) -> &MasterId {
        &self.first.id
    }

    fn wrap(&self, owner: Owner, key: &DataKey) -> Result<Wrapped, KeysError> {
        let sealer = Sealer::new(owner, &self.first.key, PURPOSE);
        match sealer.seal(&[], key.bytes()) {
            Ok(sealed) => Ok(Wrapped { master: self.first.id.clone(), sealed }),
            Err(SealError::Keys(error)) => Err(error),
            Err(_) => Err(KeysError::Broken(owner)),
        }
    }

    fn unwrap(&self, owner: Owner, wrapped: &Wrapped) -> Result<DataKey, KeysError> {
        let mut masters = std::iter::once(&self.first).chain(&self.older);
        let master = masters.find(|master| master.id == wrapped.master);
        let master = master.ok_or_else(|| KeysError::NoMaster(wrapped.master.clone()))?;
        let sealer = Sealer::new(owner, &master.key, PURPOSE);
        let mut bytes = Zeroizing::new(wrapped.sealed.clone());
        let opened = sealer.open_in_place("a key", &[], &mut bytes);
        let opened = opened.map_err(|_| KeysError::Broken(owner))?;
        DataKey::from_slice(opened).ok_or(KeysError::Broken(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::WorkspaceId;
    use std::os::unix::fs::PermissionsExt as _;

    fn workspace(number: u128) -> Owner {
        WorkspaceId::from_uuid(uuid::Uuid::from_u128(number)).into()
    }

    #[test]
    fn what_one_process_wrapped_the_next_unwraps_for_the_same_workspace_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        assert!(FileKeys::open(&path).unwrap().is_none());
        let keys = FileKeys::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let key = DataKey::random().unwrap();
        let wrapped = keys.wrap(workspace(1), &key).unwrap();
        let again: Wrapped = wrapped.to_string().parse().unwrap();
        assert_eq!(again, wrapped);
        let next = FileKeys::open(&path).unwrap().unwrap();
        assert_eq!(next.unwrap(workspace(1), &again).unwrap().bytes(), key.bytes());
        let other = next.unwrap(workspace(2), &again);
        assert!(matches!(other, Err(KeysError::Broken(_))), "{other:?}");
        let stranger = FileKeys::create(&folder.path().join("other")).unwrap();
        let refused = stranger.unwrap(workspace(1), &again);
        assert!(matches!(refused, Err(KeysError::NoMaster(_))), "{refused:?}");
        assert!(!format!("{keys:?} {key:?}").contains(&STANDARD_NO_PAD.encode(key.bytes())));
    }

    #[test]
    fn a_renewed_file_unwraps_what_the_older_key_wrapped_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        let keys = FileKeys::create(&path).unwrap();
        let key = DataKey::random().unwrap();
        let old = keys.wrap(workspace(1), &key).unwrap();
        keys.renew().unwrap();
        let mut next = FileKeys::open(&path).unwrap().unwrap();
        assert!(next.has_older() && *next.master() != old.master);
        let unwrapped = next.unwrap(workspace(1), &old).unwrap();
        let new = next.wrap(workspace(1), &unwrapped).unwrap();
        next.forget_older().unwrap();
        let last = FileKeys::open(&path).unwrap().unwrap();
        assert!(!last.has_older());
        assert_eq!(last.unwrap(workspace(1), &new).unwrap().bytes(), key.bytes());
        assert!(matches!(last.unwrap(workspace(1), &old), Err(KeysError::NoMaster(_))));
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_no_file_of_keys_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        FileKeys::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(FileKeys::open(&path), Err(KeysError::Exposed { .. })));
        for bad in ["", "x", "remit-master-key 1 a", "remit-master-key 1 a YWJj", "\n\n"] {
            write_whole(&path, bad.as_bytes()).unwrap();
            let refused = FileKeys::open(&path);
            assert!(matches!(refused, Err(KeysError::Malformed { .. })), "{bad:?}");
        }
    }
}
