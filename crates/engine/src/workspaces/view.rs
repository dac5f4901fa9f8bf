//! One mounted workspace and one session folder, as a sandbox leaves them: what is committed at the
//! end of a turn. Everything here blocks; nothing here waits.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use model::event::{HeldReason, Refusal};
use model::{
    DispatchId, Event, Label, Launcher, Mode, SessionId, Time, TurnId, UserId, WorkspaceId,
};
use workspace::{
    Attribution, Change, Checkout, Limits, Outcome, Owner, Refusals, Root, Signature, StatCache,
    Trailer, TreeId, TreePath, View,
};

use super::{Folder, WorkspacesError, ours};
use crate::kill_point::kill_point;
use crate::port::BoxDelta;

/// How many commits back one of ours is looked for after a crash.
const LANDED_WITHIN: usize = 500;
/// Under this key a saved session says how the agent calls it: it goes where the session file goes, and
/// no agent can write it.
const AGENT_SESSION: &str = "Agent-Session";
/// How many paths an event lists.
const PATHS_MAX: usize = 100;

/// For whom a commit is made.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// The turn whose work is committed.
#[derive(Debug, Clone)]
pub(crate) struct TurnCommit {
    pub(crate) dispatch: DispatchId,
    pub(crate) subject: UserId,
    pub(crate) launcher: Launcher,
    pub(crate) turn: TurnId,
    pub(crate) prompt: String,
    pub(crate) label: Label,
    pub(crate) author: Author,
    /// The conversation as the agent calls it, where it does not take our name for it.
    pub(crate) agent_session: Option<String>,
    pub(crate) at: Time,
}

/// One workspace as one sandbox sees it.
#[derive(Debug)]
pub(crate) struct MountedView {
    folder: Arc<Folder>,
    mode: Mode,
    checkout: Checkout,
    /// The folder as the last change-set left it.
    seen: Option<TreeId>,
    cache: StatCache,
}

impl MountedView {
    pub(super) fn new(folder: Arc<Folder>, mode: Mode, checkout: Checkout) -> Self {
        Self { folder, mode, checkout, seen: None, cache: StatCache::default() }
    }

