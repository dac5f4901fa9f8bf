//! Finding a box again after the process that started it is dead. A pid proves nothing: a box is
//! recognised by boot, pid, time of start and cgroup together, with the pidfd held meanwhile.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::child::Place;
use crate::launcher::Core;
use crate::{Child, Error, spec, sys};

/// What identifies a box on this machine. `Display` and `FromStr` give it a form to store: one
/// line without spaces at its ends, under 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    id: String,
    pid: u32,
    start: u64,
    uid: u32,
    boot: String,
}

/// What became of a recorded box.
#[derive(Debug)]
pub enum Found {
    /// It lives, and is ours again.
    Alive(Child),
    /// It is dead; nothing of it is left.
    Gone,
}

impl Record {
    pub(crate) fn new(id: &str, pid: u32, start: u64, uid: u32) -> Self {
        Self { id: id.to_owned(), pid, start, uid, boot: boot() }
    }

    /// The id of the box.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn find(&self, core: &Arc<Core>) -> Result<Found, Error> {
        let group = core.groups.group(&self.id);
        let Some(pidfd) = self.open() else {
            group.kill();
            group.remove()?;
            return Ok(Found::Gone);
        };
        if group.exists() && !group.holds(self.pid) {
            // Same boot, same pid, same start, other group: not one of ours.
            return Err(Error::Record);
        }
        let scratch = core.open_scratch(self.pid, self.uid)?;
        let place = Place { group, scratch, core: Arc::clone(core) };
        Ok(Found::Alive(Child::new(self.id.clone(), (self.pid, pidfd), place)))
    }

    /// The process, if it still is that one. With the pidfd open its pid cannot be given away
    /// unnoticed: a time of start read after that, from a living process, is that process's.
    fn open(&self) -> Option<std::os::fd::OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let same = self.boot == boot() && start_time(self.pid)? == self.start;
        let lives = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::CONT);
        let named = sys::pid_info(pidfd.as_fd()).is_none_or(|found| found.pid == self.pid);
        (same && lives.is_ok() && named).then_some(pidfd)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, pid, start, uid, boot } = self;
        write!(f, "box1 {id} {pid} {start} {uid} {boot}")
    }
}

impl FromStr for Record {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fields: Vec<_> = text.split(' ').collect();
        let ["box1", id, pid, start, uid, boot] = fields[..] else { return Err(Error::Record) };
        spec::check_id(id).map_err(|_| Error::Record)?;
        let number = |text: &str| text.parse().map_err(|_| Error::Record);
        let start = start.parse().map_err(|_| Error::Record)?;
        let (pid, uid) = (number(pid)?, number(uid)?);
        Ok(Self { id: id.to_owned(), pid, start, uid, boot: boot.to_owned() })
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// When a process started, in clock ticks since boot. `None` if it is dead.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = Stat::read(pid)?;
    (!stat.is_dead).then_some(stat.start)
}

/// The wait status of a process that started at `start`, is dead and was not reaped yet.
pub(crate) fn zombie_status(pid: u32, start: u64) -> Option<i32> {
    let stat = Stat::read(pid)?;
    (stat.is_dead && stat.start == start).then_some(stat.status)
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    is_dead: bool,
    start: u64,
    status: i32,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so fields are counted from its end: the state
    /// is the third, the start the 22nd, the status the 52nd.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        let start = fields.nth(18)?.parse().ok()?;
        let status = fields.nth(29)?.parse().ok()?;
        Some(Self { is_dead, start, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_stored() {
        let record = Record::new("box-1", 42, 99, 2_000_000_000);
        assert_eq!(record.to_string().parse::<Record>().unwrap(), record);
    }

    #[test]
    fn a_malformed_record_is_refused() {
        for text in ["", "box1", "box2 a 1 2 3 b", "box1 ../a 1 2 3 b", "box1 a x 2 3 b"] {
            assert!(matches!(text.parse::<Record>(), Err(Error::Record)), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_fake_the_fields_behind_it() {
        let fields: Vec<_> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) Z 1 2) Z {}", fields.join(" "));
        let parsed = Stat { is_dead: true, start: 22, status: 52 };
        assert_eq!(Stat::parse(&stat), Some(parsed));
    }

    #[test]
    fn our_own_start_is_known_and_does_not_change() {
        let pid = std::process::id();
        assert!(start_time(pid).is_some());
        assert_eq!(start_time(pid), start_time(pid));
    }
}
