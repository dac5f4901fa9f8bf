//! One page as it was read: its title, what it links to, what it says of itself. Depends on nothing but its path and
//! its bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::Date;
use pulldown_cmark::{Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};
use schemars::JsonSchema;
use serde::Serialize;

use crate::limit::{HEADINGS_MAX, LINKS_MAX};
use crate::link::{self, Link};
use crate::okf;
use crate::yaml;

/// How far a page may be trusted, derived from who verified it. Advice, never a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Nobody did.
    #[default]
    Unverified,
    /// Programs did.
    MachineConfirmed,
    /// A person did.
    HumanReviewed,
}

impl Tier {
    /// The word of the format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::MachineConfirmed => "machine-confirmed",
            Self::HumanReviewed => "human-reviewed",
        }
    }
}

/// What stands at the head of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matter {
    Absent,
    Unreadable(yaml::Unreadable),
    /// The first line of its content is the second of the page.
    Read(yaml::Map),
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) about: okf::About,
    pub(crate) headings: BTreeSet<String>,
    pub(crate) links: Vec<Link>,
    /// Headings of the second level and their lines, which a log is made of.
    pub(crate) dated: Vec<(String, u32)>,
}

/// A page and what of it is searched.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) page: Page,
    pub(crate) text: String,
}

/// Reads a page. Bytes that are not UTF-8 are replaced.
pub(crate) fn read(path: &str, bytes: &[u8]) -> Read {
    let whole = String::from_utf8_lossy(bytes);
    let (matter, body_at) = split(&whole);
    let about = okf::about(path, &matter);
    let lines = Lines::of(&whole);
    let mut body = Body {
        path,
        page_title: None,
        headings: BTreeSet::new(),
        links: vec![],
        dated: vec![],
        text: String::new(),
    };
    body.read(&whole[body_at..], |offset| lines.at(body_at + offset));
    body.links.extend(about.sources.iter().cloned());
    body.links.truncate(LINKS_MAX);
    let stem = || link::without_extension(link::name_of(path)).to_owned();
    let title = about.title.clone().or(body.page_title).unwrap_or_else(stem);
    let mut text = about.description.clone().unwrap_or_default();
    text.push('\n');
    text.push_str(&body.text);
    let page = Page {
        title: link::cut(&title),
        about,
        headings: body.headings,
        links: body.links,
        dated: body.dated,
    };
    Read { page, text }
}

/// The frontmatter, and where the body begins.
fn split(whole: &str) -> (Matter, usize) {
    let mark = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    let skipped = whole.len() - mark.len();
    let Some(first) = mark.split_inclusive('\n').next().filter(|line| line.trim_end() == "---")
    else {
        return (Matter::Absent, skipped);
    };
    let begin = skipped + first.len();
    let mut at = begin;
    for line in whole[begin..].split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            let matter = match yaml::read(&whole[begin..at]) {
                Ok(map) => Matter::Read(map),
                Err(unreadable) => Matter::Unreadable(unreadable),
            };
            return (matter, at + line.len());
        }
        at += line.len();
    }
    // A rule across the page, not the beginning of a frontmatter.
    (Matter::Absent, skipped)
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line that a byte stands in, counted from 1.
    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset) + 1).unwrap_or(u32::MAX)
    }
}

struct Body<'a> {
    path: &'a str,
    page_title: Option<String>,
    headings: BTreeSet<String>,
    links: Vec<Link>,
    dated: Vec<(String, u32)>,
    text: String,
}

