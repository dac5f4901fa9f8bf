//! Running a command: in a process group of its own, with a time limit, its output bounded, and
//! ended with all it started when it is over or the turn is stopped.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal as Kill, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Outcome, RESULT_BYTES_MAX, Run};
use crate::signal::{Deadline, Sender, Signal, Signals, Waited, spawn};

/// How long a command may take if the model does not say.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How long a command may take at all.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// How long output is waited for after the end of a command.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the command and tells what it wrote and how it ended.
pub(super) fn run(ask: &Run, cwd: &Path, signals: &Signals) -> io::Result<Outcome> {
    let (output, input) = io::pipe()?;
    let child = Command::new("sh")
        .args(["-c", &ask.command])
        .current_dir(cwd)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .spawn()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let run = signals.next_run();
    spawn("output", read_output(output, signals.sender(), run))?;
    spawn("command", wait_for(child, group, signals.sender(), run))?;
    let asked = ask.timeout_seconds.map_or(TIMEOUT, Duration::from_secs).min(TIMEOUT_MAX);
    let mut watch = Watch { run, ..Watch::default() };
    let over = watch.until(signals, Deadline::after(asked), |watch| watch.status.is_some());
    end(group);
    let whole = |watch: &Watch| watch.status.is_some() && watch.closed;
    watch.finish(signals, Deadline::after(DRAIN), whole);
    Ok(watch.outcome(over, asked))
}

fn end(group: Option<Pid>) {
    if let Some(group) = group {
        kill_process_group(group, Kill::KILL).ok();
    }
}

/// Sends what a command writes until its last writer is gone.
fn read_output(mut output: PipeReader, to: Sender, run: u64) -> impl FnOnce() + Send + 'static {
    move || {
        let mut buffer = [0; 8 << 10];
        while let Ok(read @ 1..) = output.read(&mut buffer) {
            if to.send(Signal::Output { run, bytes: buffer[..read].to_vec() }).is_err() {
                return;
            }
        }
        to.send(Signal::OutputEnd { run }).ok();
    }
}

/// Sends how a command ended, and ends what it left running: before it is reaped, so that the number
/// of its group is still its own.
fn wait_for(
    mut child: Child,
    group: Option<Pid>,
    to: Sender,
    run: u64,
) -> impl FnOnce() + Send + 'static {
    move || {
        if let Some(pid) = group {
            let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), exited), Err(Errno::INTR)) {}
        }
        end(group);
        let status = child.wait();
        to.send(Signal::Exited { run, status }).ok();
    }
}

/// What is known of a command.
#[derive(Debug, Default)]
struct Watch {
    run: u64,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    missing: u64,
    closed: bool,
    status: Option<io::Result<ExitStatus>>,
}

impl Watch {
    /// Waits until `done`, or as long as it may.
    fn until(
        &mut self,
        signals: &Signals,
        deadline: Deadline,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Waited> {
        while !done(self) {
            let signal = signals.next(deadline)?;
            self.take(signal);
        }
        Ok(())
    }

    /// The same, also while the turn is being stopped.
    fn finish(&mut self, signals: &Signals, deadline: Deadline, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            match signals.next_even_if_cancelled(deadline) {
                Ok(signal) => self.take(signal),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Output { run, bytes } if run == self.run => self.keep(&bytes),
            Signal::OutputEnd { run } if run == self.run => self.closed = true,
            Signal::Exited { run, status } if run == self.run => self.status = Some(status),
            _ => {} // late, from something that is over
        }
    }

    /// Keeps the beginning and the end of the output.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (RESULT_BYTES_MAX / 2).saturating_sub(self.head.len());
        let (head, tail) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let over = self.tail.len().saturating_sub(RESULT_BYTES_MAX / 2);
        self.tail.drain(..over);
        self.missing += over as u64;
    }

    fn outcome(mut self, over: Result<(), Waited>, asked: Duration) -> Outcome {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.missing > 0 {
            text = format!("{text}\n[… {} bytes left out …]\n", self.missing);
        }
        text += &String::from_utf8_lossy(self.tail.make_contiguous());
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        match over {
            Err(Waited::Cancelled) => return Outcome::cancelled(&(text + "[stopped]")),
            Err(Waited::TimedOut) => {
                let seconds = asked.as_secs();
                return Outcome::failed(
                    text + &format!("[ended after {seconds} s: its time was up]"),
                );
            }
            Ok(()) => {}
        }
        match self.status {
            Some(Ok(status)) if status.success() && text.is_empty() => {
                Outcome::done("[no output]".to_owned())
            }
            Some(Ok(status)) if status.success() => Outcome::done(text),
            Some(Ok(status)) => Outcome::failed(text + &ended(status)),
            Some(Err(error)) => {
                Outcome::failed(text + &format!("[cannot tell how it ended: {error}]"))
            }
            None => Outcome::failed(text + "[cannot tell how it ended]"),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("[ended with status {code}]"),
        (None, Some(signal)) => format!("[ended by signal {signal}]"),
        (None, None) => "[ended]".to_owned(),
    }
}