    pub(crate) fn checkout(&self) -> &Path {
        self.checkout.path()
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        self.folder.id
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// From now on nothing is committed from this view.
    pub(crate) fn close(&mut self) {
        self.mode = Mode::ReadOnly;
    }

    /// What the last change-set left, for the next server to go on from.
    pub(crate) fn seen(&self) -> Option<String> {
        self.seen.map(|tree| tree.to_string())
    }

    /// Goes on from what an earlier server saw.
    pub(crate) fn set_seen(&mut self, seen: Option<&str>) {
        self.seen = seen.and_then(|tree| tree.parse().ok());
    }

    /// Commits what the sandbox changed since the last change-set.
    fn commit(
        &mut self,
        delta: BoxDelta,
        turn: &TurnCommit,
    ) -> Result<Vec<Event>, WorkspacesError> {
        let view = match delta {
            BoxDelta::None => return Ok(vec![]),
            BoxDelta::Overlay(fd) => View::Overlay(Root::new(fd)),
            BoxDelta::Plain(fd) => View::Plain(Root::new(fd)),
        };
        if self.mode == Mode::ReadOnly {
            return Ok(vec![]);
        }
        let mut events: Vec<Event> = self.landed(turn)?.into_iter().collect();
        let by = attribution(turn);
        let hold_as = turn.dispatch.to_string();
        let folder = self.folder.clone();
        let base = self.checkout.commit();
        let delta = folder.repository.delta(base, &view, &Limits::WORKSPACE, &mut self.cache);
        let change = Change {
            delta: delta.map_err(|error| folder.failed(error))?,
            checkout: base,
            seen: self.seen,
            by: &by,
            hold_as: &hold_as,
        };
        kill_point("before_commit");
        let outcome = match self.mode {
            Mode::Propose => folder.repository.propose(change),
            Mode::ReadWrite | Mode::ReadOnly => folder.repository.commit(change),
        };
        let outcome = outcome.map_err(|error| folder.failed(error))?;
        kill_point("after_commit");
        self.tell(outcome, &mut events)?;
        Ok(events)
    }

    fn tell(&mut self, outcome: Outcome, events: &mut Vec<Event>) -> Result<(), WorkspacesError> {
        let workspace = self.workspace();
        let refusals = match outcome {
            Outcome::Unchanged { view, refusals } => {
                self.seen = Some(view);
                refusals
            }
            Outcome::Committed(done) => {
                self.seen = Some(done.view);
                events.push(Event::Commit {
                    workspace,
                    commit: ours(done.commit),
                    changed: done.changed.len() as u64,
                    paths: paths(done.changed.iter().map(|changed| &changed.path)),
                });
                done.refusals
            }
            Outcome::Held(held) => {
                // It is somebody else's to decide: what comes next is a change-set of its own.
                let tree = self.folder.repository.tree_of(held.commit);
                self.seen = Some(tree.map_err(|error| self.folder.failed(error))?);
                let reason = match self.mode {
                    Mode::Propose => HeldReason::ProposeOnly,
                    Mode::ReadWrite | Mode::ReadOnly => HeldReason::Conflict,
                };
                events.push(Event::Held {
                    workspace,
                    reference: held.name,
                    commit: ours(held.commit),
                    reason,
                    paths: paths(held.paths.iter()),
                });
                held.refusals
            }
        };
        events.extend(refused(workspace, &refusals));
        Ok(())
    }

    /// The commit of this very turn, if a server that died afterwards had made it.
    ///
    /// Only looked for when the head moved since the checkout or the last change-set.
    pub(crate) fn landed(&mut self, turn: &TurnCommit) -> Result<Option<Event>, WorkspacesError> {
        let failed = |error| self.folder.failed(error);
        let repository = &self.folder.repository;
        let Some(head) = repository.head().map_err(failed)? else { return Ok(None) };
        let before = match self.seen {
            Some(seen) => seen,
            None => repository.tree_of(self.checkout.commit()).map_err(failed)?,
        };
        if repository.tree_of(head).map_err(failed)? == before {
            return Ok(None);
        }
        let (dispatch, turn) = (turn.dispatch.to_string(), turn.turn.to_string());
        let is = |trailers: &[Trailer], key: &str, value: &str| {
            trailers.iter().any(|trailer| trailer.key() == key && trailer.value() == value)
        };
        let log = repository.log(head, LANDED_WITHIN).map_err(failed)?;
        let Some(record) = log.into_iter().find(|record| {
            is(&record.trailers, "Dispatch", &dispatch) && is(&record.trailers, "Turn", &turn)
        }) else {
            return Ok(None);
        };
        let changed = repository.diff(record.commit).map_err(failed)?;
        // Where nobody else had moved the head, the commit is the folder as the sandbox left it.
        let parent = record.parents.first().map(|parent| repository.tree_of(*parent)).transpose();
        if parent.map_err(failed)? == Some(before) {
            self.seen = Some(record.tree);
        }
        Ok(Some(Event::Commit {
            workspace: self.folder.id,
            commit: ours(record.commit),
            changed: changed.len() as u64,
            paths: paths(changed.iter().map(|changed| &changed.path)),
        }))
    }
}

/// Where a conversation's session file is kept.
#[derive(Debug)]
pub(crate) struct SessionFolder {
    folder: Arc<Folder>,
    session: SessionId,
    agent_session: Option<String>,
    cache: StatCache,
}

impl SessionFolder {
    pub(crate) fn new(folder: Arc<Folder>, session: SessionId) -> Self {
        let agent_session = agent_session(&folder, session);
        Self { folder, session, agent_session, cache: StatCache::default() }
    }

    /// The same conversation for another hand.
    pub(crate) fn again(&self) -> Self {
        let (folder, agent_session) = (self.folder.clone(), self.agent_session.clone());
        Self { folder, session: self.session, agent_session, cache: StatCache::default() }
    }

    /// The conversation as the agent called it when it was saved last.
    pub(crate) fn agent_session(&self) -> Option<&str> {
        self.agent_session.as_deref()
    }

    /// Writes the newest saved session into an empty folder; whether there was one.
    pub(crate) fn restore(&self, into: &OwnedFd) -> Result<bool, WorkspacesError> {
        kill_point("in_session_restore");
        let owner = Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        let session = self.session.to_string();
        let restored = self.folder.repository.restore_session(&session, into.as_fd(), owner);
        Ok(restored.map_err(|error| self.folder.failed(error))?.is_some())
    }

    fn save(&mut self, from: OwnedFd, turn: &TurnCommit) -> Result<Vec<Event>, WorkspacesError> {
        let (session, root) = (self.session.to_string(), Root::new(from));
        let mut by = attribution(turn);
        let name = turn.agent_session.as_ref().map(|name| Trailer::new(AGENT_SESSION, name));
        by.trailers.extend(name.and_then(Result::ok));
        let saved = self.folder.repository.save_session(&session, &root, &mut self.cache, &by);
        let saved = saved.map_err(|error| self.folder.failed(error))?;
        let mut events: Vec<Event> = refused(self.folder.id, &saved.refusals).into_iter().collect();
        events.extend(
            saved
                .commit
                .map(|commit| Event::SessionSaved { session: self.session, commit: ours(commit) }),
        );
        Ok(events)
    }
}

fn agent_session(folder: &Folder, session: SessionId) -> Option<String> {
    let saved = folder.repository.session(&session.to_string()).ok()??;
    let record = folder.repository.record(saved).ok()?;
    let trailer = record.trailers.iter().find(|trailer| trailer.key() == AGENT_SESSION)?;
    Some(trailer.value().to_owned())
}

/// What is left of a turn when its work is kept.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) views: Vec<MountedView>,
    pub(crate) session: SessionFolder,
    pub(crate) events: Vec<Event>,
    /// The first thing that could not be kept.
    pub(crate) failed: Option<WorkspacesError>,
}

