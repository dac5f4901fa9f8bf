//! An agent at its desk: it changes its view on the disk and, beside it, what the view should hold. Some of what it
//! does is hostile; that never becomes part of what the view should hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use workspace::{Checkout, CommitId, FileMode, Reason, Root, StatCache, View};

use super::{
    canary::Canary,
    model::{self, Folder, meet},
};
use crate::house::{House, watched};

/// What an agent works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A copy of the checkout.
    Plain,
    /// An overlay over the checkout, as the kernel makes it.
    Overlay,
}

/// One thing that an agent does. Numbers choose among what is there.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Write {
        path: usize,
        lines: usize,
    },
    Binary {
        path: usize,
    },
    Link {
        path: usize,
    },
    Edit {
        file: usize,
        line: usize,
        how: How,
    },
    Rename {
        file: usize,
        path: usize,
    },
    MoveDirectory {
        file: usize,
    },
    Delete {
        file: usize,
    },
    DeleteDirectory {
        file: usize,
    },
    Mode {
        file: usize,
    },
    /// Something hostile at a free path.
    Plant {
        trap: usize,
        path: usize,
    },
    /// The same instead of a file.
    Replace {
        trap: usize,
        file: usize,
    },
}

/// How a text is edited.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Insert,
    Remove,
    Replace,
    /// Replaces a line and makes the file look as old and as large as before.
    Quietly,
}

/// Where agents write. Some files, but no directories, differ only in case; some stand where others need a directory.
const PATHS: [&str; 15] = [
    "a.md",
    "A.md",
    "b.md",
    "c",
    "d",
    "d/x.md",
    "d/y.md",
    "d/e/z.md",
    "f/g.md",
    "f/g.md/h",
    "g.md",
    "G.md",
    "--option",
    "ümlaut und mehr.md",
    "deep/er/and/deeper/still.md",
];

/// Never the same word twice.
#[derive(Debug, Default)]
pub(super) struct Words(u32);

impl Words {
    pub(super) fn number(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }

    /// A line, always of the same length.
    pub(super) fn line(&mut self) -> String {
        format!("word {:08} of an agent\n", self.number())
    }
}

pub(super) struct Desk {
    pub(super) number: usize,
    /// Keeps what an overlay lies over as it is.
    checkout: Checkout,
    /// What the checkout holds.
    origin: Folder,
    /// What the agent should have: what is not hostile.
    files: Folder,
    /// Where there ever was a file: what is moved there would look as if it was written there.
    taken: BTreeSet<String>,
    /// Hostile entries: where, and why they must be refused.
    traps: BTreeMap<Vec<u8>, Reason>,
    /// Where the agent works.
    top: PathBuf,
    /// What the committer looks at.
    left: PathBuf,
    mount: Option<Child>,
    kind: Kind,
    pub(super) cache: StatCache,
}

impl Desk {
    pub(super) fn new(house: &House, number: usize, kind: Kind, origin: &Folder) -> Self {
        let checkout = house.checkout();
        let own = house.make_directory(&format!("desk{number}"));
        let (top, left, mount) = match kind {
            Kind::Plain => (own.join("copy"), own.join("copy"), None),
            Kind::Overlay => {
                let mount = mount(&own, checkout.path());
                let merged = own.join("merged");
                let inside = merged.strip_prefix("/").unwrap();
                let seen = Path::new("/proc").join(mount.id().to_string()).join("root");
                (seen.join(inside), own.join("upper"), Some(mount))
            }
        };
        let mut shown = Folder::new();
        crate::overlays::read_all(checkout.path(), checkout.path(), &mut shown);
        model::assert_same(&shown, origin, "a checkout");
        let desk = Self {
            number,
            checkout,
            origin: origin.clone(),
            files: origin.clone(),
            taken: origin.keys().cloned().collect(),
            traps: BTreeMap::new(),
            top,
            left,
            mount,
            kind,
            cache: StatCache::default(),
        };
        if kind == Kind::Plain {
            fs::create_dir(&desk.top).unwrap();
            for (path, file) in origin {
                desk.put(path, file);
            }
        }
        desk
    }

