//! What people and programs ask for, and what is checked of it before anything is looked up.

use std::time::Duration;

use model::invocation::Context;
use model::limit::{MOUNTS_MAX, PROMPT_BYTES_MAX};
use model::{
    Budget, Launcher, Limits, Mode, Permission, RunnerName, SessionId, ToolRef, Trigger, TurnId,
    UserId, WorkspaceId, WorkspaceName,
};
use trust::Principal;

use super::error::DispatchError;

/// A workspace, as an asker names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WorkspaceKey {
    /// By its id.
    Id(WorkspaceId),
    /// By what the subject calls it.
    Name(WorkspaceName),
}

impl WorkspaceKey {
    /// Reads an id, or else a name.
    pub fn parse(text: &str) -> Result<Self, DispatchError> {
        let unknown = || DispatchError::UnknownWorkspace(text.chars().take(64).collect());
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Name).map_err(|_| unknown()),
        }
    }
}

/// A workspace to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountWish {
    /// Which one.
    pub workspace: WorkspaceKey,
    /// What may be done to it; what is usual for the trigger where absent.
    pub mode: Option<Mode>,
}

/// Where a dispatch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// A new conversation with these words.
    Prompt(String),
    /// A new conversation with what stands in this file of the first workspace.
    File(String),
    /// A conversation that goes on in a fresh sandbox.
    Session {
        /// Which one.
        session: SessionId,
        /// What is said next.
        prompt: String,
    },
}

/// What to do about a runner that failed its last test on this server, or was never tested as it is
/// now, where a conversation would begin with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Untested {
    /// Refuse it: nobody is to take such a runner by accident.
    #[default]
    Refuse,
    /// Take it: the asker said so.
    Take,
}

/// A dispatch as asked for: always a sandbox of its own.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks, as their proof says.
    pub principal: Principal,
    /// On whose behalf it runs.
    pub subject: UserId,
    /// What starts it.
    pub launcher: Launcher,
    /// Why.
    pub trigger: Trigger,
    /// What drives the agent.
    pub runner: RunnerName,
    /// The workspaces, in order; none: those of the conversation, or else the subject's first.
    pub mounts: Vec<MountWish>,
    /// Where it begins.
    pub begin: Begin,
    /// The id of the first turn; one is made where absent.
    pub turn: Option<TurnId>,
    /// What triggered it, as it was told.
    pub context: Context,
    /// The tools behind the gate that it may call.
    pub tools: Vec<ToolRef>,
    /// The model that is chosen for it; the usual one where absent.
    pub model: Option<String>,
    /// What it may use; the server's usual limits where absent.
    pub limits: Option<Limits>,
    /// Whether its agent asks before it acts.
    pub permission: Permission,
    /// How much of models it may use; never more than the server allows.
    pub budget: Budget,
    /// Whether what models are asked and answer is kept.
    pub record: bool,
    /// What to do about a runner that did not pass its test.
    pub untested: Untested,
    /// Makes a repeated request the same request. 1 to 200 bytes.
    pub idempotency: Option<String>,
}

/// Something said in a conversation: to its living agent, or else in a fresh sandbox.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who says it, as their proof says.
    pub principal: Principal,
    /// Whose conversation it is.
    pub subject: UserId,
    /// Which one; a new one where absent.
    pub session: Option<SessionId>,
    /// The turn's id: said again, it is not run again. One is made where absent.
    pub turn: Option<TurnId>,
    /// What is said.
    pub prompt: String,
    /// What drives the agent; that of the conversation, or else the server's usual one, where absent.
    pub runner: Option<RunnerName>,
    /// The workspaces of a fresh sandbox; none: those of the conversation, or else the subject's first.
    pub mounts: Vec<MountWish>,
    /// What a fresh sandbox may use; the server's usual limits where absent.
    pub limits: Option<Limits>,
    /// Whether the agent of a fresh sandbox asks before it acts; that of the conversation where absent.
    pub permission: Option<Permission>,
    /// How much of models a fresh sandbox may use; never more than the server allows.
    pub budget: Budget,
    /// The tools behind the gate that the agent of a fresh sandbox may call; those of the conversation
    /// that there still are, where absent.
    pub tools: Option<Vec<ToolRef>>,
    /// The model that is chosen for the agent of a fresh sandbox; that of the conversation, if there
    /// still is one, where absent.
    pub model: Option<String>,
    /// Whether what models are asked and answer in a fresh sandbox is kept.
    pub record: bool,
    /// What to do about a runner that did not pass its test.
    pub untested: Untested,
}

