//! Reads a request body: bounded in bytes, in time and in what all of them hold together. Never waits
//! for room: who finds none is told so.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limit::{ALL_BODY_BYTES_MAX, CALLER_BODY_BYTES_MAX, Limits};
use crate::refusal::Refusal;

/// Room is counted in pieces of this size.
const PIECE_BYTES: usize = 4 << 10;

/// How much of all request bodies may be in memory at once.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    caller: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL_BODY_BYTES_MAX / PIECE_BYTES)),
            caller: Arc::new(Semaphore::new(CALLER_BODY_BYTES_MAX / PIECE_BYTES)),
        }
    }

    /// The room of another caller.
    pub(crate) fn of_caller(&self) -> Self {
        Self { all: Arc::clone(&self.all), ..Self::new() }
    }
}

/// A request body, and the room that it takes while this lives.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    _held: Vec<OwnedSemaphorePermit>,
}

/// Reads a body whole.
pub(crate) async fn take(body: Incoming, room: &Room, limits: &Limits) -> Result<Taken, Refusal> {
    tokio::time::timeout(limits.body, read(body, room, limits.body_bytes_max))
        .await
        .unwrap_or(Err(Refusal::TooSlow { seconds: limits.body.as_secs() }))
}

async fn read(mut body: Incoming, room: &Room, bytes_max: usize) -> Result<Taken, Refusal> {
    let stated = body.size_hint().exact().map(usize::try_from);
    let stated = stated.map(|stated| stated.unwrap_or(usize::MAX));
    if stated.is_some_and(|stated| stated > bytes_max) {
        return Err(Refusal::TooLarge { bytes_max });
    }
    let mut bytes = BytesMut::new();
    let mut held = Held { permits: Vec::new(), bytes: 0 };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::BrokenBody)?.into_data() else { continue };
        let size = bytes.len() + data.len();
        if size > bytes_max {
            return Err(Refusal::TooLarge { bytes_max });
        }
        held.reach(size, room)?;
        bytes.extend_from_slice(&data);
    }
    Ok(Taken { bytes: bytes.freeze(), _held: held.permits })
}

struct Held {
    permits: Vec<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Held {
    /// Takes room until `size` bytes have it; doubles, as the buffer does.
    fn reach(&mut self, size: usize, room: &Room) -> Result<(), Refusal> {
        while self.bytes < size {
            let step = self.bytes.clamp(PIECE_BYTES, 4 << 20);
            let pieces = u32::try_from(step / PIECE_BYTES).unwrap_or(u32::MAX);
            for semaphore in [&room.all, &room.caller] {
                let permit = Arc::clone(semaphore).try_acquire_many_owned(pieces);
                self.permits.push(permit.map_err(|_| Refusal::Crowded)?);
            }
            self.bytes += step;
        }
        Ok(())
    }
}
