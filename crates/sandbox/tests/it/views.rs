//! What a box sees: binds, overlays, its scratch, sockets, the network.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode as FileMode, OFlags, openat};
use sandbox::{Error, Exit, Mode, Mount, Owner, Phase, Ports, View, Wall};

use crate::harness::{
    LONG, Outcome, eventually, finish, has_python, is_root, launcher, pool, prelude, readable, run,
    scratch, sh, spec, stands,
};

fn ok(output: &str) -> Outcome {
    Outcome { exit: Exit::Code(0), output: output.to_owned() }
}

/// A folder everybody can enter, with a file.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("file"), "content\n").unwrap();
    folder
}

fn bind(source: &Path, target: &str, mode: Mode, owner: Owner) -> Mount {
    let view = View::Bind { source: source.to_owned(), mode, owner };
    Mount { target: PathBuf::from(target), view }
}

fn overlay(lower: &Path, target: &str) -> Mount {
    let view = View::Overlay { lowers: vec![lower.to_owned()], owner: Owner::Mapped };
    Mount { target: PathBuf::from(target), view }
}

#[test]
fn a_box_is_nobody_in_particular_in_an_empty_place() {
    let launcher = launcher();
    let seen =
        sh(&launcher, "id -u; id -g; pwd; uname -n; cd /; echo *; ls -A /session /home/agent");
    let root = "bin dev etc home";
    assert!(seen.output.starts_with("1000\n1000\n/tmp\nbox\n"), "{seen:?}");
    assert!(seen.output.contains(root) || seen.output.contains("dev etc home"), "{seen:?}");
    assert_eq!(seen.exit, Exit::Code(0));
}

#[test]
fn the_environment_is_what_was_given() {
    let outcome = run(&launcher(), &["/usr/bin/env"], |spec| {
        spec.env = vec![("ONLY".into(), "this".into())];
    });
    assert_eq!(outcome, ok("ONLY=this\n"));
}

#[test]
fn a_read_only_bind_is_read_only_by_the_kernel() {
    let folder = folder();
    let script = "cat /workspace/file; touch /workspace/new 2>&1 | grep -o 'Read-only file system'";
    let outcome = run(&launcher(), &["/bin/sh", "-c", script], |spec| {
        spec.mounts.push(bind(folder.path(), "/workspace", Mode::ReadOnly, Owner::Unmapped));
    });
    assert_eq!(outcome, ok("content\nRead-only file system\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_mapped_bind_gives_files_of_the_server_to_the_box_and_back() {
    let launcher = launcher();
    if is_root() && !stands(&launcher, Wall::IdMap) {
        return;
    }
    let folder = folder();
    let script =
        "stat -c %u /workspace/file; echo more >> /workspace/file; echo new > /workspace/new";
    let outcome = run(&launcher, &["/bin/sh", "-c", script], |spec| {
        spec.mounts.push(bind(folder.path(), "/workspace", Mode::ReadWrite, Owner::Mapped));
    });
    assert_eq!(outcome, ok("1000\n"));
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "content\nmore\n");
    let uid = fs::metadata(folder.path().join("new")).unwrap().uid();
    assert_eq!(uid, rustix::process::geteuid().as_raw());
}

#[test]
fn an_overlay_keeps_its_lower_and_shows_its_changes_outside() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Overlay) {
        return;
    }
    let folder = folder();
    fs::write(folder.path().join("gone"), "x").unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/old"), "x").unwrap();
    let script = "cd /workspace && echo more >> file && rm gone && echo new > new \
                  && rm -r sub && mkdir sub && mv new sub/moved && cat file && ls sub";
    let (mut spec, mut reader) = spec(&["/bin/sh", "-c", script]);
    spec.mounts.push(overlay(folder.path(), "/workspace"));
    let mut child = launcher.spawn(spec, scratch(&launcher)).unwrap();
    child.wait(None).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let upper = openat(child.scratch().dir(), "upper/0", flags, FileMode::empty()).unwrap();
    let read = |name: &str| {
        let mut text = String::new();
        let file = openat(&upper, name, OFlags::RDONLY, FileMode::empty()).unwrap();
        fs::File::from(file).read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read("file"), "content\nmore\n");
    assert_eq!(read("sub/moved"), "new\n");
    let none = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let gone = rustix::fs::statat(&upper, "gone", none).unwrap();
    assert_eq!((gone.st_mode & 0o170_000, gone.st_rdev), (0o020_000, 0));
    let sub = openat(&upper, "sub", flags, FileMode::empty()).unwrap();
    let mut value = [0; 8];
    let length = rustix::fs::fgetxattr(&sub, "user.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"y");
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "content\n");
    assert_eq!(finish(child, &mut reader), ok("content\nmore\nmoved\n"));
}

