//! Escapes that need something outside to be tried on: the host's processes, sockets, files, and
//! other boxes.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use sandbox::{Child, Launcher, Mode, Mount, Owner, Spec, View, Wall};

use crate::harness::{
    eventually, has_python, is_root, launcher, prelude, python, run, scratch, sh, stands,
};

fn idle(launcher: &Launcher, id: &str, script: &str) -> Child {
    let mut spec = Spec::new(id, ["/bin/sh", "-c", &format!("{script}; exec sleep 1000")]);
    spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    launcher.spawn(spec, scratch(launcher)).unwrap()
}

fn status(pid: u32, field: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn a_file_in_the_tmp_of_the_host_is_not_in_the_tmp_of_the_box() {
    let marker = tempfile::NamedTempFile::new().unwrap();
    let path = marker.path().display();
    let outcome = sh(&launcher(), &format!("test -e {path} && echo there; ls -A /tmp /var/tmp/"));
    assert_eq!(outcome.output, "/tmp:\n\n/var/tmp/:\n");
}

#[test]
fn a_process_of_the_host_cannot_be_signalled_or_looked_at() {
    if !has_python() {
        return;
    }
    let pid = std::process::id();
    let script = format!(
        "tried(lambda: os.kill({pid}, 0))\nprint(os.path.exists('/proc/{pid}'))\n\
         call(NR_pidfd_open, {pid}, 0)"
    );
    assert_eq!(python(&launcher(), &script).output, "ESRCH\nFalse\nESRCH\n");
}

#[test]
fn every_signal_at_everybody_reaches_only_the_box() {
    let launcher = launcher();
    let other = idle(&launcher, "other", "true");
    // PID 1 is spared by kill(-1), its children are not.
    let script = "sleep 1000 & kill -9 -1; wait $!; echo $?";
    assert_eq!(sh(&launcher, script).output.lines().last(), Some("137"));
    assert_eq!(status(other.pid(), "Uid:").len(), 4);
    other.destroy().unwrap();
}

#[test]
fn each_box_has_namespaces_of_its_own() {
    let launcher = launcher();
    let (one, two) = (idle(&launcher, "one", "true"), idle(&launcher, "two", "true"));
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] {
        let inode = |who: &str| fs::metadata(format!("/proc/{who}/ns/{kind}")).unwrap().ino();
        let (host, a, b) =
            (inode("self"), inode(&one.pid().to_string()), inode(&two.pid().to_string()));
        assert!(host != a && host != b && a != b, "{kind}");
    }
    one.destroy().unwrap();
    two.destroy().unwrap();
}

#[test]
fn each_box_has_a_uid_of_its_own_that_is_not_root() {
    let launcher = launcher();
    if !stands(&launcher, Wall::DistinctUid) {
        return;
    }
    let (one, two) = (idle(&launcher, "one", "true"), idle(&launcher, "two", "true"));
    for field in ["Uid:", "Gid:"] {
        let (a, b) = (status(one.pid(), field), status(two.pid(), field));
        assert!(a.iter().chain(&b).all(|id| *id >= 2_000_000_000), "{field} {a:?} {b:?}");
        assert!(a.iter().all(|id| *id == a[0]) && a[0] != b[0], "{field} {a:?} {b:?}");
    }
    assert_eq!(status(one.pid(), "Groups:"), Vec::<u32>::new());
    one.destroy().unwrap();
    two.destroy().unwrap();
}

