//! Decides what the demo model says and does next. A pure function of the conversation: what was
//! already done is replayed, the first thing that was not is what happens now.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use super::conversation::{Conversation, Outcome};
use super::grammar::{self, Command, Misunderstood, SLEEP_MAX, VERBS};
use super::side;
use super::tools::{Call, Toolbox, quoted};

/// How much of what a tool returned is repeated, in characters.
const SHOWN_CHARS_MAX: usize = 2000;

/// What the demo model does now: waits, speaks, and may call a tool.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) pause: Duration,
    pub(super) speech: Vec<Speech>,
    pub(super) call: Option<Call>,
}

/// A piece of what is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Text(String),
    /// So many words, `w1 w2 …`, spread over so long.
    Words {
        words: u32,
        over: Duration,
    },
}

impl Answer {
    pub(super) fn text(text: String) -> Self {
        Self { speech: vec![Speech::Text(text)], ..Self::default() }
    }

    /// About how many tokens it is.
    pub(super) fn tokens(&self) -> u64 {
        let spoken = self.speech.iter().map(|speech| match speech {
            Speech::Text(text) => super::tokens(text.len()),
            Speech::Words { words, .. } => u64::from(*words),
        });
        spoken.sum::<u64>() + if self.call.is_some() { 16 } else { 0 }
    }
}

/// What the demo model answers to this conversation.
pub(super) fn answer(conversation: &Conversation) -> Answer {
    if let Some(answer) = side::answer(conversation) {
        return answer;
    }
    let Some((turn, text)) = conversation.asked().next_back() else {
        return Answer::text(help(None));
    };
    match grammar::parse(&text) {
        Ok(commands) if !commands.is_empty() => {
            let outcomes = conversation.outcomes_since(turn).into();
            Act { conversation, turn, outcomes, now: Answer::default() }.all(&commands)
        }
        Ok(_) => Answer::text(help(None)),
        Err(why) => Answer::text(help(Some(&why))),
    }
}

/// What the demo model is and what can be said to it.
fn help(why: Option<&Misunderstood>) -> String {
    let mut text = format!("Hello, I am the {}.", super::TITLE);
    if let Some(why) = why {
        write!(text, " Sorry: {why}.").expect("a String takes all");
    }
    text.push_str(" You can say:\n");
    for (_, usage, does) in VERBS {
        write!(text, "\n- `{usage}`: {does}").expect("a String takes all");
    }
    text.push_str(
        "\n\nJoin several with `;`, a new line or ` then `. Put a text in quotes to keep it together.",
    );
    text
}

/// A tool has to be called before anything else can be said.
struct Calling(Call);

struct Act<'a> {
    conversation: &'a Conversation,
    /// The turn that is obeyed.
    turn: usize,
    /// What the calls of this turn returned and the script has not looked at yet.
    outcomes: VecDeque<&'a Outcome>,
    now: Answer,
}

impl<'a> Act<'a> {
    fn all(mut self, commands: &[Command]) -> Answer {
        for command in commands {
            if let Err(Calling(call)) = self.one(command) {
                return Answer { speech: Vec::new(), call: Some(call), ..self.now };
            }
        }
        self.now
    }

    fn one(&mut self, command: &Command) -> Result<(), Calling> {
        match command {
            Command::Write { text, path } => self.write(text, path)?,
            Command::Append { text, path } => {
                self.shell(&appending(text, path), &format!("added a line to {path}"))?;
            }
            Command::Delete { path } => {
                self.shell(&format!("rm -r -- {}", quoted(path)), &format!("deleted {path}"))?;
            }
            Command::Read { path } => self.read(path)?,
            Command::Search { word } => self.search(word)?,
            Command::Remember { word } => self.say(&format!("I will remember {word}.")),
            Command::WhichWord => self.say(&self.word()),
            Command::Run { command } => self.run(command)?,
            Command::Call { tool, arguments } => self.tool(tool, arguments)?,
            Command::Sleep { pause } => self.sleep(*pause),
            Command::Say { words, over } => {
                if !self.now.speech.is_empty() {
                    self.now.speech.push(Speech::Text("\n".to_owned()));
                }
                self.now.speech.push(Speech::Words { words: *words, over: *over });
            }
        }
        Ok(())
    }

