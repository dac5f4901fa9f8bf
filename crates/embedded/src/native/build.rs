//! From a launch to a box: what stands where, and what a failure means.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use engine::port::backend::Prepare;
use engine::port::{BoxMount, Launch, StartError};
use model::{InputTrust, Limits};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sandbox::{Cpu, Error, Mode as Access, Mount, Owner, Scratch, ScratchLimits, Spec, View, Wall};

use super::place::{Place, Record};
use super::running::NativeBox;
use super::{NativeConfig, Shared};

/// The worker, as the box sees it.
const WORKER: &str = "/opt/worker";
/// The socket at which it calls, as the box sees it.
const SOCKET: &str = "/run/worker.sock";
/// The most thousandths of a processor that the kernel is told.
const CPU_MILLI_MAX: u32 = 1_000_000;

/// Builds a box. Armed: it is destroyed when it is dropped before somebody takes it.
pub(super) fn build(
    shared: &Arc<Shared>,
    launch: &Launch,
    prepare: Prepare,
    begun: Instant,
) -> Result<NativeBox, StartError> {
    all_there(launch)?;
    let place = Place::new(&shared.config.run, launch.sandbox);
    place.make().map_err(kernel("make the folder of the box"))?;
    let built = build_in(shared, &place, launch, prepare, begun);
    // What cannot be removed now, the next sweep removes.
    built.inspect_err(|_| drop(place.remove()))
}

fn build_in(
    shared: &Arc<Shared>,
    place: &Place,
    launch: &Launch,
    prepare: Prepare,
    begun: Instant,
) -> Result<NativeBox, StartError> {
    let bounds = ScratchLimits {
        bytes: launch.limits.scratch_bytes_max,
        inodes: launch.limits.scratch_inodes_max,
    };
    let scratch = shared.launcher.scratch(&bounds).map_err(refused)?;
    furnish_session(&scratch, prepare).map_err(kernel("prepare the session"))?;
    let net = shared.nets.lease().map_err(refused)?;
    let ends = place.open(&net).map_err(kernel("listen for the box"))?;
    let mounts = overlays(&launch.mounts);
    let spec = Spec {
        net: Some(net.handle()),
        run: Some(place.run()),
        ..specification(launch, &shared.config)
    };
    let child = shared.launcher.spawn(spec, scratch).map_err(refused)?;
    let elapsed = shared.clock.instant().duration_since(begun);
    let record = Record { sandbox: launch.sandbox, child: child.record(), mounts: mounts.clone() };
    let mut started = NativeBox::new(shared, place.clone(), child, mounts, ends)
        .map_err(kernel("hold the box"))?;
    started.arm(elapsed);
    place.write_record(&record).map_err(kernel("write the record of the box"))?;
    Ok(started)
}

/// Names what is missing before anything is built.
fn all_there(launch: &Launch) -> Result<(), StartError> {
    let checkouts = launch.mounts.iter().map(|mount| &mount.checkout);
    for path in checkouts.chain(launch.programs.iter().map(|(host, _)| host)) {
        fs::metadata(path).map_err(|source| StartError::Mount { path: path.clone(), source })?;
    }
    Ok(())
}

/// Puts the session file into the scratch and gives it to the box.
fn furnish_session(scratch: &Scratch, prepare: Prepare) -> io::Result<()> {
    let session = session(scratch)?;
    prepare(session.try_clone()?)?;
    let root = PathBuf::from(format!("/proc/self/fd/{}", session.as_raw_fd()));
    // No box runs yet: nobody moves anything here.
    if scratch.uid() != rustix::process::geteuid().as_raw() {
        give_below(&root, scratch.uid())?;
    }
    Ok(())
}

fn give_below(root: &Path, uid: u32) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            lchown(entry.path(), Some(uid), Some(uid))?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// The folder that is `/session`.
pub(super) fn session(scratch: &Scratch) -> io::Result<OwnedFd> {
    below(scratch, "session")
}

/// The folder of the changes of an overlay.
pub(super) fn upper(scratch: &Scratch, number: u32) -> io::Result<OwnedFd> {
    below(scratch, &format!("upper/{number}"))
}

/// These folders belong to us: a box cannot replace them.
fn below(scratch: &Scratch, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(scratch.dir(), path, flags, Mode::empty())?)
}

/// Which overlay of the scratch each mount is.
fn overlays(mounts: &[BoxMount]) -> Vec<Option<u32>> {
    let mut next = 0..;
    let overlay = |mount: &BoxMount| {
        let writable = mount.mode != model::Mode::ReadOnly;
        writable.then(|| next.next()).flatten()
    };
    mounts.iter().map(overlay).collect()
}

fn specification(launch: &Launch, config: &NativeConfig) -> Spec {
    let read_only = |source: &Path, target: &Path, owner| Mount {
        target: target.to_owned(),
        view: View::Bind { source: source.to_owned(), mode: Access::ReadOnly, owner },
    };
    let mut mounts = vec![read_only(&config.worker, Path::new(WORKER), Owner::Unmapped)];
    let programs = launch.programs.iter();
    mounts.extend(programs.map(|(host, target)| read_only(host, target, Owner::Unmapped)));
    mounts.extend(launch.mounts.iter().map(|mount| match mount.mode {
        model::Mode::ReadOnly => read_only(&mount.checkout, &mount.target, Owner::Mapped),
        model::Mode::ReadWrite | model::Mode::Propose => Mount {
            target: mount.target.clone(),
            view: View::Overlay { lowers: vec![mount.checkout.clone()], owner: Owner::Mapped },
        },
    }));
    let mut require = Wall::UNTRUSTED.to_vec();
    if mounts.iter().any(|mount| matches!(mount.view, View::Overlay { .. })) {
        require.push(Wall::Overlay);
    }
    if launch.input_trust == InputTrust::Untrusted {
        require.push(Wall::Pids);
    }
    let away = config.away_max.as_secs_f64().to_string();
    Spec {
        mounts,
        require,
        cwd: PathBuf::from("/"),
        limits: limits(&launch.limits),
        ..Spec::new(launch.sandbox.to_string(), [WORKER, SOCKET, "--away", &away])
    }
}

fn limits(limits: &Limits) -> sandbox::Limits {
    let quota = limits.cpu_milli_max.min(CPU_MILLI_MAX);
    sandbox::Limits {
        memory_bytes: Some(limits.memory_bytes_max),
        pids: limits.pids_max,
        cpu: Some(Cpu { weight: 100, quota_milli: Some(quota) }),
        file_bytes: limits.scratch_bytes_max,
        ..sandbox::Limits::default()
    }
}

/// What a failure of the sandbox means for who asked for a box.
pub(super) fn refused(error: Error) -> StartError {
    match error {
        Error::Missing { wall, reason } => StartError::Wall { wall: wall.to_string(), why: reason },
        Error::NoUid(_) | Error::Died => StartError::Exhausted(error.to_string()),
        Error::Host { doing, source } => exhausted_or_kernel(doing, source),
        Error::Build { phase, source } => exhausted_or_kernel(phase.to_string(), source),
        other => {
            StartError::Kernel { step: "build the box".to_owned(), source: io::Error::other(other) }
        }
    }
}

fn exhausted_or_kernel(step: String, source: io::Error) -> StartError {
    let exhausted = [Errno::AGAIN, Errno::NOMEM, Errno::NOSPC, Errno::MFILE, Errno::NFILE];
    if exhausted.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) {
        return StartError::Exhausted(format!("cannot {step}: {source}"));
    }
    StartError::Kernel { step, source }
}

pub(super) fn kernel(step: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Kernel { step: step.to_owned(), source }
}
