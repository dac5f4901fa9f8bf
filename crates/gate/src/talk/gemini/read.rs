//! Reads a request of Gemini's `generateContent`. Calls have no ids there, or may have none: they get
//! some, by which each result finds the call it answers.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::TOOLS_MAX;
use super::super::form::{
    Call, Choice, Format, Image, Outcome, Part, Request, Sampling, Tool, Turn, Who,
};
use super::super::json::{self, Content, Few, Texts};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    contents: Vec<ContentForm>,
    #[serde(alias = "system_instruction")]
    system_instruction: Option<ContentForm>,
    #[serde(default)]
    tools: Option<Few<ToolForm, TOOLS_MAX>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<ToolConfig>,
    #[serde(alias = "generation_config")]
    generation_config: Option<Config>,
}

#[derive(Deserialize)]
struct ContentForm {
    role: Option<String>,
    #[serde(default)]
    parts: Content<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolForm {
    #[serde(alias = "function_declarations", default)]
    function_declarations: Option<Few<Function, TOOLS_MAX>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    #[serde(alias = "parameters_json_schema")]
    parameters_json_schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    #[serde(alias = "function_calling_config")]
    function_calling_config: Option<Calling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calling {
    mode: Option<String>,
    #[serde(alias = "allowed_function_names", default)]
    allowed_function_names: Texts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    stop_sequences: Texts,
    response_mime_type: Option<String>,
    response_schema: Option<Box<RawValue>>,
    response_json_schema: Option<Box<RawValue>>,
    candidate_count: Option<u64>,
}

enum Block {
    Part(Part),
    Call { id: Option<String>, name: String, arguments: String },
    Response { id: Option<String>, name: String, text: String, failed: bool },
    Foreign(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockForm {
    text: Option<String>,
    thought: Option<bool>,
    #[serde(alias = "inline_data")]
    inline_data: Option<Inline>,
    #[serde(alias = "file_data")]
    file_data: Option<serde::de::IgnoredAny>,
    #[serde(alias = "function_call")]
    function_call: Option<Called>,
    #[serde(alias = "function_response")]
    function_response: Option<Returned>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inline {
    #[serde(alias = "mime_type")]
    mime_type: String,
    data: String,
}

#[derive(Deserialize)]
struct Called {
    id: Option<String>,
    name: String,
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Returned {
    id: Option<String>,
    name: String,
    response: Option<Box<RawValue>>,
}

/// What most agents put into a result.
#[derive(Deserialize)]
struct Usual {
    output: Option<String>,
    error: Option<String>,
}

impl json::Block for Block {
    type Form = BlockForm;

    fn text(text: String) -> Self {
        Self::Part(Part::Text(text))
    }

    fn of(form: BlockForm) -> Option<Self> {
        if let Some(Called { id, name, args }) = form.function_call {
            let arguments = args.map_or_else(|| "{}".to_owned(), |args| args.get().to_owned());
            return Some(Self::Call { id, name, arguments });
        }
        if let Some(Returned { id, name, response }) = form.function_response {
            let (text, failed) = response.map_or_else(Default::default, |it| returned(it.get()));
            return Some(Self::Response { id, name, text, failed });
        }
        match (form.text, form.inline_data, form.file_data) {
            (Some(text), ..) if form.thought == Some(true) => Some(Self::Part(Part::Thought(text))),
            (Some(text), ..) => Some(Self::Part(Part::Text(text))),
            (_, Some(Inline { mime_type, data }), _) if mime_type.starts_with("image/") => {
                Some(Self::Part(Part::Image(Image::Inline { media: mime_type, data })))
            }
            (_, Some(_), _) => Some(Self::Foreign("a document or sound")),
            (.., Some(_)) => Some(Self::Foreign("a file that is kept elsewhere")),
            (None, None, None) => None,
        }
    }
}

fn returned(response: &str) -> (String, bool) {
    match serde_json::from_str(response) {
        Ok(Usual { error: Some(error), .. }) => (error, true),
        Ok(Usual { output: Some(output), .. }) => (output, false),
        _ => (response.to_owned(), false),
    }
}

/// The request of this body; the path says whether it is to be streamed.
pub(crate) fn read(body: &[u8], stream: bool) -> serde_json::Result<Request> {
    let form: Form = serde_json::from_slice(body)?;
    let mut request = Request { stream, ..Request::default() };
    if let Some(config) = form.generation_config {
        config.add_to(&mut request);
    }
    request.choice = form.tool_config.and_then(|config| config.function_calling_config?.choice());
    let declared = form.tools.into_iter().flat_map(|few| few.0);
    let declared = declared.flat_map(|tool| tool.function_declarations.unwrap_or_default().0);
    request.tools = declared.map(tool).collect();
    if let Some(system) = form.system_instruction {
        let mut said = String::new();
        for block in system.parts.0 {
            if let Block::Part(Part::Text(text)) = block {
                json::join(&mut said, &text);
            }
        }
        request.system.extend((!said.is_empty()).then_some(said));
    }
    let mut calls = Calls::default();
    for content in form.contents {
        content.add_to(&mut request, &mut calls);
    }
    Ok(request)
}

fn tool(form: Function) -> Tool {
    let schema = form.parameters_json_schema.or(form.parameters.map(super::schema::lower));
    Tool { name: form.name, about: form.description, schema }
}

impl Config {
    fn add_to(self, request: &mut Request) {
        request.sampling = Sampling {
            max_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast of a float saturates"
            )]
            top_k: self.top_k.map(|k| k as u64),
            stop: self.stop_sequences.0,
        };
        let schema = self.response_json_schema.or(self.response_schema.map(super::schema::lower));
        request.format = match (schema, self.response_mime_type.as_deref()) {
            (Some(schema), _) => Some(Format::Schema { name: None, schema }),
            (None, Some("application/json")) => Some(Format::Json),
            _ => None,
        };
        let many = self.candidate_count.is_some_and(|count| count > 1);
        request.foreign = many.then_some("more than one answer (`candidateCount`)");
    }
}

impl Calling {
    fn choice(self) -> Option<Choice> {
        match (self.mode.as_deref(), self.allowed_function_names.0.as_slice()) {
            (Some("NONE"), _) => Some(Choice::None),
            (Some("ANY"), [one]) => Some(Choice::Tool(one.clone())),
            (Some("ANY"), _) => Some(Choice::Any),
            (Some(_), _) => Some(Choice::Auto),
            (None, _) => None,
        }
    }
}

/// The calls that no result has answered yet.
#[derive(Default)]
struct Calls {
    made: usize,
    open: VecDeque<(String, String)>,
}

impl Calls {
    fn made(&mut self, id: Option<String>, name: &str) -> String {
        self.made += 1;
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}", self.made));
        self.open.push_back((id.clone(), name.to_owned()));
        id
    }

    fn answered(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty());
        let fits = |open: &(String, String)| match &id {
            Some(id) => open.0 == *id,
            None => open.1 == name,
        };
        let found = self.open.iter().position(fits).and_then(|at| self.open.remove(at));
        found.map(|(id, _)| id).or(id).unwrap_or_default()
    }
}

impl ContentForm {
    fn add_to(self, request: &mut Request, calls: &mut Calls) {
        let who = if self.role.as_deref() == Some("model") { Who::Model } else { Who::User };
        let mut parts = Vec::new();
        for block in self.parts.0 {
            parts.push(match block {
                Block::Part(part) => part,
                Block::Call { id, name, arguments } => {
                    let id = calls.made(id, &name);
                    Part::Call(Call { id, name, arguments })
                }
                Block::Response { id, name, text, failed } => {
                    let id = calls.answered(id, &name);
                    Part::Outcome(Outcome { id, text, images: Vec::new(), failed })
                }
                Block::Foreign(what) => {
                    request.foreign = Some(what);
                    continue;
                }
            });
        }
        if !parts.is_empty() {
            request.turns.push(Turn { who, parts });
        }
    }
}
