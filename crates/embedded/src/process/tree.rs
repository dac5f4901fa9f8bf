//! Processes of the host as the kernel lists them: who descends from a worker, and ending them all.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// How long everything of a box has to die.
const KILL_MAX: Duration = Duration::from_secs(30);
/// How often what is being killed is killed again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its number.
    pub(super) pid: u32,
    /// When it started, in ticks since the machine did.
    pub(super) started: u64,
}

/// What the kernel lists of a process.
#[derive(Debug, Clone, Copy)]
struct Listed {
    pid: u32,
    parent: u32,
    session: u32,
    started: u64,
    threads: u64,
    zombie: bool,
}

impl Identity {
    /// The process that has this number now.
    pub(super) fn of(pid: u32) -> Option<Self> {
        listed(pid).map(|listed| Self { pid, started: listed.started })
    }

    /// Whether it lives.
    pub(super) fn lives(self) -> bool {
        listed(self.pid).is_some_and(|it| it.started == self.started && !it.zombie)
    }
}

/// The process whose first argument is `name`.
pub(super) fn named(name: &str) -> Option<Identity> {
    let is_named = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).next() == Some(name.as_bytes())
    };
    pids().find(is_named).and_then(Identity::of)
}

/// Processes, threads and resident bytes of a worker and all that descends from it.
pub(super) fn usage(worker: Identity) -> (u64, u64) {
    let members = members(worker);
    let resident = members.iter().filter_map(|listed| resident_bytes(listed.pid)).sum();
    (members.iter().map(|listed| listed.threads).sum(), resident)
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Ends a worker and all that descends from it. Blocks until they are gone.
pub(super) fn kill(worker: Identity, now: impl Fn() -> Instant) -> io::Result<()> {
    let deadline = now() + KILL_MAX;
    loop {
        let mut members = members(worker);
        if members.is_empty() {
            return Ok(());
        }
        // The worker last: while it lives, it is the parent of every orphan.
        if members.len() > 1 {
            members.retain(|listed| listed.pid != worker.pid);
        }
        for listed in members {
            let pid = i32::try_from(listed.pid).ok().and_then(Pid::from_raw);
            // One that is gone in the meantime is what was wanted.
            pid.and_then(|pid| kill_process(pid, Signal::KILL).ok());
        }
        if now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "processes do not die"));
        }
        match poll(&mut [], Some(&PAUSE)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The worker, what descends from it, and what is left of its session. No zombies.
fn members(worker: Identity) -> Vec<Listed> {
    let all: Vec<Listed> = pids().filter_map(listed).collect();
    let reused = |listed: &Listed| listed.pid == worker.pid && listed.started != worker.started;
    if all.iter().any(reused) {
        // The number of a session is not given anew while anybody is in it.
        return Vec::new();
    }
    let mut tree = BTreeSet::from([worker.pid]);
    loop {
        let known = tree.len();
        tree.extend(
            all.iter()
                .filter(|it| tree.contains(&it.parent) || it.session == worker.pid)
                .map(|it| it.pid)
                .collect::<Vec<_>>(),
        );
        if tree.len() == known {
            break;
        }
    }
    all.into_iter().filter(|listed| tree.contains(&listed.pid) && !listed.zombie).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn listed(pid: u32) -> Option<Listed> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered in proc(5) from 1; the state, the first one here, is number 3.
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse().ok());
    Some(Listed {
        pid,
        parent: u32::try_from(number(4)?).ok()?,
        session: u32::try_from(number(6)?).ok()?,
        started: number(22)?,
        threads: number(20)?,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
    })
}
