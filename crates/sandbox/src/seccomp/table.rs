//! The allow-list. A call that stands nowhere fails with `ENOSYS`, as on an older kernel; one that
//! programs try and can do without fails with what makes them go on.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive constants, compared as bits"
)]

#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "four hundred names of a family")
)]
use libc::*;

use super::{Group, Has, Then};

const fn fail(errno: c_int) -> Then {
    Then::Fail(errno as u16)
}

const fn is(arg: u32, value: c_int) -> Has {
    Has { arg, mask: !0, value: value as u32 }
}

const fn masked(arg: u32, mask: u32, value: u32) -> Has {
    Has { arg, mask, value }
}

const NOT_PERMITTED: u16 = EPERM as u16;

/// Every `clone` flag that makes a namespace.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
const SOCKET_KIND: u32 = 0xf;
const FILE_KIND: u32 = S_IFMT;
/// `PR_SET_VMA`, which names memory.
const SET_VMA: c_int = 0x5356_4d41;
const SECCOMP_NEW_LISTENER: u32 = 1 << 3;

// Numbers that the libc crate lacks; from 424 on they are the same on every architecture.
const SYS_CACHESTAT: c_long = 451;
const SYS_FCHMODAT2: c_long = 452;
const SYS_FUTEX_WAKE: c_long = 454;
const SYS_FUTEX_WAIT: c_long = 455;
const SYS_FUTEX_REQUEUE: c_long = 456;
const SYS_STATMOUNT: c_long = 457;
const SYS_LISTMOUNT: c_long = 458;

