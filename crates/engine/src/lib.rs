//! The verbs of Remit: dispatcher, supervisor, streams, workspaces, proposals.
//!
//! No vendor, no HTTP, no SQL. A dispatch is written before it runs and changes only by
//! [`model::State::after`]. What is outside is reached through the ports of [`port`].

pub mod dispatcher;
pub mod endpoint;
pub mod git_program;
pub mod json_rpc;
pub mod kill_point;
pub mod line;
pub mod port;
pub mod proposal;
pub mod recovery;
pub mod remote;
pub mod runner;
pub mod streams;
mod supervisor;
pub mod task;
pub mod workspaces;

pub mod conformance;

#[cfg(test)]
mod seeded;
