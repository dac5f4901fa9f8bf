//! A place in the queue that is given back when it is dropped, however its dispatch ends.

use std::collections::HashMap;
use std::sync::Arc;

use model::{DispatchId, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::queue::{Entered, Full, Queue, QueueBounds};

#[derive(Debug)]
struct Shared {
    queue: Queue,
    granted: HashMap<DispatchId, oneshot::Sender<()>>,
}

/// All places.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Mutex<Shared>>);

/// A place, or one in the line for it.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    dispatch: DispatchId,
    subject: UserId,
    granted: Option<oneshot::Receiver<()>>,
    ahead: Option<u32>,
}

impl Places {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        Self(Arc::new(Mutex::new(Shared { queue: Queue::new(bounds), granted: HashMap::new() })))
    }

    pub(crate) fn enter(
        &self,
        dispatch: DispatchId,
        subject: UserId,
        live_max: u32,
    ) -> Result<Place, Full> {
        let mut shared = self.0.lock();
        let entered = shared.queue.enter(dispatch, subject, count(live_max))?;
        Ok(self.place(&mut shared, dispatch, subject, entered))
    }

    /// A place, or one in the line however long it is, for what stood in it before.
    pub(crate) fn line_up(&self, dispatch: DispatchId, subject: UserId, live_max: u32) -> Place {
        let mut shared = self.0.lock();
        let entered = shared.queue.line_up(dispatch, subject, count(live_max));
        self.place(&mut shared, dispatch, subject, entered)
    }

    fn place(
        &self,
        shared: &mut Shared,
        dispatch: DispatchId,
        subject: UserId,
        entered: Entered,
    ) -> Place {
        let (granted, ahead) = match entered {
            Entered::Placed => (None, None),
            Entered::Waiting { ahead } => {
                let (grant, granted) = oneshot::channel();
                shared.granted.insert(dispatch, grant);
                (Some(granted), Some(ahead))
            }
        };
        Place { places: self.clone(), dispatch, subject, granted, ahead }
    }

    /// A place for a dispatch whose box lives already.
    pub(crate) fn admit(&self, dispatch: DispatchId, subject: UserId, live_max: u32) -> Place {
        self.0.lock().queue.admit(dispatch, subject, count(live_max));
        Place { places: self.clone(), dispatch, subject, granted: None, ahead: None }
    }

    /// Whether somebody waits for a place that a dispatch of `subject` holds.
    pub(crate) fn is_wanted(&self, subject: UserId) -> bool {
        self.0.lock().queue.is_wanted(subject)
    }

    /// How many live and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.0.lock().queue.counts()
    }
}

fn count(live_max: u32) -> usize {
    usize::try_from(live_max).unwrap_or(usize::MAX)
}

impl Place {
    /// How many stood before it when it came; none when it had not to wait.
    pub(crate) fn ahead(&self) -> Option<u32> {
        self.ahead
    }

    /// Waits for the place. Cancel safety: may be dropped and called again.
    pub(crate) async fn granted(&mut self) {
        if let Some(granted) = &mut self.granted {
            // The other end is dropped only by this place's own drop.
            let _granted: Result<(), _> = granted.await;
            self.granted = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shared = self.places.0.lock();
        shared.granted.remove(&self.dispatch);
        for placed in shared.queue.leave(self.subject, self.dispatch) {
            if let Some(grant) = shared.granted.remove(&placed) {
                // Nobody listens any more when that place is being dropped too; it then leaves.
                let _sent: Result<(), ()> = grant.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn enter(places: &Places, dispatch: u128) -> Place {
        let id = DispatchId::from_uuid(Uuid::from_u128(dispatch));
        places.enter(id, UserId::from_uuid(Uuid::from_u128(1)), 1).expect("there is room to wait")
    }

    async fn granted(place: &mut Place) {
        let granted = tokio::time::timeout(std::time::Duration::from_mins(1), place.granted());
        granted.await.expect("the place is granted");
    }

    #[tokio::test]
    async fn a_dropped_place_goes_to_the_next_one() {
        let places = Places::new(QueueBounds::default());
        let mut first = enter(&places, 1);
        granted(&mut first).await;
        let mut second = enter(&places, 2);
        let third = enter(&places, 3);
        assert_eq!((first.ahead(), second.ahead(), third.ahead()), (None, Some(0), Some(1)));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, second.granted()).await.is_err());
        drop(third);
        drop(first);
        granted(&mut second).await;
        assert_eq!(places.counts(), (1, 0));
        drop(second);
        assert_eq!(places.counts(), (0, 0));
    }
}
