//! Where an outside repository is, and which of those the operator lets this server reach. Pure: a name is looked up
//! elsewhere, and what it stands for is asked about here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 1_000;
/// The longest name of a branch, in bytes.
const BRANCH_BYTES_MAX: usize = 200;
/// Who one is over ssh where the address says nothing.
const SSH_USER: &str = "git";

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Git's smart HTTP over TLS.
    Https,
    /// The same without TLS.
    Http,
    /// SSH.
    Ssh,
}

impl Scheme {
    /// As it is written, and as git calls the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Https, Self::Http, Self::Ssh].into_iter().find(|it| it.word() == word)
    }

    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
        }
    }
}

/// An address is none that a repository can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is of no form that is known.
    #[error("write https://host/path, ssh://user@host/path or user@host:path")]
    Form,
    /// A user or a password stands in it.
    #[error("no credential may stand in the address: send it as the token")]
    Credential,
    /// The host is no name and no address.
    #[error("the host is no plain name")]
    Host,
    /// The path has something in it that no address has.
    #[error("the path has a character or a part that is not taken")]
    Path,
    /// It is longer than 1,000 bytes.
    #[error("the address is too long")]
    TooLong,
}

/// Where an outside repository is. Holds no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    scheme: Scheme,
    /// Of ssh alone.
    user: Option<String>,
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Begins with a slash.
    path: String,
    /// Where its path begins.
    from: From,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Root,
    /// In the folder of the user whom one is over there: `user@host:path`.
    Home,
}

impl RemoteUrl {
    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name or an address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who one is over there, by ssh.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(SSH_USER)
    }

    /// The path, as a program that runs over there takes it.
    pub fn path_there(&self) -> &str {
        match self.from {
            From::Home => &self.path[1..],
            From::Root if self.path.starts_with("/~") => &self.path[1..],
            From::Root => &self.path,
        }
    }

    /// What a folder of it would be called: the last part of its path.
    pub fn name(&self) -> &str {
        let last = self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == From::Root {
            write!(f, "{}://", self.scheme.word())?;
        }
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.from == From::Home {
            return write!(f, ":{}", self.path_there());
        }
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl FromStr for RemoteUrl {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(BadAddress::TooLong);
        }
        let Some((scheme, rest)) = text.split_once("://") else { return short(text) };
        let scheme = Scheme::of_word(scheme).ok_or(BadAddress::Form)?;
        let (authority, path) = rest.split_at(rest.find('/').ok_or(BadAddress::Form)?);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) if scheme == Scheme::Ssh && is_plain(user) => {
                (Some(user.to_owned()), host)
            }
            Some(_) => return Err(BadAddress::Credential),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host).ok_or(BadAddress::Host)?;
        if !is_path(path) {
            return Err(BadAddress::Path);
        }
        let port = port.unwrap_or(scheme.port());
        Ok(Self { scheme, user, host, port, path: path.to_owned(), from: From::Root })
    }
}

/// `user@host:path`, by ssh.
fn short(text: &str) -> Result<RemoteUrl, BadAddress> {
    let (user, rest) = text.split_once('@').ok_or(BadAddress::Form)?;
    let end = if rest.starts_with('[') { rest.find("]:").map(|at| at + 1) } else { rest.find(':') };
    let (host, path) = rest.split_at(end.ok_or(BadAddress::Form)?);
    if !is_plain(user) {
        return Err(BadAddress::Form);
    }
    let (host, _) = host_and_port(host).ok_or(BadAddress::Host)?;
    let path = &path[1..];
    let (path, from) = if path.starts_with(['/', '~']) {
        (format!("/{}", path.trim_start_matches('/')), From::Root)
    } else {
        (format!("/{path}"), From::Home)
    };
    if !is_path(&path) {
        return Err(BadAddress::Path);
    }
    let (scheme, user) = (Scheme::Ssh, Some(user.to_owned()));
    Ok(RemoteUrl { scheme, user, host, port: scheme.port(), path, from })
}

/// A word that no program takes for an option.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !word.is_empty()
        && word.len() <= 253
        && !word.starts_with(['-', '.'])
        && word.bytes().all(plain)
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let address: Ipv6Addr = host.parse().ok()?;
        (address.to_string(), if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(it, port)| (it, Some(port)));
        (is_plain(host).then(|| host.to_ascii_lowercase())?, port)
    };
    // Digits that are no address are one in another notation.
    let digits = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if (digits || host.starts_with("0x")) && host.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    Some((host, port))
}

fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"'`$&;|<>*(){}[]^!".contains(&byte);
    path.len() > 1
        && path.bytes().all(plain)
        && path.split('/').all(|part| part != ".." && part != "." && !part.starts_with('-'))
}

/// A branch of an outside repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch(String);

/// A text names no branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a branch is named by letters, digits and `-_./`, as main or refs/heads/main")]
pub struct BadBranch;

impl Branch {
    /// Its name without `refs/heads/`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The whole name of its ref.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl Default for Branch {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl FromStr for Branch {
    type Err = BadBranch;

    fn from_str(text: &str) -> Result<Self, BadBranch> {
        let name = text.strip_prefix("refs/heads/").unwrap_or(text);
        let part = |part: &str| is_plain(part) && !part.ends_with(".lock") && !part.ends_with('.');
        let good = name.len() <= BRANCH_BYTES_MAX
            && name != "HEAD"
            && !name.starts_with("refs/")
            && !name.contains("..")
            && name.split('/').all(part);
        if good { Ok(Self(name.to_owned())) } else { Err(BadBranch) }
    }
}

/// The hosts that this server may reach for a repository. None unless somebody says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Where absent: https and ssh.
    scheme: Option<Scheme>,
    host: String,
    /// Where absent: the usual one of the scheme.
    port: Option<u16>,
}

/// A text is no list of hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not host, host:port or scheme://host:port with https, http or ssh")]
pub struct BadEntry(pub(crate) String);

impl FromStr for Allowed {
    type Err = BadEntry;

    /// Entries with commas between them.
    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|text| entry(text).ok_or_else(|| BadEntry(text.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn entry(text: &str) -> Option<Entry> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(Scheme::of_word(scheme)?), rest),
        None => (None, text),
    };
    if let Ok(address) = rest.parse::<Ipv6Addr>() {
        return Some(Entry { scheme, host: address.to_string(), port: None });
    }
    let (host, port) = host_and_port(rest)?;
    Some(Entry { scheme, host, port })
}

impl Allowed {
    /// Whether a repository may be reached, as far as its address tells.
    pub fn allows(&self, url: &RemoteUrl) -> bool {
        self.0.iter().any(|entry| {
            let scheme = match entry.scheme {
                Some(scheme) => scheme == url.scheme,
                None => url.scheme != Scheme::Http,
            };
            scheme && entry.host == url.host && entry.port.unwrap_or(url.scheme.port()) == url.port
        })
    }

    /// Whether an address that the host of an allowed repository stands for may be reached: every public one, and
    /// others where the list names them, too.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|entry| entry.host.parse() == Ok(address))
    }
}

