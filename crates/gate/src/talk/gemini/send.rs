//! Writes a request of Gemini's `generateContent`. The model stands in the path, not here.

use serde_json::{Value, json};

use super::super::form::{Choice, Format, Image, Outcome, Part, Request, Tool, Turn, Who};
use super::super::send::{Target, object, schema};

/// What stands where Gemini wants its own signature of a call that another model made, or that came
/// back from an agent which does not keep signatures.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// The request; or what of it Gemini has no place for.
pub(crate) fn write(request: &Request, target: &Target<'_>) -> Result<Value, &'static str> {
    let contents = request.turns.iter().map(|turn| content(request, turn));
    let mut body = json!({ "contents": contents.collect::<Result<Vec<_>, _>>()? });
    if !request.system.is_empty() {
        body["systemInstruction"] = json!({ "parts": [{ "text": request.system.join("\n\n") }] });
    }
    if !request.tools.is_empty() {
        let declared: Value = request.tools.iter().map(tool).collect();
        body["tools"] = json!([{ "functionDeclarations": declared }]);
        if let Some(choice) = &request.choice {
            let calling = match choice {
                Choice::Auto => json!({ "mode": "AUTO" }),
                Choice::None => json!({ "mode": "NONE" }),
                Choice::Any => json!({ "mode": "ANY" }),
                Choice::Tool(name) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
            };
            body["toolConfig"] = json!({ "functionCallingConfig": calling });
        }
    }
    body["generationConfig"] = config(request, target);
    Ok(body)
}

fn config(request: &Request, target: &Target<'_>) -> Value {
    let sampling = &request.sampling;
    let mut config = json!({});
    if let Some(max_tokens) = target.capped(sampling.max_tokens) {
        config["maxOutputTokens"] = max_tokens.into();
    }
    if let Some(temperature) = sampling.temperature {
        config["temperature"] = temperature.into();
    }
    if let Some(top_p) = sampling.top_p {
        config["topP"] = top_p.into();
    }
    if let Some(top_k) = sampling.top_k {
        config["topK"] = top_k.into();
    }
    if !sampling.stop.is_empty() {
        config["stopSequences"] = sampling.stop.clone().into();
    }
    if let Some(format) = &request.format {
        config["responseMimeType"] = "application/json".into();
        if let Format::Schema { schema: form, .. } = format {
            config["responseJsonSchema"] = schema(Some(form));
        }
    }
    config
}

fn tool(tool: &Tool) -> Value {
    let form = schema(tool.schema.as_deref());
    let mut function = json!({ "name": tool.name, "parametersJsonSchema": form });
    if let Some(about) = &tool.about {
        function["description"] = about.as_str().into();
    }
    function
}

fn content(request: &Request, turn: &Turn) -> Result<Value, &'static str> {
    let role = if turn.who == Who::User { "user" } else { "model" };
    let mut parts = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => parts.push(json!({ "text": text })),
            Part::Thought(_) => {}
            Part::Image(picture) => parts.push(image(picture)?),
            Part::Call(call) => {
                let args = object(&call.arguments);
                let called = json!({ "id": call.id, "name": call.name, "args": args });
                parts.push(json!({ "functionCall": called, "thoughtSignature": UNSIGNED }));
            }
            Part::Outcome(outcome) => {
                parts.push(result(request, outcome));
                for picture in &outcome.images {
                    parts.push(image(picture)?);
                }
            }
        }
    }
    if parts.is_empty() {
        parts.push(json!({ "text": "" }));
    }
    Ok(json!({ "role": role, "parts": parts }))
}

fn result(request: &Request, outcome: &Outcome) -> Value {
    let name = request.caller(&outcome.id).unwrap_or("unknown");
    let kind = if outcome.failed { "error" } else { "output" };
    let response = json!({ kind: outcome.text });
    json!({ "functionResponse": { "id": outcome.id, "name": name, "response": response } })
}

fn image(image: &Image) -> Result<Value, &'static str> {
    match image {
        Image::Inline { media, data } => {
            Ok(json!({ "inlineData": { "mimeType": media, "data": data } }))
        }
        Image::Url(_) => Err("a picture that stands elsewhere on the network"),
    }
}