#[test]
fn files_put_into_a_scratch_before_the_box_are_there() {
    let launcher = launcher();
    let scratch = scratch(&launcher);
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file =
        openat(scratch.dir(), "session/known", flags, FileMode::from_raw_mode(0o600)).unwrap();
    fs::File::from(file.try_clone().unwrap()).write_all(b"resumed\n").unwrap();
    let (uid, gid) = (scratch.uid(), scratch.uid());
    if is_root() {
        let ids = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        rustix::fs::fchown(&file, Some(ids.0), Some(ids.1)).unwrap();
    }
    let script = "cat /session/known; echo kept > /session/new; echo x > /home/agent/y";
    let (spec, mut reader) = spec(&["/bin/sh", "-c", script]);
    let mut child = launcher.spawn(spec, scratch).unwrap();
    child.wait(None).unwrap();
    let new =
        openat(child.scratch().dir(), "session/new", OFlags::RDONLY, FileMode::empty()).unwrap();
    let mut text = String::new();
    fs::File::from(new).read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept\n");
    assert_eq!(finish(child, &mut reader), ok("resumed\n"));
}

#[test]
fn things_below_a_mount_point_stand_on_a_read_only_shelf() {
    let folder = folder();
    let program = fs::canonicalize("/usr/bin/env").unwrap();
    let script = "cat /workspace/a/b/file; ls /workspace; /opt/tool/env true && echo ran; \
                  touch /opt/tool/x 2>/dev/null || echo closed";
    let outcome = run(&launcher(), &["/bin/sh", "-c", script], |spec| {
        let mode = Mode::ReadOnly;
        spec.mounts.push(bind(folder.path(), "/workspace/a/b", mode, Owner::Unmapped));
        spec.mounts.push(bind(folder.path(), "/workspace/c", mode, Owner::Unmapped));
        spec.mounts.push(bind(&program, "/opt/tool/env", mode, Owner::Unmapped));
    });
    assert_eq!(outcome, ok("content\na\nc\nran\nclosed\n"));
}

#[test]
fn a_mount_below_an_overlay_gets_its_place_made() {
    let launcher = launcher();
    if !stands(&launcher, Wall::Overlay) {
        return;
    }
    let (lower, history) = (folder(), folder());
    // The lower holds a link where the mount point is wanted: it must not be followed.
    symlink("/tmp", lower.path().join(".history")).unwrap();
    let script = "cat /workspace/.history/file; ls -A /tmp; touch /workspace/.history/x 2>/dev/null \
                  || echo closed; echo y > /workspace/z";
    let outcome = run(&launcher, &["/bin/sh", "-c", script], |spec| {
        spec.mounts.push(overlay(lower.path(), "/workspace"));
        let mount = bind(history.path(), "/workspace/.history", Mode::ReadOnly, Owner::Unmapped);
        spec.mounts.push(mount);
    });
    assert_eq!(outcome, ok("content\nclosed\n"));
}

#[test]
fn a_mount_point_through_a_symlink_is_refused() {
    let launcher = launcher();
    let (outer, inner) = (folder(), folder());
    symlink("/etc", outer.path().join("link")).unwrap();
    let (mut spec, _reader) = spec(&["/bin/true"]);
    spec.mounts.push(bind(outer.path(), "/workspace", Mode::ReadWrite, Owner::Mapped));
    spec.mounts.push(bind(inner.path(), "/workspace/link/ssl", Mode::ReadOnly, Owner::Unmapped));
    let refused = launcher.spawn(spec, scratch(&launcher)).unwrap_err();
    assert!(matches!(refused, Error::Build { phase: Phase::Attach, .. }), "{refused:?}");
}

