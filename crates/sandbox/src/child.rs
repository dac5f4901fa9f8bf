//! A running box, as its owner holds it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::adopt::{Record, start_time, zombie_status};
use crate::cgroup::{Group, Held, until};
use crate::launcher::Core;
use crate::{Error, Scratch, sys};

/// How long a killed box may take to be gone.
const DEATH: Duration = Duration::from_secs(30);

/// How a box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// PID 1 returned this code.
    Code(i32),
    /// PID 1 was killed by this signal.
    Signal(i32),
    /// It ended, and this kernel (before 6.15) does not tell how to a process that adopted it.
    Unknown,
}

impl Exit {
    fn from_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }
}

/// What a box uses, as far as its cgroups tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Memory in bytes, tmpfs included.
    pub memory_bytes: Option<u64>,
    /// The most memory it has used.
    pub memory_bytes_max: Option<u64>,
    /// Processes, and threads where a pids controller counts them.
    pub pids: Option<u64>,
    /// Time on processors.
    pub cpu: Option<Duration>,
    /// How many of its processes the kernel has killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// A box that was started or adopted. Its descriptor ([`AsFd`]) is a pidfd: readable when the box
/// is dead, for any poll or reactor.
///
/// Dropping it leaves the box as it is, and its uid is not leased again by this launcher;
/// [`destroy`](Self::destroy) is the end of a box.
#[derive(Debug)]
pub struct Child {
    id: String,
    pid: u32,
    start: u64,
    pidfd: OwnedFd,
    group: Group,
    scratch: Scratch,
    core: Arc<Core>,
    exit: Option<Exit>,
    is_destroyed: bool,
}

/// Where a box lives on the host.
pub(crate) struct Place {
    pub(crate) group: Group,
    pub(crate) scratch: Scratch,
    pub(crate) core: Arc<Core>,
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Child {
    pub(crate) fn new(id: String, (pid, pidfd): (u32, OwnedFd), place: Place) -> Self {
        // A program that has ended already has no time of start, and nobody will need it.
        let start = start_time(pid).unwrap_or(0);
        let Place { group, scratch, core } = place;
        Self { id, pid, start, pidfd, group, scratch, core, exit: None, is_destroyed: false }
    }

    /// The id of its specification.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pid of its PID 1 on the host. Means another process once the box is dead and gone.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its writable files, also after its death.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// What a later process needs to [adopt](crate::Launcher::adopt) it.
    pub fn record(&self) -> Record {
        Record::new(&self.id, self.pid, self.start, self.scratch.uid())
    }

    /// Waits for its end, at most `timeout` long (`None`: as long as it takes). `None` if it still
    /// lives then. When PID 1 has ended, everything in the box has.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Exit>, Error> {
        if self.exit.is_none() && self.ended(timeout)? {
            self.exit = Some(self.read_exit());
        }
        Ok(self.exit)
    }

    fn ended(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        loop {
            match poll(&mut polled, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other.map_err(Error::host("wait for a box"))? > 0),
            }
        }
    }

    /// A dead process tells how it ended while it waits to be reaped, and its pidfd tells after.
    fn read_exit(&self) -> Exit {
        if let Ok(Some(status)) = self.core.reap_if_needed(self.pid) {
            return Exit::from_status(status);
        }
        let told = || {
            let reaped = sys::pid_info(self.pidfd.as_fd()).and_then(|info| info.exit);
            reaped.or_else(|| zombie_status(self.pid, self.start))
        };
        until(Duration::from_secs(1), told).map_or(Exit::Unknown, Exit::from_status)
    }

    /// Sends a signal to PID 1. A box that has ended does not mind.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.map_err(Error::host("signal a box")),
        }
    }

    /// Kills the whole box, frozen or not, and waits until nothing of it runs. Its scratch can
    /// still be read.
    pub fn kill(&mut self) -> Result<Exit, Error> {
        self.signal(Signal::KILL)?;
        self.group.kill();
        self.wait(Some(DEATH))?.ok_or(Error::Stuck("die"))
    }

    /// Stops every process of the box; waits until that is so. Needs
    /// [`Wall::Freeze`](crate::Wall::Freeze). It stays frozen when we die.
    pub fn freeze(&self) -> Result<(), Error> {
        self.group.freeze(Held::All)
    }

    /// Stops every process of the box but its PID 1, which may still end the box when we die; waits
    /// until that is so. For a PID 1 that is trusted and starts nothing meanwhile. Needs
    /// [`Wall::Freeze`](crate::Wall::Freeze).
    pub fn freeze_all_but_init(&self) -> Result<(), Error> {
        self.group.freeze(Held::AllBut(self.pid))
    }

    /// Lets a frozen box go on, whoever froze it.
    pub fn thaw(&self) -> Result<(), Error> {
        self.group.thaw()
    }

    /// What it uses now.
    pub fn stats(&self) -> Stats {
        self.group.stats()
    }

    /// Kills the box and removes all of it: processes, cgroups, scratch; its uid is free again.
    /// Says how it ended.
    pub fn destroy(mut self) -> Result<Exit, Error> {
        let exit = self.kill()?;
        self.group.remove()?;
        self.is_destroyed = true;
        Ok(exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_destroyed {
            self.scratch.keep_uid();
        }
    }
}
