//! The only way out of git and ssh: a port on loopback that leads to one host, at the addresses that were checked, counts
//! what comes back, and is gone with the run that it was made for. For git it is a SOCKS 5 proxy with a password; ssh
//! speaks no SOCKS: for it the port is the host, once, and for processes of our own user.
//!
//! So a name is looked up once, by us; a redirect, a second host or a remote without an end lead nowhere.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::task::{TaskKind, Tasks};

/// How long the greeting of a connection may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long a connection to the remote may take to come about.
const CONNECT: Duration = Duration::from_secs(15);
/// Connections through one door, in all.
const CONNECTIONS_MAX: u32 = 32;

/// Who is let through.
#[derive(Debug)]
pub(super) enum Lock {
    /// Who speaks SOCKS, knows this password and asks for the host.
    Socks(String),
    /// The first process of our own user; whether it came.
    OurOwn(AtomicBool),
}

/// Where a door leads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The host as the program asks for it.
    pub(super) host: String,
    pub(super) port: u16,
    /// The addresses that were checked.
    pub(super) addresses: Vec<SocketAddr>,
    /// Bytes that may come back.
    pub(super) bytes_max: u64,
}

/// An open door. Dropped, every connection through it is cut.
#[derive(Debug)]
pub(super) struct Door {
    /// Where it is, on loopback.
    pub(super) port: u16,
    state: Arc<State>,
    _over: DropGuard,
}

#[derive(Debug)]
struct State {
    target: Target,
    lock: Lock,
    carried: AtomicU64,
    too_much: AtomicBool,
    connected: AtomicBool,
    over: CancellationToken,
}

impl Door {
    pub(super) async fn open(target: Target, lock: Lock, tasks: &Tasks) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let over = CancellationToken::new();
        let state = Arc::new(State {
            target,
            lock,
            carried: AtomicU64::new(0),
            too_much: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            over: over.clone(),
        });
        let (serving, connections) = (state.clone(), tasks.clone());
        tasks.spawn(TaskKind::Connection, "door to a remote", async move {
            let accept = accept(&listener, &serving, &connections);
            serving.over.run_until_cancelled(accept).await;
        });
        Ok(Self { port, state, _over: over.drop_guard() })
    }

    /// Its address as that of a proxy, with the password that it asks for, where it is one.
    pub(super) fn proxy(&self) -> Option<String> {
        let Lock::Socks(password) = &self.state.lock else { return None };
        Some(format!("socks5h://{USER}:{password}@127.0.0.1:{}", self.port))
    }

    /// Whether more came back than may.
    pub(super) fn saw_too_much(&self) -> bool {
        self.state.too_much.load(Ordering::Relaxed)
    }

    /// Whether the remote was ever reached.
    pub(super) fn reached(&self) -> bool {
        self.state.connected.load(Ordering::Relaxed)
    }
}

async fn accept(listener: &TcpListener, state: &Arc<State>, tasks: &Tasks) {
    for _ in 0..CONNECTIONS_MAX {
        let Ok((client, _)) = listener.accept().await else { return };
        let state = state.clone();
        tasks.spawn(TaskKind::Connection, "connection to a remote", async move {
            let served = state.over.run_until_cancelled(serve(client, &state)).await;
            if let Some(Err(problem)) = served {
                tracing::debug!(%problem, "a connection to a remote ended");
            }
        });
    }
}

/// The user that the proxy asks for; the password is what counts.
const USER: &str = "remit";
const VERSION: u8 = 5;
/// By user and password, RFC 1929.
const BY_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT_TO: u8 = 1;
const NAME: u8 = 3;
const IPV4: u8 = 1;
const IPV6: u8 = 4;
const GRANTED: u8 = 0;
const NOT_ALLOWED: u8 = 2;
const UNREACHABLE: u8 = 4;

