//! Boxes for tests: a launcher of one's own, a box that runs a script, its output.
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use sandbox::{
    Child, Config, Exit, Launcher, NetPool, Scratch, ScratchLimits, Spec, UidRange, Wall,
};

/// Longer than anything a test waits for.
pub(crate) const LONG: Duration = Duration::from_mins(3);

pub(crate) fn config() -> Config {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut config = Config::new(format!("sbtest-{}-{number}", std::process::id()));
    config.zygote = Some(zygote());
    config
}

/// Uids that no other test has, in blocks of their own.
pub(crate) fn own_uids(count: u32) -> UidRange {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let first = 2_001_000_192 + (std::process::id() % 4_096) * 16_384 + number * 1_024;
    UidRange::new(first, count).expect("a range")
}

/// Where another user finds a copy of the zygote.
pub(crate) const ZYGOTE: &str = "SANDBOX_TEST_ZYGOTE";

#[expect(clippy::disallowed_methods, reason = "a test that is run again as another user")]
pub(crate) fn zygote() -> PathBuf {
    let copy = std::env::var_os(ZYGOTE).map(PathBuf::from);
    copy.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_sandbox-zygote")))
}

pub(crate) fn launcher() -> Arc<Launcher> {
    Arc::new(Launcher::start(config()).expect("a launcher starts"))
}

/// Whether the wall stands; says so if not, for then the test cannot say anything.
pub(crate) fn stands(launcher: &Launcher, wall: Wall) -> bool {
    match launcher.report().missing(wall) {
        None => true,
        Some(reason) => {
            println!("skipped: {wall} is missing here: {reason}");
            false
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn scratch(launcher: &Launcher) -> Scratch {
    launcher.scratch(&ScratchLimits::default()).expect("a scratch")
}

/// How a box ended and what it wrote to its standard output and error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) output: String,
}

/// A specification whose output comes back through the returned pipe.
pub(crate) fn spec(argv: &[&str]) -> (Spec, File) {
    let mut spec = Spec::new("box", argv);
    spec.env = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    let (reader, writer) = std::io::pipe().expect("a pipe");
    spec.stdio.stderr = Some(writer.try_clone().expect("a copy").into());
    spec.stdio.stdout = Some(writer.into());
    (spec, File::from(OwnedFd::from(reader)))
}

/// Runs a box to its end and removes it.
pub(crate) fn run(launcher: &Launcher, argv: &[&str], change: impl FnOnce(&mut Spec)) -> Outcome {
    let (mut spec, mut reader) = spec(argv);
    change(&mut spec);
    let child = launcher.spawn(spec, scratch(launcher)).expect("the box starts");
    finish(child, &mut reader)
}

pub(crate) fn finish(mut child: Child, reader: &mut File) -> Outcome {
    let output = read_all("the output of the box", reader);
    let exit = child.wait(Some(LONG)).expect("waiting works").expect("the box ends");
    child.destroy().expect("the box can be removed");
    Outcome { exit, output: String::from_utf8_lossy(&output).into_owned() }
}

/// Waits until something can be read from.
pub(crate) fn readable(what: &str, from: &impl AsFd) {
    let deadline = Timespec::try_from(LONG).expect("small");
    let mut polled = [PollFd::new(from, PollFlags::IN)];
    let ready = rustix::event::poll(&mut polled, Some(&deadline)).expect("polled");
    assert_eq!(ready, 1, "not within {LONG:?}: {what}");
}

/// Reads to the end.
pub(crate) fn read_all(what: &str, from: &mut (impl Read + AsFd)) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        readable(what, from);
        match from.read(&mut buffer).expect("it can be read") {
            0 => return all,
            count => all.extend(&buffer[..count]),
        }
        assert!(all.len() < 64 << 20, "there is no end of {what}");
    }
}

/// Reads to the end of a line.
pub(crate) fn read_line(what: &str, from: &mut (impl Read + AsFd)) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        readable(what, from);
        match from.read(&mut byte).expect("it can be read") {
            0 => panic!("there is an end of {what} after {:?}", String::from_utf8_lossy(&line)),
            _ if byte[0] != b'\n' => line.extend(byte),
            _ => return String::from_utf8(line).expect("text"),
        }
    }
}

/// Runs a command to its end; what it wrote, both streams together.
pub(crate) fn ran(what: &str, command: &mut std::process::Command) -> (bool, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(writer.try_clone().expect("a copy"))
        .stderr(writer)
        .spawn()
        .expect("the command starts");
    // The command holds copies of the writing end until it is told anew.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let output = read_all(what, &mut reader);
    let ended = || child.try_wait().expect("waited for");
    let status = eventually_some(what, ended);
    (status.success(), String::from_utf8_lossy(&output).into_owned())
}

pub(crate) fn sh(launcher: &Launcher, script: &str) -> Outcome {
    run(launcher, &["/bin/sh", "-c", script], |_| {})
}

