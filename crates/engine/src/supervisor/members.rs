//! Whether the subject may still do what was allowed when the dispatch was accepted: they may have been
//! removed from a workspace since, or may only read it now. Decides nothing: [`trust::MountAsk`] does.

use model::{Mount, UserId};
use trust::{Decision, MountAsk};

use super::ending::Ending;
use super::{Flow, Supervisor};
use crate::port::{Directory, LedgerError};

impl Supervisor {
    /// Ends the dispatch where its subject may not have one of its mounts any more.
    pub(super) async fn ask_members(&mut self) -> Flow<()> {
        let directory = self.world.parts.directory.clone();
        for mount in &self.dispatch.mounts {
            match suits(&*directory, self.dispatch.subject, mount).await {
                Ok(Decision::Allow) => {}
                Ok(Decision::Deny(_)) => return Err(Ending::no_member(mount.name.as_str())),
                Err(error) => return Err(Ending::unwritable(&error)),
            }
        }
        Ok(())
    }

    /// Sees to it that nothing is committed to a workspace that the subject may not change any more.
    /// Where that cannot be found out, nothing is.
    pub(super) async fn close_to_strangers(&mut self) {
        let directory = self.world.parts.directory.clone();
        for (view, mount) in self.views.iter_mut().zip(&self.dispatch.mounts) {
            let (dispatch, workspace) = (self.dispatch.id, mount.workspace);
            match suits(&*directory, self.dispatch.subject, mount).await {
                Ok(Decision::Allow) => {}
                Ok(Decision::Deny(reason)) => {
                    tracing::info!(%dispatch, %workspace, %reason, "work is not kept");
                    view.close();
                }
                Err(error) => {
                    tracing::error!(%dispatch, %workspace, %error, "work is not kept");
                    view.close();
                }
            }
        }
    }
}

async fn suits(
    directory: &dyn Directory,
    subject: UserId,
    mount: &Mount,
) -> Result<Decision, LedgerError> {
    let role = directory.role(mount.workspace, subject).await?;
    Ok(MountAsk::suits(role, mount.mode))
}