/// Commits every mount and saves the session. One that fails does not keep the others from it.
pub(crate) fn close(
    mut views: Vec<MountedView>,
    deltas: Vec<BoxDelta>,
    mut session: SessionFolder,
    folder: Option<OwnedFd>,
    turn: &TurnCommit,
) -> Closed {
    let mut events = vec![];
    let mut failed = None;
    let mut note = |result: Result<Vec<Event>, WorkspacesError>| match result {
        Ok(more) => events.extend(more),
        Err(error) => {
            events.push(diagnostic(&error));
            failed.get_or_insert(error);
        }
    };
    for (view, delta) in views.iter_mut().zip(deltas) {
        note(view.commit(delta, turn));
    }
    kill_point("after_commits");
    if let Some(folder) = folder {
        note(session.save(folder, turn));
    }
    kill_point("after_session_saved");
    Closed { views, session, events, failed }
}

fn diagnostic(error: &WorkspacesError) -> Event {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let text = format!("{error}{}", cause.unwrap_or_default());
    Event::Diagnostic { source: "committer".to_owned(), text }
}

fn paths<'a>(paths: impl Iterator<Item = &'a TreePath>) -> Vec<String> {
    paths.take(PATHS_MAX).map(|path| path.as_str().to_owned()).collect()
}

fn refused(workspace: WorkspaceId, refusals: &Refusals) -> Option<Event> {
    let listed = refusals.listed.iter().take(PATHS_MAX).map(|refusal| Refusal {
        path: refusal.path.as_str().to_owned(),
        reason: refusal.reason.word().to_owned(),
    });
    (refusals.count > 0).then(|| Event::Refused {
        workspace,
        count: refusals.count as u64,
        refusals: listed.collect(),
    })
}

pub(super) fn seconds(at: Time) -> i64 {
    i64::try_from(at.as_ms() / 1_000).unwrap_or(i64::MAX)
}

/// The mail address of the committer of every commit.
pub(super) const PLATFORM_EMAIL: &str = "remit@localhost";

/// The committer of every commit: trusted code, not the agent.
pub(crate) fn platform(at: Time) -> Signature {
    Signature { name: "Remit".to_owned(), email: PLATFORM_EMAIL.to_owned(), seconds: seconds(at) }
}

fn attribution(turn: &TurnCommit) -> Attribution {
    let author = Signature {
        name: turn.author.name.clone(),
        email: turn.author.email.clone(),
        seconds: seconds(turn.at),
    };
    let launcher = match &turn.launcher {
        Launcher::User(id) => format!("user {id}"),
        Launcher::Schedule(id) => format!("schedule {id}"),
        Launcher::Integration(id) => format!("integration {id}"),
    };
    let facts = [
        ("Dispatch", turn.dispatch.to_string()),
        ("Subject", turn.subject.to_string()),
        ("Launcher", launcher),
        ("Turn", turn.turn.to_string()),
        ("Label", label(&turn.label)),
    ];
    let trailers = facts.iter().filter_map(|(key, value)| Trailer::new(key, value).ok()).collect();
    Attribution { author, committer: platform(turn.at), message: subject(&turn.prompt), trailers }
}

/// The first line of what was asked, cut to what a log shows.
fn subject(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Work");
    line.chars().take(72).collect()
}

fn label(label: &Label) -> String {
    if label.is_trusted() {
        return "trusted".to_owned();
    }
    let sources: Vec<&str> = label.integrity.iter().map(String::as_str).collect();
    format!("untrusted {}", sources.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_called_by_the_first_line_of_what_was_asked() {
        assert_eq!(subject("\n  write the brief \nand more"), "write the brief");
        assert_eq!(subject(&"x".repeat(100)), "x".repeat(72));
        assert_eq!(subject(" "), "Work");
    }

    #[test]
    fn a_label_says_where_its_taint_comes_from() {
        assert_eq!(label(&Label::default()), "trusted");
        let tainted = Label { integrity: ["mail".to_owned()].into(), ..Label::default() };
        assert_eq!(label(&tainted), "untrusted mail");
    }
}