    pub(super) fn checkout(&self) -> CommitId {
        self.checkout.commit()
    }

    pub(super) fn view(&self) -> View {
        let root = Root::open(&self.left).unwrap();
        match self.kind {
            Kind::Plain => View::Plain(root),
            Kind::Overlay => View::Overlay(root),
        }
    }

    /// Hostile entries and why each must be refused.
    pub(super) fn traps(&self) -> &BTreeMap<Vec<u8>, Reason> {
        &self.traps
    }

    /// What of the view may land. Where something hostile stands in the place of a file or a directory, that stays.
    pub(super) fn offered(&self) -> Folder {
        let mut offered = self.files.clone();
        for trap in self.traps.keys().filter_map(|trap| str::from_utf8(trap).ok()) {
            offered.extend(self.stood_at(trap));
        }
        offered
    }

    /// What the checkout has at a path and below.
    fn stood_at(&self, path: &str) -> Folder {
        let inside = format!("{path}/");
        let stood = self.origin.iter();
        let stood = stood.filter(|(other, _)| *other == path || other.starts_with(&inside));
        stood.map(|(path, file)| (path.clone(), file.clone())).collect()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.join(path)
    }

    /// Whether something can be put there: nothing is there, nor above or below or beside it in another case.
    fn is_free(&self, path: &str) -> bool {
        let traps = self.traps.keys().map(|trap| String::from_utf8_lossy(trap).into_owned());
        !self.files.keys().cloned().chain(traps).any(|other| meet(path, &other))
    }

