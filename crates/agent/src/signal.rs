//! What a running turn waits for: one queue for the model, commands, answers and the stop.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::chat::{ChatError, Piece, Reply};

/// How much may wait in the queue; whoever sends more waits.
const QUEUE_MAX: usize = 64;
/// The stack of a thread.
const STACK_BYTES: usize = 512 << 10;

/// Something that a turn waits for.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A piece of the model's answer.
    Piece { run: u64, piece: Piece },
    /// The model's answer is whole, or broke.
    Reply { run: u64, reply: Result<Reply, ChatError> },
    /// A server of tools answered, or its answer broke.
    Fetched { run: u64, fetched: io::Result<Result<Vec<u8>, String>> },
    /// A command wrote something.
    Output { run: u64, bytes: Vec<u8> },
    /// Nobody can write to a command's output any more.
    OutputEnd { run: u64 },
    /// A command ended.
    Exited { run: u64, status: io::Result<std::process::ExitStatus> },
    /// A question was answered, with an option or with none.
    Answered { request: String, option: Option<String> },
    /// The turn is to be stopped: look at [`Signals::cancelled`].
    Cancel,
}

/// Sends to a turn.
pub(crate) type Sender = SyncSender<Signal>;

/// The turn's end of the queue.
#[derive(Debug)]
pub(crate) struct Signals {
    receiver: Receiver<Signal>,
    sender: Sender,
    stop: Arc<AtomicBool>,
    runs: Cell<u64>,
}

/// Steers a turn from outside.
#[derive(Debug, Clone)]
pub(crate) struct Steering {
    sender: Sender,
    stop: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Steering {
    /// Stops the turn.
    pub(crate) fn cancel(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.sender.try_send(Signal::Cancel).ok(); // a full queue wakes the turn anyhow
    }

    /// The turn is over: to be said before anybody else is told.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether the turn is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Hands in an answer. One that nobody waits for is lost.
    pub(crate) fn answer(&self, request: String, option: Option<String>) {
        self.sender.try_send(Signal::Answered { request, option }).ok();
    }
}

/// Something that was waited for did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The turn is being stopped.
    Cancelled,
    /// The deadline has passed.
    TimedOut,
}

impl Signals {
    /// The queue of a new turn.
    pub(crate) fn new() -> (Self, Steering) {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let steering =
            Steering { sender: sender.clone(), stop: Arc::clone(&stop), over: Arc::default() };
        (Self { receiver, sender, stop, runs: Cell::new(0) }, steering)
    }

    /// A number for what is started next: what comes late from what was started before is told apart by it.
    pub(crate) fn next_run(&self) -> u64 {
        self.runs.set(self.runs.get() + 1);
        self.runs.get()
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Whether the turn is to be stopped.
    pub(crate) fn cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The next signal. A stop comes before everything.
    pub(crate) fn next(&self, deadline: Deadline) -> Result<Signal, Waited> {
        if self.cancelled() {
            return Err(Waited::Cancelled);
        }
        let signal = self.next_even_if_cancelled(deadline);
        if self.cancelled() { Err(Waited::Cancelled) } else { signal }
    }

    /// The next signal, for who has work to finish while the turn is being stopped.
    pub(crate) fn next_even_if_cancelled(&self, deadline: Deadline) -> Result<Signal, Waited> {
        let left = deadline.left();
        if left.is_zero() {
            return Err(Waited::TimedOut); // however much waits in the queue
        }
        self.receiver.recv_timeout(left).map_err(|_| Waited::TimedOut)
    }

    /// Lets time pass, or less if the turn is stopped.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), Waited> {
        let deadline = Deadline::after(pause);
        loop {
            match self.next(deadline) {
                Err(Waited::TimedOut) => return Ok(()),
                Err(Waited::Cancelled) => return Err(Waited::Cancelled),
                Ok(_) => {} // late, from something that is over
            }
        }
    }
}

/// A moment until which something is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent is a program of its own, without a `Clock`"
    )]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// How long it is until then.
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent is a program of its own, without a `Clock`"
    )]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Starts a thread. It ends when what it reads from ends, or when its turn is over and it sends.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop)
}
