//! What a page says of itself in its frontmatter, and what is wrong with it by the Open Knowledge Format, version 0.2.
//! Rules that need other pages or the time are not here.

use std::collections::BTreeSet;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::limit::PAGE_FINDINGS_MAX;
use crate::link::{self, Link};
use crate::page::{Matter, Tier, day};
use crate::yaml::{self, Kind, Map, Value, get};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It breaks the format.
    Error,
    /// It is likely not what was meant.
    Warning,
}

impl Severity {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What a page says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct About {
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// Sources that are paths.
    pub(crate) sources: Vec<Link>,
    pub(crate) tier: Tier,
    pub(crate) stale_after: Option<(Date, u32)>,
    /// The version of the format that the page's folder claims to be in.
    pub(crate) version: Option<String>,
    pub(crate) problems: Vec<Problem>,
}

/// What is wrong with a page by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) rule: &'static str,
    pub(crate) line: u32,
    pub(crate) message: String,
    pub(crate) severity: Severity,
    pub(crate) holds: Holds,
}

/// Where a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Everywhere: a page need not have a frontmatter, but one that it has should be right.
    Everywhere,
    /// In a bundle, whose every page is a concept.
    InBundles,
}

/// The folder that is a bundle in every workspace.
pub(crate) const BUNDLE: &str = "kg/";
/// Where the entities of a bundle stand.
const ENTITIES: &str = "kg/entities/";
/// Values of one list that are looked at.
const LIST_MAX: usize = 64;

/// Whether the format keeps this name for listings and histories.
pub(crate) fn is_reserved(path: &str) -> bool {
    matches!(link::name_of(path), "index.md" | "log.md")
}

/// Whether a bundle may begin at this page.
pub(crate) fn is_bundle_index(path: &str) -> bool {
    matches!(path, "index.md" | "kg/index.md")
}

/// Reads a frontmatter and checks it.
pub(crate) fn about(path: &str, matter: &Matter) -> About {
    let mut check = Check { about: About::default() };
    match matter {
        Matter::Absent if is_reserved(path) => {}
        Matter::Absent => check.concept(1, "frontmatter-missing", "the page has no frontmatter"),
        Matter::Unreadable(problem) => check.unreadable(problem),
        Matter::Read(map) if is_reserved(path) => check.reserved(path, map),
        Matter::Read(map) => check.fields(path, map),
    }
    check.about.problems.truncate(PAGE_FINDINGS_MAX);
    check.about
}

struct Check {
    about: About,
}

impl Check {
    fn concept(&mut self, line: u32, rule: &'static str, message: &str) {
        let (severity, holds) = (Severity::Error, Holds::InBundles);
        self.about.problems.push(Problem {
            rule,
            line,
            message: message.to_owned(),
            severity,
            holds,
        });
    }

    fn warn(&mut self, line: u32, rule: &'static str, message: impl Into<String>) {
        let (severity, holds) = (Severity::Warning, Holds::Everywhere);
        self.about.problems.push(Problem {
            rule,
            line: line + 1,
            message: message.into(),
            severity,
            holds,
        });
    }

    fn unreadable(&mut self, problem: &yaml::Unreadable) {
        let message = format!("the frontmatter cannot be read: {}", problem.why);
        self.warn(problem.line, "frontmatter-unreadable", message.clone());
        self.concept(problem.line + 1, "frontmatter-unreadable", &message);
    }

    /// `index.md` and `log.md` carry no frontmatter; only the first page of a bundle may name the format's version.
    fn reserved(&mut self, path: &str, map: &Map) {
        let foreign = map.iter().any(|(key, _)| key != "okf_version");
        if foreign || !is_bundle_index(path) {
            let message = "index.md and log.md carry no frontmatter";
            self.concept(1, "reserved-frontmatter", message);
        }
        if is_bundle_index(path) {
            self.about.version = self.text(map, "okf_version");
        }
    }

