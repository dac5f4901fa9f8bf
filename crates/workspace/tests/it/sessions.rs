//! Session folders: saved, restored, and never a way out.

use std::{
    fs::{self, File},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
};

use workspace::{Error, Limits, Owner, Reason, Repository, Root, Saved, StatCache};

use crate::house::{House, by, git, write};

const ME: Owner = Owner { uid: 12_345, gid: 54_321 };

fn save(house: &House, directory: &str, cache: &mut StatCache) -> Saved {
    let root = Root::open(&house.path(directory)).unwrap();
    house.repository.save_session("ses_1", &root, cache, &by("Save the session")).unwrap()
}

#[test]
fn a_session_comes_back_in_a_fresh_folder() {
    let house = House::new(&[("a", "1")]);
    let session = house.make_directory("session");
    write(&session, "projects/x/talk.jsonl", "{\"word\":\"plum\"}\n");
    write(&session, "run.sh", "#!/bin/sh\n");
    fs::set_permissions(session.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("projects/x", session.join("latest")).unwrap();
    let mut cache = StatCache::default();
    let saved = save(&house, "session", &mut cache);
    assert_eq!((saved.changed.len(), saved.refusals.count), (3, 0));
    assert_eq!(save(&house, "session", &mut cache), Saved { changed: Vec::new(), ..saved.clone() });

    let fresh = house.make_directory("fresh");
    let into = File::open(&fresh).unwrap();
    let restored = house.repository.restore_session("ses_1", into.as_fd(), ME).unwrap();
    assert_eq!(restored, saved.commit);
    let talk = fresh.join("latest/talk.jsonl");
    assert_eq!(fs::read_to_string(&talk).unwrap(), "{\"word\":\"plum\"}\n");
    let owner = fs::metadata(&talk).unwrap();
    assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o777), (ME.uid, ME.gid, 0o644));
    assert_eq!(fs::metadata(fresh.join("run.sh")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::symlink_metadata(fresh.join("latest")).unwrap().uid(), ME.uid);

    write(&session, "projects/x/talk.jsonl", "{\"word\":\"plum\"}\n{\"more\":1}\n");
    fs::remove_file(session.join("run.sh")).unwrap();
    assert_eq!(save(&house, "session", &mut cache).changed.len(), 2);
    assert_eq!(house.repository.log(house.head(), 9).unwrap().len(), 1, "the folder is untouched");
    house.judge();
}

#[test]
fn a_session_that_never_was_is_none() {
    let house = House::new(&[("a", "1")]);
    let into = File::open(house.make_directory("fresh")).unwrap();
    assert_eq!(house.repository.restore_session("ses_2", into.as_fd(), ME).unwrap(), None);
    house.make_directory("session");
    assert_eq!(save(&house, "session", &mut StatCache::default()).commit, None);
}

#[test]
fn a_session_name_is_no_path() {
    let house = House::new(&[("a", "1")]);
    for name in ["", "..", "a/b", "../heads/main", "a..b", "x.lock", "-x", "a b", "a\n"] {
        let refused = house.repository.session(name);
        let expected =
            matches!(refused, Err(Error::NotAllowed { reason: Reason::ControlCharacter, .. }));
        assert!(expected, "{name:?}");
    }
}

#[test]
fn a_damaged_session_is_a_typed_error() {
    let house = House::new(&[("a", "1")]);
    let into = File::open(house.make_directory("fresh")).unwrap();
    let refs = house.path("folder.git/refs/remit/sessions");
    let attempt = |name: &str, content: &str| {
        fs::write(refs.join(name), content).unwrap();
        house.repository.restore_session(name, into.as_fd(), ME)
    };
    assert!(matches!(attempt("ses_3", "garbage"), Err(Error::Damaged { .. })));
    let absent = "12".repeat(20);
    assert!(matches!(attempt("ses_4", &absent), Err(Error::NoCommit { .. })));
}

#[test]
fn a_pushed_session_cannot_write_elsewhere() {
    let house = House::new(&[("a", "1")]);
    let fresh = house.make_directory("in/fresh");
    let bare = house.path("folder.git");
    let blob = git(&bare, &["hash-object", "-w", "--stdin"]);
    let entry = format!("100644 blob {}\t..\n", blob.trim());
    let evil = plant_tree(&bare, &entry);
    git(&bare, &["update-ref", "refs/remit/sessions/ses_5", &evil]);
    let repository = Repository::open(&bare).unwrap();
    let into = File::open(&fresh).unwrap();
    let refused = repository.restore_session("ses_5", into.as_fd(), ME);
    assert!(
        matches!(refused, Err(Error::NotAllowed { reason: Reason::EmptyName, .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(&fresh).unwrap().count(), 0);
}

/// Writes a commit whose tree has this line, whatever git thinks of it.
fn plant_tree(bare: &std::path::Path, line: &str) -> String {
    let raw = bare.join("evil");
    let (head, name) = line.trim_end().split_once('\t').unwrap();
    let (mode, hex) = (head.split(' ').next().unwrap(), head.rsplit(' ').next().unwrap());
    let id: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect();
    fs::write(&raw, [format!("{mode} {name}\0").as_bytes(), &id].concat()).unwrap();
    let tree = git(bare, &["hash-object", "-t", "tree", "-w", "--literally", "evil"]);
    let arguments =
        ["-c", "user.name=x", "-c", "user.email=x", "commit-tree", "-m", "x", tree.trim()];
    git(bare, &arguments).trim().to_owned()
}

#[test]
fn a_large_transcript_is_kept_and_a_huge_one_refused() {
    let house = House::new(&[("a", "1")]);
    let session = house.make_directory("session");
    let line = "x".repeat(1 << 20);
    fs::write(session.join("talk.jsonl"), line.repeat(40)).unwrap();
    File::create(session.join("huge"))
        .unwrap()
        .set_len(Limits::SESSION.file_bytes_max + 1)
        .unwrap();
    let saved = save(&house, "session", &mut StatCache::default());
    assert_eq!((saved.changed.len(), saved.refusals.listed[0].reason), (1, Reason::TooLarge));
    let into = File::open(house.make_directory("fresh")).unwrap();
    house.repository.restore_session("ses_1", into.as_fd(), ME).unwrap();
    assert_eq!(fs::metadata(house.path("fresh/talk.jsonl")).unwrap().len(), 40 << 20);
}