    /// What the call returned, if it was made before; else it is made now.
    fn call(&mut self, call: Call) -> Result<&'a Outcome, Calling> {
        self.outcomes.pop_front().ok_or(Calling(call))
    }

    fn say(&mut self, sentence: &str) {
        let sentence = match self.now.speech.last() {
            None => format!("{}: {sentence}", super::TITLE),
            Some(_) => format!("\n{sentence}"),
        };
        self.now.speech.push(Speech::Text(sentence));
    }

    fn lack(&mut self, what: &str) {
        self.say(&format!("I was offered no tool that can {what}, so I did not."));
    }

    /// A sleep happens once: when all that was to be done before it is done, and nothing after it.
    fn sleep(&mut self, pause: Duration) {
        if self.outcomes.is_empty() {
            self.now.pause = (self.now.pause + pause).min(SLEEP_MAX);
        }
        self.say(&format!("I slept for {} s.", pause.as_secs_f64()));
    }

    fn write(&mut self, text: &str, path: &str) -> Result<(), Calling> {
        let toolbox = Toolbox::of(self.conversation);
        let Some(call) = toolbox.write(path, text) else {
            let script = format!("printf %s {} > {}", quoted(text), quoted(path));
            return self.shell(&script, &format!("wrote {path}"));
        };
        let mut outcome = self.call(call.clone())?;
        // Some agents want a file to be read before it is written over.
        if let (true, Some(read)) = (wants_reading(outcome), toolbox.read(path)) {
            self.call(read)?;
            outcome = self.call(call)?;
        }
        self.tell(
            outcome,
            &format!("wrote {path} ({} bytes)", text.len()),
            &format!("write {path}"),
        );
        Ok(())
    }

    fn shell(&mut self, script: &str, did: &str) -> Result<(), Calling> {
        let Some(call) = Toolbox::of(self.conversation).run(script) else {
            self.lack("run a shell command");
            return Ok(());
        };
        let outcome = self.call(call)?;
        self.tell(outcome, did, &format!("run `{}`", shown(script)));
        Ok(())
    }

    fn tell(&mut self, outcome: &Outcome, did: &str, tried: &str) {
        if outcome.failed {
            self.say(&format!("I could not {tried}: {}", shown(&outcome.text)));
        } else {
            self.say(&format!("I {did}."));
        }
    }

    fn read(&mut self, path: &str) -> Result<(), Calling> {
        let toolbox = Toolbox::of(self.conversation);
        let call = toolbox.read(path).or_else(|| toolbox.run(&format!("cat -- {}", quoted(path))));
        let Some(call) = call else {
            self.lack("read files");
            return Ok(());
        };
        let outcome = self.call(call)?;
        if outcome.failed {
            self.say(&format!("I could not read {path}: {}", shown(&outcome.text)));
        } else {
            self.say(&format!("{path} says:\n{}", shown(unnumbered(&outcome.text).trim_end())));
        }
        Ok(())
    }

    fn search(&mut self, word: &str) -> Result<(), Calling> {
        let toolbox = Toolbox::of(self.conversation);
        let script = format!("grep -rnIF --exclude-dir=.git -e {} .", quoted(word));
        let by_tool = toolbox.search(word);
        let by_shell = by_tool.is_none();
        let Some(call) = by_tool.or_else(|| toolbox.run(&script)) else {
            self.lack("search");
            return Ok(());
        };
        let outcome = self.call(call)?;
        let found = outcome.text.trim();
        // grep ends with 1 when it finds nothing, which agents show as a failure.
        let nothing = found.is_empty() || (by_shell && !found.contains(word));
        if nothing {
            self.say(&format!("I found {word} nowhere."));
        } else if outcome.failed {
            self.say(&format!("I could not search for {word}: {}", shown(found)));
        } else {
            self.say(&format!("I looked for {word} and got:\n{}", shown(found)));
        }
        Ok(())
    }

    fn run(&mut self, command: &str) -> Result<(), Calling> {
        let Some(call) = Toolbox::of(self.conversation).run(command) else {
            self.lack("run a shell command");
            return Ok(());
        };
        let outcome = self.call(call)?;
        let (command, text) = (shown(command), shown(outcome.text.trim()));
        match (outcome.failed, text.as_str()) {
            (true, _) => self.say(&format!("`{command}` failed:\n{text}")),
            (false, "") => self.say(&format!("I ran `{command}`; it printed nothing.")),
            (false, _) => self.say(&format!("I ran `{command}`; it printed:\n{text}")),
        }
        Ok(())
    }

    fn tool(&mut self, named: &str, arguments: &Map<String, Value>) -> Result<(), Calling> {
        let Some(call) = Toolbox::of(self.conversation).named(named, arguments) else {
            self.lack(&format!("be called {named}"));
            return Ok(());
        };
        let outcome = self.call(call)?;
        let text = shown(outcome.text.trim());
        if outcome.failed {
            self.say(&format!("{named} failed:\n{text}"));
        } else {
            self.say(&format!("{named} says:\n{text}"));
        }
        Ok(())
    }

    /// The last word that was to be remembered before now, in the conversation as it was sent.
    fn word(&self) -> String {
        let mut before = self.conversation.asked().rev().filter(|(at, _)| *at <= self.turn);
        let word = before.find_map(|(_, text)| remembered(&text));
        match word {
            Some(word) => format!("The word is {word}."),
            None => "You have not asked me to remember a word in this conversation.".to_owned(),
        }
    }
}

