//! What is known of one workspace at one commit, and how it becomes what is known at another: by the files that
//! differ.

use std::panic::AssertUnwindSafe;

use workspace::{Changed, CommitId, FileEntry, FileMode, Repository, TreeId};

use crate::catalog::{Catalog, File};
use crate::limit::{FILE_TEXT_BYTES_MAX, FILES_MAX, HITS_MAX, PAGE_BYTES_MAX, TEXT_BYTES_MAX};
use crate::link::{is_markdown, name_of};
use crate::page::{self, Page};
use crate::text::{self, Hits, Row, Text, Writing};

/// An index did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The repository could not be read.
    #[error(transparent)]
    Repository(#[from] workspace::Error),
    /// The full-text index failed, or a question took too long.
    #[error("the full-text index failed")]
    Text(#[from] rusqlite::Error),
}

/// The index of one workspace; nothing is known before it is brought up to date.
#[derive(Debug, Default)]
pub(crate) struct Index {
    built: Option<Built>,
}

#[derive(Debug)]
struct Built {
    at: CommitId,
    tree: TreeId,
    catalog: Catalog,
    text: Text,
    /// Files that were too many.
    left_out: usize,
}

/// The tree without entries, which stands in no repository.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

impl Index {
    /// Takes in what was committed since the last time. When it fails, the next call begins anew.
    pub(crate) fn bring_up_to_date(&mut self, repository: &Repository) -> Result<(), IndexError> {
        let Some(head) = repository.head()? else {
            self.built = None;
            return Ok(());
        };
        if self.built.as_ref().is_some_and(|built| built.at == head) {
            return Ok(());
        }
        let tree = repository.tree_of(head)?;
        if let Some(built) = self.built.take() {
            match built.step(repository, head, tree) {
                Ok(built) => {
                    self.built = Some(built);
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, "an index is built anew"),
            }
        }
        self.built = Some(Built::nothing(head)?.step(repository, head, tree)?);
        Ok(())
    }

    /// The commit that it stands at.
    #[cfg(test)]
    pub(crate) fn at(&self) -> Option<CommitId> {
        self.built.as_ref().map(|built| built.at)
    }

    pub(crate) fn catalog(&self) -> Option<&Catalog> {
        self.built.as_ref().map(|built| &built.catalog)
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.catalog().map_or(0, |catalog| catalog.text_bytes)
    }

    /// The best hits for what was typed.
    pub(crate) fn search(&mut self, typed: &str, limit: usize) -> Result<Hits, IndexError> {
        let Some(built) = &mut self.built else { return Ok(Hits { hits: vec![], partial: false }) };
        let hits = built.text.search(typed, limit.min(HITS_MAX))?;
        Ok(Hits { hits, partial: built.catalog.is_parted() || built.left_out > 0 })
    }
}

impl Built {
    fn nothing(at: CommitId) -> Result<Self, IndexError> {
        let tree = EMPTY_TREE.parse().expect("40 hexadecimal digits");
        Ok(Self { at, tree, catalog: Catalog::default(), text: Text::new()?, left_out: 0 })
    }

    /// The same workspace at another commit.
    fn step(
        mut self,
        repository: &Repository,
        at: CommitId,
        tree: TreeId,
    ) -> Result<Self, IndexError> {
        let changes = repository.changes(self.tree, tree)?;
        let (catalog, left_out) = (&mut self.catalog, &mut self.left_out);
        self.text.together(|writing| {
            // What goes makes room for what comes.
            for changed in changes.iter().filter(|changed| changed.before.is_some()) {
                match catalog.remove(changed.path.as_str()) {
                    Some(file) => writing.remove(file.row)?,
                    None => *left_out = left_out.saturating_sub(1),
                }
            }
            for Changed { path, after, .. } in &changes {
                let Some(after) = after else { continue };
                if catalog.len() >= FILES_MAX {
                    *left_out += 1;
                    continue;
                }
                let room = TEXT_BYTES_MAX.saturating_sub(catalog.text_bytes);
                let file = read(repository, writing, path.as_str(), (*after, room))?;
                catalog.insert(path.as_str().to_owned(), file);
            }
            Ok::<_, IndexError>(())
        })?;
        (self.at, self.tree) = (at, tree);
        Ok(self)
    }
}

/// Reads a file into the full-text index, of which `room` bytes are free, and tells what is known of it.
fn read(
    repository: &Repository,
    writing: &Writing<'_>,
    path: &str,
    (entry, room): (FileEntry, usize),
) -> Result<File, IndexError> {
    let regular = matches!(entry.mode, FileMode::Plain | FileMode::Executable);
    let bytes =
        if regular { repository.blob_up_to(entry.blob, PAGE_BYTES_MAX)? } else { Some(vec![]) };
    let mut page = None;
    let (mut body, mut whole) = (String::new(), bytes.is_some());
    if let Some(bytes) = bytes {
        if regular && is_markdown(path) {
            if let Some(found) = read_page(path, &bytes) {
                (page, body) = (Some(Box::new(found.page)), found.text);
            }
        } else if let Some(text) = text_of(bytes) {
            body = text;
        }
    }
    let searched = body.len().min(FILE_TEXT_BYTES_MAX);
    let searched = if searched > room { 0 } else { body.floor_char_boundary(searched) };
    whole &= searched == body.len();
    body.truncate(searched);
    let names = page.as_deref().map(names_of).unwrap_or_default();
    let title = page.as_deref().map_or(name_of(path), |page| page.title.as_str());
    let row = writing.add(Row { path, title, names: &names, body: &body })?;
    Ok(File { page, row, text_bytes: searched, whole })
}

/// Reads a page. What makes the reader itself fail is a page of which only the name is known.
fn read_page(path: &str, bytes: &[u8]) -> Option<page::Read> {
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| page::read(path, bytes)));
    read.inspect_err(|_| tracing::error!("a page could not be read: this is a mistake of ours"))
        .ok()
}

fn names_of(page: &Page) -> String {
    let about = &page.about;
    text::names(about.aliases.iter().chain(&about.tags).chain(&about.kind).chain(&about.id))
}

/// The text of a file; none of what is no text.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}
