//! One call of a tool: may it be made, what came of it, and what is told of it in the stream of the
//! dispatch. Whatever happens, it is told before its caller learns of it.

use engine::port::{Caller, Report};
use model::Event;
use model::event::Brokered;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::Found;
use super::answer::Asked;
use super::outside::Fault;
use super::own::Own;
use super::wire::{self, Calling, Returned};
use crate::limit::TOOL_ARGUMENTS_TOLD_BYTES_MAX;

/// What a caller is answered.
pub(super) enum Called {
    /// As the tool returned it.
    Returned(Box<RawValue>),
    /// There is no such tool for it.
    Unknown(String),
    /// The server refused the call in its own words.
    Stated { code: i64, message: String },
}

/// Makes the call, if it may be made. One beyond the last that a dispatch may make is not told: how
/// many are told has a bound too.
pub(super) async fn call(asked: &Asked<'_>, calling: &Calling<'_>) -> Called {
    let clock = asked.serving.clock();
    let began = clock.instant();
    let _place = match asked.serving.calls.begin().await {
        Ok(place) => place,
        Err(why) => {
            asked.serving.tell(&why.to_string()).await;
            return Called::Returned(wire::text(&why.to_string(), true));
        }
    };
    let Arguments { sent, told } = Arguments::of(calling.arguments);
    let (called, outcome) = tried(asked, &calling.name, &sent).await;
    let elapsed = clock.instant().saturating_duration_since(began);
    let event = Event::Brokered {
        server: asked.name.clone(),
        tool: calling.name.chars().take(128).collect(),
        arguments: told,
        outcome,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    // A supervisor that is gone wants to hear nothing.
    drop(asked.serving.caller.reports.send(Report::Event(event)).await);
    called
}

async fn tried(asked: &Asked<'_>, tool: &str, arguments: &RawValue) -> (Called, Brokered) {
    let serving = asked.serving;
    if !asked.may(tool) {
        let why = format!(
            "there is no such tool here for this dispatch; there is {}",
            asked.callable.join(", ")
        );
        return (Called::Unknown(why), Brokered::Refused);
    }
    if !arguments.get().starts_with('{') {
        return (Called::Unknown("arguments must be an object".to_owned()), Brokered::Refused);
    }
    match &asked.found {
        Found::Own(own) => inside(own, &serving.caller, tool, arguments.get()).await,
        Found::Outside(outside, server) => {
            match outside.call(serving, server, tool, arguments).await {
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
                    let why = wire::text(&fault.told(asked.name.as_str()), true);
                    (Called::Returned(why), Brokered::Unanswered)
                }
            }
        }
    }
}

async fn inside(own: &Own, caller: &Caller, tool: &str, arguments: &str) -> (Called, Brokered) {
    match own.call(&caller.mounts, tool, arguments).await {
        Ok(text) => (Called::Returned(wire::text(&text, false)), Brokered::Answered),
        Err(why) => (Called::Returned(wire::text(&why, true)), Brokered::Failed),
    }
}

/// The arguments of a call: what is sent, and what is told of it. The same, however a server reads it.
#[derive(Debug)]
struct Arguments {
    sent: Box<RawValue>,
    told: Value,
}

impl Arguments {
    fn of(arguments: Option<&RawValue>) -> Self {
        let raw = arguments.map_or("{}", RawValue::get);
        if raw.len() <= TOOL_ARGUMENTS_TOLD_BYTES_MAX
            && let Ok(told) = serde_json::from_str::<Value>(raw)
            && let Ok(sent) = to_raw_value(&told)
        {
            // Sent as it was understood, so that a field which stands there twice is not told as one
            // and taken for the other.
            return Self { sent, told };
        }
        let sent = RawValue::from_string(raw.to_owned()).expect("it was read as JSON");
        let kept = &raw[..raw.floor_char_boundary(TOOL_ARGUMENTS_TOLD_BYTES_MAX)];
        let told = match raw.len() - kept.len() {
            0 => kept.to_owned(),
            cut => format!("{kept}\n[… {cut} bytes cut]"),
        };
        Self { sent, told: Value::String(told) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(raw: &str, sent: &str, told: &Value) {
        let arguments = serde_json::from_str::<&RawValue>(raw).expect("JSON");
        let seen = Arguments::of(Some(arguments));
        assert_eq!((seen.sent.get(), &seen.told), (sent, told));
    }

    #[test]
    fn what_is_told_is_what_is_sent() {
        check(r#"{"to": "a", "to": "b"}"#, r#"{"to":"b"}"#, &json!({"to": "b"}));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        check(&deep, &deep, &Value::String(deep.clone()));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(TOOL_ARGUMENTS_TOLD_BYTES_MAX));
        let kept = &long[..TOOL_ARGUMENTS_TOLD_BYTES_MAX];
        check(&long, &long, &Value::String(format!("{kept}\n[… 8 bytes cut]")));
        let none = Arguments::of(None);
        assert_eq!((none.sent.get(), none.told), ("{}", json!({})));
    }
}
