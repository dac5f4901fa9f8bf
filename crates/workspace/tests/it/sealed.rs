//! Repositories that are sealed at rest: the vault alone holds everything, in the clear it holds nothing, and whatever is
//! changed in it is noticed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use model::WorkspaceId;
use rustix::process::{Signal, getpid, kill_process};
use seal::{FileKeys, Keyring, MASTER_KEY_FILE};
use workspace::{Error, Point, Probe, Repository, Root, Seed, StatCache};

use crate::{
    crashes::{child, order},
    house::{Ground, House, by, committed, pairs, tree_path, write},
    merges::goes_on,
};

const CANARY: &str = "a canary that sings in the mine";

fn workspace() -> WorkspaceId {
    "wsp_00000000000000000000000001".parse().unwrap()
}

fn ring(top: &Path) -> Keyring {
    let path = top.join(MASTER_KEY_FILE);
    let keys = FileKeys::open(&path).unwrap();
    let keys = keys.unwrap_or_else(|| FileKeys::create(&path).unwrap());
    Keyring::new(Arc::new(keys), &top.join("sealed")).unwrap()
}

fn vault(house: &House) -> PathBuf {
    house.path("sealed").join(workspace().to_string())
}

/// A house whose repository is sealed.
fn sealed_house(seeds: &[(&str, &str)]) -> House {
    let directory = tempfile::TempDir::new().unwrap();
    let seeds: Vec<_> = seeds
        .iter()
        .map(|(path, content)| Seed { path: tree_path(path), content: content.as_bytes().into() })
        .collect();
    let path = directory.path().join("folder.git");
    let ring = ring(directory.path());
    let repository =
        Repository::init_sealed(&path, workspace(), &ring, &seeds, &by("Begin")).unwrap();
    let house = House::beside(directory.path(), repository);
    House { directory: Ground::Own(directory), ..house }
}

/// The same after a boot: what lay in memory is gone.
fn rebooted(house: &House) -> Result<House, Error> {
    let top = house.directory.path();
    fs::remove_dir_all(top.join("folder.git")).ok();
    fs::remove_dir_all(top.join("checkouts")).ok();
    opened(top)
}

fn opened(top: &Path) -> Result<House, Error> {
    let repository = Repository::open_sealed(&top.join("folder.git"), workspace(), &ring(top))?;
    Ok(House::beside(top, repository))
}

fn commit(house: &House, content: &str) {
    let upper = house.make_directory("upper");
    write(&upper, "a", content);
    committed(house.commit_upper(&upper));
}

fn noise(bytes: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 90).unwrap())
    };
    (0..bytes).map(|_| next()).collect()
}

/// Everything below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn put_back(files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, content) in files {
        fs::write(path, content).unwrap();
    }
}

fn save(house: &House, talk: &str) {
    let session = house.make_directory("session");
    write(&session, "talk.jsonl", talk);
    let root = Root::open(&session).unwrap();
    let mut cache = StatCache::default();
    house.repository.save_session("ses_1", &root, &mut cache, &by("Work")).unwrap();
}

#[test]
fn whoever_did_what_another_did_already_goes_on_after_a_boot() {
    let house = sealed_house(&[("a", "1"), ("b", "2"), ("c", "3")]);
    goes_on(&house, || rebooted(&house).unwrap());
}

#[test]
fn the_vault_alone_holds_everything_and_nothing_in_the_clear() {
    let house = sealed_house(&[("a", CANARY), ("canary-name.md", "x")]);
    for number in 0..120 {
        commit(&house, &format!("{CANARY} {number}"));
    }
    commit(&house, &noise(300 << 10));
    save(&house, CANARY);
    let files_before = house.files();
    for (path, content) in files(&house.path("sealed")) {
        for clear in ["canary", "refs/", "ses_1", "PACK", "Lovelace"] {
            let found = content.windows(clear.len()).any(|it| it == clear.as_bytes());
            assert!(!found, "{clear} in {}", path.display());
        }
    }
    let again = rebooted(&house).unwrap();
    assert_eq!(again.files(), files_before);
    assert!(again.repository.session("ses_1").unwrap().is_some());
    assert_eq!(again.repository.log(again.head(), 999).unwrap().len(), 122);
    again.judge();
    commit(&again, "and on");
    let last = rebooted(&again).unwrap();
    assert_eq!(last.files()[0].1, "and on");
    last.judge();
}

