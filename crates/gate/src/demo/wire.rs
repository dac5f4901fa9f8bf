//! Takes out of a request, whatever its dialect, what the demo model looks at.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversation::{Conversation, Outcome, Tool, Turn, real};
use crate::talk::form::{self, Format, Names, Part, Who};
use crate::talk::{Few, Keys, Request};

/// The most properties of one tool that are looked at.
const PROPERTIES_MAX: usize = 64;

/// What the demo model sees of a request, and how its caller calls tools.
pub(super) fn read(request: Request) -> (Conversation, Names) {
    let mut conversation = Conversation {
        stream: request.stream,
        include_usage: request.include_usage,
        max_tokens: request.sampling.max_tokens,
        structured: request.format.map(|format| match format {
            Format::Json => Vec::new(),
            Format::Schema { schema, .. } => Schema::read(&schema).properties(),
        }),
        system: request.system,
        turns: Vec::new(),
        tools: request.tools.into_iter().map(tool).collect(),
    };
    for turn in request.turns {
        match turn.who {
            Who::Model => {
                let calls = turn.parts.iter().filter(|part| matches!(part, Part::Call(_)));
                conversation.turns.extend(calls.map(|_| Turn::Called));
            }
            Who::User => said(turn.parts, &mut conversation.turns),
        }
    }
    (conversation, request.names)
}

/// What came from the person's side: first what tools returned, then what was said.
fn said(parts: Vec<Part>, turns: &mut Vec<Turn>) {
    let mut text: Option<String> = None;
    for part in parts {
        match part {
            // Agents put what they note before what was said, in blocks of its own.
            Part::Text(more) if real(&more).is_none() => {}
            Part::Text(more) => match &mut text {
                Some(text) => {
                    text.push('\n');
                    text.push_str(&more);
                }
                None => text = Some(more),
            },
            Part::Outcome(outcome) => turns.push(Turn::Returned(returned(outcome))),
            Part::Thought(_) | Part::Image(_) | Part::Call(_) => {}
        }
    }
    turns.extend(text.map(Turn::User));
}

/// The `OpenAI` dialects have no sign for a tool that failed. Most agents begin such a result with
/// `Error:`; shells of agents tell how their command ended.
fn returned(outcome: form::Outcome) -> Outcome {
    let form::Outcome { text, failed, .. } = outcome;
    let text = untrusted(&text).map_or(text.clone(), str::to_owned);
    if let Some(why) = text.strip_prefix("Error:") {
        return Outcome { text: why.trim_start().to_owned(), failed: true };
    }
    match shell(&text) {
        Some((printed, code)) => Outcome { failed: failed || code != 0, text: printed.to_owned() },
        None => Outcome { text, failed },
    }
}

/// What stands in the sign that Gemini CLI puts around what comes from outside.
fn untrusted(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("<untrusted_context>\n")?;
    inside.strip_suffix("\n</untrusted_context>")
}

/// What a command printed and how it ended, in the words of Codex and of Gemini CLI.
fn shell(text: &str) -> Option<(&str, i64)> {
    let number = |line: &str, mark: &str| line.trim().strip_prefix(mark)?.trim().parse().ok();
    if let Some((head, printed)) = text.split_once("\nOutput:\n") {
        let mut lines = head.lines();
        let code = lines.find_map(|line| number(line, "Process exited with code"))?;
        return Some((printed, code));
    }
    let printed = text.strip_prefix("Output: ")?;
    let (printed, end) = printed.split_once("\nExit Code:").unwrap_or((printed, " 0"));
    let code = number(end.lines().next().unwrap_or_default(), "").unwrap_or(0);
    let printed = printed.split("\nProcess Group PGID:").next().unwrap_or(printed);
    Some((if printed == "(empty)" { "" } else { printed }, code))
}

#[derive(Deserialize, Default)]
struct Schema {
    #[serde(default)]
    properties: Option<Keys<PROPERTIES_MAX>>,
    #[serde(default)]
    required: Option<Few<String, PROPERTIES_MAX>>,
}

impl Schema {
    fn read(schema: &RawValue) -> Self {
        serde_json::from_str(schema.get()).unwrap_or_default()
    }

    fn properties(self) -> Vec<String> {
        self.properties.map_or_else(Vec::new, |keys| keys.0)
    }
}

