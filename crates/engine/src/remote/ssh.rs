//! The ssh program of this host, for one connection to one remote: without any configuration, agent or forwarding, with
//! one private key, and with no host that the operator did not pin.
//!
//! Git does not start it and cannot: both are started here, and talk over a pair of sockets. So the key, which is in
//! memory that has no name, is open to the ssh process and to the shell that stands before it, and to nobody else. What
//! the remote says beside the protocol is thrown away; what ssh itself says is read when it has ended.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::Resource;
use tokio::process::Command;

use super::{RemoteUrl, SAID_BYTES_MAX, TIME_MAX};
use crate::git_program::{GO, GitRun, NotStarted, start_bounded};
use crate::task::Tasks;

/// Where it is looked for; the environment is not asked.
const PLACES: [&str; 3] = ["/usr/bin/ssh", "/usr/local/bin/ssh", "/bin/ssh"];
/// Bytes that ssh may say about itself; it says some thousands.
const LOG_BYTES_MAX: u64 = 256 << 10;

/// Holds ssh back until its bounds stand, and then the descriptors that ssh closes when it starts: it finds them again as
/// the shell's. The shell gets the key as its standard error and the log as its standard output, and lets nobody write
/// to either by mistake. `$1` is the file of the known hosts.
const SHELL: &str = "read -r _ && exec 3<&2 4>&1 2>/dev/null 1>&0 5<\"$1\" && shift && \
    \"$0\" -F none -E /proc/$$/fd/4 -i /proc/$$/fd/3 -o UserKnownHostsFile=/proc/$$/fd/5 \"$@\"; exit $?";

/// What holds for every connection, whatever ssh takes for usual.
const SETTINGS: [&str; 26] = [
    "AddKeysToAgent=no",
    "BatchMode=yes",
    "CanonicalizeHostname=no",
    "CheckHostIP=no",
    "ClearAllForwardings=yes",
    "ConnectTimeout=20",
    "ConnectionAttempts=1",
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    // It says there which key the host has.
    "LogLevel=DEBUG1",
    // The door is there, and the host that is meant is not.
    "NoHostAuthenticationForLocalhost=no",
    "PermitLocalCommand=no",
    "PreferredAuthentications=publickey",
    "ProxyCommand=none",
    "RequestTTY=no",
    "ServerAliveCountMax=2",
    "ServerAliveInterval=15",
    "StrictHostKeyChecking=yes",
    "Tunnel=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
];

/// The ssh program.
#[derive(Debug)]
pub struct SshProgram(PathBuf);

/// What one connection is made with.
pub(super) struct Call<'a> {
    pub(super) url: &'a RemoteUrl,
    /// The port of the door on loopback that leads there.
    pub(super) door: u16,
    pub(super) key: &'a str,
    /// Where the operator pinned the keys of hosts, as OpenSSH's `known_hosts`; none is known without.
    pub(super) known_hosts: Option<&'a Path>,
    /// What runs over there.
    pub(super) service: &'a str,
}

/// A connection that was begun. Dropped, it is cut.
#[derive(Debug)]
pub(super) struct Called {
    log: File,
    _run: GitRun,
}

impl SshProgram {
    /// The program, where this host has it.
    pub fn find() -> Option<Self> {
        PLACES.iter().map(PathBuf::from).find(|path| path.is_file()).map(Self)
    }

    /// Connects; what is said to the other end of `own`, which is `other`, the remote hears.
    pub(super) fn call(
        &self,
        call: &Call<'_>,
        own: UnixStream,
        mut other: &UnixStream,
        tasks: &Tasks,
    ) -> Result<Called, NotStarted> {
        let log = in_memory("ssh log", &[])?;
        let key = in_memory("ssh key", call.key.as_bytes())?;
        let never = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&key, never).map_err(io::Error::from)?;
        let (url, hosts) = (call.url, call.known_hosts.unwrap_or(Path::new("/dev/null")));
        drop(File::open(hosts)?);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SHELL]).arg(&self.0).arg(hosts);
        for setting in SETTINGS {
            command.args(["-o", setting]);
        }
        command
            .args(["-o", &format!("HostKeyAlias={}", known_as(url))])
            .args(["-T", "-a", "-x", "-k", "-l", url.user(), "-p", &call.door.to_string()])
            // No quote can stand in a path.
            .args(["--", "127.0.0.1", &format!("{} '{}'", call.service, url.path_there())])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(OwnedFd::from(own))
            .stdout(log.try_clone()?)
            .stderr(key);
        let run = start_bounded(command, tasks, TIME_MAX, &[(Resource::Fsize, LOG_BYTES_MAX)])?;
        other.write_all(GO)?;
        Ok(Called { log, _run: run })
    }
}

impl Called {
    /// What ssh said about itself so far: all of it once the connection is over.
    pub(super) fn log(&self) -> String {
        let mut said = vec![0; SAID_BYTES_MAX];
        let read = self.log.read_at(&mut said, 0).unwrap_or_default();
        String::from_utf8_lossy(&said[..read]).into_owned()
    }
}

/// The name under which the key of a host is pinned.
pub(super) fn known_as(url: &RemoteUrl) -> String {
    match url.port() {
        22 => url.host().to_owned(),
        port => format!("[{}]:{port}", url.host()),
    }
}

/// A file that is nowhere but in memory, and for this user alone.
fn in_memory(name: &str, content: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    Ok(file)
}
