//! Questions over real repositories: what is kept up step by step is what would be built anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use workspace::{
    Attribution, Change, CommitId, Limits, Outcome, Repository, Root, Signature, StatCache, View,
};

use crate::index::Index;
use crate::limit::{FINDINGS_MAX, LINKS_MAX, PAGE_BYTES_MAX};
use crate::page;
use crate::views::Finding;

const TODAY: jiff::civil::Date = jiff::civil::date(2026, 7, 1);

/// A repository and the folder whose states are committed to it.
struct Ground {
    directory: TempDir,
    repository: Repository,
    cache: StatCache,
}

impl Ground {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let repository =
            Repository::init(&directory.path().join("r.git"), &[], &by()).expect("new");
        fs::create_dir(directory.path().join("folder")).expect("a folder");
        Self { directory, repository, cache: StatCache::default() }
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let mut ground = Self::new();
        ground.commit_files(files);
        ground
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join("folder")
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
        fs::write(path, content).expect("written");
    }

    fn commit_files(&mut self, files: &[(&str, &str)]) {
        for (path, content) in files {
            self.write(path, content.as_bytes());
        }
        self.commit();
    }

    fn commit(&mut self) {
        let head = self.head();
        let view = View::Plain(Root::open(&self.folder()).expect("a folder"));
        let limits = Limits::WORKSPACE;
        let delta = self.repository.delta(head, &view, &limits, &mut self.cache).expect("a delta");
        let change = Change { delta, checkout: head, seen: None, by: &by(), hold_as: "x" };
        let outcome = self.repository.commit(change).expect("commits");
        assert!(!matches!(outcome, Outcome::Held(_)));
    }

    fn head(&self) -> CommitId {
        self.repository.head().expect("readable").expect("a commit")
    }

    fn index(&self) -> Index {
        let mut index = Index::default();
        index.bring_up_to_date(&self.repository).expect("builds");
        index
    }
}

fn by() -> Attribution {
    let who =
        || Signature { name: "Ada".into(), email: "ada@x.org".into(), seconds: 1_790_000_000 };
    Attribution { author: who(), committer: who(), message: "Work".into(), trailers: vec![] }
}

fn found(index: &mut Index, typed: &str) -> Vec<String> {
    let hits = index.search(typed, 10).expect("searches").hits;
    hits.into_iter().map(|hit| hit.path).collect()
}

fn findings(index: &Index) -> Vec<(String, u32, &'static str)> {
    let findings = index.check(TODAY).findings.into_iter();
    findings.map(|Finding { path, line, rule, .. }| (path, line, rule)).collect()
}

#[test]
fn a_page_is_found_by_what_it_says_and_first_by_what_it_is_called() {
    let ground = Ground::of(&[
        ("one.md", "# Budget\nMoney for 2027.\n"),
        (
            "two.md",
            "---\ntype: note\naliases: [Finances]\n---\nThe *budget* meeting was cancelled.\n",
        ),
        ("three.txt", "Überweisung of the budget, naïve\u{1}\n"),
        ("four.bin", "budget \0"),
    ]);
    let mut index = ground.index();
    assert_eq!(found(&mut index, "budget"), ["one.md", "three.txt", "two.md"]);
    assert_eq!(found(&mut index, "uberweisung naive"), ["three.txt"]);
    assert_eq!(found(&mut index, "finances"), ["two.md"]);
    assert_eq!(
        found(&mut index, "budg"),
        ["one.md", "three.txt", "two.md"],
        "the last word may go on"
    );
    assert_eq!(found(&mut index, "\"meeting was\" -money"), ["two.md"]);
    assert_eq!(found(&mut index, "four.bin"), ["four.bin"]);
    let hits = index.search("meeting", 10).expect("searches");
    let said: Vec<_> =
        hits.hits[0].pieces.iter().map(|it| (it.text.as_str(), it.matches)).collect();
    assert_eq!(said, [("\nThe budget ", false), ("meeting", true), (" was cancelled.\n", false)]);
    assert_eq!(index.at(), Some(ground.head()));
}

