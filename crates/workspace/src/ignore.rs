//! What the folder's own `.gitignore` files name: as they stand in the commit that a view was made from, never as an
//! agent left them. Pure; in time of the product of lengths, also for patterns that were made to be slow.

/// Bytes of a file of patterns that are read; what follows is not.
pub(crate) const FILE_BYTES_MAX: usize = 64 << 10;

/// Patterns that hold at a time: those of a directory and of all above it.
const PATTERNS_MAX: usize = 500;

/// Bytes of a pattern; a longer one is none.
const PATTERN_BYTES_MAX: usize = 512;

/// The patterns that hold in a directory, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

/// One line of a file of patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// How many names lie between the folder and the directory of the file.
    depth: usize,
    /// Takes back what an earlier one named.
    negated: bool,
    only_directories: bool,
    /// What a name, or a path from the directory of the file on, has to be.
    parts: Parts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    /// The last name of the path.
    Name(Vec<Piece>),
    /// All of it.
    Path(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of names; at the end, one at least.
    AnyDepth,
    Name(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[a-z]`, or `[!a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Rules {
    /// How many there are: what [`leave`](Self::leave) takes.
    pub(crate) fn count(&self) -> usize {
        self.rules.len()
    }

    /// Adds those of a directory, `depth` names below the folder.
    pub(crate) fn enter(&mut self, depth: usize, text: &[u8]) {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = &text[..text.len().min(FILE_BYTES_MAX)];
        let room = PATTERNS_MAX - self.rules.len();
        let rules = text.split(|byte| *byte == b'\n').filter_map(|line| rule(depth, line));
        self.rules.extend(rules.take(room));
    }

    /// Leaves a directory: only the first ones hold again.
    pub(crate) fn leave(&mut self, count: usize) {
        self.rules.truncate(count);
    }

    /// Whether the last pattern that names this path says to leave it out.
    pub(crate) fn names(&self, path: &[u8], is_directory: bool) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let named = self.rules.iter().rev().find(|rule| rule.names(&names, is_directory));
        named.is_some_and(|rule| !rule.negated)
    }
}

impl Rule {
    fn names(&self, names: &[&[u8]], is_directory: bool) -> bool {
        if self.only_directories && !is_directory {
            return false;
        }
        match (&self.parts, names.get(self.depth..)) {
            (Parts::Name(pieces), Some([.., name])) => is_name(pieces, name),
            (Parts::Path(parts), Some(names)) => is_path(parts, names),
            (Parts::Name(_), _) | (Parts::Path(_), None) => false,
        }
    }
}

fn rule(depth: usize, line: &[u8]) -> Option<Rule> {
    let line = without_spaces(line.strip_suffix(b"\r").unwrap_or(line));
    if line.len() > PATTERN_BYTES_MAX || line.first() == Some(&b'#') {
        return None;
    }
    let (negated, line) = match line.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (only_directories, line) = match line.strip_suffix(b"/") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if line.is_empty() {
        return None;
    }
    let parts = if line.contains(&b'/') {
        let line = line.strip_prefix(b"/").unwrap_or(line);
        let part = |part: &[u8]| match part {
            b"**" => Some(Part::AnyDepth),
            part => pieces(part).map(Part::Name),
        };
        let parts = line.split(|byte| *byte == b'/').map(part).collect::<Option<Vec<_>>>();
        let mut parts = parts?;
        parts.dedup_by(|one, other| *one == Part::AnyDepth && *other == Part::AnyDepth);
        Parts::Path(parts)
    } else {
        Parts::Name(pieces(line)?)
    };
    Some(Rule { depth, negated, only_directories, parts })
}

/// Without the spaces at its end, unless a backslash keeps them.
fn without_spaces(line: &[u8]) -> &[u8] {
    let mut end = line.len();
    while end > 0 && line[end - 1] == b' ' {
        let slashes = line[..end - 1].iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % 2 == 1 {
            break;
        }
        end -= 1;
    }
    &line[..end]
}

/// The pieces of one name; nothing where it is none that git knows.
fn pieces(name: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'*' if pieces.last() == Some(&Piece::Star) => {}
            b'*' => pieces.push(Piece::Star),
            b'?' => pieces.push(Piece::Any),
            b'\\' => {
                let (byte, after) = rest.split_first()?;
                pieces.push(Piece::Byte(*byte));
                rest = after;
            }
            b'[' => {
                let (class, after) = class(rest)?;
                pieces.push(class);
                rest = after;
            }
            byte => pieces.push(Piece::Byte(*byte)),
        }
    }
    Some(pieces)
}

