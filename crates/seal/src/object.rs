//! Seals objects of any length in chunks, so that neither side holds one in memory. Chunks cannot be swapped, left out,
//! added or taken from another object.

use std::io::{ErrorKind, Read, Write};

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use crate::sealer::{SALT_BYTES, SealError, Sealer, TAG_BYTES, salt};

/// Bytes of what is sealed in one chunk; the last one of an object may have fewer.
const CHUNK_BYTES: usize = 64 << 10;

/// What every sealed object begins with.
const MARK: &[u8; 8] = b"remitsl1";

/// The last chunk of an object says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inner,
    Last,
}

fn nonce(number: u64, place: Place) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[NONCE_LEN - 1] = u8::from(place == Place::Last);
    Nonce::assume_unique_for_key(nonce)
}

impl Sealer {
    /// Seals all that `from` gives. See [`seal`](Self::seal) for the name.
    pub fn seal_object(
        &self,
        name: &[&[u8]],
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> Result<(), SealError> {
        let failed = SealError::io("seal an object");
        let salt = salt()?;
        let key = self.key(&salt);
        let about = self.about(name);
        to.write_all(MARK).and_then(|()| to.write_all(&salt)).map_err(&failed)?;
        let mut chunk = read_up_to(from, CHUNK_BYTES).map_err(&failed)?;
        for number in 0.. {
            let next = match chunk.len() {
                CHUNK_BYTES => read_up_to(from, CHUNK_BYTES).map_err(&failed)?,
                _ => Vec::new(),
            };
            let place = if next.is_empty() { Place::Last } else { Place::Inner };
            key.seal_in_place_append_tag(nonce(number, place), Aad::from(&about), &mut chunk)
                .map_err(|_| self.broken("an object"))?;
            to.write_all(&chunk).map_err(&failed)?;
            if place == Place::Last {
                break;
            }
            chunk = next;
        }
        Ok(())
    }

    /// Opens an object. What is written before an error is a true beginning of it, and not to be used.
    ///
    /// # Errors
    /// [`SealError::Broken`] with `what`.
    pub fn open_object(
        &self,
        what: &'static str,
        name: &[&[u8]],
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> Result<(), SealError> {
        let failed = SealError::io("open a sealed object");
        let head = read_up_to(from, MARK.len() + SALT_BYTES).map_err(&failed)?;
        let salt = head.strip_prefix(MARK.as_slice()).filter(|salt| salt.len() == SALT_BYTES);
        let key = self.key(salt.ok_or_else(|| self.broken(what))?);
        let about = self.about(name);
        let mut chunk = read_up_to(from, CHUNK_BYTES + TAG_BYTES).map_err(&failed)?;
        for number in 0.. {
            let next = read_up_to(from, CHUNK_BYTES + TAG_BYTES).map_err(&failed)?;
            let place = if next.is_empty() { Place::Last } else { Place::Inner };
            let opened = open_chunk(&key, nonce(number, place), &about, &mut chunk);
            to.write_all(opened.ok_or_else(|| self.broken(what))?).map_err(&failed)?;
            if place == Place::Last {
                break;
            }
            chunk = next;
        }
        Ok(())
    }
}

fn open_chunk<'a>(
    key: &LessSafeKey,
    nonce: Nonce,
    about: &[u8],
    chunk: &'a mut [u8],
) -> Option<&'a [u8]> {
    key.open_in_place(nonce, Aad::from(about), chunk).ok().map(|opened| &*opened)
}

/// As many bytes as there are, at most `most`.
fn read_up_to(from: &mut dyn Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most + TAG_BYTES);
    match from.take(most as u64).read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataKey;
    use model::WorkspaceId;
    use proptest::prelude::*;

    fn sealer(number: u8) -> Sealer {
        let key = DataKey::from_slice(&[number; 32]).unwrap();
        Sealer::new(WorkspaceId::from_uuid(uuid::Uuid::from_u128(1)), &key, "files")
    }

    const NAME: &[&[u8]] = &[b"pack", b"a"];

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        sealer(1).seal_object(NAME, &mut &*content, &mut sealed).unwrap();
        sealed
    }

    fn opened(name: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut from = sealed;
        let opened = sealer(1).open_object("it", name, &mut from, &mut content);
        opened.ok().map(|()| content)
    }

    fn chunks(sealed: &[u8]) -> (&[u8], Vec<&[u8]>) {
        let (head, rest) = sealed.split_at(MARK.len() + SALT_BYTES);
        (head, rest.chunks(CHUNK_BYTES + TAG_BYTES).collect())
    }

    #[test]
    fn an_object_of_any_length_opens_as_it_was() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let sealed = sealed(&content);
            assert_eq!(opened(NAME, &sealed).as_ref(), Some(&content), "{length} bytes");
            assert_eq!(opened(&[b"pack", b"b"], &sealed), None, "{length} bytes");
            let chunks = length.div_ceil(CHUNK_BYTES).max(1);
            assert_eq!(sealed.len(), MARK.len() + SALT_BYTES + length + chunks * TAG_BYTES);
        }
    }

    #[test]
    fn chunks_cannot_be_swapped_left_out_or_taken_from_another_object() {
        let content = vec![5; 3 * CHUNK_BYTES + 10];
        let (one, other) = (sealed(&content), sealed(&content));
        let (head, parts) = chunks(&one);
        let (_, others) = chunks(&other);
        let made = |parts: &[&[u8]]| opened(NAME, &[head, &parts.concat()].concat());
        assert!(made(&parts).is_some());
        assert_eq!(made(&[parts[1], parts[0], parts[2], parts[3]]), None, "swapped");
        assert_eq!(made(&[parts[0], parts[2], parts[3]]), None, "left out");
        assert_eq!(made(&parts[..3]), None, "cut short at a chunk");
        assert_eq!(made(&[parts[0], parts[1], parts[2], parts[2], parts[3]]), None, "doubled");
        assert_eq!(made(&[parts[0], others[1], parts[2], parts[3]]), None, "of another");
        assert_eq!(made(&[&parts[..], &[b"more".as_slice()]].concat()), None, "longer");
        assert_eq!(made(&[]), None, "empty");
    }

    proptest! {
        #[test]
        fn whatever_is_changed_or_cut_does_not_open(
            length in 0..3_000_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let whole = sealed(&vec![9; length]);
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            prop_assert_eq!(opened(NAME, &changed), None);
            prop_assert_eq!(opened(NAME, &whole[..at]), None);
        }
    }
}
