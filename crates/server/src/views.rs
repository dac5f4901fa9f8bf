//! What outsiders are shown of the nouns. Decides nothing.

use engine::port::{Key, Person, Record, Usage};
use engine::runner::tested::{Tested, Verdict, definition};
use model::{Runner, Session, State, Time};
use serde_json::{Value, json};

/// A time as RFC 3339, in UTC.
pub(crate) fn time(time: Time) -> String {
    let ms = i64::try_from(time.as_ms()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// The day of a time, in UTC.
pub(crate) fn day(time: Time) -> jiff::civil::Date {
    let ms = i64::try_from(time.as_ms()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    jiff::tz::Offset::UTC.to_datetime(time).date()
}

/// A dispatch and what its models used.
pub(crate) fn dispatch(record: &Record, used: &Usage) -> Value {
    let dispatch = &record.dispatch;
    let (state, stop_reason) = match record.state {
        State::Queued => ("queued", None),
        State::Starting => ("starting", None),
        State::Running => ("running", None),
        State::Idle => ("idle", None),
        State::Ended(end) => ("ended", Some(end.stop_reason())),
    };
    let (turn, prompt) = dispatch.start.turn();
    json!({
        "id": dispatch.id,
        "subject": dispatch.subject,
        "launcher": dispatch.launcher,
        "trigger": dispatch.trigger,
        "input_trust": dispatch.trigger.input_trust(),
        "runner": dispatch.runner,
        "session": dispatch.session,
        "resumes": dispatch.start.resumes(),
        "turn": turn,
        "prompt": prompt,
        "workspaces": dispatch.mounts,
        "label": dispatch.label,
        "state": state,
        "stop_reason": stop_reason,
        "created": time(dispatch.created),
        "changed": time(record.changed),
        "last_event": record.last,
        "budget": dispatch.budget,
        "usage": usage(used),
    })
}

/// What models used. Of requests whose endpoint did not say, or that have no price, it says how many
/// there are, so that nobody takes a part for the whole.
pub(crate) fn usage(usage: &Usage) -> Value {
    let mut shown = json!({
        "requests": usage.requests,
        "input_tokens": usage.tokens.input,
        "cached_tokens": usage.tokens.cached,
        "output_tokens": usage.tokens.output,
        "unknown": usage.unknown,
        "unpriced": usage.unpriced,
    });
    if let Some(cost) = usage.cost_micros {
        shown["cost_micros"] = cost.into();
    }
    shown
}

pub(crate) fn session(session: &Session) -> Value {
    json!({
        "session": session.id,
        "title": session.title,
        "created": time(session.created),
        "last_active": time(session.last_active),
    })
}

pub(crate) fn runner(runner: &Runner, tested: &Tested) -> Value {
    let passed = matches!(tested.verdict(runner), Verdict::Own | Verdict::Passed);
    let install = runner.install.as_ref().map(|_| format!("remit runner install {}", runner.name));
    json!({
        "name": runner.name,
        "title": runner.title,
        "version": runner.version,
        "protocol": runner.protocol,
        "model_api": runner.model_api,
        "installed": engine::runner::is_installed(runner),
        "install": install,
        "permissions": runner.permissions.is_some(),
        "definition": definition(runner),
        "passed": passed,
        "test": tested.report(runner),
    })
}

pub(crate) fn person(person: &Person) -> Value {
    json!({
        "user_id": person.id,
        "email": person.email,
        "name": person.name,
        "max_concurrent": person.concurrent_max,
        "created": time(person.created),
    })
}

pub(crate) fn key(key: &Key) -> Value {
    json!({
        "id": key.id,
        "user_id": key.subject,
        "label": key.label,
        "scopes": key.scopes,
        "created": time(key.created),
        "expires": key.expires.map(time),
    })
}
