//! Ordinary changes: what a view did is what the commit holds.

use std::{fs, os::unix::fs::symlink, process::Command};

use workspace::{Limits, Outcome, Repository, Root, StatCache, View, Write, Written};

use crate::house::{House, busy, by, committed, git, output, pairs, timed, tree_path, write};

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
    let copied = Command::new("cp").arg("-a").arg(checkout.path()).arg(&copy).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(copy.join("d")).unwrap();
    write(&copy, "e", "5");
    committed(house.land(house.head(), None, house.plain_delta(house.head(), &copy)));
    assert_eq!(house.files(), pairs(&[("a", "1"), ("e", "5")]));
    house.judge();
}

#[test]
fn a_repository_that_borrows_objects_is_not_opened() {
    let house = House::new(&[("a", "1")]);
    write(&house.path("folder.git"), "objects/info/alternates", "/etc\n");
    let opened = Repository::open(&house.path("folder.git"));
    assert!(matches!(opened, Err(workspace::Error::Damaged { .. })), "{opened:?}");
    let absent = Repository::open(&house.path("none.git"));
    assert!(matches!(absent, Err(workspace::Error::NotARepository { .. })), "{absent:?}");
}

#[test]
fn what_the_users_git_is_set_to_do_is_not_done() {
    let house = House::new(&[("a", "1")]);
    let config = house.path("folder.git/config");
    let old = fs::read_to_string(&config).unwrap();
    let evil = format!("touch {}", house.path("pwned").display());
    let evil = format!("[core]\n\tfsmonitor = {evil}\n[include]\n\tpath = /etc/passwd\n[broken");
    fs::write(&config, format!("{old}{evil}")).unwrap();
    let upper = house.make_directory("upper");
    write(&upper, "a", "2");
    let repository = Repository::open(&house.path("folder.git")).unwrap();
    let again = House::beside(house.directory.path(), repository);
    committed(again.commit_upper(&upper));
    assert_eq!(again.files(), pairs(&[("a", "2")]));
    assert!(!house.path("pwned").exists());
}

#[test]
fn a_submodule_that_somebody_pushed_stays_as_it_is() {
    let house = House::new(&[("a", "1")]);
    let bare = house.path("folder.git");
    let head = house.head().to_string();
    let listed = git(&bare, &["ls-tree", &head]);
    fs::write(house.path("tree"), format!("{listed}160000 commit {head}\tmodule\n")).unwrap();
    let made = Command::new("git")
        .args(["mktree", "--missing"])
        .current_dir(&bare)
        .stdin(fs::File::open(house.path("tree")).unwrap())
        .output();
    let tree = String::from_utf8(made.unwrap().stdout).unwrap();
    let who = ["-c", "user.name=x", "-c", "user.email=x", "commit-tree", "-m", "x", "-p", &head];
    let commit = git(&bare, &[&who[..], &[tree.trim()]].concat());
    git(&bare, &["update-ref", "refs/heads/main", commit.trim()]);
    let checkout = house.checkout();
    assert_eq!(fs::read_dir(checkout.path().join("module")).unwrap().count(), 0);
    let copy = house.make_directory("copy");
    write(&copy, "a", "1");
    let delta = house.plain_delta(house.head(), &copy);
    assert_eq!((delta.edits(), delta.refusals().count), (&[][..], 0));
    write(&copy, "module/planted", "x");
    assert_eq!(house.plain_delta(house.head(), &copy).edits(), &[]);
}

#[test]
fn a_stat_cache_never_hides_a_change() {
    let house = House::new(&[("a", "0000")]);
    let copy = house.make_directory("copy");
    let view = View::Plain(Root::open(&copy).unwrap());
    let mut cache = StatCache::default();
    let mut seen = None;
    for number in 1..200 {
        // Same size, as soon after the last look as can be.
        write(&copy, "a", &format!("{number:04}"));
        let delta = house.repository.delta(house.head(), &view, &Limits::WORKSPACE, &mut cache);
        let after = delta.unwrap().edits()[0].after;
        assert_ne!(after, seen, "change {number} was not noticed");
        seen = after;
    }
    let mut looks = 0;
    while cache.is_empty() {
        looks += 1;
        assert!(looks < 1_000_000, "a file that nobody changes is never remembered");
        drop(house.repository.delta(house.head(), &view, &Limits::WORKSPACE, &mut cache).unwrap());
    }
    let delta =
        house.repository.delta(house.head(), &view, &Limits::WORKSPACE, &mut cache).unwrap();
    assert_eq!(delta.edits()[0].after, seen);
    write(&copy, "a", "last");
    let delta =
        house.repository.delta(house.head(), &view, &Limits::WORKSPACE, &mut cache).unwrap();
    assert_ne!(delta.edits()[0].after, seen);
}

#[test]
fn a_long_history_is_walked_once_and_not_for_every_question() {
    const COMMITS: usize = 30_000;
    const TURNS: u32 = 20;
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let commit = |number: usize| {
        let from = if number == 0 { format!("from {start}\n") } else { String::new() };
        let who = format!("committer Ada <ada@example.org> {number} +0000");
        format!("commit refs/heads/main\n{who}\ndata 1\nx\n{from}\n")
    };
    let history: String = (0..COMMITS).map(commit).collect();
    let file = house.path("history");
    fs::write(&file, history).unwrap();
    let mut import = Command::new("git");
    import.current_dir(house.path("folder.git")).args(["fast-import", "--quiet"]);
    assert!(output(import.stdin(fs::File::open(&file).unwrap())).status.success());
    let repository = Repository::open(&house.path("folder.git")).unwrap();
    let held = repository.log(house.head(), COMMITS).unwrap().len();
    assert_eq!(held, COMMITS);
    let (found, walk) = busy(|| repository.is_in_history(start).unwrap());
    assert!(found);
    // Each of these would be a walk of the whole history.
    timed("1,000 questions about the oldest commit", || {
        for _ in 0..1_000 {
            assert!(repository.is_in_history(start).unwrap());
        }
    });
    let write =
        |content: &str| Write { path: tree_path("a"), content: Some(content.as_bytes().to_vec()) };
    let ((), all) = busy(|| {
        for number in 0..TURNS {
            let (base, write) = (repository.head().unwrap(), write(&format!("{number}\n")));
            let written = repository.write(base, &[write], &by("Write")).unwrap();
            assert!(matches!(written, Written::Done(_)), "{written:?}");
            assert!(repository.is_in_history(start).unwrap());
        }
    });
    assert!(all < TURNS / 2 * walk, "{TURNS} commits took {all:?}, and one walk {walk:?}");
}
