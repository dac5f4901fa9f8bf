//! Writes a request of Anthropic Messages.

use serde_json::{Value, json};

use super::super::form::{Choice, Format, Image, Outcome, Part, Request, Tool, Turn, Who};
use super::super::send::{Target, id, object, schema, temperature};

/// What an answer may have where nobody says: the dialect wants a number.
const MAX_TOKENS: u64 = 8192;

/// The request, to a model.
pub(crate) fn write(request: &Request, target: &Target<'_>) -> Value {
    let asked = request.sampling.max_tokens.unwrap_or(MAX_TOKENS);
    let mut body = json!({
        "model": target.model,
        "max_tokens": target.capped(Some(asked)),
        "messages": messages(request),
        "stream": request.stream,
    });
    if !request.system.is_empty() {
        let text = request.system.join("\n\n");
        body["system"] = json!([{ "type": "text", "text": text, "cache_control": cached() }]);
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if let Some(choice) = choice(request) {
        body["tool_choice"] = choice;
    }
    match (temperature(request), request.sampling.top_p) {
        (Some(temperature), _) => body["temperature"] = temperature.min(1.0).into(),
        (None, Some(top_p)) if request.sampling.temperature.is_none() => {
            body["top_p"] = top_p.into();
        }
        (None, _) => {}
    }
    if let Some(top_k) = request.sampling.top_k {
        body["top_k"] = top_k.into();
    }
    if !request.sampling.stop.is_empty() {
        body["stop_sequences"] = request.sampling.stop.clone().into();
    }
    if let Some(Format::Schema { schema: form, .. }) = &request.format {
        let format = json!({ "type": "json_schema", "schema": schema(Some(form)) });
        body["output_config"] = json!({ "format": format });
    }
    body
}

/// What has this mark, and all before it, is paid once and then for little.
fn cached() -> Value {
    json!({ "type": "ephemeral" })
}

fn tool(tool: &Tool) -> Value {
    let mut form = json!({ "name": tool.name, "input_schema": schema(tool.schema.as_deref()) });
    if let Some(about) = &tool.about {
        form["description"] = about.as_str().into();
    }
    form
}

fn choice(request: &Request) -> Option<Value> {
    if request.tools.is_empty() {
        return None;
    }
    let one_at_a_time = request.parallel == Some(false);
    let mut choice = match request.choice.as_ref() {
        None if !one_at_a_time => return None,
        None | Some(Choice::Auto) => json!({ "type": "auto" }),
        Some(Choice::Any) => json!({ "type": "any" }),
        Some(Choice::None) => return Some(json!({ "type": "none" })),
        Some(Choice::Tool(name)) => json!({ "type": "tool", "name": name }),
    };
    if one_at_a_time {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// The turns; the first is the person's, none is empty, and the last is marked as worth keeping.
fn messages(request: &Request) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    if request.turns.first().is_none_or(|turn| turn.who == Who::Model) {
        messages.push(json!({ "role": "user", "content": [text("(the conversation goes on)")] }));
    }
    for turn in &request.turns {
        let content = content(turn);
        if !content.is_empty() {
            let role = if turn.who == Who::User { "user" } else { "assistant" };
            messages.push(json!({ "role": role, "content": content }));
        }
    }
    let last = messages.last_mut().and_then(|last| last["content"].as_array_mut()?.last_mut());
    if let Some(last) = last {
        last["cache_control"] = cached();
    }
    messages
}

/// What tools returned stands first, as the dialect wants it. Thoughts stay behind: without the
/// signature of who thought them they are refused.
fn content(turn: &Turn) -> Vec<Value> {
    let outcome = |part: &&Part| matches!(part, Part::Outcome(_));
    let (first, then): (Vec<_>, Vec<_>) = turn.parts.iter().partition(outcome);
    first.into_iter().chain(then).filter_map(block).collect()
}

fn block(part: &Part) -> Option<Value> {
    match part {
        Part::Text(said) => (!said.trim().is_empty()).then(|| text(said)),
        Part::Thought(_) => None,
        Part::Image(picture) => Some(image(picture)),
        Part::Call(call) => Some(json!({
            "type": "tool_use",
            "id": id(&call.id),
            "name": call.name,
            "input": object(&call.arguments),
        })),
        Part::Outcome(outcome) => Some(result(outcome)),
    }
}

fn result(outcome: &Outcome) -> Value {
    let said = (!outcome.text.is_empty()).then(|| text(&outcome.text));
    let content: Vec<_> = said.into_iter().chain(outcome.images.iter().map(image)).collect();
    let id = id(&outcome.id);
    let mut result = json!({ "type": "tool_result", "tool_use_id": id, "content": content });
    if outcome.failed {
        result["is_error"] = true.into();
    }
    result
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn image(image: &Image) -> Value {
    let source = match image {
        Image::Inline { media, data } => {
            json!({ "type": "base64", "media_type": media, "data": data })
        }
        Image::Url(url) => json!({ "type": "url", "url": url }),
    };
    json!({ "type": "image", "source": source })
}
