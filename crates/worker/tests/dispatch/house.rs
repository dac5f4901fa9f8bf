//! A whole server without its HTTP: the real ledger, the process backend, the real worker, and an
//! agent that is a script. The gate is shut: the script calls no model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use embedded::lock::LockError;
use embedded::process::{ProcessBackend, ProcessConfig};
use embedded::sqlite::{OpenError, SqliteLedger};
use embedded::system::{RandomIds, SystemClock};
use engine::dispatcher::{Dispatcher, Message, Parts, QueueBounds, Settings};
use engine::endpoint::EndpointError;
use engine::port::{
    Caller, Clock, Directory, Door, Gate, IdSource, Ledger, Offered, OpenGate, Person, ToolServer,
    Tried, Workspace,
};
use engine::recovery::Recovered;
use engine::task::Tasks;
use engine::workspaces::{SeedFile, Workspaces};
use model::{
    DispatchId, End, EndpointName, Event, EventId, Limits, ModelApi, Program, Protocol, Runner,
    RunnerName, SessionId, State, Turn, UserId, WorkspaceId,
};
use tempfile::TempDir;
use trust::{Principal, Scope};

/// How long anything may take before a test fails: a machine may give a tenth of itself.
const DEADLINE: Duration = Duration::from_mins(3);

#[derive(Debug)]
struct Shut;

#[derive(Debug)]
struct Held {
    _doors: Vec<Door>,
    _caller: Caller,
}

impl OpenGate for Held {
    fn turn(&self, _turn: &model::TurnId) {}
}

#[async_trait]
impl Gate for Shut {
    async fn open(&self, caller: Caller, doors: Vec<Door>) -> std::io::Result<Box<dyn OpenGate>> {
        Ok(Box::new(Held { _doors: doors, _caller: caller }))
    }
    fn model(&self, _runner: &Runner) -> String {
        "none".to_owned()
    }
    fn models(&self) -> Vec<Offered> {
        vec![]
    }
    fn usual(&self, _runner: &Runner) -> Option<Offered> {
        None
    }
    async fn has_model(&self, _subject: UserId, _runner: &RunnerName, _name: &str) -> bool {
        false
    }
    async fn dialect(&self, _subject: UserId, runner: &Runner, _model: Option<&str>) -> ModelApi {
        runner.model_api
    }
    async fn try_endpoint(
        &self,
        _owner: UserId,
        name: &EndpointName,
        _model: Option<&str>,
    ) -> Result<Tried, EndpointError> {
        Err(EndpointError::Unknown(name.to_string()))
    }
    fn servers(&self) -> Vec<ToolServer> {
        vec![]
    }
}

pub(crate) struct Options {
    pub(crate) concurrent_max: u32,
    pub(crate) queue: QueueBounds,
    pub(crate) limits: Limits,
    /// How long an agent may take to obey a stop.
    pub(crate) stop: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let limits = Limits { idle: Duration::from_mins(10), ..Limits::default() };
        Self { concurrent_max: 8, queue: QueueBounds::default(), limits, stop: DEADLINE }
    }
}

pub(crate) struct House {
    pub(crate) folder: PathBuf,
    temporary: Option<Arc<TempDir>>,
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) workspaces: Workspaces,
    pub(crate) person: Person,
    pub(crate) workspace: WorkspaceId,
    tasks: Tasks,
}

impl House {
    pub(crate) async fn new(options: Options) -> Self {
        Self::at(Arc::new(TempDir::new().unwrap()), options).await.0
    }

    /// A server on a state directory that another one may have left.
    pub(crate) async fn at(folder: Arc<TempDir>, options: Options) -> (Self, Recovered) {
        let (mut house, recovered) = Self::on(folder.path().to_owned(), options).await;
        house.temporary = Some(folder);
        (house, recovered)
    }

