//! System calls that rustix does not offer, each behind a safe function where it can be one.
//! Never allocates: most of these run between `clone` and `exec`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the kernel's words have other signs and widths than libc's constants"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long};

/// What one box process is cloned with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CloneInto<'fd> {
    /// Namespace flags.
    pub(crate) flags: u64,
    /// A v2 cgroup to be born in.
    pub(crate) cgroup: Option<BorrowedFd<'fd>>,
}

/// The two sides of a clone.
pub(crate) enum Cloned {
    /// We are the child.
    Child,
    /// We are the parent.
    Parent { pid: i32, pidfd: OwnedFd },
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_PIDFD: u64 = 0x1000;

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Clones this process (which has one thread) with copy-on-write memory, like `fork`.
pub(crate) fn clone3(into: CloneInto<'_>) -> io::Result<Cloned> {
    let mut pidfd: c_int = -1;
    // SAFETY: `clone_args` is plain integers; zero means "not given" for each.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = into.flags | CLONE_PIDFD;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = into.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of::<libc::clone_args>();
    // SAFETY: no CLONE_VM and no stack, so the child goes on with a copy of this stack; the
    // caller has one thread, so no lock is held by a thread the child lacks. `pidfd` outlives it.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) };
    match check(result)? {
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).expect("the kernel returns a pid");
            // SAFETY: the kernel has just put a new descriptor here, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

/// Clones a child that shares this process's descriptors and lives in the given new namespaces,
/// runs `then` in it and waits for its end. For probing and for making namespaces.
pub(crate) fn in_child(flags: u64, then: impl FnOnce() -> i32) -> io::Result<i32> {
    match clone3(CloneInto { flags, cgroup: None })? {
        Cloned::Child => exit_now(then()),
        Cloned::Parent { pidfd, .. } => wait_status(&pidfd),
    }
}

/// Waits for a child by pidfd and returns its exit code, or 128 + signal.
pub(crate) fn wait_status(pidfd: &OwnedFd) -> io::Result<i32> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    let status = loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let status = status.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
    let code = status.exit_status();
    Ok(code.unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)))
}

/// Ends this process at once: no destructor, no exit handler.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// `mount_setattr` on a detached or attached mount.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: u64,
    userns: Option<BorrowedFd<'_>>,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation,
        userns_fd: userns.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: path is a C string, `attr` is as large as `size` says and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size,
        )
    };
    check(result).map(drop)
}

/// Sets the host name of the current UTS namespace.
pub(crate) fn sethostname(name: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    let result = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    check(result.into()).map(drop)
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller is about to exec and uses none of these descriptors again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    check(result).map(drop)
}

/// Makes descriptor number `to` a copy of `from`, inherited through exec.
pub(crate) fn dup_onto(from: c_int, to: c_int, flags: c_int) -> io::Result<()> {
    if from == to {
        // SAFETY: an integer operation on a descriptor.
        return check(unsafe { libc::fcntl(from, libc::F_SETFD, flags) }.into()).map(drop);
    }
    let flags = if flags == libc::FD_CLOEXEC { libc::O_CLOEXEC } else { 0 };
    // SAFETY: replaces a descriptor number this process no longer uses.
    check(unsafe { libc::dup3(from, to, flags) }.into()).map(drop)
}

/// Replaces this process. Returns only an error.
///
/// `argv` and `envp` must end with a null pointer and hold C strings otherwise.
pub(crate) unsafe fn execve(
    path: &CStr,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
) -> io::Error {
    // SAFETY: the caller promises null-terminated arrays of C strings.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Puts every signal back to its default action and unblocks all.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action is valid for each signal; where it is not settable
        // (KILL, STOP, the libc's own) the call fails and changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: a signal set is plain bits.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is valid for writing.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: `none` is initialised; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

/// Lets the kernel reap children by itself, or not.
pub(crate) fn autoreap(on: bool) {
    let action = if on { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: both actions are valid for SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, action) };
}

/// Gives this process an anonymous session keyring, so that no box inherits ours.
pub(crate) fn new_session_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    let name: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring. Kernels without keyrings refuse: good.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) };
}

/// Installs a seccomp filter on this thread. `no_new_privs` must be set.
pub(crate) fn seccomp(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let op = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program describes `filter`, which the kernel copies and verifies.
    check(unsafe { libc::syscall(libc::SYS_seccomp, op, 0, &raw const program) }).map(drop)
}

/// What `PIDFD_GET_INFO` knows of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidInfo {
    /// The wait status, once the process has been reaped.
    pub(crate) exit: Option<i32>,
    /// The pid in our namespace; 0 after death.
    pub(crate) pid: u32,
}

/// Asks the kernel about the process behind a pidfd; `None` on kernels before 6.13.
pub(crate) fn pid_info(pidfd: BorrowedFd<'_>) -> Option<PidInfo> {
    // SAFETY: plain integers, zero is "nothing asked".
    let mut asked: libc::pidfd_info = unsafe { std::mem::zeroed() };
    let exit = u64::from(libc::PIDFD_INFO_EXIT);
    asked.mask = u64::from(libc::PIDFD_INFO_PID) | exit;
    let request = libc::PIDFD_GET_INFO as libc::Ioctl;
    // SAFETY: the request encodes the size of `pidfd_info`, which is valid for writing.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut asked) };
    (result == 0).then_some(PidInfo {
        exit: (asked.mask & exit != 0).then_some(asked.exit_code),
        pid: asked.pid,
    })
}

