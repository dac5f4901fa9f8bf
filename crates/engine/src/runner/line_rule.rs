//! What a rule finds in a line. Pure; a line is any JSON that an agent wrote.

use model::event::PlanStep;
use model::{Event, LineRule, ToolKind};
use serde_json::Value;

use super::bound;

/// Whether the rule is about such a line.
pub(super) fn fits(rule: &LineRule, line: &Value) -> bool {
    rule.when.iter().all(|(pointer, expected)| {
        line.pointer(pointer).is_some_and(|found| expected == "*" || is(found, expected))
    })
}

fn is(found: &Value, expected: &str) -> bool {
    match found {
        Value::String(text) => text == expected,
        Value::Number(number) => number.to_string() == expected,
        Value::Bool(truth) => expected == if *truth { "true" } else { "false" },
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The text of a field: what the pointer finds, or the word itself.
pub(super) fn text(field: Option<&str>, line: &Value) -> Option<String> {
    let field = field?;
    if !field.starts_with('/') {
        return Some(field.to_owned());
    }
    match line.pointer(field)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether what the pointer finds says that something failed.
pub(super) fn truth(pointer: &str, line: &Value) -> bool {
    match line.pointer(pointer) {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::String(text)) => matches!(&**text, "failed" | "error" | "declined" | "true"),
        _ => false,
    }
}

/// The kind of a tool, by what agents usually call it.
pub(super) fn kind(tool: &str) -> ToolKind {
    match tool.to_ascii_lowercase().as_str() {
        "read" | "read_file" | "ls" => ToolKind::Read,
        "write" | "write_file" | "edit" | "patch" => ToolKind::Edit,
        "bash" | "shell" | "exec" | "run" | "command" => ToolKind::Execute,
        "grep" | "find" | "glob" | "search" => ToolKind::Search,
        _ => ToolKind::Other,
    }
}

/// The plan that a line tells.
pub(super) fn plan(rule: &LineRule, line: &Value) -> Option<Event> {
    let [steps, text_of, state_of] = rule.steps.as_ref()?;
    let steps = line.pointer(steps)?.as_array()?;
    let step = |step: &Value| {
        let status = match step.pointer(state_of) {
            Some(Value::Bool(true)) => "completed".to_owned(),
            Some(Value::String(status)) => status.clone(),
            _ => "pending".to_owned(),
        };
        let text = text(Some(text_of), step).unwrap_or_default();
        PlanStep { text: bound::line(&text), status: bound::id(&status) }
    };
    Some(Event::Plan { steps: steps.iter().take(bound::LIST_MAX).map(step).collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_fits_what_it_names_and_nothing_else() {
        let rule = |when: &[(&str, &str)]| {
            let when = when.iter().map(|&(at, what)| (at.to_owned(), what.to_owned())).collect();
            serde_json::from_value::<LineRule>(json!({"when": {}, "tell": "nothing"}))
                .map(|rule| LineRule { when, ..rule })
                .expect("a rule")
        };
        let line = json!({"type": "a", "n": 3, "ok": true, "deep": {"x": null}});
        for (when, expected) in [
            (&[("/type", "a")][..], true),
            (&[("/type", "*"), ("/n", "3"), ("/ok", "true")], true),
            (&[("/deep/x", "*")], true),
            (&[("/type", "b")], false),
            (&[("/none", "*")], false),
            (&[("/deep", "a")], false),
        ] {
            assert_eq!(fits(&rule(when), &line), expected, "{when:?}");
        }
        assert_eq!(text(Some("word"), &line), Some("word".to_owned()));
        assert_eq!(text(Some("/n"), &line), Some("3".to_owned()));
        assert_eq!(text(Some("/deep/x"), &line), None);
        assert!(truth("/ok", &line) && !truth("/type", &line));
    }
}
