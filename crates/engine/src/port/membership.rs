//! Who is what in which workspace, and how others are invited. Platform data: no dispatch writes it.
//!
//! Every write is synced when the call returns, and whole or absent. A workspace has an owner at all
//! times: a change that would leave it without one is answered with [`MemberChange::LastOwner`].

use async_trait::async_trait;
use model::{InviteId, Role, Time, UserId, WorkspaceId, WorkspaceName};

use super::directory::{KeyHash, Person, Workspace};
use super::ledger::LedgerError;

/// A workspace as one of its members has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The workspace.
    pub workspace: Workspace,
    /// What the person is in it.
    pub role: Role,
    /// Whether it is part of their conversations where they do not say.
    pub active: bool,
}

impl Membership {
    /// The workspace that `person`, who has these, means by a name: their own one, or else the only
    /// one of that name.
    pub fn named<'a>(known: &'a [Self], person: UserId, name: &WorkspaceName) -> Option<&'a Self> {
        let of_name = || known.iter().filter(|it| it.workspace.name == *name);
        let own = of_name().find(|it| it.workspace.owner == person);
        own.or_else(|| of_name().next().filter(|_| of_name().count() == 1))
    }
}

/// A member as their workspace has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who they are.
    pub person: Person,
    /// What they are in the workspace.
    pub role: Role,
    /// Since when they are a member.
    pub since: Time,
}

/// What became of a change of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// It is so now.
    Done,
    /// They are no member. Nothing was changed.
    NotAMember,
    /// The workspace would be without an owner. Nothing was changed.
    LastOwner,
}

/// Why somebody is no member any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// They left, and may come back with any invitation that is open.
    Left,
    /// They were removed: invitations made until now do not let them in again.
    Removed,
}

/// An invitation. Its token is shown once and stored as its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// To which workspace.
    pub workspace: WorkspaceId,
    /// As what.
    pub role: Role,
    /// Who made it. It is void as soon as they are no owner any more.
    pub maker: UserId,
    /// Only these mail addresses, in lower case; everybody who has the token where there are none.
    pub emails: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// When it stops to be valid.
    pub expires: Time,
    /// How many people may still follow it.
    pub uses_left: u32,
}

/// What became of an invitation that somebody follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// They are a member now, with this role: what they were already, if that is more.
    Joined(WorkspaceId, Role),
    /// There is no such invitation, or it was taken back.
    Unknown,
    /// It has expired, or as many as may have followed it.
    Over,
    /// It is for others: for other mail addresses, or the person was removed since it was made.
    NotForThem,
}

/// Members and invitations.
#[async_trait]
pub trait Memberships: Send + Sync + 'static {
    /// What a person is in a workspace; nothing where they are no member.
    async fn role(
        &self,
        workspace: WorkspaceId,
        person: UserId,
    ) -> Result<Option<Role>, LedgerError>;

    /// The workspaces of a person: first those that are theirs by name, oldest first, so that the
    /// first is their home; then those that they were invited to, in the order in which they came.
    async fn memberships(&self, person: UserId) -> Result<Vec<Membership>, LedgerError>;

    /// The members of a workspace, in the order in which they came.
    async fn members(&self, workspace: WorkspaceId) -> Result<Vec<Member>, LedgerError>;

    /// Changes what a member is. One who is no owner any more takes the invitations they made along;
    /// a workspace that was theirs by name goes to the eldest owner that is left.
    async fn set_role(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        role: Role,
    ) -> Result<MemberChange, LedgerError>;

    /// Ends a membership, with what [`set_role`](Self::set_role) says of one who is no owner any more.
    async fn remove_member(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        departure: Departure,
        at: Time,
    ) -> Result<MemberChange, LedgerError>;

    /// Takes a workspace into a person's conversations, or out of them; whether they are a member.
    async fn set_active(
        &self,
        workspace: WorkspaceId,
        person: UserId,
        active: bool,
    ) -> Result<bool, LedgerError>;

    /// Says what a workspace is for; whether there is one.
    async fn set_purpose(&self, workspace: WorkspaceId, purpose: &str)
    -> Result<bool, LedgerError>;

    /// Adds an invitation under the hash of its token.
    async fn add_invite(&self, invite: Invite, hash: KeyHash) -> Result<(), LedgerError>;

    /// The invitations of a workspace that can still be followed at `at`, oldest first.
    async fn invites(&self, workspace: WorkspaceId, at: Time) -> Result<Vec<Invite>, LedgerError>;

    /// The invitation with this hash, followed, expired or not. Grants nothing.
    async fn invite(&self, hash: KeyHash) -> Result<Option<Invite>, LedgerError>;

    /// Takes an invitation back; whether it was there.
    async fn remove_invite(
        &self,
        workspace: WorkspaceId,
        id: InviteId,
    ) -> Result<bool, LedgerError>;

    /// Follows an invitation: one step, so that it is never followed more often than it may be. Who
    /// is a member with the same role or a higher one already uses nothing of it up.
    async fn follow_invite(
        &self,
        hash: KeyHash,
        person: UserId,
        at: Time,
    ) -> Result<Followed, LedgerError>;
}
