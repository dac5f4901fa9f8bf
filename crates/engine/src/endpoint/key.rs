//! The key of a person's endpoint on its way into the vault. Cannot be printed, and is wiped from memory when it goes.

use std::fmt;

use zeroize::Zeroizing;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 4 << 10;

/// A key as it was sent.
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ModelKey(Zeroizing<String>);

/// A text is no key. It is not said back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is empty, too long, or has characters that no key has")]
pub struct BadKey;

impl ModelKey {
    /// The key itself, for the vault.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        let text = Zeroizing::new(text);
        let key = text.trim();
        let good = (1..=KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(Zeroizing::new(key.to_owned()))) } else { Err(BadKey) }
    }
}

impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_and_is_never_printed() {
        let key = ModelKey::try_from("sk-canary\n".to_owned()).expect("a key");
        assert_eq!((key.expose(), format!("{key:?}")), ("sk-canary", "ModelKey(…)".to_owned()));
        for bad in ["", " \n", "a b", "a\r\nX: y", "é", &"x".repeat(5_000)] {
            let refused = ModelKey::try_from(bad.to_owned()).expect_err("no key");
            assert!(bad.trim().is_empty() || !refused.to_string().contains(bad));
        }
    }
}
