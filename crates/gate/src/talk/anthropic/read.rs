//! Reads a request of Anthropic Messages.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::TOOLS_MAX;
use super::super::form::{
    Call, Choice, Format, Image, Outcome, Part, Request, Sampling, Tool, Turn, Who,
};
use super::super::json::{self, Content, Few, Texts};

#[derive(Deserialize)]
struct Form {
    messages: Vec<Message>,
    #[serde(default)]
    system: Content<Block>,
    #[serde(default)]
    tools: Option<Few<ToolForm, TOOLS_MAX>>,
    tool_choice: Option<ChoiceForm>,
    stream: Option<bool>,
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    #[serde(default)]
    stop_sequences: Texts,
    output_config: Option<OutputConfig>,
}

#[derive(Deserialize)]
struct OutputConfig {
    format: Option<OutputFormat>,
    effort: Option<String>,
}

#[derive(Deserialize)]
struct OutputFormat {
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Content<Block>,
}

#[derive(Deserialize)]
struct ToolForm {
    name: Option<String>,
    description: Option<String>,
    input_schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ChoiceForm {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
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
    thinking: Option<String>,
    source: Option<Source>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Box<RawValue>>,
    tool_use_id: Option<String>,
    content: Option<Content<Block>>,
    is_error: Option<bool>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "type", default)]
    kind: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
}

impl json::Block for Block {
    type Form = BlockForm;

    fn text(text: String) -> Self {
        Self::Part(Part::Text(text))
    }

    fn of(form: BlockForm) -> Option<Self> {
        let part = match form.kind.as_str() {
            "text" => Part::Text(form.text?),
            "thinking" => Part::Thought(form.thinking?),
            "image" => Part::Image(form.source?.image()?),
            "tool_use" => Part::Call(Call {
                id: form.id.unwrap_or_default(),
                name: form.name.unwrap_or_default(),
                arguments: form.input.map_or_else(|| "{}".to_owned(), |input| input.get().into()),
            }),
            "tool_result" => {
                let failed = form.is_error.unwrap_or(false);
                let id = form.tool_use_id.unwrap_or_default();
                return Some(outcome(id, form.content.unwrap_or_default(), failed));
            }
            "document" => return Some(Self::Foreign("a document")),
            _ => return None,
        };
        Some(Self::Part(part))
    }
}

fn outcome(id: String, content: Content<Block>, failed: bool) -> Block {
    let mut outcome = Outcome { id, text: String::new(), images: Vec::new(), failed };
    for block in content.0 {
        match block {
            Block::Part(Part::Text(text)) => json::join(&mut outcome.text, &text),
            Block::Part(Part::Image(image)) => outcome.images.push(image),
            Block::Part(_) => {}
            Block::Foreign(what) => return Block::Foreign(what),
        }
    }
    Block::Part(Part::Outcome(outcome))
}

impl Source {
    fn image(self) -> Option<Image> {
        match self.kind.as_str() {
            "url" => self.url.map(Image::Url),
            _ => Some(Image::Inline { media: self.media_type?, data: self.data? }),
        }
    }
}

/// The request of this body.
pub(crate) fn read(body: &[u8]) -> serde_json::Result<Request> {
    let form: Form = serde_json::from_slice(body)?;
    let (format, effort) = form.output_config.map_or((None, None), |config| {
        let schema = config.format.and_then(|format| format.schema);
        (schema.map(|schema| Format::Schema { name: None, schema }), config.effort)
    });
    let parallel = form.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use);
    let mut request = Request {
        stream: form.stream.unwrap_or(false),
        parallel: parallel.map(|not| !not),
        choice: form.tool_choice.and_then(ChoiceForm::choice),
        sampling: Sampling {
            max_tokens: form.max_tokens,
            temperature: form.temperature,
            top_p: form.top_p,
            top_k: form.top_k,
            stop: form.stop_sequences.0,
        },
        format,
        effort,
        ..Request::default()
    };
    system(&mut request, form.system);
    request.tools = form.tools.into_iter().flat_map(|few| few.0).filter_map(tool).collect();
    for message in form.messages {
        message.add_to(&mut request);
    }
    Ok(request)
}

fn system(request: &mut Request, content: Content<Block>) {
    let mut said = String::new();
    for block in content.0 {
        if let Block::Part(Part::Text(text)) = block {
            json::join(&mut said, &text);
        }
    }
    request.system.extend((!said.is_empty()).then_some(said));
}

/// Tools that the endpoint itself runs have no schema; they are no tools of the caller.
fn tool(form: ToolForm) -> Option<Tool> {
    let schema = Some(form.input_schema?);
    Some(Tool { name: form.name?, about: form.description, schema })
}

impl ChoiceForm {
    fn choice(self) -> Option<Choice> {
        match self.kind.as_str() {
            "auto" => Some(Choice::Auto),
            "any" => Some(Choice::Any),
            "none" => Some(Choice::None),
            "tool" => self.name.map(Choice::Tool),
            _ => None,
        }
    }
}

impl Message {
    fn add_to(self, request: &mut Request) {
        let who = match self.role.as_str() {
            "system" | "developer" => return system(request, self.content),
            "assistant" => Who::Model,
            _ => Who::User,
        };
        let mut turn = Turn { who, parts: Vec::new() };
        for block in self.content.0 {
            match block {
                Block::Part(part) => turn.parts.push(part),
                Block::Foreign(what) => request.foreign = Some(what),
            }
        }
        if !turn.parts.is_empty() {
            request.turns.push(turn);
        }
    }
}
