//! From what people write to what a dispatch needs: names become workspaces, what is not said becomes
//! what is usual.

use model::limit::MOUNTS_MAX;
use model::{Launcher, Mode, Mount, Role, RunnerName, Trigger, UserId, WorkspaceId, WorkspaceName};
use trust::{Action, MountAsk, authorize};

use super::ask::{Ask, Begin, Message, MountWish, Untested, WorkspaceKey};
use super::error::DispatchError;
use super::{Dispatcher, Resume};
use crate::endpoint::is_own;
use crate::port::{Membership, Workspace};

impl Dispatcher {
    /// A message as a dispatch that it becomes where nobody lives.
    pub(super) async fn ask_of(&self, message: Message) -> Result<Ask, DispatchError> {
        let Message { principal, subject, session, turn, prompt, runner, mounts, .. } = message;
        let parts = &self.world.parts;
        let known = match session {
            Some(session) => parts.ledger.session(session).await?,
            None => None,
        };
        let said =
            message.permission.is_some() && message.tools.is_some() && message.model.is_some();
        let before = match known.as_ref().and_then(|known| known.dispatch) {
            Some(before) if !said => parts.ledger.record(before).await?,
            _ => None,
        };
        let before = before.map(|before| before.dispatch);
        let tools = message.tools.or(before.as_ref().map(|before| self.known_tools(&before.tools)));
        let known_model = before.as_ref().and_then(|before| before.model.clone());
        let before = before.map(|before| before.permission);
        let runner = runner
            .or(known.map(|known| known.runner))
            .unwrap_or_else(|| parts.settings.runner.clone());
        let model = match message.model {
            None => self.still_there(subject, &runner, known_model).await,
            said => said,
        };
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
            tools: tools.unwrap_or_default(),
            model,
            limits: message.limits,
            permission: message.permission.or(before).unwrap_or_default(),
            budget: message.budget,
            record: message.record,
            untested: message.untested,
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
        let model = self.still_there(before.subject, &before.runner, before.model).await;
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
            tools: self.known_tools(&before.tools),
            model,
            limits: Some(before.limits),
            permission: before.permission,
            budget: before.budget,
            record: before.record,
            untested: Untested::Refuse,
            idempotency: None,
        })
    }

    /// The model of a conversation as it goes on. One of the operator's that there is no more becomes the usual one; one
    /// of the person's own never does: what they kept to themselves goes nowhere else.
    async fn still_there(
        &self,
        subject: UserId,
        runner: &RunnerName,
        model: Option<String>,
    ) -> Option<String> {
        let model = model?;
        let gate = &self.world.parts.gate;
        (is_own(&model) || gate.has_model(subject, runner, &model).await).then_some(model)
    }

    /// The workspaces as they will be mounted, once the asker may.
    pub(super) async fn mounts(&self, ask: &Ask) -> Result<Vec<Mount>, DispatchError> {
        let known = self.world.parts.directory.memberships(ask.subject).await?;
        let wishes = self.wishes(ask, &known).await?;
        let mut mounts: Vec<Mount> = vec![];
        let mut asked = vec![];
        for wish in &wishes {
            let (workspace, role) = self.workspace(ask, wish, &known).await?;
            if mounts.iter().any(|mount| mount.workspace == workspace.id) {
                return Err(DispatchError::Mounts);
            }
            let usual = role.map(|role| MountAsk::usual(role, ask.trigger));
            let mode = wish.mode.or(usual).unwrap_or(Mode::ReadOnly);
            asked.push(MountAsk { role, mode });
            let Workspace { id, name, purpose, .. } = workspace;
            let name = free_name(name, &mounts);
            mounts.push(Mount { workspace: id, name, mode, base: None, purpose });
        }
        let action =
            Action::StartDispatch { subject: ask.subject, trigger: ask.trigger, mounts: asked };
        authorize(&ask.principal, &action).allowed()?;
        for mount in &mut mounts {
            mount.base = self.world.parts.workspaces.head(mount.workspace).await?;
        }
        Ok(mounts)
    }

    /// What is to be mounted: as asked, or as in the conversation before, or what is active for the
    /// subject, or their home.
    async fn wishes(
        &self,
        ask: &Ask,
        known: &[Membership],
    ) -> Result<Vec<MountWish>, DispatchError> {
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
        let active = known.iter().filter(|it| it.active).take(MOUNTS_MAX);
        let mut wishes: Vec<MountWish> =
            active.map(|it| of(WorkspaceKey::Id(it.workspace.id))).collect();
        if wishes.is_empty() {
            let first = known.first().ok_or(DispatchError::Mounts)?;
            wishes.push(of(WorkspaceKey::Id(first.workspace.id)));
        }
        Ok(wishes)
    }

    /// The workspace that is meant, and what the subject is in it. Of two with one name, their own
    /// is meant; of two that are others', neither.
    async fn workspace(
        &self,
        ask: &Ask,
        wish: &MountWish,
        known: &[Membership],
    ) -> Result<(Workspace, Option<Role>), DispatchError> {
        let mine = |it: &Membership| (it.workspace.clone(), Some(it.role));
        match &wish.workspace {
            WorkspaceKey::Id(id) => {
                if let Some(found) = known.iter().find(|it| it.workspace.id == *id) {
                    return Ok(mine(found));
                }
                let other = self.world.parts.directory.workspace(*id).await?;
                let other = other.ok_or_else(|| DispatchError::UnknownWorkspace(id.to_string()))?;
                Ok((other, None))
            }
            WorkspaceKey::Name(name) => {
                let unknown = || DispatchError::UnknownWorkspace(name.to_string());
                Membership::named(known, ask.subject, name).map(mine).ok_or_else(unknown)
            }
        }
    }

    /// Where the session file of a new conversation is kept: in the first mounted workspace if it is
    /// the subject's own, else in their home: nobody else's folder holds their conversations.
    pub(super) async fn session_home(
        &self,
        subject: UserId,
        mounts: &[Mount],
    ) -> Result<WorkspaceId, DispatchError> {
        let first = mounts.first().ok_or(DispatchError::Mounts)?.workspace;
        let own = self.world.parts.directory.workspaces(subject).await?;
        let mounted = own.iter().find(|own| own.id == first);
        let home = mounted.or(own.first()).map_or(first, |own| own.id);
        Ok(home)
    }
}

/// The name under which a workspace stands beside those that are mounted already.
fn free_name(name: WorkspaceName, mounts: &[Mount]) -> WorkspaceName {
    let taken = |name: &WorkspaceName| mounts.iter().any(|mount| mount.name == *name);
    let mut numbered = (2..).map(|number| {
        let tail = format!("-{number}");
        let stem = &name.as_str()[..name.as_str().len().min(NAME_BYTES_MAX - tail.len())];
        format!("{stem}{tail}").parse().unwrap_or_else(|_| name.clone())
    });
    if taken(&name) { numbered.find(|it| !taken(it)).unwrap_or(name) } else { name }
}

/// The longest name of a workspace, in bytes.
const NAME_BYTES_MAX: usize = 64;

fn of(workspace: WorkspaceKey) -> MountWish {
    MountWish { workspace, mode: None }
}

/// The same mount for the next dispatch.
fn wish(mount: &Mount) -> MountWish {
    let mode: Option<Mode> = Some(mount.mode);
    MountWish { workspace: WorkspaceKey::Id(mount.workspace), mode }
}
