//! Encryption at rest: keys, and what is sealed under them. The only crate that touches a cipher; never decides what is
//! sealed, never logs, never shows a key.
//!
//! A master key ([`Keys`]) wraps one data key for each workspace ([`Keyring`]); from a data key come the keys of each
//! message and object ([`Sealer`]). Secrets of people lie in a [`Vault`], each under a key of its own. Whoever has neither the master key nor an unwrapped data key learns the size and the
//! time of what is sealed, and no more; what was changed, cut short, moved elsewhere or put back from an earlier object
//! of another name does not open.

mod file;
mod keys;
mod object;
mod ring;
mod sealer;
mod vault;
mod whole;

pub use file::{FileKeys, MASTER_KEY_FILE};
pub use keys::{DataKey, Keys, KeysError, MasterId, Owner, Wrapped};
pub use ring::{Keyring, WorkspaceKey};
pub use sealer::{SealError, Sealer};
pub use vault::Vault;
pub use whole::write_whole;
