//! The loop of the worker: waits for everything at once and moves what can be moved.

use std::io;
use std::time::{Duration, Instant};

use model::worker_wire::{CHUNK_BYTES_MAX, Down, MESSAGE_BYTES_MAX, PROTOCOL, Up};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::agent::Agent;
use crate::children::{Children, kill_all};
use crate::forward::Forwards;
use crate::link::{Link, first_frame};
use crate::options::Options;
use crate::spool::{Errors, Spool};

/// How long everything has to die.
const PURGE_MAX: Duration = Duration::from_secs(30);
/// How often what is being killed is killed again.
const PURGE_PAUSE: Duration = Duration::from_millis(2);
/// How long, after the agent was stopped, its last words may take to reach the server.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Why the box is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The server said so.
    Stopped,
    /// The server was away for longer than it may.
    Orphaned,
}

/// Runs the worker until the box is over. Then nothing that the agent started lives.
pub fn run(options: &Options) -> io::Result<Over> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Fails where the worker leads a session already, which is as good.
    rustix::process::setsid().ok();
    let now = now();
    let mut pump = Pump {
        away_max: options.away_max,
        link: Link::new(options.socket.clone(), now),
        children: Children::reap()?,
        forwards: Forwards::listen(&options.forwards)?,
        agent: Agent::None,
        spool: Spool::default(),
        errors: Errors::default(),
        told: false,
        stop: None,
    };
    let over = loop {
        if let Some(over) = pump.step()? {
            break over;
        }
    };
    purge()?;
    Ok(over)
}

#[expect(clippy::disallowed_methods, reason = "the worker has no clock but the machine's")]
fn now() -> Instant {
    Instant::now()
}

/// Kills everything and waits until it is gone.
fn purge() -> io::Result<()> {
    let deadline = now() + PURGE_MAX;
    while kill_all() && now() < deadline {
        wait(&mut [], Some(PURGE_PAUSE))?;
    }
    Ok(())
}

#[derive(Debug)]
struct Pump {
    away_max: Duration,
    link: Link,
    children: Children,
    forwards: Forwards,
    agent: Agent,
    spool: Spool,
    errors: Errors,
    /// The state of the agent was told on this connection.
    told: bool,
    stop: Option<Stop>,
}

/// The box is being stopped.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// When everything is killed.
    kill_at: Instant,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Server,
    Children,
    Stdin,
    Stdout,
    Stderr,
    Forward(usize),
}

impl Pump {
    /// Waits until something can be done and does it.
    fn step(&mut self) -> io::Result<Option<Over>> {
        let now = now();
        if self.link.call(now) {
            self.greet();
        }
        self.speak(now);
        if let Some(over) = self.over(now) {
            return Ok(Some(over));
        }
        for (source, ready) in self.wait(now)? {
            self.serve(source, ready);
        }
        self.follow_up();
        Ok(None)
    }

    fn over(&self, now: Instant) -> Option<Over> {
        if self.link.away_since().is_some_and(|since| now >= since + self.away_max) {
            return Some(Over::Orphaned);
        }
        let stop = self.stop?;
        let running = matches!(self.agent, Agent::Running(_));
        let said = self.told && self.all_said() && !self.link.has_outgoing();
        let late = now >= stop.kill_at + FLUSH_MAX;
        ((!running && said) || late).then_some(Over::Stopped)
    }

    fn all_said(&self) -> bool {
        self.spool.all_sent() && self.errors.is_empty()
    }

    fn greet(&mut self) {
        self.spool.rewind();
        self.told = false;
        if let Some(running) = self.agent.running() {
            running.forget_part();
        }
        self.link.say(&Up::Hello {
            protocol: PROTOCOL,
            agent: self.agent.state(),
            first: self.spool.first(),
            end: self.spool.end(),
        });
    }

    /// Says what is to be said, as much as the server takes.
    fn speak(&mut self, now: Instant) {
        loop {
            self.tell_started();
            while self.link.has_room() && self.say_chunk() {}
            self.tell_ended();
            let before = self.link.has_outgoing();
            if self.link.write().is_err() {
                return self.link.hang_up(now);
            }
            if !before || self.link.has_outgoing() || self.all_said() && self.told {
                return;
            }
        }
    }

    fn tell_started(&mut self) {
        if self.told || !self.link.welcome() {
            return;
        }
        match &self.agent {
            Agent::None => self.told = true,
            Agent::Running(running) => {
                self.link.say(&Up::Started { pid: running.pid() });
                self.told = true;
            }
            Agent::Exited(_) | Agent::Failed(_) => {}
        }
    }

    /// The end is told after everything that the agent wrote.
    fn tell_ended(&mut self) {
        if self.told || !self.link.welcome() || !self.all_said() {
            return;
        }
        match &self.agent {
            Agent::Exited(end) => self.link.say(&Up::AgentExited(*end)),
            Agent::Failed(why) => {
                let why = &why.as_bytes()[..why.len().min(MESSAGE_BYTES_MAX)];
                self.link.say(&Up::AgentFailed { message: why });
            }
            Agent::None | Agent::Running(_) => return,
        }
        self.told = true;
    }

    fn say_chunk(&mut self) -> bool {
        let mut said = false;
        if let Some((offset, bytes)) = self.spool.unsent(CHUNK_BYTES_MAX) {
            let count = bytes.len();
            self.link.say(&Up::Output { offset, bytes });
            self.spool.mark_sent(count);
            said = true;
        }
        if let Some((dropped, bytes)) = self.errors.take(CHUNK_BYTES_MAX) {
            self.link.say(&Up::Errors { dropped, bytes: &bytes });
            said = true;
        }
        said
    }

