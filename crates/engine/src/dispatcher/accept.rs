//! Accepting: to the living agent of the conversation, or written down as a dispatch of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use model::limit::PROMPT_BYTES_MAX;
use model::{
    Dispatch, DispatchId, Event, InputTrust, Label, Mount, Permission, Runner, Session, SessionId,
    Start, Turn, TurnId, WorkspaceId,
};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use trust::claims::Issuance;
use trust::{Action, Claims, authorize};

use super::ask::{Ask, Begin, Untested, check_limits, check_mounts, check_prompt};
use super::error::DispatchError;
use super::live::{Found, Mailbox, Registration};
use super::{Dispatcher, Full};
use crate::endpoint::is_own;
use crate::kill_point::kill_point;
use crate::port::{Accepted, Idempotency, LedgerError, NewDispatch, Person};
use crate::runner::is_installed;
use crate::runner::tested::Verdict;
use crate::supervisor::{Charge, Entry, Order, ask_of, supervise};
use crate::task::TaskKind;
use crate::workspaces::Author;

/// How often a message looks for a living agent that ends just then.
const ATTEMPTS: u32 = 8;
/// After how long to try again when too many wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a title is, in characters.
const TITLE_CHARS_MAX: usize = 80;

/// What is known before anybody is looked for.
struct Checked {
    ask: Ask,
    person: Person,
    session: Option<Session>,
    prompt: String,
    turn: TurnId,
}

/// What is chosen for a new dispatch.
struct Fresh {
    dispatch: DispatchId,
    session: SessionId,
    mounts: Vec<Mount>,
    label: Label,
    home: WorkspaceId,
    ahead: Option<u32>,
    resumes: bool,
}

impl Dispatcher {
    /// Accepts what is asked for: where its conversation lives, or in a sandbox of its own.
    pub(super) async fn accept(&self, ask: Ask) -> Result<Turn, DispatchError> {
        let checked = self.check(ask).await?;
        if let Some(session) = &checked.session
            && let Some(before) = self.turn_before(session.id, &checked).await?
        {
            return Ok(before);
        }
        for _ in 0..ATTEMPTS {
            let dispatch = DispatchId::from_uuid(self.world.parts.ids.uuid());
            let session = match &checked.session {
                Some(session) => session.id,
                None => SessionId::from_uuid(self.world.parts.ids.uuid()),
            };
            match self.world.live.find_or_register(session, dispatch, checked.ask.subject) {
                Found::New(registration) => {
                    return self.begin(checked, session, dispatch, registration).await;
                }
                Found::Living(mailbox) => {
                    if let Some(answer) = speak(&mailbox, &checked, session).await {
                        return answer;
                    }
                }
            }
        }
        Err(DispatchError::Internal)
    }

    async fn check(&self, ask: Ask) -> Result<Checked, DispatchError> {
        let parts = &self.world.parts;
        check_mounts(&ask.mounts)?;
        ask.limits.as_ref().map_or(Ok(()), check_limits)?;
        let Some(runner) = parts.runners.get(&ask.runner) else {
            return Err(DispatchError::UnknownRunner(ask.runner));
        };
        if !is_installed(runner) {
            let install = runner.install.is_some();
            return Err(DispatchError::RunnerNotInstalled { runner: ask.runner, install });
        }
        let begins = !matches!(ask.begin, Begin::Session { .. });
        if begins && ask.untested == Untested::Refuse {
            self.check_tested(runner)?;
        }
        self.check_model(&ask).await?;
        if ask.permission == Permission::Ask && runner.permissions.is_none() {
            return Err(DispatchError::CannotAsk(ask.runner));
        }
        if ask.record && !parts.settings.recording {
            return Err(DispatchError::NoRecording);
        }
        let fingerprint = parts.backend.fingerprint();
        if ask.trigger.input_trust() == InputTrust::Untrusted && !fingerprint.isolates {
            return Err(DispatchError::NotIsolated { backend: fingerprint.backend });
        }
        let session = self.session(&ask).await?;
        let person = parts.directory.person(ask.subject).await?;
        let person = person.ok_or(DispatchError::UnknownSubject)?;
        let prompt = self.prompt(&ask).await?;
        check_prompt(&prompt)?;
        let turn = ask.turn.clone().unwrap_or_else(|| {
            let name = format!("t_{}", parts.ids.uuid().simple());
            name.parse().expect("letters and digits")
        });
        Ok(Checked { ask, person, session, prompt, turn })
    }

