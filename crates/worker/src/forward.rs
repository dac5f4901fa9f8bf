//! Loopback ports that lead to unix sockets, for boxes whose gate cannot listen inside them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::link::dial;
use crate::options::Forward;

/// The most connections at once; more wait to be accepted.
const PAIRS_MAX: usize = 128;
/// What is held for a reader that is slower than its writer, per direction.
const HELD_BYTES: usize = 16 << 10;

/// All forwarded ports and their connections.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    ports: Vec<(TcpListener, PathBuf)>,
    pairs: Vec<Option<Pair>>,
}

/// A connection and where it leads.
#[derive(Debug)]
struct Pair {
    ends: [OwnedFd; 2],
    /// From the first end to the second, and back.
    flows: [Flow; 2],
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Flow {
    held: Vec<u8>,
    /// The writer has said all.
    ended: bool,
    /// The reader knows that.
    closed: bool,
}

impl Forwards {
    pub(crate) fn listen(forwards: &[Forward]) -> io::Result<Self> {
        let listen = |forward: &Forward| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, forward.port))?;
            listener.set_nonblocking(true)?;
            Ok((listener, forward.socket.clone()))
        };
        let ports = forwards.iter().map(listen).collect::<io::Result<_>>()?;
        Ok(Self { ports, pairs: Vec::new() })
    }

    /// Everything to be waited for, each with the number by which [`serve`](Self::serve) knows it.
    pub(crate) fn watched(&self) -> Vec<(usize, PollFd<'_>)> {
        let free = self.pairs.iter().flatten().count() < PAIRS_MAX;
        let ports = self.ports.iter().enumerate().filter(|_| free);
        let mut watched: Vec<_> = ports
            .map(|(number, (listener, _))| (number, PollFd::new(listener, PollFlags::IN)))
            .collect();
        for (slot, pair) in self.pairs.iter().enumerate() {
            let Some(pair) = pair else { continue };
            for side in [0, 1] {
                let flags = pair.wanted(side);
                if !flags.is_empty() {
                    let number = self.ports.len() + slot * 2 + side;
                    watched.push((number, PollFd::new(&pair.ends[side], flags)));
                }
            }
        }
        watched
    }

    pub(crate) fn serve(&mut self, number: usize, ready: PollFlags) {
        if let Some((listener, target)) = self.ports.get(number) {
            // A caller that cannot be led on is hung up on.
            if let Ok((caller, _)) = listener.accept()
                && caller.set_nonblocking(true).is_ok()
                && let Ok(target) = dial(target)
            {
                self.add(Pair { ends: [caller.into(), target], flows: Default::default() });
            }
            return;
        }
        let number = number - self.ports.len();
        let Some(slot) = self.pairs.get_mut(number / 2) else { return };
        if slot.as_mut().is_some_and(|pair| pair.serve(number % 2, ready).is_err() || pair.over()) {
            *slot = None;
        }
    }

    fn add(&mut self, pair: Pair) {
        match self.pairs.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(pair),
            None => self.pairs.push(Some(pair)),
        }
    }
}

impl Pair {
    fn wanted(&self, side: usize) -> PollFlags {
        let mut flags = PollFlags::empty();
        let (out, back) = (&self.flows[side], &self.flows[1 - side]);
        flags.set(PollFlags::IN, !out.ended && out.held.is_empty());
        flags.set(PollFlags::OUT, !back.held.is_empty());
        flags
    }

    fn serve(&mut self, side: usize, ready: PollFlags) -> io::Result<()> {
        if ready.intersects(PollFlags::OUT) {
            self.write(1 - side)?;
        }
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(side)?;
        }
        Ok(())
    }

    fn read(&mut self, side: usize) -> io::Result<()> {
        let flow = &mut self.flows[side];
        if flow.ended || !flow.held.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; HELD_BYTES];
        match rustix::io::read(&self.ends[side], &mut buffer) {
            Ok(0) => flow.ended = true,
            Ok(count) => flow.held.extend(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.write(side)
    }

    /// Writes what the flow from `side` holds to the other end.
    fn write(&mut self, side: usize) -> io::Result<()> {
        let flow = &mut self.flows[side];
        let to = &self.ends[1 - side];
        while !flow.held.is_empty() {
            match rustix::io::write(to, &flow.held) {
                Ok(count) => drop(flow.held.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        flow.held = Vec::new();
        if flow.ended && !flow.closed {
            flow.closed = true;
            shutdown(to, Shutdown::Write)?;
        }
        Ok(())
    }

    fn over(&self) -> bool {
        self.flows.iter().all(|flow| flow.closed)
    }
}