/// Runs a python script with the words of [`prelude`] at hand.
pub(crate) fn python(launcher: &Launcher, script: &str) -> Outcome {
    run(launcher, &["/usr/bin/python3", "-IS", "-c", &prelude(script)], |_| {})
}

/// `call(NR_…, …)` makes a system call and prints `ok` or the name of the error; `tried(lambda)`
/// does so for anything that raises `OSError`.
pub(crate) fn prelude(script: &str) -> String {
    let numbers: Vec<_> =
        NUMBERS.iter().map(|(name, number)| format!("NR_{name} = {number}")).collect();
    format!(
        "{}
{PRELUDE}{script}",
        numbers.join(
            "
"
        )
    )
}

const PRELUDE: &str = "
import ctypes, errno, fcntl, mmap, os, resource, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def sys_(*args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    r = libc.syscall(*args)
    return -ctypes.get_errno() if r == -1 else r
def name(r): return errno.errorcode.get(-r, str(r)) if r < 0 else 'ok'
def call(*args): print(name(sys_(*args)))
def tried(f):
    try:
        f()
        print('ok')
    except OSError as e: print(name(-e.errno))
def ended(f):
    pid = os.fork()
    if pid == 0:
        f()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    print('signal', os.WTERMSIG(status)) if os.WIFSIGNALED(status) else print('exit', os.WEXITSTATUS(status))
def field(key):
    return [l.split(None, 1)[1].strip() for l in open('/proc/self/status') if l.startswith(key + ':')][0]
";

macro_rules! numbers {
    ($($name:ident = $number:ident)*) => {
        const NUMBERS: &[(&str, i64)] = &[$((stringify!($name), libc::$number),)*];
    };
}

numbers! {
    acct = SYS_acct
    add_key = SYS_add_key
    adjtimex = SYS_adjtimex
    bpf = SYS_bpf
    chroot = SYS_chroot
    clock_adjtime = SYS_clock_adjtime
    clock_settime = SYS_clock_settime
    clone = SYS_clone
    clone3 = SYS_clone3
    delete_module = SYS_delete_module
    fanotify_init = SYS_fanotify_init
    finit_module = SYS_finit_module
    fsconfig = SYS_fsconfig
    fsmount = SYS_fsmount
    fsopen = SYS_fsopen
    fspick = SYS_fspick
    init_module = SYS_init_module
    io_uring_enter = SYS_io_uring_enter
    io_uring_register = SYS_io_uring_register
    io_uring_setup = SYS_io_uring_setup
    kcmp = SYS_kcmp
    kexec_load = SYS_kexec_load
    keyctl = SYS_keyctl
    memfd_secret = SYS_memfd_secret
    mount = SYS_mount
    mount_setattr = SYS_mount_setattr
    move_mount = SYS_move_mount
    name_to_handle_at = SYS_name_to_handle_at
    open_by_handle_at = SYS_open_by_handle_at
    open_tree = SYS_open_tree
    perf_event_open = SYS_perf_event_open
    personality = SYS_personality
    pidfd_getfd = SYS_pidfd_getfd
    pidfd_open = SYS_pidfd_open
    pivot_root = SYS_pivot_root
    prctl = SYS_prctl
    process_vm_readv = SYS_process_vm_readv
    process_vm_writev = SYS_process_vm_writev
    ptrace = SYS_ptrace
    quotactl = SYS_quotactl
    reboot = SYS_reboot
    request_key = SYS_request_key
    seccomp = SYS_seccomp
    setdomainname = SYS_setdomainname
    sethostname = SYS_sethostname
    setns = SYS_setns
    settimeofday = SYS_settimeofday
    swapoff = SYS_swapoff
    swapon = SYS_swapon
    syslog = SYS_syslog
    umount2 = SYS_umount2
    unshare = SYS_unshare
    userfaultfd = SYS_userfaultfd
    vhangup = SYS_vhangup
}

pub(crate) fn has_python() -> bool {
    let there = Path::new("/usr/bin/python3").exists();
    if !there {
        println!("skipped: this machine has no /usr/bin/python3");
    }
    there
}

/// A pool of one network namespace with a listener on port 8700.
pub(crate) fn pool(launcher: &Arc<Launcher>) -> NetPool {
    NetPool::new(Arc::clone(launcher), vec![8700], 1)
}

/// Waits for a condition, a short while apart, until a deadline.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    eventually_some(what, || holds().then_some(()));
}

/// Asks, a short while apart, until there is an answer or a deadline.
pub(crate) fn eventually_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LONG.as_millis() / 10 {
        if let Some(answer) = ask() {
            return answer;
        }
        pause(10);
    }
    panic!("not within {LONG:?}: {what}");
}

/// Lets time go by, where a test must see that nothing happens.
pub(crate) fn pause(milliseconds: i64) {
    let pause = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    rustix::event::poll(&mut [], Some(&pause)).ok();
}
