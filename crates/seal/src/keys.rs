//! The port for keys, and the forms of a key. Blocks; a key service would, too.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::{SecretId, WorkspaceId};
use zeroize::Zeroizing;

/// Bytes of every key.
pub(crate) const KEY_BYTES: usize = 32;

/// Whose a key is. What is sealed for one opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A git folder, and the rows that belong to it.
    Workspace(WorkspaceId),
    /// One secret of a person.
    Secret(SecretId),
}

impl Owner {
    /// The bits of its id.
    pub(crate) fn uuid(self) -> uuid::Uuid {
        match self {
            Self::Workspace(id) => id.uuid(),
            Self::Secret(id) => id.uuid(),
        }
    }
}

impl From<WorkspaceId> for Owner {
    fn from(id: WorkspaceId) -> Self {
        Self::Workspace(id)
    }
}

impl From<SecretId> for Owner {
    fn from(id: SecretId) -> Self {
        Self::Secret(id)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace(id) => id.fmt(f),
            Self::Secret(id) => id.fmt(f),
        }
    }
}

/// The key of an owner, from which all others of it are made. Gone from memory when it is dropped.
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeysError::NoRandomness`].
    pub fn random() -> Result<Self, KeysError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *bytes).map_err(|_| KeysError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The key with these bytes, if they are as many as a key has.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        (bytes.len() == KEY_BYTES).then(|| key.copy_from_slice(bytes))?;
        Some(Self(key))
    }

    /// For whoever wraps it.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(hidden)")
    }
}

/// Which master key: 1 to 64 of a-z, 0-9, `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterId(String);

impl MasterId {
    /// The name of a master key, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let sound = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        sound.then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A data key under a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Which master key wraps it.
    pub master: MasterId,
    /// What the holder of the master key needs to unwrap it.
    pub sealed: Vec<u8>,
}

/// What the text of a wrapped key begins with.
const WRAPPED_MARK: &str = "remit-data-key 1";

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WRAPPED_MARK} {} {}", self.master, STANDARD_NO_PAD.encode(&self.sealed))
    }
}

impl FromStr for Wrapped {
    type Err = KeysError;
    fn from_str(text: &str) -> Result<Self, KeysError> {
        let parse = || {
            let rest = text.trim_end().strip_prefix(WRAPPED_MARK)?.strip_prefix(' ')?;
            let (master, sealed) = rest.split_once(' ')?;
            let sealed = STANDARD_NO_PAD.decode(sealed).ok()?;
            Some(Self { master: MasterId::new(master)?, sealed })
        };
        parse().ok_or(KeysError::Malformed { what: "a wrapped key" })
    }
}

/// A key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The master key that wrapped a data key is not there: what it protects cannot be read.
    #[error("the master key `{0}` is not there")]
    NoMaster(MasterId),
    /// The wrapped key is not what this master key wrapped for this owner.
    #[error("the key of {0} does not open: it was changed, or is another's")]
    Broken(Owner),
    /// A file of keys does not read as one.
    #[error("{what} is malformed")]
    Malformed {
        /// Which.
        what: &'static str,
    },
    /// The file of the master key can be read or written by others.
    #[error("{path} is open to others than its owner", path = path.display())]
    Exposed {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A file of keys could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Who holds the master keys: a file, or a key service.
///
/// What was wrapped can be unwrapped by any later process for as long as its master key is kept. A key that was wrapped
/// for one owner does not unwrap for another. Calls may block for as long as the service takes.
pub trait Keys: fmt::Debug + Send + Sync {
    /// The master key that wraps from now on.
    fn master(&self) -> &MasterId;

    /// Wraps the key of an owner under [`master`](Self::master).
    fn wrap(&self, owner: Owner, key: &DataKey) -> Result<Wrapped, KeysError>;

    /// The key that was wrapped for an owner, under whichever master key.
    fn unwrap(&self, owner: Owner, wrapped: &Wrapped) -> Result<DataKey, KeysError>;
}
