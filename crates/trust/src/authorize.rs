//! The one yes or no. A table in code: every action of every route and verb stands here once.
//!
//! Deny is the default: an action is allowed because a line below says so.

use std::collections::BTreeSet;

use model::{InputTrust, Mode, Role, Trigger, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Start and steer dispatches, read and write one's workspaces.
    Agent,
    /// Read one's dispatches and workspaces.
    Read,
    /// Everything, for everyone.
    Admin,
}

/// Who asks: as their proof says, never as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The person whose key or session it is; absent for the administrator's key, which is nobody's.
    pub subject: Option<UserId>,
    /// What the proof lets them do.
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    /// A person, with what their key lets them do.
    pub fn person(subject: UserId, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { subject: Some(subject), scopes: scopes.into_iter().collect() }
    }

    /// Whoever holds the administrator's key.
    pub fn administrator() -> Self {
        Self { subject: None, scopes: BTreeSet::from([Scope::Admin]) }
    }

    fn is(&self, person: UserId) -> bool {
        self.subject == Some(person)
    }
}

/// One workspace that a dispatch wants to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountAsk {
    /// What the subject of the dispatch is in the workspace; nothing where they are no member.
    pub role: Option<Role>,
    /// What is to be done to it.
    pub mode: Mode,
}

impl MountAsk {
    /// Whether a dispatch on behalf of one who is `role` in a workspace may have it in this mode.
    pub fn suits(role: Option<Role>, mode: Mode) -> Decision {
        match (role, mode) {
            (None, _) => Decision::Deny(Reason::NotYours),
            (Some(_), Mode::ReadOnly) => Decision::Allow,
            (Some(role), Mode::ReadWrite | Mode::Propose) => {
                when(role >= Role::Contributor, Reason::RoleTooLow)
            }
        }
    }