/// The last word that a text asks to remember.
pub(super) fn remembered(text: &str) -> Option<String> {
    let commands = grammar::parse(text).ok()?;
    commands.into_iter().rev().find_map(|command| match command {
        Command::Remember { word } => Some(word),
        _ => None,
    })
}

fn wants_reading(outcome: &Outcome) -> bool {
    let text = outcome.text.to_ascii_lowercase();
    outcome.failed && (text.contains("not been read") || text.contains("read it first"))
}

/// A script that adds a line, also to a file whose last line has no end.
fn appending(text: &str, path: &str) -> String {
    let (text, path) = (quoted(text), quoted(path));
    format!(
        "[ -s {path} ] && [ -n \"$(tail -c1 -- {path})\" ] && echo >> {path}; printf '%s\\n' {text} >> {path}"
    )
}

/// As much of a text as is repeated.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… (cut)", &text[..end]),
    }
}

/// A file as it is, where a tool shows it with numbered lines.
fn unnumbered(text: &str) -> String {
    let bare = |line: &str| -> Option<String> {
        let line = line.trim_start();
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let rest = line.get(digits..)?.strip_prefix(['→', '\t'])?;
        (digits > 0).then(|| rest.to_owned())
    };
    let (file, _) = text.split_once("<system-reminder>").unwrap_or((text, ""));
    let file = file.trim_end_matches('\n');
    let lines: Option<Vec<String>> = file.lines().map(bare).collect();
    lines.map_or_else(|| text.to_owned(), |lines| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::conversation::{Tool, Turn};
    use super::*;

    fn tool(name: &str, required: &[&str]) -> Tool {
        let names: Vec<String> = required.iter().map(|&name| name.to_owned()).collect();
        Tool { name: name.into(), properties: names.clone(), required: names }
    }

    fn said(text: &str) -> Turn {
        Turn::User(text.into())
    }

    fn conversation(turns: Vec<Turn>) -> Conversation {
        let tools = vec![
            tool("read_file", &["path"]),
            tool("write_file", &["path", "content"]),
            tool("run", &["command"]),
        ];
        Conversation { turns, tools, ..Conversation::default() }
    }

    /// What a conversation ends in when its tool calls return these one after another: the calls and
    /// the last words.
    fn play(text: &str, returns: &[(&str, bool)]) -> (Vec<String>, String, Vec<u64>) {
        let mut turns = vec![said(text)];
        let (mut calls, mut pauses) = (Vec::new(), Vec::new());
        let mut returns = returns.iter();
        loop {
            let conversation = conversation(std::mem::take(&mut turns));
            let now = answer(&conversation);
            pauses.push(now.pause.as_secs());
            turns = conversation.turns;
            let Some(call) = now.call else {
                assert_eq!(returns.next(), None, "all calls were made");
                return (calls, words(&now.speech), pauses);
            };
            let arguments = call.arguments.values().map(|value| value.as_str().expect("text"));
            calls.push(format!("{} {}", call.tool, arguments.collect::<Vec<_>>().join(" ")));
            let (text, failed) = *returns.next().expect("a result for every call");
            turns.extend([Turn::Called, Turn::Returned(Outcome { text: text.into(), failed })]);
        }
    }

    fn words(speech: &[Speech]) -> String {
        speech
            .iter()
            .map(|speech| match speech {
                Speech::Text(text) => text.clone(),
                Speech::Words { words, .. } => format!("<{words} words>"),
            })
            .collect()
    }

    #[test]
    fn commands_are_done_in_order_and_told() {
        let (calls, text, pauses) = play(
            "write hi to a; sleep 3; run ls; read a; say 4 words",
            &[("ok", false), ("a\n", false), ("     1→hi\n     2→\tx", false)],
        );
        assert_eq!(calls, ["write_file hi a", "run ls", "read_file a"]);
        assert_eq!(
            text,
            "demo model (scripted, not AI): I wrote a (2 bytes).\nI slept for 3 s.\nI ran `ls`; it printed:\na\na says:\nhi\n\tx\n<4 words>"
        );
        assert_eq!(pauses, [0, 3, 0, 0]);
    }

    #[test]
    fn what_failed_is_told_as_failed() {
        let (_, text, _) = play("delete a; run false", &[("no such file", true), ("exit 1", true)]);
        assert!(text.contains("I could not run `rm -r -- 'a'`: no such file"), "{text}");
        assert!(text.contains("`false` failed:\nexit 1"), "{text}");
    }

    #[test]
    fn a_file_that_must_be_read_first_is_read_first() {
        let (calls, text, _) = play(
            "write x to a",
            &[("File has not been read yet.", true), ("old", false), ("ok", false)],
        );
        assert_eq!(calls, ["write_file x a", "read_file a", "write_file x a"]);
        assert!(text.contains("I wrote a"), "{text}");
    }

    #[test]
    fn without_tools_it_says_so() {
        let turns = vec![said("run ls; write a to b; read c; search d; delete e")];
        let now = answer(&Conversation { turns, ..Conversation::default() });
        assert_eq!(now.call, None);
        assert_eq!(words(&now.speech).matches("no tool").count(), 5);
    }

    #[test]
    fn the_word_is_found_in_the_conversation_that_is_sent() {
        let turns = vec![said("remember heron"), said("hello"), said("which word?")];
        let text = words(&answer(&conversation(turns)).speech);
        assert_eq!(text, "demo model (scripted, not AI): The word is heron.");
        let text = words(&answer(&conversation(vec![said("what word?")])).speech);
        assert!(text.contains("not asked me"), "{text}");
    }

    #[test]
    fn anything_else_gets_help_that_lists_every_command() {
        for turns in [vec![], vec![said("hello")], vec![said("write")]] {
            let text = words(&answer(&conversation(turns)).speech);
            assert!(text.contains("demo model (scripted, not AI)"), "{text}");
            assert!(VERBS.iter().all(|(_, usage, _)| text.contains(usage)), "{text}");
        }
    }

    #[test]
    fn long_results_are_cut() {
        let long = "ä".repeat(1 << 20);
        let (_, text, _) = play("run yes", &[(&long, false)]);
        assert!(text.len() < 3 * SHOWN_CHARS_MAX, "{}", text.len());
    }
}
