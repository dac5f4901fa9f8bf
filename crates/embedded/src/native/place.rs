//! The folder of a box on the host: its sockets, which others than the box cannot reach, and its
//! record.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use engine::port::Door;
use model::SandboxId;
use rustix::fs::{Mode, OFlags};
use sandbox::NetNs;
use serde_json::{Value, json};

/// The folder of one box. Only the server passes it; the box sees what is in `run`, by a mount.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
}

/// The server's ends of a box.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) doors: Vec<Door>,
    pub(super) worker: UnixListener,
}

impl Place {
    pub(super) fn new(run: &Path, sandbox: SandboxId) -> Self {
        Self { folder: run.join(sandbox.to_string()) }
    }

    /// Makes the folder, which is not there yet.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.folder)?;
        let made = fs::create_dir(self.run())
            .and_then(|()| fs::set_permissions(self.run(), fs::Permissions::from_mode(0o711)));
        made.inspect_err(|_| drop(self.remove()))
    }

    /// What the box sees as `/run`.
    pub(super) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Listens for the box, in place of an earlier server.
    pub(super) fn open(&self, net: &NetNs) -> io::Result<Ends> {
        let ports: io::Result<Vec<TcpListener>> =
            net.listeners().iter().map(TcpListener::try_clone).collect();
        let mut doors: Vec<Door> = ports?.into_iter().map(Door::Tcp).collect();
        doors.push(Door::Unix(self.listen("gate.sock")?));
        Ok(Ends { doors, worker: self.listen("worker.sock")? })
    }

    fn listen(&self, name: &str) -> io::Result<UnixListener> {
        match fs::remove_file(self.run().join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Through the descriptor, because the path of a socket must be short.
        let run = open_folder(&self.run())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", run.as_raw_fd()));
        let listener = UnixListener::bind(&path)?;
        // For the box's uid; nobody else passes the folder above.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    }

    pub(super) fn write_record(&self, record: &Record) -> io::Result<()> {
        fs::write(self.folder.join("record"), record.to_json())
    }

    /// The record of the box, if it was written.
    pub(super) fn record(&self) -> Option<Record> {
        Record::parse(&fs::read_to_string(self.folder.join("record")).ok()?)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What a later server needs to take a box over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sandbox: SandboxId,
    pub(super) child: sandbox::Record,
    /// The number of each mount's overlay in the scratch; none where it cannot be written.
    pub(super) mounts: Vec<Option<u32>>,
}

impl Record {
    pub(super) fn to_json(&self) -> String {
        json!({
            "backend": "native",
            "sandbox": self.sandbox,
            "child": self.child.to_string(),
            "mounts": self.mounts,
        })
        .to_string()
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(text).ok()?;
        (record["backend"] == "native").then_some(())?;
        Some(Self {
            sandbox: record["sandbox"].as_str()?.parse().ok()?,
            child: record["child"].as_str()?.parse().ok()?,
            mounts: serde_json::from_value(record["mounts"].clone()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_another_backend_s_is_refused() {
        let child = "box1 sbx_00000000000000000000000007 12 34 2000000000 boot";
        let record = Record {
            sandbox: "sbx_00000000000000000000000007".parse().unwrap(),
            child: child.parse().unwrap(),
            mounts: vec![Some(0), None, Some(1)],
        };
        let text = record.to_json();
        assert_eq!(Record::parse(&text.replace("native", "process")), None);
        assert_eq!(Record::parse("{"), None);
        assert_eq!(Record::parse(&text), Some(record));
    }
}
