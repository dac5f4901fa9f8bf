//! What outsiders are shown of the nouns. Decides nothing.

use engine::port::{Key, Person, Record, ToolServer, Usage};
use engine::runner::tested::{Report, Tested, Verdict, definition};
use model::{
    Budget, DispatchId, End, EventId, InputTrust, KeyId, Label, Launcher, ModelApi, Mount,
    Protocol, Runner, RunnerName, ServerName, Session, SessionId, State, Time, ToolEffect, Trigger,
    TurnId, UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use trust::{Scope, Stands};

/// A time as RFC 3339, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "date-time"))]
pub(crate) struct Moment(String);

/// A time as outsiders are told it.
pub(crate) fn time(time: Time) -> Moment {
    let ms = i64::try_from(time.as_ms()).unwrap_or(i64::MAX);
    Moment(jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string())
}

/// The day of a time, in UTC.
pub(crate) fn day(time: Time) -> jiff::civil::Date {
    let ms = i64::try_from(time.as_ms()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    jiff::tz::Offset::UTC.to_datetime(time).date()
}

/// A dispatch, and where it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Dispatch")]
pub(crate) struct DispatchView {
    /// Its id.
    id: DispatchId,
    /// On whose behalf.
    subject: UserId,
    /// What started it.
    launcher: Launcher,
    /// Why it was started.
    trigger: Trigger,
    /// Whether what triggered it may be believed.
    input_trust: InputTrust,
    /// What drives the agent.
    runner: RunnerName,
    /// The conversation.
    session: SessionId,
    /// Whether it continues one.
    resumes: bool,
    /// Its first turn.
    turn: TurnId,
    /// What that turn asks.
    prompt: String,
    /// The workspaces as mounted.
    workspaces: Vec<Mount>,
    /// The tools behind the gate that it may call.
    tools: Vec<String>,
    /// The model that was chosen for it; null for the usual one.
    model: Option<String>,
    /// What it had read when it began.
    label: Label,
    /// Where it stands.
    state: Phase,
    /// Why it is over; null while it is not.
    stop_reason: Option<StopReason>,
    /// When it was accepted.
    created: Moment,
    /// When it came to where it stands.
    changed: Moment,
    /// Its last event.
    last_event: EventId,
    /// What its models may use.
    budget: Budget,
    /// Whether what they are asked and answer is kept.
    record: bool,
    /// What its models used.
    usage: UsageView,
}

/// Where a dispatch stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DispatchState")]
enum Phase {
    Queued,
    Starting,
    Running,
    Idle,
    Ended,
}

/// Why a dispatch is over.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StopReason {
    Completed,
    Stopped,
    IdleTimeout,
    Failed,
    Oom,
    StartFailed,
    MaxLifetime,
}

impl From<End> for StopReason {
    fn from(end: End) -> Self {
        match end {
            End::Completed => Self::Completed,
            End::Stopped => Self::Stopped,
            End::Reaped => Self::IdleTimeout,
            End::Failed => Self::Failed,
            End::OutOfMemory => Self::Oom,
            End::StartFailed => Self::StartFailed,
            End::MaxLifetime => Self::MaxLifetime,
        }
    }
}

/// A dispatch and what its models used.
pub(crate) fn dispatch(record: &Record, used: &Usage) -> DispatchView {
    let dispatch = &record.dispatch;
    let (state, stop_reason) = match record.state {
        State::Queued => (Phase::Queued, None),
        State::Starting => (Phase::Starting, None),
        State::Running => (Phase::Running, None),
        State::Idle => (Phase::Idle, None),
        State::Ended(end) => (Phase::Ended, Some(end.into())),
    };
    let (turn, prompt) = dispatch.start.turn();
    DispatchView {
        id: dispatch.id,
        subject: dispatch.subject,
        launcher: dispatch.launcher.clone(),
        trigger: dispatch.trigger,
        input_trust: dispatch.trigger.input_trust(),
        runner: dispatch.runner.clone(),
        session: dispatch.session,
        resumes: dispatch.start.resumes(),
        turn: turn.clone(),
        prompt: prompt.to_owned(),
        workspaces: dispatch.mounts.clone(),
        tools: dispatch.tools.clone(),
        model: dispatch.model.clone(),
        label: dispatch.label.clone(),
        state,
        stop_reason,
        created: time(dispatch.created),
        changed: time(record.changed),
        last_event: record.last,
        budget: dispatch.budget,
        record: dispatch.record,
        usage: usage(used),
    }
}

/// What models used. Of requests whose endpoint did not say, or that have no price, it says how many
/// there are, so that nobody takes a part for the whole.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(crate) struct UsageView {
    /// How often a model was asked.
    requests: u64,
    /// Tokens of the requests, those that were cached included.
    input_tokens: u64,
    /// Tokens of the requests that the endpoint had cached.
    cached_tokens: u64,
    /// Tokens of the answers.
    output_tokens: u64,
    /// Requests whose endpoint did not say what they used.
    unknown: u64,
    /// Requests that have no price.
    unpriced: u64,
    /// What those that have a price cost together, in millionths; absent where none has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_micros: Option<u64>,
}

