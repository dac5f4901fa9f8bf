//! The ledger in one file keeps the promises of its ports.

use std::time::Duration;

use embedded::sqlite::SqliteLedger;

/// Longer than a whole suite takes on a busy machine.
async fn in_time(suite: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(5), suite)
        .await
        .expect("a promise is waited for in vain");
}

/// Makes ledgers, each in a folder of its own.
fn fresh(folders: &tempfile::TempDir) -> SqliteLedger {
    let folder = tempfile::tempdir_in(folders.path()).expect("a folder").keep();
    SqliteLedger::open(&folder).expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_ledger() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::ledger::ledger(async || fresh(&folders))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_store_of_proposals() {
    let folders = tempfile::tempdir().expect("a folder");
    engine::conformance::proposals::proposals(async || fresh(&folders)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_directory() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::directory::directory(async || fresh(&folders))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_memberships() {
    let folders = tempfile::tempdir().expect("a folder");
    engine::conformance::membership::memberships(async || fresh(&folders)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_book_of_usage() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::usage::usage(async || fresh(&folders))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_store_of_recordings() {
    let folders = tempfile::tempdir().expect("a folder");
    in_time(engine::conformance::recordings::recordings(async || fresh(&folders))).await;
}
