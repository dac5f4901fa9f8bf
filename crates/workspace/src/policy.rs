//! The one table of what a commit may hold: kinds, names, sizes, depth, count. Never fails a commit: what breaks a
//! rule is left out and named with its [`Reason`].

use std::fmt;

use crate::path::Shown;

/// How much of a folder one commit takes. What lies beyond is refused, entry by entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "a limit says which end it limits")]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes_max: u64,
    /// Bytes of all changed files of one commit.
    pub total_bytes_max: u64,
    /// Changed files, links and deletions of one commit.
    pub changes_max: usize,
    /// Entries looked at in one walk.
    pub entries_max: usize,
    /// Names in a path.
    pub depth_max: usize,
    /// Bytes of a path.
    pub path_bytes_max: usize,
    /// Refusals that are listed; further ones are only counted.
    pub refusals_max: usize,
}

impl Limits {
    /// For workspaces: 32 MiB a file, 128 MiB and 20,000 changes a commit, 64 names deep, paths of 1,024 bytes.
    pub const WORKSPACE: Self = Self {
        file_bytes_max: 32 << 20,
        total_bytes_max: 128 << 20,
        changes_max: 20_000,
        entries_max: 150_000,
        depth_max: 64,
        path_bytes_max: 1024,
        refusals_max: 100,
    };

    /// For session folders: as for workspaces, but 64 MiB a file, because agents keep one growing transcript.
    pub const SESSION: Self = Self { file_bytes_max: 64 << 20, ..Self::WORKSPACE };
}

/// Why an entry of a folder was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// A symbolic link whose target is absolute, leads out of the folder or is not plain text.
    LinkLeadsOut,
    /// A symbolic link with a name that git gives a meaning to.
    LinkIsSpecial,
    /// A file that has further names outside of what was walked.
    LinkedOutside,
    /// `.git`, or a name that some file system or git version takes for it.
    DotGit,
    /// A disguised form of `.gitmodules`, `.gitattributes`, `.gitignore` or `.mailmap`.
    Disguised,
    /// `.gitmodules`: workspaces have no submodules.
    Submodules,
    /// A `.gitattributes` that git itself would reject.
    Attributes,
    /// A name without characters, or `.`, or `..`.
    EmptyName,
    /// A name with control or direction-changing characters.
    ControlCharacter,
    /// A name with a backslash, which is a separator elsewhere.
    Backslash,
    /// A name that is not UTF-8.
    NotUtf8,
    /// A name longer than 255 bytes.
    NameTooLong,
    /// A path longer than [`Limits::path_bytes_max`].
    PathTooLong,
    /// A name that differs from another one only in case.
    CaseTwin,
    /// A path of more than [`Limits::depth_max`] names.
    TooDeep,
    /// A directory or a change beyond [`Limits::entries_max`] or [`Limits::changes_max`].
    TooMany,
    /// A file beyond [`Limits::file_bytes_max`].
    TooLarge,
    /// A file beyond what was left of [`Limits::total_bytes_max`].
    TotalTooLarge,
    /// An entry that changed while it was read.
    Changing,
    /// An entry that the system did not let us read.
    Unreadable,
    /// Another file system is mounted there.
    OtherFileSystem,
    /// The `.gitignore` of the base commit says to leave it out. Told once for each directory.
    Ignored,
    /// Overlay metadata that only hostile code writes: a redirect or a metadata-only copy.
    OverlayRedirect,
}