    /// The same where somebody else sees to the directory.
    pub(crate) async fn on(folder: PathBuf, options: Options) -> (Self, Recovered) {
        let ledger = Arc::new(soon("the last server lets go", opened(&folder)).await);
        let tasks = Tasks::new();
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        let workspaces = Workspaces::new(&folder, tasks.clone()).unwrap();
        let (person, workspace) = people(&ledger, &workspaces, options.concurrent_max).await;
        let worker = env!("CARGO_BIN_EXE_worker").into();
        let config = ProcessConfig::new(folder.join("run"), worker);
        let backend = ProcessBackend::new(config, tasks.clone(), clock.clone()).unwrap();
        let runner = runner();
        let dispatcher = Dispatcher::new(Parts {
            ledger: ledger.clone(),
            directory: ledger.clone(),
            proposals: ledger.clone(),
            backend: Arc::new(backend),
            gate: Arc::new(Shut),
            clock,
            ids,
            tasks: tasks.clone(),
            workspaces: workspaces.clone(),
            settings: Settings {
                budget: model::Budget::default(),
                recording: false,
                queue: options.queue,
                limits: options.limits,
                runner: runner.name.clone(),
                domain: "remit.local".to_owned(),
                permission: Duration::from_mins(5),
                stop: options.stop,
                proposal_life: Duration::from_hours(24),
                program: PathBuf::from("/bin/false"),
                data: folder.clone(),
            },
            runners: [(runner.name.clone(), runner)].into(),
        });
        let dispatcher = dispatcher.unwrap();
        let recovered = soon("what was left is taken up", dispatcher.recover()).await.unwrap();
        let temporary = None;
        (
            Self { folder, temporary, ledger, dispatcher, workspaces, person, workspace, tasks },
            recovered,
        )
    }

    pub(crate) fn principal(&self) -> Principal {
        Principal::person(self.person.id, [Scope::Agent])
    }

    pub(crate) fn message(&self, session: Option<SessionId>, prompt: &str) -> Message {
        Message {
            budget: model::Budget::default(),
            record: false,
            principal: self.principal(),
            subject: self.person.id,
            session,
            turn: None,
            prompt: prompt.to_owned(),
            runner: None,
            mounts: vec![],
            limits: None,
            permission: None,
            tools: None,
            model: None,
            untested: engine::dispatcher::Untested::Take,
        }
    }

    /// Says something in a new conversation.
    pub(crate) async fn ask(&self, prompt: &str) -> Turn {
        soon("it is said", self.dispatcher.say(self.message(None, prompt))).await.unwrap()
    }

    /// Says something in the conversation of an earlier turn.
    pub(crate) async fn go_on(&self, turn: &Turn, prompt: &str) -> Turn {
        let said = self.dispatcher.say(self.message(Some(turn.session), prompt));
        soon("it is said", said).await.unwrap()
    }

    /// Every event of a dispatch so far.
    pub(crate) async fn events(&self, dispatch: DispatchId) -> Vec<Event> {
        let mut events = vec![];
        let mut after = EventId::START;
        loop {
            let page = soon("a read", self.ledger.read(dispatch, after, 500)).await.unwrap();
            let Some(last) = page.last() else { return events };
            after = last.id;
            events.extend(page.into_iter().map(|entry| entry.event));
        }
    }