#[test]
fn a_link_leads_where_a_reader_would_expect() {
    let mut ground = Ground::of(&[
        ("people/alice.md", "---\ntype: contact\nid: alice-z\naliases: [Ali]\n---\n# Work\n"),
        ("other/alice.md", "near [[alice]]\n"),
        (
            "index.md",
            "[[alice]] [[Ali]] [[alice-z]] [[other/alice|x]] [p](people/alice.md#work) [d](people/) [[pic.png]] [[nobody]] [w](https://x.org)\n",
        ),
        ("pic.png", "\0"),
    ]);
    let index = ground.index();
    let links = index.links("index.md").expect("is there");
    let to: Vec<_> = links.links.iter().map(|link| link.path.as_deref()).collect();
    let alice = Some("people/alice.md");
    let other = Some("other/alice.md");
    // Of two equally good ones the first; a name before an alias.
    assert_eq!(to, [other, alice, alice, other, alice, None, Some("pic.png"), None]);
    let backlinks = index.links("people/alice.md").expect("is there").backlinks;
    assert_eq!(backlinks.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["index.md"]);
    assert!(index.links("nobody.md").is_none());

    ground.commit_files(&[("nobody.md", "[[index]]")]);
    let mut index = index;
    index.bring_up_to_date(&ground.repository).expect("steps");
    let backlinks = index.links("nobody.md").expect("is there").backlinks;
    assert_eq!(backlinks.len(), 1, "a link that led nowhere leads somewhere now");
    let graph = index.graph(TODAY);
    let edges: Vec<_> =
        graph.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())).collect();
    assert_eq!(
        edges,
        [
            ("index.md", "nobody.md"),
            ("index.md", "other/alice.md"),
            ("index.md", "people/alice.md"),
            ("nobody.md", "index.md")
        ]
    );
}

#[test]
fn the_check_says_what_is_wrong_where() {
    let entity = "---\ntype: contact\nid: jo\ntitle: Jo\nstale_after: 2026-06-30\nverified: { by: human:al, at: 2026-05-01 }\n---\n[[gone]] [up](../../../../x.md)\n[[jo#No]]\n";
    let ground = Ground::of(&[
        ("kg/entities/contact/jo.md", entity),
        ("kg/entities/contact/double.md", "---\ntype: contact\nid: jo\ntitle: Jo\n---\n"),
        ("kg/bare.md", "no frontmatter\n"),
        ("kg/log.md", "# Log\n## 2026-05-22\n* x\n## Yesterday\n"),
        ("kg/index.md", "---\ntype: x\n---\n"),
        ("vault/note.md", "no bundle, no rules\n"),
        ("vault/bad.md", "---\na: &x 1\n---\n"),
    ]);
    let index = ground.index();
    let jo = |line, rule| ("kg/entities/contact/jo.md".to_owned(), line, rule);
    let at = |path: &str, line, rule| (path.to_owned(), line, rule);
    let expected = [
        at("kg/bare.md", 1, "frontmatter-missing"),
        at("kg/entities/contact/double.md", 1, "duplicate-id"),
        jo(1, "duplicate-id"),
        jo(5, "stale"),
        jo(8, "dangling-link"),
        jo(8, "outside-link"),
        jo(9, "dangling-heading"),
        at("kg/index.md", 1, "reserved-frontmatter"),
        at("kg/log.md", 4, "log-date"),
        at("vault/bad.md", 2, "frontmatter-unreadable"),
    ];
    assert_eq!(findings(&index), expected);
    let totals = index.check(TODAY).totals;
    assert_eq!((totals.pages, totals.human_reviewed, totals.stale), (7, 1, 1));
    let mut ground = ground;
    ground.commit_files(&[("index.md", "---\nokf_version: '0.2'\n---\n")]);
    let whole = findings(&ground.index());
    assert!(whole.contains(&at("vault/note.md", 1, "frontmatter-missing")), "{whole:?}");
}

#[test]
fn a_history_that_was_replaced_is_followed_too() {
    let mut ground = Ground::of(&[("a.md", "alpha")]);
    let mut index = ground.index();
    fs::remove_file(ground.folder().join("a.md")).expect("removed");
    ground.commit_files(&[("b.md", "beta")]);
    index.bring_up_to_date(&ground.repository).expect("steps");
    assert_eq!(
        (found(&mut index, "alpha"), found(&mut index, "beta")),
        (vec![], vec!["b.md".to_owned()])
    );
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize),
    Remove(usize),
    Commit,
}

