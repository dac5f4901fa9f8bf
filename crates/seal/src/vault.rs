//! Secrets that people entrust to this server: each in a file of its own, sealed under a key of its own, which a master
//! key wraps beside it. Open for as long as somebody holds what was opened, and never kept so here.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::SecretId;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::file::FileKeys;
use crate::keys::{DataKey, Keys, KeysError, Wrapped};
use crate::sealer::{SealError, Sealer};
use crate::whole::{shred, sync_folder, write_whole};

/// What a secret is sealed as.
const PURPOSE: &str = "secrets";
/// What it is called where it is sealed.
const NAME: &[&[u8]] = &[b"secret"];
/// The longest file of a secret, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Secrets below one directory, each called by its id.
///
/// Every call blocks. A secret is whole or absent after a crash at any point, and lost for good, copies of its file aside,
/// once it was shredded.
pub struct Vault {
    directory: PathBuf,
    /// Where the master key is made with the first secret.
    key_file: PathBuf,
    keys: Mutex<Option<Arc<dyn Keys>>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A secret as it lies in its file.
struct Kept {
    wrapped: Wrapped,
    sealed: Vec<u8>,
}

impl Kept {
    fn parse(text: &str) -> Result<Self, KeysError> {
        let malformed = || KeysError::Malformed { what: "the file of a secret" };
        let (wrapped, sealed) = text.trim_end().split_once('\n').ok_or_else(malformed)?;
        let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| malformed())?;
        Ok(Self { wrapped: wrapped.parse()?, sealed })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n", self.wrapped, STANDARD_NO_PAD.encode(&self.sealed))
    }
}

impl Vault {
    /// The secrets below `directory` under these master keys. Where there are none yet, a file of them is made at
    /// `key_file` with the first secret.
    pub fn new(directory: &Path, keys: Option<Arc<dyn Keys>>, key_file: &Path) -> Self {
        Self { directory: directory.to_owned(), key_file: key_file.to_owned(), keys: keys.into() }
    }

    /// Keeps a secret under a new id. When this returns, it survives a crash.
    pub fn put(&self, id: SecretId, secret: &str) -> Result<(), SealError> {
        let failed = SealError::io("make the folder of secrets");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.and_then(|()| sync_folder(&self.directory)).map_err(failed)?;
        let key = DataKey::random()?;
        let wrapped = self.master()?.wrap(id.into(), &key)?;
        let sealed = Sealer::new(id, &key, PURPOSE).seal(NAME, secret.as_bytes())?;
        self.write(id, &Kept { wrapped, sealed })
    }

    /// A secret in the clear, for whoever uses it now.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if there is none, or none any more.
    pub fn open(&self, id: SecretId) -> Result<Zeroizing<String>, SealError> {
        let kept = self.read(id)?.ok_or(SealError::NoKey(id.into()))?;
        let key = self.master()?.unwrap(id.into(), &kept.wrapped)?;
        let mut bytes = Zeroizing::new(kept.sealed);
        let opened = Sealer::new(id, &key, PURPOSE).open_in_place("a secret", NAME, &mut bytes)?;
        let text = std::str::from_utf8(opened).map(|text| Zeroizing::new(text.to_owned()));
        text.map_err(|_| SealError::Broken { what: "a secret", owner: id.into() })
    }

    /// Destroys a secret; no error if there is none. Done when this returns.
    pub fn shred(&self, id: SecretId) -> Result<(), SealError> {
        shred(&self.path(id)).map_err(SealError::io("destroy a secret"))
    }

