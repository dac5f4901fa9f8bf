//! One test for each thing that must not be possible inside, tried by a script in a box that says
//! how each try ended.

use crate::harness::{has_python, launcher, python};

/// `name: script => what it must print`.
macro_rules! forbidden {
    ($($name:ident: $script:expr => $wanted:expr,)+) => {
        $(#[test]
        fn $name() {
            if has_python() {
                let outcome = python(&launcher(), $script);
                assert_eq!(outcome.output.trim_end(), $wanted, "{outcome:?}");
            }
        })+
    };
}

// What is not there.
forbidden! {
    files_of_the_host_are_not_there:
        "for path in ('/root/.bashrc', '/etc/shadow', '/etc/ssh', '/boot', '/var/lib', '/var/log',
                      '/lost+found', '/host', '/sys/kernel', '/sys/fs', '/etc/hostname',
                      '/etc/machine-id', '/run/systemd', '/run/docker.sock', '/dev/shm/x'):
            if os.path.exists(path): print(path)" => "",
    the_root_folder_holds_only_what_we_made:
        "known = set('bin dev etc home lib lib32 lib64 libx32 mnt opt proc root run sbin session srv sys tmp usr var workspace .box'.split())
print(set(os.listdir('/')) - known)" => "set()",
    the_folder_of_root_cannot_be_listed:
        "tried(lambda: os.listdir('/root'))" => "EACCES",
    the_builders_workshop_cannot_be_entered:
        "tried(lambda: os.listdir('/.box'))\ntried(lambda: os.chdir('/.box'))\ntried(lambda: os.listdir('/.box/in/scratch'))"
        => "EACCES\nEACCES\nEACCES",
    only_harmless_devices_exist:
        "print(*sorted(n for n in os.listdir('/dev') if not stat.S_ISLNK(os.lstat('/dev/' + n).st_mode)))"
        => "full null pts random tty urandom zero",
    disks_memory_and_kernel_log_are_no_devices:
        "for n in 'mem kmem port kmsg vda sda loop0 loop-control fuse kvm net/tun vsock vhost-vsock ppp mapper/control uinput input autofs btrfs-control hwrng nvram rtc0 snapshot cuse'.split():
            if os.path.exists('/dev/' + n): print(n)" => "",
    sysfs_is_empty: "print(os.listdir('/sys'))" => "[]",
    cgroupfs_is_not_there: "print(any(' cgroup' in l for l in open('/proc/self/mountinfo')))" => "False",
    cgroup_paths_say_nothing: "print({l.rstrip().split(':')[2] for l in open('/proc/self/cgroup')})" => "{'/'}",
    no_other_process_can_be_seen:
        "print([p for p in os.listdir('/proc') if p.isdigit()], os.getpid())" => "['1'] 1",
    the_host_pids_are_not_ours: "print(os.getppid())" => "0",
    the_command_line_of_the_kernel_is_hidden: "print(repr(open('/proc/cmdline').read()))" => "''",
    keyrings_cannot_be_listed:
        "print([open(p).read() for p in ('/proc/keys', '/proc/key-users') if os.path.exists(p)] in (['', ''], []))" => "True",
    kernel_symbols_cannot_be_read:
        "print([p for p in ('/proc/kallsyms', '/proc/modules', '/proc/config.gz', '/proc/interrupts', '/proc/timer_list') if os.access(p, os.R_OK) and open(p, 'rb').read()])" => "[]",
    kernel_memory_cannot_be_read:
        "for p in ('/proc/kcore', '/proc/kpagecount', '/proc/kpageflags', '/proc/vmallocinfo', '/proc/slabinfo'):
            try: print(p if open(p, 'rb').read(1) else '', end='')
            except OSError: pass" => "",
    no_interface_but_loopback:
        "print([n for _, n in socket.if_nameindex() if n not in ('lo', 'sit0', 'tunl0', 'ip6tnl0', 'ip6_vti0', 'ip_vti0', 'gre0', 'gretap0', 'erspan0', 'ip6gre0', 'dummy0')])" => "[]",
}

