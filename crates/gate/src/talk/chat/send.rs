//! Writes a request of `OpenAI` chat completions, as the many servers that speak it understand it.

use serde_json::{Value, json};

use super::super::form::{Call, Choice, Format, Image, Outcome, Part, Request, Tool, Turn, Who};
use super::super::send::{Target, schema, temperature};

/// The request, to a model.
pub(crate) fn write(request: &Request, target: &Target<'_>) -> Value {
    let mut body = json!({
        "model": target.model,
        "messages": messages(request),
        "stream": request.stream,
    });
    if request.stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    if let Some(max_tokens) = target.capped(request.sampling.max_tokens) {
        body["max_tokens"] = max_tokens.into();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
        if let Some(choice) = &request.choice {
            body["tool_choice"] = match choice {
                Choice::Auto => "auto".into(),
                Choice::None => "none".into(),
                Choice::Any => "required".into(),
                Choice::Tool(name) => json!({ "type": "function", "function": { "name": name } }),
            };
        }
        if request.parallel == Some(false) {
            body["parallel_tool_calls"] = false.into();
        }
    }
    match (temperature(request), request.sampling.top_p) {
        (Some(temperature), _) => body["temperature"] = temperature.into(),
        (None, Some(top_p)) if request.sampling.temperature.is_none() => {
            body["top_p"] = top_p.into();
        }
        (None, _) => {}
    }
    if !request.sampling.stop.is_empty() {
        body["stop"] = request.sampling.stop.clone().into();
    }
    if let Some(effort) = &request.effort {
        body["reasoning_effort"] = effort.as_str().into();
    }
    match &request.format {
        None => {}
        Some(Format::Json) => body["response_format"] = json!({ "type": "json_object" }),
        Some(Format::Schema { name, schema: form }) => {
            let name = name.as_deref().unwrap_or("answer");
            let form = json!({ "name": name, "schema": schema(Some(form)) });
            body["response_format"] = json!({ "type": "json_schema", "json_schema": form });
        }
    }
    body
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({ "name": tool.name, "parameters": schema(tool.schema.as_deref()) });
    if let Some(about) = &tool.about {
        function["description"] = about.as_str().into();
    }
    json!({ "type": "function", "function": function })
}

fn messages(request: &Request) -> Vec<Value> {
    let mut messages = Vec::new();
    if !request.system.is_empty() {
        messages.push(json!({ "role": "system", "content": request.system.join("\n\n") }));
    }
    for turn in &request.turns {
        match turn.who {
            Who::Model => messages.push(answered(turn)),
            Who::User => said(turn, &mut messages),
        }
    }
    messages
}

fn answered(turn: &Turn) -> Value {
    let mut text = String::new();
    let mut calls = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Call(call) => calls.push(called(call)),
            Part::Thought(_) | Part::Image(_) | Part::Outcome(_) => {}
        }
    }
    let content = (!text.is_empty() || calls.is_empty()).then_some(text);
    let mut message = json!({ "role": "assistant", "content": content });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn called(call: &Call) -> Value {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// A result is a message of its own and holds text alone; its pictures follow as if they were said.
fn said(turn: &Turn, messages: &mut Vec<Value>) {
    let mut content = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => content.push(json!({ "type": "text", "text": text })),
            Part::Image(picture) => content.push(image(picture)),
            Part::Outcome(outcome) => {
                messages.push(result(outcome));
                content.extend(outcome.images.iter().map(image));
            }
            Part::Thought(_) | Part::Call(_) => {}
        }
    }
    let content = match content.as_slice() {
        [] => return,
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => content.into(),
    };
    messages.push(json!({ "role": "user", "content": content }));
}

/// The dialect has no sign for a tool that failed but its words.
fn result(outcome: &Outcome) -> Value {
    let text = if outcome.failed && !outcome.text.starts_with("Error") {
        format!("Error: {}", outcome.text)
    } else {
        outcome.text.clone()
    };
    json!({ "role": "tool", "tool_call_id": outcome.id, "content": text })
}

fn image(image: &Image) -> Value {
    json!({ "type": "image_url", "image_url": { "url": super::super::send::url(image) } })
}
