//! A place outside that nobody may read or write. The kernel tells of each open, read and change of it.

use std::{
    fs::{self, File},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        CWD, Mode,
        inotify::{self, CreateFlags, Reader, WatchFlags},
        mkfifoat,
    },
    io::Errno,
};

/// What stands in the place outside, and nowhere else.
pub(super) const SECRET: &str = "secret of the host\n";

/// Everything but what a second name of a file does to it.
const WATCHED: [WatchFlags; 7] = [
    WatchFlags::OPEN,
    WatchFlags::ACCESS,
    WatchFlags::MODIFY,
    WatchFlags::CREATE,
    WatchFlags::DELETE,
    WatchFlags::MOVED_FROM,
    WatchFlags::MOVED_TO,
];

pub(super) struct Canary {
    place: PathBuf,
    events: OwnedFd,
}

impl Canary {
    /// Makes the place, and watches it and each file in it under whatever name it is reached.
    pub(super) fn at(place: PathBuf) -> Self {
        fs::create_dir_all(place.join("deeper")).unwrap();
        let files = ["file", "deeper/file"].map(|name| place.join(name));
        for file in &files {
            fs::write(file, SECRET).unwrap();
        }
        let pipe = place.join("pipe");
        mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let flags = WATCHED.into_iter().collect();
        for watched in files.iter().chain([&place, &place.join("deeper"), &pipe]) {
            inotify::add_watch(&events, watched, flags).unwrap();
        }
        Self { place, events }
    }

    /// A file in it.
    pub(super) fn file(&self) -> PathBuf {
        self.place.join("file")
    }

    pub(super) fn path(&self) -> &Path {
        &self.place
    }

    /// What was done to it since this was asked last.
    pub(super) fn heard(&self) -> Vec<String> {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.events, &mut room);
        let mut heard = Vec::new();
        loop {
            match events.next() {
                Ok(event) => heard.push(format!("{event:?}")),
                Err(Errno::WOULDBLOCK) => return heard,
                Err(error) => panic!("nothing is heard of the place outside: {error}"),
            }
        }
    }

    /// Nobody was there, and it is as it was.
    pub(super) fn assert_untouched(&self) {
        let heard = self.heard();
        assert!(heard.is_empty(), "the place outside was touched: {heard:?}");
        let mut names = Vec::new();
        for directory in ["", "deeper"] {
            let entries = fs::read_dir(self.place.join(directory)).unwrap();
            names.extend(entries.map(|entry| entry.unwrap().file_name()));
        }
        names.sort();
        assert_eq!(names, ["deeper", "file", "file", "pipe"]);
        for file in ["file", "deeper/file"] {
            assert_eq!(fs::read_to_string(self.place.join(file)).unwrap(), SECRET);
        }
        // Those were our own looks.
        self.heard();
    }
}

#[test]
fn whoever_touches_the_place_outside_is_heard() {
    let directory = tempfile::TempDir::new().unwrap();
    let canary = Canary::at(directory.path().join("outside"));
    let elsewhere = directory.path().join("second-name");
    fs::hard_link(canary.file(), &elsewhere).unwrap();
    canary.assert_untouched();
    let touches: [&dyn Fn(); 5] = [
        &|| drop(File::open(canary.file()).unwrap()),
        &|| drop(fs::read(&elsewhere).unwrap()),
        &|| fs::write(&elsewhere, SECRET).unwrap(),
        &|| assert_eq!(fs::read_dir(canary.path().join("deeper")).unwrap().count(), 1),
        &|| fs::write(canary.path().join("new"), "").unwrap(),
    ];
    for touch in touches {
        touch();
        assert!(!canary.heard().is_empty());
    }
}
