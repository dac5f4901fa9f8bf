//! What of a conversation the model is sent: what fits. First the results of old tool calls are left
//! out, then the oldest turns are put into a summary. Pure: asks nobody.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::message::{Call, Message};
use crate::tools::cut;

/// What stands in place of an old result.
const LEFT_OUT: &str = "[left out: too long ago]";
/// Shorter results stay.
const RESULT_BYTES_KEPT: usize = 256;
/// The most of one message that a summary is made from.
const TOLD_BYTES_MAX: usize = 2 << 10;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) messages: Vec<Cow<'a, Message>>,
    /// How many results of tools are left out.
    pub(crate) left_out: usize,
    /// How much text it is.
    pub(crate) bytes: usize,
}

/// What the model is sent where it takes `room` bytes of text.
pub(crate) fn sent<'a>(messages: &'a [Message], room: usize, system: &str) -> Sent<'a> {
    let (summary, begin) = begin(messages);
    let mut left = room.saturating_sub(summary.map_or(0, |(text, _)| text.len()));
    let (mut left_out, mut bytes) = (0, 0);
    let said = messages[begin..].iter().rev().filter(|it| !matches!(it, Message::Summary { .. }));
    let mut sent: Vec<_> = said
        .map(|message| {
            left = left.saturating_sub(size(message));
            let message = match message {
                Message::Tool { tool_call_id, content }
                    if left == 0 && content.len() > RESULT_BYTES_KEPT =>
                {
                    left_out += 1;
                    let content = LEFT_OUT.to_owned();
                    Cow::Owned(Message::Tool { tool_call_id: tool_call_id.clone(), content })
                }
                message => Cow::Borrowed(message),
            };
            bytes += size(&message);
            message
        })
        .collect();
    sent.extend(summary.map(|(text, covers)| {
        bytes += text.len();
        Cow::Owned(Message::Summary { content: text.to_owned(), covers })
    }));
    sent.push(Cow::Owned(Message::System { content: system.to_owned() }));
    sent.reverse();
    Sent { messages: sent, left_out, bytes: bytes + system.len() }
}

/// The newest summary, and the first message that it does not cover.
fn begin(messages: &[Message]) -> (Option<(&str, usize)>, usize) {
    let newest = messages.iter().rev().find_map(|message| match message {
        Message::Summary { content, covers } => Some((content.as_str(), *covers)),
        _ => None,
    });
    let begin = newest.map_or(0, |(_, covers)| covers.min(messages.len()));
    (newest, begin)
}

/// How many messages should be put into a summary, so that the rest fits: whole turns, and never the
/// running one.
pub(crate) fn to_sum_up(messages: &[Message], room: usize) -> Option<usize> {
    let sent = sent(messages, room, "");
    if sent.bytes <= room {
        return None;
    }
    let (_, begin) = begin(messages);
    let mut turns = messages.iter().enumerate().skip(begin + 1);
    let turns: Vec<_> = turns
        .by_ref()
        .filter(|(_, message)| matches!(message, Message::User { .. }))
        .map(|(at, _)| at)
        .collect();
    let fits = |at: &&usize| self::sent(&messages[**at..], room, "").bytes <= room / 2;
    turns.iter().find(fits).or(turns.last()).copied()
}

/// What is to be summed up, as a text of at most `room` bytes.
pub(crate) fn told(messages: &[Message], to: usize, room: usize) -> String {
    let (summary, begin) = begin(messages);
    let mut text = String::new();
    if let Some((summary, _)) = summary {
        line(&mut text, "Before that", summary);
    }
    for message in &messages[begin..to] {
        match message {
            Message::System { .. } | Message::Summary { .. } => {}
            Message::User { content } => line(&mut text, "The person", content),
            Message::Assistant { content, tool_calls } => {
                if let Some(content) = content {
                    line(&mut text, "You", content);
                }
                for Call { function, .. } in tool_calls {
                    line(&mut text, &format!("You called {}", function.name), &function.arguments);
                }
            }
            Message::Tool { content, .. } => line(&mut text, "It returned", content),
        }
    }
    cut(&text, room)
}

fn line(text: &mut String, who: &str, what: &str) {
    // Writing to a text cannot fail.
    let _written = writeln!(text, "{who}: {}", cut(what, TOLD_BYTES_MAX));
}

fn size(message: &Message) -> usize {
    match message {
        Message::System { content }
        | Message::User { content }
        | Message::Tool { content, .. }
        | Message::Summary { content, .. } => content.len(),
        Message::Assistant { content, tool_calls } => {
            let calls = tool_calls.iter().map(|call| call.function.arguments.len()).sum::<usize>();
            content.as_ref().map_or(0, String::len) + calls
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Message {
        Message::User { content: text.to_owned() }
    }

    fn said(text: &str) -> Message {
        Message::Assistant { content: Some(text.to_owned()), tool_calls: vec![] }
    }

    fn returned(text: &str) -> Message {
        Message::Tool { tool_call_id: "c".to_owned(), content: text.to_owned() }
    }

    fn texts(sent: &Sent<'_>) -> Vec<String> {
        let text = |message: &Cow<'_, Message>| match &**message {
            Message::Assistant { content, .. } => content.clone().unwrap_or_default(),
            Message::System { content }
            | Message::User { content }
            | Message::Tool { content, .. }
            | Message::Summary { content, .. } => content.clone(),
        };
        sent.messages.iter().map(text).collect()
    }

    #[test]
    fn old_results_are_left_out_first() {
        let long = "x".repeat(1_000);
        let messages = [user("a"), returned(&long), user("b"), returned(&long)];
        let sent = sent(&messages, 1_500, "s");
        assert_eq!(texts(&sent), ["s", "a", LEFT_OUT, "b", &long]);
        assert_eq!(sent.left_out, 1);
        assert_eq!(to_sum_up(&messages, 1_500), None);
    }

    #[test]
    fn then_old_turns_are_summed_up_and_the_newest_never() {
        let long = "x".repeat(1_000);
        let mut messages =
            vec![user(&long), said(&long), user(&long), said(&long), user("b"), said("c")];
        let to = to_sum_up(&messages, 3_000).expect("too much");
        assert_eq!(to, 4);
        let told = told(&messages, to, 2_500);
        assert!(told.len() <= 2_600 && told.starts_with("The person: xxx"), "{}", told.len());
        messages.push(Message::Summary { content: "all of x".to_owned(), covers: to });
        assert_eq!(texts(&sent(&messages, 3_000, "s")), ["s", "all of x", "b", "c"]);
        assert_eq!(to_sum_up(&messages, 3_000), None);
        assert_eq!(to_sum_up(&[user(&long), said(&long)], 10), None, "one turn is all there is");
    }
}
