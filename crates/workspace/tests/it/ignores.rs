//! What the base commit's `.gitignore` names is left out, told once for each directory, and nothing else is by it.

use std::{fs, path::Path};

use workspace::{Delta, Refusals};

use crate::house::{House, committed, pairs, write};

const RULES: &str = "*.log\nnode_modules/\n/out/**\n!keep.log\n";

/// The delta of a view in both of its forms, which must find the same.
fn delta(house: &House, change: impl Fn(&Path)) -> Delta {
    let head = house.head();
    let upper = house.make_directory("upper");
    change(&upper);
    let plain = house.path("plain");
    fs::create_dir_all(&plain).unwrap();
    for (path, content) in house.files() {
        write(&plain, &path, &content);
    }
    change(&plain);
    let (overlay, plain) = (house.overlay_delta(head, &upper), house.plain_delta(head, &plain));
    assert_eq!((&overlay.edits(), &overlay.refusals()), (&plain.edits(), &plain.refusals()));
    overlay
}

fn listed(refusals: &Refusals) -> Vec<String> {
    let mut listed: Vec<String> =
        refusals.listed.iter().map(|it| format!("{} {}", it.reason, it.path)).collect();
    listed.sort();
    listed
}

#[test]
fn what_the_folder_ignores_is_left_out_and_told_once_for_a_directory() {
    let house =
        House::new(&[(".gitignore", RULES), ("d/.gitignore", "!debug.log\n"), ("d/a", "1")]);
    let delta = delta(&house, |view| {
        for path in ["x.log", "y.log", "keep.log", "d/z.log", "d/debug.log", "a.md"] {
            write(view, path, "new");
        }
        for number in 0..50 {
            write(view, &format!("node_modules/p{number}/index.js"), "new");
        }
        write(view, "d/node_modules/p/index.js", "new");
        write(view, "out/deep/file", "new");
    });
    let edited: Vec<_> = delta.edits().iter().map(|edit| edit.path.as_str()).collect();
    assert_eq!(edited, ["a.md", "d/debug.log", "keep.log"]);
    let refused = listed(delta.refusals());
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused.iter().all(|it| it.starts_with("ignored ")), "{refused:?}");
    assert_eq!(delta.refusals().count, 3);
}

#[test]
fn nothing_that_the_folder_holds_is_ever_ignored() {
    let house = House::new(&[
        (".gitignore", RULES),
        ("kept.log", "mine"),
        ("gone.log", "mine"),
        ("node_modules/a/b", "mine"),
    ]);
    let delta = delta(&house, |view| {
        write(view, "kept.log", "changed");
        write(view, "node_modules/a/b", "changed");
        write(view, "node_modules/a/new", "new");
    });
    let edited: Vec<_> = delta.edits().iter().map(|edit| edit.path.as_str()).collect();
    assert_eq!(edited, ["kept.log", "node_modules/a/b"]);
    assert_eq!(listed(delta.refusals()), ["ignored node_modules/a/new"]);
}

#[test]
fn an_agent_hides_nothing_by_patterns_of_its_own() {
    let house = House::new(&[("a.md", "mine")]);
    let upper = house.make_directory("upper");
    write(&upper, ".gitignore", "*\n");
    write(&upper, "d/.gitignore", "*\n");
    write(&upper, "d/new.md", "new");
    write(&upper, "a.md", "changed");
    let done = committed(house.commit_upper(&upper));
    assert_eq!(done.refusals.count, 0);
    let expected =
        [(".gitignore", "*\n"), ("a.md", "changed"), ("d/.gitignore", "*\n"), ("d/new.md", "new")];
    assert_eq!(house.files(), pairs(&expected));
    // Committed, they hold: but what is in the folder stays in it, and is changed as ever.
    let upper = house.make_directory("another");
    write(&upper, "a.md", "changed again");
    write(&upper, "b.md", "new");
    let done = committed(house.commit_upper(&upper));
    assert_eq!(listed(&done.refusals), ["ignored b.md"]);
    assert_eq!(house.files()[1], ("a.md".to_owned(), "changed again".to_owned()));
    house.judge();
}
