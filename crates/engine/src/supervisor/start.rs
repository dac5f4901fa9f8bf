//! From a place in the queue to an agent that listens: workspaces, box, gate, line, adapter. And the
//! same for a box that an earlier server left, or a worker that calls again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Event, Happened, Mode, Mount, Program, Runner, State};

use super::course::{Bounds, Course};
use super::ending::Ending;
use super::keep::Keep;
use super::{Flow, Supervisor, paths, times};
use crate::dispatcher::tools;
use crate::kill_point::kill_point;
use crate::port::backend::Prepare;
use crate::port::{BoxMount, Launch, Running, StartError};
use crate::runner::{LaunchContext, Process, adapter};
use crate::workspaces::{MountedView, SessionFolder};

/// How often a box is tried again when the machine has no room for it.
const ROOM_TRIES: u32 = 5;
/// After how long it is tried again first.
const ROOM_AFTER: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Builds the box and starts the agent in it.
    pub(super) async fn start(&mut self) -> Flow<()> {
        if self.writer.state() == State::Queued {
            self.flush(Some(Happened::Placed)).await?;
        }
        kill_point("after_placed");
        let runner = self.world.runner(&self.dispatch.runner).ok_or_else(Ending::unknown_runner)?;
        self.open_workspaces().await?;
        kill_point("after_checkout");
        let running = self.start_box(&runner).await?;
        kill_point("after_box_start");
        let fingerprint = self.world.parts.backend.fingerprint();
        self.writer.push([Event::SandboxStarted {
            sandbox: running.id(),
            backend: fingerprint.backend.to_owned(),
            start_us: u64::try_from(running.start_time().as_micros()).unwrap_or(u64::MAX),
            isolates: fingerprint.isolates,
        }]);
        self.running = Some(running);
        self.started = Some(self.world.parts.clock.now());
        self.times.lifetime = times::after(self.dispatch.limits.lifetime);
        self.flush(None).await?;
        kill_point("after_box_recorded");
        let (mut line, caller) = self.connect(&runner).await?;
        let context = self.context(self.dispatch.start.resumes(), None, String::new()).await?;
        let adapter = adapter(&runner, context);
        let process = self.found(adapter.process());
        line.start(&process).map_err(|error| Ending::agent_not_started(&error.to_string()))?;
        kill_point("after_agent_start");
        let course = Course::new(adapter, self.bounds());
        self.agent = Some(caller.agent(course, line));
        Ok(())
    }

    /// Takes the box of an earlier server over, in the middle of whatever it was at.
    pub(super) async fn take_over(
        &mut self,
        running: Box<dyn Running>,
        views: Vec<MountedView>,
        keep: Keep,
    ) -> Flow<()> {
        let sandbox = running.id();
        self.running = Some(running);
        self.started = Some(keep.started);
        (self.begun, self.turn) = (keep.begun, keep.turn.clone());
        self.numbered = self.numbered.max(keep.begun);
        *self.registration.waiting.lock() = keep.questions;
        self.watch_questions();
        self.views = views;
        self.open_session().await?;
        let runner = self.world.runner(&self.dispatch.runner).ok_or_else(Ending::unknown_runner)?;
        for (view, seen) in self.views.iter_mut().zip(&keep.seen) {
            view.set_seen(seen.as_deref());
        }
        self.writer.push([Event::SandboxAdopted { sandbox }]);
        let (line, caller) = self.connect(&runner).await?;
        let now = self.world.parts.clock.now();
        let left = self.dispatch.limits.lifetime.saturating_sub(now.since(keep.started));
        self.times.lifetime = times::after(left);
        if let Some(turn) = &keep.turn {
            let left = self.dispatch.limits.turn.saturating_sub(now.since(turn.started));
            self.times.turn = times::after(left);
        }
        self.renew(&runner, line, caller, keep.adapter).await?;
        match keep.turn.and_then(|turn| turn.over) {
            Some((outcome, reply)) => self.close_turn(outcome, reply).await,
            None => self.settle().await,
        }
    }

    /// A box of an earlier server is gone: what its last turn had committed is told all the same.
    pub(super) async fn give_up(&mut self, keep: Option<Keep>) -> Ending {
        let ending = Ending::not_adopted();
        let Some(keep) = keep else { return ending };
        (self.begun, self.turn) = (keep.begun, keep.turn);
        let Some((outcome, reply)) = self.turn.as_ref().and_then(|turn| turn.over.clone()) else {
            return ending;
        };
        if let Some(landed) = self.landed(&keep.seen).await
            && !landed.is_empty()
            && let Some(turn) = self.turn.take()
        {
            self.writer.push(landed);
            self.writer.push([Event::TurnEnded { turn: turn.turn, outcome, reply }]);
        }
        ending
    }

    /// Checks out every mount, if the subject may still have it, and opens the folder of the session.
    async fn open_workspaces(&mut self) -> Flow<()> {
        self.ask_members().await?;
        let views = self.world.parts.workspaces.mount_all(&self.dispatch.mounts).await;
        self.views = views.map_err(|error| Ending::no_workspace(&error))?;
        self.open_session().await
    }

    async fn open_session(&mut self) -> Flow<()> {
        let session = self.world.parts.ledger.session(self.dispatch.session).await;
        let home = session.ok().flatten().map_or(self.dispatch.mounts[0].workspace, |it| it.home);
        let folder = self.world.parts.workspaces.session_folder(home, self.dispatch.session).await;
        self.session = Some(folder.map_err(|error| Ending::no_workspace(&error))?);
        Ok(())
    }

    /// Builds the box, while orders are obeyed: dropped, nothing of it is left.
    async fn start_box(&mut self, runner: &Runner) -> Flow<Box<dyn Running>> {
        let backend = self.world.parts.backend.clone();
        let stopping = self.world.stopping.clone();
        let mut wait = ROOM_AFTER;
        for attempt in 1.. {
            let bad_session = Arc::new(AtomicBool::new(false));
            let mut start = backend.start(self.launch(runner), self.prepare(&bad_session));
            let done = loop {
                let order = tokio::select! {
                    biased;
                    order = self.registration.orders.recv() => order,
                    () = stopping.cancelled() => {
                        return Err(Ending::shut_down(self.writer.state()));
                    }
                    done = &mut start => break done,
                };
                if let Some(order) = order {
                    self.obey(order).await?;
                }
            };
            match done {
                Ok(running) => return Ok(running),
                Err(_) if bad_session.load(Ordering::Relaxed) => return Err(Ending::no_session()),
                Err(StartError::Exhausted(_)) if attempt < ROOM_TRIES => {}
                Err(error) => return Err(Ending::not_started(&error)),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Err(Ending::internal())
    }

    fn launch(&self, runner: &Runner) -> Launch {
        let several = self.views.len() > 1;
        let target = |name: &str| {
            let root = PathBuf::from("/workspace");
            if several { root.join(name) } else { root }
        };
        let mounts = self.views.iter().zip(&self.dispatch.mounts).map(|(view, mount)| BoxMount {
            checkout: view.checkout().to_owned(),
            target: target(mount.name.as_str()),
            mode: view.mode(),
        });
        let program = match &runner.program {
            Program::BuiltIn => (self.world.parts.settings.program.clone(), paths::BUILT_IN.into()),
            Program::Folder(folder) => (folder.clone(), "/opt/runner".into()),
        };
        let settings = self.world.settings_of(&runner.name);
        let settings = settings.map(|folder| (folder, PathBuf::from("/opt/settings")));
        Launch {
            sandbox: self.world.sandbox_id(),
            input_trust: self.dispatch.trigger.input_trust(),
            mounts: mounts.collect(),
            programs: std::iter::once(program).chain(settings).collect(),
            limits: self.dispatch.limits.clone(),
        }
    }

    /// Puts the session file into its place before the agent starts.
    fn prepare(&self, bad: &Arc<AtomicBool>) -> Prepare {
        let session = self.session.as_ref().filter(|_| self.dispatch.start.resumes());
        let Some(session) = session.map(SessionFolder::again) else {
            return Box::new(|_| Ok(()));
        };
        let (bad, dispatch) = (bad.clone(), self.dispatch.id);
        Box::new(move |folder| match session.restore(&folder) {
            Ok(true) => Ok(()),
            Ok(false) => {
                bad.store(true, Ordering::Relaxed);
                Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no session file is kept"))
            }
            Err(error) => {
                tracing::warn!(%dispatch, %error, "a session file could not be restored");
                bad.store(true, Ordering::Relaxed);
                Err(std::io::Error::other(error))
            }
        })
    }

    /// Nothing is running: brings the state in line with that, or waits for what is.
    async fn settle(&mut self) -> Flow<()> {
        let idle = self.turn.is_none() && self.waiting.is_empty();
        let happened =
            (idle && self.writer.state() == State::Running).then_some(Happened::TurnEnded);
        self.flush(happened).await?;
        self.rest(idle);
        if idle && self.world.places.is_wanted(self.dispatch.subject) {
            return Err(Ending::reaped());
        }
        Ok(())
    }

    /// The program as it is found in this box.
    fn found(&self, process: Process) -> Process {
        match &self.running {
            Some(running) => paths::found(process, |path| running.path(path)),
            None => process,
        }
    }

    /// What the agent may do.
    pub(super) fn bounds(&self) -> Bounds {
        let output_bytes_max = self.dispatch.limits.output_bytes_max;
        Bounds { output_bytes_max, permission: self.dispatch.permission }
    }

    pub(super) async fn context(
        &mut self,
        resumes: bool,
        snapshot: Option<String>,
        reply: String,
    ) -> Flow<LaunchContext> {
        let runner = self.world.runner(&self.dispatch.runner).ok_or_else(Ending::unknown_runner)?;
        let (gate, chosen) = (self.world.parts.gate.clone(), self.dispatch.model.clone());
        let api = gate.dialect(self.dispatch.subject, &runner, chosen.as_deref()).await;
        let running = self.running.as_ref().ok_or_else(Ending::internal)?;
        let (tools, reach) = tools::given(&self.dispatch);
        Ok(LaunchContext {
            session: self.dispatch.session,
            resumes,
            agent_session: self
                .session
                .as_ref()
                .and_then(|it| it.agent_session())
                .map(str::to_owned),
            permission: self.dispatch.permission,
            cwd: running.path(Path::new("/workspace")),
            gate_url: running.gate_url(),
            model: chosen.unwrap_or_else(|| gate.model(&runner)),
            api,
            access: access(&self.dispatch.mounts),
            servers: tools::reached(&*gate, &tools, reach),
            snapshot,
            reply,
        })
    }

    /// The work of the turn that a server died at, if it was committed already.
    async fn landed(&mut self, seen: &[Option<String>]) -> Option<Vec<Event>> {
        self.open_workspaces().await.ok()?;
        let commit = self.turn_commit()?;
        let (views, seen) = (std::mem::take(&mut self.views), seen.to_vec());
        let found = move || {
            let mut events = vec![];
            for (mut view, seen) in views.into_iter().zip(seen) {
                view.set_seen(seen.as_deref());
                events.extend(view.landed(&commit).ok().flatten());
            }
            events
        };
        self.world.parts.tasks.blocking("look for a commit", found).await
    }
}

/// The most that may be done to any of these workspaces.
fn access(mounts: &[Mount]) -> Mode {
    let any = |mode| mounts.iter().any(|mount| mount.mode == mode);
    let most = [Mode::ReadWrite, Mode::Propose].into_iter().find(|mode| any(*mode));
    most.unwrap_or(Mode::ReadOnly)
}
