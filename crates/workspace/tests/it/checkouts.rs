//! Checkouts: what the commit holds, made once, shared, collected.

use std::{fs, os::unix::fs::MetadataExt as _, sync::Arc, thread};

use workspace::{Checkouts, Error, Reason, Repository};

use crate::house::{House, committed, git, write};

#[test]
fn a_checkout_holds_what_the_commit_holds() {
    let house = House::new(&[("a", "1"), ("d/e/f", "2")]);
    let upper = house.make_directory("upper");
    std::os::unix::fs::symlink("a", upper.join("link")).unwrap();
    committed(house.commit_upper(&upper));
    let checkout = house.checkout();
    assert_eq!(fs::read_to_string(checkout.path().join("d/e/f")).unwrap(), "2");
    assert_eq!(fs::read_link(checkout.path().join("link")).unwrap().to_str(), Some("a"));
    assert!(!checkout.path().join(".git").exists());
}

#[test]
fn unchanged_files_are_shared_with_the_checkout_before() {
    let house = House::new(&[("a", "1"), ("d/e/f", "2")]);
    let before = house.checkout();
    let upper = house.make_directory("upper");
    write(&upper, "a", "changed");
    committed(house.commit_upper(&upper));
    let after = house.checkout();
    let inode = |path: std::path::PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(before.path().join("d/e/f")), inode(after.path().join("d/e/f")));
    assert_eq!(fs::read_to_string(before.path().join("a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(after.path().join("a")).unwrap(), "changed");
}

#[test]
fn callers_at_once_share_one_checkout() {
    let seeds: Vec<_> = (0..300).map(|number| format!("d{}/f{number}", number % 9)).collect();
    let seeds: Vec<_> = seeds.iter().map(|path| (path.as_str(), "x")).collect();
    let house = House::new(&seeds);
    let inodes: Vec<u64> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let checkout = house.checkout();
                    assert_eq!(fs::read_to_string(checkout.path().join("d8/f8")).unwrap(), "x");
                    fs::metadata(checkout.path()).unwrap().ino()
                })
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]));
    assert_eq!(
        fs::read_dir(house.path("checkouts")).unwrap().count(),
        2,
        "one checkout and the mark"
    );
}

#[test]
fn only_what_nobody_uses_is_collected() {
    let house = House::new(&[("a", "1")]);
    let first = house.checkout();
    let upper = house.make_directory("upper");
    write(&upper, "a", "2");
    committed(house.commit_upper(&upper));
    let second = house.checkout();
    assert_eq!(house.checkouts.collect(&[]).unwrap(), 0);
    let (first_path, second_commit) = (first.path().to_owned(), second.commit());
    drop((first, second));
    assert_eq!(house.checkouts.collect(&[second_commit]).unwrap(), 1);
    assert!(!first_path.exists());
    // Another process finds what is left, and may go on with it.
    let again = Arc::new(Checkouts::open(&house.path("checkouts")).unwrap());
    let second = again.checkout(&house.repository, second_commit).unwrap();
    assert_eq!(fs::read_to_string(second.path().join("a")).unwrap(), "2");
}

#[test]
fn a_checkout_of_another_boot_is_not_trusted() {
    let house = House::new(&[("a", "1")]);
    let path = house.checkout().path().to_owned();
    fs::write(path.join("a"), "").unwrap();
    fs::write(house.path("checkouts/boot"), "another boot").unwrap();
    let checkouts = Checkouts::open(&house.path("checkouts")).unwrap();
    let checkout = checkouts.checkout(&house.repository, house.head()).unwrap();
    assert_eq!(fs::read_to_string(checkout.path().join("a")).unwrap(), "1");
}

#[test]
fn a_pushed_tree_with_a_repository_in_it_is_refused() {
    let house = House::new(&[("a", "1")]);
    let bare = house.path("folder.git");
    let blob = git(&bare, &["hash-object", "-w", "--stdin"]);
    let id: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap()).collect();
    for name in [".git", "GIT~1", "..", "a/b"] {
        fs::write(bare.join("evil"), [format!("100644 {name}\0").as_bytes(), &id].concat())
            .unwrap();
        let tree = git(&bare, &["hash-object", "-t", "tree", "-w", "--literally", "evil"]);
        let who = ["-c", "user.name=x", "-c", "user.email=x"];
        let commit = git(&bare, &[&who[..], &["commit-tree", "-m", "x", tree.trim()]].concat());
        let repository = Repository::open(&bare).unwrap();
        let refused = house.checkouts.checkout(&repository, commit.trim().parse().unwrap());
        let reason = match refused {
            Err(Error::NotAllowed { reason, .. }) => reason,
            other => panic!("{name}: {other:?}"),
        };
        assert!(matches!(reason, Reason::DotGit | Reason::EmptyName), "{name}");
    }
    assert_eq!(fs::read_dir(house.path("checkouts")).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_checkout_that_nobody_uses_becomes_the_next() {
    let house = House::new(&[("a", "1"), ("d/e/f", "2"), ("d/g", "3"), ("h/i", "4"), ("j", "5")]);
    let first = house.checkout();
    let (first_path, kept) =
        (first.path().to_owned(), fs::metadata(first.path().join("j")).unwrap());
    drop(first);
    let copy = house.make_directory("copy");
    write(&copy, "a/was/a/file", "6");
    write(&copy, "d", "was a directory");
    write(&copy, "j", "5");
    write(&copy, "k", "7");
    std::os::unix::fs::symlink("k", copy.join("link")).unwrap();
    committed(house.land(house.head(), None, house.plain_delta(house.head(), &copy)));
    let second = house.checkout();
    assert!(!first_path.exists());
    assert_eq!(fs::metadata(second.path().join("j")).unwrap().ino(), kept.ino());
    assert!(!second.path().join("h").exists(), "an emptied directory stays");
    // The checkout as a whole copy differs in nothing from the commit.
    let delta = house.plain_delta(house.head(), second.path());
    assert_eq!((delta.edits(), delta.refusals().count), (&[][..], 0));
}

#[test]
fn a_checkout_below_a_sandbox_of_an_earlier_process_is_left_alone() {
    let house = House::new(&[("a", "1")]);
    let path = house.checkout().path().to_owned();
    let upper = house.make_directory("upper");
    write(&upper, "a", "2");
    committed(house.commit_upper(&upper));
    let later = Checkouts::open(&house.path("checkouts")).unwrap();
    let next = later.checkout(&house.repository, house.head()).unwrap();
    assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(next.path().join("a")).unwrap(), "2");
}