// What is there but closed.
forbidden! {
    the_system_is_read_only:
        "for p in ('/x', '/usr/x', '/usr/bin/x', '/etc/x', '/etc/passwd', '/dev/x', '/run/x', '/opt/x', '/workspace/x', '/home/x', '/var/x'):
            try: open(p, 'w'); print(p)
            except OSError as e: assert e.errno in (errno.EROFS, errno.EACCES), e" => "",
    devices_cannot_be_changed:
        "tried(lambda: os.chmod('/dev/null', 0o777))\ntried(lambda: os.unlink('/dev/null'))" => "EROFS\nEROFS",
    proc_sys_cannot_be_written:
        "for p in ('kernel/core_pattern', 'kernel/modprobe', 'vm/overcommit_memory', 'kernel/hostname', 'net/ipv4/ip_forward', 'kernel/ns_last_pid', 'user/max_user_namespaces', 'fs/binfmt_misc/register', 'kernel/randomize_va_space'):
            try: open('/proc/sys/' + p, 'w'); print(p)
            except OSError as e: assert e.errno in (errno.EROFS, errno.EACCES, errno.ENOENT), e" => "",
    proc_is_read_only: "tried(lambda: open('/proc/self/comm', 'w'))\nprint([l.split()[5].split(',')[0] for l in open('/proc/self/mountinfo') if ' - proc ' in l][-1])" => "EROFS\nro",
    sysrq_cannot_be_triggered:
        "try: open('/proc/sysrq-trigger', 'w'); print('open')\nexcept OSError: print('closed')" => "closed",
    id_maps_cannot_be_written:
        "for n in ('uid_map', 'gid_map', 'setgroups'):
            try: open('/proc/self/' + n, 'w').write('0 0 1'); print(n)
            except OSError: pass" => "",
    the_oom_score_cannot_be_lowered:
        "try: open('/proc/self/oom_score_adj', 'w').write('-1000'); print('lowered')\nexcept OSError: print('no')" => "no",
    the_environment_of_pid_1_is_what_was_given:
        "print(open('/proc/1/environ').read())" => "PATH=/usr/local/bin:/usr/bin:/bin\0",
    no_descriptor_is_inherited: "print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])" => "[0, 1, 2]",
    no_mount_but_ours_is_writable:
        "lines = [l.split() for l in open('/proc/self/mountinfo')]
print(sorted(l[4] for l in lines if 'rw' in l[5].split(',') and l[l.index('-') + 1] == 'tmpfs'))
print([l[4] for l in lines if 'rw' in l[5].split(',') and l[l.index('-') + 1] not in ('tmpfs', 'proc', 'devpts')])"
        => "['/.box/in/scratch', '/home/agent', '/session', '/tmp']\n[]",
    every_mount_ignores_setuid_and_devices:
        "lines = [l.split() for l in open('/proc/self/mountinfo')]
print([l[4] for l in lines if 'nosuid' not in l[5].split(',')])
print([l[4] for l in lines if 'nodev' not in l[5].split(',') and not (l[4].startswith('/dev/') and 'noexec' in l[5])])"
        => "[]\n[]",
    links_cannot_reach_out_of_a_writable_place:
        "os.symlink('/etc/passwd', '/tmp/l')\ntried(lambda: open('/tmp/l', 'a'))\ntried(lambda: os.link('/etc/passwd', '/tmp/h'))\ntried(lambda: os.rename('/etc/passwd', '/tmp/r'))"
        => "EACCES\nEXDEV\nEXDEV",
    the_parent_of_the_root_is_the_root:
        "a = os.stat('/..'); b = os.stat('/'); print((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))\na = os.stat('/proc/1/root/..'); print((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))"
        => "True\nTrue",
}

