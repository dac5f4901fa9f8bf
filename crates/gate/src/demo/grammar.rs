//! What can be said to the demo model. Reads hostile text in one pass; guesses nothing.

use std::time::Duration;

use serde_json::{Map, Value};

/// The longest text that is read as commands, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most commands of one text.
const COMMANDS_MAX: usize = 64;
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// The longest word to search or remember, in bytes.
const WORD_BYTES_MAX: usize = 256;
/// The longest sleep.
pub(super) const SLEEP_MAX: Duration = Duration::from_mins(10);
/// The most words to say.
pub(super) const WORDS_MAX: u32 = 100_000;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Write {
        text: String,
        path: String,
    },
    Append {
        text: String,
        path: String,
    },
    Delete {
        path: String,
    },
    Read {
        path: String,
    },
    Search {
        word: String,
    },
    Remember {
        word: String,
    },
    WhichWord,
    Run {
        command: String,
    },
    /// A tool is called by its name, with these arguments.
    Call {
        tool: String,
        arguments: Map<String, Value>,
    },
    Sleep {
        pause: Duration,
    },
    Say {
        words: u32,
        over: Duration,
    },
}

/// A text is not made of commands. Nothing of it is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misunderstood {
    #[error("I only know the commands below")]
    Unknown,
    #[error("that is more than I read at once ({TEXT_BYTES_MAX} bytes or {COMMANDS_MAX} commands)")]
    TooMuch,
    #[error("`{verb}` goes like this: {usage}")]
    Usage { verb: &'static str, usage: &'static str },
}

/// The verbs, how each is used, and what it does.
pub(super) const VERBS: &[(&str, &str, &str)] = &[
    ("write", "write TEXT to PATH", "writes a file"),
    ("append", "append TEXT to PATH", "adds a line to a file"),
    ("delete", "delete PATH", "removes a file or folder"),
    ("read", "read PATH", "shows a file"),
    ("search", "search WORD", "finds a word in the files"),
    ("remember", "remember WORD", "keeps a word in this conversation"),
    ("which", "which word?", "says the word again, also in a resumed conversation"),
    ("what", "what word?", "the same"),
    ("run", "run COMMAND", "runs a shell command"),
    (
        "call",
        "call TOOL {JSON}",
        "calls a tool by its name, as `call knowledge.search {\"query\":\"plan\"}`",
    ),
    ("sleep", "sleep SECONDS", "waits, at most 600"),
    (
        "say",
        "say N words [in S seconds]",
        "streams N words, at most 100,000, spread over at most 600 s",
    ),
];

/// The commands of a text, in order: all of them, or the reason why none is done.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, Misunderstood> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Misunderstood::TooMuch);
    }
    let segments = split(text.trim());
    if segments.len() > COMMANDS_MAX {
        return Err(Misunderstood::TooMuch);
    }
    segments.into_iter().map(command).collect()
}

/// Cuts where a separator outside of quotes is followed by a verb; so `;` in a shell command or `then`
/// in a text stay what they are, unless a verb follows.
fn split(text: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let (mut from, mut at) = (0, 0);
    let mut closed = Closed::default();
    while let Some(&byte) = text.as_bytes().get(at) {
        at = match separator(text, at) {
            Some(length) if verb(&text[at + length..]).is_some() => {
                segments.push(ended(&text[from..at]));
                from = at + length;
                from
            }
            _ => closed.skip(text, at, byte),
        };
    }
    segments.push(ended(&text[from..]));
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// The length of the separator that stands here.
fn separator(text: &str, at: usize) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    match rest.first()? {
        b';' | b'\n' => Some(1),
        b' ' if rest.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b" then ")) => Some(6),
        _ => None,
    }
}

/// A segment without the punctuation that leads over to the next.
fn ended(segment: &str) -> &str {
    let segment = segment.trim().trim_end_matches([';', ',']);
    segment.strip_suffix(" and").unwrap_or(segment).trim_end_matches(',').trim()
}

/// Skips quoted parts; remembers which quotes are never closed again, so that reading stays linear.
#[derive(Default)]
struct Closed {
    never: Vec<u8>,
}

impl Closed {
    fn skip(&mut self, text: &str, at: usize, byte: u8) -> usize {
        if matches!(byte, b'"' | b'`') && !self.never.contains(&byte) {
            let rest = &text.as_bytes()[at + 1..];
            match rest.iter().position(|&other| other == byte) {
                Some(length) => return at + length + 2,
                None => self.never.push(byte),
            }
        }
        let next = (at + 1..=text.len()).find(|&next| text.is_char_boundary(next));
        next.unwrap_or(text.len())
    }
}

