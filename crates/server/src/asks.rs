//! From what a caller sends to what the dispatcher is asked. Identity comes from the caller's key,
//! never from a body.

use std::fmt::Write;

use engine::dispatcher::{Ask, Begin, DispatchError, Message, MountWish, WorkspaceKey};
use model::invocation::{Entrypoint, Invocation, StartRef};
use model::{Launcher, Mode, Session, ToolRef};
use tracing::error;

use crate::access::Caller;
use crate::api::Api;
use crate::chat::{Chat, Choice, find, untested};
use crate::invocations::Chosen;
use crate::problem::{
    CONFLICT, INTERNAL, INVALID, NO_RECORDING, NOT_CONFORMANT, NOT_FOUND, Problem, REUSED_KEY,
    RUNNER_NOT_INSTALLED, RUNNER_NOT_TESTED, TOO_LARGE, TOO_MANY, UNAVAILABLE, UNKNOWN_DISPATCH,
    UNKNOWN_RUNNER, UNKNOWN_SESSION, UNKNOWN_TOOL, UNKNOWN_WORKSPACE, UNTRUSTED_WRITE,
};

/// A chat as something said in a conversation.
pub(crate) fn message(
    caller: &Caller,
    chat: Chat,
    choice: Choice,
    session: Option<&Session>,
) -> Result<Message, Problem> {
    let budget = choice.budget();
    Ok(Message {
        principal: caller.principal.clone(),
        subject: session.map_or(caller.subject, |session| session.subject),
        session: session.map(|session| session.id),
        turn: chat.turn_id,
        prompt: chat.prompt,
        runner: choice.runner,
        mounts: choice.workspace.as_deref().map(wishes).transpose()?.unwrap_or_default(),
        limits: None,
        permission: choice.permissions,
        budget,
        model: choice.model,
        tools: choice.tools.map(|named| tools(named.split(','))).transpose()?,
        record: choice.record,
        untested: untested(choice.untested),
    })
}

/// The tools that are named; empty names count for nothing.
fn tools<'a>(named: impl Iterator<Item = &'a str>) -> Result<Vec<ToolRef>, Problem> {
    let named = named.map(str::trim).filter(|named| !named.is_empty());
    let named = named.map(str::parse::<ToolRef>);
    named.collect::<Result<_, _>>().map_err(|bad| Problem::new(INVALID, bad.to_string()))
}

/// A `unit.v1` as a dispatch.
pub(crate) async fn dispatch(
    api: &Api,
    caller: &Caller,
    invocation: Invocation,
    chosen: Chosen,
) -> Result<Ask, Problem> {
    if invocation.workspaces.is_empty() {
        return Err(Problem::new(NOT_CONFORMANT, "workspaces: at least one"));
    }
    let mut mounts = Vec::new();
    for wished in &invocation.workspaces {
        mounts.push(MountWish { workspace: WorkspaceKey::parse(&wished.id)?, mode: wished.mode });
    }
    let begin = match invocation.start {
        StartRef::Entrypoint(Entrypoint::Inline(prompt)) => Begin::Prompt(prompt),
        StartRef::Entrypoint(Entrypoint::Path(path)) => Begin::File(path),
        StartRef::Session(session) => {
            let session = find(&*api.ledger, &session.reference).await?;
            Begin::Session { session: session.id, prompt: GO_ON.to_owned() }
        }
    };
    let budget = chosen.budget();
    Ok(Ask {
        principal: caller.principal.clone(),
        subject: caller.subject,
        launcher: Launcher::User(caller.subject),
        trigger: invocation.trigger,
        runner: invocation.runner,
        mounts,
        begin,
        turn: None,
        context: invocation.context,
        tools: tools(invocation.tools.iter().map(String::as_str))?,
        model: chosen.model,
        limits: None,
        permission: chosen.permissions.unwrap_or_default(),
        budget,
        record: chosen.record,
        untested: untested(chosen.untested),
        idempotency: None,
    })
}

/// What is said where a conversation is continued without words, for which `unit.v1` has no place.
pub(crate) const GO_ON: &str = "Continue where you left off.";

/// `name[:ro|rw|propose]`, separated by commas.
fn wishes(text: &str) -> Result<Vec<MountWish>, Problem> {
    text.split(',').map(|part| wish(part.trim())).collect()
}

