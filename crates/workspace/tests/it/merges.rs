//! Several views of one folder at once: nothing is overwritten, nothing is lost.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use workspace::{Change, Outcome};

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

#[test]
fn fifty_views_at_once_all_land() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    thread::scope(|scope| {
        for number in 0..50 {
            let house = &house;
            scope.spawn(move || {
                let upper = house.make_directory(&format!("upper{number}"));
                write(&upper, &format!("dir{}/file{number}", number % 7), &number.to_string());
                let delta = house.overlay_delta(start, &upper);
                let by = by(&format!("Change {number}"));
                let hold_as = format!("dsp_{number}");
                let change =
                    Change { delta, checkout: start, seen: None, by: &by, hold_as: &hold_as };
                committed(house.repository.commit(change).unwrap());
            });
        }
    });
    assert_eq!(house.files().len(), 51);
    assert_eq!(house.repository.log(house.head(), 100).unwrap().len(), 51);
    house.repository.maintain().unwrap();
    let packs = fs::read_dir(house.path("folder.git/objects/pack")).unwrap().count() / 2;
    assert!(packs <= 50, "{packs} packs");
    assert_eq!(house.files().len(), 51);
    house.judge();
    let said = git(&house.path("folder.git"), &["log", "--format=%P"]);
    assert!(said.lines().all(|parents| parents.len() <= 40), "history is not linear");
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