/// The verb that a text begins with, and what follows it.
fn verb(text: &str) -> Option<(&'static str, &str)> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_prefix("then ").unwrap_or(text);
    let text = text.strip_prefix("please ").unwrap_or(text);
    let end = text.bytes().take(10).position(|byte| byte.is_ascii_whitespace())?;
    let word = text.get(..end)?;
    let (verb, ..) = VERBS.iter().find(|(verb, ..)| verb.eq_ignore_ascii_case(word))?;
    let rest = text[end..].trim();
    let asks = matches!(*verb, "which" | "what");
    let word = |rest: &str| rest.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("word"));
    (!rest.is_empty() && (!asks || word(rest))).then_some((verb, rest))
}

fn command(segment: &str) -> Result<Command, Misunderstood> {
    let (verb, rest) = verb(segment).ok_or_else(|| incomplete(segment))?;
    let command = match verb {
        "write" => text_and_path(rest).map(|(text, path)| Command::Write { text, path }),
        "append" => text_and_path(rest).map(|(text, path)| Command::Append { text, path }),
        "delete" => path(rest).map(|path| Command::Delete { path }),
        "read" => path(rest).map(|path| Command::Read { path }),
        "search" => word(rest).map(|word| Command::Search { word }),
        "remember" => word(rest).map(|word| Command::Remember { word }),
        "run" => Some(Command::Run { command: unquoted(rest).to_owned() }),
        "call" => call(rest),
        "sleep" => pause(rest).map(|pause| Command::Sleep { pause }),
        "say" => say(rest),
        _ => Some(Command::WhichWord),
    };
    command.ok_or_else(|| misused(verb))
}

/// A verb alone is a command that lacks something; anything else is none.
fn incomplete(segment: &str) -> Misunderstood {
    let alone = VERBS.iter().find(|(verb, ..)| verb.eq_ignore_ascii_case(segment));
    alone.map_or(Misunderstood::Unknown, |(verb, ..)| misused(verb))
}

fn misused(verb: &str) -> Misunderstood {
    match VERBS.iter().find(|(known, ..)| *known == verb) {
        Some((verb, usage, _)) => Misunderstood::Usage { verb, usage },
        None => Misunderstood::Unknown,
    }
}

fn text_and_path(rest: &str) -> Option<(String, String)> {
    let (text, to) = rest.rsplit_once(" to ")?;
    Some((unquoted(text.trim()).to_owned(), path(to.trim())?))
}

/// A path has no control characters, and spaces only in quotes.
fn path(text: &str) -> Option<String> {
    let path = unquoted(text);
    let quoted = path.len() < text.len();
    let good = !path.is_empty()
        && path.len() <= PATH_BYTES_MAX
        && !path.contains(char::is_control)
        && (quoted || !path.contains(char::is_whitespace));
    good.then(|| path.to_owned())
}

fn word(text: &str) -> Option<String> {
    let word = unquoted(text);
    let good = !word.is_empty() && word.len() <= WORD_BYTES_MAX && !word.contains(char::is_control);
    good.then(|| word.to_owned())
}

/// The name of a tool, and its arguments where there are some.
fn call(rest: &str) -> Option<Command> {
    let (tool, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, "{}"));
    let arguments = serde_json::from_str(arguments.trim()).ok()?;
    Some(Command::Call { tool: word(tool)?, arguments })
}

fn pause(text: &str) -> Option<Duration> {
    let number = ["seconds", "second", "s"].iter().find_map(|unit| text.strip_suffix(unit));
    let seconds = number.unwrap_or(text).trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|pause| *pause <= SLEEP_MAX)
}

fn say(text: &str) -> Option<Command> {
    let (count, over) = match text.split_once(" in ") {
        Some((count, over)) => (count.trim_end(), pause(over.trim())?),
        None => (text, Duration::ZERO),
    };
    let number = count.strip_suffix("words").or_else(|| count.strip_suffix("word"))?;
    let words = number.trim().parse().ok().filter(|words| *words <= WORDS_MAX)?;
    Some(Command::Say { words, over })
}

