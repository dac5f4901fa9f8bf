//! Reads what a model call used out of its answer as it passes by. Holds at most a few KiB of it,
//! and believes only the place where the dialects put it: never what the model itself wrote.

use serde::Deserialize;

/// The longest usage object that is read.
const OBJECT_BYTES_MAX: usize = 4 << 10;
/// The longest key that matters, with room to tell it from longer ones.
const KEY_BYTES_MAX: usize = 16;

/// What a model call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Tokens of the request, cached ones included.
    pub(crate) input: u64,
    /// Those of them that a cache of the endpoint had, as far as it says.
    pub(crate) cached: u64,
    /// Tokens of the answer.
    pub(crate) output: u64,
}

/// How an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events, each line `data: {…}`.
    Events,
}

/// Watches an answer go by.
#[derive(Debug)]
pub(crate) struct Meter {
    framing: Framing,
    line: Line,
    scanner: Scanner,
    seen: Option<Used>,
    bytes: u64,
    /// Events so far that carry something.
    events: u64,
}

/// Where in a line of an event stream we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` were read.
    Prefix(usize),
    Data,
    Other,
}

const PREFIX: &[u8] = b"data:";

impl Meter {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            line: Line::Prefix(0),
            scanner: Scanner::default(),
            seen: None,
            bytes: 0,
            events: 0,
        }
    }

    /// What the answer said so far that it used; `None` when it said nothing.
    pub(crate) fn used(&self) -> Option<Used> {
        self.seen
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// About how many tokens the answer has so far: one for each event of a stream, which is seldom
    /// more than there are; or else one for each four bytes.
    pub(crate) fn about(&self) -> u64 {
        match self.framing {
            Framing::Json => self.bytes.div_ceil(4),
            Framing::Events => self.events,
        }
    }

    /// Looks at the next bytes of the answer.
    pub(crate) fn watch(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        for &byte in bytes {
            match self.framing {
                Framing::Json => self.scan(byte),
                Framing::Events => self.event_byte(byte),
            }
        }
    }

    fn event_byte(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line = Line::Prefix(0);
            self.scanner = Scanner::default();
            return;
        }
        match self.line {
            Line::Prefix(at) if PREFIX.get(at) == Some(&byte) => {
                let whole = at + 1 == PREFIX.len();
                self.events += u64::from(whole);
                self.line = if whole { Line::Data } else { Line::Prefix(at + 1) };
            }
            Line::Prefix(_) => self.line = Line::Other,
            Line::Data => self.scan(byte),
            Line::Other => {}
        }
    }

    fn scan(&mut self, byte: u8) {
        let Some(object) = self.scanner.byte(byte) else { return };
        let Ok(stated) = serde_json::from_slice::<Stated>(&object) else { return };
        let seen = self.seen.get_or_insert_default();
        seen.input = seen.input.max(stated.input());
        seen.cached = seen.cached.max(stated.cached());
        seen.output = seen.output.max(stated.output());
    }
}

/// The usage object of any dialect.
#[derive(Debug, Deserialize)]
struct Stated {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
}

/// What the `OpenAI` dialects say about the tokens of a request.
#[derive(Debug, Deserialize)]
pub(crate) struct Details {
    pub(crate) cached_tokens: Option<u64>,
}

/// How many tokens a cache had.
pub(crate) fn cached(details: Option<&Details>) -> u64 {
    details.and_then(|details| details.cached_tokens).unwrap_or(0)
}

impl Stated {
    fn input(&self) -> u64 {
        sum([self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens])
            .max(self.prompt_tokens.unwrap_or(0))
            .max(sum([self.prompt_token_count, self.tool_use_prompt_token_count]))
    }

    fn cached(&self) -> u64 {
        let told = [self.cache_read_input_tokens, self.cached_content_token_count];
        let details = [&self.prompt_tokens_details, &self.input_tokens_details];
        let details = details.map(|details| Some(cached(details.as_ref())));
        told.into_iter().chain(details).flatten().max().unwrap_or(0)
    }

    fn output(&self) -> u64 {
        let stated = self.output_tokens.or(self.completion_tokens).unwrap_or(0);
        stated.max(sum([self.candidates_token_count, self.thoughts_token_count]))
    }
}

fn sum<const N: usize>(counts: [Option<u64>; N]) -> u64 {
    counts.into_iter().flatten().fold(0, u64::saturating_add)
}

/// Finds `usage` or `usageMetadata` at the top of a JSON value, and `usage` in `message` or `response`
/// at its top.
#[derive(Debug, Default)]
struct Scanner {
    depth: usize,
    string: Option<Quote>,
    /// The last string that was read whole, if it is short.
    key: Vec<u8>,
    /// The key that the value now read belongs to, where it matters.
    owner: Owner,
    /// Whether the object at depth 2 is `message` or `response`.
    in_message: bool,
    capture: Option<Capture>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Plain,
    Escape,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Owner {
    #[default]
    Other,
    Message,
    Usage,
}

#[derive(Debug)]
struct Capture {
    depth: usize,
    bytes: Vec<u8>,
}

impl Scanner {
    /// Takes one byte; gives the usage object when it is whole.
    fn byte(&mut self, byte: u8) -> Option<Vec<u8>> {
        if let Some(capture) = &mut self.capture {
            capture.bytes.push(byte);
            if capture.bytes.len() > OBJECT_BYTES_MAX {
                self.capture = None;
            }
        }
        match self.string {
            Some(quote) => self.in_string(quote, byte),
            None => return self.structure(byte),
        }
        None
    }

