//! Reads a request of `OpenAI` chat completions.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::TOOLS_MAX;
use super::super::form::{Call, Choice, Format, Outcome, Part, Request, Sampling, Tool, Turn, Who};
use super::super::json::{self, Content, Few, Texts};

#[derive(Deserialize)]
struct Form {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Option<Few<ToolForm, TOOLS_MAX>>,
    tool_choice: Option<ChoiceForm>,
    parallel_tool_calls: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default)]
    stop: Texts,
    response_format: Option<FormatForm>,
    reasoning_effort: Option<String>,
    n: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Content<Block>,
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallForm>>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct CallForm {
    id: Option<String>,
    function: Option<Called>,
}

#[derive(Deserialize)]
struct Called {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct ToolForm {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

/// `"auto"`, or the function that must be called.
struct ChoiceForm(Option<Choice>);

impl<'de> Deserialize<'de> for ChoiceForm {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(from)?;
        Ok(Self(super::super::choice(value.get())))
    }
}

#[derive(Deserialize)]
struct FormatForm {
    #[serde(rename = "type", default)]
    kind: String,
    json_schema: Option<SchemaForm>,
}

#[derive(Deserialize)]
struct SchemaForm {
    name: Option<String>,
    schema: Option<Box<RawValue>>,
}

enum Block {
    Part(Part),
    Foreign(&'static str),
}

#[derive(Deserialize)]
struct BlockForm {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<ImageUrl>,
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
}

impl json::Block for Block {
    type Form = BlockForm;

    fn text(text: String) -> Self {
        Self::Part(Part::Text(text))
    }

    fn of(form: BlockForm) -> Option<Self> {
        match form.kind.as_str() {
            "text" => form.text.map(|text| Self::Part(Part::Text(text))),
            "refusal" => form.refusal.map(|text| Self::Part(Part::Text(text))),
            "image_url" => {
                form.image_url.map(|image| Self::Part(Part::Image(json::image(image.url))))
            }
            "input_audio" => Some(Self::Foreign("a sound")),
            "file" => Some(Self::Foreign("a document")),
            _ => None,
        }
    }
}

/// The request of this body.
pub(crate) fn read(body: &[u8]) -> serde_json::Result<Request> {
    let form: Form = serde_json::from_slice(body)?;
    let format = form.response_format.and_then(FormatForm::format);
    let mut request = Request {
        stream: form.stream.unwrap_or(false),
        include_usage: form.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
        choice: form.tool_choice.and_then(|choice| choice.0),
        parallel: form.parallel_tool_calls,
        sampling: Sampling {
            max_tokens: form.max_completion_tokens.or(form.max_tokens),
            temperature: form.temperature,
            top_p: form.top_p,
            top_k: None,
            stop: form.stop.0,
        },
        format,
        effort: form.reasoning_effort,
        foreign: form.n.filter(|n| *n > 1).map(|_| "more than one answer (`n`)"),
        ..Request::default()
    };
    request.tools = form.tools.into_iter().flat_map(|few| few.0).filter_map(tool).collect();
    for message in form.messages {
        message.add_to(&mut request);
    }
    Ok(request)
}

fn tool(form: ToolForm) -> Option<Tool> {
    let Function { name, description, parameters } = form.function?;
    Some(Tool { name, about: description, schema: parameters })
}

impl FormatForm {
    fn format(self) -> Option<Format> {
        match (self.kind.as_str(), self.json_schema) {
            ("json_object", _) => Some(Format::Json),
            ("json_schema", Some(SchemaForm { name, schema: Some(schema) })) => {
                Some(Format::Schema { name, schema })
            }
            _ => None,
        }
    }
}

impl Message {
    fn add_to(self, request: &mut Request) {
        let mut parts = Vec::new();
        for block in self.content.0 {
            match block {
                Block::Part(part) => parts.push(part),
                Block::Foreign(what) => request.foreign = Some(what),
            }
        }
        match self.role.as_str() {
            "system" | "developer" => {
                let text = text(parts);
                request.system.extend((!text.is_empty()).then_some(text));
            }
            "tool" => {
                let id = self.tool_call_id.unwrap_or_default();
                let outcome = Outcome { id, text: text(parts), images: Vec::new(), failed: false };
                request.add(Who::User, Part::Outcome(outcome));
            }
            "assistant" => {
                let thought = self.reasoning_content.map(Part::Thought);
                let calls = self.tool_calls.into_iter().flatten().filter_map(CallForm::call);
                let parts: Vec<_> = thought.into_iter().chain(parts).chain(calls).collect();
                if !parts.is_empty() {
                    request.turns.push(Turn { who: Who::Model, parts });
                }
            }
            _ if !parts.is_empty() => request.turns.push(Turn { who: Who::User, parts }),
            _ => {}
        }
    }
}

impl CallForm {
    fn call(self) -> Option<Part> {
        let Called { name, arguments } = self.function?;
        Some(Part::Call(Call {
            id: self.id.unwrap_or_default(),
            name: name?,
            arguments: arguments.unwrap_or_default(),
        }))
    }
}

fn text(parts: Vec<Part>) -> String {
    let mut said = String::new();
    for part in parts {
        if let Part::Text(text) = part {
            json::join(&mut said, &text);
        }
    }
    said
}