    /// Waits for an event, and gives it.
    pub(crate) async fn until<T>(
        &self,
        dispatch: DispatchId,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> T {
        let mut after = EventId::START;
        let found = async {
            loop {
                for entry in self.ledger.read(dispatch, after, 500).await.unwrap() {
                    after = entry.id;
                    if let Some(found) = wanted(&entry.event) {
                        return found;
                    }
                }
                self.ledger.wait(dispatch, after).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, found).await;
        let Ok(found) = found else {
            panic!("it did not come: {:#?}", self.events(dispatch).await);
        };
        found
    }

    /// Waits for the end of a turn: how it ended, and the reply.
    pub(crate) async fn turn_end(&self, turn: &Turn) -> (model::TurnOutcome, String) {
        self.until(turn.dispatch, |event| match event {
            Event::TurnEnded { turn: ended, outcome, reply } if *ended == turn.id => {
                Some((outcome.clone(), reply.clone()))
            }
            _ => None,
        })
        .await
    }

    /// Waits until the agent said something.
    pub(crate) async fn heard(&self, turn: &Turn, words: &str) {
        self.until(turn.dispatch, |event| match event {
            Event::Message { text, .. } if text.contains(words) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits for the end of a dispatch, and checks that it is told once and is the last thing told.
    pub(crate) async fn end(&self, dispatch: DispatchId) -> (End, Option<model::FailureCode>) {
        let ended = self
            .until(dispatch, |event| match event {
                Event::Ended { end, failure } => Some((*end, failure.as_ref().map(|it| it.code))),
                _ => None,
            })
            .await;
        let events = self.events(dispatch).await;
        let ends = events.iter().filter(|event| matches!(event, Event::Ended { .. }));
        assert_eq!(ends.count(), 1, "one terminal event");
        assert!(matches!(events.last(), Some(Event::Ended { .. })), "and nothing after it");
        let record = self.ledger.record(dispatch).await.unwrap().unwrap();
        assert_eq!(record.state, State::Ended(ended.0));
        ended
    }

    /// Writes a file into the workspace of the one box there is, as if its agent had.
    pub(crate) fn put_into_the_box(&self, name: &str) {
        let run = self.folder.join("run");
        let workspace = find(&run, "README.md").expect("the box has the workspace");
        std::fs::write(workspace.with_file_name(name), "").unwrap();
    }

    /// What a file of the workspace holds at its head.
    pub(crate) async fn file(&self, path: &str) -> Option<String> {
        soon("a file is read", self.workspaces.text(self.workspace, path)).await.unwrap()
    }

    /// Waits until nobody has a place or waits for one, and checks that no box is left.
    pub(crate) async fn is_empty(&self) {
        let empty = async {
            while self.dispatcher.counts() != (0, 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, empty).await.expect("every place is given back");
        let run = self.folder.join("run");
        let left: Vec<_> = std::fs::read_dir(run).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Ends the server in good order.
    pub(crate) async fn shut_down(&self) {
        self.dispatcher.shut_down();
        assert!(self.tasks.shut_down(DEADLINE).await);
    }
}

/// The ledger, as soon as the server before has let go of it: what of that one blocks may take a moment.
async fn opened(folder: &Path) -> SqliteLedger {
    loop {
        match SqliteLedger::open(folder) {
            Err(OpenError::Lock(LockError::InUse { .. })) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

/// What must happen within a time in which it happens even on a busy machine.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// The same for all that one server does, where there is nothing finer.
pub(crate) fn run<T>(runtime: &tokio::runtime::Runtime, server: impl Future<Output = T>) -> T {
    let done = runtime.block_on(async { tokio::time::timeout(3 * DEADLINE, server).await });
    done.expect("a server that does not come to its end")
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|it| it == name) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

async fn people(
    ledger: &Arc<SqliteLedger>,
    workspaces: &Workspaces,
    concurrent_max: u32,
) -> (Person, WorkspaceId) {
    let (now, ids) = (SystemClock.now(), RandomIds);
    let person = Person {
        id: UserId::from_uuid(ids.uuid()),
        email: "jane@example.org".to_owned(),
        name: "Jane".to_owned(),
        concurrent_max,
        created: now,
    };
    let person = ledger.add_person(person).await.unwrap();
    let workspace = Workspace {
        id: WorkspaceId::from_uuid(ids.uuid()),
        name: "home".parse().unwrap(),
        owner: person.id,
        purpose: String::new(),
        created: now,
    };
    let id = ledger.add_workspace(workspace).await.unwrap().id;
    let seed = SeedFile { path: "README.md".to_owned(), content: b"hello\n".to_vec() };
    workspaces.create(id, vec![seed], &person, now).await.unwrap();
    (person, id)
}

fn runner() -> Runner {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dispatch");
    let env = [("PATH", "/usr/bin:/bin"), ("SESSION", "/session")];
    let env: BTreeMap<String, String> =
        env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Runner {
        name: "script".parse().unwrap(),
        title: "A script".to_owned(),
        version: None,
        program: Program::Folder(scripts),
        install: None,
        argv: vec!["/bin/sh".to_owned(), "/opt/runner/agent.sh".to_owned()],
        resume_argv: None,
        env,
        protocol: Protocol::Acp,
        lines: vec![],
        model_api: ModelApi::OpenaiChat,
        permissions: None,
        mcp: None,
        settings: BTreeMap::new(),
    }
}
