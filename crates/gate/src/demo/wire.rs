//! Reads a request of either dialect into a conversation. Keeps only what counts while it reads, so
//! that a hostile body takes no more memory than a few times its size.

use std::fmt;
use std::marker::PhantomData;

use model::ModelApi;
use serde::Deserialize as Derive;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::conversation::{Conversation, Outcome, Tool, Turn};

/// The most tools that are looked at; an agent that offers more is told so by silence.
const TOOLS_MAX: usize = 512;
/// The most properties of one tool that are looked at.
const PROPERTIES_MAX: usize = 64;

/// The conversation of a request; or what is wrong with it, without a word of it.
pub(super) fn read(api: ModelApi, body: &[u8]) -> Result<Conversation, String> {
    let request: Request = serde_json::from_slice(body).map_err(|error| {
        let dialect = crate::refusal::dialect(api);
        let (line, column) = (error.line(), error.column());
        format!("its body is not {dialect} (see line {line} column {column})")
    })?;
    Ok(request.into_conversation())
}

/// A request of either dialect: they differ in names, not in shape.
#[derive(Derive)]
struct Request {
    messages: Vec<Message>,
    #[serde(default)]
    system: Content,
    #[serde(default)]
    tools: Option<Few<ToolForm, TOOLS_MAX>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default, alias = "max_completion_tokens")]
    max_tokens: Option<u64>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
}

#[derive(Derive)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Derive)]
struct OutputConfig {
    #[serde(default)]
    format: Option<OutputFormat>,
}

#[derive(Derive)]
struct OutputFormat {
    #[serde(default)]
    schema: Option<Schema>,
}

#[derive(Derive)]
struct Message {
    role: String,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
}

#[derive(Derive)]
struct ToolForm {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input_schema: Option<Schema>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Derive)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Option<Schema>,
}

#[derive(Derive, Default)]
struct Schema {
    #[serde(default)]
    properties: Option<Keys>,
    #[serde(default)]
    required: Option<Few<String, PROPERTIES_MAX>>,
}

impl Request {
    fn into_conversation(self) -> Conversation {
        let mut conversation = Conversation {
            stream: self.stream.unwrap_or(false),
            include_usage: self.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
            max_tokens: self.max_tokens,
            structured: self
                .output_config
                .and_then(|config| config.format?.schema)
                .map(|schema| schema.properties.map_or_else(Vec::new, |keys| keys.0)),
            system: self.system.text().into_iter().collect(),
            tools: self
                .tools
                .into_iter()
                .flat_map(|few| few.0)
                .filter_map(ToolForm::tool)
                .collect(),
            turns: Vec::new(),
        };
        for message in self.messages {
            message.add_to(&mut conversation);
        }
        conversation
    }
}

impl Message {
    fn add_to(self, conversation: &mut Conversation) {
        let turns = &mut conversation.turns;
        match self.role.as_str() {
            "system" | "developer" => conversation.system.extend(self.content.text()),
            "tool" => turns.push(Turn::Returned(returned(self.content))),
            "assistant" => {
                let calls = self.content.0.iter().filter(|block| matches!(block, Block::Called));
                let calls = calls.count() + self.tool_calls.map_or(0, |calls| calls.len());
                turns.extend((0..calls).map(|_| Turn::Called));
            }
            _ => {
                let (mut said, mut outcomes) = (String::new(), Vec::new());
                for block in self.content.0 {
                    match block {
                        Block::Text(text) => join(&mut said, &text),
                        Block::Returned(outcome) => outcomes.push(Turn::Returned(outcome)),
                        Block::Called => {}
                    }
                }
                turns.extend(outcomes);
                turns.push(Turn::User(said));
            }
        }
    }
}

/// The `OpenAI` dialect has no sign for a tool that failed; agents begin such a result like this.
fn returned(content: Content) -> Outcome {
    let text = content.text().unwrap_or_default();
    let why = text.strip_prefix("Error:").map(|why| why.trim_start().to_owned());
    Outcome { failed: why.is_some(), text: why.unwrap_or(text) }
}