/// Whether an address is one of the whole network and not of this machine or of the network around it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            let part = address.segments();
            let within =
                |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            match part {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(within(high, low)),
                [0x2002, high, low, ..] => is_public_v4(within(high, low)),
                [0x2001, second, ..] => second > 0x1ff && second != 0xdb8,
                // What is given out lies in 2000::/3.
                [first, ..] => first & 0xe000 == 0x2000,
            }
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let part = address.octets();
    let special = matches!(
        part,
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    );
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RemoteUrl {
        text.parse().unwrap_or_else(|bad| panic!("{text}: {bad}"))
    }

    #[test]
    fn an_address_is_read_and_written_in_one_form() {
        for (text, shown, name) in [
            ("https://Git.Example.org/a/notes.git", "https://git.example.org/a/notes.git", "notes"),
            ("https://git.example.org:443/x", "https://git.example.org/x", "x"),
            ("http://127.0.0.1:7070/git/home.git", "http://127.0.0.1:7070/git/home.git", "home"),
            ("ssh://git@example.org:2222/~a/b/", "ssh://git@example.org:2222/~a/b/", "b"),
            ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x", "x"),
            ("git@Example.org:a/notes.git", "git@example.org:a/notes.git", "notes"),
            ("git@example.org:/a/b.git", "ssh://git@example.org/a/b.git", "b"),
            ("git@[::1]:~joe/b", "ssh://git@[::1]/~joe/b", "b"),
        ] {
            assert_eq!((url(text).to_string().as_str(), url(text).name()), (shown, name));
        }
    }

    #[test]
    fn a_path_is_told_as_the_other_side_takes_it() {
        for (text, user, path) in [
            ("ssh://joe@example.org/srv/x.git", "joe", "/srv/x.git"),
            ("ssh://example.org/~joe/x", "git", "~joe/x"),
            ("git@example.org:a/b.git", "git", "a/b.git"),
            ("git@example.org:~/b.git", "git", "~/b.git"),
            ("git@example.org:/b.git", "git", "/b.git"),
        ] {
            assert_eq!((url(text).user(), url(text).path_there()), (user, path), "{text}");
            assert_eq!(url(&url(text).to_string()), url(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        use BadAddress::{Credential, Form, Host, Path, TooLong};
        for (text, why) in [
            ("file:///etc", Form),
            ("/etc", Form),
            ("ext::sh -c id", Form),
            ("git://example.org/x", Form),
            ("ftp://example.org/x", Form),
            ("https://example.org", Form),
            ("example.org:x", Form),
            ("git@example.org", Form),
            ("u:p@example.org:x", Form),
            ("-oProxyCommand=id@example.org:x", Form),
            ("git@-oProxyCommand=id:x", Host),
            ("git@example.org:", Path),
            ("git@example.org:-x", Path),
            ("git@example.org:a/../b", Path),
            ("git@example.org:a'b", Path),
            ("https://u:p@example.org/x", Credential),
            ("https://token@example.org/x", Credential),
            ("ssh://u:p@example.org/x", Credential),
            ("ssh://-oProxyCommand=id@example.org/x", Credential),
            ("ssh://-oProxyCommand=id/x", Host),
            ("https:///x", Host),
            ("https://exa mple.org/x", Host),
            ("https://2130706433/x", Host),
            ("https://0x7f000001/x", Host),
            ("https://127.1/x", Host),
            ("https://[::1/x", Host),
            ("https://[example.org]/x", Host),
            ("https://example.org:0/x", Host),
            ("https://example.org:99999/x", Host),
            ("https://example.org/", Path),
            ("https://example.org/a/../b", Path),
            ("https://example.org/-x", Path),
            ("https://example.org/x?token=1", Path),
            ("https://example.org/x#y", Path),
            ("https://example.org/x\n", Path),
        ] {
            assert_eq!(text.parse::<RemoteUrl>(), Err(why), "{text}");
        }
        let long = format!("https://example.org/{}", "x".repeat(1_000));
        assert_eq!(long.parse::<RemoteUrl>(), Err(TooLong));
    }

    #[test]
    fn a_branch_has_a_plain_name() {
        for (text, name) in [("main", "main"), ("refs/heads/a/b-1.x", "a/b-1.x")] {
            assert_eq!(text.parse::<Branch>().expect(text).name(), name);
        }
        for bad in [
            "",
            "-x",
            "a..b",
            "a/",
            "/a",
            "a b",
            "x.lock",
            "refs/tags/x",
            "HEAD",
            "a:b",
            "a~1",
            "+a",
            "@{0}",
        ] {
            assert_eq!(bad.parse::<Branch>(), Err(BadBranch), "{bad}");
        }
    }

    #[test]
    fn nothing_is_reached_that_the_list_does_not_name() {
        let allowed: Allowed =
            "github.com, git.example.org:8443, http://127.0.0.1:7070, ssh://git.corp"
                .parse()
                .expect("a list");
        for yes in [
            "https://github.com/a/b",
            "ssh://git@github.com/a/b",
            "https://GitHub.com/a/b",
            "https://git.example.org:8443/x",
            "http://127.0.0.1:7070/x",
            "ssh://git.corp/x",
        ] {
            assert!(allowed.allows(&url(yes)), "{yes}");
        }
        for no in [
            "http://github.com/a/b",
            "https://github.com:8443/a/b",
            "https://github.com.evil.org/x",
            "https://xgithub.com/x",
            "https://git.example.org/x",
            "https://127.0.0.1:7070/x",
            "http://127.0.0.1:7071/x",
            "https://git.corp/x",
        ] {
            assert!(!allowed.allows(&url(no)), "{no}");
        }
        assert!(!Allowed::default().allows(&url("https://github.com/a/b")));
        for bad in ["a b", "ftp://x", "x/y", "u@x", "http://", ":80"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_around_this_machine_must_be_named() {
        let allowed: Allowed = "github.com, 10.1.2.3, fd00::7".parse().expect("a list");
        let may = |text: &str| allowed.allows_address(text.parse().expect("an address"));
        for yes in ["140.82.121.3", "2606:50c0:8000::1", "10.1.2.3", "fd00::7", "::ffff:10.1.2.3"] {
            assert!(may(yes), "{yes}");
        }
        for no in [
            "127.0.0.1",
            "10.1.2.4",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fd00::8",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
        ] {
            assert!(!may(no), "{no}");
        }
    }
}