/// Refuses a prompt that is empty or too long.
pub(crate) fn check_prompt(prompt: &str) -> Result<(), DispatchError> {
    if prompt.trim().is_empty() {
        return Err(DispatchError::PromptEmpty);
    }
    if prompt.len() > PROMPT_BYTES_MAX {
        return Err(DispatchError::PromptTooLong { bytes: prompt.len() });
    }
    Ok(())
}

/// Refuses too many workspaces, or one that is named twice by the same key.
pub(crate) fn check_mounts(mounts: &[MountWish]) -> Result<(), DispatchError> {
    let twice = mounts
        .iter()
        .enumerate()
        .any(|(at, mount)| mounts[..at].iter().any(|earlier| earlier.workspace == mount.workspace));
    if mounts.len() > MOUNTS_MAX || twice { Err(DispatchError::Mounts) } else { Ok(()) }
}

/// Refuses limits outside the ranges that [`Limits`] documents.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), DispatchError> {
    const MIB: u64 = 1 << 20;
    const TIB: u64 = 1 << 40;
    const DAY: Duration = Duration::from_hours(24);
    let second = Duration::from_secs(1);
    let rules = [
        (
            "memory_bytes_max",
            (16 * MIB..=TIB).contains(&limits.memory_bytes_max),
            "16 MiB to 1 TiB",
        ),
        ("pids_max", (4..=32_768).contains(&limits.pids_max), "4 to 32768"),
        ("cpu_milli_max", (10..=1_024_000).contains(&limits.cpu_milli_max), "10 to 1024000"),
        ("scratch_bytes_max", (MIB..=TIB).contains(&limits.scratch_bytes_max), "1 MiB to 1 TiB"),
        (
            "scratch_inodes_max",
            (100..=10_000_000).contains(&limits.scratch_inodes_max),
            "100 to 10000000",
        ),
        ("output_bytes_max", (MIB..=TIB).contains(&limits.output_bytes_max), "1 MiB to 1 TiB"),
        ("idle", limits.idle <= DAY, "0 s to 24 h"),
        ("turn", (second..=DAY).contains(&limits.turn), "1 s to 24 h"),
        ("lifetime", (second..=7 * DAY).contains(&limits.lifetime), "1 s to 7 days"),
    ];
    match rules.into_iter().find(|(_, holds, _)| !holds) {
        None => Ok(()),
        Some((name, _, range)) => Err(DispatchError::Limit { name, range }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_says_something_and_has_a_bound() {
        assert!(check_prompt("hi").is_ok());
        assert!(matches!(check_prompt(" \n"), Err(DispatchError::PromptEmpty)));
        let long = "x".repeat(PROMPT_BYTES_MAX + 1);
        assert!(matches!(check_prompt(&long), Err(DispatchError::PromptTooLong { .. })));
    }

    #[test]
    fn a_workspace_is_named_by_id_or_name_and_once() {
        let wish = |text: &str| MountWish {
            workspace: WorkspaceKey::parse(text).expect("a name"),
            mode: None,
        };
        assert!(check_mounts(&[wish("home"), wish("work")]).is_ok());
        assert!(check_mounts(&[wish("home"), wish("home")]).is_err());
        let many: Vec<_> = (0..=MOUNTS_MAX).map(|n| wish(&format!("w{n}"))).collect();
        assert!(check_mounts(&many).is_err());
        assert!(WorkspaceKey::parse("../etc").is_err());
        let id = "wsp_01jzr00000fay8vvr14d2pf2db";
        assert!(matches!(WorkspaceKey::parse(id), Ok(WorkspaceKey::Id(_))));
    }

    #[test]
    fn a_limit_outside_its_range_is_named() {
        assert!(check_limits(&Limits::default()).is_ok());
        let check = |edit: fn(&mut Limits), expected| {
            let mut limits = Limits::default();
            edit(&mut limits);
            match check_limits(&limits) {
                Err(DispatchError::Limit { name, .. }) => assert_eq!(name, expected),
                other => panic!("{other:?}"),
            }
        };
        check(|limits| limits.memory_bytes_max = 1, "memory_bytes_max");
        check(|limits| limits.turn = Duration::ZERO, "turn");
        check(|limits| limits.lifetime = Duration::from_hours(200), "lifetime");
        check(|limits| limits.scratch_inodes_max = u64::MAX, "scratch_inodes_max");
    }
}
