//! A bounded line of work for threads of our own: callers wait for a place without a thread, the
//! threads wait for work without a runtime. Every request is answered, also when its thread dies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A line of requests.
#[derive(Debug)]
pub(super) struct Queue<R> {
    waiting: Mutex<Waiting<R>>,
    woken: Condvar,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting<R> {
    requests: VecDeque<Placed<R>>,
    /// So many must wait before a thread is woken.
    wanted: usize,
    closed: bool,
}

/// A request and its place in the line, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Placed<R> {
    pub(super) request: R,
    _place: OwnedSemaphorePermit,
}

impl<R> Queue<R> {
    /// A line of at most `places` requests, waiting and at work.
    pub(super) fn new(places: usize) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { requests: VecDeque::new(), wanted: 1, closed: false });
        Arc::new(Self { waiting, woken: Condvar::new(), places: Arc::new(Semaphore::new(places)) })
    }

    /// Stands in line, in the order of the calls. The request is lost when the line is closed.
    pub(super) async fn push(&self, request: R) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            waiting.requests.push_back(Placed { request, _place: place });
            if waiting.requests.len() >= waiting.wanted {
                self.woken.notify_one();
            }
        }
    }

    /// Everything that waits. None once the line is closed and empty; an empty list when nothing
    /// came for `patience`.
    pub(super) fn take_all(&self, patience: Option<Duration>) -> Option<VecDeque<Placed<R>>> {
        let mut waiting = self.waiting.lock();
        while waiting.requests.is_empty() && !waiting.closed {
            match patience {
                Some(patience) => {
                    if self.woken.wait_for(&mut waiting, patience).timed_out() {
                        break;
                    }
                }
                None => self.woken.wait(&mut waiting),
            }
        }
        if waiting.requests.is_empty() && waiting.closed {
            return None;
        }
        Some(std::mem::take(&mut waiting.requests))
    }

    /// Waits until so many wait, or `patience` is over. For the only thread of a line.
    pub(super) fn gather(&self, wanted: usize, patience: Duration) {
        let mut waiting = self.waiting.lock();
        waiting.wanted = wanted.max(1);
        let too_few =
            |waiting: &mut Waiting<R>| waiting.requests.len() < waiting.wanted && !waiting.closed;
        let _timed_out = self.woken.wait_while_for(&mut waiting, too_few, patience).timed_out();
        waiting.wanted = 1;
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().requests.len()
    }

    /// The one that waits longest. None once the line is closed.
    pub(super) fn take_one(&self) -> Option<Placed<R>> {
        let mut waiting = self.waiting.lock();
        while waiting.requests.is_empty() && !waiting.closed {
            self.woken.wait(&mut waiting);
        }
        waiting.requests.pop_front()
    }

    /// Lets nobody else in. What waits is still taken.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.places.close();
        self.woken.notify_all();
    }

    /// Lets nobody else in and answers none of those who wait.
    pub(super) fn abandon(&self) {
        self.close();
        self.waiting.lock().requests.clear();
    }
}
