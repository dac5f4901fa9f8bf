//! The one yes or no. A table in code: every action of every route and verb stands here once.
//!
//! Deny is the default: an action is allowed because a line below says so.

use std::collections::BTreeSet;

use model::{InputTrust, Mode, Trigger, UserId};
use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Whose workspace it is.
    pub owner: UserId,
    /// What is to be done to it.
    pub mode: Mode,
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
        /// Whose it is.
        owner: UserId,
    },
    /// Change a workspace from outside a dispatch: upload, restore, rename.
    WriteWorkspace {
        /// Whose it is.
        owner: UserId,
    },
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
    /// See who there is.
    ReadPeople,
    /// Add a person.
    AddPerson,
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
    /// What came from outside may never write.
    #[error("what was started by input from outside may only read or propose")]
    UntrustedMayNotWrite,
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
        Action::ReadDispatch { owner } | Action::ReadWorkspace { owner } => {
            first_of([reads(principal), belongs(principal, *owner)])
        }
        Action::SteerDispatch { owner }
        | Action::WriteWorkspace { owner }
        | Action::CreateWorkspace { owner } => {
            first_of([works(principal), belongs(principal, *owner)])
        }
        Action::StartDispatch { subject, trigger, mounts } => first_of([
            works(principal),
            belongs(principal, *subject),
            mountable(*subject, *trigger, mounts),
        ]),
        Action::ReadKeys { owner } | Action::RevokeKey { owner } => {
            first_of([works(principal), belongs(principal, *owner)])
        }
        Action::MintKey { owner, scopes } => first_of([
            works(principal),
            belongs(principal, *owner),
            no_more_than(principal, scopes),
        ]),
        Action::ReadPeople | Action::AddPerson | Action::ReadOperations => administers(principal),
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

/// A dispatch sees only its subject's workspaces, and writes only where its trigger is trusted.
/// Not even an administrator may lift either.
fn mountable(subject: UserId, trigger: Trigger, mounts: &[MountAsk]) -> Decision {
    let foreign = mounts.iter().any(|mount| mount.owner != subject);
    let writes = mounts.iter().any(|mount| mount.mode == Mode::ReadWrite);
    first_of([
        when(!foreign, Reason::NotYours),
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
        for action in [Action::ReadDispatch { owner: jane }, Action::ReadWorkspace { owner: jane }]
        {
            check(&action, [no_read, Allow, Allow, not_yours, Allow]);
        }
        for action in [
            Action::SteerDispatch { owner: jane },
            Action::WriteWorkspace { owner: jane },
            Action::CreateWorkspace { owner: jane },
            Action::ReadKeys { owner: jane },
            Action::RevokeKey { owner: jane },
            start(Trigger::Message, &[(JANE, Mode::ReadWrite)]),
            mint([Scope::Agent, Scope::Read]),
        ] {
            check(&action, [no_agent, no_agent, Allow, not_yours, Allow]);
        }
        check(
            &mint([Scope::Admin]),
            [no_agent, no_agent, Deny(Reason::MoreThanOwn), not_yours, Allow],
        );
        for action in [Action::ReadPeople, Action::AddPerson, Action::ReadOperations] {
            check(&action, [no_admin, no_admin, no_admin, no_admin, Allow]);
        }
    }

    #[test]
    fn input_from_outside_never_mounts_for_writing_whoever_asks() {
        let denied = Deny(Reason::UntrustedMayNotWrite);
        for trigger in [Trigger::Event, Trigger::Transcription] {
            for principal in
                [Principal::person(user(JANE), [Scope::Agent]), Principal::administrator()]
            {
                let writing = start(trigger, &[(JANE, Mode::Propose), (JANE, Mode::ReadWrite)]);
                assert_eq!(authorize(&principal, &writing), denied);
                let proposing = start(trigger, &[(JANE, Mode::Propose), (JANE, Mode::ReadOnly)]);
                assert_eq!(authorize(&principal, &proposing), Allow);
            }
        }
    }

    #[test]
    fn a_dispatch_never_mounts_what_is_not_its_subjects() {
        for mode in [Mode::ReadOnly, Mode::Propose, Mode::ReadWrite] {
            let foreign = start(Trigger::Message, &[(JANE, Mode::ReadWrite), (JOE, mode)]);
            assert_eq!(authorize(&Principal::administrator(), &foreign), Deny(Reason::NotYours));
        }
    }

    fn start(trigger: Trigger, mounts: &[(u128, Mode)]) -> Action {
        let mounts =
            mounts.iter().map(|&(owner, mode)| MountAsk { owner: user(owner), mode }).collect();
        Action::StartDispatch { subject: user(JANE), trigger, mounts }
    }

    fn mint<const N: usize>(scopes: [Scope; N]) -> Action {
        Action::MintKey { owner: user(JANE), scopes: BTreeSet::from(scopes) }
    }
}