const PATHS: [&str; 9] = [
    "a.md",
    "b.md",
    "dir/a.md",
    "dir/index.md",
    "kg/entities/x/jo.md",
    "kg/log.md",
    "index.md",
    "pic.png",
    "notes.txt",
];
const CONTENTS: [&str; 8] = [
    "# A\nalpha [[b]] [[jo]] [x](dir/)\n",
    "beta [[a|other]] [up](../a.md#a) [[dir/a]] [[pic.png]]\n",
    "---\ntype: contact\nid: jo\ntitle: Jo\naliases: [B, Zed]\n---\ngamma [[zed]]\n",
    "---\ntype: contact\nid: jo\nverified: {by: human:x}\nsources: [{resource: /a.md}]\n---\n## 2026-01-01\n",
    "---\nokf_version: '0.2'\n---\n[[a]]\n",
    "---\n[broken\n---\nalpha\n",
    "\0\u{1}",
    "",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..PATHS.len(), 0..CONTENTS.len()).prop_map(|(path, content)| Step::Write(path, content)),
        2 => (0..PATHS.len()).prop_map(Step::Remove),
        3 => Just(Step::Commit),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Everything that can be asked.
fn everything(index: &mut Index) -> impl PartialEq + std::fmt::Debug + use<> {
    let links: Vec<_> = PATHS.iter().map(|path| index.links(path)).collect();
    let mut hits = vec![];
    for typed in ["alpha", "be", "\"jo\" -zed", "gamma alpha", "a"] {
        let mut found = index.search(typed, 20).expect("searches").hits;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        hits.push(found);
    }
    (links, hits, index.graph(TODAY), index.check(TODAY))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_up_is_what_would_be_built_anew(steps in steps()) {
        let mut ground = Ground::new();
        let mut index = ground.index();
        for step in steps {
            match step {
                Step::Write(path, content) => ground.write(PATHS[path], CONTENTS[content].as_bytes()),
                Step::Remove(path) => {
                    fs::remove_file(ground.folder().join(PATHS[path])).ok();
                }
                Step::Commit => {
                    ground.commit();
                    index.bring_up_to_date(&ground.repository).expect("steps");
                }
            }
        }
        ground.commit();
        index.bring_up_to_date(&ground.repository).expect("steps");
        let mut anew = ground.index();
        prop_assert_eq!(everything(&mut index), everything(&mut anew));
        let contents = |index: &Index| index.catalog().map(crate::catalog::Catalog::contents);
        prop_assert_eq!(contents(&index), contents(&anew));
    }
}

proptest! {
    #[test]
    fn whatever_is_typed_is_a_question(typed in "[ -~]{0,40}|(\"|\\*|-|AND|OR|NOT|NEAR|\\(|\\)|:|a|ä| |\\^|\\+|\0){0,30}") {
        let mut text = crate::text::Text::new().expect("an index");
        let hits = text.search(&typed, 5);
        prop_assert!(hits.is_ok(), "{:?}", hits);
    }

    #[test]
    fn whatever_is_written_is_read(page in "(---\n|\\[\\[|\\]\\]|\\[|\\]|\\(|\\)|#|a: |- |\\*x|&x|!|\\||\n|\r|\t|`|~|>|<|\u{feff}|é|%zz|\\.\\./|\0){0,60}") {
        let read = page::read("a/b.md", page.as_bytes());
        prop_assert!(read.page.links.len() <= LINKS_MAX);
    }
}

/// Pages that are hard to read for some readers: none may take long. What counts is the time of this thread, and
/// there is plenty of it for a machine that is shared.
#[test]
fn a_hostile_page_takes_no_long_time() {
    for piece in [
        "[[",
        "[",
        "![",
        "](",
        "*a_",
        "`",
        "> ",
        "- ",
        "<a ",
        "&",
        "[[a]] ",
        "# a\n",
        "[a]: b\n",
        "[^a]: b\n",
        "|a|\n|-|\n",
        "\t",
    ] {
        let page = piece.repeat(PAGE_BYTES_MAX / piece.len());
        let before = busy();
        let read = page::read("a.md", page.as_bytes());
        let took = busy().saturating_sub(before);
        assert!(took < Duration::from_secs(20), "{piece:?} took {took:?}");
        assert!(read.page.links.len() <= LINKS_MAX);
    }
    let frontmatter = format!("---\na: {}\n---\n", "[".repeat(10_000));
    page::read("a.md", frontmatter.as_bytes());
}

#[test]
fn findings_are_bounded_and_the_answer_says_so() {
    let link = "[[nowhere]]\n".repeat(LINKS_MAX + 10);
    let ground = Ground::of(&[("a.md", link.as_str())]);
    let report = ground.index().check(TODAY);
    assert_eq!((report.findings.len(), report.partial), (FINDINGS_MAX, true));
}

/// For how long this thread has run.
fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("readable");
    let nanos = stat.split(' ').next().expect("the time on processors");
    Duration::from_nanos(nanos.parse().expect("a number"))
}
