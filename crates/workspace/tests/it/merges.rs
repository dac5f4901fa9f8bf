//! Several views of one folder at once: nothing is overwritten, nothing is lost.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use workspace::{Change, FileMode, Outcome, Repository, Trailer};

use crate::house::{House, by, committed, git, pairs, write};

#[test]
fn changes_of_different_files_both_land() {
    let house = House::new(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]);
    let start = house.head();
    let (one, two) = (house.make_directory("one"), house.make_directory("two"));
    write(&one, "d/b", "one");
    write(&two, "d/c", "two");
    committed(house.land(start, None, house.overlay_delta(start, &one)));
    let done = committed(house.land(start, None, house.overlay_delta(start, &two)));
    assert_eq!(done.changed.len(), 1);
    assert_eq!(house.files(), pairs(&[("a", "1"), ("d/b", "one"), ("d/c", "two")]));
    assert_eq!(house.repository.log(house.head(), 10).unwrap().len(), 3);
    house.judge();
}

#[test]
fn a_conflict_is_held_whole_and_the_folder_stays() {
    let house = House::new(&[("a", "1"), ("b", "2")]);
    let start = house.head();
    let (one, two) = (house.make_directory("one"), house.make_directory("two"));
    write(&one, "a", "one");
    write(&two, "a", "two");
    write(&two, "new", "two");
    committed(house.land(start, None, house.overlay_delta(start, &one)));
    let head = house.head();
    for (name, new) in [("refs/remit/held/dsp_1", "two"), ("refs/remit/held/dsp_1-2", "more")] {
        write(&two, "new", new);
        for _ in ["once", "and again after a lost answer"] {
            let outcome = house.land(start, None, house.overlay_delta(start, &two));
            let Outcome::Held(held) = outcome else { panic!("a conflict landed") };
            assert_eq!((held.name.as_str(), held.paths.len()), (name, 1));
            let files = pairs(&[("a", "two"), ("b", "2"), ("new", new)]);
            assert_eq!(house.files_of(held.commit), files);
        }
    }
    assert_eq!(house.head(), head);
    house.judge();
}

#[test]
fn what_may_only_be_proposed_is_held_beside_the_folder() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let upper = house.make_directory("upper");
    write(&upper, "a", "proposed");
    let by = by("Work");
    let delta = house.overlay_delta(start, &upper);
    let change = Change { delta, checkout: start, seen: None, by: &by, hold_as: "dsp_1" };
    let Outcome::Held(held) = house.repository.propose(change).unwrap() else {
        panic!("a proposal landed")
    };
    assert_eq!(held.paths, []);
    assert_eq!(house.files_of(held.commit), pairs(&[("a", "proposed")]));
    assert_eq!(house.head(), start);
    house.judge();
}

#[test]
fn a_file_and_a_directory_of_one_name_conflict() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let (one, two) = (house.make_directory("one"), house.make_directory("two"));
    write(&one, "x", "a file");
    write(&two, "x/y", "in a directory");
    committed(house.land(start, None, house.overlay_delta(start, &one)));
    let outcome = house.land(start, None, house.overlay_delta(start, &two));
    assert!(matches!(outcome, Outcome::Held(_)), "{outcome:?}");
}

#[test]
fn the_same_change_twice_is_no_conflict() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let upper = house.make_directory("upper");
    write(&upper, "a", "same");
    committed(house.land(start, None, house.overlay_delta(start, &upper)));
    let outcome = house.land(start, None, house.overlay_delta(start, &upper));
    assert!(matches!(outcome, Outcome::Unchanged { .. }), "{outcome:?}");
}

#[test]
fn whoever_did_what_another_did_already_goes_on() {
    let house = House::new(&[("a", "1"), ("b", "2"), ("c", "3")]);
    goes_on(&house, || {
        let again = Repository::open(&house.path("folder.git")).unwrap();
        House::beside(house.directory.path(), again)
    });
    house.judge();
}