    /// How one who is `role` mounts a workspace when nobody says: as is usual for the trigger, and
    /// read-only where they may only read.
    pub fn usual(role: Role, trigger: Trigger) -> Mode {
        match role {
            Role::Viewer => Mode::ReadOnly,
            Role::Contributor | Role::Owner => trigger.default_mode(),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Learn who one is.
    ReadSelf,
    /// Learn which runners and models there are.
    ReadCatalog,
    /// Read a dispatch, its events, its turns or its conversation.
    ReadDispatch {
        /// On whose behalf it runs.
        owner: UserId,
    },
    /// See what models used, and what it cost.
    ReadUsage {
        /// For whom.
        owner: UserId,
    },
    /// Say something to a dispatch, stop its turn, cancel or resume it, forget its conversation.
    SteerDispatch {
        /// On whose behalf it runs.
        owner: UserId,
    },
    /// Start a dispatch.
    StartDispatch {
        /// On whose behalf.
        subject: UserId,
        /// Why.
        trigger: Trigger,
        /// Over which workspaces.
        mounts: Vec<MountAsk>,
    },
    /// Read the files or the history of a workspace.
    ReadWorkspace {
        /// What the asker is in it; nothing where they are no member.
        role: Option<Role>,
    },
    /// Change the files of a workspace from outside a dispatch: write, upload, take back, push.
    WriteWorkspace {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Move a workspace on by a push, past a proposal.
    LandPush {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Decide about proposals for a workspace, or deny one. To see one is to read the workspace.
    DecideProposal {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Approve a proposal for a workspace.
    ApproveProposal {
        /// What the asker is in it.
        role: Option<Role>,
        /// What the one is in it for whom it was made; nothing where they are no member any more.
        maker: Option<Role>,
    },
    /// Say what a workspace is for, and which outside repository it follows.
    ConfigureWorkspace {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Delete a workspace for good, with the conversations at home there.
    DeleteWorkspace {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Take a workspace into one's conversations, out of them, or leave it for good.
    UseWorkspace {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// See who the members of a workspace are.
    ReadMembers {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Invite, see invitations, change roles, remove a member.
    ManageMembers {
        /// What the asker is in it.
        role: Option<Role>,
    },
    /// Look at an invitation by its token, or follow it. The token says to which workspace.
    AnswerInvite,
    /// Make a workspace.
    CreateWorkspace {
        /// Whose it will be.
        owner: UserId,
    },
    /// See which keys there are; never the keys themselves.
    ReadKeys {
        /// Whose they are.
        owner: UserId,
    },
    /// Make a key.
    MintKey {
        /// Whose it will be.
        owner: UserId,
        /// What it will let them do.
        scopes: BTreeSet<Scope>,
    },
    /// Make a key void.
    RevokeKey {
        /// Whose it is.
        owner: UserId,
    },
    /// See the model endpoints that a person keeps; never their keys.
    ReadEndpoints {
        /// Whose they are.
        owner: UserId,
    },
    /// Keep a model endpoint, try it, remove it.
    KeepEndpoint {
        /// Whose it is.
        owner: UserId,
    },
    /// Choose a model of an endpoint that a person keeps.
    UseEndpoint {
        /// Whose it is.
        owner: UserId,
    },
    /// See who there is.
    ReadPeople,
    /// Add a person.
    AddPerson,
    /// Say what a test of a runner found: whether everybody may pick it.
    TestRunner,
    /// Read how the whole machine does: figures, fingerprints, queues.
    ReadOperations,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The key does not let anyone do this.
    #[error("the key lacks the scope `{0:?}`")]
    ScopeMissing(Scope),
    /// It is another person's. Tell the asker that there is no such thing.
    #[error("it belongs to somebody else")]
    NotYours,
    /// They are a member, and members of their role may not do this.
    #[error("your role in this workspace does not allow it; an owner can change your role")]
    RoleTooLow,
    /// What came from outside may never write.
    #[error("what was started by input from outside may only read or propose")]
    UntrustedMayNotWrite,
    /// What came from outside may not ask a server outside that was not opened to it.
    #[error("what was started by input from outside may not call it")]
    UntrustedMayNotCall,
    /// What may only read or propose here may not act elsewhere.
    #[error("what may only read or propose may not call tools that change something outside")]
    ProposerMayNotAct,
    /// A key may not make a key that can do more than itself.
    #[error("a key cannot give away more than it has")]
    MoreThanOwn,
}

/// The answer.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, and why.
    Deny(Reason),
}

impl Decision {
    /// The answer as a result, so that `?` can refuse.
    pub fn allowed(self) -> Result<(), Reason> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(reason) => Err(reason),
        }
    }
}

/// Answers for every route and verb.
pub fn authorize(principal: &Principal, action: &Action) -> Decision {
    match action {
        Action::ReadSelf | Action::ReadCatalog => reads(principal),
        Action::ReadDispatch { owner } | Action::ReadUsage { owner } => {
            first_of([reads(principal), belongs(principal, *owner)])
        }
        Action::SteerDispatch { owner } | Action::CreateWorkspace { owner } => {
            first_of([works(principal), belongs(principal, *owner)])
        }
        Action::StartDispatch { subject, trigger, mounts } => {
            first_of([works(principal), belongs(principal, *subject), mountable(*trigger, mounts)])
        }
        Action::ReadWorkspace { role } | Action::ReadMembers { role } => {
            first_of([reads(principal), at_least(principal, *role, Role::Viewer)])
        }
        Action::UseWorkspace { role } => {
            first_of([works(principal), at_least(principal, *role, Role::Viewer)])
        }
        Action::WriteWorkspace { role } | Action::DecideProposal { role } => {
            first_of([works(principal), at_least(principal, *role, Role::Contributor)])
        }
        // What somebody suggests who may not write any more is an owner's to take over.
        Action::ApproveProposal { role, maker } => {
            let may_write = maker.is_some_and(|maker| maker >= Role::Contributor);
            let least = if may_write { Role::Contributor } else { Role::Owner };
            first_of([works(principal), at_least(principal, *role, least)])
        }
        Action::ConfigureWorkspace { role }
        | Action::DeleteWorkspace { role }
        | Action::ManageMembers { role }
        | Action::LandPush { role } => {
            first_of([works(principal), at_least(principal, *role, Role::Owner)])
        }
        Action::AnswerInvite => works(principal),
        Action::ReadKeys { owner } | Action::RevokeKey { owner } => {
            first_of([works(principal), belongs(principal, *owner)])
        }
        Action::MintKey { owner, scopes } => first_of([
            works(principal),
            belongs(principal, *owner),
            no_more_than(principal, scopes),
        ]),
        Action::ReadEndpoints { owner } => first_of([reads(principal), is_own(principal, *owner)]),
        Action::KeepEndpoint { owner } | Action::UseEndpoint { owner } => {
            first_of([works(principal), is_own(principal, *owner)])
        }
        Action::ReadPeople | Action::AddPerson | Action::TestRunner | Action::ReadOperations => {
            administers(principal)
        }
    }
}

/// The first refusal, or yes.
fn first_of<const N: usize>(answers: [Decision; N]) -> Decision {
    answers.into_iter().find(|answer| *answer != Decision::Allow).unwrap_or(Decision::Allow)
}

fn when(holds: bool, otherwise: Reason) -> Decision {
    if holds { Decision::Allow } else { Decision::Deny(otherwise) }
}

fn administers(principal: &Principal) -> Decision {
    when(principal.scopes.contains(&Scope::Admin), Reason::ScopeMissing(Scope::Admin))
}

/// Any scope lets one read; which things, [`belongs`] says.
fn reads(principal: &Principal) -> Decision {
    when(!principal.scopes.is_empty(), Reason::ScopeMissing(Scope::Read))
}

fn works(principal: &Principal) -> Decision {
    let holds = [Scope::Agent, Scope::Admin].iter().any(|scope| principal.scopes.contains(scope));
    when(holds, Reason::ScopeMissing(Scope::Agent))
}

fn belongs(principal: &Principal, owner: UserId) -> Decision {
    when(principal.is(owner) || principal.scopes.contains(&Scope::Admin), Reason::NotYours)
}

/// Not even an administrator stands in for somebody here: what they entrusted to us is theirs.
fn is_own(principal: &Principal, owner: UserId) -> Decision {
    when(principal.is(owner), Reason::NotYours)
}

/// A member of at least this role. To one who is no member there is no such workspace.
fn at_least(principal: &Principal, role: Option<Role>, least: Role) -> Decision {
    match role {
        _ if principal.scopes.contains(&Scope::Admin) => Decision::Allow,
        None => Decision::Deny(Reason::NotYours),
        Some(role) => when(role >= least, Reason::RoleTooLow),
    }
}

/// A dispatch sees only workspaces of which its subject is a member, changes none in which the
/// subject may only read, and writes only where its trigger is trusted. Not even an administrator may
/// lift any of it.
fn mountable(trigger: Trigger, mounts: &[MountAsk]) -> Decision {
    let denied = |reason| {
        let suits = |mount: &MountAsk| MountAsk::suits(mount.role, mount.mode);
        mounts.iter().any(|mount| suits(mount) == Decision::Deny(reason))
    };
    let writes = mounts.iter().any(|mount| mount.mode == Mode::ReadWrite);
    first_of([
        when(!denied(Reason::NotYours), Reason::NotYours),
        when(!denied(Reason::RoleTooLow), Reason::RoleTooLow),
        when(
            !(writes && trigger.input_trust() == InputTrust::Untrusted),
            Reason::UntrustedMayNotWrite,
        ),
    ])
}

fn no_more_than(principal: &Principal, scopes: &BTreeSet<Scope>) -> Decision {
    let implied = |scope: &Scope| match scope {
        Scope::Read => !principal.scopes.is_empty(),
        Scope::Agent | Scope::Admin => principal.scopes.contains(scope),
    };
    let admin = principal.scopes.contains(&Scope::Admin);
    when(admin || scopes.iter().all(implied), Reason::MoreThanOwn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Allow, Deny};

    const JANE: u128 = 1;
    const JOE: u128 = 2;

    fn user(bits: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(bits))
    }

    /// What (nobody, a reader, an agent's key, a stranger's agent key, the administrator) may do to
    /// something of Jane's.
    fn check(action: &Action, expected: [Decision; 5]) {
        let principals = [
            Principal::person(user(JANE), []),
            Principal::person(user(JANE), [Scope::Read]),
            Principal::person(user(JANE), [Scope::Agent]),
            Principal::person(user(JOE), [Scope::Agent]),
            Principal::administrator(),
        ];
        let answers = principals.map(|principal| authorize(&principal, action));
        assert_eq!(answers, expected, "{action:?}");
    }

    #[test]
    fn every_action_has_its_line_in_the_table() {
        let jane = user(JANE);
        let no = |scope| Deny(Reason::ScopeMissing(scope));
        let (no_read, no_agent, no_admin) = (no(Scope::Read), no(Scope::Agent), no(Scope::Admin));
        let not_yours = Deny(Reason::NotYours);
        for action in [Action::ReadSelf, Action::ReadCatalog] {
            check(&action, [no_read, Allow, Allow, Allow, Allow]);
        }
        for action in [Action::ReadDispatch { owner: jane }, Action::ReadUsage { owner: jane }] {
            check(&action, [no_read, Allow, Allow, not_yours, Allow]);
        }
        check(&Action::AnswerInvite, [no_agent, no_agent, Allow, Allow, Allow]);
        for action in [
            Action::SteerDispatch { owner: jane },
            Action::CreateWorkspace { owner: jane },
            Action::ReadKeys { owner: jane },
            Action::RevokeKey { owner: jane },
            start(Trigger::Message, &[(Some(Role::Owner), Mode::ReadWrite)]),
            mint([Scope::Agent, Scope::Read]),
        ] {
            check(&action, [no_agent, no_agent, Allow, not_yours, Allow]);
        }
        check(
            &Action::ReadEndpoints { owner: jane },
            [no_read, Allow, Allow, not_yours, not_yours],
        );
        for action in [Action::KeepEndpoint { owner: jane }, Action::UseEndpoint { owner: jane }] {
            check(&action, [no_agent, no_agent, Allow, not_yours, not_yours]);
        }
        check(
            &mint([Scope::Admin]),
            [no_agent, no_agent, Deny(Reason::MoreThanOwn), not_yours, Allow],
        );
        for action in
            [Action::ReadPeople, Action::AddPerson, Action::TestRunner, Action::ReadOperations]
        {
            check(&action, [no_admin, no_admin, no_admin, no_admin, Allow]);
        }
    }

    /// What (nobody, a viewer, a contributor, an owner, a contributor with a key that only reads, an
    /// administrator who is no member) may do in a workspace.
    fn check_roles(action: impl Fn(Option<Role>) -> Action, expected: [Decision; 6]) {
        let agent = Principal::person(user(JANE), [Scope::Agent]);
        let reader = Principal::person(user(JANE), [Scope::Read]);
        let administrator = Principal::administrator();
        let asked = [
            (&agent, None),
            (&agent, Some(Role::Viewer)),
            (&agent, Some(Role::Contributor)),
            (&agent, Some(Role::Owner)),
            (&reader, Some(Role::Contributor)),
            (&administrator, None),
        ];
        let answers = asked.map(|(principal, role)| authorize(principal, &action(role)));
        assert_eq!(answers, expected, "{:?}", action(None));
    }

    #[test]
    fn a_role_decides_what_a_member_may_do_in_a_workspace() {
        let no_agent = Deny(Reason::ScopeMissing(Scope::Agent));
        let (not_yours, too_low) = (Deny(Reason::NotYours), Deny(Reason::RoleTooLow));
        let all = [not_yours, Allow, Allow, Allow, Allow, Allow];
        check_roles(|role| Action::ReadWorkspace { role }, all);
        check_roles(|role| Action::ReadMembers { role }, all);
        let members = [not_yours, Allow, Allow, Allow, no_agent, Allow];
        check_roles(|role| Action::UseWorkspace { role }, members);
        let writers = [not_yours, too_low, Allow, Allow, no_agent, Allow];
        check_roles(|role| Action::WriteWorkspace { role }, writers);
        check_roles(|role| Action::DecideProposal { role }, writers);
        let owners = [not_yours, too_low, too_low, Allow, no_agent, Allow];
        check_roles(|role| Action::ConfigureWorkspace { role }, owners);
        check_roles(|role| Action::DeleteWorkspace { role }, owners);
        check_roles(|role| Action::ManageMembers { role }, owners);
        check_roles(|role| Action::LandPush { role }, owners);
        // What one suggested who may not write any more is an owner's to take over.
        for (maker, expected) in [
            (Some(Role::Owner), writers),
            (Some(Role::Contributor), writers),
            (Some(Role::Viewer), owners),
            (None, owners),
        ] {
            check_roles(|role| Action::ApproveProposal { role, maker }, expected);
        }
    }

    const OWNER: Option<Role> = Some(Role::Owner);

    #[test]
    fn input_from_outside_never_mounts_for_writing_whoever_asks() {
        let denied = Deny(Reason::UntrustedMayNotWrite);
        for trigger in [Trigger::Event, Trigger::Transcription] {
            for principal in
                [Principal::person(user(JANE), [Scope::Agent]), Principal::administrator()]
            {
                let writing = start(trigger, &[(OWNER, Mode::Propose), (OWNER, Mode::ReadWrite)]);
                assert_eq!(authorize(&principal, &writing), denied);
                let proposing = start(trigger, &[(OWNER, Mode::Propose), (OWNER, Mode::ReadOnly)]);
                assert_eq!(authorize(&principal, &proposing), Allow);
            }
        }
    }

    #[test]
    fn a_dispatch_never_mounts_what_its_subject_is_no_member_of() {
        for mode in [Mode::ReadOnly, Mode::Propose, Mode::ReadWrite] {
            let foreign = start(Trigger::Message, &[(OWNER, Mode::ReadWrite), (None, mode)]);
            assert_eq!(authorize(&Principal::administrator(), &foreign), Deny(Reason::NotYours));
        }
    }

    #[test]
    fn a_viewer_mounts_read_only_and_nothing_else() {
        let viewer = Some(Role::Viewer);
        for principal in [Principal::person(user(JANE), [Scope::Agent]), Principal::administrator()]
        {
            for mode in [Mode::Propose, Mode::ReadWrite] {
                let writing = start(Trigger::Message, &[(OWNER, mode), (viewer, mode)]);
                assert_eq!(authorize(&principal, &writing), Deny(Reason::RoleTooLow));
            }
            let reading = start(Trigger::Message, &[(viewer, Mode::ReadOnly)]);
            assert_eq!(authorize(&principal, &reading), Allow);
        }
        assert_eq!(MountAsk::usual(Role::Viewer, Trigger::Message), Mode::ReadOnly);
        assert_eq!(MountAsk::usual(Role::Viewer, Trigger::Event), Mode::ReadOnly);
        assert_eq!(MountAsk::usual(Role::Contributor, Trigger::Message), Mode::ReadWrite);
        assert_eq!(MountAsk::usual(Role::Owner, Trigger::Event), Mode::Propose);
    }

    fn start(trigger: Trigger, mounts: &[(Option<Role>, Mode)]) -> Action {
        let mounts = mounts.iter().map(|&(role, mode)| MountAsk { role, mode }).collect();
        Action::StartDispatch { subject: user(JANE), trigger, mounts }
    }

    fn mint<const N: usize>(scopes: [Scope; N]) -> Action {
        Action::MintKey { owner: user(JANE), scopes: BTreeSet::from(scopes) }
    }
}
