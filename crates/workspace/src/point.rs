//! Named points in the middle of a commit, so that tests can end the process there. Never does anything in production.

use std::{fmt, sync::Arc};

/// A moment in the course of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// The delta is gathered; nothing is on the disk yet (except a large change's unfinished pack).
    Gathered,
    /// A large pack and its index are synced and named; a small one is whole in memory.
    PackNamed,
    /// The move is durable in the journal; the ref does not show it yet.
    RefWritten,
    /// The ref has moved; its file is not synced.
    RefMoved,
    /// A vault holds all that its repository has; the journal has its records still.
    Sealed,
    /// A merged pack is in place; those it replaces are still there.
    Repacked,
    /// An approval is about to become the folder's newest commit; nothing has moved yet.
    ApprovalReady,
    /// A checkout is complete under its temporary name.
    CheckoutWritten,
}

/// What is called at each [`Point`]. By default: nothing.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<dyn Fn(Point) + Send + Sync>>);

impl Probe {
    /// Calls `reached` at every point, on the thread that gets there.
    pub fn new(reached: impl Fn(Point) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(reached)))
    }

    pub(crate) fn reach(&self, point: Point) {
        if let Some(reached) = &self.0 {
            reached(point);
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "Probe(set)" } else { "Probe(none)" })
    }
}
