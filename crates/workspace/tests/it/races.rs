//! Folders that change while they are read.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use workspace::{EntryKind, Reason, Root, RootError};

use crate::house::{House, timed, write};

/// Ends the other side of a race, also when this side fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_directory_swapped_for_a_link_never_leads_out() {
    let house = House::new(&[("a", "1")]);
    let outside = house.make_directory("outside");
    write(&outside, "file", "secret");
    write(&outside, "other", "secret");
    let upper = house.make_directory("upper");
    write(&upper, "dir/file", "harmless");
    symlink(&outside, upper.join("link")).unwrap();
    let stop = AtomicBool::new(false);
    let harmless = house.repository.delta(
        house.head(),
        &workspace::View::Overlay(Root::open(&upper).unwrap()),
        &workspace::Limits::WORKSPACE,
        &mut workspace::StatCache::default(),
    );
    let harmless = harmless.unwrap().edits()[0].after;
    thread::scope(|scope| {
        scope.spawn(|| {
            let paths = ["dir", "link", "spare"].map(|name| upper.join(name));
            let swap = |from: &Path, to: &Path| fs::rename(from, to).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let [dir, link, spare] = &paths;
                swap(dir, spare);
                swap(link, dir);
                swap(dir, link);
                swap(spare, dir);
            }
        });
        let _stop = Stop(&stop);
        let (mut taken, mut left) = (0, 0);
        for _ in 0..3_000 {
            let delta = house.overlay_delta(house.head(), &upper);
            for edit in delta.edits() {
                assert!(["dir/file", "spare/file"].contains(&edit.path.as_str()), "{}", edit.path);
                assert_eq!(edit.after, harmless);
                taken += 1;
            }
            left += delta.refusals().count;
        }
        assert!(taken > 0 && left > 0, "the race was never run: {taken} taken, {left} left");
    });
}

#[test]
fn a_file_that_never_holds_still_is_whole_or_refused() {
    let house = House::new(&[("a", "1")]);
    let upper = house.make_directory("upper");
    let path = upper.join("log");
    File::create(&path).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut file = File::create(&path).unwrap();
                for _ in 0..100 {
                    file.write_all(b"one whole line\n").unwrap();
                }
            }
        });
        let _stop = Stop(&stop);
        for _ in 0..500 {
            let delta = timed("a changing file", || house.overlay_delta(house.head(), &upper));
            let reasons = delta.refusals().listed.iter().map(|refusal| refusal.reason);
            assert!(reasons.into_iter().all(|reason| reason == Reason::Changing));
            assert_eq!(delta.edits().len() + delta.refusals().count, 1);
        }
    });
}

#[test]
fn a_root_reads_only_what_lies_in_it() {
    let house = House::new(&[("a", "1")]);
    let inside = house.make_directory("inside");
    write(&house.path("."), "outside", "secret");
    write(&inside, "d/file", "text");
    symlink("../outside", inside.join("link")).unwrap();
    symlink("d", inside.join("dirlink")).unwrap();
    symlink(&inside, house.path("root-link")).unwrap();
    let root = Root::open(&inside).unwrap();
    let read = |path: &str| root.read(Path::new(path), 100);
    assert_eq!(read("d/file").unwrap(), b"text");
    for path in ["../outside", "link", "dirlink/file", "d/../../outside", "/etc/passwd"] {
        assert!(matches!(read(path), Err(RootError::Refused(_))), "{path}");
    }
    assert!(matches!(read("none"), Err(RootError::Absent)));
    assert!(matches!(root.read(Path::new("d/file"), 3), Err(RootError::Refused(Reason::TooLarge))));
    assert!(matches!(read("d"), Err(RootError::Refused(_))));
    assert_eq!(root.look(Path::new("link")).unwrap(), EntryKind::Link);
    let file = EntryKind::File { bytes: 4, executable: false };
    assert_eq!(root.look(Path::new("d/file")).unwrap(), file);
    assert_eq!(root.list(Path::new(""), 9).unwrap(), [&b"d"[..], b"dirlink", b"link"]);
    assert!(matches!(root.list(Path::new(""), 2), Err(RootError::Refused(Reason::TooMany))));
    assert!(Root::open(&house.path("root-link")).is_err());
}

#[test]
fn a_root_leaves_neither_its_file_system_nor_follows_magic() {
    let top = Root::open(Path::new("/")).unwrap();
    let other = top.read(Path::new("proc/version"), 1000);
    assert!(matches!(other, Err(RootError::Refused(Reason::OtherFileSystem))), "{other:?}");
    let myself = Root::open(&fs::canonicalize("/proc/self").unwrap()).unwrap();
    for path in ["exe", "root/etc/passwd", "cwd/Cargo.toml"] {
        assert!(matches!(myself.read(Path::new(path), 1000), Err(RootError::Refused(_))), "{path}");
    }
}

#[test]
fn a_pipe_is_never_waited_for() {
    let house = House::new(&[("a", "1")]);
    let inside = house.make_directory("inside");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, inside.join("pipe"), mode).unwrap();
    let root = Root::open(&inside).unwrap();
    let read = timed("a pipe", || root.read(Path::new("pipe"), 100));
    assert!(matches!(read, Err(RootError::Refused(Reason::Fifo))), "{read:?}");
}
