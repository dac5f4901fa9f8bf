//! Who may do what for whom until when. Pure: no IO, no clock, no async.
//!
//! [`authorize()`] is the one function that answers for every route and verb; [`Claims`] are what a
//! dispatch may show of itself, as data. Nothing here signs, stores or fetches.

pub mod authorize;
pub mod claims;
pub mod tools;

pub use authorize::{Action, Decision, MountAsk, Principal, Reason, Scope, authorize};
pub use claims::{Actor, Claims, Issuance};
pub use tools::{Reach, Stands};
