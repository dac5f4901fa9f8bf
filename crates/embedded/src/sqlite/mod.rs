//! The ledger, the directory, the proposals and what models used in one `SQLite` file: `remit.sqlite`
//! in the data directory.
//!
//! One thread writes and groups what waits into one transaction and one sync; a few threads read.
//! What a power cut or kill -9 leaves is what was acknowledged, and whole. Nothing here knows what
//! an entry means.

mod remotes;
mod schema;
mod sealing;

mod directory;
mod endpoints;
mod erase;
mod invites;
mod members;
mod proposals;
mod read;
mod recordings;
mod row;
mod usage;
mod write;

mod checkpoint;
mod log;
mod queue;
mod readers;
mod tails;
mod writer;

mod failure;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use engine::port::{
    Accepted, Append, Charge, Charged, Departure, Directory, DispatchQuery, Durability, Exchange,
    Followed, Invite, Key, KeyHash, Ledger, LedgerError, Login, Member, MemberChange, Membership,
    Memberships, ModelCall, NewDispatch, NewTurn, Page, Person, ProposalQuery, ProposalRecord,
    Proposals, Record, Recordings, Removal, Usage, UsageBook, UsageQuery, UsageRow, Workspace,
};
use model::{
    CommitId, DispatchId, Entry, Event, EventId, InviteId, KeyId, Proposal, ProposalId, Role,
    Session, SessionId, Standing, Time, Turn, TurnId, UserId, WorkspaceId,
};
use rusqlite::Connection;

pub use self::schema::{DATABASE_FILE, OpenError};
pub use self::sealing::Sealing;

use self::failure::Failure;
use self::members::Seat;
use self::readers::Readers;
use self::row::Body;
use self::tails::{Change, Tails};
use self::write::Addition;
use self::writer::Writer;
use crate::lock::DataLock;

/// The ledger and the directory of one machine.
///
/// When it is dropped, what waits to be written is written and synced.
#[derive(Debug)]
pub struct SqliteLedger {
    // In the order in which they end: the lock last.
    writer: Writer,
    readers: Readers,
    tails: Arc<Tails>,
    _lock: DataLock,
}

