//! Requests that an agent makes for itself and not for its person: probes, titles, summaries. Answered
//! shortly and without a tool.

use serde_json::{Map, Value};

use super::act::{Answer, remembered};
use super::conversation::Conversation;

/// The words of a title.
const TITLE_WORDS: usize = 6;
/// The turns that a summary repeats, from the last.
const SUMMARY_TURNS: usize = 20;
/// The characters of each.
const SUMMARY_CHARS: usize = 200;

/// The answer, if this is such a request.
pub(super) fn answer(conversation: &Conversation) -> Option<Answer> {
    let last = conversation.asked().next_back().map(|(_, text)| text).unwrap_or_default();
    if conversation.max_tokens == Some(1) {
        return Some(Answer::text("ok".to_owned()));
    }
    if asks_for_summary(&last) {
        return Some(Answer::text(summary(conversation)));
    }
    if !conversation.tools.is_empty() {
        return None;
    }
    if let Some(properties) = &conversation.structured {
        return Some(Answer::text(filled(properties, &title(&last))));
    }
    let system = |word: &str| conversation.system.iter().any(|text| mentions(text, word));
    if system("title") || system("topic") {
        return Some(Answer::text(title(&last)));
    }
    system("summar").then(|| Answer::text(summary(conversation)))
}

fn mentions(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().contains(word)
}

/// What agents say when a conversation has grown too long for them.
fn asks_for_summary(text: &str) -> bool {
    let start = text.trim_start().get(..400).unwrap_or(text);
    mentions(start, "detailed summary of the conversation")
        || mentions(start, "summary of the conversation so far")
}

fn title(text: &str) -> String {
    let words: Vec<_> =
        text.split_whitespace().take(TITLE_WORDS).map(|word| cut(word, 32)).collect();
    if words.is_empty() { "Demo conversation".to_owned() } else { words.join(" ") }
}

/// A structured answer: every property says the title.
fn filled(properties: &[String], title: &str) -> String {
    let object: Map<String, Value> =
        properties.iter().map(|name| (name.clone(), Value::from(title))).collect();
    Value::Object(object).to_string()
}

/// What people asked, so that the conversation can go on from it; the remembered word stands last, on a
/// line of its own, and is read again as one.
fn summary(conversation: &Conversation) -> String {
    let asked: Vec<_> = conversation.asked().filter(|(_, text)| !asks_for_summary(text)).collect();
    let skipped = asked.len().saturating_sub(SUMMARY_TURNS);
    let mut lines = vec![format!("Summary by the {}. The person said:", super::TITLE)];
    lines.extend(
        asked
            .iter()
            .skip(skipped)
            .map(|(_, text)| format!("- {}", cut(text.trim(), SUMMARY_CHARS))),
    );
    let word = asked.iter().rev().find_map(|(_, text)| remembered(text));
    lines.extend(word.map(|word| format!("remember {word}")));
    lines.join("\n")
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::super::act::Speech;
    use super::super::conversation::{Tool, Turn};
    use super::*;

    fn conversation(system: &str, text: &str) -> Conversation {
        Conversation {
            system: vec![system.to_owned()],
            turns: vec![Turn::User("remember heron".to_owned()), Turn::User(text.to_owned())],
            ..Conversation::default()
        }
    }

    fn said(conversation: &Conversation) -> Option<String> {
        match answer(conversation)?.speech.pop()? {
            Speech::Text(text) => Some(text),
            Speech::Words { .. } => None,
        }
    }

    #[test]
    fn probes_titles_and_summaries_get_short_answers() {
        let mut probe = conversation("", "quota");
        probe.max_tokens = Some(1);
        assert_eq!(said(&probe).as_deref(), Some("ok"));
        let title = conversation("Generate a short Title.", "run one two three four five six");
        assert_eq!(said(&title).as_deref(), Some("run one two three four five"));
        let mut structured = conversation("", "run ls");
        structured.structured = Some(vec!["title".to_owned()]);
        assert_eq!(said(&structured).as_deref(), Some(r#"{"title":"run ls"}"#));
        let summary = conversation("", "Create a detailed summary of the conversation so far.");
        assert!(said(&summary).expect("a summary").ends_with("\nremember heron"));
    }

    #[test]
    fn a_person_with_tools_is_not_a_side_request() {
        let mut person = conversation("You write titles and summaries.", "run ls");
        let tool = Tool { name: "run".into(), properties: vec![], required: vec![] };
        person.tools = vec![tool];
        assert_eq!(answer(&person), None);
        assert_eq!(answer(&conversation("", "run ls")), None);
    }
}