/// A view that made no commit, as another made the same change, goes on in what the repository is `again`.
pub(crate) fn goes_on(house: &House, again: impl FnOnce() -> House) {
    let start = house.head();
    let (one, two) = (house.make_directory("one"), house.make_directory("two"));
    write(&one, "a", "same");
    write(&one, "b", "one");
    write(&two, "a", "same");
    committed(house.land(start, None, house.overlay_delta(start, &one)));
    let outcome = house.land(start, None, house.overlay_delta(start, &two));
    let Outcome::Unchanged { view, .. } = outcome else { panic!("made a commit: {outcome:?}") };
    write(&two, "c", "two");
    let again = again();
    committed(again.land(start, Some(view), again.overlay_delta(start, &two)));
    assert_eq!(again.files(), pairs(&[("a", "same"), ("b", "one"), ("c", "two")]));
}

#[test]
fn a_second_turn_of_a_view_builds_on_its_first() {
    let house = House::new(&[("a", "1"), ("b", "1")]);
    let start = house.head();
    let (upper, other) = (house.make_directory("upper"), house.make_directory("other"));
    write(&other, "b", "others");
    committed(house.land(start, None, house.overlay_delta(start, &other)));
    write(&upper, "a", "first turn");
    let first = committed(house.land(start, None, house.overlay_delta(start, &upper)));
    write(&upper, "a", "second turn");
    let second = committed(house.land(start, Some(first.view), house.overlay_delta(start, &upper)));
    assert_eq!(second.changed.len(), 1);
    assert_eq!(house.files(), pairs(&[("a", "second turn"), ("b", "others")]));
    let again = house.land(start, Some(second.view), house.overlay_delta(start, &upper));
    assert!(matches!(again, Outcome::Unchanged { .. }));
    // The view still has the old `b`: writing there now would undo what the others did.
    write(&upper, "b", "stale");
    let stale = house.land(start, Some(second.view), house.overlay_delta(start, &upper));
    assert!(matches!(stale, Outcome::Held(_)));
    house.judge();
}

#[test]
fn a_turn_after_one_whose_answer_was_lost_builds_on_it() {
    let house = House::new(&[("a", "1"), ("b", "1")]);
    let start = house.head();
    let (upper, other) = (house.make_directory("upper"), house.make_directory("other"));
    write(&other, "b", "others");
    committed(house.land(start, None, house.overlay_delta(start, &other)));
    write(&upper, "a", "first turn");
    committed(house.land(start, None, house.overlay_delta(start, &upper)));
    let asked_again = house.land(start, None, house.overlay_delta(start, &upper));
    let Outcome::Unchanged { view, .. } = asked_again else { panic!("twice: {asked_again:?}") };
    write(&upper, "a", "second turn");
    committed(house.land(start, Some(view), house.overlay_delta(start, &upper)));
    assert_eq!(house.files(), pairs(&[("a", "second turn"), ("b", "others")]));
    house.judge();
}

