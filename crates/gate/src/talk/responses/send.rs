//! Writes a request of `OpenAI` Responses. Nothing is to be kept there.

use serde_json::{Value, json};

use super::super::form::{Choice, Format, Image, Outcome, Part, Request, Tool, Turn, Who};
use super::super::send::{Target, schema, temperature, url};

/// The request, to a model.
pub(crate) fn write(request: &Request, target: &Target<'_>) -> Value {
    let mut body = json!({
        "model": target.model,
        "input": request.turns.iter().flat_map(items).collect::<Value>(),
        "stream": request.stream,
        "store": false,
    });
    if !request.system.is_empty() {
        body["instructions"] = request.system.join("\n\n").into();
    }
    if let Some(max_tokens) = target.capped(request.sampling.max_tokens) {
        // Less is refused.
        body["max_output_tokens"] = max_tokens.max(16).into();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
        if let Some(choice) = &request.choice {
            body["tool_choice"] = match choice {
                Choice::Auto => "auto".into(),
                Choice::None => "none".into(),
                Choice::Any => "required".into(),
                Choice::Tool(name) => json!({ "type": "function", "name": name }),
            };
        }
        if request.parallel == Some(false) {
            body["parallel_tool_calls"] = false.into();
        }
    }
    if let Some(temperature) = temperature(request) {
        body["temperature"] = temperature.into();
    }
    if let Some(effort) = &request.effort {
        body["reasoning"] = json!({ "effort": effort });
    }
    match &request.format {
        None => {}
        Some(Format::Json) => body["text"] = json!({ "format": { "type": "json_object" } }),
        Some(Format::Schema { name, schema: form }) => {
            let name = name.as_deref().unwrap_or("answer");
            let form = schema(Some(form));
            let format = json!({ "type": "json_schema", "name": name, "schema": form });
            body["text"] = json!({ "format": format });
        }
    }
    body
}

fn tool(tool: &Tool) -> Value {
    let parameters = schema(tool.schema.as_deref());
    let mut form = json!({
        "type": "function", "name": tool.name, "parameters": parameters, "strict": false,
    });
    if let Some(about) = &tool.about {
        form["description"] = about.as_str().into();
    }
    form
}

fn items(turn: &Turn) -> Vec<Value> {
    let mut items = Vec::new();
    let mut content = Vec::new();
    let (role, kind) = match turn.who {
        Who::User => ("user", "input_text"),
        Who::Model => ("assistant", "output_text"),
    };
    for part in &turn.parts {
        match part {
            Part::Text(text) => content.push(json!({ "type": kind, "text": text })),
            Part::Image(picture) => content.push(image(picture)),
            Part::Thought(_) => {}
            Part::Call(call) => {
                flush(role, &mut content, &mut items);
                items.push(json!({
                    "type": "function_call",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": call.arguments,
                }));
            }
            Part::Outcome(outcome) => {
                flush(role, &mut content, &mut items);
                items.push(result(outcome));
            }
        }
    }
    flush(role, &mut content, &mut items);
    items
}

fn flush(role: &str, content: &mut Vec<Value>, items: &mut Vec<Value>) {
    if !content.is_empty() {
        let content = std::mem::take(content);
        items.push(json!({ "type": "message", "role": role, "content": content }));
    }
}

/// The dialect has no sign for a tool that failed but its words.
fn result(outcome: &Outcome) -> Value {
    let text = if outcome.failed && !outcome.text.starts_with("Error") {
        format!("Error: {}", outcome.text)
    } else {
        outcome.text.clone()
    };
    let output: Value = if outcome.images.is_empty() {
        text.into()
    } else {
        let said = json!({ "type": "input_text", "text": text });
        std::iter::once(said).chain(outcome.images.iter().map(image)).collect()
    };
    json!({ "type": "function_call_output", "call_id": outcome.id, "output": output })
}

fn image(image: &Image) -> Value {
    json!({ "type": "input_image", "image_url": url(image), "detail": "auto" })
}
