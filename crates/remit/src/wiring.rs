//! What is built from what. The only place where parts meet.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use embedded::sqlite::SqliteLedger;
use embedded::system::{RandomIds, SystemClock};
use engine::dispatcher::{Dispatcher, Parts, QueueBounds, Settings};
use engine::endpoint::{self, Endpoints};
use engine::port::{Clock, Gate, IdSource, ModelPrice};
use engine::proposal::{self, Drafts, Inbox};
use engine::remote::Outside;
use engine::runner::builtin_runners;
use engine::task::{TaskKind, Tasks};
use gate::{Broker, DayBudgets, Endpoint, EndpointParts, Secret, ServerParts, Setup};
use knowledge::Knowledge;
use model::{Budget, Limits, ModelApi, Program, Runner, RunnerName, Time, UserId};
use server::{BasePath, Defaults, Hosts, Links};
use tokio::net::TcpListener;

use crate::backend;
use crate::command;
use crate::config::{Config, NamedEndpoint, NamedPrice, NamedServer};
use crate::descriptors::{self, Share};
use crate::exit::{Exit, Failed};
use crate::outside;
use crate::profile::Profile;
use crate::seed::Ground;
use crate::storage::{self, Storage};

/// How long connections may take to end when the server stops.
const CONNECTIONS_END: Duration = Duration::from_secs(5);
/// How long living dispatches may take to come to rest when the server stops.
const DISPATCHES_END: Duration = Duration::from_secs(20);
/// The trust domain of dispatch tokens.
const DOMAIN: &str = "remit.local";

/// A server that is ready.
pub(crate) struct Server {
    /// Where it is, and the keys of who runs it.
    pub(crate) profile: Profile,
    /// A link that logs the owner's browser in.
    pub(crate) login: String,
    /// The model that answers.
    pub(crate) model: String,
    /// Whether its backend isolates.
    pub(crate) isolates: bool,
    dispatcher: Dispatcher,
    storage: Storage,
    connections: Tasks,
    work: Tasks,
}

impl Server {
    /// Builds everything and serves. When this returns, the server is ready.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let (connections, work) = (Tasks::new(), Tasks::new());
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        let reach = outside::reach(config)?;
        // Ports before work: what cannot be reached must not run anything.
        let listener = bind(config).await?;
        let (share, data) = (shared(config), make_data(&config.data())?);
        let storage = storage::open(config, &data, &work)?;
        let Storage { ledger, workspaces, .. } = storage.clone();
        let endpoints = endpoints(config, &storage, &work).await?;
        let backend = backend::build(config, &data, &work, clock.clone())?;
        let isolates = backend.fingerprint().isolates;
        let knowledge = Knowledge::new(workspaces.clone());
        let gate = Arc::new(broker(config, (&knowledge, &endpoints), &work, ledger.clone())?);
        let runners = runners(&data)?;
        let settings = settings(config, share.live, &runners, &data)?;
        let model = gate.model(&runners[&settings.runner]);
        let (defaults, life) = (defaults(&runners, &settings, &model), settings.proposal_life);
        let dispatcher = Dispatcher::new(Parts {
            ledger: ledger.clone(),
            directory: ledger.clone(),
            proposals: ledger.clone(),
            backend,
            gate,
            clock: clock.clone(),
            ids: ids.clone(),
            tasks: work.clone(),
            workspaces: workspaces.clone(),
            runners,
            settings,
        })
        .context("cannot write the settings of runners")?;
        dispatcher.recover().await.context("cannot take up what an earlier server left")?;
        let ground = Ground {
            directory: &*ledger,
            workspaces: &workspaces,
            clock: &*clock,
            ids: &*ids,
            data: &data,
            concurrent_max: u32::try_from(config.number("limits.live_per_person"))?,
        };
        let address = listener.local_addr()?;
        let base_path: BasePath = config.text("server.base_path").unwrap_or_default().parse()?;
        let url = format!("http://{address}{}", base_path.as_str());
        let (profile, owner) = ground.prepare(&url).await?;
        let (links, login) = first_link(&url, &*ids, owner, clock.now());
        let parts = server::Parts {
            dispatcher: dispatcher.clone(),
            ledger: ledger.clone(),
            usage: ledger.clone(),
            recordings: ledger.clone(),
            directory: ledger.clone(),
            knowledge,
            proposals: ledger.clone(),
            inbox: inbox(&storage, life, &work),
            outside: Outside::new(reach, workspaces.clone(), work.clone(), Arc::new(RandomIds)),
            endpoints,
            workspaces,
            clock,
            ids,
            tasks: connections.clone(),
            hosts: hosts(config, address.ip().is_loopback()),
            base_path,
            links,
            defaults,
        };
        let (most, router) = (usize::try_from(share.connections)?, server::router(parts));
        let serving = server::serve(listener, router, most, connections.clone());
        connections.spawn(TaskKind::Core, "serve", serving);
        Ok(Self { profile, login, model, isolates, dispatcher, storage, connections, work })
    }

    /// Completes when the process cannot go on.
    pub(crate) async fn broken(&self) {
        let (connections, work) = (self.connections.broken(), self.work.broken());
        tokio::select! {
            () = self.storage.ledger.broken() => {}
            () = connections.cancelled() => {}
            () = work.cancelled() => {}
        }
    }

    /// Ends in order: nothing new is taken and what lives comes to its end, so that those who follow
    /// it see how; then connections end.
    pub(crate) async fn shut_down(&self) {
        self.dispatcher.shut_down();
        self.work.shut_down(DISPATCHES_END).await;
        self.connections.shut_down(CONNECTIONS_END).await;
        self.storage.workspaces.close();
    }
}