/// What stands behind a `[`, and what follows its `]`. Named classes are none that we know.
fn class(mut rest: &[u8]) -> Option<(Piece, &[u8])> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        rest = &rest[1..];
    }
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    loop {
        let (mut low, mut after) = rest.split_first()?;
        match low {
            b']' if !ranges.is_empty() => return Some((Piece::Class { negated, ranges }, after)),
            b'[' if after.first() == Some(&b':') => return None,
            b'\\' => (low, after) = after.split_first()?,
            _ => {}
        }
        let (low, mut high) = (*low, *low);
        if let [b'-', end, further @ ..] = after
            && *end != b']'
        {
            (high, after) = (*end, further);
            if high == b'\\' {
                let (escaped, further) = after.split_first()?;
                (high, after) = (*escaped, further);
            }
        }
        ranges.push((low, high));
        rest = after;
    }
}

fn is_name(pieces: &[Piece], name: &[u8]) -> bool {
    let is_one = |piece: &Piece, byte: u8| match piece {
        Piece::Byte(wanted) => *wanted == byte,
        Piece::Any | Piece::Star => true,
        Piece::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
        }
    };
    let is_star = |piece: &Piece| *piece == Piece::Star;
    let end = with_stars(pieces, name, is_star, |piece, byte| is_one(piece, *byte));
    end.is_some_and(|end| pieces[end..].iter().all(is_star))
}

fn is_path(parts: &[Part], names: &[&[u8]]) -> bool {
    let is_deep = |part: &Part| *part == Part::AnyDepth;
    // At the end it stands for one name at least.
    if let [before @ .., Part::AnyDepth] = parts
        && !before.is_empty()
    {
        return (1..names.len()).any(|end| is_path(before, &names[..end]));
    }
    let is_one = |part: &Part, name: &&[u8]| match part {
        Part::AnyDepth => true,
        Part::Name(pieces) => is_name(pieces, name),
    };
    with_stars(parts, names, is_deep, is_one).is_some_and(|end| end == parts.len())
}