impl ToolForm {
    fn tool(self) -> Option<Tool> {
        let (name, schema) = match self.function {
            Some(function) => (function.name, function.parameters),
            None => (self.name?, self.input_schema),
        };
        let Schema { properties, required } = schema.unwrap_or_default();
        Some(Tool {
            name,
            properties: properties.map_or_else(Vec::new, |keys| keys.0),
            required: required.map_or_else(Vec::new, |few| few.0),
        })
    }
}

fn join(said: &mut String, text: &str) {
    if !said.is_empty() {
        said.push('\n');
    }
    said.push_str(text);
}

/// A text, or blocks of which only the kinds that count are kept.
#[derive(Default)]
struct Content(Vec<Block>);

enum Block {
    Text(String),
    Called,
    Returned(Outcome),
}

#[derive(Derive)]
struct BlockForm {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    is_error: Option<bool>,
}

impl BlockForm {
    fn block(self) -> Option<Block> {
        match self.kind.as_str() {
            "text" => self.text.map(Block::Text),
            "tool_use" => Some(Block::Called),
            "tool_result" => {
                let text = self.content.and_then(Content::text).unwrap_or_default();
                Some(Block::Returned(Outcome { text, failed: self.is_error.unwrap_or(false) }))
            }
            _ => None,
        }
    }
}

impl Content {
    fn text(self) -> Option<String> {
        let mut said = String::new();
        for block in self.0 {
            if let Block::Text(text) = block {
                join(&mut said, &text);
            }
        }
        (!said.is_empty()).then_some(said)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of blocks")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(vec![Block::Text(text.to_owned())]))
            }

            fn visit_unit<E: Error>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut blocks = Vec::new();
                while let Some(form) = seq.next_element::<BlockForm>()? {
                    blocks.extend(form.block());
                }
                Ok(Content(blocks))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// The first keys of an object; their values are skipped.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if keys.len() < PROPERTIES_MAX {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }
        }
        from.deserialize_map(Reader)
    }
}

/// The first items of a list; the others are skipped.
struct Few<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Reader<T, MAX> {
            type Value = Few<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<T, MAX>, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Few(items)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(items))
            }
        }
        from.deserialize_seq(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_dialects_read_as_the_same_conversation() {
        let anthropic = json!({
            "model": "x", "stream": true, "max_tokens": 9,
            "system": [{"type": "text", "text": "sys"}],
            "tools": [{"name": "run", "input_schema": {"properties": {"command": {"type": "string"}}, "required": ["command"]}}],
            "messages": [
                {"role": "user", "content": "run ls"},
                {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "1", "name": "run", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "no"}], "is_error": true}]},
            ],
        });
        let openai = json!({
            "model": "x", "stream": true, "max_completion_tokens": 9,
            "tools": [{"type": "function", "function": {"name": "run", "parameters": {"properties": {"command": {}}, "required": ["command"]}}}],
            "messages": [
                {"role": "system", "content": "sys"},
                {"role": "user", "content": "run ls"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "run", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "Error: no"},
            ],
        });
        let mut first =
            read(ModelApi::AnthropicMessages, anthropic.to_string().as_bytes()).expect("valid");
        let second = read(ModelApi::OpenaiChat, openai.to_string().as_bytes()).expect("valid");
        assert_eq!(first.turns.pop(), Some(Turn::User(String::new())));
        assert_eq!(first, second);
        assert_eq!(first.calls(), 1);
    }

    #[test]
    fn garbage_is_refused_without_repeating_it() {
        let deep =
            format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{}", "[".repeat(1 << 20));
        for body in [
            "",
            "null",
            "{}",
            "{\"messages\":7}",
            "{\"messages\":[{\"role\":\"canary\"]}",
            "\u{1}",
            &deep,
        ] {
            let refused =
                read(ModelApi::OpenaiChat, body.as_bytes()).expect_err(&body[..body.len().min(40)]);
            assert!(!refused.contains("canary"), "{refused}");
        }
    }

    #[test]
    fn unknown_blocks_take_no_room() {
        let junk = "{},".repeat(100_000);
        let body = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":[{junk}{{\"type\":\"text\",\"text\":\"read a\"}}]}}]}}"
        );
        let conversation = read(ModelApi::OpenaiChat, body.as_bytes()).expect("valid");
        assert_eq!(conversation.turns, [Turn::User("read a".into())]);
    }
}
