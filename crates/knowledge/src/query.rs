//! From what people type to a query of the full-text index. Whatever is typed is a valid query or none: each word is
//! quoted, so that no operator of the index is reached.

/// Characters of a question that are looked at.
const CHARS_MAX: usize = 300;
/// Words and phrases of a question that are looked at.
const TERMS_MAX: usize = 16;
/// Letters that a word needs before its beginning is searched for: shorter ones begin half of all words.
const PREFIX_CHARS_MIN: usize = 2;

/// The query for what was typed: all words must be there, `"words in quotes"` beside each other, `-word` must not be
/// there, `word*` and the last word may go on. None if there is no word to look for.
pub(crate) fn parse(typed: &str) -> Option<String> {
    let typed: String = typed.chars().take(CHARS_MAX).collect();
    let terms = terms(&typed);
    let wanted: Vec<_> = terms.iter().filter(|term| !term.without).map(Term::quoted).collect();
    let unwanted: Vec<_> = terms.iter().filter(|term| term.without).map(Term::quoted).collect();
    if wanted.is_empty() {
        return None;
    }
    let mut query = format!("({})", wanted.join(" AND "));
    for term in unwanted {
        query = format!("{query} NOT {term}");
    }
    Some(query)
}

#[derive(Debug)]
struct Term {
    text: String,
    without: bool,
    goes_on: bool,
}

impl Term {
    fn quoted(&self) -> String {
        let star = if self.goes_on { "*" } else { "" };
        format!("\"{}\"{star}", self.text)
    }
}

fn terms(typed: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut rest = typed.trim();
    while !rest.is_empty() && terms.len() < TERMS_MAX {
        let without = rest.starts_with('-');
        let start = rest.strip_prefix('-').unwrap_or(rest);
        let (text, quoted, after) = match start.strip_prefix('"') {
            // A quote that is not closed goes to the end.
            Some(phrase) => match phrase.split_once('"') {
                Some((phrase, after)) => (phrase, true, after),
                None => (phrase, true, ""),
            },
            None => match start.split_once(char::is_whitespace) {
                Some((word, after)) => (word, false, after),
                None => (start, false, ""),
            },
        };
        let last = after.trim().is_empty() && !typed.ends_with(char::is_whitespace);
        let starred = text.ends_with('*') || after.starts_with('*');
        // What is no letter, digit or mark splits words in the index, too; a quote would end ours.
        let text: String = text
            .trim_end_matches('*')
            .chars()
            .map(|it| if it.is_control() || it == '"' { ' ' } else { it })
            .collect();
        if text.chars().any(char::is_alphanumeric) {
            let long =
                text.chars().filter(|letter| letter.is_alphanumeric()).count() >= PREFIX_CHARS_MIN;
            let goes_on = long && (starred || (last && !quoted && !without));
            terms.push(Term { text, without, goes_on });
        }
        rest = after.strip_prefix('*').unwrap_or(after).trim_start();
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_terms_and_nothing_becomes_an_operator() {
        let check = |typed: &str, expected: Option<&str>| {
            assert_eq!(parse(typed).as_deref(), expected, "{typed}");
        };
        check("alice bob", Some(r#"("alice" AND "bob"*)"#));
        check("alice ", Some(r#"("alice")"#));
        check(r#""big plan" -draft"#, Some(r#"("big plan") NOT "draft""#));
        check("ali* b", Some(r#"("ali"* AND "b")"#));
        check("a OR NEAR(b)", Some(r#"("a" AND "OR" AND "NEAR(b)"*)"#));
        check(r#"title:x" ) OR ""#, Some(r#"("title:x " AND "OR")"#));
        check("-only", None);
        check("  !!! \" ", None);
        check("", None);
    }
}