/// A list of fifty points, apart enough that each may change by itself.
fn list(point: impl Fn(usize) -> String) -> String {
    (0..50)
        .map(|number| format!("## {number}\n\n{}\n\n", point(number)))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn fifty_views_at_once_all_land_each_under_its_name() {
    let house = House::new(&[("a", "1"), ("list.md", &list(|_| "open".to_owned()))]);
    let start = house.head();
    thread::scope(|scope| {
        for number in 0..50 {
            let house = &house;
            scope.spawn(move || {
                let upper = house.make_directory(&format!("upper{number}"));
                write(&upper, &format!("dir{}/file{number}", number % 7), &number.to_string());
                let mine =
                    |at| if at == number { format!("done by {number}") } else { "open".to_owned() };
                write(&upper, "list.md", &list(mine));
                let delta = house.overlay_delta(start, &upper);
                let hold_as = format!("dsp_{number}");
                let mut by = by(&format!("Change {number}"));
                by.trailers = vec![Trailer::new("Dispatch", &hold_as).unwrap()];
                let change =
                    Change { delta, checkout: start, seen: None, by: &by, hold_as: &hold_as };
                committed(house.repository.commit(change).unwrap());
            });
        }
    });
    assert_eq!(house.files().len(), 52);
    let done = list(|number| format!("done by {number}"));
    assert!(house.files().contains(&("list.md".to_owned(), done)), "somebody's line is lost");
    let log = house.repository.log(house.head(), 100).unwrap();
    assert_eq!(log.len(), 51);
    for number in 0..50 {
        let name = format!("dsp_{number}");
        let of_it =
            log[..50].iter().filter(|record| record.trailers.iter().any(|it| it.value() == name));
        let subjects: Vec<_> = of_it.map(|record| record.subject.clone()).collect();
        assert_eq!(subjects, [format!("Change {number}")]);
    }
    house.repository.maintain().unwrap();
    let packs = fs::read_dir(house.path("folder.git/objects/pack")).unwrap().count() / 2;
    assert!(packs <= 50, "{packs} packs");
    assert_eq!(house.files().len(), 52);
    house.judge();
    let said = git(&house.path("folder.git"), &["log", "--format=%P"]);
    assert!(said.lines().all(|parents| parents.len() <= 40), "history is not linear");
}

/// What comes of two views of one folder, the second committed after the first.
fn second_of(
    seeds: &[(&str, &str)],
    first: impl Fn(&Path),
    second: impl Fn(&Path),
) -> (House, Outcome) {
    second_in(House::new(seeds), first, second)
}

fn second_in(house: House, first: impl Fn(&Path), second: impl Fn(&Path)) -> (House, Outcome) {
    let start = house.checkout();
    let outcomes: Vec<Outcome> = [("one", &first as &dyn Fn(&Path)), ("two", &second)]
        .into_iter()
        .map(|(name, work)| {
            let copy = house.path(name);
            let copied = Command::new("cp").arg("-a").arg(start.path()).arg(&copy).status();
            assert!(copied.unwrap().success());
            work(&copy);
            house.land(start.commit(), None, house.plain_delta(start.commit(), &copy))
        })
        .collect();
    house.judge();
    let [one, two] = <[Outcome; 2]>::try_from(outcomes).unwrap();
    committed(one);
    (house, two)
}

fn check_merged(
    seeds: &[(&str, &str)],
    first: impl Fn(&Path),
    second: impl Fn(&Path),
    expected: &[(&str, &str)],
) {
    let (house, outcome) = second_of(seeds, first, second);
    committed(outcome);
    assert_eq!(house.files(), pairs(expected));
    assert_eq!(house.repository.log(house.head(), 9).unwrap().len(), 3);
}

fn check_held(
    seeds: &[(&str, &str)],
    first: impl Fn(&Path),
    second: impl Fn(&Path),
    conflicts: &[&str],
) {
    let (house, outcome) = second_of(seeds, first, second);
    assert_eq!(held(outcome), conflicts);
    assert_eq!(house.repository.log(house.head(), 9).unwrap().len(), 2);
}

/// The paths for which a change-set was held.
fn held(outcome: Outcome) -> Vec<String> {
    let Outcome::Held(held) = outcome else { panic!("merged by itself") };
    held.paths.iter().map(ToString::to_string).collect()
}

const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\n";

fn rename(copy: &Path, from: &str, to: &str) {
    fs::create_dir_all(copy.join(to).parent().unwrap()).unwrap();
    fs::rename(copy.join(from), copy.join(to)).unwrap();
}

#[test]
fn a_text_that_both_changed_elsewhere_is_merged() {
    let first = |copy: &Path| write(copy, "a", &TEXT.replace("one", "ONE"));
    let second = |copy: &Path| write(copy, "a", &TEXT.replace("six\n", "six\nseven"));
    let merged = "ONE\ntwo\nthree\nfour\nfive\nsix\nseven";
    check_merged(&[("a", TEXT), ("b", "")], first, second, &[("a", merged), ("b", "")]);
    let same_place = |copy: &Path| write(copy, "a", &TEXT.replace("one", "eins"));
    check_held(&[("a", TEXT)], first, same_place, &["a"]);
}

#[test]
fn a_change_follows_the_file_that_somebody_moved() {
    let edit =
        |path: &'static str| move |copy: &Path| write(copy, path, &TEXT.replace("one", "ONE"));
    let moves = |copy: &Path| rename(copy, "a", "d/b");
    let moved = [("d/b", "ONE\ntwo\nthree\nfour\nfive\nsix\n")];
    check_merged(&[("a", TEXT)], moves, edit("a"), &moved);
    check_merged(&[("a", TEXT)], edit("a"), moves, &moved);
    let moves_and_edits = |copy: &Path| {
        moves(copy);
        write(copy, "d/b", &TEXT.replace("six", "SIX"));
    };
    let both = [("d/b", "ONE\ntwo\nthree\nfour\nfive\nSIX\n")];
    check_merged(&[("a", TEXT)], moves_and_edits, edit("a"), &both);
    check_merged(&[("a", TEXT)], edit("a"), moves_and_edits, &both);
    let elsewhere = |copy: &Path| rename(copy, "a", "c");
    check_held(&[("a", TEXT)], moves, elsewhere, &["c"]);
    let removes = |copy: &Path| fs::remove_file(copy.join("a")).unwrap();
    check_held(&[("a", TEXT)], moves, removes, &["d/b"]);
    check_held(&[("a", TEXT)], removes, moves, &["d/b"]);
    check_held(&[("a", TEXT)], removes, edit("a"), &["a"]);
    check_held(&[("a", TEXT)], edit("a"), removes, &["a"]);
}

#[test]
fn a_link_that_two_moved_lands_once() {
    let both = |first: &dyn Fn(&Path), second: &dyn Fn(&Path)| {
        let house = House::new(&[("a", TEXT), ("d/a", TEXT)]);
        let start = house.checkout();
        let copy = house.path("before");
        fs::create_dir(&copy).unwrap();
        write(&copy, "a", TEXT);
        write(&copy, "d/a", TEXT);
        std::os::unix::fs::symlink("a", copy.join("d/link")).unwrap();
        committed(house.land(start.commit(), None, house.plain_delta(start.commit(), &copy)));
        let (house, outcome) = second_in(house, first, second);
        (house.files().into_iter().map(|(path, _)| path).collect::<Vec<_>>(), outcome)
    };
    let moves = |to: &'static str| move |copy: &Path| rename(copy, "d/link", to);
    let (files, outcome) = both(&moves("e/link"), &moves("f/link"));
    assert_eq!(held(outcome), ["f/link"]);
    assert_eq!(files, ["a", "d/a", "e/link"]);
    // Where it stands now, what it was to lead to would lie outside.
    let turns = |copy: &Path| {
        fs::remove_file(copy.join("d/link")).unwrap();
        std::os::unix::fs::symlink("../a", copy.join("d/link")).unwrap();
    };
    let (files, outcome) = both(&moves("link"), &turns);
    assert_eq!(held(outcome), ["link"]);
    assert_eq!(files, ["a", "d/a", "link"]);
    let (_, outcome) = both(&turns, &moves("e/link"));
    assert_eq!(held(outcome), ["e/link"]);
    let becomes_link = |copy: &Path| {
        fs::remove_file(copy.join("d/a")).unwrap();
        std::os::unix::fs::symlink("../a", copy.join("d/a")).unwrap();
    };
    let (_, outcome) = both(&|copy| rename(copy, "d/a", "b"), &becomes_link);
    assert_eq!(held(outcome), ["b"]);
}

#[test]
fn what_is_not_text_is_never_merged() {
    let bytes = |one: &str, other: &str| format!("{one}\n\0\n\n\n\n\n{other}\n");
    let (start, one, two) = (bytes("1", "1"), bytes("2", "1"), bytes("1", "2"));
    let write = |text: &str| {
        let text = text.to_owned();
        move |copy: &Path| fs::write(copy.join("a"), &text).unwrap()
    };
    check_held(&[("a", &start)], write(&one), write(&two), &["a"]);
    let huge = |first: &str, last: &str| format!("{first}\n{}{last}\n", "x\n".repeat(600 << 10));
    let (start, one, two) = (huge("1", "1"), huge("2", "1"), huge("1", "2"));
    check_held(&[("a", &start)], write(&one), write(&two), &["a"]);
    let link = |target: &'static str| {
        move |copy: &Path| {
            fs::remove_file(copy.join("b")).unwrap();
            std::os::unix::fs::symlink(target, copy.join("b")).unwrap();
        }
    };
    check_held(&[("a", "1"), ("b", TEXT)], link("a"), link("./a"), &["b"]);
    let edit = |copy: &Path| fs::write(copy.join("b"), format!("{TEXT}7\n")).unwrap();
    check_held(&[("a", "1"), ("b", TEXT)], link("a"), edit, &["b"]);
}

