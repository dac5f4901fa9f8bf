//! Held change-sets as a person reviews them, and what of them lands: exactly what was chosen, once.

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt as _, path::Path};

use workspace::{
    Approval, Attribution, Change, Choice, ChoiceError, CommitId, Conflict, FileChoice, FileMode,
    Flag, Held, Landing, Outcome, PatchBody, Point, Repository, Review, Take, Trailer,
};

use crate::{
    crashes::{child, deadly_at, order},
    house::{House, by, committed, git, pairs, tree_path, write},
};

impl House {
    /// Proposes what lies in an upper directory over the head.
    fn propose(&self, upper: &Path) -> Held {
        let (by, head) = (by("Work"), self.head());
        let delta = self.overlay_delta(head, upper);
        let change = Change { delta, checkout: head, seen: None, by: &by, hold_as: "dsp_1" };
        match self.repository.propose(change).unwrap() {
            Outcome::Held(held) => held,
            other => panic!("not held: {other:?}"),
        }
    }

    fn review(&self, held: &Held) -> Review {
        self.repository.review(held.commit, self.head()).unwrap()
    }

    fn prepare(&self, held: &Held, choice: &Choice) -> Result<CommitId, ChoiceError> {
        let by = approved();
        let (held, head) = (held.commit, self.head());
        let approval = Approval { held, head, choice, by: &by, name: "prp_1" };
        self.repository.prepare(&approval).unwrap()
    }

    fn approve(&self, held: &Held, choice: &Choice) -> CommitId {
        let prepared = self.prepare(held, choice).unwrap();
        match self.repository.land(prepared, &approved()).unwrap() {
            Landing::Landed(commit) => commit,
            other => panic!("not landed: {other:?}"),
        }
    }

    /// What somebody else does to the folder.
    fn meanwhile(&self, path: &str, content: &str) {
        let upper = self.make_directory(&format!("meanwhile-{}", self.head()));
        write(&upper, path, content);
        committed(self.commit_upper(&upper));
    }
}

fn approved() -> Attribution {
    let mut by = by("Take it");
    by.trailers = vec![Trailer::new("Proposal", "prp_1").unwrap()];
    by
}

fn files(choices: &[(&str, Take)]) -> Choice {
    let choice =
        |(path, take): &(&str, Take)| FileChoice { path: (*path).to_owned(), take: take.clone() };
    Choice::Files(choices.iter().map(choice).collect())
}

fn hunks(numbers: &[usize]) -> Take {
    Take::Hunks(numbers.iter().copied().collect::<BTreeSet<_>>())
}

fn lines(changed: &[(usize, &str)]) -> String {
    let line = |at| changed.iter().find(|(number, _)| *number == at).map(|(_, text)| *text);
    let text = |at| line(at).map_or_else(|| format!("line {at}\n"), |text| format!("{text}\n"));
    (0..40).map(text).collect::<Vec<_>>().concat()
}