// Privileges.
forbidden! {
    there_is_no_capability_in_any_set:
        "print({field(n) for n in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')})" => "{'0000000000000000'}",
    no_new_privileges_is_set: "print(field('NoNewPrivs'))" => "1",
    groups_are_denied_to_the_user_namespace: "print(open('/proc/self/setgroups').read())" => "deny",
    no_uid_regains_capabilities: "print(bin(sys_(NR_prctl, 27, 0, 0, 0, 0)))" => "0b11101111",
    a_filter_is_installed: "print(field('Seccomp'), field('Seccomp_filters'))" => "2 1",
    root_cannot_be_become:
        "for f in (os.setuid, os.seteuid, os.setgid, os.setegid): tried(lambda: f(0))\ntried(lambda: os.setgroups([0]))"
        => "EINVAL\nEINVAL\nEINVAL\nEINVAL\nEPERM",
    another_box_uid_cannot_be_become: "tried(lambda: os.setuid(2000000001))\ntried(lambda: os.setresuid(1001, 1001, 1001))" => "EINVAL\nEINVAL",
    a_file_cannot_be_given_away: "open('/tmp/f', 'w')\ntried(lambda: os.chown('/tmp/f', 0, 0))" => "EINVAL",
    no_capability_can_be_made_ambient: "call(NR_prctl, 47, 2, 21, 0, 0)" => "EPERM",
    memory_layout_cannot_be_forged: "call(NR_prctl, 35, 1, 0, 0, 0)" => "EINVAL",
    dumps_are_off: "print(resource.getrlimit(resource.RLIMIT_CORE))" => "(0, 0)",
    a_limit_cannot_be_raised:
        "for r in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
            hard = resource.getrlimit(r)[1]
            try: resource.setrlimit(r, (hard, hard + 1)); print('raised', r)
            except (OSError, ValueError): pass" => "",
    priority_cannot_be_raised: "tried(lambda: os.nice(-5))\ntried(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))" => "EPERM\nEPERM",
}

// Namespaces and mounts.
forbidden! {
    no_namespace_can_be_made:
        "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80): call(NR_unshare, flag)"
        => "EPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM",
    no_child_can_be_born_in_a_namespace:
        "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000): call(NR_clone, flag | 17, 0, 0, 0, 0)"
        => "EPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM",
    clone3_does_not_exist: "call(NR_clone3, 0, 0)" => "ENOSYS",
    no_namespace_can_be_entered:
        "for n in ('user', 'mnt', 'pid', 'net'): call(NR_setns, os.open('/proc/self/ns/' + n, os.O_RDONLY), 0)"
        => "EPERM\nEPERM\nEPERM\nEPERM",
    nothing_can_be_mounted:
        "call(NR_mount, b'none', b'/tmp', b'tmpfs', 0, 0)\ncall(NR_mount, b'/usr', b'/tmp', b'', 4096, 0)\ncall(NR_mount, b'proc', b'/tmp', b'proc', 0, 0)"
        => "EPERM\nEPERM\nEPERM",
    nothing_can_be_remounted_writable: "call(NR_mount, b'', b'/usr', b'', 0x20 | 0x1000, 0)\ncall(NR_mount, b'', b'/', b'', 0x20, 0)" => "EPERM\nEPERM",
    nothing_can_be_unmounted: "call(NR_umount2, b'/proc', 2)\ncall(NR_umount2, b'/tmp', 2)" => "EPERM\nEPERM",
    the_new_mount_calls_are_closed:
        "call(NR_open_tree, -100, b'/usr', 1)\ncall(NR_fsopen, b'tmpfs', 0)\ncall(NR_fspick, -100, b'/', 0)\ncall(NR_fsmount, 0, 0, 0)\ncall(NR_fsconfig, 0, 0, 0, 0, 0)\ncall(NR_move_mount, -100, b'/usr', -100, b'/tmp', 0)\ncall(NR_mount_setattr, -100, b'/usr', 0, 0, 0)"
        => "EPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM",
    the_root_cannot_be_changed: "call(NR_chroot, b'/tmp')\ncall(NR_pivot_root, b'/tmp', b'/tmp')" => "EPERM\nEPERM",
    devices_cannot_be_made:
        "for kind in (stat.S_IFCHR, stat.S_IFBLK): tried(lambda: os.mknod('/tmp/d', kind | 0o666, os.makedev(1, 3)))\ntried(lambda: os.mknod('/tmp/w', stat.S_IFCHR, 0))\ntried(lambda: os.mkfifo('/tmp/f'))"
        => "EPERM\nEPERM\nEPERM\nok",
    the_host_name_cannot_be_changed: "call(NR_sethostname, b'x', 1)\ncall(NR_setdomainname, b'x', 1)" => "EPERM\nEPERM",
    handles_of_files_cannot_be_opened: "call(NR_name_to_handle_at, -100, b'/', 0, 0, 0)\ncall(NR_open_by_handle_at, -100, 0, 0)" => "EPERM\nEPERM",
}

