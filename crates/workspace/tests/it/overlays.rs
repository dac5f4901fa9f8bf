//! Real overlays, and random changes in them: the commit must hold what the kernel shows in the merged folder.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use workspace::{FileMode, Outcome, TreeId};

use crate::house::{House, committed, output, write};

/// A folder as path → (mode, content).
pub(crate) type Shown = BTreeMap<String, (FileMode, Vec<u8>)>;

/// An overlay over a checkout of the head.
struct Overlay {
    checkout: workspace::Checkout,
    upper: PathBuf,
    options: &'static str,
}

impl Overlay {
    fn new(house: &House, options: &'static str) -> Self {
        house.make_directory("work");
        house.make_directory("merged");
        Self { checkout: house.checkout(), upper: house.make_directory("upper"), options }
    }

    /// Mounts the overlay for as long as `script` runs in the merged folder, then returns what the kernel showed.
    fn run(&self, house: &House, script: &str) -> Shown {
        let seen = house.path("seen");
        fs::remove_dir_all(&seen).ok();
        let mount = format!(
            "set -eu; cd '{top}'; mount -t overlay overlay -o \
             'lowerdir={lower},upperdir={upper},workdir={top}/work{options}' merged\n\
             cp -a merged/. before\ncd merged\n{script}\ncd ..\ncp -a merged/. seen\n",
            top = house.directory.path().display(),
            lower = self.checkout.path().display(),
            upper = self.upper.display(),
            options = self.options,
        );
        fs::remove_dir_all(house.path("before")).ok();
        let ran = output(Command::new("unshare").args(["-m", "sh", "-c", &mount]));
        assert!(ran.status.success(), "{}\n{script}", String::from_utf8_lossy(&ran.stderr));
        let mut shown = Shown::new();
        read_all(&seen, &seen, &mut shown);
        shown
    }
}

pub(crate) fn read_all(top: &Path, directory: &Path, shown: &mut Shown) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        if metadata.is_dir() {
            read_all(top, &path, shown);
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
            shown.insert(name, (FileMode::Link, target));
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let mode = if executable { FileMode::Executable } else { FileMode::Plain };
            shown.insert(name, (mode, fs::read(&path).unwrap()));
        }
    }
}

fn committed_files(house: &House) -> Shown {
    let tree = house.repository.tree(house.head()).unwrap();
    let file = |(path, file): (workspace::TreePath, workspace::FileEntry)| {
        (path.to_string(), (file.mode, house.repository.blob(file.blob).unwrap()))
    };
    tree.into_iter().map(file).collect()
}

const PRIVILEGED: &str = "";
const UNPRIVILEGED: &str = ",userxattr";

/// The script's changes become exactly the commit; the folder as a full copy gives the same tree.
fn check(seeds: &[(&str, &str)], script: &str) {
    for options in [PRIVILEGED, UNPRIVILEGED] {
        let house = House::new(seeds);
        let overlay = Overlay::new(&house, options);
        let shown = overlay.run(&house, script);
        check_landed(&house, &overlay, &shown);
    }
}

fn check_landed(house: &House, overlay: &Overlay, shown: &Shown) {
    let start = house.head();
    let copy = house.plain_delta(start, &house.path("seen"));
    let delta = house.overlay_delta(start, &overlay.upper);
    assert_eq!((delta.refusals().count, copy.refusals().count), (0, 0));
    let landed: Option<TreeId> = match house.land(start, None, delta) {
        Outcome::Committed(done) => Some(done.view),
        Outcome::Unchanged { .. } => None,
        Outcome::Held(held) => panic!("held: {held:?}"),
    };
    assert_eq!(committed_files(house), *shown);
    // Now the head has it all: the copy's change-set is the same or nothing.
    let again = house.land(start, landed, copy);
    assert!(matches!(again, Outcome::Unchanged { .. }), "{again:?}");
}

const SEEDS: &[(&str, &str)] =
    &[("a", "1"), ("d/x", "2"), ("d/y", "3"), ("d/e/z", "4"), ("f/g/h/i", "5")];

#[test]
fn a_file_is_changed_deleted_and_made() {
    check(SEEDS, "echo new > a; rm d/x; echo made > d/e/made");
}

#[test]
fn a_directory_is_deleted() {
    check(SEEDS, "rm -r d");
}

#[test]
fn a_directory_is_deleted_and_made_again() {
    check(SEEDS, "rm -r d; mkdir -p d/e; echo again > d/e/other");
}

#[test]
fn a_directory_made_again_as_it_was_is_no_change() {
    check(SEEDS, "cp -a d kept; rm -r d; mv kept d");
}

#[test]
fn a_file_becomes_a_directory() {
    check(SEEDS, "rm a; mkdir -p a/b; echo in > a/b/c");
}

#[test]
fn a_file_becomes_an_empty_directory() {
    check(SEEDS, "rm a; mkdir a");
}