    /// Refuses a model that there is not, and one of a person's own to everybody else.
    async fn check_model(&self, ask: &Ask) -> Result<(), DispatchError> {
        let Some(model) = &ask.model else { return Ok(()) };
        if is_own(model) {
            let action = Action::UseEndpoint { owner: ask.subject };
            authorize(&ask.principal, &action).allowed()?;
        }
        if self.world.parts.gate.has_model(ask.subject, &ask.runner, model).await {
            return Ok(());
        }
        Err(DispatchError::UnknownModel(model.chars().take(64).collect()))
    }

    /// Refuses a runner that does not pass its test. Reads one small file.
    fn check_tested(&self, runner: &Runner) -> Result<(), DispatchError> {
        let failed = match self.world.tested.verdict(runner) {
            Verdict::Own | Verdict::Passed => return Ok(()),
            Verdict::Failed(checks) => checks,
            Verdict::Untested => vec![],
        };
        Err(DispatchError::RunnerNotTested { runner: runner.name.clone(), failed })
    }

    /// The conversation that is to go on, once the asker may speak in it.
    async fn session(&self, ask: &Ask) -> Result<Option<Session>, DispatchError> {
        let subject = ask.subject;
        let start = Action::StartDispatch { subject, trigger: ask.trigger, mounts: vec![] };
        authorize(&ask.principal, &start).allowed()?;
        let Begin::Session { session, .. } = &ask.begin else { return Ok(None) };
        let unknown = DispatchError::UnknownSession(*session);
        let session = self.world.parts.ledger.session(*session).await?.ok_or(unknown)?;
        if session.subject != subject {
            return Err(DispatchError::UnknownSession(session.id));
        }
        authorize(&ask.principal, &Action::SteerDispatch { owner: session.subject }).allowed()?;
        // Its session file lies in a workspace that they may have left since.
        if self.world.parts.directory.role(session.home, subject).await?.is_none() {
            return Err(DispatchError::UnknownSession(session.id));
        }
        if session.runner != ask.runner {
            let (session, runner) = (session.id, session.runner);
            return Err(DispatchError::OtherRunner { session, runner });
        }
        Ok(Some(session))
    }

    async fn prompt(&self, ask: &Ask) -> Result<String, DispatchError> {
        match &ask.begin {
            Begin::Prompt(prompt) | Begin::Session { prompt, .. } => Ok(prompt.clone()),
            Begin::File(path) => {
                let unknown =
                    || DispatchError::UnknownPlan { path: path.chars().take(200).collect() };
                let mounts = self.mounts(ask).await?;
                let first = mounts.first().ok_or(DispatchError::Mounts)?.workspace;
                let text = self.world.parts.workspaces.text(first, path).await;
                let text = text.map_err(|_| unknown())?.ok_or_else(unknown)?;
                if text.len() > PROMPT_BYTES_MAX {
                    return Err(DispatchError::PromptTooLong { bytes: text.len() });
                }
                Ok(text)
            }
        }
    }

    async fn turn_before(
        &self,
        session: SessionId,
        checked: &Checked,
    ) -> Result<Option<Turn>, DispatchError> {
        match self.world.parts.ledger.turn(session, &checked.turn).await? {
            Some(turn) if turn.prompt == checked.prompt => Ok(Some(turn)),
            Some(turn) => Err(DispatchError::Conflict { key: turn.id.to_string() }),
            None => Ok(None),
        }
    }

