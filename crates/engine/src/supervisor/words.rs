//! What is said to an agent. Pure.

use model::invocation::Context;
use model::{Dispatch, Turn};

use crate::runner::TurnAsk;

/// What a turn says to the agent. The first one also tells what triggered the dispatch.
pub(crate) fn ask_of(dispatch: &Dispatch, turn: Turn) -> TurnAsk {
    let Turn { id, number, prompt, .. } = turn;
    let prompt = if number == 1 { with_context(prompt, &dispatch.context) } else { prompt };
    TurnAsk { turn: id, number, prompt }
}

/// The prompt, and where what triggered it can be found.
fn with_context(prompt: String, context: &Context) -> String {
    let mut lines = vec![];
    if let Some(meeting) = &context.meeting {
        lines.push(format!("meeting: {}", meeting.meeting_id));
        lines.push(format!("recording: {}", meeting.session_uid));
    }
    if let Some(reference) = &context.reference {
        lines.push(format!("source: {}", reference.uri));
        lines.extend(reference.etag.iter().map(|etag| format!("version: {etag}")));
    }
    if lines.is_empty() {
        return prompt;
    }
    format!("{prompt}\n\nWhat triggered this:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::invocation::Reference;

    #[test]
    fn the_source_of_what_triggered_it_reaches_the_agent() {
        let plain = with_context("sort my mail".to_owned(), &Context::default());
        assert_eq!(plain, "sort my mail");
        let reference = Reference { uri: "mail://42".to_owned(), etag: Some("7".to_owned()) };
        let context = Context { reference: Some(reference), ..Context::default() };
        let told = with_context("sort my mail".to_owned(), &context);
        assert_eq!(told, "sort my mail\n\nWhat triggered this:\nsource: mail://42\nversion: 7");
    }
}