impl Reason {
    /// The stable word for events and trailers, such as `dot-git`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::LinkLeadsOut => "link-leads-out",
            Self::LinkIsSpecial => "link-is-special",
            Self::LinkedOutside => "linked-outside",
            Self::DotGit => "dot-git",
            Self::Disguised => "disguised",
            Self::Submodules => "submodules",
            Self::Attributes => "attributes",
            Self::EmptyName => "empty-name",
            Self::ControlCharacter => "control-character",
            Self::Backslash => "backslash",
            Self::NotUtf8 => "not-utf-8",
            Self::NameTooLong => "name-too-long",
            Self::PathTooLong => "path-too-long",
            Self::CaseTwin => "case-twin",
            Self::TooDeep => "too-deep",
            Self::TooMany => "too-many",
            Self::TooLarge => "too-large",
            Self::TotalTooLarge => "total-too-large",
            Self::Changing => "changing",
            Self::Unreadable => "unreadable",
            Self::OtherFileSystem => "other-file-system",
            Self::Ignored => "ignored",
            Self::OverlayRedirect => "overlay-redirect",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// One entry that was left out of a commit, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Where, made safe to show.
    pub path: Shown,
    /// Which rule it broke.
    pub reason: Reason,
}

/// The refusals of one walk: the first ones listed, all counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The first [`Limits::refusals_max`] of them, in the order of the walk.
    pub listed: Vec<Refusal>,
    /// How many there were in all.
    pub count: usize,
}

impl Refusals {
    pub(crate) fn add(&mut self, limits: &Limits, path: &[u8], reason: Reason) {
        self.count += 1;
        if self.listed.len() < limits.refusals_max {
            self.listed.push(Refusal { path: Shown::new(path), reason });
        }
    }
}

/// Bytes of one name at most, as on common file systems.
const NAME_BYTES_MAX: usize = 255;

/// Checks one name of a path against the table and returns it as text.
pub(crate) fn check_name(name: &[u8]) -> Result<&str, Reason> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Reason::NameTooLong);
    }
    let text = str::from_utf8(name).map_err(|_| Reason::NotUtf8)?;
    if matches!(text, "" | "." | "..") {
        return Err(Reason::EmptyName);
    }
    if text.chars().any(|letter| matches!(letter, '\0' | '/')) {
        return Err(Reason::ControlCharacter);
    }
    if is_dot_git(text) {
        return Err(Reason::DotGit);
    }
    if text.contains('\\') {
        return Err(Reason::Backslash);
    }
    if text == ".gitmodules" {
        return Err(Reason::Submodules);
    }
    let seen = disguise_off(text);
    if SPECIAL.iter().any(|special| text != special.plain && special.hides_in(&seen)) {
        return Err(Reason::Disguised);
    }
    if text.chars().any(is_control) {
        return Err(Reason::ControlCharacter);
    }
    Ok(text)
}

/// Whether a symbolic link may not have this (allowed) name.
pub(crate) fn is_special(name: &str) -> bool {
    let seen = disguise_off(name);
    SPECIAL.iter().any(|special| special.hides_in(&seen))
}

/// The weaker rule for what lies in a repository already: such a name can neither leave the directory it is written
/// to nor make a repository there.
pub(crate) fn check_contained(name: &[u8]) -> Result<(), Reason> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(Reason::EmptyName);
    }
    if name.contains(&0) {
        return Err(Reason::ControlCharacter);
    }
    if is_dot_git(&String::from_utf8_lossy(name)) {
        return Err(Reason::DotGit);
    }
    Ok(())
}

/// Checks the target of a link that stands at a path of `depth` names.
pub(crate) fn check_target(target: &[u8], depth: usize) -> Result<(), Reason> {
    let text = str::from_utf8(target).map_err(|_| Reason::LinkLeadsOut)?;
    let unusual = |letter: char| is_control(letter) || letter == '\\';
    if text.is_empty() || text.len() > 1024 || text.starts_with('/') || text.contains(unusual) {
        return Err(Reason::LinkLeadsOut);
    }
    let mut level = depth.saturating_sub(1);
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => level = level.checked_sub(1).ok_or(Reason::LinkLeadsOut)?,
            _ if is_dot_git(name) => return Err(Reason::DotGit),
            _ => level += 1,
        }
    }
    Ok(())
}

