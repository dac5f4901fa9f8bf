//! Patches that git itself can apply.

use std::{fmt::Write as _, fs, os::unix::fs::symlink};

use workspace::{Line, PatchBody, Side};

use crate::house::{House, committed, git, timed, write};

fn numbers(count: usize, other: impl Fn(usize) -> bool) -> String {
    (0..count)
        .filter(|number| number % 17 != 3 || !other(*number))
        .map(
            |number| {
                if other(number) { format!("other {number}\n") } else { format!("line {number}\n") }
            },
        )
        .collect()
}

#[test]
fn git_applies_a_patch_and_gets_the_same() {
    let long = numbers(400, |_| false);
    let house = House::new(&[
        ("long", &long),
        ("gone/file", "a\nb\n"),
        ("unended", "a\nb"),
        ("ended", "a\nb\n"),
        ("empty", ""),
        ("moved", &numbers(60, |_| false)),
        ("dir/kept", "the very same\n"),
        ("run", "#!/bin/sh\n"),
        ("with space \"and\" quote", "1\n"),
    ]);
    let start = house.checkout();
    let copy = house.make_directory("copy");
    write(&copy, "long", &numbers(400, |number| number % 50 < 3 || number == 399));
    write(&copy, "unended", "a\nb\n");
    write(&copy, "ended", "a\nc");
    write(&copy, "empty", "no longer\n");
    write(&copy, "run", "#!/bin/sh\n");
    write(&copy, "new/file", "1\n2\n3\n");
    write(&copy, "with space \"and\" quote", "2\n");
    write(&copy, "elsewhere/moved", &numbers(60, |number| number == 7));
    write(&copy, "kept", "the very same\n");
    symlink("long", copy.join("link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(copy.join("run"), mode).unwrap();
    let done = committed(house.land(house.head(), None, house.plain_delta(house.head(), &copy)));

    let before = house.repository.tree_of(start.commit()).unwrap();
    let patches = house.repository.patch(before, done.view).unwrap();
    let text: String = patches.iter().map(ToString::to_string).collect();
    assert!(text.contains("rename from moved\nrename to elsewhere/moved\n"), "{text}");
    assert!(text.contains("rename from dir/kept\nrename to kept\n"), "{text}");
    let applied = house.path("applied");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(start.path()).arg(&applied).status();
    assert!(copied.unwrap().success());
    fs::write(house.path("patch"), &text).unwrap();
    git(&applied, &["apply", "--whitespace=nowarn", "../patch"]);
    let delta = house.plain_delta(house.head(), &applied);
    assert_eq!((delta.edits(), delta.refusals().count), (&[][..], 0), "{text}");
}

#[test]
fn what_is_not_text_is_only_named() {
    let house = House::new(&[("a", "1\n")]);
    let upper = house.make_directory("upper");
    fs::write(upper.join("binary"), b"\x7fELF\0\0").unwrap();
    fs::write(upper.join("large"), "x\n".repeat(1 << 20)).unwrap();
    write(&upper, "a", "2\n");
    let before = house.repository.tree_of(house.head()).unwrap();
    let done = committed(house.commit_upper(&upper));
    let bodies: Vec<_> = house
        .repository
        .patch(before, done.view)
        .unwrap()
        .into_iter()
        .map(|patch| (patch.path.to_string(), patch.body))
        .collect();
    let line = |side, text: &str| Line { side, text: text.to_owned(), ended: true };
    let changed = vec![line(Side::Removed, "1"), line(Side::Added, "2")];
    let hunk = workspace::Hunk { before_start: 1, after_start: 1, lines: changed };
    let expected = [
        ("a".to_owned(), PatchBody::Text(vec![hunk])),
        ("binary".to_owned(), PatchBody::Binary),
        ("large".to_owned(), PatchBody::TooLarge),
    ];
    assert_eq!(bodies, expected);
}

/// Texts that make a line diff slow: few lines that differ, in an order without sense, and no line alike.
#[test]
fn texts_made_to_be_slow_are_compared_and_merged_in_time() {
    let mut dice = 5_u64;
    let mut noise = |lines: usize, kinds: u64| {
        let mut text = String::new();
        for _ in 0..lines {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            writeln!(text, "{:x}", (dice >> 33) % kinds).unwrap();
        }
        text
    };
    for (lines, kinds) in [(50_000, 2), (50_000, 17), (50_000, 1 << 16), (400_000, 2)] {
        let texts = [noise(lines, kinds), noise(lines, kinds), noise(lines, kinds)];
        let house = House::new(&[("a", &texts[0])]);
        let start = house.head();
        let (one, two) = (house.make_directory("one"), house.make_directory("two"));
        write(&one, "a", &texts[1]);
        write(&two, "a", &texts[2]);
        committed(house.land(start, None, house.overlay_delta(start, &one)));
        let trees = [start, house.head()].map(|commit| house.repository.tree_of(commit).unwrap());
        timed("a patch", || house.repository.patch(trees[0], trees[1]).unwrap());
        let delta = house.overlay_delta(start, &two);
        timed("a merge", || house.land(start, None, delta));
    }
}