fn tool(tool: form::Tool) -> Tool {
    let Schema { properties, required } =
        tool.schema.as_deref().map(Schema::read).unwrap_or_default();
    Tool {
        name: tool.name,
        properties: properties.map_or_else(Vec::new, |keys| keys.0),
        required: required.map_or_else(Vec::new, |few| few.0),
    }
}

#[cfg(test)]
mod tests {
    use model::ModelApi;
    use serde_json::{Value, json};

    use super::*;
    use crate::talk::{self, Wanted};

    fn seen(api: ModelApi, body: &Value) -> Conversation {
        let request = talk::read(api, Wanted::Streamed, body.to_string().as_bytes());
        read(request.expect("a request")).0
    }

    #[test]
    fn all_dialects_are_seen_as_the_same_conversation() {
        let schema = json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]});
        let anthropic = json!({
            "model": "x", "stream": true, "max_tokens": 9,
            "system": [{"type": "text", "text": "sys"}],
            "tools": [{"name": "run", "input_schema": schema}],
            "messages": [
                {"role": "user", "content": "run ls"},
                {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "1", "name": "run", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "no"}], "is_error": true}]},
            ],
        });
        let chat = json!({
            "model": "x", "stream": true, "max_completion_tokens": 9,
            "tools": [{"type": "function", "function": {"name": "run", "parameters": schema}}],
            "messages": [
                {"role": "system", "content": "sys"},
                {"role": "user", "content": "run ls"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "run", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "Error: no"},
            ],
        });
        let responses = json!({
            "model": "x", "stream": true, "max_output_tokens": 9, "instructions": "sys",
            "tools": [{"type": "function", "name": "run", "parameters": schema}, {"type": "web_search"}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "run ls"}]},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "call_id": "1", "name": "run", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "Chunk ID: a\nProcess exited with code 1\nOutput:\nno"},
            ],
        });
        let gemini = json!({
            "systemInstruction": {"parts": [{"text": "sys"}]},
            "generationConfig": {"maxOutputTokens": 9},
            "tools": [{"functionDeclarations": [{"name": "run", "parametersJsonSchema": schema}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "run ls"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "run", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": {"error": "no"}}}]},
            ],
        });
        let first = seen(ModelApi::AnthropicMessages, &anthropic);
        assert_eq!(first.calls(), 1);
        assert_eq!(first.tools[0].required, ["command"]);
        assert_eq!(
            first.turns.last(),
            Some(&Turn::Returned(Outcome { text: "no".into(), failed: true }))
        );
        assert_eq!(first, seen(ModelApi::OpenaiChat, &chat));
        assert_eq!(first, seen(ModelApi::OpenaiResponses, &responses));
        assert_eq!(first, seen(ModelApi::Gemini, &gemini));
    }

    #[test]
    fn what_is_said_after_an_interrupted_call_is_heard() {
        let body = json!({"messages": [
            {"role": "user", "content": "sleep 60"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "rejected", "is_error": true},
                {"type": "text", "text": "[Request interrupted by user for tool use]"},
                {"type": "text", "text": "which word?"},
            ]},
        ]});
        let conversation = seen(ModelApi::AnthropicMessages, &body);
        let newest = conversation.asked().next_back();
        assert_eq!(
            newest.map(|(at, text)| (at, text.into_owned())),
            Some((3, "which word?".into()))
        );
        assert!(conversation.outcomes_since(3).is_empty());
    }

    #[test]
    fn a_shell_tells_how_its_command_ended() {
        for (text, printed, code) in [
            (
                "Wall time: 0.1\nProcess exited with code 2\nOutput:\na\nOutput:\nb",
                "a\nOutput:\nb",
                2,
            ),
            ("Output: a\nb\nProcess Group PGID: 7", "a\nb", 0),
            ("Output: (empty)\nExit Code: 1\nProcess Group PGID: 7", "", 1),
        ] {
            assert_eq!(shell(text), Some((printed, code)), "{text}");
        }
        assert_eq!(shell("no\nOutput:\nx"), None);
        assert_eq!(shell("x"), None);
        let wrapped = "<untrusted_context>\nOutput: a\n</untrusted_context>";
        assert_eq!(untrusted(wrapped), Some("Output: a"));
    }
}
