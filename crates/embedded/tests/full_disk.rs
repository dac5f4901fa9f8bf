//! A disk without room, and a file that takes no writes: nothing more is written, reads go on, and
//! all is well again when there is room. Needs the right to mount; without it, says so and checks
//! nothing.

use std::path::Path;

use embedded::sqlite::{DATABASE_FILE, SqliteLedger};
use engine::conformance::fixture::{Ids, new_dispatch, soon, texts};
use engine::port::{Append, Durability, Ledger, LedgerError};
use model::{DispatchId, Entry, Event, EventId};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A file system of a few MiB, gone when this is dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = std::ffi::CString::new(format!("size={bytes}")).expect("no zero in it");
        match mount("none", folder.path(), "tmpfs", MountFlags::empty(), Some(size.as_c_str())) {
            Ok(()) => Some(Self { folder }),
            Err(errno) => skip(&format!("a file system cannot be mounted here: {errno}")),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _busy = unmount(self.path(), UnmountFlags::DETACH).is_err();
    }
}

#[expect(clippy::print_stderr, reason = "a test that cannot be run must say so")]
fn skip<T>(why: &str) -> Option<T> {
    eprintln!("not checked: {why}");
    None
}

async fn stream(ledger: &SqliteLedger) -> DispatchId {
    let ids = Ids::new();
    let new = new_dispatch(&ids, ids.user(), "t1", 1);
    let id = new.dispatch.id;
    soon("a new dispatch", ledger.create(new)).await.expect("there is room");
    soon("a writer", ledger.open(id)).await.expect("there is room");
    id
}

async fn all(ledger: &SqliteLedger, dispatch: DispatchId) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(EventId::START, |entry| entry.id);
        let part = soon("a read", ledger.read(dispatch, after, 1_000)).await.expect("reads go on");
        if part.is_empty() {
            return entries;
        }
        entries.extend(part);
    }
}

/// Appends until there is no more room. How many were acknowledged.
async fn append_until_full(ledger: &SqliteLedger, id: DispatchId, text: &str) -> usize {
    for count in 0..10_000 {
        let durability = if count % 2 == 0 { Durability::Synced } else { Durability::Relaxed };
        let append = Append { durability, ..texts(id, 1, &[text]) };
        match soon("an answer to a write", ledger.append(append)).await {
            Ok(_) => {}
            Err(LedgerError::Full(_)) => return count,
            Err(other) => unreachable!("refused as {other:?}"),
        }
    }
    unreachable!("the disk is not small");
}

fn assert_whole(entries: &[Entry], acknowledged: usize, text: &str) {
    assert_eq!(entries.len(), acknowledged + 2, "what was acknowledged, and nothing else");
    for (entry, n) in entries.iter().zip(1..) {
        assert_eq!(entry.id.n, n);
        if let Event::Message { text: found, .. } = &entry.event {
            assert_eq!(found, text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new(6 << 20) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).expect("there is room");
    let ledger = SqliteLedger::open(disk.path()).expect("there is room");
    let id = stream(&ledger).await;
    let text = "x".repeat(20_000);
    let mut acknowledged = append_until_full(&ledger, id, &text).await;
    assert!(acknowledged > 20, "some fitted: {acknowledged}");
    assert_whole(&all(&ledger, id).await, acknowledged, &text);
    let record = ledger.record(id).await.expect("reads go on").expect("there");
    assert_eq!(record.last.n, acknowledged as u64 + 2);
    for _ in 0..20 {
        let refused = soon("a refusal", ledger.append(texts(id, 1, &[&text]))).await;
        assert!(matches!(refused, Err(LedgerError::Full(_))), "{refused:?}");
    }
    let fenced = soon("a refusal", ledger.append(texts(id, 9, &["x"]))).await;
    assert!(matches!(fenced, Err(LedgerError::Fenced { .. })), "still said: {fenced:?}");
    std::fs::remove_file(&ballast).expect("removed");
    soon("a write", ledger.append(texts(id, 1, &[&text]))).await.expect("there is room again");
    acknowledged += 1;
    acknowledged += append_until_full(&ledger, id, &text).await;
    assert_whole(&all(&ledger, id).await, acknowledged, &text);
    drop(ledger);
    let again = SqliteLedger::open(disk.path()).expect("opens on a full disk");
    assert_whole(&all(&again, id).await, acknowledged, &text);
}

/// Lets nobody write the file, not even who has it open. Whether this file system knows that.
fn freeze(path: &Path, frozen: bool) -> Option<()> {
    let file = std::fs::File::open(path).expect("there");
    let changed = ioctl_getflags(&file).and_then(|flags| {
        let wanted = if frozen { flags | IFlags::IMMUTABLE } else { flags - IFlags::IMMUTABLE };
        ioctl_setflags(&file, wanted)
    });
    match changed {
        Ok(()) => Some(()),
        Err(errno) => skip(&format!("a file cannot be made immutable here: {errno}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_no_writes_refuses_them_and_reads_go_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let ledger = SqliteLedger::open(folder.path()).expect("opens");
    let id = stream(&ledger).await;
    soon("a write", ledger.append(texts(id, 1, &["before"]))).await.expect("open");
    let log = folder.path().join(format!("{DATABASE_FILE}-wal"));
    if freeze(&log, true).is_none() {
        return;
    }
    let refused = soon("a refusal", ledger.append(texts(id, 1, &["while"]))).await;
    let found = all(&ledger, id).await;
    freeze(&log, false).expect("what was set can be cleared");
    if refused.is_ok() {
        let _: Option<()> = skip("this file system lets an open file be written all the same");
        return;
    }
    assert!(matches!(refused, Err(LedgerError::Full(_))), "{refused:?}");
    assert_eq!(found.len(), 3);
    soon("a write", ledger.append(texts(id, 1, &["after"]))).await.expect("writable again");
    let texts: Vec<_> = all(&ledger, id).await.into_iter().skip(2).map(|e| e.event).collect();
    let message = engine::conformance::fixture::message;
    assert_eq!(texts, [message("before"), message("after")]);
}
