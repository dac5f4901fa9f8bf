//! The frontmatter of a page as plain values: texts, lists and maps. Anchors, aliases and tags are refused, so that
//! nothing can stand for more than is written; size, depth and count are bounded.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Bytes that a frontmatter has at most.
const BYTES_MAX: usize = 16 << 10;
/// Lists and maps inside each other.
const DEPTH_MAX: usize = 8;
/// Values in all.
const VALUES_MAX: usize = 1_000;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The line, counted from the frontmatter's first as 1.
    pub(crate) line: u32,
    pub(crate) kind: Kind,
}

/// What a value is. Numbers, dates and truth values stay as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `null`.
    Empty,
    Text(String),
    List(Vec<Value>),
    Map(Map),
}

/// Keys and values in the order they are written; a key that stands twice is refused.
pub(crate) type Map = Vec<(String, Value)>;

/// A frontmatter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) line: u32,
    pub(crate) why: &'static str,
}

impl Value {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        }
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text(text) => text.trim().is_empty(),
            Kind::List(_) | Kind::Map(_) => false,
        }
    }
}

/// What stands under a key.
pub(crate) fn get<'a>(map: &'a Map, key: &str) -> Option<&'a Value> {
    map.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Reads the map that a frontmatter is. An empty one is a map without keys.
pub(crate) fn read(text: &str) -> Result<Map, Unreadable> {
    if text.len() > BYTES_MAX {
        return Err(Unreadable { line: 1, why: "longer than 16 KiB" });
    }
    let mut reader = Reader { events: Parser::new_from_str(text), values: 0 };
    let mut top = None;
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            Event::DocumentStart(_) if top.is_none() => {}
            Event::DocumentStart(_) => {
                return Err(Unreadable { line, why: "more than one document" });
            }
            Event::StreamEnd => break,
            event => top = Some(reader.value(event, line, 0)?),
        }
    }
    match top {
        None | Some(Value { kind: Kind::Empty, .. }) => Ok(Map::new()),
        Some(Value { kind: Kind::Map(map), .. }) => Ok(map),
        Some(Value { line, .. }) => Err(Unreadable { line, why: "not a map of keys and values" }),
    }
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, u32), Unreadable> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, line(span))),
            Some(Err(error)) => {
                let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
                Err(Unreadable { line, why: "not YAML" })
            }
            None => Err(Unreadable { line: 1, why: "not YAML" }),
        }
    }

    fn value(&mut self, event: Event<'a>, line: u32, depth: usize) -> Result<Value, Unreadable> {
        self.values += 1;
        if depth > DEPTH_MAX || self.values > VALUES_MAX {
            return Err(Unreadable { line, why: "too deep or too many values" });
        }
        let kind = match event {
            Event::Scalar(text, style, 0, None) => scalar(&text, style),
            Event::SequenceStart(0, None) => self.list(depth)?,
            Event::MappingStart(0, None) => self.map(line, depth)?,
            Event::Alias(_) => return Err(Unreadable { line, why: "an alias" }),
            _ => return Err(Unreadable { line, why: "an anchor or a tag" }),
        };
        Ok(Value { line, kind })
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Unreadable> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(list)),
                (event, line) => list.push(self.value(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: u32, depth: usize) -> Result<Kind, Unreadable> {
        let mut map = Map::new();
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Kind::Map(map));
            }
            let Kind::Text(key) = self.value(event, line, depth + 1)?.kind else {
                return Err(Unreadable { line: start, why: "a key that is not a text" });
            };
            if get(&map, &key).is_some() {
                return Err(Unreadable { line, why: "a key that stands twice" });
            }
            let (event, line) = self.next()?;
            map.push((key, self.value(event, line, depth + 1)?));
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    if null { Kind::Empty } else { Kind::Text(text.to_owned()) }
}

fn line(span: Span) -> u32 {
    u32::try_from(span.start.line()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> &'static str {
        read(text).expect_err(text).why
    }

    #[test]
    fn what_people_write_is_read() {
        let map = read("type: contact\ntags: [a, 'b c']\n# words\nverified:\n  - {by: human:jo, at: 2026-01-02}\nn:\n")
            .expect("reads");
        assert_eq!(get(&map, "type").and_then(Value::text), Some("contact"));
        assert_eq!(get(&map, "verified").map(|value| value.line), Some(5));
        assert!(get(&map, "n").is_some_and(Value::is_empty));
        assert_eq!(read("").expect("empty"), Map::new());
    }

    #[test]
    fn what_could_stand_for_more_than_is_written_is_refused() {
        assert_eq!(refused("a: &x [1]\nb: *x\n"), "an anchor or a tag");
        assert_eq!(refused("a: !!binary x\n"), "an anchor or a tag");
        assert_eq!(refused("a: 1\na: 2\n"), "a key that stands twice");
        assert_eq!(refused("? [a]\n: 1\n"), "a key that is not a text");
        assert_eq!(refused("- a\n"), "not a map of keys and values");
        assert_eq!(refused("a: 1\n--- \nb: 2\n"), "more than one document");
        assert_eq!(refused(&format!("a: {}\n", "[".repeat(200))), "too deep or too many values");
        assert_eq!(
            refused(&format!("a: [{}]\n", "1,".repeat(2_000))),
            "too deep or too many values"
        );
        assert_eq!(refused(&format!("a: {}\n", "x".repeat(BYTES_MAX))), "longer than 16 KiB");
        assert_eq!(refused("a: [\n"), "not YAML");
    }
}
