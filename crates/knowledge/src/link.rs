//! What a link in a page means, as far as the page alone can tell. Never looks at other files.

/// A link to something in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// As it is written, cut to 300 characters.
    pub(crate) written: String,
    pub(crate) target: Target,
    /// The heading that is meant, folded; empty where the page as a whole is.
    pub(crate) heading: String,
    /// The line of the page, counted from 1.
    pub(crate) line: u32,
}

/// What a link points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The page itself.
    Here,
    /// A page by its name, an alias, its id or the end of its path, folded: `[[Name]]`.
    Name(String),
    /// A path from the top of the workspace: `[x](../a.md)`.
    Path(String),
    /// A path from the top of the bundle: `[x](/a.md)`.
    FromTop(String),
    /// Somewhere above the workspace.
    Outside,
}

const WRITTEN_CHARS_MAX: usize = 300;

/// What `[[destination]]` means; none for nothing.
pub(crate) fn wiki(destination: &str, line: u32) -> Option<Link> {
    let (name, heading) = destination.split_once('#').unwrap_or((destination, ""));
    // Of `Page#Chapter#Section` the last; `^block` is a paragraph's mark, which is not known here.
    let heading = heading.rsplit('#').next().filter(|it| !it.starts_with('^')).unwrap_or_default();
    let name = name.trim().trim_start_matches('/');
    let target = match name {
        "" if heading.is_empty() => return None,
        "" => Target::Here,
        name => Target::Name(without_extension(&fold(name)).to_owned()),
    };
    Some(Link { written: cut(destination), target, heading: fold_heading(heading), line })
}

/// What `[…](destination)` in the page `from` means; none for what lies outside of every workspace, as a URL.
pub(crate) fn markdown(destination: &str, from: &str, line: u32) -> Option<Link> {
    if has_scheme(destination) || destination.starts_with("//") {
        return None;
    }
    let decoded = decode(destination);
    let (path, heading) = decoded.split_once('#').unwrap_or((&decoded, ""));
    let target = match path {
        "" if heading.is_empty() => return None,
        "" => Target::Here,
        path => match path.strip_prefix('/') {
            Some(path) => join("", path).map_or(Target::Outside, Target::FromTop),
            None => join(directory(from), path).map_or(Target::Outside, Target::Path),
        },
    };
    Some(Link { written: cut(destination), target, heading: fold_heading(heading), line })
}

/// What a source of a page means, where it is a path of the workspace at all: scopes in words are not.
pub(crate) fn source(resource: &str, from: &str, line: u32) -> Option<Link> {
    let is_path = ["/", "./", "../"].iter().any(|start| resource.starts_with(start))
        || (is_markdown(resource) && !resource.contains(char::is_whitespace));
    is_path.then(|| markdown(resource, from, line)).flatten()
}

impl Target {
    /// Under which names a page must be known that this could point at.
    pub(crate) fn keys(&self) -> Vec<String> {
        let whole = match self {
            Self::Here | Self::Outside => return vec![],
            Self::Name(name) => name.clone(),
            Self::Path(path) | Self::FromTop(path) => fold(path),
        };
        let last = without_extension(name_of(whole.trim_end_matches('/'))).to_owned();
        // A link to a directory is one to its index.
        let mut keys = vec![format!("{last}/"), last];
        if matches!(self, Self::Name(_)) {
            keys.push(whole);
        }
        keys.sort();
        keys.dedup();
        keys
    }
}

/// The form in which names are compared.
pub(crate) fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The form in which headings are compared: letters and digits alone, so that text and anchor are the same.
pub(crate) fn fold_heading(heading: &str) -> String {
    heading.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

pub(crate) fn is_markdown(path: &str) -> bool {
    [".md", ".markdown"].iter().any(|end| {
        path.len() > end.len()
            && path.get(path.len() - end.len()..).is_some_and(|it| it.eq_ignore_ascii_case(end))
    })
}

/// A path without the extension of a page; others keep theirs.
pub(crate) fn without_extension(path: &str) -> &str {
    if is_markdown(path) { path.rsplit_once('.').map_or(path, |(stem, _)| stem) } else { path }
}

/// The last name of a path.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The directory of a path; empty at the top.
pub(crate) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A path relative to a directory, from the top; none if it leads above it. A slash at the end stays.
fn join(directory: &str, path: &str) -> Option<String> {
    let mut names: Vec<&str> = directory.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    let mut joined = names.join("/");
    if path.ends_with('/') || path.ends_with("/.") || joined.is_empty() {
        joined.push('/');
    }
    Some(joined)
}

fn has_scheme(destination: &str) -> bool {
    destination.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    })
}

/// `%20` as a space and so on; what is not such an escape, or would not be text, stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let raw = text.as_bytes();
    let mut at = 0;
    while at < raw.len() {
        let escape = raw.get(at + 1..at + 3).filter(|_| raw[at] == b'%');
        let byte = escape.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(raw[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(WRITTEN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Option<Link>, expected: Option<(Target, &str)>) {
        let found = found.map(|link| (link.target, link.heading));
        assert_eq!(found, expected.map(|(target, heading)| (target, heading.to_owned())));
    }

    #[test]
    fn a_wikilink_names_a_page() {
        let name = |name: &str| Target::Name(name.into());
        check(wiki("Alice B", 1), Some((name("alice b"), "")));
        check(wiki("people/Alice.md#Her Work", 1), Some((name("people/alice"), "herwork")));
        check(wiki("#Top", 1), Some((Target::Here, "top")));
        check(wiki("A#^x1", 1), Some((name("a"), "")));
        check(wiki(" ", 1), None);
    }

    #[test]
    fn a_markdown_link_is_a_path() {
        let path = |path: &str| Target::Path(path.into());
        check(markdown("../b%20c.md#A-B", "x/y/a.md", 1), Some((path("x/b c.md"), "ab")));
        check(markdown("/t/c.md", "x/a.md", 1), Some((Target::FromTop("t/c.md".into()), "")));
        check(markdown("sub/", "x/a.md", 1), Some((path("x/sub/"), "")));
        check(markdown("../..", "x/a.md", 1), Some((Target::Outside, "")));
        check(markdown("%2e%2e/%2e%2e/etc", "x/a.md", 1), Some((Target::Outside, "")));
        for outside in ["https://x.org/a.md", "mailto:a@b", "//x.org/a", ""] {
            check(markdown(outside, "a.md", 1), None);
        }
        check(markdown("100%.md", "a.md", 1), Some((path("100%.md"), "")));
    }

    #[test]
    fn a_source_in_words_is_no_path() {
        assert!(source("all queries in project X", "a.md", 1).is_none());
        assert!(source("https://x.org/a.md", "a.md", 1).is_none());
        assert!(source("references/a.md", "a.md", 1).is_some());
    }
}