#[test]
fn a_vault_does_not_grow_with_the_number_of_commits() {
    let house = sealed_house(&[("a", "1")]);
    for number in 0..300 {
        commit(&house, &format!("{number}"));
    }
    house.repository.maintain().unwrap();
    let count = files(&vault(&house)).len();
    assert!(count < 60, "{count} files");
    assert_eq!(rebooted(&house).unwrap().files(), pairs(&[("a", "299")]));
}

#[test]
fn a_repository_in_the_clear_is_taken_over_whole() {
    let plain = House::new(&[("a", CANARY)]);
    commit(&plain, "2");
    save(&plain, CANARY);
    let (top, before) = (plain.directory.path(), plain.head());
    let path = plain.path("folder.git");
    Repository::seal(&path, workspace(), &ring(top)).unwrap();
    assert!(!path.exists());
    let sealed = opened(top).unwrap();
    assert_eq!(sealed.head(), before);
    assert!(sealed.repository.session("ses_1").unwrap().is_some());
    assert!(!Repository::may_hold(workspace(), &ring(top)));
    sealed.judge();
    // A crash after the vault had its name: the plain one is there still.
    commit(&sealed, "3");
    let copied = fs::create_dir(plain.path("plain.git"));
    copied.unwrap();
    Repository::seal(&plain.path("plain.git"), workspace(), &ring(top)).unwrap();
    assert!(!plain.path("plain.git").exists());
    assert_eq!(rebooted(&sealed).unwrap().files(), pairs(&[("a", "3")]));
}

#[test]
fn whatever_is_changed_cut_or_put_back_in_a_vault_is_noticed() {
    let house = sealed_house(&[("a", "1")]);
    let first = files(&vault(&house));
    for number in 0..60 {
        commit(&house, &format!("{number}"));
    }
    house.repository.maintain().unwrap();
    commit(&house, "last");
    let now = files(&vault(&house));
    let refused = |why: String| {
        let found = rebooted(&house).err();
        let noticed = matches!(
            found,
            Some(Error::Sealed(_) | Error::Damaged { .. } | Error::NotARepository { .. })
        );
        assert!(noticed, "{why}: {found:?}");
        put_back(&now);
    };
    for (path, content) in &now {
        let shown = path.file_name().unwrap().display();
        // The journal of the generation before is of no use any more.
        if path.ends_with("journal-1") {
            continue;
        }
        if !path.ends_with("journal-0") {
            let mut changed = content.clone();
            *changed.last_mut().unwrap() ^= 1;
            fs::write(path, changed).unwrap();
            // The last byte of a key is the end of its line.
            if path.ends_with("key") {
                fs::write(path, content.to_ascii_lowercase()).unwrap();
            }
            refused(format!("{shown} was changed"));
            fs::write(path, &content[..content.len() / 2]).unwrap();
            refused(format!("{shown} was cut short"));
        }
        fs::remove_file(path).unwrap();
        refused(format!("{shown} was removed"));
        if path.ends_with("journal-0") {
            fs::write(path, &now[&vault(&house).join("journal-1")]).unwrap();
            refused(format!("{shown} was swapped"));
        }
        if let Some(older) = first.get(path).filter(|older| *older != content) {
            fs::write(path, older).unwrap();
            refused(format!("{shown} was put back"));
        }
    }
    // Merged, there is one pack now; the vault began with another one.
    let both = now.keys().chain(first.keys());
    let packs: Vec<_> = both.filter(|it| it.extension().is_some_and(|e| e == "pack")).collect();
    let [one, other] = packs[..] else { panic!("not one pack each: {packs:?}") };
    fs::write(one, &first[other]).unwrap();
    refused("a pack was swapped".to_owned());
    assert_eq!(rebooted(&house).unwrap().files(), pairs(&[("a", "last")]));
}