/// What a case-insensitive file system would take the name for.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn is_control(letter: char) -> bool {
    letter.is_control()
        || is_ignorable(letter)
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// Code points that HFS+ drops when it compares names.
fn is_ignorable(letter: char) -> bool {
    matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Whether any piece of `name` is `.git` to ext4, NTFS, HFS+, FAT or a git on one of them.
fn is_dot_git(name: &str) -> bool {
    name.split('\\').any(|piece| {
        let seen = disguise_off(piece);
        seen == ".git" || seen == "git~1"
    })
}

/// Takes off what other file systems ignore: case, dropped code points, a stream's name, dots and spaces at the end.
fn disguise_off(name: &str) -> String {
    let visible: String = name.chars().filter(|letter| !is_ignorable(*letter)).collect();
    let before_stream = visible.split(':').next().unwrap_or_default();
    fold(before_stream.trim_end_matches(['.', ' ']))
}

/// A file that git itself reads from a folder.
struct Special {
    plain: &'static str,
    /// The first six letters of its 8.3 name, and the prefix git uses when those are taken.
    short: [&'static str; 2],
}

const SPECIAL: [Special; 4] = [
    Special { plain: ".gitmodules", short: ["gitmod", "gi7eba"] },
    Special { plain: ".gitattributes", short: ["gitatt", "gi7d29"] },
    Special { plain: ".gitignore", short: ["gitign", "gi250a"] },
    Special { plain: ".mailmap", short: ["mailma", "maba30"] },
];

impl Special {
    /// Whether a name, its disguise taken off, is this file to some file system.
    fn hides_in(&self, seen: &str) -> bool {
        seen == self.plain || self.short.iter().any(|short| is_short_name(seen, short))
    }
}

/// Whether `seen` is `<short>~<digits>`, or that with more of `short` given up for digits.
fn is_short_name(seen: &str, short: &str) -> bool {
    let Some((stem, number)) = seen.split_once('~') else { return false };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits && stem.len() >= 2 && seen.len() <= 8 && short.starts_with(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disguise_of_dot_git_is_refused() {
        let disguises = [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git.",
            ".git ",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{202e}T",
            "a\\.git",
            ".git\\config",
            ".git\u{200d}...",
        ];
        for name in disguises {
            assert_eq!(check_name(name.as_bytes()), Err(Reason::DotGit), "{name:?}");
        }
        for name in
            [".gitkeep", ".github", "git", "git~2x", "a.git", ".gitignore", ".gitattributes"]
        {
            assert_eq!(check_name(name.as_bytes()), Ok(name));
        }
    }

    #[test]
    fn every_name_rule_has_its_reason() {
        let check = |name: &[u8], reason| assert_eq!(check_name(name), Err(reason), "{name:?}");
        check(b"..", Reason::EmptyName);
        check(b"", Reason::EmptyName);
        check(b"a\nb", Reason::ControlCharacter);
        check("a\u{9b}b".as_bytes(), Reason::ControlCharacter);
        check("a\u{2066}b".as_bytes(), Reason::ControlCharacter);
        check(b"\xff", Reason::NotUtf8);
        check(b"..\\x", Reason::Backslash);
        check(&[b'x'; 256], Reason::NameTooLong);
        check(b".gitmodules", Reason::Submodules);
        check(b".GitModules", Reason::Disguised);
        check(b"GITMOD~1", Reason::Disguised);
        check(b"gi7eba~1", Reason::Disguised);
        check(b".gitattributes ", Reason::Disguised);
        check(".gitignore\u{200c}".as_bytes(), Reason::Disguised);
    }

    #[test]
    fn a_link_stays_inside_or_is_refused() {
        assert_eq!(check_target(b"../b", 2), Ok(()));
        assert_eq!(check_target(b"b/../../c", 2), Ok(()));
        for (target, depth) in
            [(&b"../b"[..], 1), (b"/etc/passwd", 3), (b"a/../../..", 2), (b"", 1), (b"a\\b", 1)]
        {
            assert_eq!(check_target(target, depth), Err(Reason::LinkLeadsOut), "{target:?}");
        }
        assert_eq!(check_target(b".git/config", 1), Err(Reason::DotGit));
    }
}