#[test]
fn a_mode_and_a_text_come_together() {
    let run = |copy: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(copy.join("a"), mode).unwrap();
    };
    let edit = |copy: &Path| write(copy, "a", "2");
    for (first, second) in [(&run as &dyn Fn(&Path), &edit as &dyn Fn(&Path)), (&edit, &run)] {
        let (house, outcome) = second_of(&[("a", "1")], first, second);
        committed(outcome);
        let (file, content) =
            house.repository.read(house.head(), &crate::house::tree_path("a")).unwrap().unwrap();
        assert_eq!((file.mode, content.as_slice()), (FileMode::Executable, &b"2"[..]));
    }
}

#[test]
fn names_that_differ_only_in_case_conflict() {
    let add = |path: &'static str| move |copy: &Path| write(copy, path, path);
    check_held(&[("a", "1")], add("README.md"), add("readme.md"), &["readme.md"]);
    check_held(&[("a", "1")], add("Docs/one"), add("docs/two"), &["docs/two"]);
    check_merged(
        &[("a", "1")],
        add("docs/one"),
        add("docs/two"),
        &[("a", "1"), ("docs/one", "docs/one"), ("docs/two", "docs/two")],
    );
}

#[test]
fn a_change_set_after_a_held_one_is_its_own() {
    let house = House::new(&[("a", "1"), ("b", "1")]);
    let start = house.head();
    let (other, upper) = (house.make_directory("other"), house.make_directory("upper"));
    write(&other, "a", "others");
    committed(house.land(start, None, house.overlay_delta(start, &other)));
    write(&upper, "a", "mine");
    let Outcome::Held(held) = house.land(start, None, house.overlay_delta(start, &upper)) else {
        panic!("a conflict landed")
    };
    let seen = house.repository.tree_of(held.commit).unwrap();
    write(&upper, "b", "mine");
    committed(house.land(start, Some(seen), house.overlay_delta(start, &upper)));
    assert_eq!(house.files(), pairs(&[("a", "others"), ("b", "mine")]));
    write(&upper, "a", "mine again");
    let again = house.land(start, Some(seen), house.overlay_delta(start, &upper));
    let Outcome::Held(held) = again else { panic!("a conflict landed") };
    let changed = house.repository.diff(held.commit).unwrap();
    assert_eq!(changed.iter().map(|it| it.path.to_string()).collect::<Vec<_>>(), ["a", "b"]);
    house.judge();
}

#[test]
fn readers_go_on_while_packs_are_merged() {
    let house = House::new(&[("a", "0")]);
    let upper = house.make_directory("upper");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let head = house.head();
                    assert_eq!(house.files_of(head).len(), 1);
                    assert!(!house.repository.log(head, 100).unwrap().is_empty());
                }
            });
        }
        for number in 1..=170 {
            write(&upper, "a", &number.to_string());
            committed(house.commit_upper(&upper));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(house.repository.log(house.head(), 1000).unwrap().len(), 171);
    let packs = fs::read_dir(house.path("folder.git/objects/pack")).unwrap().count() / 2;
    assert!(packs <= 55, "{packs} packs");
    house.judge();
}