/// The links that log a browser in, and the first of them, which is the owner's.
fn first_link(url: &str, ids: &dyn IdSource, owner: UserId, now: Time) -> (Arc<Links>, String) {
    let links = Arc::new(Links::default());
    let login = command::login::address(url, &links.make(ids, owner, now));
    (links, login)
}

/// The open files of this process, shared out.
fn shared(config: &Config) -> Share {
    let (live, connections) = (config.number("limits.live"), server::CONNECTIONS_MAX);
    descriptors::share(&Share { live, connections })
}

/// What is shown and chosen where the caller does not choose.
fn defaults(runners: &BTreeMap<RunnerName, Runner>, settings: &Settings, model: &str) -> Defaults {
    Defaults {
        runners: runners.values().cloned().collect(),
        runner: settings.runner.clone(),
        model: model.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// The model endpoints that people bring, at hosts that the operator named. Keys that nobody has are destroyed.
async fn endpoints(config: &Config, storage: &Storage, work: &Tasks) -> anyhow::Result<Endpoints> {
    let endpoints = Endpoints::new(endpoint::EndpointParts {
        directory: storage.ledger.clone(),
        vault: storage.vault.clone(),
        hosts: outside::model_hosts(config)?,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        tasks: work.clone(),
    });
    endpoints.sweep().await?;
    Ok(endpoints)
}

/// The inbox of proposals. What an earlier server left unfinished in it is taken up beside all else.
fn inbox(storage: &Storage, life: Duration, work: &Tasks) -> Inbox {
    let Storage { ledger, workspaces, .. } = storage.clone();
    let drafts = Drafts { proposals: ledger.clone(), workspaces, life };
    let inbox = Inbox::new(proposal::Parts {
        drafts,
        ledger,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    });
    let unfinished = inbox.clone();
    work.spawn(TaskKind::Supervision, "take proposals up", async move {
        unfinished.recover().await;
    });
    inbox
}

async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let listen = config.text("server.listen").unwrap_or_default();
    TcpListener::bind(listen).await.map_err(|problem| {
        Failed::new(Exit::Unavailable, format!("cannot listen on {listen}: {problem}"))
            .next("choose another address with --listen; port 0 takes any that is free")
            .into()
    })
}

/// The data folder, its owner's alone; its path without links, as sandboxes need it.
fn make_data(data: &Path) -> anyhow::Result<std::path::PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.and_then(|()| data.canonicalize()).map_err(|problem| {
        Failed::new(
            Exit::Config,
            format!("cannot use the data folder {}: {problem}", data.display()),
        )
        .next("choose another one with --data")
        .into()
    })
}

