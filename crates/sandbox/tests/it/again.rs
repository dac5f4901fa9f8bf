//! The same tests again, on a machine that gives less.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{ZYGOTE, is_root, ran, zygote};

/// Without any right on this machine.
#[test]
fn as_an_ordinary_user_the_same_walls_stand() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "it");
    let zygote = copy(&zygote(), "zygote");
    let mut again = Command::new(tests);
    again.args(["escape", "views::", "limits::", "life::", "still::", "sweep::"]);
    again.env(ZYGOTE, zygote).current_dir("/").uid(54_321).gid(54_321);
    let (passed, text) = ran("the tests of an ordinary user", &mut again);
    assert!(passed, "{text}");
    assert!(text.contains("test escape::nothing_can_be_mounted ... ok"), "{text}");
}

/// Where v1 holds the controllers and nobody has mounted v2, root has its freezer all the same.
#[test]
fn where_cgroup_v2_is_mounted_nowhere_a_box_can_still_be_frozen() {
    if !is_root() {
        return;
    }
    let script =
        "umount --lazy --all --types cgroup2; exec \"$0\" still:: sweep:: life:: --nocapture";
    let mut again = Command::new("unshare");
    again.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let (passed, text) = ran("the tests without cgroup v2", &mut again);
    assert!(passed, "{text}");
    assert!(!text.contains("skipped: freeze"), "{text}");
}
