//! A full and a read-only disk: writes are refused by name, reads go on, nothing is broken.

use std::{fs, path::Path, process::Command};

use workspace::{Change, Error, Limits, Repository, Root, StatCache, View};

use crate::{
    crashes::{ORDER, order},
    house::{House, by, committed, git, output, write},
};

/// Runs this test again where `top` is a file system of its own of 3 MiB.
fn on_a_small_disk(test: &str) {
    let top = tempfile::TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=3m tmpfs \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let mut again = Command::new("unshare");
    again
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(top.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(ORDER, top.path());
    let ran = output(&mut again);
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What no compressor makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(|_| next()).collect()
}

fn commit(house: &House, upper: &Path) -> Result<workspace::Outcome, Error> {
    let view = View::Overlay(Root::open(upper).unwrap());
    let (by, checkout) = (by("Work"), house.head());
    let mut cache = StatCache::default();
    let delta = house.repository.delta(checkout, &view, &Limits::WORKSPACE, &mut cache)?;
    let change = Change { delta, checkout, seen: None, by: &by, hold_as: "dsp_1" };
    house.repository.commit(change)
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads() {
    let Some(top) = order() else {
        return on_a_small_disk("disks::a_full_disk_refuses_writes_and_serves_reads");
    };
    let elsewhere = House::new(&[("a", "1")]);
    let top = Path::new(&top);
    let path = top.join("folder.git");
    drop(Repository::init(&path, &[], &by("Begin")).unwrap());
    let house = House::beside(top, Repository::open(&path).unwrap());
    let upper = elsewhere.make_directory("upper");
    fs::write(upper.join("noise"), noise(4 << 20)).unwrap();
    let head = house.head();
    for _ in 0..3 {
        let refused = commit(&house, &upper);
        assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
        assert_eq!(house.head(), head);
        assert_eq!(house.repository.log(head, 9).unwrap().len(), 1);
    }
    fs::remove_file(upper.join("noise")).unwrap();
    write(&upper, "small", "x");
    committed(commit(&house, &upper).unwrap());
    git(&path, &["fsck", "--strict", "--full"]);
}

#[test]
fn a_read_only_disk_refuses_writes_and_serves_reads() {
    let Some(top) = order() else {
        return on_a_small_disk("disks::a_read_only_disk_refuses_writes_and_serves_reads");
    };
    let top = Path::new(&top);
    let path = top.join("folder.git");
    drop(Repository::init(&path, &[], &by("Begin")).unwrap());
    write(top, "upper/a", "1");
    let house = House::beside(top, Repository::open(&path).unwrap());
    let remount = |mode: &str| {
        let done = Command::new("mount").args(["-o", mode]).arg(top).status();
        assert!(done.unwrap().success());
    };
    remount("remount,ro");
    let refused = commit(&house, &top.join("upper"));
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    assert_eq!(house.repository.log(house.head(), 9).unwrap().len(), 1);
    remount("remount,rw");
    committed(commit(&house, &top.join("upper")).unwrap());
}