    /// Makes room for something at a free path, where empty directories may be left.
    fn clear(&self, path: &str) -> PathBuf {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir_all(&at).unwrap();
        }
        at
    }

    fn put(&self, path: &str, (mode, content): &model::File) {
        let at = self.clear(path);
        if *mode == FileMode::Link {
            return symlink(OsStr::from_bytes(content), at).unwrap();
        }
        fs::write(&at, content).unwrap();
        if *mode == FileMode::Executable {
            fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn nth(&self, number: usize) -> Option<String> {
        let count = self.files.len().max(1);
        self.files.keys().nth(number % count).cloned()
    }

    pub(super) fn act(&mut self, act: &Act, words: &mut Words, canary: &Canary) {
        match act {
            Act::Write { path, lines } => {
                let text: String = (0..=lines % 8).map(|_| words.line()).collect();
                self.make(PATHS[path % PATHS.len()], (FileMode::Plain, text.into_bytes()));
            }
            Act::Binary { path } => {
                let content = format!("\0binary {}\u{fffd}", words.number()).into_bytes();
                self.make(PATHS[path % PATHS.len()], (FileMode::Plain, content));
            }
            Act::Link { path } => {
                let target = format!("nowhere/{}", words.number()).into_bytes();
                self.make(PATHS[path % PATHS.len()], (FileMode::Link, target));
            }
            Act::Edit { file, line, how } => self.edit(*file, *line, *how, words),
            Act::Rename { file, path } => {
                let path = PATHS[path % PATHS.len()];
                if let Some(file) = self.nth(*file) {
                    self.rename(&file, path);
                }
            }
            Act::MoveDirectory { file } => self.move_directory(*file, words),
            Act::Delete { file } => {
                if let Some(path) = self.nth(*file) {
                    fs::remove_file(self.at(&path)).unwrap();
                    self.files.remove(&path);
                }
            }
            Act::DeleteDirectory { file } => self.delete_directory(*file),
            Act::Mode { file } => self.change_mode(*file),
            Act::Plant { trap, path } => {
                let path = PATHS[path % PATHS.len()];
                if self.is_free(path) && self.comes_back(path) {
                    self.plant(*trap, path, words, canary);
                }
            }
            Act::Replace { trap, file } => {
                let Some(path) = self.nth(*file).filter(|path| self.comes_back(path)) else {
                    return;
                };
                fs::remove_file(self.at(&path)).unwrap();
                self.files.remove(&path);
                self.plant(*trap, &path, words, canary);
            }
        }
    }

    /// Whether each word stays in one place if what the checkout has at a path comes back there.
    fn comes_back(&self, path: &str) -> bool {
        let mut others = self.files.clone();
        others.remove(path);
        model::all_words(&others).is_disjoint(&model::all_words(&self.stood_at(path)))
    }

    fn make(&mut self, path: &str, file: model::File) {
        if self.is_free(path) {
            self.put(path, &file);
            self.taken.insert(path.to_owned());
            self.files.insert(path.to_owned(), file);
        }
    }

    fn edit(&mut self, file: usize, line: usize, how: How, words: &mut Words) {
        let Some(path) = self.nth(file) else { return };
        let (mode, content) = self.files[&path].clone();
        if mode == FileMode::Link || content.contains(&0) {
            return;
        }
        let mut lines = model::words(&(mode, content));
        let line = line % lines.len();
        match how {
            How::Insert => lines.insert(line, words.line().into_bytes()),
            How::Remove if lines.len() > 1 => drop(lines.remove(line)),
            How::Remove => return,
            How::Replace | How::Quietly => lines[line] = words.line().into_bytes(),
        }
        let content = lines.concat();
        let at = self.at(&path);
        let before = fs::metadata(&at).unwrap().modified().unwrap();
        fs::write(&at, &content).unwrap();
        if matches!(how, How::Quietly) {
            File::options().write(true).open(&at).unwrap().set_modified(before).unwrap();
        }
        self.files.insert(path, (mode, content));
    }

    fn rename(&mut self, from: &str, to: &str) {
        if self.is_free(to) && self.taken.insert(to.to_owned()) {
            fs::rename(self.at(from), self.clear(to)).unwrap();
            let file = self.files.remove(from).unwrap();
            self.files.insert(to.to_owned(), file);
        }
    }

    /// Moves the uppermost directory of a file, entry by entry, as `mv` does where the kernel will not.
    fn move_directory(&mut self, file: usize, words: &mut Words) {
        let Some(path) = self.nth(file) else { return };
        let Some((directory, _)) = path.split_once('/') else { return };
        let to = format!("moved{}", words.number());
        let inside = format!("{directory}/");
        let files: Vec<String> =
            self.files.keys().filter(|path| path.starts_with(&inside)).cloned().collect();
        for path in files {
            self.rename(&path, &format!("{to}/{}", &path[inside.len()..]));
        }
    }

    fn delete_directory(&mut self, file: usize) {
        let Some(path) = self.nth(file) else { return };
        let Some((directory, _)) = path.split_once('/') else { return };
        fs::remove_dir_all(self.at(directory)).unwrap();
        let inside = format!("{directory}/");
        self.files.retain(|path, _| !path.starts_with(&inside));
        self.traps.retain(|path, _| !path.starts_with(inside.as_bytes()));
    }

    fn change_mode(&mut self, file: usize) {
        let Some(path) = self.nth(file) else { return };
        let at = self.at(&path);
        let Some((mode, _)) = self.files.get_mut(&path) else { return };
        let (new, bits) = match mode {
            FileMode::Plain => (FileMode::Executable, 0o755),
            FileMode::Executable => (FileMode::Plain, 0o644),
            FileMode::Link | FileMode::Submodule => return,
        };
        *mode = new;
        fs::set_permissions(at, fs::Permissions::from_mode(bits)).unwrap();
    }

    /// Puts something hostile at a free path, or beside it under a name of its own.
    fn plant(&mut self, trap: usize, path: &str, words: &mut Words, canary: &Canary) {
        let at = self.clear(path);
        let node = |at: &Path, kind, device: (u32, u32)| {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, at, kind, mode, makedev(device.0, device.1)).unwrap();
        };
        let number = words.number();
        let reason = match trap % 13 {
            0 => symlink(canary.file(), at).map(|()| Reason::LinkLeadsOut),
            1 => symlink(canary.path(), at).map(|()| Reason::LinkLeadsOut),
            2 => {
                let up = format!("{}{}", "../".repeat(40), canary.file().display());
                symlink(up, at).map(|()| Reason::LinkLeadsOut)
            }
            3 => symlink("/proc/self/environ", at).map(|()| Reason::LinkLeadsOut),
            4 if self.kind == Kind::Plain => {
                fs::hard_link(canary.file(), at).map(|()| Reason::LinkedOutside)
            }
            4 | 5 => {
                node(&at, FileType::Fifo, (0, 0));
                Ok(Reason::Fifo)
            }
            6 => {
                node(&at, FileType::Socket, (0, 0));
                Ok(Reason::Socket)
            }
            7 => {
                node(&at, FileType::CharacterDevice, (1, 5));
                Ok(Reason::Device)
            }
            8 => File::create(at).and_then(|file| file.set_len(1 << 40)).map(|()| Reason::TooLarge),
            named => return self.plant_name(named, path, number, canary),
        };
        self.traps.insert(path.as_bytes().to_vec(), reason.unwrap());
    }

    fn plant_name(&mut self, trap: usize, path: &str, number: u32, canary: &Canary) {
        let (name, reason) = match trap {
            9 => (b".git".to_vec(), Reason::DotGit),
            10 => (format!("two\nDispatch: {number}").into_bytes(), Reason::ControlCharacter),
            11 => ([b"\xff".as_slice(), number.to_string().as_bytes()].concat(), Reason::NotUtf8),
            _ => (format!("..\\..\\{number}").into_bytes(), Reason::Backslash),
        };
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let shown = if parent.is_empty() {
            name.clone()
        } else {
            [parent.as_bytes(), b"/", &name].concat()
        };
        let at = self.at(parent).join(OsStr::from_bytes(&name));
        if trap == 9 {
            fs::create_dir_all(at.join("hooks")).unwrap();
            fs::write(at.join("config"), "[core]\n\tfsmonitor = touch pwned\n").unwrap();
            symlink(canary.path(), at.join("objects")).ok();
        } else {
            fs::write(at, SECRET_NAME).unwrap();
        }
        self.traps.insert(shown, reason);
    }

    /// A place in the view where entries are to be swapped while the committer looks: files that say the same, and
    /// links to outside.
    pub(super) fn prepare_race(&self, number: u32, canary: &Canary) -> PathBuf {
        let place = self.at("race");
        fs::create_dir_all(place.join("directory")).unwrap();
        for name in ["file", "directory/file"] {
            fs::write(place.join(name), format!("race {number}\n")).unwrap();
        }
        symlink(canary.file(), place.join("link")).unwrap();
        symlink(canary.path(), place.join("elsewhere")).unwrap();
        place
    }

    pub(super) fn end_race(&self) {
        fs::remove_dir_all(self.at("race")).unwrap();
    }
}

/// What stands in files whose name alone must keep them out.
pub(super) const SECRET_NAME: &str = "never lands\n";

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(mount) = &mut self.mount {
            mount.kill().ok();
            mount.wait().ok();
        }
    }
}

/// Mounts an overlay in a mount namespace of its own; it is there for as long as the process lives.
fn mount(own: &Path, lower: &Path) -> Child {
    for name in ["upper", "work", "merged"] {
        fs::create_dir(own.join(name)).unwrap();
    }
    let script = format!(
        "set -eu; cd '{own}'; mount -t overlay overlay -o \
         'lowerdir={lower},upperdir=upper,workdir=work' merged; echo ready; read -r end",
        own = own.display(),
        lower = lower.display(),
    );
    let mut mount = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(mount.stdout.take().unwrap()).lines().next();
    assert_eq!(said.unwrap().unwrap(), "ready");
    watched(mount)
}
