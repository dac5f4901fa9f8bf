//! The directory: people, their keys and logins, their workspaces.
//!
//! Every write is synced when the call returns, and whole or absent.

use async_trait::async_trait;
use model::{KeyId, Time, UserId, WorkspaceId, WorkspaceName};
pub use trust::Scope;

use super::endpoints::OwnEndpoints;
use super::ledger::LedgerError;
use super::membership::Memberships;
use super::remotes::Remotes;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Their mail address, unique.
    pub email: String,
    /// What commits call them.
    pub name: String,
    /// How many of their dispatches may be alive at once; more wait.
    pub concurrent_max: u32,
    /// When they were added.
    pub created: Time,
}

/// SHA-256 of a key: all that is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// A key of the public API. The key itself is shown once and never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub subject: UserId,
    /// What it is for, in their words.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Time,
    /// When it stops to be valid; never where absent.
    pub expires: Option<Time>,
}

/// A browser that is logged in. Its secret is a cookie of that browser and never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose browser it is.
    pub subject: UserId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it logged in.
    pub created: Time,
    /// When it was last seen, to the minute or so.
    pub seen: Time,
    /// When it must log in again, however often it was seen.
    pub expires: Time,
}

/// A git folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// What its owner calls it; unique for the owner.
    pub name: WorkspaceName,
    /// Whose it is by name. Others may be owners of it, too: see [`super::Memberships`].
    pub owner: UserId,
    /// What it is for, in one line; agents are told. Empty where nobody said.
    pub purpose: String,
    /// When it was made.
    pub created: Time,
}

/// What became of a workspace that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, with its members, invitations and proposals, and the conversations at home there.
    Done,
    /// There is no such workspace.
    Unknown,
    /// It is its owner's home: the oldest of those that are theirs by name. Nothing was changed.
    Home,
    /// So many dispatches of conversations at home there are not over. Nothing was changed.
    Live(u64),
}

/// People, their keys and logins, their endpoints, their workspaces, who is what in these, and what they follow.
#[async_trait]
pub trait Directory: Memberships + Remotes + OwnEndpoints {
    /// Adds a person, or finds the one with this mail address.
    async fn add_person(&self, person: Person) -> Result<Person, LedgerError>;

    /// One person.
    async fn person(&self, id: UserId) -> Result<Option<Person>, LedgerError>;

    /// Every person, oldest first.
    async fn people(&self) -> Result<Vec<Person>, LedgerError>;

    /// Adds a key under the hash of its secret.
    async fn add_key(&self, key: Key, hash: KeyHash) -> Result<(), LedgerError>;

    /// The key with this hash. Whether it has expired is the caller's to decide.
    async fn key(&self, hash: KeyHash) -> Result<Option<Key>, LedgerError>;

    /// The keys of a person, oldest first.
    async fn keys(&self, subject: UserId) -> Result<Vec<Key>, LedgerError>;

    /// Removes a key; whether it was there.
    async fn remove_key(&self, id: KeyId) -> Result<bool, LedgerError>;

    /// Adds a login under the hash of its secret, and forgets those that expired before it began.
    async fn add_login(&self, login: Login, hash: KeyHash) -> Result<(), LedgerError>;

    /// The login with this hash. Whether it is still good is the caller's to decide.
    async fn login(&self, hash: KeyHash) -> Result<Option<Login>, LedgerError>;

    /// Notes when a login was last seen; nothing where it is gone.
    async fn see_login(&self, hash: KeyHash, seen: Time) -> Result<(), LedgerError>;

    /// Removes a login; whether it was there.
    async fn remove_login(&self, hash: KeyHash) -> Result<bool, LedgerError>;

    /// Takes note that the folder of a workspace is being made. Until the workspace is added, the folder counts as one
    /// that is to be removed.
    async fn begin_workspace(&self, id: WorkspaceId) -> Result<(), LedgerError>;

    /// Adds a workspace with its owner as its only member, or finds the owner's one of that name. The
    /// first one of a person is part of their conversations from then on; others are once it is said.
    async fn add_workspace(&self, workspace: Workspace) -> Result<Workspace, LedgerError>;

    /// Removes a workspace and all that is told of it, and of conversations at home there. What its folder
    /// holds is the caller's to remove; until [`forget_removed`](Self::forget_removed), it is told by
    /// [`removed`](Self::removed).
    async fn remove_workspace(&self, id: WorkspaceId) -> Result<Removal, LedgerError>;

    /// Workspaces that were removed, or begun and not added, and whose folders may still be there.
    async fn removed(&self) -> Result<Vec<WorkspaceId>, LedgerError>;

    /// Takes note that the folder of a removed workspace is gone, and so is what it followed.
    async fn forget_removed(&self, id: WorkspaceId) -> Result<(), LedgerError>;

    /// One workspace.
    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, LedgerError>;

    /// The workspaces that are a person's by name, oldest first: the first is their home.
    async fn workspaces(&self, owner: UserId) -> Result<Vec<Workspace>, LedgerError>;
}
