//! The process is killed in the middle: the repository is what it was or what was promised, never in between.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};
use workspace::{Checkouts, CommitId, Point, Probe, Repository, Root, StatCache};

use crate::house::{House, by, committed, git, output, pairs, watched, write};

/// Tells the child, which is this test binary again, what to do.
pub(crate) const ORDER: &str = "REMIT_TEST_CRASH";

const POINTS: [(Point, &str); 6] = [
    (Point::Gathered, "Gathered"),
    (Point::PackNamed, "PackNamed"),
    (Point::RefWritten, "RefWritten"),
    (Point::RefMoved, "RefMoved"),
    (Point::Repacked, "Repacked"),
    (Point::CheckoutWritten, "CheckoutWritten"),
];

#[expect(clippy::disallowed_methods, reason = "the only way to tell a test binary something")]
pub(crate) fn order() -> Option<String> {
    std::env::var(ORDER).ok()
}

pub(crate) fn child(test: &str, order: &str) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ORDER, order)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    watched(child.unwrap())
}

/// Opens the repository of the house at `top` and dies at `point`.
fn deadly(top: &Path, point: Point) -> Repository {
    deadly_at(top, point, 1)
}

/// The same, at the `nth` time.
pub(crate) fn deadly_at(top: &Path, point: Point, nth: u32) -> Repository {
    let times = AtomicU32::new(0);
    let die = move |reached| {
        if reached == point && times.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    };
    Repository::open(&top.join("folder.git")).unwrap().with_probe(Probe::new(die))
}

#[test]
fn killed_at_any_point_the_repository_is_whole() {
    if let Some(order) = order() {
        let (name, top) = order.split_once(' ').unwrap();
        let point = POINTS.iter().find(|(_, known)| *known == name).unwrap().0;
        return die_at(Path::new(top), point);
    }
    for (point, name) in POINTS {
        let house = House::new(&[("a", "1")]);
        write(&house.make_directory("upper"), "a", "2");
        let before = house.head();
        let order = format!("{name} {}", house.directory.path().display());
        let status =
            child("crashes::killed_at_any_point_the_repository_is_whole", &order).wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{name}: not reached");
        check_after(&house, point, before);
    }
}

fn die_at(top: &Path, point: Point) {
    let directory = House::beside(top, deadly(top, point));
    match point {
        Point::Repacked => {
            // The next merge of many packs dies.
            for number in 0..60 {
                write(&directory.make_directory("many"), "a", &format!("many {number}"));
                committed(directory.commit_upper(&directory.path("many")));
            }
        }
        Point::CheckoutWritten => drop(directory.checkout()),
        Point::ApprovalReady => panic!("approvals have their own test"),
        Point::Sealed => panic!("sealed repositories have their own test"),
        Point::Gathered | Point::PackNamed | Point::RefWritten | Point::RefMoved => {
            drop(directory.commit_upper(&top.join("upper")));
        }
    }
}

fn check_after(house: &House, point: Point, before: CommitId) {
    let again =
        House::beside(house.directory.path(), Repository::open(&house.path("folder.git")).unwrap());
    if point == Point::Repacked {
        assert!(again.repository.log(again.head(), 99).unwrap().len() > 40);
        committed(again.commit_upper(&house.path("upper")));
    } else if matches!(point, Point::RefWritten | Point::RefMoved) {
        assert_eq!(again.files(), pairs(&[("a", "2")]));
        assert_eq!(again.repository.log(again.head(), 9).unwrap()[1].commit, before);
    } else {
        assert_eq!(again.head(), before, "{point:?}");
        committed(again.commit_upper(&house.path("upper")));
    }
    again.repository.maintain().unwrap();
    assert_eq!(again.files(), pairs(&[("a", "2")]));
    let checkout = Checkouts::open(&house.path("checkouts")).unwrap();
    let checkout = checkout.checkout(&again.repository, again.head()).unwrap();
    assert_eq!(fs::read_to_string(checkout.path().join("a")).unwrap(), "2");
    let left = output(Command::new("find").arg(house.directory.path()).args(["-name", "tmp_*"]));
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "", "{point:?} left something");
    house.judge();
}

/// What a power cut leaves in the worst case: of all that was written since `before` was copied, only the journal.
fn after_a_power_cut(house: &House, before: &Path, spoilt: &[u8]) -> House {
    let (cut, now) = (house.make_directory("cut"), house.path("folder.git"));
    let copied = Command::new("cp").arg("-a").arg(before).arg(cut.join("folder.git")).status();
    assert!(copied.unwrap().success());
    fs::copy(now.join("remit.journal"), cut.join("folder.git/remit.journal")).unwrap();
    // Names without their content, as some file systems leave them.
    for entry in fs::read_dir(now.join("objects/pack")).unwrap() {
        let there = cut.join("folder.git/objects/pack").join(entry.unwrap().file_name());
        if !there.exists() {
            fs::write(there, spoilt).unwrap();
        }
    }
    fs::write(cut.join("folder.git/refs/heads/main"), spoilt).unwrap();
    let repository = Repository::open(&cut.join("folder.git")).unwrap();
    House::beside(&cut, repository)
}

