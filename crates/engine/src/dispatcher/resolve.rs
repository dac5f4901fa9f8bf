//! From what people write to what a dispatch needs: names become workspaces, what is not said becomes
//! what is usual.

use model::{Launcher, Mode, Mount, Trigger, UserId};
use trust::{Action, MountAsk, authorize};

use super::ask::{Ask, Begin, Message, MountWish, WorkspaceKey};
use super::error::DispatchError;
use super::{Dispatcher, Resume};
use crate::port::Workspace;

impl Dispatcher {
    /// A message as a dispatch that it becomes where nobody lives.
    pub(super) async fn ask_of(&self, message: Message) -> Result<Ask, DispatchError> {
        let Message { principal, subject, session, turn, prompt, runner, mounts, limits } = message;
        let parts = &self.world.parts;
        let known = match (&runner, session) {
            (None, Some(session)) => parts.ledger.session(session).await?.map(|it| it.runner),
            _ => None,
        };
        let runner = runner.or(known).unwrap_or_else(|| parts.settings.runner.clone());
        let begin = match session {
            Some(session) => Begin::Session { session, prompt },
            None => Begin::Prompt(prompt),
        };
        Ok(Ask {
            launcher: Launcher::User(principal.subject.unwrap_or(subject)),
            principal,
            subject,
            trigger: Trigger::Message,
            runner,
            mounts,
            begin,
            turn,
            context: model::invocation::Context::default(),
            tools: vec![],
            limits,
            idempotency: None,
        })
    }

    /// A dispatch that is over as one that goes on.
    pub(super) async fn ask_again(&self, resume: Resume) -> Result<Ask, DispatchError> {
        let Resume { principal, dispatch, turn, prompt } = resume;
        let record = self.record(&principal, dispatch).await?;
        if !record.state.is_ended() {
            return Err(DispatchError::NotOver(dispatch));
        }
        let before = record.dispatch;
        Ok(Ask {
            launcher: Launcher::User(principal.subject.unwrap_or(before.subject)),
            principal,
            subject: before.subject,
            trigger: before.trigger,
            runner: before.runner,
            mounts: before.mounts.iter().map(wish).collect(),
            begin: Begin::Session { session: before.session, prompt },
            turn,
            context: model::invocation::Context::default(),
            tools: before.tools,
            limits: Some(before.limits),
            idempotency: None,
        })
    }

    /// The workspaces as they will be mounted, once the asker may.
    pub(super) async fn mounts(&self, ask: &Ask) -> Result<Vec<Mount>, DispatchError> {
        let own = self.world.parts.directory.workspaces(ask.subject).await?;
        let wishes = self.wishes(ask, &own).await?;
        let mut mounts: Vec<(Mount, UserId)> = vec![];
        for wish in &wishes {
            let workspace = self.workspace(wish, &own).await?;
            if mounts.iter().any(|(mount, _)| mount.workspace == workspace.id) {
                return Err(DispatchError::Mounts);
            }
            let mode = wish.mode.unwrap_or_else(|| ask.trigger.default_mode());
            let Workspace { id, name, owner, .. } = workspace;
            mounts.push((Mount { workspace: id, name, mode, base: None }, owner));
        }
        let asked =
            mounts.iter().map(|(mount, owner)| MountAsk { owner: *owner, mode: mount.mode });
        let action = Action::StartDispatch {
            subject: ask.subject,
            trigger: ask.trigger,
            mounts: asked.collect(),
        };
        authorize(&ask.principal, &action).allowed()?;
        let mut based = Vec::with_capacity(mounts.len());
        for (mount, _) in mounts {
            let base = self.world.parts.workspaces.head(mount.workspace).await?;
            based.push(Mount { base, ..mount });
        }
        Ok(based)
    }

    /// What is to be mounted: as asked, or as in the conversation before, or the subject's first.
    async fn wishes(&self, ask: &Ask, own: &[Workspace]) -> Result<Vec<MountWish>, DispatchError> {
        if !ask.mounts.is_empty() {
            return Ok(ask.mounts.clone());
        }
        if let Begin::Session { session, .. } = &ask.begin
            && let Some(session) = self.world.parts.ledger.session(*session).await?
        {
            let last = match session.dispatch {
                Some(dispatch) => self.world.parts.ledger.record(dispatch).await?,
                None => None,
            };
            return Ok(match last {
                Some(record) => record.dispatch.mounts.iter().map(wish).collect(),
                None => vec![of(WorkspaceKey::Id(session.home))],
            });
        }
        let first = own.first().ok_or(DispatchError::Mounts)?;
        Ok(vec![of(WorkspaceKey::Id(first.id))])
    }

    async fn workspace(
        &self,
        wish: &MountWish,
        own: &[Workspace],
    ) -> Result<Workspace, DispatchError> {
        let found = own.iter().find(|workspace| match &wish.workspace {
            WorkspaceKey::Id(id) => workspace.id == *id,
            WorkspaceKey::Name(name) => workspace.name == *name,
        });
        match (found, &wish.workspace) {
            (Some(workspace), _) => Ok(workspace.clone()),
            (None, WorkspaceKey::Id(id)) => {
                let other = self.world.parts.directory.workspace(*id).await?;
                other.ok_or_else(|| DispatchError::UnknownWorkspace(id.to_string()))
            }
            (None, WorkspaceKey::Name(name)) => {
                Err(DispatchError::UnknownWorkspace(name.to_string()))
            }
        }
    }
}

fn of(workspace: WorkspaceKey) -> MountWish {
    MountWish { workspace, mode: None }
}

/// The same mount for the next dispatch.
fn wish(mount: &Mount) -> MountWish {
    let mode: Option<Mode> = Some(mount.mode);
    MountWish { workspace: WorkspaceKey::Id(mount.workspace), mode }
}