// The kernel's other doors.
forbidden! {
    keys_cannot_be_made_or_asked_for: "call(NR_add_key, b'user', b'x', b'y', 1, -3)\ncall(NR_request_key, b'user', b'x', 0, -3)\ncall(NR_keyctl, 0, -3, 0)" => "EPERM\nEPERM\nEPERM",
    there_are_no_rings: "call(NR_io_uring_setup, 1, 0)\ncall(NR_io_uring_enter, 0, 0, 0, 0, 0)\ncall(NR_io_uring_register, 0, 0, 0, 0)" => "ENOSYS\nENOSYS\nENOSYS",
    page_faults_cannot_be_held_up: "call(NR_userfaultfd, 0)\ncall(NR_userfaultfd, 1)" => "EPERM\nEPERM",
    no_program_can_be_loaded_into_the_kernel: "call(NR_bpf, 0, 0, 0)\ncall(NR_bpf, 5, 0, 0)" => "EPERM\nEPERM",
    performance_events_are_closed: "call(NR_perf_event_open, 0, 0, -1, -1, 0)" => "EPERM",
    no_process_can_be_traced:
        "call(NR_ptrace, 0, 0, 0, 0)\npid = os.fork()\nif pid == 0: time.sleep(60)\ncall(NR_ptrace, 16, pid, 0, 0)\ncall(NR_ptrace, 0x4206, pid, 0, 0)\nos.kill(pid, 9)"
        => "EPERM\nEPERM\nEPERM",
    no_memory_of_another_can_be_read: "call(NR_process_vm_readv, 1, 0, 0, 0, 0, 0)\ncall(NR_process_vm_writev, 1, 0, 0, 0, 0, 0)" => "EPERM\nEPERM",
    no_descriptor_of_another_can_be_taken: "call(NR_pidfd_getfd, sys_(NR_pidfd_open, 1, 0), 0, 0)\ncall(NR_kcmp, 1, 1, 0, 0, 0)" => "EPERM\nEPERM",
    no_module_can_be_loaded: "call(NR_init_module, 0, 0, 0)\ncall(NR_finit_module, 0, 0, 0)\ncall(NR_delete_module, b'x', 0)" => "EPERM\nEPERM\nEPERM",
    the_machine_cannot_be_stopped: "call(NR_reboot, 0xfee1dead, 672274793, 0x1234567, 0)\ncall(NR_kexec_load, 0, 0, 0, 0)" => "EPERM\nEPERM",
    the_clock_cannot_be_set: "call(NR_settimeofday, 0, 0)\ncall(NR_clock_settime, 0, 0)\ncall(NR_adjtimex, 0)\ncall(NR_clock_adjtime, 0, 0)" => "EPERM\nEPERM\nEPERM\nEPERM",
    swap_accounting_and_quota_are_closed: "call(NR_swapon, b'/tmp', 0)\ncall(NR_swapoff, b'/tmp')\ncall(NR_acct, b'/tmp/a')\ncall(NR_quotactl, 0, 0, 0, 0)" => "EPERM\nEPERM\nEPERM\nEPERM",
    the_kernel_log_cannot_be_read: "call(NR_syslog, 3, 0, 0)\ncall(NR_syslog, 10, 0, 0)" => "EPERM\nEPERM",
    files_cannot_be_watched_across_mounts: "call(NR_fanotify_init, 0, 0)" => "EPERM",
    secret_memory_and_hangup_are_closed: "call(NR_memfd_secret, 0)\ncall(NR_vhangup)" => "ENOSYS\nEPERM",
    the_personality_cannot_be_weakened: "call(NR_personality, 0x40000)\ncall(NR_personality, 0x400000)\ncall(NR_personality, 0x20008)\ncall(NR_personality, 0xffffffff)" => "EPERM\nEPERM\nEPERM\nok",
    no_filter_can_ask_a_process: "call(NR_seccomp, 1, 8, 0)" => "EPERM",
    a_filter_cannot_be_removed: "call(NR_seccomp, 1, 0, 0)\ncall(NR_prctl, 22, 0, 0, 0, 0)" => "EFAULT\nEINVAL",
    a_terminal_cannot_be_fed: "a, b = os.openpty()\ntried(lambda: fcntl.ioctl(b, 0x5412, b'x'))\ntried(lambda: fcntl.ioctl(0, 0x5412, b'x'))\ntried(lambda: fcntl.ioctl(0, 0x541c, b'x'))\ntried(lambda: fcntl.ioctl(0, 0x5423, b'xxxx'))" => "EPERM\nEPERM\nEPERM\nEPERM",
    high_bits_of_an_argument_hide_nothing: "call(NR_unshare, 0x10000000 | 1 << 32)\nprint(name(sys_(16 if NR_mount == 165 else 29, 0, 0x5412 | 1 << 32, 0)))" => "EPERM\nEPERM",
}

