//! What can be asked about links and rules: links and backlinks of a page, the graph, the check.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::{Catalog, Found};
use crate::index::Index;
use crate::limit::{BACKLINKS_MAX, EDGES_MAX, FINDINGS_MAX, NODES_MAX};
use crate::link::{Link, Target};
use crate::okf::{BUNDLE, Holds, Severity, is_bundle_index, is_reserved};
use crate::page::{Page, Tier, day};

/// The links of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Links {
    /// Where it links to, in the order of the page.
    pub links: Vec<Outgoing>,
    /// What links to it, in the order of paths.
    pub backlinks: Vec<Backlink>,
}

/// A link of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Link")]
pub struct Outgoing {
    /// As it is written.
    pub target: String,
    /// The file that it leads to, if there is one.
    pub path: Option<String>,
}

/// A page that links somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Backlink {
    /// Where it stands.
    pub path: String,
    /// What it is called.
    pub title: String,
}

/// Pages and the links between them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Graph {
    /// The pages, in the order of paths.
    pub nodes: Vec<Node>,
    /// The links, each once.
    pub edges: Vec<Edge>,
    /// Whether there are more pages or links than these.
    pub partial: bool,
}

/// A page of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Node {
    /// Where it stands.
    pub path: String,
    /// What it is called.
    pub title: String,
    /// Its type, where it says so.
    pub kind: Option<String>,
    /// How far it may be trusted.
    #[serde(rename = "trust")]
    pub tier: Tier,
    /// Whether its day has come.
    pub stale: bool,
}

/// A link of a graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Edge {
    /// The page that links.
    pub from: String,
    /// The page that it leads to.
    pub to: String,
}

/// What is wrong with the pages of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[schemars(rename = "KnowledgeReport")]
pub struct Report {
    /// In the order of paths and lines.
    pub findings: Vec<Finding>,
    /// Whether there are more.
    pub partial: bool,
    /// Figures of all pages.
    pub totals: Totals,
}

/// Figures of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[schemars(rename = "KnowledgeTotals")]
pub struct Totals {
    /// Pages.
    pub pages: usize,
    /// Pages that a person verified.
    pub human_reviewed: usize,
    /// Pages that only programs verified.
    pub machine_confirmed: usize,
    /// Pages whose day has come.
    pub stale: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Finding {
    /// In which page.
    pub path: String,
    /// In which line, counted from 1.
    pub line: u32,
    /// By which rule.
    pub rule: &'static str,
    /// What, for people.
    pub message: String,
    /// How much it matters.
    pub severity: Severity,
}

impl Index {
    /// What a file links to and what links to it; none if there is no such file.
    pub(crate) fn links(&self, path: &str) -> Option<Links> {
        let catalog = self.catalog()?;
        let file = catalog.file(path)?;
        let own = file.page.iter().flat_map(|page| &page.links);
        let links = own.map(|link| Outgoing {
            target: link.written.clone(),
            path: file_of(catalog.resolve(path, link)),
        });
        let backlinks = catalog.mentioning(path).into_iter().take(BACKLINKS_MAX);
        let title = |path: &str| {
            let page = catalog.file(path).and_then(|file| file.page.as_deref());
            page.map(|page| page.title.clone()).unwrap_or_default()
        };
        let backlinks =
            backlinks.map(|path| Backlink { path: path.to_owned(), title: title(path) });
        Some(Links { links: links.collect(), backlinks: backlinks.collect() })
    }

    /// The pages with the most links and the links between them.
    pub(crate) fn graph(&self, today: Date) -> Graph {
        let Some(catalog) = self.catalog() else { return Graph::default() };
        let mut edges = BTreeSet::new();
        let mut degree: BTreeMap<&str, usize> =
            catalog.pages().map(|(path, _)| (path, 0)).collect();
        for (from, page) in catalog.pages() {
            for link in &page.links {
                let Some(to) = file_of(catalog.resolve(from, link)) else { continue };
                if to != from && degree.contains_key(to.as_str()) {
                    edges.insert(Edge { from: from.to_owned(), to });
                }
            }
        }
        for edge in &edges {
            for end in [&edge.from, &edge.to] {
                degree.entry(end).and_modify(|count| *count += 1);
            }
        }
        let mut shown: Vec<_> = degree.into_iter().collect();
        shown.sort_by_key(|&(path, count)| (std::cmp::Reverse(count), path));
        let all = shown.len();
        shown.truncate(NODES_MAX);
        let shown: BTreeSet<&str> = shown.into_iter().map(|(path, _)| path).collect();
        let pages = catalog.pages().filter(|(path, _)| shown.contains(path));
        let nodes = pages.map(|(path, page)| node(path, page, today)).collect();
        let known = edges.len();
        let both =
            |edge: &Edge| shown.contains(edge.from.as_str()) && shown.contains(edge.to.as_str());
        let edges: Vec<_> =
            edges.iter().filter(|edge| both(edge)).take(EDGES_MAX).cloned().collect();
        let partial = all > shown.len() || known > edges.len();
        Graph { nodes, edges, partial }
    }

