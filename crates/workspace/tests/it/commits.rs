//! Ordinary changes: what a view did is what the commit holds.

use std::{fs, os::unix::fs::symlink};

use workspace::{Outcome, Repository};

use crate::house::{House, by, committed, git, pairs, write};

#[test]
fn a_new_repository_satisfies_git() {
    let house = House::new(&[("README.md", "hello\n"), ("a/b/c.txt", "c\n")]);
    assert_eq!(house.files(), pairs(&[("README.md", "hello\n"), ("a/b/c.txt", "c\n")]));
    house.judge();
    let path = house.path("folder.git");
    assert!(matches!(Repository::init(&path, &[], &by("x")), Err(workspace::Error::Exists { .. })));
}

#[test]
fn a_change_in_an_overlay_becomes_a_commit() {
    let house = House::new(&[("README.md", "hello\n"), ("a/b/c.txt", "c\n"), ("a/d.txt", "d\n")]);
    let upper = house.make_directory("upper");
    write(&upper, "a/b/c.txt", "changed\n");
    write(&upper, "new/deep/file", "new\n");
    symlink("../README.md", upper.join("a/link")).unwrap();
    let done = committed(house.commit_upper(&upper));
    assert_eq!(done.refusals.count, 0);
    let changed: Vec<_> = done.changed.iter().map(|changed| changed.path.as_str()).collect();
    assert_eq!(changed, ["a/b/c.txt", "a/link", "new/deep/file"]);
    let expected = pairs(&[
        ("README.md", "hello\n"),
        ("a/b/c.txt", "changed\n"),
        ("a/d.txt", "d\n"),
        ("a/link", "../README.md"),
        ("new/deep/file", "new\n"),
    ]);
    assert_eq!(house.files(), expected);
    let said = git(&house.path("folder.git"), &["log", "-1", "--format=%an %ae %cn %(trailers)"]);
    assert_eq!(said.trim(), "Ada Lovelace ada@example.org Remit Dispatch: dsp_1\nSubject: usr_1");
    house.judge();
}

#[test]
fn what_is_the_same_is_no_change() {
    let house = House::new(&[("README.md", "hello\n")]);
    let upper = house.make_directory("upper");
    write(&upper, "README.md", "hello\n");
    let head = house.head();
    assert!(matches!(house.commit_upper(&upper), Outcome::Unchanged { .. }));
    assert_eq!(house.head(), head);
}

#[test]
fn a_full_copy_shows_what_was_deleted() {
    let house = House::new(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]);
    let checkout = house.checkout();
    let copy = house.path("copy");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(checkout.path()).arg(&copy).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(copy.join("d")).unwrap();
    write(&copy, "e", "5");
    committed(house.land(house.head(), None, house.plain_delta(house.head(), &copy)));
    assert_eq!(house.files(), pairs(&[("a", "1"), ("e", "5")]));
    house.judge();
}