    fn fields(&mut self, path: &str, map: &Map) {
        self.about.kind = self.text(map, "type");
        self.about.title = self.text(map, "title");
        self.about.description = self.text(map, "description");
        self.about.id = self.text(map, "id");
        self.text(map, "resource");
        self.about.aliases = self.texts(map, "aliases");
        self.about.tags = self.texts(map, "tags");
        if self.about.kind.is_none() {
            self.concept(1, "type-missing", "`type` is missing or empty");
        }
        if path.starts_with(ENTITIES) {
            for (key, found) in [("id", &self.about.id), ("title", &self.about.title)] {
                if found.is_none() {
                    let rule = if key == "id" { "id-missing" } else { "title-missing" };
                    let (severity, holds) = (Severity::Error, Holds::InBundles);
                    let message = format!("an entity has an `{key}`");
                    self.about.problems.push(Problem { rule, line: 1, message, severity, holds });
                }
            }
        }
        self.trust(map);
        self.sources(path, map);
        self.lifecycle(map);
        if let Some(stamp) = get(map, "timestamp") {
            self.date(stamp, "timestamp");
        }
        let computes = self.about.kind.as_deref() == Some("Attested Computation");
        if computes && self.text(map, "runtime").is_none() {
            self.warn(1, "runtime-missing", "an attested computation names its `runtime`");
        }
    }

    /// A text, bounded. What is there but is no text is a finding.
    fn text(&mut self, map: &Map, key: &str) -> Option<String> {
        let value = get(map, key).filter(|value| !value.is_empty())?;
        if let Some(text) = value.text() {
            return Some(link::cut(text));
        }
        self.warn(value.line, "field-shape", format!("`{}` is not a text", link::cut(key)));
        None
    }

