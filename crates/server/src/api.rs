//! What the handlers reach: the engine's verbs and ports, and what is shown of the wiring.

use std::future::Future;
use std::sync::Arc;

use engine::dispatcher::Dispatcher;
use engine::endpoint::Endpoints;
use engine::port::{Clock, Directory, IdSource, Ledger, Proposals, Recordings, UsageBook};
use engine::proposal::Inbox;
use engine::remote::Outside;
use engine::task::{TaskKind, Tasks};
use engine::workspaces::Workspaces;
use knowledge::Knowledge;
use model::{Runner, RunnerName};
use tokio::sync::oneshot;

use crate::hosts::Hosts;
use crate::login::Links;
use crate::problem::{INTERNAL, Problem};

/// What the server is built from.
#[derive(Clone)]
pub struct Parts {
    /// Starts and steers dispatches.
    pub dispatcher: Dispatcher,
    /// Reads what they said and did.
    pub ledger: Arc<dyn Ledger>,
    /// What models used for them.
    pub usage: Arc<dyn UsageBook>,
    /// What models were asked and answered, where that is kept.
    pub recordings: Arc<dyn Recordings>,
    /// People, keys, workspaces.
    pub directory: Arc<dyn Directory>,
    /// What waits for a decision.
    pub proposals: Arc<dyn Proposals>,
    /// Shows and decides it.
    pub inbox: Inbox,
    /// Reaches outside repositories.
    pub outside: Outside,
    /// The model endpoints that people bring.
    pub endpoints: Endpoints,
    /// Makes the folder of a new person's home workspace.
    pub workspaces: Workspaces,
    /// Searches and checks what they hold.
    pub knowledge: Knowledge,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and keys.
    pub ids: Arc<dyn IdSource>,
    /// Runs connections.
    pub tasks: Tasks,
    /// The hosts that are served.
    pub hosts: Hosts,
    /// Under which path it is reached.
    pub base_path: BasePath,
    /// Links that log a browser in.
    pub links: Arc<Links>,
    /// What is shown and chosen where the caller does not choose.
    pub defaults: Defaults,
}

/// Under which path the server is reached: empty, or `/…` without a slash at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// A text is not a path under which a server can be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path of the form /name/name of letters, digits, `-`, `_` and `.`")]
pub struct BadBasePath(String);

impl BasePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for BasePath {
    type Err = BadBasePath;
    fn from_str(text: &str) -> Result<Self, BadBasePath> {
        let path = text.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        let parts = path.strip_prefix('/').is_some_and(|path| path.split('/').all(part));
        if path.is_empty() || parts {
            Ok(Self(path.to_owned()))
        } else {
            Err(BadBasePath(text.chars().take(64).collect()))
        }
    }
}

/// What is shown and chosen where the caller does not choose.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Every runner that may be asked for.
    pub runners: Vec<Runner>,
    /// The runner of a chat.
    pub runner: RunnerName,
    /// The name of the model behind the gate.
    pub model: String,
    /// The version of the program.
    pub version: &'static str,
}

/// [`Parts`], shared by all requests.
#[derive(Clone)]
pub(crate) struct Api(Arc<Parts>);

impl Api {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Runs `work` to its end even when the caller leaves: what was begun is never half done.
    pub(crate) async fn finish<T, F>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (send, receive) = oneshot::channel();
        self.tasks.spawn(TaskKind::Connection, "request", async move {
            if send.send(work.await).is_err() {
                tracing::debug!("the caller left before the answer");
            }
        });
        receive.await.map_err(|_| Problem::plain(INTERNAL))
    }
}

impl std::ops::Deref for Api {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_plain() {
        for (text, path) in [("", ""), ("/", ""), ("/remit", "/remit"), ("/a/b-1/", "/a/b-1")] {
            assert_eq!(text.parse::<BasePath>().expect(text).as_str(), path);
        }
        for bad in ["remit", "//x", "/a//b", "/..", "/a b", "/{x}", "/<"] {
            assert!(bad.parse::<BasePath>().is_err(), "{bad}");
        }
    }
}
