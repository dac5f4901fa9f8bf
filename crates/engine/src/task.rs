//! Every background task: named, counted, awaited. Nothing else spawns.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// What a task is for, and so what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Serves one connection. Its failure is logged.
    Connection,
    /// Looks after one dispatch. Its failure ends that dispatch.
    Supervision,
    /// Work that may block a thread, asked for by somebody who awaits it.
    Blocking,
    /// The process cannot do without it. Its failure stops the process.
    Core,
}

/// Spawns tasks, and stops them in an orderly way.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    broken: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. A panic is a failure of its kind, not of the process.
    pub fn spawn<F>(&self, kind: TaskKind, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let broken = self.broken.clone();
        let guarded = async move {
            let panicked = AssertUnwindSafe(future).catch_unwind().await.is_err();
            match (panicked, kind) {
                (_, TaskKind::Core) => broken.cancel(),
                (true, _) => error!(task = name, "task panicked"),
                (false, _) => {}
            }
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        drop(tokio::spawn(self.tracker.track_future(guarded)));
    }

    /// Runs something that may block, on a thread for that. `None`: it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let tracked = self.tracker.clone();
        let work = move || {
            let _token = tracked.token();
            work()
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let done = tokio::task::spawn_blocking(work).await;
        done.inspect_err(|_| error!(task = name, kind = ?TaskKind::Blocking, "task panicked")).ok()
    }

    /// Completes when tasks should come to their end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Completes when a task ended without which the process cannot go on.
    pub fn broken(&self) -> CancellationToken {
        self.broken.clone()
    }

    /// Asks every task to end and waits for them, at most `deadline`. Whether all ended.
    pub async fn shut_down(&self, deadline: std::time::Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        if !ended {
            warn!(tasks = self.tracker.len(), "tasks did not end in time");
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_in_a_connection_leaves_the_process_running() {
        let tasks = Tasks::new();
        tasks.spawn(TaskKind::Connection, "test", async { panic!("on purpose") });
        assert!(tasks.shut_down(Duration::from_secs(5)).await);
        assert!(!tasks.broken().is_cancelled());
    }

    #[tokio::test]
    async fn the_end_of_a_core_task_is_noticed() {
        let tasks = Tasks::new();
        tasks.spawn(TaskKind::Core, "test", async {});
        let broken = tasks.broken();
        let noticed = tokio::time::timeout(Duration::from_mins(1), broken.cancelled());
        noticed.await.expect("the end of the task is noticed");
    }

    #[tokio::test]
    async fn blocking_work_gives_its_result_and_a_panic_none() {
        let tasks = Tasks::new();
        assert_eq!(tasks.blocking("test", || 7).await, Some(7));
        assert_eq!(tasks.blocking::<u8>("test", || panic!("on purpose")).await, None);
    }
}