#[test]
fn the_files_of_another_box_are_not_there() {
    let launcher = launcher();
    let other = idle(&launcher, "other", "touch /tmp/secret /session/secret /home/agent/secret");
    let has = || {
        let flags = rustix::fs::AtFlags::empty();
        rustix::fs::statat(other.scratch().dir(), "home/secret", flags).is_ok()
    };
    eventually("the other box has written", has);
    let pid = other.pid();
    let script = format!("find / -name secret 2>/dev/null; ls /proc/{pid} 2>/dev/null");
    assert_eq!(sh(&launcher, &script).output, "");
    other.destroy().unwrap();
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    if !has_python() {
        return;
    }
    let name = format!("sandbox-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let script = format!("print(name(-socket.socket(socket.AF_UNIX).connect_ex('\\0{name}')))");
    assert_eq!(python(&launcher(), &script).output, "ECONNREFUSED\n");
}

#[test]
fn services_of_the_host_are_out_of_reach() {
    if !has_python() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("print(socket.socket().connect_ex(('127.0.0.1', {port})) != 0)");
    assert_eq!(python(&launcher(), &script).output, "True\n");
}

#[test]
fn descriptors_of_the_server_are_not_inherited() {
    let file = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let number = file.as_raw_fd();
    let script = format!("ls /proc/1/fd; test -e /proc/self/fd/{} && echo there", number + 100);
    assert_eq!(sh(&launcher(), &script).output, "0\n1\n2\n");
}

#[test]
fn the_servers_environment_is_nowhere() {
    let script = "cat /proc/*/environ | tr '\\0' '\\n' | sort -u | grep -v ^PATH= | grep -v ^PWD=";
    assert_eq!(sh(&launcher(), script).output, "");
}

#[test]
fn system_v_memory_of_the_host_is_not_there() {
    if !has_python() {
        return;
    }
    let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap().lines().count();
    let script = "print(len(open('/proc/sysvipc/shm').readlines()), os.path.exists('/dev/mqueue'))";
    assert_eq!(python(&launcher(), script).output, "1 False\n");
    assert!(listed >= 1);
}

#[test]
fn a_setuid_program_gives_nothing() {
    if !is_root() || !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let argv = ["/bin/sh", "-c", "/opt/id -u; /opt/id -g; grep -c nosuid /proc/mounts >/dev/null"];
    let outcome = run(&launcher(), &argv, |spec| {
        let view = View::Bind {
            source: folder.path().to_owned(),
            mode: Mode::ReadOnly,
            owner: Owner::Unmapped,
        };
        spec.mounts.push(Mount { target: PathBuf::from("/opt"), view });
    });
    assert_eq!(outcome.output, "1000\n1000\n");
}

#[test]
fn a_writable_bind_gives_no_device_and_no_setuid_file_that_works() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::IdMap) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = prelude(
        "import shutil
tried(lambda: os.mknod('/workspace/d', stat.S_IFBLK | 0o666, os.makedev(8, 0)))
shutil.copy('/usr/bin/id', '/workspace/id'); os.chmod('/workspace/id', 0o6755)
print(os.popen('/workspace/id -u').read().strip())
tried(lambda: os.chown('/workspace/id', 0, 0))
lines = [l.split() for l in open('/proc/self/mountinfo')]
print([l[5].split(',')[:3] for l in lines if l[4] == '/workspace'])",
    );
    let outcome = run(&launcher, &["/usr/bin/python3", "-IS", "-c", &script], |spec| {
        let view = View::Bind {
            source: folder.path().to_owned(),
            mode: Mode::ReadWrite,
            owner: Owner::Mapped,
        };
        spec.mounts.push(Mount { target: PathBuf::from("/workspace"), view });
    });
    assert_eq!(outcome.output, "EPERM\n1000\nEINVAL\n[['rw', 'nosuid', 'nodev']]\n");
}

#[test]
fn a_box_inside_a_box_cannot_be_built() {
    let script = "unshare -Ur true 2>&1 | tail -1; command -v bwrap >/dev/null && bwrap --ro-bind / / true 2>/dev/null && echo built";
    let outcome = sh(&launcher(), script);
    assert!(outcome.output.ends_with("Operation not permitted\n"), "{outcome:?}");
}

#[test]
fn the_run_folder_cannot_be_changed() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let script = prelude(
        "tried(lambda: open('/run/x', 'w'))\n\
         tried(lambda: socket.socket(socket.AF_UNIX).bind('/run/s'))",
    );
    let outcome = run(&launcher(), &["/usr/bin/python3", "-IS", "-c", &script], |spec| {
        spec.run = Some(folder.path().to_owned());
    });
    let refused = |line: &str| line == "EROFS" || line == "EACCES";
    assert!(outcome.output.lines().all(refused), "{outcome:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_zygote_shows_no_environment_and_no_descriptor_of_the_server() {
    let launcher = launcher();
    let pid = launcher.zygote_pid().unwrap();
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let known = |link: &PathBuf| {
        let link = link.display().to_string();
        [
            "/dev/null",
            "socket:",
            "/proc",
            "/usr",
            "/etc",
            "/dev",
            "mnt:",
            "net:",
            "/",
            "anon_inode:",
        ]
        .iter()
        .any(|known| link == *known || (known.ends_with(':') && link.starts_with(known)))
    };
    assert_eq!(links.filter(|link| !known(link)).collect::<Vec<_>>(), Vec::<PathBuf>::new());
}