/// Landlock's version here, or why there is none.
pub(crate) fn landlock_abi() -> io::Result<u32> {
    const VERSION: u32 = 1;
    let none: *const u8 = std::ptr::null();
    // SAFETY: with the version flag the kernel reads no attribute.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, VERSION) };
    check(abi).map(|abi| u32::try_from(abi).unwrap_or(0))
}

/// Creates a landlock ruleset from an attribute of the layout the kernel documents.
pub(crate) fn landlock_create(attr: &[u64; 3], size: usize) -> io::Result<OwnedFd> {
    assert!(size <= size_of_val(attr), "the attribute has three fields");
    let attr = attr.as_ptr();
    // SAFETY: `attr` is readable for `size` bytes.
    let fd = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attr, size, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(fd).expect("a descriptor")) })
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Allows `rights` beneath the file or folder `parent`.
pub(crate) fn landlock_path(
    rules: BorrowedFd<'_>,
    rights: u64,
    parent: BorrowedFd<'_>,
) -> io::Result<()> {
    const PATH_BENEATH: c_int = 1;
    let rule = PathBeneath { allowed: rights, parent: parent.as_raw_fd() };
    let (fd, rule) = (rules.as_raw_fd(), &raw const rule);
    // SAFETY: the rule has the layout of `landlock_path_beneath_attr`.
    let result = unsafe { libc::syscall(libc::SYS_landlock_add_rule, fd, PATH_BENEATH, rule, 0) };
    check(result).map(drop)
}

/// Allows `rights` on a TCP port.
pub(crate) fn landlock_port(rules: BorrowedFd<'_>, rights: u64, port: u16) -> io::Result<()> {
    const NET_PORT: c_int = 2;
    let rule: [u64; 2] = [rights, port.into()];
    let (fd, rule) = (rules.as_raw_fd(), rule.as_ptr());
    // SAFETY: the rule has the layout of `landlock_net_port_attr`.
    let result = unsafe { libc::syscall(libc::SYS_landlock_add_rule, fd, NET_PORT, rule, 0) };
    check(result).map(drop)
}

/// Puts this thread under a ruleset. `no_new_privs` must be set.
pub(crate) fn landlock_restrict(rules: BorrowedFd<'_>) -> io::Result<()> {
    let fd = rules.as_raw_fd();
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd, 0) }).map(drop)
}

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain bytes.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request carries an `ifreq`, which is valid for reading.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    check(result.into()).map(drop)
}

/// Sets the hard and soft bound of a resource.
pub(crate) fn setrlimit(resource: u64, bound: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bound, rlim_max: bound };
    // SAFETY: `limit` is valid for reading; an unknown resource is refused.
    let result = unsafe { libc::setrlimit(resource as _, &raw const limit) };
    check(result.into()).map(drop)
}

/// Removes every capability from the bounding set, up to the last the kernel knows.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: integers only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result < 0 {
            let error = io::Error::last_os_error();
            let beyond_last = error.raw_os_error() == Some(libc::EINVAL) && capability > 30;
            return if beyond_last { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Locks the secure bits: no uid regains capabilities, none is kept or made ambient.
pub(crate) fn lock_secure_bits() -> io::Result<()> {
    const NOROOT_NOFIXUP_NOAMBIENT_LOCKED: libc::c_ulong = 0b1110_1111;
    // SAFETY: integers only.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NOROOT_NOFIXUP_NOAMBIENT_LOCKED, 0, 0, 0) };
    check(result.into()).map(drop)
}

/// Empties the effective, permitted and inheritable sets.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none = [0_u32; 6];
    let (header, none) = (header.as_ptr(), none.as_ptr());
    // SAFETY: header and data have the layout of version 3: two and six words.
    check(unsafe { libc::syscall(libc::SYS_capset, header, none) }).map(drop)
}

/// Sends a short packet on a socket by number; who cannot hear it learns from our end.
pub(crate) fn send_bytes(socket: c_int, bytes: &[u8]) {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length describe `bytes`.
    unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
}

/// Takes a descriptor that a child with our descriptor table left for us.
pub(crate) fn own(number: c_int) -> OwnedFd {
    // SAFETY: the caller has it from such a child, which is dead and gave it to nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Reaps a child and returns its wait status. Waits until it ends.
pub(crate) fn waitpid(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    check(result.into()).map(|_| status)
}

/// Between fork and exec of a zygote: its socket becomes descriptor 3, everything else is closed
/// by exec, and it leaves the terminal and the signals of its parent's group.
pub(crate) fn become_zygote(socket: c_int) -> io::Result<()> {
    const CLOEXEC: c_int = 1 << 2;
    dup_onto(socket, 3, 0)?;
    // SAFETY: only marks descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 4_u32, u32::MAX, CLOEXEC) };
    check(result)?;
    // SAFETY: integers only.
    check(unsafe { libc::setsid() }.into()).map(drop)
}

/// Moves this thread into new namespaces.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: our callers unshare namespaces only, never the descriptor table, so no descriptor
    // that another thread holds changes its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}