// The network.
forbidden! {
    only_harmless_kinds_of_socket_exist:
        "for family in (3, 4, 5, 9, 15, 17, 26, 29, 30, 31, 38, 40, 41, 44):
            try: socket.socket(family, socket.SOCK_DGRAM); print(family)
            except OSError as e: assert e.errno == errno.EAFNOSUPPORT, (family, e)" => "",
    packets_cannot_be_forged:
        "for f, t, p in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET6, socket.SOCK_RAW, 58), (17, socket.SOCK_RAW, 0), (socket.AF_INET, 10, 0)): tried(lambda: socket.socket(f, t, p))"
        => "EAFNOSUPPORT\nEAFNOSUPPORT\nEAFNOSUPPORT\nEAFNOSUPPORT",
    other_transports_cannot_be_asked_for: "tried(lambda: socket.socket(socket.AF_INET, 5, 132))\ntried(lambda: socket.socket(socket.AF_INET, 6, 33))" => "EAFNOSUPPORT\nEAFNOSUPPORT",
    netlink_is_for_routes_alone:
        "for protocol in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 19, 20, 21):
            try: socket.socket(16, socket.SOCK_RAW, protocol); print(protocol)
            except OSError as e: assert e.errno == errno.EAFNOSUPPORT, e
tried(lambda: socket.socket(16, socket.SOCK_RAW, 0))" => "ok",
    loopback_cannot_be_configured:
        "s = socket.socket(16, socket.SOCK_RAW, 0)
m = struct.pack('=IHHIIBxHiII', 32, 16, 5, 1, 0, 0, 0, 1, 0, 1)
s.send(m); r = s.recv(4096); print(name(struct.unpack('=i', r[16:20])[0]))" => "EPERM",
    the_outside_is_unreachable:
        "for family, address in ((socket.AF_INET, ('192.0.2.1', 80)), (socket.AF_INET, ('169.254.169.254', 80)), (socket.AF_INET, ('10.0.0.1', 22)), (socket.AF_INET6, ('2001:db8::1', 80))):
            print(name(-socket.socket(family).connect_ex(address)))
tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53)))"
        => "ENETUNREACH\nENETUNREACH\nENETUNREACH\nEADDRNOTAVAIL\nENETUNREACH",
    pairs_are_of_unix_sockets_alone:
        "for family in (socket.AF_INET, 30, socket.AF_UNIX): tried(lambda: socket.socketpair(family))" => "EAFNOSUPPORT\nEAFNOSUPPORT\nok",
    names_are_not_resolved: "try: socket.getaddrinfo('example.org', 80); print('resolved')\nexcept OSError: print('no')" => "no",
}

#[cfg(target_arch = "x86_64")]
forbidden! {
    the_other_call_interfaces_kill:
        "def run(code):
    m = mmap.mmap(-1, 4096, prot=7)
    m.write(code)
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
ended(lambda: run(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'))
ended(lambda: run(b'\\xb8\\x27\\x00\\x00\\x40\\x0f\\x05\\xc3'))
ended(lambda: run(b'\\xb8\\x27\\x00\\x00\\x00\\x0f\\x05\\xc3'))" => "signal 31\nsignal 31\nexit 0",
    the_processors_old_privileges_are_closed: "call(172, 3)\ncall(173, 0, 1, 1)\ncall(154, 1, 0, 0)" => "EPERM\nEPERM\nEPERM",
}
