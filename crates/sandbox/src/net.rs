//! Empty network namespaces whose loopback listeners are held outside. A namespace has an owner
//! outside every box, so nobody inside can configure it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
#[expect(
    clippy::disallowed_types,
    reason = "poisoning is harmless here and parking_lot is a dependency"
)]
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
    sockopt::set_socket_reuseaddr,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::launcher::Launcher;
use crate::{Error, sys, zygote};

const BACKLOG: i32 = 128;

/// A bounded pool of prepared network namespaces.
///
/// Making one costs the kernel about a millisecond, and taking one down happens in its own time;
/// so they are used again. A namespace serves one box at a time, and before it serves another it
/// is checked to be empty; one that is not is dropped.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub struct NetPool {
    launcher: Arc<Launcher>,
    ports: Vec<u16>,
    size: usize,
    free: Mutex<Vec<NetNs>>,
}

/// A network namespace with loopback up, and its listeners. Dropping it ends both, once no box
/// lives in it.
#[derive(Debug)]
pub struct NetNs {
    namespace: Arc<OwnedFd>,
    listeners: Vec<TcpListener>,
}

impl NetNs {
    /// For [`Spec::net`](crate::Spec::net).
    pub fn handle(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.namespace)
    }

    /// One listener for each port of the pool, in that order: on 127.0.0.1 of this namespace,
    /// non-blocking, closed on exec.
    pub fn listeners(&self) -> &[TcpListener] {
        &self.listeners
    }
}

impl NetPool {
    /// A pool that keeps up to `size` namespaces, each listening on `ports`. Makes none yet.
    #[expect(clippy::disallowed_types, reason = "as above")]
    pub fn new(launcher: Arc<Launcher>, ports: Vec<u16>, size: usize) -> Self {
        Self { launcher, ports, size, free: Mutex::new(Vec::new()) }
    }

    /// How many prepared namespaces wait.
    pub fn ready(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Makes namespaces until `size` wait. Blocks about a millisecond for each: call it at start
    /// and, off the hot path, after leases.
    pub fn fill(&self) -> Result<(), Error> {
        while self.ready() < self.size {
            let made = self.make()?;
            self.put(made);
        }
        Ok(())
    }

    /// Takes a prepared namespace, or makes one if none waits.
    pub fn lease(&self) -> Result<NetNs, Error> {
        let waiting = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.map_or_else(|| self.make(), Ok)
    }

    /// Takes back the namespace of a box that is destroyed. It is kept if it is empty and there
    /// is room, else dropped.
    pub fn give_back(&self, namespace: NetNs) {
        if is_empty(&namespace.namespace, &self.ports).unwrap_or(false) {
            self.put(namespace);
        }
    }

    /// The namespace of a box that was adopted, with new listeners: those of the dead server are
    /// gone with it.
    pub fn reopen(&self, child: &crate::Child) -> Result<NetNs, Error> {
        let path = format!("/proc/{}/ns/net", child.pid());
        let namespace = fs::File::open(&path).map_err(Error::host(format!("open {path}")))?;
        self.launcher.net_namespace(&self.ports, Some(namespace.into())).map(NetNs::from)
    }

    fn make(&self) -> Result<NetNs, Error> {
        self.launcher.net_namespace(&self.ports, None).map(NetNs::from)
    }

    fn put(&self, namespace: NetNs) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.size {
            free.push(namespace);
        }
    }
}

impl From<(OwnedFd, Vec<OwnedFd>)> for NetNs {
    fn from((namespace, listeners): (OwnedFd, Vec<OwnedFd>)) -> Self {
        let listeners = listeners.into_iter().map(TcpListener::from).collect();
        Self { namespace: Arc::new(namespace), listeners }
    }
}

/// Moves this thread into a new network namespace and prepares it.
pub(crate) fn make(proc: &OwnedFd, ports: &[u64]) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    sys::unshare(UnshareFlags::NEWNET)?;
    let any = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::loopback_up(any.as_fd())?;
    open(proc, ports)
}

/// Opens listeners in the namespace this thread is in.
pub(crate) fn open(proc: &OwnedFd, ports: &[u64]) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    let listeners = ports.iter().map(|port| {
        let port = u16::try_from(*port).map_err(|_| io::ErrorKind::InvalidInput)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    });
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    Ok((zygote::namespace(proc, "net")?, listeners))
}

/// Runs `then` on a thread of its own, which may leave its network namespace.
pub(crate) fn on_thread<T: Send>(then: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, then)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}

pub(crate) fn enter(namespace: &OwnedFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Whether no socket but our listeners is left in a namespace.
fn is_empty(namespace: &OwnedFd, ports: &[u16]) -> io::Result<bool> {
    on_thread(|| {
        enter(namespace)?;
        let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        let mut empty = is_only_listeners(&read("tcp")?, ports);
        for name in
            ["tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "packet", "unix", "netlink"]
        {
            // A file that is not there is a family that the kernel lacks.
            let text = read(name).unwrap_or_default();
            empty &= text.lines().skip(1).all(|line| is_kernel_socket(name, line));
        }
        Ok(empty)
    })
}

/// The kernel's own netlink sockets have port 0.
fn is_kernel_socket(family: &str, line: &str) -> bool {
    family == "netlink" && line.split_whitespace().nth(2) == Some("0")
}

/// Reads `/proc/net/tcp`: our listeners, and connections that are over (state 06, TIME-WAIT).
fn is_only_listeners(table: &str, ports: &[u16]) -> bool {
    table.lines().skip(1).all(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        let port = local.and_then(|local| u16::from_str_radix(local.rsplit(':').next()?, 16).ok());
        match state {
            Some("06") => true,
            Some("0A") => port.is_some_and(|port| ports.contains(&port)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_listeners_and_dead_connections_count_as_empty() {
        let head = "  sl  local_address rem_address   st tx_queue\n";
        let line = |local: &str, state: &str| {
            format!("{head}   0: 0100007F:{local} 00000000:0000 {state} 00000000:00000000\n")
        };
        assert!(is_only_listeners(head, &[]));
        assert!(is_only_listeners(&line("21FC", "0A"), &[8700]));
        assert!(is_only_listeners(&line("8000", "06"), &[8700]));
        assert!(!is_only_listeners(&line("21FD", "0A"), &[8700]));
        assert!(!is_only_listeners(&line("21FC", "01"), &[8700]));
    }
}