/// The gate's broker, with the endpoint that is configured; with none, the demo model answers.
fn broker(
    config: &Config,
    (knowledge, persons): (&Knowledge, &Endpoints),
    tasks: &Tasks,
    ledger: Arc<SqliteLedger>,
) -> anyhow::Result<Broker> {
    let named = config.endpoints().map(|(name, endpoint)| named(name, endpoint));
    let endpoints = endpoint(config)?.map(Ok).into_iter().chain(named).collect::<Result<_, _>>()?;
    let servers = config.servers().map(|(name, it)| tools(name, it)).collect::<Result<_, _>>()?;
    let setup = Setup {
        endpoints,
        persons: Some(persons.clone()),
        budgets: DayBudgets {
            person: budget(config, "person_day"),
            everybody: budget(config, "server_day"),
        },
        servers,
        knowledge: Some(knowledge.clone()),
        limits: gate::Limits::default(),
        tasks: tasks.clone(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        recordings: ledger.clone(),
        book: ledger,
    };
    Ok(Broker::new(setup)?)
}

/// A server of tools of a file, checked.
fn tools(name: &str, server: &NamedServer) -> Result<gate::Server, Failed> {
    let parts = ServerParts {
        name: name.to_owned(),
        about: server.about.clone(),
        url: server.url.clone(),
        key: server.key(name)?.map(Secret::new),
        header: server.header.clone(),
        reads: server.reads.clone(),
        acts: server.acts.clone(),
        untrusted: server.untrusted,
    };
    let checked = gate::Server::new(parts);
    checked.map_err(|problem| Failed::new(Exit::Config, problem.to_string()))
}

/// The endpoint that is configured, checked.
pub(crate) fn endpoint(config: &Config) -> Result<Option<Endpoint>, Failed> {
    let Some(url) = config.text("model.url") else { return Ok(None) };
    let model = config.text("model.name").ok_or_else(|| {
        Failed::new(Exit::Config, "model.url is set, model.name is not")
            .next("name the model with --model or REMIT_MODEL__NAME")
    })?;
    let parts = EndpointParts {
        name: "model".to_owned(),
        api: config.text("model.api").and_then(dialect).unwrap_or(ModelApi::OpenaiChat),
        base_url: url.to_owned(),
        key: config.text("model.key").map(|key| Secret::new(key.to_owned())),
        model: model.to_owned(),
        models: Vec::new(),
        runners: Vec::new(),
        max_tokens: number(config, "model.max_tokens"),
        prices: price(config)?.into_iter().collect(),
    };
    let endpoint = Endpoint::new(parts);
    endpoint.map(Some).map_err(|problem| Failed::new(Exit::Config, problem.to_string()))
}

/// A number that may be absent.
fn number(config: &Config, key: &str) -> Option<u64> {
    config.text(key).and_then(|text| text.parse().ok())
}

/// The budget whose settings begin like this.
fn budget(config: &Config, whose: &str) -> Budget {
    let most = |what: &str| number(config, &format!("budget.{whose}_{what}"));
    Budget { requests: most("requests"), tokens: most("tokens"), micros: most("micros") }
}

/// What the models of the first endpoint cost, if it is said.
fn price(config: &Config) -> Result<Option<ModelPrice>, Failed> {
    let keys = ["model.input_price", "model.cached_price", "model.output_price"];
    match keys.map(|key| number(config, key)) {
        [None, None, None] => Ok(None),
        [Some(input), cached, Some(output)] => {
            Ok(Some(ModelPrice { models: "*".to_owned(), input, cached, output }))
        }
        _ => Err(Failed::new(Exit::Config, "a price needs both sides")
            .next("set model.input_price and model.output_price")),
    }
}

/// The dialect of this name.
fn dialect(name: &str) -> Option<ModelApi> {
    match name {
        "openai" => Some(ModelApi::OpenaiChat),
        "responses" => Some(ModelApi::OpenaiResponses),
        "anthropic" => Some(ModelApi::AnthropicMessages),
        "gemini" => Some(ModelApi::Gemini),
        _ => None,
    }
}

/// An endpoint of a file, checked.
fn named(name: &str, told: &NamedEndpoint) -> Result<Endpoint, Failed> {
    let bad = |problem: String| Failed::new(Exit::Config, problem);
    if endpoint::is_own(name) {
        return Err(bad(format!(
            "`[model.{name}]` must not begin with `@`: that is how people name their own"
        )));
    }
    let api = dialect(told.api.as_deref().unwrap_or("openai")).ok_or_else(|| {
        bad(format!("`model.{name}.api` must be openai, responses, anthropic or gemini"))
    })?;
    let runner = |runner: &String| runner.parse::<RunnerName>();
    let runners = told.runners.iter().map(runner).collect::<Result<_, _>>();
    let parts = EndpointParts {
        name: name.to_owned(),
        api,
        base_url: told.url.clone(),
        key: told.key(name)?.map(Secret::new),
        model: told.name.clone(),
        models: told.models.clone(),
        runners: runners.map_err(|problem| bad(format!("`model.{name}.runners`: {problem}")))?,
        max_tokens: told.max_tokens,
        prices: told.prices.iter().map(priced).collect(),
    };
    Endpoint::new(parts).map_err(|problem| bad(problem.to_string()))
}

fn priced(price: &NamedPrice) -> ModelPrice {
    let NamedPrice { models, input, cached, output } = price;
    ModelPrice { models: models.clone(), input: *input, cached: *cached, output: *output }
}

/// The runners that come with the program, and those of `<data>/runners/*.toml`; their folders whole.
pub(crate) fn runners(data: &Path) -> anyhow::Result<BTreeMap<RunnerName, Runner>> {
    let mut runners = builtin_runners();
    let folder = data.join("runners");
    runners.extend(runner_files(&folder).with_context(|| folder.display().to_string())?);
    for runner in &mut runners {
        if let Program::Folder(folder) = &mut runner.program {
            *folder = data.join(&*folder);
        }
    }
    Ok(runners.into_iter().map(|runner| (runner.name.clone(), runner)).collect())
}

/// The runners of the files in this folder, in the order of their paths.
fn runner_files(folder: &Path) -> anyhow::Result<Vec<Runner>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(problem) => return Err(problem.into()),
    };
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.sort();
    let mut runners = vec![];
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let runner: Runner = toml::from_str(&text).map_err(|problem| {
            Failed::new(Exit::Config, format!("{}: {problem}", path.display()))
        })?;
        runner.check().map_err(|problem| {
            Failed::new(Exit::Config, format!("{}: {problem}", path.display()))
        })?;
        runners.push(runner);
    }
    Ok(runners)
}

