//! What a workspace knows, as views: full-text search, links and backlinks, a graph, and the check against the Open
//! Knowledge Format (OKF, version 0.2).
//!
//! Everything is read from the trusted repository at a commit, never from a work tree, and kept in memory: a cache
//! that names the commit it stands at, is brought up to date by the difference to the newest one when somebody asks,
//! and is lost without harm. Every page is written by somebody who may be hostile: sizes, depths and counts are
//! bounded, nothing is expanded, and a page that cannot be read is a finding, never a failure.
//!
//! Never writes, and never decides who may ask.

mod shelf;

mod catalog;
mod index;
mod views;

mod query;
mod text;

mod okf;
mod page;

mod link;
mod yaml;

pub use index::IndexError;
pub use okf::Severity;
pub use page::Tier;
pub use shelf::{Knowledge, KnowledgeError};
pub use text::{Hit, Hits, Piece};
pub use views::{Backlink, Edge, Finding, Graph, Links, Node, Outgoing, Report, Totals};

/// Bounds of what one workspace may cost.
pub mod limit {
    /// Files of a workspace that are looked at; the rest, in the order of paths, is left out.
    pub const FILES_MAX: usize = 100_000;
    /// Bytes of a page that is read; of a larger one only the name is known.
    pub const PAGE_BYTES_MAX: usize = 512 << 10;
    /// Bytes of one file that are searched: the first.
    pub const FILE_TEXT_BYTES_MAX: usize = 256 << 10;
    /// Bytes of a workspace that are searched; files beyond are found by name and title alone.
    pub const TEXT_BYTES_MAX: usize = 64 << 20;
    /// Links of one page that are followed: the first.
    pub const LINKS_MAX: usize = 2_000;
    /// Headings of one page that are known: the first.
    pub const HEADINGS_MAX: usize = 2_000;
    /// Findings about one page, and about its frontmatter's lists, that are kept: the first.
    pub const PAGE_FINDINGS_MAX: usize = 50;
    /// Findings that one answer has: the first.
    pub const FINDINGS_MAX: usize = 1_000;
    /// Hits that one answer has.
    pub const HITS_MAX: usize = 100;
    /// Pages that a graph has: those with the most links.
    pub const NODES_MAX: usize = 5_000;
    /// Links that a graph has: the first.
    pub const EDGES_MAX: usize = 20_000;
    /// Backlinks that one answer has: the first.
    pub const BACKLINKS_MAX: usize = 1_000;
}

#[cfg(test)]
mod tests;
