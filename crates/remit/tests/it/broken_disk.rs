//! A disk that breaks under a running server: what was acknowledged before is there on the next one, nothing is
//! acknowledged after, and the server does not go on as if nothing was.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use serde_json::json;

use crate::harness::{DEADLINE, Folder, Start, Stream, output};
use crate::judge::{Repository, is_over_once, stream_is_whole};

/// A block device with a file system on it, in memory, mounted somewhere.
struct Disk {
    memory: File,
    place: PathBuf,
}

const BYTES: u64 = 256 << 20;

impl Disk {
    /// None where nothing can be mounted, and says so.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests must know what was not tried")]
    fn at(place: &Path) -> Option<Self> {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let memory = File::from(memfd_create("disk", flags).expect("memory"));
        ftruncate(&memory, BYTES).expect("a size");
        std::fs::create_dir_all(place).expect("a folder");
        let disk = Self { memory, place: place.to_owned() };
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.device()));
        if let Err(why) = made.and_then(|()| mount(&disk.device(), place)) {
            eprintln!("SKIPPED a disk that breaks: {why}");
            return None;
        }
        Some(disk)
    }

    fn device(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd()).into()
    }

    /// From now on the device answers every write with an error of the device. Reads go on.
    fn breaks(&self) {
        fcntl_add_seals(&self.memory, SealFlags::FUTURE_WRITE).expect("it can be sealed");
    }

    /// Puts another device in its place, that holds the same.
    fn replace(&mut self, by: &Path) {
        unmount(&self.place);
        let copy = File::options().create_new(true).read(true).write(true).open(by);
        let mut copy = copy.expect("a file");
        io::Seek::rewind(&mut self.memory).expect("it can be read");
        io::copy(&mut self.memory, &mut copy).expect("copied");
        mount(by, &self.place).expect("it can be mounted");
        self.memory = copy;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.place);
    }
}

fn mount(device: &Path, place: &Path) -> Result<(), String> {
    run(Command::new("mount").args(["-o", "loop"]).arg(device).arg(place))
}

/// Also where a box that is about to end still works there.
fn unmount(place: &Path) {
    // It may never have been mounted.
    let _unmounted = run(Command::new("umount").args(["-l"]).arg(place));
}

fn run(command: &mut Command) -> Result<(), String> {
    let ran = output(command, DEADLINE);
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into()) }
}

#[tokio::test]
async fn a_server_whose_disk_breaks_says_so_and_loses_nothing_it_had_said() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let Some(mut disk) = Disk::at(&folder.data()) else { return };
    let mut server = Start::on(&folder).setting("limits.away_s", "6").server();
    let me = server.client();
    let kept = me.turn(json!({"prompt": "write kept to a.md", "turn_id": "t-kept"})).await.ok();
    let before = me.events(&kept.dispatch).await;
    let home = Repository::home(&folder, &server);
    let head = home.head();
    disk.breaks();
    let asked = json!({"prompt": "write lost to b.md", "turn_id": "t-lost"});
    let answer = me.request("POST", "/agent/chat").json(&asked).send().await;
    let accepted = answer.is_ok_and(|answer| answer.status().is_success());
    assert!(!accepted, "what cannot be kept was accepted");
    let log = server.log();
    let status = server.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(server.log().contains("could not go on"), "{}", server.log());

    disk.replace(&folder.path().join("copy"));
    let again = Start::on(&folder).setting("limits.idle_s", "0").server();
    let me = again.client();
    assert_eq!(home.head(), head);
    let after = me.events(&kept.dispatch).await;
    assert_eq!(after[..before.len()], before[..]);
    stream_is_whole(&after);
    let request = me.request("POST", "/agent/chat").json(&asked);
    let mut stream = Stream::of(request).await;
    let dispatch = stream.header("x-unit-id");
    stream.rest().await;
    me.until(&dispatch, "ended").await;
    is_over_once(&me.events(&dispatch).await);
    assert_eq!(home.commits_of("t-lost"), 1);
    assert_eq!(home.file("main", "a.md").as_deref(), Some("kept"));
    home.is_sound(folder.path());
    drop(again);
}