/// The text inside of quotes, if it stands in them as a whole.
fn unquoted(text: &str) -> &str {
    let inside = ['"', '`', '\''].iter().find_map(|&quote| {
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(quote)).then_some(inside)
    });
    inside.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str, path: &str) -> Command {
        Command::Write { text: text.into(), path: path.into() }
    }

    fn run(command: &str) -> Command {
        Command::Run { command: command.into() }
    }

    fn check(text: &str, commands: &[Command]) {
        assert_eq!(parse(text).as_deref(), Ok(commands), "{text}");
    }

    #[test]
    fn each_command_is_read() {
        check("write hello world to a.txt", &[write("hello world", "a.txt")]);
        check("Write `go to bed` to \"my file\"", &[write("go to bed", "my file")]);
        check("append x to a", &[Command::Append { text: "x".into(), path: "a".into() }]);
        check("delete a/b", &[Command::Delete { path: "a/b".into() }]);
        check("read ../a", &[Command::Read { path: "../a".into() }]);
        check("search 'two words'", &[Command::Search { word: "two words".into() }]);
        check("please remember heron", &[Command::Remember { word: "heron".into() }]);
        check("which word?", &[Command::WhichWord]);
        check("What word was it", &[Command::WhichWord]);
        check("run ls -la", &[run("ls -la")]);
        let arguments = |json: &str| serde_json::from_str(json).expect("an object");
        check(
            "call knowledge.search {\"query\": \"a; read b\"}",
            &[Command::Call {
                tool: "knowledge.search".into(),
                arguments: arguments(r#"{"query": "a; read b"}"#),
            }],
        );
        check("call x", &[Command::Call { tool: "x".into(), arguments: arguments("{}") }]);
        check("sleep 0.5", &[Command::Sleep { pause: Duration::from_millis(500) }]);
        check("sleep 600 s", &[Command::Sleep { pause: SLEEP_MAX }]);
        let say = |words, over| Command::Say { words, over };
        check("say 100000 words", &[say(WORDS_MAX, Duration::ZERO)]);
        check("say 1 word in 1.5 s", &[say(1, Duration::from_millis(1500))]);
        check("say 4 words in 600 seconds", &[say(4, SLEEP_MAX)]);
    }

    #[test]
    fn commands_are_joined_by_semicolons_lines_and_then() {
        let three = [write("a", "b"), Command::Read { path: "b".into() }, run("ls")];
        check("write a to b; read b;run ls;", &three);
        check("write a to b\n\n read b\nthen run ls\n", &three);
        check("write a to b, then read b and then run ls", &three);
    }

    #[test]
    fn a_separator_that_no_verb_follows_is_text() {
        check("run for i in 1 2; do echo $i; done", &[run("for i in 1 2; do echo $i; done")]);
        check("run if true; then echo x; fi", &[run("if true; then echo x; fi")]);
        check("write one\ntwo to a", &[write("one\ntwo", "a")]);
        check("run \"sleep 1; run x; read y\"", &[run("sleep 1; run x; read y")]);
        check(
            "run echo 'a \" b'; read y",
            &[run("echo 'a \" b'"), Command::Read { path: "y".into() }],
        );
    }

    #[test]
    fn what_is_no_command_is_not_half_done() {
        for text in [
            "",
            "hello",
            "hello; run ls",
            "run",
            "which way?",
            "\u{0}",
            "ä write x to y",
            "writex to y",
        ] {
            assert!(parse(text).is_err() || text.is_empty(), "{text}");
        }
        assert_eq!(parse("write x"), Err(misused("write")));
        for text in [
            "sleep 601",
            "sleep -1",
            "sleep NaN",
            "sleep inf",
            "say 100001 words",
            "say -1 words",
            "say many words",
            "say 4 words in 601 seconds",
            "say 4 words in a while",
            "read a b",
            "call x y",
            "call x [1]",
            "call x {\"a\":",
            "read a\u{7}b",
            "delete \"\"",
        ] {
            assert!(matches!(parse(text), Err(Misunderstood::Usage { .. })), "{text}");
        }
        let long = "read ".to_owned() + &"a".repeat(PATH_BYTES_MAX + 1);
        assert!(parse(&long).is_err());
        assert_eq!(parse(&"run x;".repeat(65)), Err(Misunderstood::TooMuch));
        assert_eq!(parse(&"x".repeat(TEXT_BYTES_MAX + 1)), Err(Misunderstood::TooMuch));
    }

    #[test]
    fn hostile_text_is_read_in_one_pass() {
        for piece in ["\"", "`", "; ", "\n", " then ", "ä;\"`", "; then ", "run;", "\u{0}\u{ffff}"]
        {
            let text = piece.repeat(TEXT_BYTES_MAX / piece.len());
            assert!(parse(&text).is_err() || parse(&text) == Ok(Vec::new()), "{piece:?}");
        }
    }
}
