//! The ledger with sealed rows keeps the same promises, and its file shows nothing of what was said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded::lock::DataLock;
use embedded::sqlite::{OpenError, Sealing, SqliteLedger};
use engine::conformance::fixture::{Ids, new_dispatch, texts};
use engine::conformance::recordings::exchange;
use engine::port::{Append, Idempotency, Ledger, LedgerError, NewDispatch, Recordings};
use model::{DispatchId, End, EventId, State, WorkspaceId};
use rusqlite::Connection;
use seal::{FileKeys, Keyring, MASTER_KEY_FILE};

const CANARY: &str = "a canary sings in the mine";

/// The keys of a folder. In the suites a workspace has its key from the beginning; here it is made when it is first asked for.
fn ring(folder: &Path) -> Arc<Keyring> {
    let path = folder.join(MASTER_KEY_FILE);
    let keys = FileKeys::open(&path).expect("readable");
    let keys = keys.unwrap_or_else(|| FileKeys::create(&path).expect("made"));
    Arc::new(Keyring::new(Arc::new(keys), &folder.join("sealed")).expect("made"))
}

fn attempt(folder: &Path) -> Result<SqliteLedger, OpenError> {
    SqliteLedger::open_as(folder, DataLock::take(folder)?, &Sealing::On(ring(folder)))
}

fn sealed(folder: &Path) -> SqliteLedger {
    attempt(folder).expect("opens")
}

fn fresh(folders: &tempfile::TempDir) -> SqliteLedger {
    let folder = tempfile::tempdir_in(folders.path()).expect("a folder").keep();
    sealed(&folder)
}

async fn in_time(suite: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(5), suite)
        .await
        .expect("a promise is waited for in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_ledger() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::ledger::ledger(async || fresh(&folders))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_store_of_proposals() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::proposals::proposals(async || fresh(&folders))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_store_of_recordings() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::recordings::recordings(async || fresh(&folders))).await;
}

/// A dispatch that speaks of canaries in every place where it can.
fn canary(ids: &Ids, turn: &str) -> NewDispatch {
    let mut new = new_dispatch(ids, ids.user(), turn, 1);
    new.claims = format!("{{\"claims\":\"{CANARY}\"}}");
    CANARY.clone_into(&mut new.session.title);
    new.dispatch.start =
        model::Start::Ask { turn: turn.parse().expect("a turn"), prompt: CANARY.to_owned() };
    let key = "key".to_owned();
    new.idempotency = Some(Idempotency { subject: new.dispatch.subject, key, request: [7; 32] });
    new
}

/// Writes it, and what it says; its id.
async fn spoken(ledger: &SqliteLedger, new: NewDispatch) -> DispatchId {
    let id = new.dispatch.id;
    ledger.create(new).await.expect("new");
    let epoch = ledger.open(id).await.expect("open").epoch;
    let said = Append { recovery: Some(CANARY.to_owned()), ..texts(id, epoch, &[CANARY, "more"]) };
    ledger.append(said).await.expect("written");
    assert!(ledger.add_exchange(id, exchange(CANARY)).await.expect("recorded"));
    id
}

async fn end(ledger: &SqliteLedger, id: DispatchId) {
    let epoch = ledger.open(id).await.expect("open").epoch;
    let end = Append { state: Some(State::Ended(End::Reaped)), ..texts(id, epoch, &["bye"]) };
    ledger.append(end).await.expect("written");
}

