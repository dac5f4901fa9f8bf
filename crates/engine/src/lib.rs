//! The verbs of Remit: dispatcher, supervisor, streams, workspaces.
//!
//! No vendor, no HTTP, no SQL. A dispatch is written before it runs and changes only by
//! [`model::State::after`]. What is outside is reached through the ports of [`port`].

pub mod line;
pub mod port;
pub mod runner;
pub mod streams;
pub mod task;

pub mod conformance;
