//! Every file of a workspace by its path, and by every name that a link could use. What changes with one file costs
//! in proportion to that file.

use std::collections::{BTreeMap, BTreeSet};

use crate::link::{Link, Target, directory, fold, is_markdown, name_of, without_extension};
use crate::okf::BUNDLE;
use crate::page::Page;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// None if it is no page, or too large to be read.
    pub(crate) page: Option<Box<Page>>,
    /// Its number in the full-text index.
    pub(crate) row: i64,
    /// Bytes of it that are searched.
    pub(crate) text_bytes: usize,
    /// Whether all of it is searched, or none of it is text.
    pub(crate) whole: bool,
}

/// All files.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    files: BTreeMap<String, File>,
    /// By name, alias, id, and as the index of a directory: folded.
    names: BTreeMap<String, BTreeSet<String>>,
    /// The pages that have a link which could mean a name.
    mentions: BTreeMap<String, BTreeSet<String>>,
    /// The pages that claim an id.
    ids: BTreeMap<String, BTreeSet<String>>,
    pub(crate) text_bytes: usize,
    parted: usize,
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    File(String),
    /// A directory without an index.
    Directory,
    Nothing,
}

impl Catalog {
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Every page, in the order of paths.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (&str, &Page)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file.page.as_deref()?)))
    }

    /// Ids that more than one page claims.
    pub(crate) fn shared_ids(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.ids.iter().filter(|(_, pages)| pages.len() > 1).map(|(id, pages)| (id.as_str(), pages))
    }

    /// Whether some files are not searched as a whole.
    pub(crate) fn is_parted(&self) -> bool {
        self.parted > 0
    }

    pub(crate) fn insert(&mut self, path: String, file: File) {
        self.remove(&path);
        for (map, keys) in self.keys(&path, &file) {
            for key in keys {
                map.entry(key).or_default().insert(path.clone());
            }
        }
        self.text_bytes += file.text_bytes;
        self.parted += usize::from(!file.whole);
        self.files.insert(path, file);
    }

    pub(crate) fn remove(&mut self, path: &str) -> Option<File> {
        let file = self.files.remove(path)?;
        for (map, keys) in self.keys(path, &file) {
            for key in keys {
                if let Some(paths) = map.get_mut(&key) {
                    paths.remove(path);
                    if paths.is_empty() {
                        map.remove(&key);
                    }
                }
            }
        }
        self.text_bytes -= file.text_bytes;
        self.parted -= usize::from(!file.whole);
        Some(file)
    }

    /// Where a file stands in each of the maps.
    fn keys(&mut self, path: &str, file: &File) -> [(&mut Keys, Vec<String>); 3] {
        let page = file.page.as_deref();
        let mentioned: BTreeSet<_> =
            page.iter().flat_map(|page| &page.links).flat_map(|link| link.target.keys()).collect();
        let id = page.and_then(|page| page.about.id.clone());
        [
            (&mut self.names, names(path, page)),
            (&mut self.mentions, mentioned.into_iter().collect()),
            (&mut self.ids, id.into_iter().collect()),
        ]
    }

    /// What a link of the page `from` leads to.
    pub(crate) fn resolve(&self, from: &str, link: &Link) -> Found {
        match &link.target {
            Target::Here => Found::File(from.to_owned()),
            Target::Outside => Found::Nothing,
            Target::Name(name) => self.named(from, name).map_or(Found::Nothing, Found::File),
            Target::Path(path) => self.at(path),
            Target::FromTop(path) => match self.at(path) {
                Found::Nothing => self.at(&format!("{BUNDLE}{path}")),
                found => found,
            },
        }
    }

    fn at(&self, path: &str) -> Found {
        let bare = path.trim_end_matches('/');
        if bare.len() == path.len() {
            let page = format!("{path}.md");
            if let Some((found, _)) =
                self.files.get_key_value(path).or_else(|| self.files.get_key_value(&page))
            {
                return Found::File(found.clone());
            }
        }
        let below = if bare.is_empty() { String::new() } else { format!("{bare}/") };
        let index = format!("{below}index.md");
        if self.files.contains_key(&index) {
            return Found::File(index);
        }
        let first = self.files.range(below.clone()..).next();
        let is_directory = first.is_some_and(|(path, _)| path.starts_with(&below));
        if is_directory { Found::Directory } else { Found::Nothing }
    }

    /// The page that a name means: the one at that very path, else by its file's name before any that only claims
    /// the name, in the directory of the asking page before others, the one nearest to the top before deeper ones.
    fn named(&self, from: &str, name: &str) -> Option<String> {
        let by_name = self.names.get(name_of(name)).into_iter().flatten();
        let by_claim = self.names.get(name).into_iter().flatten();
        let end = format!("/{name}");
        let fits = |path: &&String| {
            let whole = fold(without_extension(path));
            let ends = whole == name || whole.ends_with(&end);
            ends || fold(path) == name || fold(path).ends_with(&end)
        };
        let rank = |path: &&String| {
            let whole = fold(without_extension(path));
            let elsewhere = directory(path) != directory(from);
            (!fits(path), whole != name, elsewhere, path.matches('/').count(), (*path).clone())
        };
        let candidates = by_name.filter(fits).chain(by_claim);
        candidates.min_by_key(rank).cloned()
    }

    /// The pages that link to a file.
    pub(crate) fn mentioning(&self, path: &str) -> BTreeSet<&str> {
        let Some(file) = self.files.get(path) else { return BTreeSet::new() };
        let keys = names(path, file.page.as_deref());
        let pages: BTreeSet<&String> =
            keys.iter().filter_map(|key| self.mentions.get(key)).flatten().collect();
        let links_here = |from: &&String| {
            let page = self.files.get(*from).and_then(|file| file.page.as_deref());
            page.is_some_and(|page| {
                page.links.iter().any(|link| {
                    *from != path && self.resolve(from, link) == Found::File(path.to_owned())
                })
            })
        };
        pages.into_iter().filter(links_here).map(String::as_str).collect()
    }

    /// What each of the maps holds, for tests to compare.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, file)| (path.clone(), file.page.clone(), file.text_bytes, file.whole))
            .collect();
        let maps = [&self.names, &self.mentions, &self.ids].map(Clone::clone);
        (files, maps, self.text_bytes, self.parted)
    }
}

type Keys = BTreeMap<String, BTreeSet<String>>;

/// Every name by which a file may be meant.
fn names(path: &str, page: Option<&Page>) -> Vec<String> {
    let file = name_of(path);
    let mut names = BTreeSet::from([fold(file), fold(without_extension(file))]);
    if is_markdown(path) && fold(without_extension(file)) == "index" {
        names.insert(format!("{}/", fold(name_of(directory(path)))));
    }
    if let Some(page) = page {
        let claimed = page.about.aliases.iter().chain(&page.about.id);
        names.extend(claimed.map(|name| fold(without_extension(name))));
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}