    /// Destroys every secret that is not `known`, and what a crash left of one that was being written: nobody can ask for
    /// it any more. How many.
    pub fn sweep(&self, known: &[SecretId]) -> Result<usize, SealError> {
        let mut count = 0;
        for path in self.files()? {
            if !id_of(&path).is_some_and(|id| known.contains(&id)) {
                shred(&path).map_err(SealError::io("destroy a secret"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Whether any secret is kept here.
    pub fn holds_anything(&self) -> Result<bool, SealError> {
        Ok(self.files()?.iter().any(|path| id_of(path).is_some()))
    }

    /// Whether the master keys open the key of every secret.
    ///
    /// # Errors
    /// What the first one that does not open says.
    pub fn check(&self) -> Result<(), SealError> {
        for (id, kept) in self.all()? {
            self.master()?.unwrap(id.into(), &kept.wrapped)?;
        }
        Ok(())
    }

    /// Wraps every key that an older master key wraps by the present one; how many. May be repeated after a crash.
    pub fn rewrap(&self) -> Result<usize, SealError> {
        let mut count = 0;
        for (id, kept) in self.all()? {
            let keys = self.master()?;
            if kept.wrapped.master != *keys.master() {
                let key = keys.unwrap(id.into(), &kept.wrapped)?;
                let wrapped = keys.wrap(id.into(), &key)?;
                self.write(id, &Kept { wrapped, ..kept })?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn master(&self) -> Result<Arc<dyn Keys>, KeysError> {
        let mut keys = self.keys.lock();
        if let Some(keys) = &*keys {
            return Ok(keys.clone());
        }
        let made: Arc<dyn Keys> = match FileKeys::open(&self.key_file)? {
            Some(found) => Arc::new(found),
            None => Arc::new(FileKeys::create(&self.key_file)?),
        };
        *keys = Some(made.clone());
        Ok(made)
    }

    fn path(&self, id: SecretId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    fn write(&self, id: SecretId, kept: &Kept) -> Result<(), SealError> {
        write_whole(&self.path(id), kept.text().as_bytes()).map_err(SealError::io("write a secret"))
    }

    fn read(&self, id: SecretId) -> Result<Option<Kept>, SealError> {
        let failed = SealError::io("read a secret");
        let path = self.path(id);
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(&failed)?,
        };
        if found.len() > FILE_BYTES_MAX {
            return Err(KeysError::Malformed { what: "the file of a secret" }.into());
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        Ok(Some(Kept::parse(&text)?))
    }

    fn all(&self) -> Result<Vec<(SecretId, Kept)>, SealError> {
        let mut all = Vec::new();
        for id in self.files()?.iter().filter_map(|path| id_of(path)) {
            all.extend(self.read(id)?.map(|kept| (id, kept)));
        }
        Ok(all)
    }

    fn files(&self) -> Result<Vec<PathBuf>, SealError> {
        let failed = SealError::io("list the secrets");
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(&failed)?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<Result<_, _>>().map_err(failed)
    }
}

/// The secret whose file this is; none where it is not one.
fn id_of(path: &Path) -> Option<SecretId> {
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MASTER_KEY_FILE;
    use std::os::unix::fs::MetadataExt as _;

    const CANARY: &str = "canary-7f3a91c2d4e5f607";

    fn id(number: u128) -> SecretId {
        SecretId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn vault(folder: &Path) -> Vault {
        let key_file = folder.join(MASTER_KEY_FILE);
        let keys = FileKeys::open(&key_file).unwrap().map(|keys| Arc::new(keys) as Arc<dyn Keys>);
        Vault::new(&folder.join("secrets"), keys, &key_file)
    }

    fn path(folder: &Path, number: u128) -> PathBuf {
        folder.join("secrets").join(id(number).to_string())
    }

    #[test]
    fn a_secret_opens_in_the_next_process_and_is_nowhere_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let ours = vault(folder.path());
        assert!(!ours.holds_anything().unwrap());
        assert!(!folder.path().join(MASTER_KEY_FILE).exists(), "made with the first secret");
        ours.put(id(1), CANARY).unwrap();
        let next = vault(folder.path());
        assert!(next.holds_anything().unwrap());
        assert_eq!(*next.open(id(1)).unwrap(), CANARY);
        assert!(matches!(next.open(id(2)), Err(SealError::NoKey(_))));
        for file in [path(folder.path(), 1), folder.path().join(MASTER_KEY_FILE)] {
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
            let bytes = fs::read(&file).unwrap();
            assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
        }
        assert!(!format!("{ours:?}").contains(CANARY));
    }

    #[test]
    fn a_secret_that_was_moved_or_changed_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let ours = vault(folder.path());
        ours.put(id(1), CANARY).unwrap();
        fs::copy(path(folder.path(), 1), path(folder.path(), 2)).unwrap();
        assert!(matches!(ours.open(id(2)), Err(SealError::Keys(KeysError::Broken(_)))));
        let text = fs::read_to_string(path(folder.path(), 1)).unwrap();
        for bad in ["", "x", text.lines().next().unwrap(), &text[..text.len() - 3]] {
            fs::write(path(folder.path(), 1), bad).unwrap();
            assert!(ours.open(id(1)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shredded_secret_is_gone_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let ours = vault(folder.path());
        for number in 1..=3 {
            ours.put(id(number), CANARY).unwrap();
        }
        ours.shred(id(1)).unwrap();
        ours.shred(id(1)).unwrap();
        assert!(matches!(ours.open(id(1)), Err(SealError::NoKey(_))));
        let half = path(folder.path(), 3).with_extension("next");
        fs::write(&half, "half a secret").unwrap();
        assert_eq!(ours.sweep(&[id(3)]).unwrap(), 2);
        assert!(matches!(ours.open(id(2)), Err(SealError::NoKey(_))));
        assert!(!half.exists());
        assert_eq!(*ours.open(id(3)).unwrap(), CANARY);
    }

    #[test]
    fn a_rotation_that_dies_between_any_two_steps_is_taken_up() {
        for done in 0..=2 {
            let folder = tempfile::tempdir().unwrap();
            let first = vault(folder.path());
            for number in 1..=2 {
                first.put(id(number), CANARY).unwrap();
            }
            let before = [1, 2].map(|number| fs::read(path(folder.path(), number)).unwrap());
            let keys = FileKeys::open(&folder.path().join(MASTER_KEY_FILE)).unwrap().unwrap();
            keys.renew().unwrap();
            assert_eq!(vault(folder.path()).rewrap().unwrap(), 2);
            for (number, before) in (1..).zip(&before).skip(done) {
                fs::write(path(folder.path(), number), before).unwrap();
            }
            let again = vault(folder.path());
            again.check().unwrap();
            assert_eq!(again.rewrap().unwrap(), 2 - done);
            let mut keys = FileKeys::open(&folder.path().join(MASTER_KEY_FILE)).unwrap().unwrap();
            keys.forget_older().unwrap();
            let last = vault(folder.path());
            for number in 1..=2 {
                assert_eq!(*last.open(id(number)).unwrap(), CANARY);
            }
            fs::write(path(folder.path(), 1), &before[0]).unwrap();
            assert!(vault(folder.path()).open(id(1)).is_err(), "an older copy is of no use");
        }
    }
}
