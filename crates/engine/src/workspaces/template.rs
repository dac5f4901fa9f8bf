//! What a new workspace begins with. Pure.

use model::{Time, WorkspaceName};

use super::SeedFile;

/// The files of a template: where each stands, and what it holds.
type Files = &'static [(&'static str, &'static str)];

/// A dashboard and a bundle in the Open Knowledge Format, version 0.2.
const KNOWLEDGE: Files = &[
    ("README.md", include_str!("template/README.md")),
    ("index.md", include_str!("template/index.md")),
    ("log.md", include_str!("template/log.md")),
    ("kg/entities/note/open-knowledge-format.md", include_str!("template/entity.md")),
];

/// A dashboard alone.
const PLAIN: Files = &[("README.md", "# {name}\n")];

/// What a new workspace begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Template {
    /// A README as its dashboard, and an Open Knowledge Format bundle.
    #[default]
    Knowledge,
    /// A README and nothing else.
    Plain,
}

impl Template {
    /// The template of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "knowledge" => Some(Self::Knowledge),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }

    /// Its files, for a workspace that is called so and begins then.
    pub fn files(self, name: &WorkspaceName, at: Time) -> Vec<SeedFile> {
        let files = match self {
            Self::Knowledge => KNOWLEDGE,
            Self::Plain => PLAIN,
        };
        let date = date(at);
        let fill = |text: &str| text.replace("{name}", name.as_str()).replace("{date}", &date);
        let seeds = files.iter().map(|(path, text)| SeedFile {
            path: (*path).to_owned(),
            content: fill(text).into_bytes(),
        });
        seeds.collect()
    }
}

/// The day of a time in UTC, as `2026-11-26`: Gregorian, from the days since 1970.
fn date(at: Time) -> String {
    let days = at.as_ms() / 86_400_000 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_the_calendar_has_it() {
        let check =
            |days: u64, expected| assert_eq!(date(Time::from_ms(days * 86_400_000)), expected);
        check(0, "1970-01-01");
        check(31 + 28, "1970-03-01");
        check(11_016, "2000-02-29");
        check(20_783, "2026-11-26");
    }

    #[test]
    fn a_template_says_its_name_and_its_day_and_leaves_no_blank() {
        let name: WorkspaceName = "research".parse().expect("a name");
        for template in [Template::Knowledge, Template::Plain] {
            for SeedFile { path, content } in template.files(&name, Time::from_ms(0)) {
                let text = String::from_utf8(content).expect("text");
                assert!(!text.contains(['{', '}']), "{path}: {text}");
                // index.md and log.md carry no frontmatter, entities do.
                assert_eq!(text.starts_with("---\ntype: "), path.starts_with("kg/"), "{path}");
            }
        }
    }
}
