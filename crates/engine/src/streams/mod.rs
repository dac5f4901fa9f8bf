//! One stream from its two ends: [`Writer`] appends for one dispatch, [`follow`] reads for anyone.
//!
//! Nothing here keeps a stream: what is not in the ledger did not happen.

mod follow;
mod step;
mod writer;

pub use follow::follow;
pub use step::Step;
pub use writer::{FurtherTurn, Stored, Writer};
