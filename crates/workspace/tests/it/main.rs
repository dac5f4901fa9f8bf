//! The committer against the real kernel and the real git, which judges from outside what was written.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod agents;
mod approvals;
mod checkouts;
mod commits;
mod crashes;
mod disks;
mod house;
mod ignores;
mod merges;
mod overlays;
mod patches;
mod races;
mod receives;
mod sealed;
mod sessions;
mod traps;