    /// Waits; what is ready, and for what.
    fn wait(&mut self, now: Instant) -> io::Result<Vec<(Source, PollFlags)>> {
        let timeout = self.next_time().map(|at| at.saturating_duration_since(now));
        let timeout = if self.purging() { Some(PURGE_PAUSE) } else { timeout };
        let input_full = self.agent.running().is_some_and(|running| running.input_full());
        let (sources, mut fds): (Vec<_>, Vec<_>) = self.watched(input_full).into_iter().unzip();
        wait(&mut fds, timeout)?;
        let ready = sources.into_iter().zip(&fds).map(|(source, fd)| (source, fd.revents()));
        Ok(ready.filter(|(_, ready)| !ready.is_empty()).collect())
    }

    fn watched(&self, input_full: bool) -> Vec<(Source, PollFd<'_>)> {
        let children = PollFd::from_borrowed_fd(self.children.fd(), PollFlags::IN);
        let mut watched = vec![(Source::Children, children)];
        if let Some(socket) = self.link.socket() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !input_full);
            flags.set(PollFlags::OUT, self.link.has_outgoing());
            watched.push((Source::Server, PollFd::new(socket, flags)));
        }
        if let Agent::Running(running) = &self.agent {
            let [stdin, stdout, stderr] = running.streams();
            let stdout = stdout.filter(|_| self.spool.room() > 0);
            let streams = [
                (Source::Stdin, stdin, PollFlags::OUT),
                (Source::Stdout, stdout, PollFlags::IN),
                (Source::Stderr, stderr, PollFlags::IN),
            ];
            watched.extend(
                streams.into_iter().filter_map(|(source, stream, flags)| {
                    Some((source, PollFd::new(stream?, flags)))
                }),
            );
        }
        let forwards = self.forwards.watched().into_iter();
        watched.extend(forwards.map(|(number, fd)| (Source::Forward(number), fd)));
        watched
    }

    /// When something is due that nobody announces.
    fn next_time(&self) -> Option<Instant> {
        let away = self.link.away_since().map(|since| since + self.away_max);
        let stop = self.stop.map(|stop| {
            let killed = !matches!(&self.agent, Agent::Running(r) if !r.purging());
            if killed { stop.kill_at + FLUSH_MAX } else { stop.kill_at }
        });
        [self.link.retry_at(), away, stop].into_iter().flatten().min()
    }

    fn purging(&self) -> bool {
        matches!(&self.agent, Agent::Running(running) if running.purging())
    }

    fn serve(&mut self, source: Source, ready: PollFlags) {
        match source {
            Source::Server => self.serve_server(ready),
            Source::Children => {
                while let Some(reaped) = self.children.next() {
                    if let Some(running) = self.agent.running() {
                        running.reaped(reaped.pid, reaped.end);
                    }
                }
            }
            Source::Forward(number) => self.forwards.serve(number, ready),
            Source::Stdin | Source::Stdout | Source::Stderr => {
                let Some(running) = self.agent.running() else { return };
                match source {
                    Source::Stdin => running.write(),
                    Source::Stdout => running.read_output(&mut self.spool),
                    _ => running.read_errors(&mut self.errors),
                }
            }
        }
    }

    fn serve_server(&mut self, ready: PollFlags) {
        let read = ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        let served = if read { self.link.read().and_then(|()| self.listen()) } else { Ok(()) };
        if served.is_err() {
            // What was said before the connection ended is heard.
            drop(self.listen());
            self.link.hang_up(now());
        }
    }

    /// Does what the server said.
    fn listen(&mut self) -> io::Result<()> {
        let incoming = self.link.take_incoming();
        let mut taken = 0;
        let result = loop {
            match first_frame(&incoming[taken..]) {
                Ok(Some((frame, length))) => {
                    taken += length;
                    let down = Down::decode(frame)
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
                    if let Err(error) = down.and_then(|down| self.obey(down)) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.link.put_back(incoming, taken);
        result
    }

    fn obey(&mut self, down: Down<'_>) -> io::Result<()> {
        let now = now();
        match down {
            Down::Ack { offset } => {
                let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
                self.spool.acknowledge(offset).map_err(invalid)?;
                self.link.welcomed(now);
            }
            Down::Start(start) if self.stop.is_none() => {
                self.agent.start(&start, &mut self.children);
                self.told = false;
            }
            Down::Start(_) => {}
            Down::Input { id, last, bytes } => {
                if let Some(running) = self.agent.running() {
                    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
                    running.input(id, last, bytes).map_err(invalid)?;
                }
            }
            Down::CloseInput => {
                if let Some(running) = self.agent.running() {
                    running.close_input();
                }
            }
            Down::Signal(signal) => {
                if let Some(running) = self.agent.running() {
                    running.signal(signal);
                }
            }
            Down::Stop { grace } => self.begin_stop(now, grace),
        }
        Ok(())
    }

    fn begin_stop(&mut self, now: Instant, grace: Duration) {
        let kill_at = now + grace;
        let kill_at = self.stop.map_or(kill_at, |stop| stop.kill_at.min(kill_at));
        self.stop = Some(Stop { kill_at });
        if let Some(running) = self.agent.running() {
            running.signal(model::worker_wire::AgentSignal::Terminate);
        }
    }

    /// What follows from what was served.
    fn follow_up(&mut self) {
        let overdue = self.stop.is_some_and(|stop| now() >= stop.kill_at);
        if let Some(running) = self.agent.running()
            && (running.purging() || overdue)
        {
            running.purge();
        }
        if self.agent.settle() {
            self.told = false;
        }
    }
}

fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
