//! What every adapter of a port must keep, checked through the port alone.
//!
//! An adapter's test calls one function here with what makes a fresh adapter. A broken promise is a
//! panic that names it.

pub mod backend;
pub mod directory;
pub mod ledger;
pub mod membership;
pub mod proposals;
pub mod recordings;
pub mod usage;

pub mod fixture;