#[test]
fn all_that_was_proposed_lands_byte_for_byte() {
    let house = House::new(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let upper = house.make_directory("upper");
    write(&upper, "a", "proposed");
    write(&upper, "d/new", "new");
    let held = house.propose(&upper);
    let review = house.review(&held);
    assert_eq!((review.base, review.files.len()), (house.head(), 2));
    house.meanwhile("b", "others");
    assert_eq!(house.review(&held).files, review.files, "what does not touch it changes nothing");
    let commit = house.approve(&held, &Choice::All);
    assert_eq!(
        house.files(),
        pairs(&[("a", "proposed"), ("b", "others"), ("c", "3"), ("d/new", "new")])
    );
    let record = house.repository.record(commit).unwrap();
    assert_eq!(record.trailers, approved().trailers);
    assert_eq!(house.review(&held).files, [], "it is in the folder");
    assert_eq!(house.prepare(&held, &Choice::All), Err(ChoiceError::Nothing));
    house.judge();
}

#[test]
fn some_hunks_or_edited_words_land_and_nothing_else() {
    let house = House::new(&[("list", &lines(&[])), ("other", "1\n")]);
    let upper = house.make_directory("upper");
    write(&upper, "list", &lines(&[(1, "one"), (20, "twenty"), (38, "last")]));
    write(&upper, "other", "2\n");
    write(&upper, "run", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(upper.join("run"), mode).unwrap();
    let held = house.propose(&upper);
    let review = house.review(&held);
    let flags: Vec<_> = review.files.iter().map(|file| file.patch.flags()).collect();
    assert_eq!(flags, [vec![], vec![], vec![Flag::Executable]]);
    let PatchBody::Text(found) = &review.files[0].patch.body else { panic!("no text") };
    assert_eq!(found.len(), 3);
    let edited = Take::Content(b"#!/bin/sh\nexit 1\n".to_vec());
    house.approve(&held, &files(&[("list", hunks(&[0, 2])), ("run", edited)]));
    let list = lines(&[(1, "one"), (38, "last")]);
    assert_eq!(
        house.files(),
        pairs(&[("list", &list), ("other", "1\n"), ("run", "#!/bin/sh\nexit 1\n")])
    );
    let (run, _) = house.repository.read(house.head(), &tree_path("run")).unwrap().unwrap();
    assert_eq!(run.mode, FileMode::Plain, "only who takes it whole makes it executable");
    let left = house.review(&held);
    let left: Vec<_> = left.files.iter().map(|file| file.patch.path.to_string()).collect();
    assert_eq!(left, ["list", "other", "run"], "the rest can still be seen");
    house.judge();
}

#[test]
fn what_cannot_be_chosen_is_said_and_nothing_is_done() {
    let house = House::new(&[("a", "1\n"), ("dir/x", "1\n"), ("link", "")]);
    let upper = house.make_directory("upper");
    write(&upper, "a", "2\n");
    fs::write(upper.join("binary"), b"\0").unwrap();
    let held = house.propose(&upper);
    let head = house.head();
    let check = |choice: &Choice, expected: ChoiceError| {
        assert_eq!(house.prepare(&held, choice), Err(expected), "{choice:?}");
    };
    let whole = |path| files(&[(path, Take::Whole)]);
    assert!(matches!(
        house.prepare(&held, &whole("dir/x")),
        Err(ChoiceError::NoSuchFile(path)) if path.as_str() == "dir/x"
    ));
    assert!(matches!(house.prepare(&held, &whole("../a")), Err(ChoiceError::NoSuchFile(_))));
    check(&files(&[("a", hunks(&[1]))]), ChoiceError::NoSuchHunk(tree_path("a"), 1));
    check(&files(&[("binary", hunks(&[0]))]), ChoiceError::NotText(tree_path("binary")));
    check(&files(&[("a", Take::Whole), ("a", hunks(&[0]))]), ChoiceError::Twice(tree_path("a")));
    check(&files(&[]), ChoiceError::Nothing);
    check(&files(&[("a", hunks(&[]))]), ChoiceError::Nothing);
    let large = Take::Content(vec![b'x'; (32 << 20) + 1]);
    let too_large = ChoiceError::NotAllowed(tree_path("a"), workspace::Reason::TooLarge);
    check(&files(&[("a", large)]), too_large);
    assert_eq!(house.head(), head);
    house.judge();
}

#[test]
fn what_was_not_chosen_to_go_stays_and_is_in_the_way() {
    let house = House::new(&[("a", "1"), ("d/x", "2"), ("name", "3")]);
    let upper = house.make_directory("upper");
    for gone in ["a", "d", "name"] {
        let whiteout = rustix::fs::FileType::CharacterDevice;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, upper.join(gone), whiteout, mode, 0).unwrap();
    }
    for (gone, new) in [("a", "a/b"), ("d", "d"), ("", "NAME")] {
        fs::remove_file(upper.join(gone)).ok();
        write(&upper, new, "new");
    }
    let opaque = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(upper.join("a"), "trusted.overlay.opaque", b"y", opaque).unwrap();
    let held = house.propose(&upper);
    let before = house.files();
    for path in ["a/b", "d", "NAME"] {
        let alone = files(&[(path, Take::Whole)]);
        assert_eq!(house.prepare(&held, &alone), Err(ChoiceError::InTheWay(tree_path(path))));
    }
    assert_eq!(house.files(), before);
    house.approve(&held, &Choice::All);
    assert_eq!(house.files(), pairs(&[("NAME", "new"), ("a/b", "new"), ("d", "new")]));
    house.judge();
}

#[test]
fn where_both_changed_it_each_file_is_chosen_by_itself() {
    let house = House::new(&[("a", "1\n"), ("b", "1\n"), ("list", &lines(&[]))]);
    let upper = house.make_directory("upper");
    write(&upper, "a", "mine\n");
    write(&upper, "b", "mine\n");
    write(&upper, "list", &lines(&[(1, "mine"), (30, "mine")]));
    write(&upper, "x/y", "mine\n");
    let held = house.propose(&upper);
    house.meanwhile("a", "others\n");
    house.meanwhile("x", "a file\n");
    house.meanwhile("list", &lines(&[(1, "others"), (10, "others")]));
    let review = house.review(&held);
    let conflicts: Vec<_> =
        review.files.iter().map(|file| (file.patch.path.to_string(), file.conflict)).collect();
    let expected = [
        ("a", Some(Conflict::Content)),
        ("b", None),
        ("list", Some(Conflict::Content)),
        ("x/y", Some(Conflict::Place)),
    ];
    assert_eq!(conflicts, expected.map(|(path, how)| (path.to_owned(), how)));
    let all = ["a", "list", "x/y"].map(tree_path).to_vec();
    assert_eq!(house.prepare(&held, &Choice::All), Err(ChoiceError::Conflicts(all)));
    let in_the_way = files(&[("x/y", Take::Whole)]);
    assert_eq!(house.prepare(&held, &in_the_way), Err(ChoiceError::InTheWay(tree_path("x/y"))));
    house.approve(&held, &files(&[("a", Take::Whole), ("b", Take::Whole), ("list", hunks(&[1]))]));
    let list = lines(&[(1, "others"), (10, "others"), (30, "mine")]);
    assert_eq!(
        house.files(),
        pairs(&[("a", "mine\n"), ("b", "mine\n"), ("list", &list), ("x", "a file\n")])
    );
    house.judge();
}

#[test]
fn what_was_made_ready_lands_once_however_often_it_is_asked() {
    for moved in [false, true] {
        let house = House::new(&[("a", "1"), ("b", "2")]);
        let upper = house.make_directory("upper");
        write(&upper, "a", "proposed");
        let held = house.propose(&upper);
        let prepared = house.prepare(&held, &Choice::All).unwrap();
        assert_eq!(house.prepare(&held, &Choice::All), Ok(prepared));
        if moved {
            house.meanwhile("b", "others");
        }
        let outcomes: Vec<Landing> = std::thread::scope(|scope| {
            let land = || house.repository.land(prepared, &approved()).unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(land)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let landed = outcomes.iter().filter(|it| matches!(it, Landing::Landed(_))).count();
        assert_eq!(landed, 1, "{outcomes:?}");
        let commit = house.head();
        house.meanwhile("a", "others undo it");
        let again = house.repository.land(prepared, &approved()).unwrap();
        assert_eq!(again, Landing::Before(commit));
        assert_eq!(house.files()[0].1, "others undo it");
        house.repository.forget_approval("prp_1").unwrap();
        house.repository.forget_approval("prp_1").unwrap();
        house.judge();
    }
}

#[test]
fn what_was_made_ready_never_overwrites_what_changed_since() {
    let house = House::new(&[("a", "1"), ("b", "2"), ("d/x", "3")]);
    let upper = house.make_directory("upper");
    for path in ["a", "new", "e/f"] {
        write(&upper, path, "proposed");
    }
    let held = house.propose(&upper);
    let prepared = house.prepare(&held, &Choice::All).unwrap();
    for (path, moved) in [
        ("a", "a"),
        ("new", "new"),
        ("e", "e/f"),
        ("e/f/g", "e/f"),
        ("NEW", "new"),
        ("E/other", "e/f"),
    ] {
        let folder = House::new(&[("unused", "")]);
        let copy = folder.path("copy.git");
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(house.repository.path())
            .arg(&copy)
            .status();
        assert!(copied.unwrap().success());
        let other = House::beside(folder.directory.path(), Repository::open(&copy).unwrap());
        other.meanwhile(path, "others");
        let head = other.head();
        let outcome = other.repository.land(prepared, &approved()).unwrap();
        assert_eq!(outcome, Landing::Moved(vec![tree_path(moved)]), "{path}");
        assert_eq!(other.head(), head);
    }
}

#[test]
fn what_was_pushed_is_bound_by_the_table_as_well() {
    let house = House::new(&[("a", "1")]);
    let clone = house.path("clone");
    git(house.directory.path(), &["clone", "-q", "folder.git", "clone"]);
    write(&clone, "good", "good");
    std::os::unix::fs::symlink("/etc/passwd", clone.join("leads-out")).unwrap();
    write(&clone, ".gitmodules", "[submodule]");
    git(&clone, &["add", "-A"]);
    let commit = ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "Work"];
    git(&clone, &commit);
    git(&clone, &["push", "-q", "origin", "HEAD:refs/remit/held/push_1"]);
    let held: CommitId = git(&clone, &["rev-parse", "HEAD"]).trim().parse().unwrap();
    let review = house.repository.review(held, house.head()).unwrap();
    let shown: Vec<_> = review.files.iter().map(|file| file.patch.path.to_string()).collect();
    assert_eq!((shown, review.refused.count), (vec!["good".to_owned()], 2), "{review:?}");
    let held = Held { name: String::new(), commit: held, paths: vec![], refusals: review.refused };
    house.approve(&held, &Choice::All);
    assert_eq!(house.files(), pairs(&[("a", "1"), ("good", "good")]));
    house.judge();
}

const DEATHS: [(Point, u32, &str); 7] = [
    (Point::PackNamed, 1, "PackNamed"),
    (Point::RefWritten, 1, "RefWritten"),
    (Point::RefMoved, 1, "RefMoved"),
    (Point::ApprovalReady, 1, "ApprovalReady"),
    (Point::PackNamed, 2, "PackNamed"),
    (Point::RefWritten, 2, "RefWritten"),
    (Point::RefMoved, 2, "RefMoved"),
];

#[test]
fn killed_at_any_point_an_approval_lands_once() {
    if let Some(order) = order() {
        let mut words = order.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        let (name, nth, held, top) = (word(), word(), word(), word());
        let death = DEATHS.iter().find(|(_, at, known)| *known == name && nth == at.to_string());
        let (point, nth, _) = *death.unwrap();
        let house = House::beside(Path::new(top), deadly_at(Path::new(top), point, nth));
        return approve_and_die(&house, held.parse().unwrap());
    }
    for (point, nth, name) in DEATHS {
        let house = House::new(&[("a", "1"), ("b", "2")]);
        let upper = house.make_directory("upper");
        write(&upper, "a", "proposed");
        let held = house.propose(&upper);
        let top = house.directory.path().display();
        let order = format!("{name} {nth} {} {top}", held.commit);
        let test = "approvals::killed_at_any_point_an_approval_lands_once";
        assert_eq!(child(test, &order).wait().unwrap().signal(), Some(9), "{name} {nth}");
        let again = House::beside(
            house.directory.path(),
            Repository::open(&house.path("folder.git")).unwrap(),
        );
        let prepared = fs::read_to_string(house.path("prepared")).ok();
        match prepared.map(|text| text.parse().unwrap()) {
            // The intent was written: whoever comes next brings it to its end.
            Some(prepared) => {
                let landing = again.repository.land(prepared, &approved()).unwrap();
                let before = matches!(landing, Landing::Before(_));
                let durable = matches!(point, Point::RefWritten | Point::RefMoved);
                assert_eq!(before, durable, "{name} {nth}: {landing:?}");
            }
            None => assert_eq!(again.files(), pairs(&[("a", "1"), ("b", "2")])),
        }
        let left = again.review(&held).files.len();
        if left > 0 {
            again.approve(&held, &Choice::All);
        }
        assert_eq!(again.files()[0].1, "proposed");
        let log = again.repository.log(again.head(), 9).unwrap();
        let times =
            log.iter().filter(|record| !record.trailers.is_empty() && record.subject == "Take it");
        assert_eq!(times.count(), 1, "{name} {nth}");
        house.judge();
    }
}

/// Makes an approval ready, writes the intent as the ledger does, moves the folder on and lands.
fn approve_and_die(house: &House, held: CommitId) {
    let by = approved();
    let head = house.head();
    let approval = Approval { held, head, choice: &Choice::All, by: &by, name: "prp_1" };
    let prepared = house.repository.prepare(&approval).unwrap().unwrap();
    fs::write(house.path("prepared"), prepared.to_string()).unwrap();
    let folder = Repository::open(&house.path("folder.git")).unwrap();
    House::beside(house.directory.path(), folder).meanwhile("b", "others");
    house.repository.land(prepared, &by).unwrap();
}
