//! Reads a request of `OpenAI` Responses. Only requests that carry their whole conversation: nothing
//! is kept here between two of them.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::TOOLS_MAX;
use super::super::form::{
    Call, Format, Outcome, Part, Request, Sampling, Spaced, Tool, Turn, Who, flat,
};
use super::super::json::{self, Content, Few};

#[derive(Deserialize)]
struct Form {
    instructions: Option<String>,
    #[serde(default)]
    input: Content<Item>,
    #[serde(default)]
    tools: Option<Few<ToolForm, TOOLS_MAX>>,
    tool_choice: Option<Box<RawValue>>,
    parallel_tool_calls: Option<bool>,
    stream: Option<bool>,
    max_output_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    text: Option<TextForm>,
    reasoning: Option<Reasoning>,
    previous_response_id: Option<Box<RawValue>>,
    conversation: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct TextForm {
    format: Option<FormatForm>,
}

#[derive(Deserialize)]
struct FormatForm {
    #[serde(rename = "type", default)]
    kind: String,
    name: Option<String>,
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Reasoning {
    effort: Option<String>,
}

#[derive(Deserialize)]
struct ToolForm {
    #[serde(rename = "type", default)]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    #[serde(default)]
    tools: Option<Few<InnerTool, TOOLS_MAX>>,
}

#[derive(Deserialize)]
struct InnerTool {
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

/// One thing of the conversation.
enum Item {
    System(Vec<Block>),
    Said(Who, Vec<Block>),
    Part(Who, Part),
    /// A call of a tool that takes a text.
    Custom(Call),
    Foreign(&'static str),
}

#[derive(Deserialize)]
struct ItemForm {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    #[serde(default)]
    content: Content<Block>,
    #[serde(default)]
    summary: Content<Block>,
    call_id: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    arguments: Option<String>,
    input: Option<String>,
    #[serde(default)]
    output: Content<Block>,
}

impl json::Block for Item {
    type Form = ItemForm;

    fn text(text: String) -> Self {
        Self::Said(Who::User, vec![Block::Part(Part::Text(text))])
    }

    fn of(form: ItemForm) -> Option<Self> {
        let id = form.call_id.unwrap_or_default();
        match form.kind.as_deref() {
            None | Some("message") => match form.role.as_deref() {
                Some("system" | "developer") => Some(Self::System(form.content.0)),
                Some("assistant") => Some(Self::Said(Who::Model, form.content.0)),
                _ => Some(Self::Said(Who::User, form.content.0)),
            },
            Some("function_call") => {
                let name = form.name.unwrap_or_default();
                let name = form.namespace.map_or(name.clone(), |space| flat(&space, &name));
                let arguments = form.arguments.unwrap_or_default();
                Some(Self::Part(Who::Model, Part::Call(Call { id, name, arguments })))
            }
            Some("custom_tool_call") => {
                let arguments = json!({ "input": form.input }).to_string();
                Some(Self::Custom(Call { id, name: form.name.unwrap_or_default(), arguments }))
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                Some(outcome(id, form.output))
            }
            Some("reasoning") => {
                let text = texts(&form.summary.0);
                (!text.is_empty()).then_some(Self::Part(Who::Model, Part::Thought(text)))
            }
            Some("item_reference") => Some(Self::Foreign("an item that is kept elsewhere")),
            Some(_) => None,
        }
    }
}

fn outcome(id: String, output: Content<Block>) -> Item {
    let text = texts(&output.0);
    let image = |block| match block {
        Block::Part(Part::Image(image)) => Some(image),
        _ => None,
    };
    let images = output.0.into_iter().filter_map(image).collect();
    Item::Part(Who::User, Part::Outcome(Outcome { id, text, images, failed: false }))
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
    image_url: Option<String>,
}

impl json::Block for Block {
    type Form = BlockForm;

    fn text(text: String) -> Self {
        Self::Part(Part::Text(text))
    }