fn wish(text: &str) -> Result<MountWish, Problem> {
    let mode = |mode: &str| match mode {
        "ro" => Some(Mode::ReadOnly),
        "rw" => Some(Mode::ReadWrite),
        "propose" => Some(Mode::Propose),
        _ => None,
    };
    let (name, mode) = match text.rsplit_once(':').map(|(name, tail)| (name, mode(tail))) {
        Some((name, Some(mode))) => (name, Some(mode)),
        Some((_, None)) | None => (text, None),
    };
    Ok(MountWish { workspace: WorkspaceKey::parse(name)?, mode })
}

impl From<DispatchError> for Problem {
    fn from(refusal: DispatchError) -> Self {
        let told = |kind| Self::new(kind, refusal.to_string());
        match &refusal {
            DispatchError::Denied(reason) => (*reason).into(),
            DispatchError::UnknownSubject | DispatchError::NoQuestion { .. } => told(NOT_FOUND),
            DispatchError::UnknownRunner(_) => {
                let mut words = refusal.to_string();
                // Writing to a text cannot fail.
                let _written = write!(words, "; GET /agent/runners lists them");
                Self::new(UNKNOWN_RUNNER, words)
            }
            DispatchError::UnknownTool(_) => told(UNKNOWN_TOOL),
            DispatchError::RunnerNotInstalled { .. } => told(RUNNER_NOT_INSTALLED),
            DispatchError::RunnerNotTested { .. } => told(RUNNER_NOT_TESTED),
            DispatchError::NoRecording => told(NO_RECORDING),
            DispatchError::UnknownWorkspace(_) => told(UNKNOWN_WORKSPACE),
            DispatchError::UnknownSession(_) => told(UNKNOWN_SESSION),
            DispatchError::UnknownDispatch(_) => told(UNKNOWN_DISPATCH),
            DispatchError::UnknownPlan { .. }
            | DispatchError::PromptEmpty
            | DispatchError::CannotAsk(_)
            | DispatchError::CannotCall(_)
            | DispatchError::UnknownModel(_)
            | DispatchError::NoSuchOption { .. }
            | DispatchError::Mounts
            | DispatchError::Limit { .. } => told(INVALID),
            DispatchError::PromptTooLong { .. } => told(TOO_LARGE),
            DispatchError::OtherRunner { .. }
            | DispatchError::Over(_)
            | DispatchError::NotOver(_)
            | DispatchError::NoTurn(_) => told(CONFLICT),
            DispatchError::NotIsolated { .. } => told(UNTRUSTED_WRITE),
            DispatchError::TooMany { retry_after, .. }
            | DispatchError::TooManyMessages { retry_after, .. } => {
                told(TOO_MANY).retry_after(*retry_after)
            }
            DispatchError::Conflict { .. } => told(REUSED_KEY),
            DispatchError::ShuttingDown => {
                told(UNAVAILABLE).retry_after(std::time::Duration::from_secs(1))
            }
            DispatchError::Ledger(_) => match refusal {
                DispatchError::Ledger(cause) => cause.into(),
                _ => Self::plain(INTERNAL),
            },
            DispatchError::Internal => Self::plain(INTERNAL),
            DispatchError::Workspace(cause) => {
                error!(cause = %cause, "a workspace cannot be read");
                Self::new(INTERNAL, "a workspace cannot be read; the server's log says why")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Option<Mode>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(name, mode)| MountWish {
                workspace: WorkspaceKey::parse(name).expect("a name"),
                mode,
            })
            .collect();
        assert_eq!(wishes(text).expect("readable"), expected, "{text}");
    }

    #[test]
    fn workspaces_are_named_with_or_without_a_mode() {
        check("home", &[("home", None)]);
        check("home:ro, b:propose", &[("home", Some(Mode::ReadOnly)), ("b", Some(Mode::Propose))]);
        check("a:b:rw", &[("a:b", Some(Mode::ReadWrite))]);
        check("a:b", &[("a:b", None)]);
        for bad in ["", ",", "../x", "a b:ro", ":ro"] {
            assert!(wishes(bad).is_err(), "{bad}");
        }
    }
}