async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let known = match &state.lock {
        Lock::Socks(password) => {
            let greeted = greet(&mut client, &state.target, password);
            let greeted = tokio::time::timeout(GREETING, greeted).await;
            greeted.is_ok_and(|greeted| greeted.unwrap_or(false))
        }
        Lock::OurOwn(came) => is_ours(&client).await && !came.swap(true, Ordering::Relaxed),
    };
    if !known {
        return Ok(());
    }
    let connect = TcpStream::connect(&state.target.addresses[..]);
    let Ok(Ok(remote)) = tokio::time::timeout(CONNECT, connect).await else {
        return state.reply(&mut client, UNREACHABLE).await;
    };
    state.connected.store(true, Ordering::Relaxed);
    state.reply(&mut client, GRANTED).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_remote, mut to_remote) = remote.into_split();
    let there = pump(&mut from_client, &mut to_remote, |_| true);
    let back = pump(&mut from_remote, &mut to_client, |bytes| state.may_carry(bytes));
    tokio::try_join!(there, back)?;
    Ok(())
}

impl State {
    /// Answers who speaks SOCKS; nobody else waits for an answer.
    async fn reply(&self, client: &mut TcpStream, outcome: u8) -> std::io::Result<()> {
        match self.lock {
            Lock::Socks(_) => reply(client, outcome).await,
            Lock::OurOwn(_) => Ok(()),
        }
    }

    fn may_carry(&self, bytes: u64) -> bool {
        let carried = self.carried.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let may = carried <= self.target.bytes_max;
        if !may {
            self.too_much.store(true, Ordering::Relaxed);
            self.over.cancel();
        }
        may
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    may: impl Fn(u64) -> bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 32 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || !may(read as u64) {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Whether the client knows the password and asks for the one host.
async fn greet(client: &mut TcpStream, target: &Target, expected: &str) -> std::io::Result<bool> {
    if client.read_u8().await? != VERSION {
        return Ok(false);
    }
    let methods = text(client).await?;
    if !methods.contains(&BY_PASSWORD) {
        client.write_all(&[VERSION, NO_METHOD]).await?;
        return Ok(false);
    }
    client.write_all(&[VERSION, BY_PASSWORD]).await?;
    let _version = client.read_u8().await?;
    let (user, password) = (text(client).await?, text(client).await?);
    let known = user == USER.as_bytes() && password == expected.as_bytes();
    client.write_all(&[1, u8::from(!known)]).await?;
    if !known {
        return Ok(false);
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let host = match head[3] {
        NAME => String::from_utf8_lossy(&text(client).await?).to_ascii_lowercase(),
        IPV4 => Ipv4Addr::from_bits(client.read_u32().await?).to_string(),
        IPV6 => std::net::Ipv6Addr::from_bits(client.read_u128().await?).to_string(),
        _ => return Ok(false),
    };
    let port = client.read_u16().await?;
    let wanted = [VERSION, CONNECT_TO, 0] == head[..3];
    if wanted && host == target.host && port == target.port {
        return Ok(true);
    }
    tracing::warn!("the git program asked for another host than it was given");
    reply(client, NOT_ALLOWED).await?;
    Ok(false)
}

/// Whether the other end of a connection on loopback is a process of our own user, as the kernel's list of connections
/// says.
async fn is_ours(client: &TcpStream) -> bool {
    let (Ok(SocketAddr::V4(peer)), Ok(SocketAddr::V4(here))) =
        (client.peer_addr(), client.local_addr())
    else {
        return false;
    };
    let shown = |it: SocketAddrV4| {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port())
    };
    let (from, to) = (shown(peer), shown(here));
    let Ok(list) = tokio::fs::read_to_string("/proc/self/net/tcp").await else { return false };
    let us = rustix::process::geteuid().as_raw().to_string();
    list.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1..3) == Some(&[&from, &to]) && words.get(7) == Some(&us.as_str())
    })
}

/// Bytes with their number before them.
async fn text(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut text).await?;
    Ok(text)
}