    fn of(form: BlockForm) -> Option<Self> {
        match form.kind.as_str() {
            "input_text" | "output_text" | "summary_text" | "text" => {
                form.text.map(|text| Self::Part(Part::Text(text)))
            }
            "refusal" => form.refusal.map(|text| Self::Part(Part::Text(text))),
            "input_image" => match form.image_url {
                Some(url) => Some(Self::Part(Part::Image(json::image(url)))),
                None => Some(Self::Foreign("a picture that is kept elsewhere")),
            },
            "input_file" => Some(Self::Foreign("a document")),
            "input_audio" => Some(Self::Foreign("a sound")),
            _ => None,
        }
    }
}

fn texts(blocks: &[Block]) -> String {
    let mut said = String::new();
    for block in blocks {
        if let Block::Part(Part::Text(text)) = block {
            json::join(&mut said, text);
        }
    }
    said
}

/// The request of this body.
pub(crate) fn read(body: &[u8]) -> serde_json::Result<Request> {
    let form: Form = serde_json::from_slice(body)?;
    let kept = |it: &Option<Box<RawValue>>| it.as_ref().is_some_and(|it| it.get() != "null");
    let elsewhere = kept(&form.previous_response_id) || kept(&form.conversation);
    let mut request = Request {
        stream: form.stream.unwrap_or(false),
        choice: form.tool_choice.and_then(|choice| super::super::choice(choice.get())),
        parallel: form.parallel_tool_calls,
        sampling: Sampling {
            max_tokens: form.max_output_tokens,
            temperature: form.temperature,
            top_p: form.top_p,
            ..Sampling::default()
        },
        format: form.text.and_then(|text| text.format?.format()),
        effort: form.reasoning.and_then(|reasoning| reasoning.effort),
        foreign: elsewhere.then_some("a conversation that is kept elsewhere"),
        system: form.instructions.into_iter().filter(|text| !text.is_empty()).collect(),
        ..Request::default()
    };
    for tool in form.tools.into_iter().flat_map(|few| few.0) {
        tool.add_to(&mut request);
    }
    for item in form.input.0 {
        item.add_to(&mut request);
    }
    Ok(request)
}

impl FormatForm {
    fn format(self) -> Option<Format> {
        match (self.kind.as_str(), self.schema) {
            ("json_object", _) => Some(Format::Json),
            ("json_schema", Some(schema)) => Some(Format::Schema { name: self.name, schema }),
            _ => None,
        }
    }
}

impl ToolForm {
    /// Tools that the endpoint itself runs are no tools of the caller.
    fn add_to(self, request: &mut Request) {
        let Some(name) = self.name else { return };
        match self.kind.as_str() {
            "function" => {
                let (about, schema) = (self.description, self.parameters);
                request.tools.push(Tool { name, about, schema });
            }
            "custom" => {
                let schema = serde_json::from_str(CUSTOM).ok();
                request.names.custom.insert(name.clone());
                request.tools.push(Tool { name, about: self.description, schema });
            }
            "namespace" => {
                for inner in self.tools.into_iter().flat_map(|few| few.0) {
                    let Some(inner_name) = inner.name else { continue };
                    let flat = flat(&name, &inner_name);
                    let spaced = Spaced { space: name.clone(), name: inner_name };
                    request.names.spaces.insert(flat.clone(), spaced);
                    let (about, schema) = (inner.description, inner.parameters);
                    request.tools.push(Tool { name: flat, about, schema });
                }
            }
            _ => {}
        }
    }
}

/// How a tool that takes a text is offered where tools take arguments.
const CUSTOM: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

impl Item {
    fn add_to(self, request: &mut Request) {
        match self {
            Self::System(blocks) => {
                let text = texts(&blocks);
                request.system.extend((!text.is_empty()).then_some(text));
            }
            Self::Said(who, blocks) => {
                let mut parts = Vec::new();
                for block in blocks {
                    match block {
                        Block::Part(part) => parts.push(part),
                        Block::Foreign(what) => request.foreign = Some(what),
                    }
                }
                match who {
                    Who::Model => {
                        for part in parts {
                            request.add(who, part);
                        }
                    }
                    Who::User if parts.is_empty() => {}
                    Who::User => request.turns.push(Turn { who, parts }),
                }
            }
            Self::Part(who, part) => request.add(who, part),
            Self::Custom(call) => request.add(Who::Model, Part::Call(call)),
            Self::Foreign(what) => request.foreign = Some(what),
        }
    }
}