impl SqliteLedger {
    /// Opens the ledger in a data directory, which must exist, and takes the directory for this
    /// process. Creates the file, or brings an older one up to date. Blocks while it does.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_as(directory, DataLock::take(directory)?, &Sealing::Off)
    }

    /// The same for the holder of the directory's lock, with rows that are sealed or not; clear rows are
    /// sealed now.
    ///
    /// # Errors
    /// [`OpenError::Sealed`] if rows are sealed and are to be in the clear: they never are again;
    /// [`OpenError::Live`] if clear rows cannot be sealed yet.
    pub fn open_as(directory: &Path, lock: DataLock, sealing: &Sealing) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE_FILE);
        let connection = schema::open_writer(&path, sealing)?;
        let tails = Arc::<Tails>::default();
        let writer = Writer::start(&path, connection, Arc::clone(&tails))?;
        let readers = Readers::start(&path, sealing)?;
        Ok(Self { writer, readers, tails, _lock: lock })
    }

    /// Completes when nothing can be written any more, because a sync failed or the file is
    /// damaged: the process should stop, and a new one find out what is there.
    pub async fn broken(&self) {
        self.writer.broken().await;
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let work = move |connection: &Connection| Ok((work(connection)?, Change::NONE));
        self.writer.write(Durability::Synced, work).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn create(&self, mut new: NewDispatch) -> Result<Accepted, LedgerError> {
        let bodies = Body::all(std::mem::take(&mut new.events))?;
        self.writer.write(Durability::Synced, move |c| write::create(c, &new, bodies)).await
    }

    async fn open(&self, dispatch: DispatchId) -> Result<Record, LedgerError> {
        self.change(move |c| write::open(c, dispatch)).await
    }

    async fn append(&self, append: Append) -> Result<EventId, LedgerError> {
        let Append { dispatch, epoch, events, at, state, cursor, recovery, durability } = append;
        let bodies = Body::all(events)?;
        let addition = Addition { dispatch, epoch, bodies, at, state, cursor, recovery };
        self.writer.write(durability, move |c| write::append(c, addition)).await
    }

    async fn add_turn(&self, turn: NewTurn) -> Result<Accepted, LedgerError> {
        let body = Body::of(Event::TurnAccepted {
            turn: turn.turn.clone(),
            number: turn.number,
            prompt: turn.prompt.clone(),
        })?;
        self.writer.write(Durability::Synced, move |c| write::add_turn(c, turn, body)).await
    }

    async fn read(
        &self,
        dispatch: DispatchId,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<Entry>, LedgerError> {
        if let Some(entries) = self.tails.read(dispatch, after, limit) {
            return Ok(entries);
        }
        self.readers.read(move |c| read::entries(c, dispatch, after, limit)).await
    }

    async fn record(&self, dispatch: DispatchId) -> Result<Option<Record>, LedgerError> {
        self.readers.read(move |c| read::record(c, dispatch)).await
    }

    async fn records(&self, query: DispatchQuery) -> Result<Page<Record>, LedgerError> {
        self.readers.read(move |c| read::records(c, &query)).await
    }

    async fn live(&self) -> Result<Vec<Record>, LedgerError> {
        self.readers.read(read::live).await
    }

    async fn turn(&self, session: SessionId, turn: &TurnId) -> Result<Option<Turn>, LedgerError> {
        let turn = turn.clone();
        self.readers.read(move |c| read::turn(c, session, &turn)).await
    }

    async fn turns(&self, session: SessionId, limit: u32) -> Result<Vec<Turn>, LedgerError> {
        self.readers.read(move |c| read::turns(c, session, limit)).await
    }

    async fn session(&self, session: SessionId) -> Result<Option<Session>, LedgerError> {
        self.readers.read(move |c| read::session(c, session)).await
    }

    async fn sessions(&self, subject: UserId, limit: u32) -> Result<Vec<Session>, LedgerError> {
        self.readers.read(move |c| read::sessions(c, subject, limit)).await
    }

    async fn wait(&self, dispatch: DispatchId, after: EventId) {
        let cell = self.tails.join(dispatch);
        if !cell.is_known() {
            // The cell is in place before the stream is read, so nothing falls between the two.
            match self.readers.read(move |c| read::head(c, dispatch)).await {
                Ok(Some((last, closed))) => cell.learn(last, closed),
                Ok(None) | Err(_) => return,
            }
        }
        cell.wait(after).await;
    }
}

#[async_trait]
impl Directory for SqliteLedger {
    async fn add_person(&self, person: Person) -> Result<Person, LedgerError> {
        self.change(move |c| directory::add_person(c, &person)).await
    }

    async fn person(&self, id: UserId) -> Result<Option<Person>, LedgerError> {
        self.readers.read(move |c| directory::person(c, id)).await
    }

    async fn people(&self) -> Result<Vec<Person>, LedgerError> {
        self.readers.read(directory::people).await
    }

    async fn add_key(&self, key: Key, hash: KeyHash) -> Result<(), LedgerError> {
        self.change(move |c| directory::add_key(c, &key, hash)).await
    }

    async fn key(&self, hash: KeyHash) -> Result<Option<Key>, LedgerError> {
        self.readers.read(move |c| directory::key(c, hash)).await
    }

    async fn keys(&self, subject: UserId) -> Result<Vec<Key>, LedgerError> {
        self.readers.read(move |c| directory::keys(c, subject)).await
    }

    async fn remove_key(&self, id: KeyId) -> Result<bool, LedgerError> {
        self.change(move |c| directory::remove_key(c, id)).await
    }

    async fn add_login(&self, login: Login, hash: KeyHash) -> Result<(), LedgerError> {
        self.change(move |c| directory::add_login(c, &login, hash)).await
    }

    async fn login(&self, hash: KeyHash) -> Result<Option<Login>, LedgerError> {
        self.readers.read(move |c| directory::login(c, hash)).await
    }

    async fn see_login(&self, hash: KeyHash, seen: Time) -> Result<(), LedgerError> {
        self.change(move |c| directory::see_login(c, hash, seen)).await
    }

    async fn remove_login(&self, hash: KeyHash) -> Result<bool, LedgerError> {
        self.change(move |c| directory::remove_login(c, hash)).await
    }

    async fn begin_workspace(&self, id: WorkspaceId) -> Result<(), LedgerError> {
        self.change(move |c| erase::begin(c, id)).await
    }

    async fn add_workspace(&self, workspace: Workspace) -> Result<Workspace, LedgerError> {
        self.change(move |c| directory::add_workspace(c, &workspace)).await
    }

    async fn remove_workspace(&self, id: WorkspaceId) -> Result<Removal, LedgerError> {
        self.change(move |c| erase::workspace(c, id)).await
    }

    async fn removed(&self) -> Result<Vec<WorkspaceId>, LedgerError> {
        self.readers.read(erase::removed).await
    }

    async fn forget_removed(&self, id: WorkspaceId) -> Result<(), LedgerError> {
        self.change(move |c| erase::forget(c, id)).await
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, LedgerError> {
        self.readers.read(move |c| directory::workspace(c, id)).await
    }

    async fn workspaces(&self, owner: UserId) -> Result<Vec<Workspace>, LedgerError> {
        self.readers.read(move |c| directory::workspaces(c, owner)).await
    }
}

#[async_trait]
impl Memberships for SqliteLedger {
    async fn role(
        &self,
        workspace: WorkspaceId,
        person: UserId,
    ) -> Result<Option<Role>, LedgerError> {
        self.readers.read(move |c| members::role(c, Seat { workspace, person })).await
    }

    async fn memberships(&self, person: UserId) -> Result<Vec<Membership>, LedgerError> {
        self.readers.read(move |c| members::memberships(c, person)).await
    }

    async fn members(&self, workspace: WorkspaceId) -> Result<Vec<Member>, LedgerError> {
        self.readers.read(move |c| members::members(c, workspace)).await
    }

    async fn set_role(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        role: Role,
    ) -> Result<MemberChange, LedgerError> {
        self.change(move |c| members::set_role(c, Seat { workspace, person }, role)).await
    }

    async fn remove_member(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        departure: Departure,
        at: Time,
    ) -> Result<MemberChange, LedgerError> {
        self.change(move |c| members::remove(c, Seat { workspace, person }, departure, at)).await
    }

    async fn set_active(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        active: bool,
    ) -> Result<bool, LedgerError> {
        self.change(move |c| members::set_active(c, Seat { workspace, person }, active)).await
    }

    async fn set_purpose(
        &self,
        workspace: WorkspaceId,
        purpose: &str,
    ) -> Result<bool, LedgerError> {
        let purpose = purpose.to_owned();
        self.change(move |c| members::set_purpose(c, workspace, &purpose)).await
    }

    async fn add_invite(&self, invite: Invite, hash: KeyHash) -> Result<(), LedgerError> {
        self.change(move |c| invites::add(c, &invite, hash)).await
    }

    async fn invites(&self, workspace: WorkspaceId, at: Time) -> Result<Vec<Invite>, LedgerError> {
        self.readers.read(move |c| invites::list(c, workspace, at)).await
    }

    async fn invite(&self, hash: KeyHash) -> Result<Option<Invite>, LedgerError> {
        self.readers.read(move |c| invites::find(c, hash)).await
    }

    async fn remove_invite(
        &self,
        workspace: WorkspaceId,
        id: InviteId,
    ) -> Result<bool, LedgerError> {
        self.change(move |c| invites::remove(c, workspace, id)).await
    }

    async fn follow_invite(
        &self,
        hash: KeyHash,
        person: UserId,
        at: Time,
    ) -> Result<Followed, LedgerError> {
        self.change(move |c| invites::follow(c, hash, person, at)).await
    }
}

#[async_trait]
impl Proposals for SqliteLedger {
    async fn add_proposal(&self, proposal: Proposal) -> Result<ProposalRecord, LedgerError> {
        self.change(move |c| proposals::add(c, &proposal)).await
    }

    async fn proposal(&self, id: ProposalId) -> Result<Option<ProposalRecord>, LedgerError> {
        self.readers.read(move |c| proposals::one(c, id)).await
    }

    async fn proposals(&self, query: ProposalQuery) -> Result<Page<ProposalRecord>, LedgerError> {
        self.readers.read(move |c| proposals::page(c, &query)).await
    }

    async fn decide(
        &self,
        id: ProposalId,
        from: Standing,
        to: Standing,
    ) -> Result<Option<ProposalRecord>, LedgerError> {
        self.change(move |c| proposals::decide(c, id, &from, to)).await
    }

    async fn approving(&self) -> Result<Vec<ProposalRecord>, LedgerError> {
        self.readers.read(proposals::approving).await
    }

    async fn proposed_commits(&self, workspace: WorkspaceId) -> Result<Vec<CommitId>, LedgerError> {
        self.readers.read(move |c| proposals::commits(c, workspace)).await
    }

    async fn standings(&self, id: ProposalId) -> Result<Vec<Standing>, LedgerError> {
        self.readers.read(move |c| proposals::standings(c, id)).await
    }
}

#[async_trait]
impl UsageBook for SqliteLedger {
    async fn add_call(&self, call: ModelCall) -> Result<(), LedgerError> {
        let add = move |c: &Connection| Ok((usage::add(c, &call)?, Change::NONE));
        self.writer.write(Durability::Relaxed, add).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<Page<UsageRow>, LedgerError> {
        self.readers.read(move |c| usage::rows(c, &query)).await
    }

    async fn usage_of(
        &self,
        dispatches: Vec<DispatchId>,
    ) -> Result<Vec<(DispatchId, Usage)>, LedgerError> {
        self.readers.read(move |c| usage::of_dispatches(c, &dispatches)).await
    }

    async fn charged(&self, whose: Charged) -> Result<Charge, LedgerError> {
        self.readers.read(move |c| usage::charged(c, whose)).await
    }
}

#[async_trait]
impl Recordings for SqliteLedger {
    async fn add_exchange(
        &self,
        dispatch: DispatchId,
        exchange: Exchange,
    ) -> Result<bool, LedgerError> {
        let add =
            move |c: &Connection| Ok((recordings::add(c, dispatch, &exchange)?, Change::NONE));
        self.writer.write(Durability::Relaxed, add).await
    }

    async fn exchange_after(
        &self,
        dispatch: DispatchId,
        number: u64,
    ) -> Result<Option<(u64, Exchange)>, LedgerError> {
        self.readers.read(move |c| recordings::after(c, dispatch, number)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    /// What a write comes to during which the database says this.
    async fn failing(ledger: &SqliteLedger, code: i32) -> LedgerError {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let outcome = ledger.change::<()>(move |_| Err(Failure::Database(error))).await;
        outcome.expect_err("it fails")
    }

    fn person() -> Person {
        let id = UserId::from_uuid(uuid::Uuid::from_u128(1));
        let created = Time::from_ms(1);
        Person { id, email: "a@b".into(), name: "A".into(), concurrent_max: 1, created }
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_acknowledged_and_reads_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(folder.path()).expect("opens");
        ledger.add_person(person()).await.expect("new");
        let failed = failing(&ledger, ffi::SQLITE_IOERR_FSYNC).await;
        assert!(matches!(failed, LedgerError::Unavailable(_)), "{failed:?}");
        ledger.broken().await;
        for _ in 0..3 {
            let refused = ledger.add_person(person()).await;
            assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
        }
        assert_eq!(ledger.people().await.expect("reads go on"), [person()]);
        drop(ledger);
        let again = SqliteLedger::open(folder.path()).expect("opens");
        again.add_person(person()).await.expect("a new process finds out what is there");
    }

    #[tokio::test]
    async fn a_write_without_room_fails_alone_and_the_next_may_succeed() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(folder.path()).expect("opens");
        let good = ledger.add_person(person());
        let (failed, good) = tokio::join!(failing(&ledger, ffi::SQLITE_FULL), good);
        assert!(matches!(failed, LedgerError::Full(_)), "{failed:?}");
        assert_eq!(good.expect("another's trouble"), person());
        assert_eq!(ledger.people().await.expect("readable"), [person()]);
    }

    #[tokio::test]
    async fn the_log_has_a_bound_while_it_is_written_without_a_pause() {
        use engine::conformance::fixture::{Ids, new_dispatch, texts};
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(folder.path()).expect("opens");
        let ids = Ids::new();
        let new = new_dispatch(&ids, ids.user(), "t1", 1);
        let id = new.dispatch.id;
        ledger.create(new).await.expect("new");
        ledger.open(id).await.expect("open");
        let text = "x".repeat(16 << 10);
        let part = vec![text.as_str(); 64];
        let path = folder.path().join(format!("{DATABASE_FILE}-wal"));
        let mut longest = 0;
        for _ in 0..120 {
            let append = Append { durability: Durability::Relaxed, ..texts(id, 1, &part) };
            ledger.append(append).await.expect("written");
            longest = longest.max(std::fs::metadata(&path).expect("there").len());
        }
        assert!(longest < 80 << 20, "the log grew to {longest} bytes of the 120 MiB written");
    }

    #[tokio::test]
    async fn a_second_ledger_in_one_directory_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = SqliteLedger::open(folder.path()).expect("opens");
        let refused = SqliteLedger::open(folder.path()).expect_err("taken");
        assert!(matches!(refused, OpenError::Lock(crate::lock::LockError::InUse { .. })));
    }

    #[tokio::test]
    async fn a_call_whose_writer_has_stopped_is_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(folder.path()).expect("opens");
        let outcome = ledger.change::<()>(|_| unreachable!("on purpose")).await;
        assert!(matches!(outcome, Err(LedgerError::Unavailable(_))), "{outcome:?}");
        ledger.broken().await;
        let refused = ledger.add_person(person()).await;
        assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
        assert_eq!(ledger.people().await.expect("reads go on"), []);
    }
}