#[test]
fn a_record_that_was_changed_is_noticed_and_one_that_was_torn_is_none() {
    let house = sealed_house(&[("a", "1")]);
    commit(&house, "2");
    commit(&house, "3");
    let path = vault(&house).join("journal-1");
    let whole = fs::read(&path).unwrap();
    let records: Vec<_> =
        (0..whole.len() - 4).filter(|at| whole[*at..].starts_with(b"move")).collect();
    assert_eq!(records.len(), 2);
    // Changed, with a checksum that holds: only the seal tells.
    let at = records[1];
    let length = u32::from_be_bytes(whole[at + 20..at + 24].try_into().unwrap());
    let end = at + 24 + usize::try_from(length).unwrap();
    let mut changed = whole.clone();
    changed[at + 60] ^= 1;
    let mut checksum = flate2::Crc::new();
    checksum.update(&changed[at + 8..end]);
    changed[at + 4..at + 8].copy_from_slice(&checksum.sum().to_be_bytes());
    fs::write(&path, changed).unwrap();
    let found = rebooted(&house).err();
    assert!(matches!(found, Some(Error::Sealed(_))), "{found:?}");
    // Torn: the checksum does not hold.
    let mut torn = whole.clone();
    torn[at + 60] ^= 1;
    fs::write(&path, &torn).unwrap();
    assert_eq!(rebooted(&house).unwrap().files(), pairs(&[("a", "2")]));
}

#[test]
fn without_its_key_a_vault_is_lost_with_every_copy_of_it() {
    let house = sealed_house(&[("a", "1")]);
    let all = files(&vault(&house));
    ring(house.directory.path()).shred(workspace()).unwrap();
    assert!(matches!(rebooted(&house), Err(Error::Sealed(seal::SealError::NoKey(_)))));
    for (path, content) in all.iter().filter(|(path, _)| !path.ends_with("key")) {
        fs::write(path, content).unwrap();
    }
    assert!(opened(house.directory.path()).is_err());
}

const POINTS: [(Point, &str); 5] = [
    (Point::PackNamed, "PackNamed"),
    (Point::RefWritten, "RefWritten"),
    (Point::RefMoved, "RefMoved"),
    (Point::Repacked, "Repacked"),
    (Point::Sealed, "Sealed"),
];

#[test]
fn killed_at_any_point_the_vault_is_whole() {
    if let Some(order) = order() {
        let (name, top) = order.split_once(' ').unwrap();
        let point = POINTS.iter().find(|(_, known)| *known == name).unwrap().0;
        return die_at(Path::new(top), point);
    }
    for (point, name) in POINTS {
        // With and without what lay in memory.
        for boot in [true, false] {
            let house = sealed_house(&[("a", "1")]);
            commit(&house, "2");
            let order = format!("{name} {}", house.directory.path().display());
            let this = "sealed::killed_at_any_point_the_vault_is_whole";
            let status = child(this, &order).wait().unwrap();
            assert_eq!(status.signal(), Some(9), "{name}: not reached");
            let again =
                if boot { rebooted(&house) } else { opened(house.directory.path()) }.unwrap();
            let content = again.files()[0].1.clone();
            match point {
                Point::PackNamed => assert_eq!(content, "2"),
                Point::RefWritten | Point::RefMoved => assert_eq!(content, "3"),
                _ => assert!(content.starts_with("many"), "{content}"),
            }
            again.repository.maintain().unwrap();
            commit(&again, "and on");
            let last = rebooted(&again).unwrap();
            assert_eq!(last.files(), pairs(&[("a", "and on")]));
            let left = files(&house.path("sealed"));
            assert!(!left.keys().any(|path| path.display().to_string().contains("tmp_")));
            last.judge();
        }
    }
}

fn die_at(top: &Path, point: Point) {
    let die = move |reached| {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        if reached == point && TIMES.fetch_add(1, Ordering::Relaxed) == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    };
    let house = opened(top).unwrap();
    let repository = house.repository.with_probe(Probe::new(die));
    let house = House::beside(top, repository);
    match point {
        Point::Repacked | Point::Sealed => {
            for number in 0..60 {
                commit(&house, &format!("many {number}"));
            }
        }
        _ => commit(&house, "3"),
    }
}