async fn reply(client: &mut TcpStream, outcome: u8) -> std::io::Result<()> {
    client.write_all(&[VERSION, outcome, 0, IPV4, 0, 0, 0, 0, 0, 0]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_mins(3);

    /// A remote that says `said` to whoever comes, and a door to it with a password.
    async fn door(said: &'static [u8], bytes_max: u64) -> (Door, Tasks) {
        locked(Lock::Socks("secret".to_owned()), said, bytes_max).await
    }

    async fn locked(lock: Lock, said: &'static [u8], bytes_max: u64) -> (Door, Tasks) {
        let remote = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let address = remote.local_addr().expect("bound");
        let tasks = Tasks::new();
        tasks.spawn(TaskKind::Connection, "remote", async move {
            while let Ok((mut stream, _)) = remote.accept().await {
                // Whoever hangs up has heard enough.
                drop(stream.write_all(said).await);
            }
        });
        let host = "git.example.org".to_owned();
        let target = Target { host, port: 443, addresses: vec![address], bytes_max };
        (Door::open(target, lock, &tasks).await.expect("open"), tasks)
    }

    /// What comes back through the door for this password, host and port; nothing where it is shut.
    async fn through(door: &Door, password: &str, host: &str, port: u16) -> Option<Vec<u8>> {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).await.expect("open");
        let mut said = vec![5, 1, 2, 1, 5];
        said.extend_from_slice(b"remit");
        said.push(u8::try_from(password.len()).expect("short"));
        said.extend_from_slice(password.as_bytes());
        said.extend_from_slice(&[5, 1, 0, 3, u8::try_from(host.len()).expect("short")]);
        said.extend_from_slice(host.as_bytes());
        said.extend_from_slice(&port.to_be_bytes());
        client.write_all(&said).await.expect("written");
        let mut heard = vec![];
        let read = tokio::time::timeout(DEADLINE, client.read_to_end(&mut heard));
        // A door that is shut may be shut with words on the way.
        drop(read.await.expect("in time"));
        heard.strip_prefix(&[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).map(<[u8]>::to_vec)
    }

    #[tokio::test]
    async fn a_door_leads_to_one_host_for_who_has_its_password() {
        let (door, _tasks) = door(b"hello", 100).await;
        assert_eq!(
            through(&door, "secret", "git.example.org", 443).await.as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(
            through(&door, "secret", "GIT.example.org", 443).await.as_deref(),
            Some(&b"hello"[..])
        );
        for (password, host, port) in [
            ("wrong", "git.example.org", 443),
            ("secret", "127.0.0.1", 443),
            ("secret", "git.example.org.evil.org", 443),
            ("secret", "git.example.org", 22),
        ] {
            assert_eq!(through(&door, password, host, port).await, None, "{host}:{port}");
        }
        assert!(door.reached() && !door.saw_too_much());
    }

    #[tokio::test]
    async fn a_door_for_our_own_lets_one_through() {
        let (door, _tasks) = locked(Lock::OurOwn(AtomicBool::new(false)), b"hello", 100).await;
        assert_eq!(door.proxy(), None);
        for expected in ["hello", ""] {
            let mut client =
                TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).await.expect("open");
            let mut heard = vec![];
            let read = tokio::time::timeout(DEADLINE, async {
                // Who is sent away may find the connection cut.
                while heard.len() < expected.len() || expected.is_empty() {
                    match client.read_buf(&mut heard).await {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => break,
                    }
                }
            });
            read.await.expect("in time");
            assert_eq!(String::from_utf8_lossy(&heard), expected);
        }
    }

    #[tokio::test]
    async fn what_comes_back_is_counted_over_all_connections() {
        let (door, _tasks) = door(b"0123456789", 25).await;
        for _ in 0..2 {
            assert!(through(&door, "secret", "git.example.org", 443).await.is_some());
        }
        assert!(!door.saw_too_much());
        let heard = through(&door, "secret", "git.example.org", 443).await;
        assert!(door.saw_too_much() && heard.is_none_or(|heard| heard.is_empty()));
    }
}
