//! What hostile hands may leave in a folder: none of it runs, leaks, stops or slows the committer.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use workspace::{FileMode, Limits, Outcome, Reason, StatCache, View};

use crate::house::{House, by, committed, timed, tree_path, write};

/// One planted entry and what must become of it.
struct Trap {
    name: &'static str,
    plant: fn(&Path),
    becomes: Becomes,
}

enum Becomes {
    /// Left out, at this place as it is shown, for this reason.
    Refused(&'static str, Reason),
    /// Plain content like any other.
    Kept(&'static str, FileMode),
}

use Becomes::{Kept, Refused};

/// A configuration that runs a program in more ways than one, if anybody reads it.
fn plant_config(directory: &Path) {
    let evil = "touch PWNED;";
    let text = format!(
        "[core]\n\tfsmonitor = {evil}\n\thooksPath = .\n\tsshCommand = {evil}\n\tpager = {evil}\n\
         [filter \"evil\"]\n\tclean = {evil}\n\tsmudge = {evil}\n\tprocess = {evil}\n\
         [diff]\n\texternal = {evil}\n[gpg]\n\tprogram = {evil}\n[alias]\n\tlog = !{evil}\n\
         [include]\n\tpath = /etc/passwd\n"
    );
    write(directory, "config", &text.replace("PWNED", &pwned().to_string_lossy()));
    write(directory, "HEAD", "ref: refs/heads/main\n");
    fs::create_dir_all(directory.join("objects/info")).unwrap();
    fs::create_dir_all(directory.join("refs")).unwrap();
    write(directory, "objects/info/alternates", "/etc\n");
    for hook in ["pre-commit", "post-commit", "reference-transaction", "post-index-change"] {
        let path = format!("hooks/{hook}");
        write(directory, &path, &format!("#!/bin/sh\ntouch {}\n", pwned().display()));
        fs::set_permissions(directory.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What a trap that springs leaves behind.
fn pwned() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("remit-pwned-{}", std::process::id()))
}

fn node(directory: &Path, name: &str, kind: FileType, device: (u32, u32)) {
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, directory.join(name), kind, mode, makedev(device.0, device.1)).unwrap();
}

fn raw_name(directory: &Path, name: &[u8]) {
    fs::write(directory.join(OsStr::from_bytes(name)), "x").unwrap();
}

const TRAPS: &[Trap] = &[
    Trap {
        name: "a repository",
        plant: |dir| plant_config(&dir.join(".git")),
        becomes: Refused(".git", Reason::DotGit),
    },
    Trap {
        name: "a nested repository",
        plant: |dir| {
            plant_config(&dir.join("deep/er/.git"));
            write(dir, "deep/er/.gitattributes", "* filter=evil diff=evil\n");
        },
        becomes: Refused("deep/er/.git", Reason::DotGit),
    },
    Trap {
        name: "attributes with a filter",
        plant: |dir| write(dir, "attributes/.gitattributes", "* filter=evil merge=evil text\n"),
        becomes: Kept("attributes/.gitattributes", FileMode::Plain),
    },
    Trap {
        name: "a pointer to a repository",
        plant: |dir| write(dir, "pointer/.git", "gitdir: /etc\n"),
        becomes: Refused("pointer/.git", Reason::DotGit),
    },
    Trap {
        name: "a repository in capitals",
        plant: |dir| plant_config(&dir.join("caps/.GIT")),
        becomes: Refused("caps/.GIT", Reason::DotGit),
    },
    Trap {
        name: "a repository by its short name",
        plant: |dir| plant_config(&dir.join("short/git~1")),
        becomes: Refused("short/git~1", Reason::DotGit),
    },
    Trap {
        name: "a repository with a space",
        plant: |dir| plant_config(&dir.join("space/.git ")),
        becomes: Refused("space/.git ", Reason::DotGit),
    },
    Trap {
        name: "a repository with a dot",
        plant: |dir| plant_config(&dir.join("dot/.git.")),
        becomes: Refused("dot/.git.", Reason::DotGit),
    },
    Trap {
        name: "a repository as a stream",
        plant: |dir| plant_config(&dir.join("stream/.git::$INDEX_ALLOCATION")),
        becomes: Refused("stream/.git::$INDEX_ALLOCATION", Reason::DotGit),
    },
    Trap {
        name: "a repository with an invisible letter",
        plant: |dir| plant_config(&dir.join("invisible/.g\u{200c}it")),
        becomes: Refused("invisible/.g\\u{200c}it", Reason::DotGit),
    },
    Trap {
        name: "a repository as a pipe",
        plant: |dir| {
            fs::create_dir(dir.join("pipe")).unwrap();
            node(dir, "pipe/.git", FileType::Fifo, (0, 0));
        },
        becomes: Refused("pipe/.git", Reason::DotGit),
    },
    Trap {
        name: "a bare repository in disguise of plain files",
        plant: |dir| plant_config(&dir.join("bare")),
        becomes: Kept("bare/objects/info/alternates", FileMode::Plain),
    },
    Trap {
        name: "hooks as plain files",
        plant: |dir| plant_config(&dir.join("hooked")),
        becomes: Kept("hooked/hooks/pre-commit", FileMode::Executable),
    },
    Trap {
        name: "submodules",
        plant: |dir| write(dir, ".gitmodules", "[submodule \"x\"]\n\turl = -u./evil\n\tpath = x\n"),
        becomes: Refused(".gitmodules", Reason::Submodules),
    },
    Trap {
        name: "submodules by a link",
        plant: |dir| {
            fs::create_dir(dir.join("sub")).unwrap();
            symlink("../x", dir.join("sub/.gitmodules")).unwrap();
        },
        becomes: Refused("sub/.gitmodules", Reason::Submodules),
    },
    Trap {
        name: "submodules in capitals",
        plant: |dir| write(dir, "c/.GitModules", "[submodule]\n"),
        becomes: Refused("c/.GitModules", Reason::Disguised),
    },
    Trap {
        name: "submodules by their short name",
        plant: |dir| write(dir, "s/GITMOD~1", "[submodule]\n"),
        becomes: Refused("s/GITMOD~1", Reason::Disguised),
    },
    Trap {
        name: "attributes that git rejects",
        plant: |dir| write(dir, "long/.gitattributes", &format!("* {}\n", "a".repeat(3000))),
        becomes: Refused("long/.gitattributes", Reason::Attributes),
    },
    Trap {
        name: "attributes by a link",
        plant: |dir| {
            fs::create_dir(dir.join("at")).unwrap();
            symlink("../README.md", dir.join("at/.gitattributes")).unwrap();
        },
        becomes: Refused("at/.gitattributes", Reason::LinkIsSpecial),
    },
    Trap {
        name: "ignores by a link",
        plant: |dir| symlink("README.md", dir.join(".gitignore")).unwrap(),
        becomes: Refused(".gitignore", Reason::LinkIsSpecial),
    },
    Trap {
        name: "a link to a secret of the host",
        plant: |dir| symlink("/etc/passwd", dir.join("passwd")).unwrap(),
        becomes: Refused("passwd", Reason::LinkLeadsOut),
    },
    Trap {
        name: "a link up and out",
        plant: |dir| symlink("../../../../etc/passwd", dir.join("up")).unwrap(),
        becomes: Refused("up", Reason::LinkLeadsOut),
    },
    Trap {
        name: "a link to the root as a directory",
        plant: |dir| symlink("/", dir.join("rootdir")).unwrap(),
        becomes: Refused("rootdir", Reason::LinkLeadsOut),
    },
    Trap {
        name: "a link into a repository",
        plant: |dir| symlink(".git/config", dir.join("config-link")).unwrap(),
        becomes: Refused("config-link", Reason::DotGit),
    },
    Trap {
        name: "a link that is no text",
        plant: |dir| symlink(OsStr::from_bytes(b"\xff\xfe"), dir.join("notext")).unwrap(),
        becomes: Refused("notext", Reason::LinkLeadsOut),
    },
    Trap {
        name: "a link to itself",
        plant: |dir| symlink("loop", dir.join("loop")).unwrap(),
        becomes: Kept("loop", FileMode::Link),
    },
    Trap {
        name: "a link to nothing",
        plant: |dir| symlink("not/there", dir.join("dangling")).unwrap(),
        becomes: Kept("dangling", FileMode::Link),
    },
    Trap {
        name: "a pipe",
        plant: |dir| node(dir, "fifo", FileType::Fifo, (0, 0)),
        becomes: Refused("fifo", Reason::Fifo),
    },
    Trap {
        name: "a socket",
        plant: |dir| drop(UnixListener::bind(dir.join("socket")).unwrap()),
        becomes: Refused("socket", Reason::Socket),
    },
    Trap {
        name: "an endless device",
        plant: |dir| node(dir, "zero", FileType::CharacterDevice, (1, 5)),
        becomes: Refused("zero", Reason::Device),
    },
    Trap {
        name: "a terminal",
        plant: |dir| node(dir, "tty", FileType::CharacterDevice, (5, 0)),
        becomes: Refused("tty", Reason::Device),
    },
    Trap {
        name: "a disk",
        plant: |dir| node(dir, "disk", FileType::BlockDevice, (7, 0)),
        becomes: Refused("disk", Reason::Device),
    },
    Trap {
        name: "a terabyte of nothing",
        plant: |dir| File::create(dir.join("sparse")).unwrap().set_len(1 << 40).unwrap(),
        becomes: Refused("sparse", Reason::TooLarge),
    },
    Trap {
        name: "a file of the host under a second name",
        plant: |dir| {
            let outside = dir.parent().unwrap().join("secret-of-the-host");
            fs::write(&outside, "secret").unwrap();
            fs::hard_link(outside, dir.join("hard")).unwrap();
        },
        becomes: Refused("hard", Reason::LinkedOutside),
    },
    Trap {
        name: "one file under two names inside",
        plant: |dir| {
            write(dir, "twice-a", "x");
            fs::hard_link(dir.join("twice-a"), dir.join("twice-b")).unwrap();
        },
        becomes: Kept("twice-b", FileMode::Plain),
    },
    Trap {
        name: "a name of two lines",
        plant: |dir| raw_name(dir, b"two\nDispatch: forged"),
        becomes: Refused("two\\nDispatch: forged", Reason::ControlCharacter),
    },
    Trap {
        name: "a name that colours the terminal",
        plant: |dir| raw_name(dir, b"\x1b[31mred"),
        becomes: Refused("\\u{1b}[31mred", Reason::ControlCharacter),
    },
    Trap {
        name: "a name read backwards",
        plant: |dir| raw_name(dir, "exe.\u{202e}gnp".as_bytes()),
        becomes: Refused("exe.\\u{202e}gnp", Reason::ControlCharacter),
    },
    Trap {
        name: "a name that is no text",
        plant: |dir| raw_name(dir, b"caf\xe9"),
        becomes: Refused("caf\\xe9", Reason::NotUtf8),
    },
    Trap {
        name: "a name that is a path elsewhere",
        plant: |dir| raw_name(dir, b"..\\..\\autoexec.bat"),
        becomes: Refused("..\\\\..\\\\autoexec.bat", Reason::Backslash),
    },
    Trap {
        name: "two names that differ in case",
        plant: |dir| {
            write(dir, "twins/Makefile", "all:");
            write(dir, "twins/makefile", "evil:");
        },
        becomes: Refused("twins/makefile", Reason::CaseTwin),
    },
    Trap {
        name: "a name that shadows one in the commit",
        plant: |dir| write(dir, "readme.MD", "evil"),
        becomes: Refused("readme.MD", Reason::CaseTwin),
    },
    Trap {
        name: "a name that looks like an option",
        plant: |dir| write(dir, "--upload-pack=evil", "x"),
        becomes: Kept("--upload-pack=evil", FileMode::Plain),
    },
    Trap {
        name: "a name that looks like a command",
        plant: |dir| write(dir, "$(touch pwned)`id`;x", "x"),
        becomes: Kept("$(touch pwned)`id`;x", FileMode::Plain),
    },
    Trap {
        name: "a name of 255 bytes",
        plant: |dir| write(dir, NAME_OF_255, "x"),
        becomes: Kept(NAME_OF_255, FileMode::Plain),
    },
    Trap {
        name: "a program that would run as its owner",
        plant: |dir| {
            write(dir, "setuid", "#!/bin/sh\n");
            fs::set_permissions(dir.join("setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
        },
        becomes: Kept("setuid", FileMode::Executable),
    },
    Trap {
        name: "a program of the agent's own settings",
        plant: |dir| write(dir, ".claude/settings.json", "{\"hooks\":{}}"),
        becomes: Kept(".claude/settings.json", FileMode::Plain),
    },
];

/// A directory where making a great many files is quick.
fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::TempDir::new_in(shared) } else { tempfile::TempDir::new() }
        .unwrap()
}

const NAME_OF_255: &str = match str::from_utf8(&[b'n'; 255]) {
    Ok(name) => name,
    Err(_) => "",
};

fn check_all(house: &House, folder: &Path, delta: workspace::Delta) {
    let refusals = delta.refusals().clone();
    let done = committed(house.land(house.head(), None, delta));
    for Trap { name, becomes, .. } in TRAPS {
        match becomes {
            Refused(path, reason) => {
                let found = refusals.listed.iter().find(|refusal| refusal.path.as_str() == *path);
                assert_eq!(found.map(|refusal| refusal.reason), Some(*reason), "{name}");
            }
            Kept(path, mode) => {
                let file = house.repository.read(done.commit, &tree_path(path)).unwrap();
                assert_eq!(file.map(|(file, _)| file.mode), Some(*mode), "{name}");
            }
        }
    }
    let expected = TRAPS.iter().filter(|trap| matches!(trap.becomes, Refused(..))).count();
    assert_eq!(refusals.count, expected, "{refusals:#?}");
    assert!(folder.join(".git/config").exists(), "the folder itself is not touched");
    assert!(!pwned().exists(), "a trap sprang");
    let text: String = house.files().into_iter().map(|(_, content)| content).collect();
    assert!(!text.contains("root:x:0") && !text.contains("secret"), "content of the host leaked");
}

#[test]
fn every_trap_in_an_overlay_is_defused() {
    assert!(TRAPS.len() >= 40);
    let house = House::new(&[("README.md", "hello\n")]);
    let upper = house.make_directory("upper");
    for trap in TRAPS {
        (trap.plant)(&upper);
    }
    let delta = timed("delta of an overlay", || house.overlay_delta(house.head(), &upper));
    check_all(&house, &upper, delta);
    house.judge();
    assert!(!pwned().exists(), "a trap sprang in a clone");
}

#[test]
fn every_trap_in_a_plain_copy_is_defused() {
    let house = House::new(&[("README.md", "hello\n")]);
    let copy = house.make_directory("copy");
    write(&copy, "README.md", "hello\n");
    for trap in TRAPS {
        (trap.plant)(&copy);
    }
    let delta = timed("delta of a copy", || house.plain_delta(house.head(), &copy));
    check_all(&house, &copy, delta);
    house.judge();
}

#[test]
fn the_refusals_stand_in_the_commit() {
    let house = House::new(&[("README.md", "hello\n")]);
    let upper = house.make_directory("upper");
    node(&upper, "fifo", FileType::Fifo, (0, 0));
    raw_name(&upper, b"x\nGrant: all");
    write(&upper, "fine", "x");
    committed(house.commit_upper(&upper));
    let record = house.repository.record(house.head()).unwrap();
    let refused: Vec<_> = record
        .trailers
        .iter()
        .filter(|trailer| trailer.key() == "Refused")
        .map(workspace::Trailer::value)
        .collect();
    assert_eq!(refused, ["fifo fifo", "control-character x\\nGrant: all"]);
    assert_eq!(record.trailers.len(), by("").trailers.len() + 2);
}

#[test]
fn only_refusals_make_no_commit_and_delete_nothing() {
    let house = House::new(&[("a", "1"), ("d/b", "2")]);
    let copy = house.make_directory("copy");
    node(&copy, "a", FileType::Fifo, (0, 0));
    symlink("/etc", copy.join("d")).unwrap();
    let outcome = house.land(house.head(), None, house.plain_delta(house.head(), &copy));
    let Outcome::Unchanged { refusals, .. } = outcome else { panic!("committed: {outcome:?}") };
    assert_eq!(refusals.count, 2);
}

#[test]
fn a_tree_of_four_hundred_levels_is_cut_off() {
    let house = House::new(&[("a", "1")]);
    let upper = house.make_directory("upper");
    write(&upper, "ok", "x");
    // Level by level: the whole path is longer than a path may be.
    let mut at =
        rustix::fs::openat(CWD, &upper, rustix::fs::OFlags::RDONLY, Mode::empty()).unwrap();
    for _ in 0..400 {
        rustix::fs::mkdirat(&at, "deep-directory-name", Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(
            &at,
            "deep-directory-name",
            rustix::fs::OFlags::RDONLY,
            Mode::empty(),
        )
        .unwrap();
    }
    let delta = timed("400 levels", || house.overlay_delta(house.head(), &upper));
    assert_eq!(delta.edits().len(), 1);
    let reason = delta.refusals().listed[0].reason;
    assert!(matches!(reason, Reason::TooDeep | Reason::PathTooLong), "{reason}");
}

#[test]
fn two_hundred_thousand_files_in_one_directory_are_refused_quickly() {
    let house = House::new(&[("a", "1")]);
    let memory = in_memory();
    let upper = memory.path();
    write(upper, "ok", "x");
    let many = upper.join("many");
    fs::create_dir(&many).unwrap();
    (0..200_000).for_each(|number| drop(File::create(many.join(number.to_string())).unwrap()));
    let delta = timed("200,000 files", || house.overlay_delta(house.head(), upper));
    assert_eq!(delta.edits().len(), 1);
    assert_eq!(delta.refusals().listed[0].reason, Reason::TooMany);
    committed(house.land(house.head(), None, delta));
}

#[test]
fn many_files_in_many_directories_are_cut_off() {
    let house = House::new(&[("a", "1")]);
    let memory = in_memory();
    let upper = memory.path();
    for directory in 0..300 {
        let many = upper.join(format!("many{directory}"));
        fs::create_dir(&many).unwrap();
        (0..200).for_each(|number| {
            fs::write(many.join(number.to_string()), number.to_string()).unwrap();
        });
    }
    let limits = Limits { changes_max: 5_000, ..Limits::WORKSPACE };
    let view = View::Overlay(workspace::Root::open(upper).unwrap());
    let mut cache = StatCache::default();
    let delta = timed("60,000 files", || {
        house.repository.delta(house.head(), &view, &limits, &mut cache).unwrap()
    });
    // The directories after the 25th are refused as a whole.
    assert_eq!((delta.edits().len(), delta.refusals().count), (5_000, 275));
    assert_eq!(delta.refusals().listed.len(), limits.refusals_max);
}

#[test]
fn the_total_is_limited() {
    let house = House::new(&[("a", "1")]);
    let upper = house.make_directory("upper");
    for name in ["b", "c", "d"] {
        File::create(upper.join(name)).unwrap().set_len(1000).unwrap();
    }
    let limits = Limits { total_bytes_max: 2500, ..Limits::WORKSPACE };
    let view = View::Overlay(workspace::Root::open(&upper).unwrap());
    let delta =
        house.repository.delta(house.head(), &view, &limits, &mut StatCache::default()).unwrap();
    assert_eq!((delta.edits().len(), delta.refusals().count), (2, 1));
    assert_eq!(delta.refusals().listed[0].reason, Reason::TotalTooLarge);
}

#[test]
fn what_nobody_may_read_stops_nothing() {
    let house = House::new(&[("a", "1")]);
    let upper = house.make_directory("upper");
    write(&upper, "locked/file", "x");
    write(&upper, "sealed", "x");
    for name in ["locked/file", "locked", "sealed"] {
        fs::set_permissions(upper.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let delta = house.overlay_delta(house.head(), &upper);
    // Root reads it all; anybody else refuses it.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert_eq!(delta.edits().len(), if is_root { 2 } else { 0 });
    assert_eq!(delta.refusals().count, if is_root { 0 } else { 2 });
}

#[test]
fn an_overlay_that_points_elsewhere_is_refused() {
    let house = House::new(&[("a", "1"), ("secret/b", "2")]);
    let upper = house.make_directory("upper");
    write(&upper, "moved/x", "x");
    write(&upper, "hollow", "");
    write(&upper, "fine", "x");
    let mark = |path: &str, name: &str, value: &[u8]| {
        setxattr(upper.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    mark("moved", "user.overlay.redirect", b"/secret");
    mark("hollow", "user.overlay.metacopy", b"");
    let delta = house.overlay_delta(house.head(), &upper);
    let refused: Vec<_> =
        delta.refusals().listed.iter().map(|refusal| refusal.path.as_str()).collect();
    assert_eq!(refused, ["moved", "hollow"]);
    assert_eq!(delta.edits().len(), 1);
}
