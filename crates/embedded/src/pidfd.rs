//! A process whose end can be awaited. It never signals or reaps it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A pidfd that a task can wait for.
#[derive(Debug)]
pub(crate) struct Pidfd(AsyncFd<OwnedFd>);

impl Pidfd {
    /// Takes a pidfd. To be called where a runtime is.
    pub(crate) fn new(pidfd: OwnedFd) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "sound for a descriptor that keeps its number while it lives"
        )]
        AsyncFd::with_interest(pidfd, Interest::READABLE).map(Self)
    }

    /// Waits for the end of the process; returns at once when it is over. Cancel safe.
    pub(crate) async fn ended(&self) {
        // Readable when the process has ended, and stays so. An error means that no runtime is left to
        // wait on; then nothing can be waited for.
        self.0.readable().await.ok();
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
