//! Takes a key out of what passes by, should an endpoint say it. Bytes that hold no key pass unchanged.

use bytes::{Bytes, BytesMut};

use crate::secret::Secret;

/// Shorter keys are placeholders (`none`, `local`) that may stand in honest text.
const KEY_BYTES_MIN: usize = 16;
const INSTEAD: &[u8] = b"[redacted]";

/// Takes one key out of a stream.
#[derive(Debug)]
pub(crate) struct Redactor {
    key: Option<Secret>,
    /// The end of what passed by that may be the beginning of the key.
    held: BytesMut,
}

impl Redactor {
    pub(crate) fn new(key: Option<&Secret>) -> Self {
        let key = key.filter(|key| key.expose().len() >= KEY_BYTES_MIN).cloned();
        Self { key, held: BytesMut::new() }
    }

    /// The bytes that may go on now.
    pub(crate) fn pass(&mut self, bytes: Bytes) -> Bytes {
        let Some(secret) = self.key.clone() else { return bytes };
        let key = secret.expose().as_bytes();
        if self.held.is_empty() && find(&bytes, key).is_none() && begun(&bytes, key) == 0 {
            return bytes;
        }
        self.held.extend_from_slice(&bytes);
        let mut out = BytesMut::with_capacity(self.held.len());
        while let Some(at) = find(&self.held, key) {
            out.extend_from_slice(&self.held.split_to(at));
            drop(self.held.split_to(key.len()));
            out.extend_from_slice(INSTEAD);
        }
        let keep = begun(&self.held, key);
        out.extend_from_slice(&self.held.split_to(self.held.len() - keep));
        out.freeze()
    }

    /// What is left when nothing follows.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

fn find(bytes: &[u8], key: &[u8]) -> Option<usize> {
    let first = *key.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        if bytes[from + at..].starts_with(key) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// How many bytes at the end are a beginning of the key.
fn begun(bytes: &[u8], key: &[u8]) -> usize {
    let longest = bytes.len().min(key.len() - 1);
    (1..=longest).rev().find(|&n| bytes.ends_with(&key[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "canary-canary-key-0123";

    fn passed(text: &str, cut: usize) -> String {
        let mut redactor = Redactor::new(Some(&Secret::new(KEY.into())));
        let (a, b) = text.as_bytes().split_at(cut);
        let mut out = redactor.pass(Bytes::copy_from_slice(a)).to_vec();
        out.extend(redactor.pass(Bytes::copy_from_slice(b)));
        out.extend(redactor.rest());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_key_is_taken_out_wherever_the_stream_is_cut() {
        let text = format!("a {KEY}{KEY} canary-canary-key-012 b canary");
        for cut in 0..=text.len() {
            assert_eq!(passed(&text, cut), "a [redacted][redacted] canary-canary-key-012 b canary");
        }
    }

    #[test]
    fn a_placeholder_is_not_looked_for() {
        let mut redactor = Redactor::new(Some(&Secret::new("none".into())));
        assert_eq!(redactor.pass(Bytes::from_static(b"none of it")), "none of it");
    }
}
