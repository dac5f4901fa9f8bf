//! The indexes of all workspaces that somebody asked about lately. Each is brought up to the newest commit before it
//! answers; those nobody asked about for longest make room.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::workspaces::{Workspaces, WorkspacesError};
use jiff::civil::Date;
use model::WorkspaceId;
use parking_lot::Mutex;

use crate::index::{Index, IndexError};
use crate::text::Hits;
use crate::views::{Graph, Links, Report};

/// Indexes kept at once.
const INDEXES_MAX: usize = 64;
/// Bytes of text that all indexes together hold; the one that is being asked is never put away.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// A view of a workspace could not be given.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// The workspace could not be read.
    #[error(transparent)]
    Workspace(#[from] WorkspacesError),
    /// The index failed, or the question took too long.
    #[error("the index of {workspace} failed")]
    Index {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Why.
        #[source]
        source: IndexError,
    },
}

/// Answers questions about what workspaces know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Knowledge {
    workspaces: Workspaces,
    shelf: Arc<Mutex<Shelf>>,
}

impl Knowledge {
    /// Views of these workspaces. Nothing is read before somebody asks.
    pub fn new(workspaces: Workspaces) -> Self {
        Self { workspaces, shelf: Arc::default() }
    }

    /// Pages that have what was typed, best first; at most `limit`, and never more than
    /// [`HITS_MAX`](crate::limit::HITS_MAX).
    pub async fn search(
        &self,
        workspace: WorkspaceId,
        typed: String,
        limit: usize,
    ) -> Result<Hits, KnowledgeError> {
        self.ask(workspace, "search a workspace", move |index| index.search(&typed, limit)).await
    }

    /// What a page links to and what links to it; none if there is no such file.
    pub async fn links(
        &self,
        workspace: WorkspaceId,
        path: String,
    ) -> Result<Option<Links>, KnowledgeError> {
        self.ask(workspace, "find links", move |index| Ok(index.links(&path))).await
    }

    /// Pages and the links between them. `today` decides what is stale.
    pub async fn graph(
        &self,
        workspace: WorkspaceId,
        today: Date,
    ) -> Result<Graph, KnowledgeError> {
        self.ask(workspace, "draw a graph", move |index| Ok(index.graph(today))).await
    }

    /// What is wrong with the pages. `today` decides what is stale.
    pub async fn check(
        &self,
        workspace: WorkspaceId,
        today: Date,
    ) -> Result<Report, KnowledgeError> {
        self.ask(workspace, "check a workspace", move |index| Ok(index.check(today))).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        workspace: WorkspaceId,
        name: &'static str,
        question: impl FnOnce(&mut Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, KnowledgeError> {
        let shelf = Arc::clone(&self.shelf);
        let asked = self.workspaces.with(workspace, name, move |repository| {
            let index = shelf.lock().take(workspace);
            let mut index = index.lock();
            let answer = match index.bring_up_to_date(repository) {
                Ok(()) => question(&mut index),
                Err(error) => Err(error),
            };
            match answer {
                // What a repository fails with is told as such.
                Err(IndexError::Repository(error)) => Err(error),
                Err(error) => Ok(Err(error)),
                Ok(answer) => {
                    shelf.lock().weigh(workspace, index.text_bytes());
                    Ok(Ok(answer))
                }
            }
        });
        asked.await?.map_err(|source| KnowledgeError::Index { workspace, source })
    }
}

#[derive(Debug, Default)]
struct Shelf {
    books: BTreeMap<WorkspaceId, Book>,
    /// Counts questions.
    clock: u64,
}

#[derive(Debug)]
struct Book {
    index: Arc<Mutex<Index>>,
    text_bytes: usize,
    asked: u64,
}

impl Shelf {
    fn take(&mut self, workspace: WorkspaceId) -> Arc<Mutex<Index>> {
        self.clock += 1;
        let fresh = || Book { index: Arc::default(), text_bytes: 0, asked: 0 };
        let book = self.books.entry(workspace).or_insert_with(fresh);
        book.asked = self.clock;
        Arc::clone(&book.index)
    }

    fn weigh(&mut self, workspace: WorkspaceId, text_bytes: usize) {
        if let Some(book) = self.books.get_mut(&workspace) {
            book.text_bytes = text_bytes;
        }
        while self.books.len() > INDEXES_MAX || self.text_bytes() > TEXT_BYTES_MAX {
            let others = self.books.iter().filter(|(id, _)| **id != workspace);
            let Some(oldest) = others.min_by_key(|(_, book)| book.asked).map(|(id, _)| *id) else {
                return;
            };
            self.books.remove(&oldest);
        }
    }

    fn text_bytes(&self) -> usize {
        self.books.values().map(|book| book.text_bytes).sum()
    }
}