/// How much of a pattern is used up when all of `text` is; nothing where it does not fit. `is_star` tells what stands
/// for any stretch. Only the last star is ever taken back, which finds a fit if there is one.
fn with_stars<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    is_one: impl Fn(&P, &T) -> bool,
) -> Option<usize> {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if in_text == text.len() {
            let left = pattern[at..].iter().take_while(|piece| is_star(piece)).count();
            if at + left == pattern.len() {
                return Some(at);
            }
            return None;
        }
        match pattern.get(at) {
            Some(piece) if is_star(piece) => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(piece) if is_one(piece, &text[in_text]) => {
                at += 1;
                in_text += 1;
            }
            _ => {
                let (star_at, from) = star?;
                star = Some((star_at, from + 1));
                (at, in_text) = (star_at + 1, from + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    fn rules(text: &str) -> Rules {
        let mut rules = Rules::default();
        rules.enter(0, text.as_bytes());
        rules
    }

    #[test]
    fn the_last_pattern_that_names_a_path_decides() {
        let named = |text: &str, path: &str| rules(text).names(path.as_bytes(), false);
        assert!(named("*.log", "a/b.log") && !named("*.log", "a/b.txt"));
        assert!(!named("*.log\n!b.log", "a/b.log") && named("!b.log\n*.log", "a/b.log"));
        assert!(named("/a", "a") && !named("/a", "b/a"));
        assert!(named("a/b", "a/b") && !named("a/b", "c/a/b"));
        assert!(named("**/b", "b") && named("a/**/b", "a/b") && named("a/**/b", "a/c/d/b"));
        assert!(named("a/**", "a/b") && !named("a/**", "a"));
        assert!(!named("a/", "a") && rules("a/").names(b"x/a", true));
        assert!(
            named("a\\ ", "a ") && named("a  ", "a") && named("\\#a", "#a") && named("\\!a", "!a")
        );
        assert!(!named("# a\n\n  \n/\n!\n", "a"));
        let mut nested = rules("*.x");
        nested.enter(1, b"!/keep.x");
        assert!(!nested.names(b"d/keep.x", false) && nested.names(b"d/e/keep.x", false));
        nested.leave(1);
        assert!(nested.names(b"d/keep.x", false));
    }

    #[test]
    fn slow_patterns_and_long_files_take_their_time_and_no_more() {
        let slow = format!("{}b\n/{}b\n", "*a".repeat(250), "**/a/".repeat(90));
        let path = format!("{}c", "a/".repeat(60)) + &"a".repeat(250);
        for _ in 0..1_000 {
            assert!(!rules(&slow).names(path.as_bytes(), false));
        }
        assert_eq!(rules(&"x\n".repeat(100_000)).count(), PATTERNS_MAX);
        assert!(
            !rules(&"x".repeat(PATTERN_BYTES_MAX + 1)).names("x".repeat(600).as_bytes(), false)
        );
    }

    /// Names as git does, over a tree of a few dozen paths, for patterns put together at random.
    #[test]
    fn git_itself_names_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin");
            git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/nonexistent");
            git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        };
        assert!(git(&["init", "-q"]).wait().unwrap().success());
        let mut paths: Vec<(String, bool)> = Vec::new();
        for one in ["a", "b", "ab"] {
            for two in ["a", "b", ".x"] {
                fs::create_dir_all(folder.path().join(one).join(two)).unwrap();
                paths.extend([(one.to_owned(), true), (format!("{one}/{two}"), true)]);
                for three in ["a", "ab", "a.x"] {
                    let path = format!("{one}/{two}/{three}");
                    fs::write(folder.path().join(&path), "").unwrap();
                    paths.push((path, false));
                }
            }
        }
        let asked: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
        let asked = asked.join("\0");
        let words = [
            "a", "b", "ab", "x", ".x", "*", "?", "/", "/", "**/", "/**", "[ab]", "[!a]", "\\a",
            "[", "]",
        ];
        let mut dice = 7_u64;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(dice >> 33).unwrap() % sides
        };
        for _ in 0..150 {
            let mut text = String::new();
            for _ in 0..=roll(3) {
                text.push_str(if roll(4) == 0 { "!" } else { "" });
                (0..=roll(4)).for_each(|_| text.push_str(words[roll(words.len())]));
                text.push('\n');
            }
            fs::write(folder.path().join(".gitignore"), &text).unwrap();
            let mut child = git(&["check-ignore", "--no-index", "-z", "--stdin"]);
            child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
            let said = child.wait_with_output().unwrap().stdout;
            let theirs: Vec<&str> =
                str::from_utf8(&said).unwrap().split('\0').filter(|it| !it.is_empty()).collect();
            let rules = rules(&text);
            let is_named = |path: &str, directory: bool| {
                let above = path.match_indices('/').map(|(at, _)| (&path[..at], true));
                above.chain([(path, directory)]).any(|(it, kind)| rules.names(it.as_bytes(), kind))
            };
            let ours: Vec<&str> = paths
                .iter()
                .filter(|(path, directory)| is_named(path, *directory))
                .map(|(path, _)| path.as_str())
                .collect();
            assert_eq!(ours, theirs, "{text:?}");
        }
    }
}
