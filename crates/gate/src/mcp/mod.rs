//! Servers of tools (MCP) behind the gate: which there are, what a dispatch may call of them, and its
//! calls. The agent of a dispatch meets a server of its own that knows no session; what stands behind
//! it, and with which credential, it never learns.

pub mod server;

mod wire;

mod answer;
mod call;

mod outside;
mod own;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::port::ToolServer;
use knowledge::Knowledge;
use model::ServerName;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use trust::Stands;

pub(crate) use self::answer::answer;
use self::outside::{Outside, Session};
use self::own::Own;
use crate::limit::{Limits, TOOL_CALLS_AT_ONCE, TOOL_CALLS_MAX};
pub use server::{BadServer, Server, ServerParts};

/// The servers of this installation.
#[derive(Debug)]
pub(crate) struct Servers {
    own: Option<Own>,
    outside: BTreeMap<ServerName, Server>,
    client: Option<Outside>,
}

/// What stands behind one name.
enum Found<'a> {
    Own(&'a Own),
    Outside(&'a Outside, &'a Server),
}

impl Servers {
    pub(crate) fn new(
        knowledge: Option<Knowledge>,
        servers: Vec<Server>,
        limits: &Limits,
    ) -> Result<Self, reqwest::Error> {
        let client = (!servers.is_empty()).then(|| Outside::new(limits)).transpose()?;
        let outside = servers.into_iter().map(|server| (server.name.clone(), server)).collect();
        Ok(Self { own: knowledge.map(Own::new), outside, client })
    }

    /// All of them, as dispatches are given them.
    pub(crate) fn told(&self) -> Vec<ToolServer> {
        let own = self.own.as_ref().map(|_| own::told());
        let outside = self.outside.values().map(|server| ToolServer {
            name: server.name.clone(),
            about: server.about.clone(),
            stands: Stands::Outside { untrusted: server.untrusted },
            tools: server.tools.iter().map(|(tool, effect)| (tool.clone(), *effect)).collect(),
        });
        let mut all: Vec<_> = own.into_iter().chain(outside).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn find(&self, name: &str) -> Option<Found<'_>> {
        if name == own::NAME {
            return self.own.as_ref().map(Found::Own);
        }
        let name: ServerName = name.parse().ok()?;
        Some(Found::Outside(self.client.as_ref()?, self.outside.get(&name)?))
    }
}

/// What one dispatch has with servers of tools.
#[derive(Debug)]
pub(crate) struct Calls {
    places: Semaphore,
    /// Those that may still be made.
    left: Mutex<u32>,
    sessions: Mutex<BTreeMap<ServerName, Arc<OnceCell<Session>>>>,
}

/// A dispatch made all its calls.
#[derive(Debug, thiserror::Error)]
#[error("this dispatch made its {TOOL_CALLS_MAX} calls of tools; it may make no more")]
struct NoneLeft;

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            places: Semaphore::new(TOOL_CALLS_AT_ONCE),
            left: Mutex::new(TOOL_CALLS_MAX),
            sessions: Mutex::default(),
        }
    }

    /// Takes one of the calls that the dispatch may make in all, and waits for a place: each of those
    /// who wait held room for its request, so there are few of them, and each call has its time.
    async fn begin(&self) -> Result<SemaphorePermit<'_>, NoneLeft> {
        {
            let mut left = self.left.lock();
            *left = left.checked_sub(1).ok_or(NoneLeft)?;
        }
        self.places.acquire().await.map_err(|_| NoneLeft)
    }

    /// The session with a server: one for all calls of the dispatch.
    fn session(&self, server: &ServerName) -> Arc<OnceCell<Session>> {
        self.sessions.lock().entry(server.clone()).or_default().clone()
    }

    /// The server does not know the session any more.
    fn forget(&self, server: &ServerName, session: &Arc<OnceCell<Session>>) {
        let mut sessions = self.sessions.lock();
        if sessions.get(server).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(server);
        }
    }
}

/// The tools of a server that a caller may call.
fn callable(server: &ToolServer, caller: &engine::port::Caller) -> Vec<String> {
    server.callable(&caller.tools, caller.reach).into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_come_to_an_end() {
        let calls = Calls::new();
        for _ in 0..TOOL_CALLS_MAX {
            assert!(calls.begin().await.is_ok());
        }
        assert!(calls.begin().await.is_err());
    }
}