    /// A list of texts; a text alone is a list of one.
    fn texts(&mut self, map: &Map, key: &str) -> Vec<String> {
        let Some(value) = get(map, key).filter(|value| !value.is_empty()) else { return vec![] };
        let list = match &value.kind {
            Kind::List(list) => list.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let texts: BTreeSet<String> =
            list.iter().take(LIST_MAX).filter_map(Value::text).map(link::cut).collect();
        if list.iter().any(|value| value.text().is_none()) || list.len() > LIST_MAX {
            self.warn(
                value.line,
                "field-shape",
                format!("`{key}` is not a list of at most {LIST_MAX} texts"),
            );
        }
        texts.into_iter().collect()
    }

    fn trust(&mut self, map: &Map) {
        if let Some(generated) = get(map, "generated") {
            self.event(generated, "generated");
        }
        let Some(verified) = get(map, "verified").filter(|value| !value.is_empty()) else { return };
        // One verifier may stand without the list.
        let list = match &verified.kind {
            Kind::List(list) => list.as_slice(),
            _ => std::slice::from_ref(verified),
        };
        for value in list.iter().take(LIST_MAX) {
            if let Some(actor) = self.event(value, "verified") {
                let tier = if actor.starts_with("human:") {
                    Tier::HumanReviewed
                } else {
                    Tier::MachineConfirmed
                };
                self.about.tier = self.about.tier.max(tier);
            }
        }
    }

    /// `{by, at}`: who, if it is somebody.
    fn event(&mut self, value: &Value, key: &str) -> Option<String> {
        let Some(map) = value.map() else {
            self.warn(value.line, "field-shape", format!("`{key}` is not `{{ by, at }}`"));
            return None;
        };
        if let Some(at) = get(map, "at") {
            self.date(at, &format!("{key}.at"));
        }
        if get(map, "by").is_none_or(Value::is_empty) {
            self.warn(value.line, "actor-missing", format!("`{key}` does not say `by` whom"));
        }
        self.actor(map, "by", key)
    }

    fn actor(&mut self, map: &Map, key: &str, of: &str) -> Option<String> {
        let value = get(map, key).filter(|value| !value.is_empty())?;
        let Some(actor) = value.text() else {
            self.warn(value.line, "field-shape", format!("`{of}.{key}` is not a text"));
            return None;
        };
        let named =
            |prefix: &str| actor.strip_prefix(prefix).is_some_and(|id| !id.trim().is_empty());
        let agent = || {
            actor
                .split_once('/')
                .is_some_and(|(who, version)| !who.is_empty() && !version.is_empty())
        };
        if !named("human:") && !named("process:") && !named("team:") && !agent() {
            let message = format!(
                "`{of}.{key}` is not `human:<id>`, `process:<id>` or `<producer>/<version>`"
            );
            self.warn(value.line, "actor-form", message);
            return None;
        }
        Some(link::cut(actor))
    }

    fn date(&mut self, value: &Value, key: &str) -> Option<Date> {
        let found = value.text().and_then(day);
        if found.is_none() && !value.is_empty() {
            self.warn(value.line, "date-form", format!("`{key}` is not a date of ISO 8601"));
        }
        found
    }

    fn sources(&mut self, path: &str, map: &Map) {
        let Some(sources) = get(map, "sources").filter(|value| !value.is_empty()) else { return };
        let Kind::List(list) = &sources.kind else {
            return self.warn(sources.line, "field-shape", "`sources` is not a list");
        };
        let mut ids = BTreeSet::new();
        for source in list.iter().take(LIST_MAX) {
            let Some(entry) = source.map() else {
                self.warn(source.line, "field-shape", "an entry of `sources` is not a map");
                continue;
            };
            match self.text(entry, "resource") {
                Some(resource) => {
                    self.about.sources.extend(link::source(&resource, path, source.line + 1));
                }
                None => self.warn(source.line, "source-resource", "a source has a `resource`"),
            }
            if let Some(id) = self.text(entry, "id").filter(|id| !ids.insert(id.clone())) {
                self.warn(source.line, "source-id", format!("two sources have the id `{id}`"));
            }
            self.actor(entry, "author", "sources");
            if let Some(modified) = get(entry, "last_modified") {
                self.date(modified, "sources.last_modified");
            }
        }
    }

    fn lifecycle(&mut self, map: &Map) {
        if let Some(status) = self.text(map, "status")
            && !["draft", "stable", "deprecated"].contains(&status.as_str())
        {
            let line = get(map, "status").map_or(1, |value| value.line);
            self.warn(line, "status-unknown", "`status` is none of draft, stable and deprecated");
        }
        if let Some(value) = get(map, "stale_after") {
            let date = self.date(value, "stale_after");
            self.about.stale_after = date.map(|date| (date, value.line + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, frontmatter: &str) -> About {
        crate::page::read(path, format!("---\n{frontmatter}\n---\n").as_bytes()).page.about
    }

    fn rules(path: &str, frontmatter: &str) -> Vec<(&'static str, u32)> {
        of(path, frontmatter).problems.iter().map(|problem| (problem.rule, problem.line)).collect()
    }

    const ENTITY: &str = "kg/entities/contact/jo.md";

    #[test]
    fn an_entity_says_what_it_is() {
        assert_eq!(rules(ENTITY, "type: contact\nid: jo\ntitle: Jo"), []);
        assert_eq!(
            rules(ENTITY, "created: 2026-01-01"),
            [("type-missing", 1), ("id-missing", 1), ("title-missing", 1)]
        );
        assert_eq!(rules("kg/notes/x.md", "type: note"), []);
        assert_eq!(rules("kg/index.md", "okf_version: '0.2'"), []);
        assert_eq!(rules("kg/log.md", "type: log"), [("reserved-frontmatter", 1)]);
        let twice = [("frontmatter-unreadable", 2), ("frontmatter-unreadable", 2)];
        assert_eq!(rules("a.md", "a: &x 1\nb: *x"), twice);
    }

    #[test]
    fn trust_is_derived_from_who_verified() {
        let tier = |text: &str| of("a.md", &format!("type: x\nverified: {text}")).tier;
        assert_eq!(of("a.md", "type: x").tier, Tier::Unverified);
        assert_eq!(tier("{ by: human:jo, at: 2026-06-25T09:00:00Z }"), Tier::HumanReviewed);
        assert_eq!(tier("[{ by: process:nightly, at: 2026-06-25 }]"), Tier::MachineConfirmed);
        assert_eq!(tier("[{ by: bot/1.0 }, { by: human:jo }]"), Tier::HumanReviewed);
        for forged in
            ["true", "[]", "{ at: 2026-06-25 }", "{ by: human }", "{ by: 'human: ' }", "human:jo"]
        {
            assert_eq!(tier(forged), Tier::Unverified, "{forged}");
        }
    }

    #[test]
    fn each_family_is_checked() {
        let check = |text: &str, expected: &[(&str, u32)]| {
            assert_eq!(rules("a.md", &format!("type: x\n{text}")), expected, "{text}");
        };
        check(
            "sources:\n  - id: s\n    resource: /kg/b.md\n    author: human:jo\n    last_modified: 2026-05-30",
            &[],
        );
        check("sources:\n  - id: s", &[("source-resource", 4)]);
        check("sources: x", &[("field-shape", 3)]);
        check("generated: { at: 2026-05-30 }", &[("actor-missing", 3)]);
        check("verified: { by: somebody, at: then }", &[("date-form", 3), ("actor-form", 3)]);
        check("stale_after: 2026-13-45", &[("date-form", 3)]);
        check("status: maybe", &[("status-unknown", 3)]);
        check("tags: { a: b }", &[("field-shape", 3)]);
        check("title: [a]", &[("field-shape", 3)]);
        assert_eq!(rules("a.md", "type: Attested Computation"), [("runtime-missing", 2)]);
    }
}