#[test]
fn a_directory_becomes_a_file_or_a_link() {
    check(SEEDS, "rm -r d f; echo file > d; ln -s d f");
}

#[test]
fn a_directory_of_the_checkout_is_renamed() {
    check(SEEDS, "mv d moved; mv f/g/h f/up");
}

#[test]
fn only_a_mode_changes() {
    check(SEEDS, "chmod +x a d/y");
}

#[test]
fn touching_is_no_change() {
    check(SEEDS, "touch a d/x; chmod 600 d/y; mkdir empty");
}

#[test]
fn all_is_deleted() {
    check(SEEDS, "rm -r a d f");
}

#[test]
fn names_change_only_in_case() {
    check(SEEDS, "mv a A; mv d/x d/X");
}

#[test]
fn two_turns_of_one_overlay() {
    let house = House::new(SEEDS);
    let overlay = Overlay::new(&house, PRIVILEGED);
    let start = house.head();
    overlay.run(&house, "echo one > a; rm -r d; mkdir d; echo one > d/new");
    let first = committed(house.land(start, None, house.overlay_delta(start, &overlay.upper)));
    let shown = overlay.run(&house, "rm d/new; echo two > d/y; rm -r f");
    let delta = house.overlay_delta(start, &overlay.upper);
    committed(house.land(start, Some(first.view), delta));
    assert_eq!(committed_files(&house), shown);
    house.judge();
}

#[test]
fn whiteouts_that_are_files_are_understood() {
    let house = House::new(SEEDS);
    let upper = house.make_directory("upper");
    write(&upper, "d/x", "");
    write(&upper, "d/y", "kept");
    let mark = |path: &str, name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(upper.join(path), name, value, flags).unwrap();
    };
    mark("d", "user.overlay.opaque", b"x");
    mark("d/x", "user.overlay.whiteout", b"");
    committed(house.commit_upper(&upper));
    let names: Vec<_> = house.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["a", "d/e/z", "d/y", "f/g/h/i"]);
}

/// A generator of one seed, always the same numbers for it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        (0..depth).map(|_| ["a", "b", "c", "d"][self.roll(4)]).collect::<Vec<_>>().join("/")
    }

    /// One step; whatever is impossible just then does nothing.
    fn step(&mut self) -> String {
        let (path, other, number) = (self.path(), self.path(), self.roll(5));
        let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        match self.roll(9) {
            0 | 1 => format!("mkdir -p {parent} && [ ! -d {path} ] && echo {number} > {path}"),
            2 => format!("rm -rf {path}"),
            3 => format!("mkdir -p {path}"),
            4 => format!("mv -T {path} {other}"),
            5 => format!("chmod {} {path}", if number % 2 == 0 { "0755" } else { "u-x" }),
            6 => format!(
                "rm -rf {path} && mkdir -p {path} && echo {number} > {path}/{}",
                other.replace('/', "")
            ),
            7 => format!(
                "rm -rf {path} && mkdir -p {parent} && ln -s {} {path}",
                other.replace('/', "_")
            ),
            _ => format!("cp -a {path} {other}"),
        }
    }
}

#[test]
fn random_changes_become_what_the_kernel_shows() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let paths: BTreeMap<String, String> = (0..12)
            .map(|number| (format!("{}/f{number}", dice.path()), number.to_string()))
            .collect();
        let seeds: Vec<_> =
            paths.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        let house = House::new(&seeds);
        let options = if seed % 2 == 0 { PRIVILEGED } else { UNPRIVILEGED };
        let overlay = Overlay::new(&house, options);
        let mut script = String::from("set +e\n");
        for _ in 0..25 {
            // Not `-u`: a directory that became unsearchable would only hide what is below.
            writeln!(script, "{{ {}; }} 2>/dev/null", dice.step()).unwrap();
        }
        script.push_str("find . -type d -exec chmod u+rwx {} +\nset -e\n");
        let shown = overlay.run(&house, &script);
        check_landed(&house, &overlay, &shown);
        // Nobody uses the old checkout any more: it is changed into the next one.
        drop(overlay);
        let next = house.checkout();
        let delta = house.plain_delta(house.head(), next.path());
        assert_eq!((delta.edits(), delta.refusals().count), (&[][..], 0), "seed {seed}");
        if seed % 8 == 0 {
            house.judge();
        }
    }
}

#[test]
fn a_link_in_the_checkout_is_never_followed() {
    let house = House::new(&[("d/x", "1")]);
    let upper = house.make_directory("upper");
    symlink("d", upper.join("link")).unwrap();
    committed(house.commit_upper(&upper));
    fs::remove_file(upper.join("link")).unwrap();
    write(&upper, "link/x", "instead of the link");
    committed(house.commit_upper(&upper));
    let files = house.files();
    assert_eq!(files[0].1, "1");
    assert_eq!(files[1], ("link/x".to_owned(), "instead of the link".to_owned()));
}
