//! What can go wrong, one variant for each thing a caller can do differently.

use std::{fmt, io};

use crate::probe::Wall;

/// A box was not built, found or ended as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A required wall does not stand on this machine. Nothing was started.
    #[error("the wall {wall} is required and missing: {reason}")]
    Missing {
        /// The wall.
        wall: Wall,
        /// What the kernel or its configuration lacks.
        reason: String,
    },
    /// The specification contradicts itself or breaks a rule. Nothing was started.
    #[error("the specification is invalid: {0}")]
    Invalid(String),
    /// A target lies where nothing can be mounted. Nothing was started.
    #[error(
        "nothing can be mounted at {target}: it is neither a mount point of the root nor below one or below an overlay"
    )]
    NoMountPoint {
        /// The path inside the box.
        target: String,
    },
    /// A box of that id exists, or the cgroup of one that was not swept. Nothing was started.
    #[error("there is a box {0} already")]
    Exists(String),
    /// Every uid of the range is leased, by this launcher or by others of this machine. Try again once a box is gone.
    #[error("all {0} uids of the range are in use")]
    NoUid(u32),
    /// The host side of a box could not be prepared. What was begun has been undone.
    #[error("cannot {doing}")]
    Host {
        /// What was tried, with its object.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// One wall could not be built inside the new process, which is gone again.
    #[error("the box failed while it tried to {phase}")]
    Build {
        /// The step that failed.
        phase: Phase,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The process died before it ran its program, most likely for lack of memory.
    #[error("the box was killed while it was built")]
    Died,
    /// The zygote did not answer, also not after a restart.
    #[error("the zygote did not answer")]
    Zygote(#[source] io::Error),
    /// A record that is not one of ours, or of another version.
    #[error("the record is malformed")]
    Record,
    /// The kernel did not obey in time; the box may still be there.
    #[error("the box did not {0} in time")]
    Stuck(&'static str),
}

impl Error {
    /// For `map_err`: wraps a cause with what was tried.
    pub(crate) fn host<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Host { doing, source: source.into() }
    }
}

macro_rules! phases {
    ($($(#[$doc:meta])* $name:ident = $says:literal,)+) => {
        /// A step between `clone` and the first instruction of the program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Phase { $($(#[$doc])* $name,)+ }

        impl Phase {
            const ALL: &[Self] = &[$(Self::$name,)+];
        }

        impl fmt::Display for Phase {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $says,)+ })
            }
        }
    };
}

phases! {
    /// The network namespace was joined by the zygote.
    JoinNet = "join its network namespace",
    /// `clone3`.
    Clone = "clone into new namespaces",
    /// uid and gid maps.
    MapIds = "map its uid and gid",
    /// Membership of the v1 cgroups.
    JoinCgroup = "join its cgroups",
    /// The signal to go on.
    Go = "wait for its maps",
    /// `setsid`.
    Session = "start a session",
    /// The cgroup namespace.
    CgroupNs = "hide its cgroup path",
    /// `sethostname`.
    Hostname = "set its host name",
    /// Attaching the scratch file system.
    Scratch = "attach its scratch",
    /// The change to the uid of the box.
    Ids = "take its uid",
    /// `/proc`.
    Proc = "mount /proc",
    /// Masks over parts of `/proc`.
    Mask = "mask parts of /proc",
    /// `/dev/pts`.
    Terminals = "mount its terminals",
    /// A bind or a folder of the scratch.
    Attach = "attach a mount",
    /// An overlay.
    Overlay = "mount an overlay",
    /// The working directory.
    Cwd = "enter its working directory",
    /// A resource limit.
    Rlimit = "set a resource limit",
    /// Standard descriptors.
    Stdio = "connect its standard descriptors",
    /// Capabilities and secure bits.
    Capabilities = "drop its capabilities",
    /// `no_new_privs`.
    NoNewPrivs = "renounce new privileges",
    /// landlock.
    Landlock = "lock its files with landlock",
    /// seccomp.
    Seccomp = "install its system call filter",
    /// `execve`.
    Exec = "execute its program",
}

impl Phase {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}
