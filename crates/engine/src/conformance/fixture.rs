//! Nouns to check adapters with. Every id is new, so that suites may share one store.

use std::future::Future;
use std::time::Duration;

use model::{
    Dispatch, DispatchId, Event, InputTrust, Label, Launcher, Limits, Session, SessionId, Start,
    State, Time, Trigger, TurnId, UserId, WorkspaceId,
};
use uuid::Uuid;

use crate::port::{Append, Durability, NewDispatch, NewTurn};

/// How long anything may take before the promise counts as broken.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Makes ids that sort in the order they were made, and that no other run makes.
#[derive(Debug)]
pub struct Ids {
    next: std::cell::Cell<u128>,
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    /// Ids of a new run.
    pub fn new() -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        // Room for 2^32 ids above it, in the form of an id of version 7.
        let start = u128::from_be_bytes(random) >> 2 << 32;
        Self { next: std::cell::Cell::new(start) }
    }

    /// The next bits.
    pub fn uuid(&self) -> Uuid {
        self.next.set(self.next.get() + 1);
        Uuid::from_u128(self.next.get())
    }

    /// The next person.
    pub fn user(&self) -> UserId {
        UserId::from_uuid(self.uuid())
    }

    /// The next conversation.
    pub fn session(&self) -> SessionId {
        SessionId::from_uuid(self.uuid())
    }

    /// The next workspace.
    pub fn workspace(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.uuid())
    }
}

/// A time that only says which came first.
pub fn at(ms: u64) -> Time {
    Time::from_ms(1_700_000_000_000 + ms)
}

/// A turn's id from a valid name.
pub fn turn_id(text: &str) -> TurnId {
    text.parse().expect("a valid name")
}

/// A person's new conversation with its first turn.
pub fn new_dispatch(ids: &Ids, subject: UserId, turn: &str, ms: u64) -> NewDispatch {
    let (id, session) = (DispatchId::from_uuid(ids.uuid()), ids.session());
    let runner = "remit".parse().expect("a valid name");
    let prompt = format!("what {turn} asks");
    let dispatch = Dispatch {
        id,
        subject,
        launcher: Launcher::User(subject),
        trigger: Trigger::Message,
        runner,
        mounts: Vec::new(),
        start: Start::Ask { turn: turn_id(turn), prompt: prompt.clone() },
        session,
        context: model::invocation::Context::default(),
        tools: Vec::new(),
        label: Label::default(),
        limits: Limits::default(),
        permission: model::Permission::Auto,
        budget: model::Budget::default(),
        model: None,
        record: false,
        created: at(ms),
    };
    debug_assert_eq!(dispatch.trigger.input_trust(), InputTrust::Trusted);
    let accepted = Event::Accepted {
        subject,
        launcher: dispatch.launcher.clone(),
        runner: dispatch.runner.clone(),
        session,
        mounts: Vec::new(),
        label: Label::default(),
    };
    let turn_accepted = Event::TurnAccepted { turn: turn_id(turn), number: 1, prompt };
    NewDispatch {
        claims: r#"{"claims":"of the token"}"#.to_owned(),
        session: Session {
            id: session,
            subject,
            runner: dispatch.runner.clone(),
            home: ids.workspace(),
            title: "what".to_owned(),
            created: at(ms),
            last_active: at(ms),
            dispatch: Some(id),
        },
        dispatch,
        events: vec![accepted, turn_accepted],
        at: at(ms),
        idempotency: None,
    }
}

/// A further turn of that dispatch.
pub fn new_turn(of: &NewDispatch, epoch: u32, turn: &str, ms: u64) -> NewTurn {
    NewTurn {
        dispatch: of.dispatch.id,
        epoch,
        session: of.dispatch.session,
        turn: turn_id(turn),
        number: 2,
        prompt: format!("what {turn} asks"),
        state: State::Running,
        at: at(ms),
    }
}

/// Pieces of text to append, synced, and nothing else.
pub fn texts(dispatch: DispatchId, epoch: u32, texts: &[&str]) -> Append {
    Append {
        dispatch,
        epoch,
        events: texts.iter().map(|text| message(text)).collect(),
        at: at(50),
        state: None,
        cursor: None,
        recovery: None,
        durability: Durability::Synced,
    }
}

/// A piece of text.
pub fn message(text: &str) -> Event {
    Event::Message { item: "m".to_owned(), text: text.to_owned() }
}

/// What came of it, unless it takes too long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(DEADLINE, future).await;
    assert!(outcome.is_ok(), "{what} did not happen in {DEADLINE:?}");
    outcome.expect("checked just now")
}