/// What is to be read of it, by whichever ledger.
async fn judge(ledger: &SqliteLedger, new: &NewDispatch) {
    let record = ledger.record(new.dispatch.id).await.expect("readable").expect("there");
    assert_eq!(record.dispatch, new.dispatch);
    let session = ledger.session(new.dispatch.session).await.expect("readable").expect("there");
    assert_eq!(session.title, CANARY);
    let turns = ledger.turns(new.dispatch.session, 9).await.expect("readable");
    assert_eq!(turns[0].prompt, CANARY);
    let entries = ledger.read(new.dispatch.id, EventId::START, 99).await.expect("readable");
    assert!(format!("{entries:?}").contains(CANARY));
    let recorded = ledger.exchange_after(new.dispatch.id, 0).await.expect("readable");
    assert_eq!(recorded, Some((1, exchange(CANARY))));
    let again = ledger.create(new.clone()).await.expect("known by its key");
    assert!(matches!(again, engine::port::Accepted::Before(_)), "{again:?}");
    let mut other = new.clone();
    other.idempotency.as_mut().expect("a key").request = [8; 32];
    let refused = ledger.create(other).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
}

/// Files of the folder in which a canary or a request can be seen.
fn seen(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        for clear in [CANARY.as_bytes(), &[7; 32]] {
            if bytes.windows(clear.len()).any(|it| it == clear) {
                found.push(entry.file_name().display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_was_said_is_read_back_and_cannot_be_seen_in_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = canary(&Ids::new(), "t1");
    let ledger = sealed(folder.path());
    let id = spoken(&ledger, new.clone()).await;
    let record = ledger.record(id).await.expect("readable").expect("there");
    assert_eq!(record.recovery.as_deref(), Some(CANARY));
    judge(&ledger, &new).await;
    assert_eq!(seen(folder.path()), [""; 0], "while it is written");
    drop(ledger);
    assert_eq!(seen(folder.path()), [""; 0]);
    judge(&sealed(folder.path()), &new).await;
    let refused = SqliteLedger::open(folder.path());
    assert!(matches!(refused, Err(OpenError::Sealed { .. })), "{refused:?}");
}

#[tokio::test]
async fn clear_rows_are_sealed_once_nothing_lives_and_leave_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ids, clear) = (Ids::new(), SqliteLedger::open(folder.path()).expect("opens"));
    let all: Vec<_> = ["t1", "t2", "t3"].map(|turn| canary(&ids, turn)).into();
    for new in &all {
        spoken(&clear, new.clone()).await;
    }
    drop(clear);
    assert!(!seen(folder.path()).is_empty(), "the canary can be seen at all");
    let refused = attempt(folder.path());
    assert!(matches!(refused, Err(OpenError::Live { live: 3, .. })), "{refused:?}");
    let clear = SqliteLedger::open(folder.path()).expect("still in the clear");
    for new in &all {
        end(&clear, new.dispatch.id).await;
    }
    drop(clear);
    let ledger = sealed(folder.path());
    assert_eq!(seen(folder.path()), [""; 0]);
    for new in &all {
        judge(&ledger, new).await;
    }
}

#[tokio::test]
async fn a_row_that_was_moved_to_another_place_or_whose_key_is_gone_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let ids = Ids::new();
    let (one, other) = (canary(&ids, "t1"), canary(&ids, "t2"));
    let ledger = sealed(folder.path());
    for new in [&one, &other] {
        spoken(&ledger, new.clone()).await;
    }
    drop(ledger);
    let file = Connection::open(folder.path().join("remit.sqlite")).expect("opens");
    let swap =
        "UPDATE dispatches SET body = (SELECT body FROM dispatches WHERE no = 2) WHERE no = 1";
    assert_eq!(file.execute(swap, []).expect("swapped"), 1);
    drop(file);
    let ledger = sealed(folder.path());
    let swapped = ledger.record(one.dispatch.id).await;
    assert!(matches!(swapped, Err(LedgerError::Unavailable(_))), "{swapped:?}");
    judge(&ledger, &other).await;
    let home: WorkspaceId = other.session.home;
    drop(ledger);
    ring(folder.path()).shred(home).expect("destroyed");
    let lost = sealed(folder.path()).record(other.dispatch.id).await;
    assert!(matches!(lost, Err(LedgerError::Unavailable(_))), "{lost:?}");
}