#[rustfmt::skip] // one name a line would be three hundred lines
pub(super) const GROUPS: &[Group] = &[
    Group {
        why: "files and folders, within what mounts and landlock show",
        then: Then::Allow,
        calls: &[
            SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv,
            SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_openat, SYS_openat2, SYS_close,
            SYS_close_range, SYS_lseek, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_faccessat,
            SYS_faccessat2, SYS_fchmod, SYS_fchmodat, SYS_FCHMODAT2, SYS_fchown, SYS_fchownat,
            SYS_utimensat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync,
            SYS_sync, SYS_syncfs, SYS_sync_file_range, SYS_fadvise64, SYS_readahead, SYS_mkdirat,
            SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_readlinkat, SYS_getdents64,
            SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_umask, SYS_statfs, SYS_fstatfs, SYS_flock,
            SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_sendfile, SYS_splice, SYS_tee,
            SYS_vmsplice, SYS_copy_file_range, SYS_CACHESTAT, SYS_getxattr, SYS_lgetxattr,
            SYS_fgetxattr, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_listxattr,
            SYS_llistxattr, SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
            SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
        ],
    },
    Group {
        why: "special files: only fifos, sockets and plain ones",
        then: Then::AllowIf(
            &[
                &[masked(2, FILE_KIND, 0)],
                &[masked(2, FILE_KIND, S_IFREG)],
                &[masked(2, FILE_KIND, S_IFIFO)],
                &[masked(2, FILE_KIND, S_IFSOCK)],
            ],
            NOT_PERMITTED,
        ),
        calls: &[SYS_mknodat],
    },
    Group {
        why: "memory of the process itself",
        then: Then::Allow,
        calls: &[
            SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_mincore,
            SYS_msync, SYS_mlock, SYS_mlock2, SYS_munlock, SYS_mlockall, SYS_munlockall, SYS_mseal,
            SYS_memfd_create, SYS_membarrier, SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect,
            SYS_get_mempolicy, SYS_process_madvise, SYS_process_mrelease,
        ],
    },
    Group {
        why: "processes: the box has its own pids, count and scheduling class",
        then: Then::Allow,
        calls: &[
            SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid, SYS_kill,
            SYS_tkill, SYS_tgkill, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_getpid, SYS_getppid,
            SYS_gettid, SYS_getpgid, SYS_setpgid, SYS_getsid, SYS_setsid, SYS_set_tid_address,
            SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_futex, SYS_futex_waitv,
            SYS_FUTEX_WAKE, SYS_FUTEX_WAIT, SYS_FUTEX_REQUEUE, SYS_sched_yield,
            SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_setparam,
            SYS_sched_getscheduler, SYS_sched_setscheduler, SYS_sched_getattr, SYS_sched_setattr,
            SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_sched_rr_get_interval,
            SYS_getpriority, SYS_setpriority, SYS_ioprio_get, SYS_ioprio_set, SYS_getrlimit,
            SYS_setrlimit, SYS_prlimit64, SYS_getrusage, SYS_times, SYS_getcpu, SYS_uname,
            SYS_sysinfo, SYS_getrandom,
        ],
    },
    Group {
        why: "threads and children, but no namespace: user namespaces open the kernel's back doors",
        then: Then::AllowIf(&[&[masked(0, NEW_NAMESPACES, 0)]], NOT_PERMITTED),
        calls: &[SYS_clone],
    },
    Group {
        why: "its flags lie in memory, where no filter sees them; libc falls back to clone",
        then: fail(ENOSYS),
        calls: &[SYS_clone3],
    },
    Group {
        why: "ids: without capabilities they change only among what the process already is",
        then: Then::Allow,
        calls: &[
            SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid,
            SYS_getgroups, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
            SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_capget, SYS_capset,
        ],
    },
    Group {
        why: "signals and timers",
        then: Then::Allow,
        calls: &[
            SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending,
            SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
            SYS_sigaltstack, SYS_signalfd4, SYS_restart_syscall, SYS_nanosleep,
            SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
            SYS_getitimer, SYS_setitimer, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime,
            SYS_timer_getoverrun, SYS_timer_delete, SYS_timerfd_create, SYS_timerfd_settime,
            SYS_timerfd_gettime,
        ],
    },
    Group {
        why: "waiting for many descriptors at once",
        then: Then::Allow,
        calls: &[
            SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
            SYS_epoll_pwait2, SYS_eventfd2,
        ],
    },
    Group {
        why: "sockets that exist; landlock and the empty network say where they lead",
        then: Then::Allow,
        calls: &[
            SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname,
            SYS_getpeername, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg,
            SYS_recvmmsg, SYS_setsockopt, SYS_getsockopt, SYS_shutdown,
        ],
    },
    Group {
        why: "unix, tcp and udp; netlink only for routes, which libc lists interfaces with",
        then: Then::AllowIf(
            &[
                &[is(0, AF_UNIX)],
                &[is(0, AF_INET), masked(1, SOCKET_KIND, SOCK_STREAM as u32)],
                &[is(0, AF_INET), masked(1, SOCKET_KIND, SOCK_DGRAM as u32)],
                &[is(0, AF_INET6), masked(1, SOCKET_KIND, SOCK_STREAM as u32)],
                &[is(0, AF_INET6), masked(1, SOCKET_KIND, SOCK_DGRAM as u32)],
                &[is(0, AF_NETLINK), is(2, NETLINK_ROUTE)],
            ],
            EAFNOSUPPORT as u16,
        ),
        calls: &[SYS_socket],
    },
    Group {
        why: "pairs of unix sockets between processes of the box",
        then: Then::AllowIf(&[&[is(0, AF_UNIX)]], EAFNOSUPPORT as u16),
        calls: &[SYS_socketpair],
    },
    Group {
        why: "message queues, semaphores and shared memory of the box's own ipc namespace",
        then: Then::Allow,
        calls: &[
            SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmctl, SYS_semget, SYS_semop, SYS_semtimedop,
            SYS_semctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink,
            SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr,
        ],
    },
    Group {
        why: "a program may wall itself in further; it cannot undo ours",
        then: Then::Allow,
        calls: &[
            SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
        ],
    },
    Group {
        why: "further filters, but none that asks a process of the box for its answer",
        then: Then::FailIf(
            &[&[masked(1, SECCOMP_NEW_LISTENER, SECCOMP_NEW_LISTENER)]],
            NOT_PERMITTED,
        ),
        calls: &[SYS_seccomp],
    },
    Group {
        why: "devices are few and harmless, but input must not be forged into a terminal",
        then: Then::FailIf(
            &[&[is(1, 0x5412)], &[is(1, 0x541c)], &[is(1, 0x5423)]], // TIOCSTI TIOCLINUX TIOCSETD
            NOT_PERMITTED,
        ),
        calls: &[SYS_ioctl],
    },
    Group {
        why: "only what runtimes set about themselves",
        then: Then::AllowIf(
            &[
                &[is(0, PR_SET_NAME)],
                &[is(0, PR_GET_NAME)],
                &[is(0, PR_SET_PDEATHSIG)],
                &[is(0, PR_GET_PDEATHSIG)],
                &[is(0, PR_SET_DUMPABLE)],
                &[is(0, PR_GET_DUMPABLE)],
                &[is(0, PR_SET_NO_NEW_PRIVS)],
                &[is(0, PR_GET_NO_NEW_PRIVS)],
                &[is(0, PR_SET_CHILD_SUBREAPER)],
                &[is(0, PR_GET_CHILD_SUBREAPER)],
                &[is(0, PR_SET_SECCOMP)],
                &[is(0, PR_GET_SECCOMP)],
                &[is(0, PR_CAPBSET_READ)],
                &[is(0, PR_CAP_AMBIENT)],
                &[is(0, PR_GET_KEEPCAPS)],
                &[is(0, PR_GET_SECUREBITS)],
                &[is(0, PR_GET_TIMERSLACK)],
                &[is(0, PR_SET_TIMERSLACK)],
                &[is(0, PR_SET_THP_DISABLE)],
                &[is(0, PR_GET_THP_DISABLE)],
                &[is(0, PR_GET_TID_ADDRESS)],
                &[is(0, SET_VMA)],
            ],
            EINVAL as u16,
        ),
        calls: &[SYS_prctl],
    },
    Group {
        why: "the usual personality or a question; others weaken address layout",
        then: Then::AllowIf(&[&[is(0, 0)], &[is(0, -1)]], NOT_PERMITTED),
        calls: &[SYS_personality],
    },
    Group {
        why: "mounts and roots belong to whoever built the box",
        then: fail(EPERM),
        calls: &[
            SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount,
            SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_STATMOUNT,
            SYS_LISTMOUNT, SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_quotactl_fd,
        ],
    },
    Group {
        why: "namespaces are entered by the builder alone",
        then: fail(EPERM),
        calls: &[SYS_unshare, SYS_setns],
    },
    Group {
        why: "another process's memory and descriptors are nobody's business, not even inside",
        then: fail(EPERM),
        calls: &[
            SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd,
        ],
    },
    Group {
        why: "keyrings are not namespaced enough",
        then: fail(EPERM),
        calls: &[SYS_add_key, SYS_request_key, SYS_keyctl],
    },
    Group {
        why: "large, young or privileged interfaces to the kernel that agents do not need",
        then: fail(EPERM),
        calls: &[
            SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_fanotify_init, SYS_fanotify_mark,
            SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_lookup_dcookie, SYS_syslog, SYS_acct,
            SYS_vhangup, SYS_nfsservctl, SYS_mbind, SYS_set_mempolicy, SYS_migrate_pages,
            SYS_move_pages,
        ],
    },
    Group {
        why: "rings pass calls by the filter; runtimes fall back to epoll when there are none",
        then: fail(ENOSYS),
        calls: &[SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register],
    },
    Group {
        why: "old asynchronous file calls: no known user in a box, much kernel behind them",
        then: fail(ENOSYS),
        calls: &[
            SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_cancel, SYS_io_getevents,
            SYS_memfd_secret, SYS_remap_file_pages,
        ],
    },
    Group {
        why: "the machine, its clock, its name and its kernel",
        then: fail(EPERM),
        calls: &[
            SYS_reboot, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module,
            SYS_delete_module, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime,
            SYS_adjtimex, SYS_sethostname, SYS_setdomainname,
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: "the older forms of calls that are allowed above",
        then: Then::Allow,
        calls: &[
            SYS_open, SYS_creat, SYS_stat, SYS_lstat, SYS_access, SYS_chmod, SYS_chown, SYS_lchown,
            SYS_utime, SYS_utimes, SYS_futimesat, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename,
            SYS_renameat, SYS_link, SYS_symlink, SYS_readlink, SYS_getdents, SYS_dup2, SYS_pipe,
            SYS_fork, SYS_vfork, SYS_getpgrp, SYS_time, SYS_alarm, SYS_pause, SYS_poll, SYS_select,
            SYS_epoll_create, SYS_epoll_wait, SYS_eventfd, SYS_signalfd, SYS_inotify_init,
            SYS_arch_prctl,
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: "special files by the older call",
        then: Then::AllowIf(
            &[
                &[masked(1, FILE_KIND, 0)],
                &[masked(1, FILE_KIND, S_IFREG)],
                &[masked(1, FILE_KIND, S_IFIFO)],
                &[masked(1, FILE_KIND, S_IFSOCK)],
            ],
            NOT_PERMITTED,
        ),
        calls: &[SYS_mknod],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: "ports, segments and the rest of the processor's old privileges",
        then: fail(EPERM),
        calls: &[
            SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl,
        ],
    },
    #[cfg(target_arch = "aarch64")]
    Group {
        why: "the older form of a call that is allowed above",
        then: Then::Allow,
        calls: &[SYS_renameat],
    },
];