pub(crate) fn usage(usage: &Usage) -> UsageView {
    UsageView {
        requests: usage.requests,
        input_tokens: usage.tokens.input,
        cached_tokens: usage.tokens.cached,
        output_tokens: usage.tokens.output,
        unknown: usage.unknown,
        unpriced: usage.unpriced,
        cost_micros: usage.cost_micros,
    }
}

/// The dispatch that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    pub(crate) workload_id: DispatchId,
}

/// A conversation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(crate) struct SessionView {
    /// Its id.
    session: SessionId,
    /// The beginning of its first prompt.
    title: String,
    /// When its first turn was asked for.
    created: Moment,
    /// When its last turn was asked for, or ended.
    last_active: Moment,
}

pub(crate) fn session(session: &Session) -> SessionView {
    SessionView {
        session: session.id,
        title: session.title.clone(),
        created: time(session.created),
        last_active: time(session.last_active),
    }
}

/// What drives an agent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Runner")]
#[expect(clippy::struct_excessive_bools, reason = "the documented names on the wire")]
pub struct RunnerView {
    /// Its name.
    name: RunnerName,
    /// One sentence for people.
    title: String,
    /// The version that was pinned; null for the built-in agent.
    version: Option<String>,
    /// What it speaks.
    protocol: Protocol,
    /// In which dialect it calls a model.
    model_api: ModelApi,
    /// Whether its program is on this server.
    installed: bool,
    /// The command that installs it; null where there is nothing to install.
    install: Option<String>,
    /// Whether it can be told to ask before it acts.
    permissions: bool,
    /// Whether it can be given tools behind the gate.
    mcp: bool,
    /// Stands for its whole definition: another one is another runner.
    definition: String,
    /// Whether it may be picked.
    passed: bool,
    /// What its last test found; null if it was never tested as it is now.
    test: Option<Report>,
}

/// A runner as outsiders see it.
pub fn runner(runner: &Runner, tested: &Tested) -> RunnerView {
    RunnerView {
        name: runner.name.clone(),
        title: runner.title.clone(),
        version: runner.version.clone(),
        protocol: runner.protocol,
        model_api: runner.model_api,
        installed: engine::runner::is_installed(runner),
        install: runner.install.as_ref().map(|_| format!("remit runner install {}", runner.name)),
        permissions: runner.permissions.is_some(),
        mcp: runner.mcp.is_some(),
        definition: definition(runner),
        passed: matches!(tested.verdict(runner), Verdict::Own | Verdict::Passed),
        test: tested.report(runner),
    }
}

/// A server of tools behind the gate.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ToolServer")]
pub(crate) struct ToolServerView {
    /// What it is called.
    name: ServerName,
    /// For people, one line.
    about: String,
    /// Whether it stands in this program.
    built_in: bool,
    /// Whether what began with input from outside may ask it.
    untrusted: bool,
    /// What may be called of it.
    tools: Vec<ToolView>,
}

/// A tool of a server behind the gate.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tool")]
pub(crate) struct ToolView {
    /// Its name.
    name: String,
    /// Whether it only looks something up.
    effect: ToolEffect,
}

pub(crate) fn tool_server(server: &ToolServer) -> ToolServerView {
    let tool =
        |(name, effect): &(String, ToolEffect)| ToolView { name: name.clone(), effect: *effect };
    ToolServerView {
        name: server.name.clone(),
        about: server.about.clone(),
        built_in: server.stands == Stands::Inside,
        untrusted: server.stands != Stands::Outside { untrusted: false },
        tools: server.tools.iter().map(tool).collect(),
    }
}

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Person")]
pub(crate) struct PersonView {
    /// Their id.
    user_id: UserId,
    /// Their mail address.
    email: String,
    /// What they are called.
    name: String,
    /// How many dispatches of theirs may be alive at once.
    max_concurrent: u32,
    /// When they were added.
    created: Moment,
}

pub(crate) fn person(person: &Person) -> PersonView {
    PersonView {
        user_id: person.id,
        email: person.email.clone(),
        name: person.name.clone(),
        max_concurrent: person.concurrent_max,
        created: time(person.created),
    }
}

/// A key, without what it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct KeyView {
    /// Its id.
    id: KeyId,
    /// Whose it is.
    user_id: UserId,
    /// What it is for, in their words.
    label: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it was made.
    created: Moment,
    /// When it stops to be valid; null: never.
    expires: Option<Moment>,
}

pub(crate) fn key(key: &Key) -> KeyView {
    KeyView {
        id: key.id,
        user_id: key.subject,
        label: key.label.clone(),
        scopes: key.scopes.clone(),
        created: time(key.created),
        expires: key.expires.map(time),
    }
}
