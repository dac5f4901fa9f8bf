//! Reading hostile JSON: a text or a list where either may stand, lists of which only the beginning
//! counts. Never holds more than a few times what it reads.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, nothing, one block, or a list of blocks.
pub(crate) struct Content<B>(pub(crate) Vec<B>);

/// A block of content that a bare text may stand for. What counts of it is kept at once; what does
/// not takes no room.
pub(crate) trait Block: Sized {
    type Form;
    fn text(text: String) -> Self;
    fn of(form: Self::Form) -> Option<Self>;
}

impl<B> Default for Content<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, B> Deserialize<'de> for Content<B>
where
    B: Block,
    B::Form: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<B>(PhantomData<B>);
        impl<'de, B> Visitor<'de> for Reader<B>
        where
            B: Block,
            B::Form: Deserialize<'de>,
        {
            type Value = Content<B>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of blocks")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content<B>, E> {
                Ok(Content(vec![B::text(text.to_owned())]))
            }

            fn visit_unit<E: Error>(self) -> Result<Content<B>, E> {
                Ok(Content::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content<B>, A::Error> {
                let mut blocks = Vec::new();
                while let Some(form) = seq.next_element::<B::Form>()? {
                    blocks.extend(B::of(form));
                }
                Ok(Content(blocks))
            }
        }
        from.deserialize_any(Reader(PhantomData))
    }
}

/// A text, or the texts of a list.
#[derive(Default)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text(String);
        impl Block for Text {
            type Form = String;
            fn text(text: String) -> Self {
                Self(text)
            }
            fn of(form: String) -> Option<Self> {
                Some(Self(form))
            }
        }
        let Content(texts) = Content::<Text>::deserialize(from)?;
        Ok(Self(texts.into_iter().map(|Text(text)| text).collect()))
    }
}

/// The first keys of an object; their values are skipped.
pub(crate) struct Keys<const MAX: usize>(pub(crate) Vec<String>);

impl<'de, const MAX: usize> Deserialize<'de> for Keys<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Reader<MAX> {
            type Value = Keys<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<MAX>, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if keys.len() < MAX {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }
        }
        from.deserialize_map(Reader)
    }
}

/// The first items of a list; the others are skipped.
pub(crate) struct Few<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Reader<T, MAX> {
            type Value = Few<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E: Error>(self) -> Result<Few<T, MAX>, E> {
                Ok(Few::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<T, MAX>, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Few(items)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(items))
            }
        }
        from.deserialize_any(Reader(PhantomData))
    }
}

/// The picture of a `data:` address, or the address.
pub(crate) fn image(url: String) -> super::form::Image {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media, data)) => {
            super::form::Image::Inline { media: media.to_owned(), data: data.to_owned() }
        }
        None => super::form::Image::Url(url),
    }
}

/// Adds a text on a line of its own.
pub(crate) fn join(said: &mut String, text: &str) {
    if !said.is_empty() {
        said.push('\n');
    }
    said.push_str(text);
}