    fn in_string(&mut self, quote: Quote, byte: u8) {
        self.string = match (quote, byte) {
            (Quote::Plain, b'"') => None,
            (Quote::Plain, b'\\') => Some(Quote::Escape),
            _ => Some(Quote::Plain),
        };
        if self.string.is_some() && self.key.len() < KEY_BYTES_MAX {
            self.key.push(byte);
        }
    }

    fn structure(&mut self, byte: u8) -> Option<Vec<u8>> {
        match byte {
            b'"' => {
                self.string = Some(Quote::Plain);
                self.key.clear();
            }
            b':' => self.owner = self.owner_of_key(),
            b',' => self.owner = Owner::Other,
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => return self.close(),
            _ => {}
        }
        None
    }

    fn owner_of_key(&self) -> Owner {
        match self.key.as_slice() {
            b"usage" if self.depth == 1 || (self.depth == 2 && self.in_message) => Owner::Usage,
            b"usageMetadata" if self.depth == 1 => Owner::Usage,
            b"message" | b"response" if self.depth == 1 => Owner::Message,
            _ => Owner::Other,
        }
    }

    fn open(&mut self, byte: u8) {
        if self.depth == 1 {
            self.in_message = byte == b'{' && self.owner == Owner::Message;
        }
        self.depth += 1;
        if byte == b'{' && self.owner == Owner::Usage && self.capture.is_none() {
            self.capture = Some(Capture { depth: self.depth, bytes: vec![b'{'] });
        }
        self.owner = Owner::Other;
    }

    fn close(&mut self) -> Option<Vec<u8>> {
        let whole = self.capture.as_ref().is_some_and(|capture| capture.depth == self.depth);
        self.depth = self.depth.saturating_sub(1);
        whole.then(|| self.capture.take().map(|capture| capture.bytes)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, byte by byte, and cut everywhere: the same is read.
    fn check(framing: Framing, answer: &str, used: Option<Used>) {
        for cut in 0..=answer.len() {
            let mut meter = Meter::new(framing);
            meter.watch(&answer.as_bytes()[..cut]);
            meter.watch(&answer.as_bytes()[cut..]);
            assert_eq!(meter.used(), used, "cut at {cut}: {answer}");
        }
    }

    fn used(input: u64, output: u64) -> Used {
        Used { input, output, cached: 0 }
    }

    #[test]
    fn a_whole_answer_of_either_dialect_says_what_it_used() {
        check(
            Framing::Json,
            r#"{"id":"m","usage":{"input_tokens":5,"cache_read_input_tokens":3,"x":{"y":[1]},"output_tokens":7},"z":1}"#,
            Some(Used { cached: 3, ..used(8, 7) }),
        );
        check(
            Framing::Json,
            r#"{"choices":[{"usage":{"prompt_tokens":1}}],"usage":{"prompt_tokens":11,"completion_tokens":2}}"#,
            Some(used(11, 2)),
        );
    }

    #[test]
    fn a_streamed_answer_of_either_dialect_says_what_it_used() {
        check(
            Framing::Events,
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":40}}\n\n",
            Some(used(9, 40)),
        );
        check(
            Framing::Events,
            "data: {\"choices\":[],\"usage\":null}\r\n\r\ndata:{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n",
            Some(used(3, 4)),
        );
    }

    #[test]
    fn the_younger_dialects_say_it_elsewhere() {
        check(
            Framing::Events,
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"usage\":{\"output_tokens\":9}}],\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n",
            Some(used(3, 4)),
        );
        check(
            Framing::Events,
            "data: {\"candidates\":[{\"usageMetadata\":{\"promptTokenCount\":9}}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":4,\"thoughtsTokenCount\":1}}\n\n",
            Some(used(3, 5)),
        );
    }

    #[test]
    fn each_dialect_says_in_its_own_way_what_a_cache_had() {
        let half = Some(Used { cached: 4, ..used(8, 1) });
        for usage in [
            r#""usage":{"input_tokens":4,"cache_read_input_tokens":4,"output_tokens":1}"#,
            r#""usage":{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":1}"#,
            r#""usage":{"input_tokens":8,"input_tokens_details":{"cached_tokens":4},"output_tokens":1}"#,
            r#""usageMetadata":{"promptTokenCount":8,"cachedContentTokenCount":4,"candidatesTokenCount":1}"#,
        ] {
            check(Framing::Json, &format!("{{{usage}}}"), half);
        }
    }

    #[test]
    fn what_the_model_wrote_is_not_believed() {
        let fake = r#"{"content":[{"input":{"usage":{"output_tokens":0}}},{"text":"\"usage\":{\"output_tokens\":1}"}],"a":{"message":{"usage":{"output_tokens":2}}},"b":["usage",{"output_tokens":3}]}"#;
        check(Framing::Json, fake, None);
        check(
            Framing::Events,
            &format!("data: {fake}\n\n: {{\"usage\":{{\"output_tokens\":1}}}}\n"),
            None,
        );
    }

    #[test]
    fn garbage_says_nothing_and_is_not_held() {
        check(Framing::Json, "}}}]]\"\\\"{{{:::usage", None);
        check(Framing::Json, r#"{"usage":{"input_tokens":-1}}"#, None);
        let mut meter = Meter::new(Framing::Json);
        meter.watch(b"{\"usage\":{\"x\":\"");
        meter.watch(&vec![b'a'; 1 << 20]);
        assert!(meter.scanner.capture.is_none());
        assert!(meter.scanner.key.len() <= KEY_BYTES_MAX);
    }
}
