//! What comes from outside: a push whose maker did not know what landed meanwhile.

use workspace::{CommitId, Incoming, Origin, Otherwise, Quarantine, Received};

use crate::house::{House, by, committed, git, pairs, write};

/// A commit in the quarantine, made on `base`, that has one empty file more.
fn pushed(quarantine: &Quarantine, base: CommitId, path: &str) -> CommitId {
    let run = |arguments: &[&str]| git(quarantine.path(), arguments).trim().to_owned();
    run(&["read-tree", &base.to_string()]);
    let empty = run(&["hash-object", "-w", "--stdin"]);
    run(&["update-index", "--add", "--cacheinfo", &format!("100644,{empty},{path}")]);
    let tree = run(&["write-tree"]);
    let who = ["-c", "user.name=Joe", "-c", "user.email=joe@example.org"];
    let commit = ["commit-tree", "-p", &base.to_string(), "-m", "Suggest", &tree];
    run(&[&who[..], &commit[..]].concat()).parse().unwrap()
}

fn receive(house: &House, from: CommitId, otherwise: Otherwise<'_>) -> Received {
    let quarantine = house.repository.quarantine().unwrap();
    let tip = pushed(&quarantine, from, "new.md");
    let by = by("Push");
    let incoming = Incoming { from, tip, origin: Origin::Push, by: &by, otherwise };
    house.repository.receive(&quarantine, &incoming).unwrap()
}

#[test]
fn a_push_is_a_fast_forward_only_from_where_the_folder_stands() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let upper = house.make_directory("upper");
    write(&upper, "a", "somebody was quicker");
    committed(house.commit_upper(&upper));

    let refused = receive(&house, start, Otherwise::Refuse);
    assert!(matches!(refused, Received::NotForward), "{refused:?}");
    let held = receive(&house, start, Otherwise::Hold("push-1"));
    let Received::Held(held) = held else { panic!("does not wait: {held:?}") };
    let waiting = house.files_of(held.commit);
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert_eq!(house.files(), pairs(&[("a", "somebody was quicker")]));

    let done = receive(&house, house.head(), Otherwise::Hold("push-2"));
    assert!(matches!(done, Received::Done { commits: 1 }), "{done:?}");
    assert_eq!(house.files(), pairs(&[("a", "somebody was quicker"), ("new.md", "")]));
    house.judge();
}

#[test]
fn what_goes_together_is_joined_and_what_disagrees_leaves_the_folder_as_it_is() {
    let house = House::new(&[("a", "1")]);
    let start = house.head();
    let upper = house.make_directory("upper");
    write(&upper, "a", "here");
    committed(house.commit_upper(&upper));
    let before = house.head();
    let joined = receive(&house, start, Otherwise::Merge);
    let Received::Merged { commit, commits: 1 } = joined else { panic!("not joined: {joined:?}") };
    assert_eq!(house.head(), commit);
    assert_eq!(house.files(), pairs(&[("a", "here"), ("new.md", "")]));
    let parents = house.repository.record(commit).unwrap().parents;
    assert_eq!((parents.len(), parents[0]), (2, before), "what was here comes first");
    git(house.repository.path(), &["fsck", "--strict", "--no-dangling"]);

    // The same file, made here and there.
    let upper = house.make_directory("other");
    write(&upper, "b.md", "made here");
    committed(house.commit_upper(&upper));
    let quarantine = house.repository.quarantine().unwrap();
    let (from, by) = (house.head(), by("Pull"));
    let tip = pushed(&quarantine, commit, "b.md");
    let incoming =
        Incoming { from, tip, origin: Origin::Remote, by: &by, otherwise: Otherwise::Merge };
    let apart = house.repository.receive(&quarantine, &incoming).unwrap();
    assert!(matches!(apart, Received::NotForward), "{apart:?}");
    assert_eq!(house.head(), from);
}