    /// Writes a dispatch down and has it looked after.
    async fn begin(
        &self,
        checked: Checked,
        session: SessionId,
        dispatch: DispatchId,
        registration: Registration,
    ) -> Result<Turn, DispatchError> {
        let mounts = self.mounts(&checked.ask).await?;
        let label = self.label(&checked).await?;
        self.check_tools(&checked.ask, &mounts, &label)?;
        let (subject, live_max) = (checked.ask.subject, checked.person.concurrent_max);
        let place = self.world.places.enter(dispatch, subject, live_max).map_err(too_many)?;
        if place.ahead().is_some() {
            self.make_room();
        }
        let resumes = self.resumes(&checked).await?;
        let home = self.session_home(subject, &mounts).await?;
        let ahead = place.ahead();
        let fresh = Fresh { dispatch, session, mounts, label, home, ahead, resumes };
        let new = self.new_dispatch(&checked, fresh);
        kill_point("before_create");
        let created = self.create(new.clone()).await?;
        kill_point("after_create");
        let turn = match created {
            Accepted::Before(turn) => return Ok(turn),
            Accepted::New(turn) => turn,
        };
        tracing::info!(%dispatch, %subject, "dispatch accepted");
        let waiting = vec![ask_of(&new.dispatch, turn.clone())];
        let Person { name, email, .. } = checked.person;
        let author = Author { name, email };
        let entry = Entry::Fresh;
        let charge = Charge { dispatch: new.dispatch, author, registration, place, waiting, entry };
        self.look_after(charge);
        Ok(turn)
    }

    pub(crate) fn look_after(&self, charge: Charge) {
        let work = supervise(self.world.clone(), charge);
        self.world.parts.tasks.spawn(TaskKind::Supervision, "supervisor", work);
    }

    /// What a dispatch has read when it begins, and what the tools that it is given may tell it: the unit
    /// is the whole of it, since an agent mixes all that it reads. A conversation that goes on holds
    /// what it held.
    async fn label(&self, checked: &Checked) -> Result<Label, DispatchError> {
        let label = label(&checked.ask).raised_by(&self.read_of_tools(&checked.ask.tools));
        let Some(before) = checked.session.as_ref().and_then(|session| session.dispatch) else {
            return Ok(label);
        };
        let before = self.world.parts.ledger.record(before).await?;
        Ok(before.map_or(label.clone(), |before| label.raised_by(&before.dispatch.label)))
    }

    /// Whether the agent goes on from a session file. A conversation whose first turns all failed
    /// before anything was saved has nothing to go on from, and begins anew under its id.
    async fn resumes(&self, checked: &Checked) -> Result<bool, DispatchError> {
        match &checked.session {
            None => Ok(false),
            Some(session) => {
                let workspaces = &self.world.parts.workspaces;
                Ok(workspaces.has_session(session.home, session.id).await?)
            }
        }
    }

    fn new_dispatch(&self, checked: &Checked, fresh: Fresh) -> NewDispatch {
        let Fresh { dispatch, session, mounts, label, home, ahead, resumes } = fresh;
        let parts = &self.world.parts;
        let now = parts.clock.now();
        let Checked { ask, prompt, turn, .. } = checked;
        let start = if resumes {
            Start::Session { turn: turn.clone(), prompt: prompt.clone() }
        } else {
            Start::Ask { turn: turn.clone(), prompt: prompt.clone() }
        };
        let dispatch = Dispatch {
            id: dispatch,
            subject: ask.subject,
            launcher: ask.launcher.clone(),
            trigger: ask.trigger,
            runner: ask.runner.clone(),
            label,
            mounts,
            start,
            session,
            context: ask.context.clone(),
            tools: ask.tools.iter().map(ToString::to_string).collect(),
            limits: ask.limits.clone().unwrap_or_else(|| parts.settings.limits.clone()),
            permission: ask.permission,
            budget: parts.settings.budget.within(ask.budget),
            model: ask.model.clone(),
            record: ask.record,
            created: now,
        };
        let token = parts.ids.uuid().to_string();
        let issuance = Issuance { domain: &parts.settings.domain, at: now, id: &token };
        let claims = serde_json::to_string(&Claims::of(&dispatch, issuance)).expect("plain data");
        let session = match &checked.session {
            Some(before) => {
                Session { last_active: now, dispatch: Some(dispatch.id), ..before.clone() }
            }
            None => Session {
                id: session,
                subject: ask.subject,
                runner: ask.runner.clone(),
                home,
                title: title(prompt),
                created: now,
                last_active: now,
                dispatch: Some(dispatch.id),
            },
        };
        NewDispatch {
            events: first_events(&dispatch, ahead),
            idempotency: idempotency(checked),
            dispatch,
            claims,
            session,
            at: now,
        }
    }

