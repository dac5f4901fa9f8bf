//! Seals messages of one owner for one purpose. Each has a key of its own, made from a random salt, so that no number
//! of messages wears a key out; what it is called is bound to it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::WorkspaceId;

use crate::keys::{DataKey, KeysError, Owner};

/// Bytes before the ciphertext of a message or object, from which its key is made.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes that sealing adds behind a ciphertext.
pub(crate) const TAG_BYTES: usize = 16;
/// What a sealed text begins with.
const TEXT_MARK: &str = "$1:";
/// Bytes of the id that a sealed text names its workspace with.
const ID_BYTES: usize = 16;

/// Something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The owner has no key: it was deleted, and what was sealed for it is lost for good.
    #[error("there is no key of {0}")]
    NoKey(Owner),
    /// What is found is not what was sealed under this name: it was changed, cut short, or taken from elsewhere.
    #[error("{what} of {owner} does not open: it was changed, cut short or taken from elsewhere")]
    Broken {
        /// What was to be opened.
        what: &'static str,
        /// Of whom.
        owner: Owner,
    },
    /// A key could not be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file could not be read or written.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SealError {
    pub(crate) fn io(action: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// Seals and opens what belongs to one owner and serves one purpose. Two purposes share no key.
pub struct Sealer {
    owner: Owner,
    root: Prk,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Sealer {
    /// The sealer of an owner for a purpose.
    pub fn new(owner: impl Into<Owner>, key: &DataKey, purpose: &str) -> Self {
        let owner = owner.into();
        let salt = Salt::new(HKDF_SHA256, format!("remit at rest 1 {purpose} {owner}").as_bytes());
        Self { owner, root: salt.extract(key.bytes()) }
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Seals a message. To open it, the same `name` must be said: what it is and where it stands, in parts.
    ///
    /// # Errors
    /// [`KeysError::NoRandomness`].
    pub fn seal(&self, name: &[&[u8]], message: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(SALT_BYTES + message.len() + TAG_BYTES);
        sealed.extend_from_slice(&salt()?);
        sealed.extend_from_slice(message);
        let (salt, text) = sealed.split_at_mut(SALT_BYTES);
        let key = self.key(salt);
        let tag = key
            .seal_in_place_separate_tag(first_nonce(), Aad::from(self.about(name)), text)
            .map_err(|_| self.broken("a message"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// What was sealed under this name.
    ///
    /// # Errors
    /// [`SealError::Broken`] with `what`.
    pub fn open(
        &self,
        what: &'static str,
        name: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        Ok(self.open_in_place(what, name, &mut sealed.to_vec())?.to_vec())
    }

    /// The same, opened where it lies.
    pub(crate) fn open_in_place<'a>(
        &self,
        what: &'static str,
        name: &[&[u8]],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], SealError> {
        let parts = sealed.split_at_mut_checked(SALT_BYTES);
        let (salt, text) = parts.ok_or_else(|| self.broken(what))?;
        let about = Aad::from(self.about(name));
        let opened = self.key(salt).open_in_place(first_nonce(), about, text);
        opened.map(|message| &*message).map_err(|_| self.broken(what))
    }

    /// Seals a text as a text that names its owner: see [`crate::Keyring::open_text`].
    pub fn seal_text(&self, name: &[&[u8]], text: &str) -> Result<String, SealError> {
        let mut raw = self.owner.uuid().as_bytes().to_vec();
        raw.extend_from_slice(&self.seal(name, text.as_bytes())?);
        let mut sealed = TEXT_MARK.to_owned();
        URL_SAFE_NO_PAD.encode_string(raw, &mut sealed);
        Ok(sealed)
    }

    /// A name of 32 hexadecimal digits for something of this owner that tells nothing about it, the same each time.
    pub fn blind_name(&self, of: &[u8]) -> String {
        let mut name = [0; ID_BYTES];
        self.mark(&[b"name", of], &mut name);
        to_hex(&name)
    }

    /// What can be compared in the place of `of`, and tells nothing about it.
    pub fn blind_mark(&self, of: &[u8]) -> [u8; 32] {
        let mut mark = [0; 32];
        self.mark(&[b"mark", of], &mut mark);
        mark
    }

    fn mark(&self, about: &[&[u8]], into: &mut [u8]) {
        let info: Vec<&[u8]> = about.to_vec();
        let filled = self.root.expand(&info, Length(into.len())).and_then(|okm| okm.fill(into));
        filled.expect("at most 255 times 32 bytes are asked for");
    }

    /// The key of the one message or object with this salt.
    pub(crate) fn key(&self, salt: &[u8]) -> LessSafeKey {
        let info: [&[u8]; 2] = [b"message", salt];
        let okm = self.root.expand(&info, &AES_256_GCM).expect("32 bytes are asked for");
        LessSafeKey::new(UnboundKey::from(okm))
    }

    /// The name as it is bound to a message: no two names have the same form.
    pub(crate) fn about(&self, name: &[&[u8]]) -> Vec<u8> {
        let mut about = self.owner.uuid().as_bytes().to_vec();
        for part in name {
            about.extend_from_slice(&(part.len() as u64).to_be_bytes());
            about.extend_from_slice(part);
        }
        about
    }

    pub(crate) fn broken(&self, what: &'static str) -> SealError {
        SealError::Broken { what, owner: self.owner }
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes of a mark.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// A key that serves once needs no other nonce.
fn first_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

pub(crate) fn salt() -> Result<[u8; SALT_BYTES], KeysError> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| KeysError::NoRandomness)?;
    Ok(salt)
}

/// The workspace that a sealed text names, and the message.
pub(crate) fn parse_text(text: &str) -> Option<(WorkspaceId, Vec<u8>)> {
    let raw = URL_SAFE_NO_PAD.decode(text.strip_prefix(TEXT_MARK)?).ok()?;
    let (id, message) = raw.split_at_checked(ID_BYTES)?;
    let id = u128::from_be_bytes(id.try_into().ok()?);
    Some((WorkspaceId::from_uuid(uuid::Uuid::from_u128(id)), message.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(number: u128, purpose: &str) -> Sealer {
        let key = DataKey::from_slice(&[7; 32]).unwrap();
        Sealer::new(WorkspaceId::from_uuid(uuid::Uuid::from_u128(number)), &key, purpose)
    }

    const NAME: &[&[u8]] = &[b"entries", b"12"];

    #[test]
    fn what_was_sealed_opens_under_its_name_and_no_other() {
        let (ours, message) = (sealer(1, "ledger"), b"the canary sings");
        let sealed = ours.seal(NAME, message).unwrap();
        assert_eq!(ours.open("it", NAME, &sealed).unwrap(), message);
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        let others: [&[&[u8]]; 4] = [&[b"entries", b"13"], &[b"entries12"], &[b"entries"], &[]];
        for name in others {
            assert!(ours.open("it", name, &sealed).is_err(), "{name:?}");
        }
        for other in [sealer(2, "ledger"), sealer(1, "files")] {
            assert!(matches!(other.open("it", NAME, &sealed), Err(SealError::Broken { .. })));
        }
    }

    #[test]
    fn the_same_message_is_never_sealed_alike() {
        let ours = sealer(1, "ledger");
        assert_ne!(ours.seal(NAME, b"a").unwrap(), ours.seal(NAME, b"a").unwrap());
    }

    #[test]
    fn a_changed_or_shortened_message_does_not_open() {
        let ours = sealer(1, "ledger");
        let sealed = ours.seal(NAME, b"four").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open("it", NAME, &changed).is_err(), "byte {at}");
            assert!(ours.open("it", NAME, &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn marks_are_the_same_each_time_and_differ_by_workspace_and_purpose() {
        let ours = sealer(1, "files");
        assert_eq!(ours.blind_name(b"x"), ours.blind_name(b"x"));
        assert_eq!(ours.blind_name(b"x").len(), 32);
        assert_ne!(ours.blind_name(b"x"), ours.blind_name(b"y"));
        assert_ne!(ours.blind_mark(b"x"), sealer(2, "files").blind_mark(b"x"));
        assert_ne!(ours.blind_mark(b"x"), sealer(1, "ledger").blind_mark(b"x"));
    }

    #[test]
    fn a_sealed_text_names_its_workspace() {
        let ours = sealer(9, "ledger");
        let sealed = ours.seal_text(NAME, "hello").unwrap();
        assert!(sealed.starts_with(TEXT_MARK) && sealed.is_ascii());
        let (of, message) = parse_text(&sealed).unwrap();
        assert_eq!(Owner::from(of), ours.owner());
        assert_eq!(ours.open("it", NAME, &message).unwrap(), b"hello");
        for bad in ["", "$1:", "$1:***", "hello"] {
            assert!(parse_text(bad).is_none(), "{bad}");
        }
    }
}
