//! Empty network namespaces whose loopback listeners are held outside. A namespace has an owner
//! outside every box, so nobody inside can configure it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
#[expect(
    clippy::disallowed_types,
    reason = "poisoning is harmless here and parking_lot is a dependency"
)]
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::fs::{Mode, OFlags, openat};
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
    /// The kernel's count of sockets in this namespace, readable from outside.
    sockstat: fs::File,
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

    /// Whether our listeners are the only sockets in it: of any family and state, also such as
    /// wait to be accepted. A number the kernel keeps, not a walk through its tables; the sockets of
    /// a box that is gone may count for a moment longer.
    pub fn is_empty(&self) -> bool {
        let mut text = [0; 512];
        let count = self.sockstat.read_at(&mut text, 0).unwrap_or(0);
        let text = text.get(..count).map(String::from_utf8_lossy).unwrap_or_default();
        sockets(&text) == Some(self.listeners.len())
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
        if namespace.is_empty() {
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

/// What one namespace is made of, as it comes from where it was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) namespace: OwnedFd,
    pub(crate) sockstat: OwnedFd,
    pub(crate) listeners: Vec<OwnedFd>,
}

impl From<Made> for NetNs {
    fn from(made: Made) -> Self {
        let listeners = made.listeners.into_iter().map(TcpListener::from).collect();
        Self { namespace: Arc::new(made.namespace), listeners, sockstat: made.sockstat.into() }
    }
}

/// Moves this thread into a new network namespace and prepares it.
pub(crate) fn make(proc: &OwnedFd, ports: &[u64]) -> io::Result<Made> {
    sys::unshare(UnshareFlags::NEWNET)?;
    let any = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::loopback_up(any.as_fd())?;
    open(proc, ports)
}

/// Opens listeners in the namespace this thread is in.
pub(crate) fn open(proc: &OwnedFd, ports: &[u64]) -> io::Result<Made> {
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
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let sockstat = openat(proc, "thread-self/net/sockstat", flags, Mode::empty())?;
    Ok(Made { namespace: zygote::namespace(proc, "net")?, sockstat, listeners })
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

/// Reads the number of sockets from `/proc/net/sockstat`.
fn sockets(table: &str) -> Option<usize> {
    table.lines().find_map(|line| line.strip_prefix("sockets: used "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_sockets_is_read() {
        assert_eq!(sockets("sockets: used 2\nTCP: inuse 2 orphan 0\n"), Some(2));
        assert_eq!(sockets("TCP: inuse 2\n"), None);
    }
}