fn copy_of_now(house: &House) -> PathBuf {
    let copy = house.path("before.git");
    let copied = Command::new("cp").arg("-a").arg(house.path("folder.git")).arg(&copy).status();
    assert!(copied.unwrap().success());
    copy
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_that_leaves_only_the_journal() {
    for (commits_before, spoilt) in [(0, &b""[..]), (3, b"garbage"), (60, b"")] {
        let house = House::new(&[("a", "1")]);
        let upper = house.make_directory("upper");
        for number in 0..commits_before {
            write(&upper, "a", &format!("before {number}"));
            committed(house.commit_upper(&upper));
        }
        house.repository.maintain().unwrap();
        let before = copy_of_now(&house);
        let session = house.make_directory("session");
        write(&session, "talk.jsonl", "hello");
        let save = |repository: &Repository| {
            let root = Root::open(&session).unwrap();
            let mut cache = StatCache::default();
            repository.save_session("ses_1", &root, &mut cache, &by("Work")).unwrap().commit
        };
        let mut acknowledged = Vec::new();
        for number in 0..5 {
            write(&upper, "a", &format!("after {number}"));
            acknowledged.push(committed(house.commit_upper(&upper)).commit);
            write(&session, "talk.jsonl", &format!("hello {number}"));
            acknowledged.extend(save(&house.repository));
        }
        let again = after_a_power_cut(&house, &before, spoilt);
        assert_eq!(again.head(), house.head());
        assert_eq!(again.files(), pairs(&[("a", "after 4")]));
        assert_eq!(again.repository.session("ses_1").unwrap(), acknowledged.last().copied());
        let log = again.repository.log(again.head(), 99).unwrap();
        assert_eq!(log.len(), 6 + commits_before);
        write(&upper, "a", "and on");
        committed(again.commit_upper(&upper));
        again.judge();
    }
}

#[test]
fn a_repository_that_another_process_moved_is_taken_as_it_is() {
    let house = House::new(&[("a", "1")]);
    let upper = house.make_directory("upper");
    let commit = |house: &House, content: &str| {
        write(&upper, "a", content);
        committed(house.commit_upper(&upper)).commit
    };
    let mut commits = vec![commit(&house, "ours 1")];
    let other =
        House::beside(house.directory.path(), Repository::open(&house.path("folder.git")).unwrap());
    commits.push(commit(&other, "theirs 1"));
    commits.push(commit(&house, "ours 2"));
    commits.push(commit(&house, "ours 3"));
    commits.push(commit(&other, "theirs 2"));
    let log = house.repository.log(house.head(), 99).unwrap();
    let log: Vec<_> = log.into_iter().rev().skip(1).map(|record| record.commit).collect();
    assert_eq!(log, commits);
    house.judge();
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    if let Some(top) = order() {
        return commit_until_killed(Path::new(&top));
    }
    let house = House::new(&[("a", "1")]);
    let mut acknowledged: Vec<CommitId> = Vec::new();
    for round in 0..12 {
        let top = house.directory.path().display().to_string();
        let mut child = child("crashes::what_was_acknowledged_survives_a_kill_at_any_moment", &top);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said =
            lines.map(Result::unwrap).filter_map(|line| line.strip_prefix("done ")?.parse().ok());
        let mut said = said.inspect(|commit| acknowledged.push(*commit));
        assert_eq!(said.by_ref().take(1 + round * 2).count(), 1 + round * 2);
        child.kill().unwrap();
        said.for_each(drop);
        child.wait().unwrap();
        let repository = Repository::open(&house.path("folder.git")).unwrap();
        let head = repository.head().unwrap().unwrap();
        let log: Vec<_> =
            repository.log(head, 10_000).unwrap().into_iter().map(|record| record.commit).collect();
        for commit in &acknowledged {
            assert!(log.contains(commit), "{commit} was acknowledged and is lost");
        }
    }
    git(&house.path("folder.git"), &["fsck", "--strict", "--full"]);
}

fn commit_until_killed(top: &Path) {
    let house = House::beside(top, Repository::open(&top.join("folder.git")).unwrap());
    let upper = house.make_directory("upper");
    let pid = std::process::id();
    for number in 0..10_000 {
        write(&upper, "a", &format!("{pid} {number}"));
        let done = committed(house.commit_upper(&upper));
        writeln_now(&format!("done {}", done.commit));
        if number % 60 == 59 {
            house.repository.maintain().unwrap();
        }
    }
}

/// Says a line at once, past the test harness.
fn writeln_now(line: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes()).unwrap();
}