    /// Writes a dispatch, and finds out about a write that had no answer.
    async fn create(&self, new: NewDispatch) -> Result<Accepted, DispatchError> {
        let (dispatch, session) = (new.dispatch.id, new.dispatch.session);
        let turn = new.dispatch.start.turn().0.clone();
        match self.world.parts.ledger.create(new).await {
            Err(error @ LedgerError::Unavailable(_)) => {
                let ledger = &self.world.parts.ledger;
                let written = ledger.turn(session, &turn).await.ok().flatten();
                let ours = written.filter(|turn| turn.dispatch == dispatch);
                ours.map(Accepted::New).ok_or_else(|| error.into())
            }
            created => Ok(created?),
        }
    }

    /// Somebody waits: an idle box whose place would help is ended.
    pub(crate) fn make_room(&self) {
        let mut idle = self.world.live.idle().into_iter();
        if let Some(mailbox) = idle.find(|idle| self.world.places.is_wanted(idle.subject)) {
            // A full mailbox means that it is not idle any more.
            drop(mailbox.orders.try_send(Order::MakeRoom));
        }
    }
}

/// Speaks to a living agent; `None`: it came to its end and took nothing.
async fn speak(
    mailbox: &Mailbox,
    checked: &Checked,
    session: SessionId,
) -> Option<Result<Turn, DispatchError>> {
    let (answer, answered) = oneshot::channel();
    let (turn, prompt) = (checked.turn.clone(), checked.prompt.clone());
    use tokio::sync::mpsc::error::TrySendError;
    match mailbox.orders.try_send(Order::Say { turn, prompt, answer }) {
        Ok(()) => answered.await.ok(),
        Err(TrySendError::Full(_)) => {
            let retry_after = RETRY_AFTER;
            Some(Err(DispatchError::TooManyMessages { session, retry_after }))
        }
        Err(TrySendError::Closed(_)) => None,
    }
}

fn too_many(full: Full) -> DispatchError {
    DispatchError::TooMany { full, retry_after: RETRY_AFTER }
}

fn first_events(dispatch: &Dispatch, ahead: Option<u32>) -> Vec<Event> {
    let (turn, prompt) = dispatch.start.turn();
    let accepted = Event::Accepted {
        subject: dispatch.subject,
        launcher: dispatch.launcher.clone(),
        runner: dispatch.runner.clone(),
        session: dispatch.session,
        mounts: dispatch.mounts.clone(),
        label: dispatch.label.clone(),
    };
    let (turn, prompt) = (turn.clone(), prompt.to_owned());
    let turn = Event::TurnAccepted { turn, number: 1, prompt };
    let queued = ahead.map(|ahead| Event::Queued { ahead });
    [accepted, turn].into_iter().chain(queued).collect()
}

/// What triggered a dispatch, and the secrets of whom it is for.
fn label(ask: &Ask) -> Label {
    let untrusted = ask.trigger.input_trust() == InputTrust::Untrusted;
    let integrity = untrusted.then(|| format!("{:?}", ask.trigger).to_lowercase());
    Label {
        integrity: integrity.into_iter().collect(),
        secrecy: BTreeSet::from([format!("user:{}", ask.subject)]),
    }
}

fn title(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(TITLE_CHARS_MAX).collect()
}

/// The key of a request: as it was given, or the turn's id where there is no conversation yet that
/// could know it.
fn idempotency(checked: &Checked) -> Option<Idempotency> {
    let Checked { ask, session, turn, prompt, .. } = checked;
    let of_turn = || format!("turn:{turn}");
    let fresh = session.is_none() && ask.turn.is_some();
    let key = ask.idempotency.clone().or_else(|| fresh.then(of_turn))?;
    let asked = (&ask.runner, &ask.mounts, &ask.begin, ask.trigger, prompt);
    // What names neither tools nor a model is the same request as ever.
    let asked = match (&*ask.tools, &ask.model) {
        ([], None) => format!("{asked:?}"),
        chosen => format!("{:?}", (asked, chosen)),
    };
    let request = Sha256::digest(asked.as_bytes()).into();
    Some(Idempotency { subject: ask.subject, key, request })
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_title_is_the_first_line_that_says_something() {
        assert_eq!(title("\n  plan the week\nand more"), "plan the week");
        assert_eq!(title(&"x".repeat(200)).len(), 80);
    }
}