impl Body<'_> {
    fn read(&mut self, body: &str, line: impl Fn(usize) -> u32) {
        let options = Options::ENABLE_WIKILINKS
            | Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_STRIKETHROUGH;
        let mut heading: Option<(HeadingLevel, usize, u32)> = None;
        for (event, Range { start, .. }) in Parser::new_ext(body, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    heading = Some((level, self.text.len(), line(start)));
                }
                Event::End(TagEnd::Heading(_)) => {
                    if let Some((level, from, line)) = heading.take() {
                        self.heading(level, from, line);
                    }
                    self.text.push('\n');
                }
                Event::Start(
                    Tag::Link { link_type, dest_url, .. } | Tag::Image { link_type, dest_url, .. },
                ) => {
                    self.link(link_type, &dest_url, || line(start));
                }
                Event::Text(text) | Event::Code(text) => self.text.push_str(&text),
                Event::SoftBreak | Event::HardBreak | Event::Start(Tag::TableCell) => {
                    self.text.push(' ');
                }
                Event::End(
                    TagEnd::Paragraph
                    | TagEnd::Item
                    | TagEnd::TableRow
                    | TagEnd::TableHead
                    | TagEnd::CodeBlock,
                ) => {
                    self.text.push('\n');
                }
                _ => {}
            }
        }
    }

    fn heading(&mut self, level: HeadingLevel, from: usize, line: u32) {
        let text = self.text[from..].trim();
        if level == HeadingLevel::H1 && self.page_title.is_none() && !text.is_empty() {
            self.page_title = Some(text.to_owned());
        }
        if self.headings.len() < HEADINGS_MAX {
            self.headings.insert(link::fold_heading(text));
            if level == HeadingLevel::H2 {
                self.dated.push((link::cut(text), line));
            }
        }
    }

    fn link(&mut self, kind: LinkType, destination: &str, line: impl Fn() -> u32) {
        if self.links.len() >= LINKS_MAX {
            return;
        }
        let found = match kind {
            LinkType::WikiLink { .. } => link::wiki(destination, line()),
            LinkType::Autolink | LinkType::Email => None,
            _ => link::markdown(destination, self.path, line()),
        };
        self.links.extend(found);
    }
}

/// The day that a date or an instant stands for, in the forms of ISO 8601.
pub(crate) fn day(text: &str) -> Option<Date> {
    let day = text.get(..10)?.parse().ok()?;
    let rest = &text[10..];
    let is_instant =
        || text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok();
    (rest.is_empty() || is_instant()).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Target;

    #[test]
    fn a_page_is_read_with_the_lines_of_its_links() {
        let text = "---\ntype: note\naliases: [Al]\n---\n# A page\n\nSee [[Bob|him]] and [c](c.md#x).\n\n`[[no]]`\n\n## Next\n![[pic.png]]\n";
        let Read { page, text } = read("x/a.md", text.as_bytes());
        assert_eq!(page.title, "A page");
        assert_eq!(page.headings.iter().collect::<Vec<_>>(), ["apage", "next"]);
        let links: Vec<_> = page.links.iter().map(|it| (it.target.clone(), it.line)).collect();
        let name = |name: &str| Target::Name(name.into());
        assert_eq!(
            links,
            [(name("bob"), 7), (Target::Path("x/c.md".into()), 7), (name("pic.png"), 12)]
        );
        assert!(text.contains("See him and c."), "{text}");
    }

    #[test]
    fn the_title_is_the_frontmatters_or_the_headings_or_the_files() {
        let title = |text: &str| read("dir/my page.md", text.as_bytes()).page.title;
        assert_eq!(title("---\ntitle: T\n---\n# H\n"), "T");
        assert_eq!(title("# H `c`\n# I\n"), "H c");
        assert_eq!(title("---\n\nno end\n"), "my page");
        assert_eq!(title("\u{feff}---\ntitle: T\n---\n"), "T");
    }

    #[test]
    fn a_day_is_a_date_or_an_instant() {
        assert_eq!(day("2026-06-25"), Some(jiff::civil::date(2026, 6, 25)));
        assert_eq!(day("2026-06-25T09:00:00Z"), Some(jiff::civil::date(2026, 6, 25)));
        for wrong in ["soon", "2026-13-01", "2026-06-25 or so", "2026-6-25", "äöüäöüäöü"] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
    }
}
