//! `unit.v1`: a dispatch as asked for over the wire. A closed shape: an unknown field is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Mode, RunnerName, Trigger};

/// A dispatch as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invocation {
    /// Who it says it is; ignored in a public body, where identity comes from the caller's proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The runner that drives the agent.
    #[serde(default = "default_runner")]
    pub runner: RunnerName,
    /// The workspaces; at least one.
    pub workspaces: Vec<WorkspaceRef>,
    /// The tools it may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Why it is started.
    pub trigger: Trigger,
    /// What triggered it.
    #[serde(default)]
    pub context: Context,
    /// Where it begins.
    pub start: StartRef,
}

fn default_runner() -> RunnerName {
    "claude-code".parse().expect("a valid name")
}

/// Who the asker says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// On whose behalf.
    pub subject: String,
    /// What starts it.
    pub launcher: String,
    /// A proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A workspace by its id or by its name for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRef {
    /// Its id or name.
    pub id: String,
    /// What may be done to it; the trigger's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// What triggered a dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// What kind of thing it was.
    pub kind: ContextKind,
    /// The meeting it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<Meeting>,
    /// The thing itself, as a reference that reaches the agent.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// What kind of thing triggered a dispatch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextKind {
    /// Nothing but the words of the prompt.
    #[default]
    None,
    /// A meeting.
    Meeting,
    /// A mail.
    Email,
    /// Anything else.
    Generic,
}

/// A meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the documented name on the wire")]
pub struct Meeting {
    /// Its id.
    pub meeting_id: String,
    /// The recording of it.
    pub session_uid: String,
    /// Where it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// Something outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Where it is.
    pub uri: String,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// Where a dispatch begins: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StartRef {
    /// With a prompt.
    Entrypoint(Entrypoint),
    /// With a conversation that is to go on.
    Session(SessionRef),
}

/// A prompt: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entrypoint {
    /// The words themselves.
    Inline(String),
    /// A file of the first workspace.
    Path(String),
}

/// A conversation that is to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// Its id.
    #[serde(rename = "ref")]
    pub reference: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn check(golden: &str) {
        let invocation: Invocation = serde_json::from_str(golden).expect("the golden is accepted");
        let again: Value = serde_json::to_value(&invocation).expect("plain data");
        assert_eq!(again, serde_json::from_str::<Value>(golden).expect("json"));
    }

    #[test]
    fn the_goldens_are_read_and_written_unchanged() {
        check(include_str!("../goldens/unit.v1/Invocation.message.json"));
        check(include_str!("../goldens/unit.v1/Invocation.event.json"));
    }

    #[test]
    fn an_unknown_field_a_second_start_and_a_missing_trigger_are_refused() {
        let good = include_str!("../goldens/unit.v1/Invocation.message.json");
        let edited = |edit: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut value: Value = serde_json::from_str(good).expect("json");
            edit(value.as_object_mut().expect("an object"));
            serde_json::from_value::<Invocation>(value)
        };
        assert!(edited(&|map| drop(map.insert("extra".into(), Value::Null))).is_err());
        assert!(edited(&|map| drop(map.remove("trigger"))).is_err());
        let both = serde_json::json!({"entrypoint": {"inline": "x"}, "session": {"ref": "y"}});
        assert!(edited(&|map| drop(map.insert("start".into(), both.clone()))).is_err());
    }
}
