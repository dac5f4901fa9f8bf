//! Linux isolation as a library: [`Spec`] → [`Child`].
//!
//! A box is one process tree behind every wall the kernel offers: its own user, mount, pid, net,
//! ipc, uts, cgroup and time namespaces, a host uid nobody else has, no capability, a root that is
//! a handful of read-only mounts, one size-limited tmpfs, an empty network, landlock and a seccomp
//! allow-list, under cgroup and rlimit bounds. No daemon, no image, about a millisecond.
//!
//! # Parts
//! - [`probe()`] says which walls this machine can build, and why the others are missing.
//! - [`Launcher`] keeps a *zygote*: a small helper process, started early, that holds the prepared
//!   root and from which every box is cloned. The host program may have as many threads as it
//!   likes; nothing is ever forked from it but the zygote.
//! - [`Scratch`] is the one writable file system of a box, made before it and readable after it.
//! - [`Spec`] says what a box sees and may use. A wall it [requires](Spec::require) and that does
//!   not stand is an [`Error::Missing`], never a silent downgrade.
//! - [`Child`] is the running box: a pollable pidfd, kill, freeze, statistics, and a
//!   [record](Child::record) by which a later process [adopts](Launcher::adopt) it.
//! - [`NetPool`] prepares empty network namespaces whose loopback listeners are held outside.
//!
//! # The zygote
//! The zygote is an executable that calls [`zygote_main`]. By default it is the host program
//! itself, run again with another `argv[0]`; so the first line of its `main` is
//! ```no_run
//! sandbox::zygote_main_if_asked();
//! ```
//! A program that cannot do that names another executable in [`Config::zygote`]; `sandbox-zygote`
//! of this crate is one.
//!
//! # A box, start to end
//! ```no_run
//! use sandbox::{Config, Launcher, Spec, ScratchLimits};
//!
//! sandbox::zygote_main_if_asked();
//! let launcher = Launcher::start(Config::new("demo"))?;
//! let scratch = launcher.scratch(&ScratchLimits::default())?;
//! let spec = Spec::new("box-1", ["/usr/bin/id"]);
//! let mut child = launcher.spawn(spec, scratch)?;
//! let exit = child.wait(None)?;
//! println!("{exit:?}");
//! child.destroy()?;
//! # Ok::<(), sandbox::Error>(())
//! ```
//!
//! # What it never does
//! It knows nothing of dispatches, agents or git, reads no environment and no configuration, and
//! starts no thread that outlives a call.
#![expect(unsafe_code, reason = "namespaces, seccomp and landlock have no safe interface")]

mod adopt;
mod blocks;
mod cgroup;
mod child;
mod enter;
mod error;
mod landlock;
mod launcher;
mod line;
mod mounts;
mod net;
mod order;
mod plan;
mod probe;
mod scratch;
mod seccomp;
mod spec;
mod sys;
mod template;
mod uids;
mod wire;
mod zygote;

pub use adopt::{Found, Record};
pub use child::{Child, Exit, Stats};
pub use error::{Error, Phase};
pub use launcher::{Config, Launcher};
pub use net::{NetNs, NetPool};
pub use probe::{Report, Standing, Wall, probe};
pub use scratch::{Scratch, ScratchLimits};
pub use seccomp::seccomp_program;
pub use spec::{Cpu, Limits, Mode, Mount, Owner, Ports, Spec, Stdio, View};
pub use uids::UidRange;
pub use zygote::{zygote_main, zygote_main_if_asked};
