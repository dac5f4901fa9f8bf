//! One call of a tool: may it be made, what came of it, and what is told of it in the stream of the
//! dispatch. Whatever happens, it is told before its caller learns of it.

use engine::port::{Caller, Report};
use model::event::Brokered;
use model::{Event, ServerName};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Found;
use super::answer::Asked;
use super::outside::Fault;
use super::own::Own;
use super::wire::{self, Calling, Returned};
use crate::limit::{TOOL_ARGUMENTS_TOLD_BYTES_MAX, TOOL_CALLS_MAX};

/// What a caller is answered.
pub(super) enum Called {
    /// As the tool returned it.
    Returned(Box<RawValue>),
    /// There is no such tool for it.
    Unknown(String),
    /// The server refused the call in its own words.
    Stated { code: i64, message: String },
}

/// Makes the call, if it may be made.
pub(super) async fn call(asked: &Asked<'_>, calling: &Calling<'_>) -> Called {
    let clock = asked.serving.clock();
    let began = clock.instant();
    let (called, outcome) = tried(asked, calling).await;
    let elapsed = clock.instant().saturating_duration_since(began);
    if let Some(server) = server_name(asked) {
        let event = Event::Brokered {
            server,
            tool: calling.name.chars().take(128).collect(),
            arguments: told(calling.arguments),
            outcome,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        // A supervisor that is gone wants to hear nothing.
        drop(asked.serving.caller.reports.send(Report::Event(event)).await);
    }
    called
}

fn server_name(asked: &Asked<'_>) -> Option<ServerName> {
    asked.name.parse().ok()
}

async fn tried(asked: &Asked<'_>, calling: &Calling<'_>) -> (Called, Brokered) {
    let serving = asked.serving;
    if !asked.may(&calling.name) {
        let why = format!(
            "there is no such tool here for this dispatch; there is {}",
            asked.callable.join(", ")
        );
        return (Called::Unknown(why), Brokered::Refused);
    }
    let object = |raw: &RawValue| raw.get().starts_with('{');
    if !calling.arguments.is_none_or(object) {
        return (Called::Unknown("arguments must be an object".to_owned()), Brokered::Refused);
    }
    if !serving.calls.take() {
        let why = format!("this dispatch made its {TOOL_CALLS_MAX} calls; it may make no more");
        return (Called::Returned(wire::text(&why, true)), Brokered::Refused);
    }
    // A queue of as many as there are connections; each has its time.
    let Ok(_place) = serving.calls.places.acquire().await else {
        return (Called::Unknown("the gate is closing".to_owned()), Brokered::Refused);
    };
    match &asked.found {
        Found::Own(own) => inside(own, &serving.caller, calling).await,
        Found::Outside(outside, server) => match outside.call(serving, server, calling).await {
            Ok(result) => {
                let failed =
                    serde_json::from_str::<Returned>(result.get()).unwrap_or_default().is_error;
                let outcome = if failed { Brokered::Failed } else { Brokered::Answered };
                (Called::Returned(result), outcome)
            }
            Err(Fault::Stated { code, message }) => {
                (Called::Stated { code, message }, Brokered::Failed)
            }
            Err(fault) => {
                asked.tell(&fault).await;
                let why = wire::text(&fault.told(asked.name), true);
                (Called::Returned(why), Brokered::Unanswered)
            }
        },
    }
}

async fn inside(own: &Own, caller: &Caller, calling: &Calling<'_>) -> (Called, Brokered) {
    let arguments = calling.arguments.map_or("{}", RawValue::get);
    match own.call(&caller.mounts, &calling.name, arguments).await {
        Ok(text) => (Called::Returned(wire::text(&text, false)), Brokered::Answered),
        Err(why) => (Called::Returned(wire::text(&why, true)), Brokered::Failed),
    }
}

/// The arguments as they are told: whole where they are short.
fn told(arguments: Option<&RawValue>) -> Value {
    let Some(raw) = arguments.map(RawValue::get) else { return Value::Null };
    if raw.len() <= TOOL_ARGUMENTS_TOLD_BYTES_MAX {
        return serde_json::from_str(raw).unwrap_or_default();
    }
    let kept = &raw[..raw.floor_char_boundary(TOOL_ARGUMENTS_TOLD_BYTES_MAX)];
    Value::String(format!("{kept}\n[… {} bytes cut]", raw.len() - kept.len()))
}