#[test]
fn a_target_outside_every_mount_point_is_refused() {
    let launcher = launcher();
    let folder = folder();
    for target in ["/elsewhere", "/etc/passwd", "/usr/bin/x", "/proc/x", "/.box/in"] {
        let (mut spec, _reader) = spec(&["/bin/true"]);
        spec.mounts.push(bind(folder.path(), target, Mode::ReadOnly, Owner::Unmapped));
        let refused = launcher.spawn(spec, scratch(&launcher)).unwrap_err();
        assert!(matches!(refused, Error::NoMountPoint { .. }), "{target}: {refused:?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named_as_the_failing_step() {
    let launcher = launcher();
    let (spec, _reader) = spec(&["/nowhere"]);
    let failed = launcher.spawn(spec, scratch(&launcher)).unwrap_err();
    assert!(matches!(failed, Error::Build { phase: Phase::Exec, .. }), "{failed:?}");
}

#[test]
fn a_box_talks_to_a_unix_socket_in_its_run_folder() {
    if !has_python() {
        return;
    }
    let launcher = launcher();
    let folder = folder();
    let path = folder.path().join("gate.sock");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let script = prelude(
        "s = socket.socket(socket.AF_UNIX)\ns.connect('/run/gate.sock')\ns.send(b'hello')\n\
         print(s.recv(9).decode())",
    );
    let (mut spec, mut reader) = spec(&["/usr/bin/python3", "-IS", "-c", &script]);
    spec.run = Some(folder.path().to_owned());
    let child = launcher.spawn(spec, scratch(&launcher)).unwrap();
    readable("the box calls", &listener);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    stream.write_all(b"welcome").unwrap();
    assert_eq!(finish(child, &mut reader), ok("welcome\n"));
}

#[test]
fn listeners_held_outside_are_reached_from_inside_and_nothing_else_is() {
    if !has_python() {
        return;
    }
    let launcher = launcher();
    let pool = pool(&launcher);
    let net = pool.lease().unwrap();
    let script = prelude(
        "s = socket.create_connection(('127.0.0.1', 8700))\ns.send(b'hello')\n\
         print(s.recv(9).decode())\n\
         for host, port in [('127.0.0.1', 8701), ('192.0.2.1', 80)]:\n\
         \x20   print(name(-socket.socket().connect_ex((host, port))))",
    );
    let (mut spec, mut reader) = spec(&["/usr/bin/python3", "-IS", "-c", &script]);
    spec.net = Some(net.handle());
    let child = launcher.spawn(spec, scratch(&launcher)).unwrap();
    let listener = &net.listeners()[0];
    readable("the box calls", listener);
    let (mut stream, peer) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(peer.ip().is_loopback());
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    stream.write_all(b"welcome").unwrap();
    drop(stream);
    let outcome = finish(child, &mut reader);
    assert_eq!(outcome, ok("welcome\nECONNREFUSED\nENETUNREACH\n"));
    eventually("the sockets of the box are gone", || net.is_empty());
    pool.give_back(net);
    assert_eq!(pool.ready(), 1);
}

/// No other wall than landlock stands in the way of this.
#[test]
fn only_the_named_ports_can_be_connected_to() {
    let launcher = launcher();
    if !has_python() || !stands(&launcher, Wall::LandlockNet) {
        return;
    }
    let pool = pool(&launcher);
    let net = pool.lease().unwrap();
    let script = prelude(
        "print(name(-socket.socket().connect_ex(('127.0.0.1', 8700))))\n\
         print(name(-socket.socket().connect_ex(('127.0.0.1', 8701))))\n\
         try: socket.socket().bind(('127.0.0.1', 8702))\n\
         except OSError as e: print(name(-e.errno))",
    );
    let outcome = run(&launcher, &["/usr/bin/python3", "-IS", "-c", &script], |spec| {
        spec.net = Some(net.handle());
        spec.ports = Ports::Only(vec![8700]);
    });
    assert_eq!(outcome, ok("ok\nEACCES\nEACCES\n"));
    // The connection still waits in the backlog, so the namespace is not empty.
    pool.give_back(net);
    assert_eq!(pool.ready(), 0);
}