    /// Every rule, over every page.
    pub(crate) fn check(&self, today: Date) -> Report {
        let Some(catalog) = self.catalog() else { return Report::default() };
        let mut check = Check { catalog, today, bundle: bundle(catalog), findings: vec![] };
        let mut totals = Totals::default();
        for (path, page) in catalog.pages() {
            check.page(path, page);
            totals.pages += 1;
            totals.human_reviewed += usize::from(page.about.tier == Tier::HumanReviewed);
            totals.machine_confirmed += usize::from(page.about.tier == Tier::MachineConfirmed);
            totals.stale += usize::from(is_stale(page, today));
        }
        check.shared_ids();
        let mut findings = check.findings;
        findings.sort();
        let partial = findings.len() > FINDINGS_MAX;
        findings.truncate(FINDINGS_MAX);
        Report { findings, partial, totals }
    }
}

fn file_of(found: Found) -> Option<String> {
    match found {
        Found::File(path) => Some(path),
        Found::Directory | Found::Nothing => None,
    }
}

fn node(path: &str, page: &Page, today: Date) -> Node {
    Node {
        path: path.to_owned(),
        title: page.title.clone(),
        kind: page.about.kind.clone(),
        tier: page.about.tier,
        stale: is_stale(page, today),
    }
}

fn is_stale(page: &Page, today: Date) -> bool {
    page.about.stale_after.is_some_and(|(day, _)| today >= day)
}

/// Where the bundle begins: at the top if the first page there says so, else in its own folder.
fn bundle(catalog: &Catalog) -> &'static str {
    let top = catalog.file("index.md").and_then(|file| file.page.as_deref());
    if top.is_some_and(|page| page.about.version.is_some()) { "" } else { BUNDLE }
}

struct Check<'a> {
    catalog: &'a Catalog,
    today: Date,
    bundle: &'static str,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn add(&mut self, path: &str, line: u32, rule: &'static str, what: (Severity, String)) {
        // Enough to tell that there are more.
        if self.findings.len() <= 10 * FINDINGS_MAX {
            let (severity, message) = what;
            self.findings.push(Finding { path: path.to_owned(), line, rule, message, severity });
        }
    }

    fn page(&mut self, path: &str, page: &Page) {
        let in_bundle = path.starts_with(self.bundle);
        let mut said = BTreeSet::new();
        // The strict form of a rule stands instead of the mild one of the same line.
        let problems = page.about.problems.iter();
        let problems = problems.filter(|it| in_bundle || it.holds == Holds::Everywhere);
        let mut problems: Vec<_> = problems.collect();
        problems.sort_by_key(|problem| problem.severity);
        for problem in problems {
            if said.insert((problem.rule, problem.line, &problem.message)) {
                let what = (problem.severity, problem.message.clone());
                self.add(path, problem.line, problem.rule, what);
            }
        }
        if in_bundle && path.ends_with("log.md") && is_reserved(path) {
            self.log(path, page);
        }
        if let Some((day, line)) = page.about.stale_after.filter(|(day, _)| self.today >= *day) {
            self.add(path, line, "stale", (Severity::Warning, format!("stale since {day}")));
        }
        if in_bundle && is_bundle_index(path) {
            self.version(path, page);
        }
        for link in &page.links {
            self.link(path, link);
        }
    }

    /// The entries of a log stand under dates.
    fn log(&mut self, path: &str, page: &Page) {
        for (heading, line) in &page.dated {
            if heading.len() != 10 || day(heading).is_none() {
                let message = "a heading of the log is not a date as 2026-05-22".to_owned();
                self.add(path, *line, "log-date", (Severity::Error, message));
            }
        }
    }

    fn version(&mut self, path: &str, page: &Page) {
        if page.about.version.as_ref().is_some_and(|version| version != "0.2" && version != "0.1") {
            let message =
                "the bundle is of a version that is not known here; it is read as 0.2".to_owned();
            self.add(path, 2, "version-unknown", (Severity::Warning, message));
        }
    }

    fn link(&mut self, path: &str, link: &Link) {
        let warning = |message| (Severity::Warning, message);
        if link.target == Target::Outside {
            let message = format!("the link `{}` leads out of the workspace", link.written);
            return self.add(path, link.line, "outside-link", warning(message));
        }
        let Some(to) = (match self.catalog.resolve(path, link) {
            Found::File(to) => Some(to),
            Found::Directory => None,
            Found::Nothing => {
                let message = format!("the link `{}` leads nowhere", link.written);
                return self.add(path, link.line, "dangling-link", warning(message));
            }
        }) else {
            return;
        };
        let page = self.catalog.file(&to).and_then(|file| file.page.as_deref());
        let known = page.is_none_or(|page| page.headings.contains(&link.heading));
        if !link.heading.is_empty() && !known {
            let message = format!("`{to}` has no heading that `{}` could mean", link.written);
            self.add(path, link.line, "dangling-heading", warning(message));
        }
    }

    fn shared_ids(&mut self) {
        let (catalog, bundle) = (self.catalog, self.bundle);
        for (id, pages) in catalog.shared_ids() {
            for path in pages.iter().filter(|path| path.starts_with(bundle)) {
                let other = pages.iter().find(|other| *other != path);
                let other = other.map(String::as_str).unwrap_or_default();
                let message = format!("the id `{id}` is also that of {other}");
                self.add(path, 1, "duplicate-id", (Severity::Error, message));
            }
        }
    }
}
