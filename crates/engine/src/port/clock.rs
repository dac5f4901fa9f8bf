//! Time and ids, so that tests own both.

use std::time::Instant;

use model::Time;
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day. May jump.
    fn now(&self) -> Time;

    /// A time that never goes back; for how long something took.
    fn instant(&self) -> Instant;
}

/// Makes ids.
pub trait IdSource: Send + Sync + 'static {
    /// A fresh id, version 7: ids that one source makes sort in the order they were made.
    fn uuid(&self) -> Uuid;

    /// 32 bytes that nobody can guess.
    fn secret(&self) -> [u8; 32];
}