const DAY: Duration = Duration::from_hours(24);

fn settings(
    config: &Config,
    live_max: u64,
    runners: &BTreeMap<RunnerName, Runner>,
    data: &Path,
) -> anyhow::Result<Settings> {
    let runner: RunnerName = config.text("chat.runner").unwrap_or_default().parse()?;
    if !runners.contains_key(&runner) {
        let known: Vec<_> = runners.keys().map(RunnerName::as_str).collect();
        let what = format!("`chat.runner` is `{runner}`; there is no such runner");
        let next = format!("there are {}", known.join(", "));
        return Err(Failed::new(Exit::Config, what).next(next).into());
    }
    let live_max = usize::try_from(live_max)?;
    Ok(Settings {
        queue: QueueBounds { live_max, ..QueueBounds::default() },
        limits: limits(config)?,
        budget: budget(config, "dispatch"),
        recording: config.text("recording.allowed") == Some("yes"),
        runner,
        domain: DOMAIN.to_owned(),
        permission: Duration::from_secs(config.number("limits.permission_s")),
        stop: Duration::from_secs(config.number("limits.stop_s")),
        proposal_life: DAY * u32::try_from(config.number("limits.proposal_days"))?,
        program: std::env::current_exe().context("cannot find this program")?,
        data: data.to_owned(),
    })
}

fn limits(config: &Config) -> anyhow::Result<Limits> {
    let seconds = |key| Duration::from_secs(config.number(key));
    Ok(Limits {
        memory_bytes_max: config.number("limits.memory_mib") << 20,
        pids_max: u32::try_from(config.number("limits.pids"))?,
        scratch_bytes_max: config.number("limits.scratch_mib") << 20,
        scratch_inodes_max: config.number("limits.scratch_files"),
        idle: seconds("limits.idle_s"),
        turn: seconds("limits.turn_s"),
        lifetime: seconds("limits.lifetime_s"),
        ..Limits::default()
    })
}

fn hosts(config: &Config, loopback: bool) -> Hosts {
    let names = config.text("server.hosts").map(|names| {
        names
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    });
    match (names, loopback) {
        (Some(names), _) => Hosts::Named(names),
        (None, true) => Hosts::Loopback,
        (None, false) => Hosts::Any,
    }
}
