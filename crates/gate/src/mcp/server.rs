//! A server of tools outside, as whoever runs this installation configures it. Never sends anything.

use std::collections::BTreeMap;

use hyper::header::{self, HeaderName, HeaderValue};
use model::tool::is_tool_name;
use model::{ServerName, ToolEffect};
use reqwest::Url;

use crate::endpoint::{address, sendable};
use crate::limit::TOOLS_MAX;
use crate::secret::Secret;

/// Names that are taken: the built-in server's, and one that Claude Code gives to no server.
const RESERVED: [&str; 2] = [super::own::NAME, "workspace"];

/// What a server is made of, unchecked.
#[derive(Debug, Clone)]
pub struct ServerParts {
    /// What it is called; its path at the gate is `/mcp/<name>`.
    pub name: String,
    /// For people, one line.
    pub about: String,
    /// Where it is reached by Streamable HTTP, as `https://tracker.example/mcp`.
    pub url: String,
    /// Its key; absent when it asks for none.
    pub key: Option<Secret>,
    /// The header that carries the key as it is; absent: `authorization: Bearer KEY`.
    pub header: Option<String>,
    /// Its tools that look something up.
    pub reads: Vec<String>,
    /// Its tools that change something outside.
    pub acts: Vec<String>,
    /// Whether dispatches whose input comes from outside may call those that look something up.
    pub untrusted: bool,
}

/// A server of tools outside. Any tool that it does not name cannot be called.
#[derive(Debug, Clone)]
pub struct Server {
    pub(crate) name: ServerName,
    pub(crate) about: String,
    pub(crate) url: Url,
    pub(crate) key: Option<Secret>,
    pub(crate) header: Option<HeaderName>,
    pub(crate) tools: BTreeMap<String, ToolEffect>,
    pub(crate) untrusted: bool,
}

/// A server cannot be used as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServer {
    /// It cannot be called so, or there is one of that name already.
    #[error(
        "`{0}` cannot be a server of tools: its name must be 1 to 24 of `a-z 0-9 -`, a letter first, and neither `knowledge`, which is built in, nor `workspace`, which agents keep for themselves"
    )]
    Name(String),
    /// The address is no plain http or https address.
    #[error(
        "the url of the tools `{0}` must be http:// or https:// with a host, and without user, query or fragment"
    )]
    Url(String),
    /// The key cannot be sent.
    #[error("the key of the tools `{0}` is empty or has characters that no key has")]
    Key(String),
    /// The header cannot carry a key.
    #[error(
        "the header of the tools `{0}` must be the name of a header of their own, as `x-api-key`"
    )]
    Header(String),
    /// A tool cannot be called so, stands in both lists, or there are too many.
    #[error(
        "the tools of `{name}` cannot hold `{tool}`: at most {TOOLS_MAX} names of 1 to 128 characters, each in one list"
    )]
    Tool {
        /// The server.
        name: String,
        /// The tool.
        tool: String,
    },
    /// It allows nothing.
    #[error("the tools `{0}` list none in `reads` or `acts`, so nothing could be called")]
    Nothing(String),
}

impl Server {
    /// Checks the parts.
    pub fn new(parts: ServerParts) -> Result<Self, BadServer> {
        let ServerParts { name, about, url, key, header, reads, acts, untrusted } = parts;
        let known = name.parse::<ServerName>().ok();
        let known = known.filter(|it| !RESERVED.contains(&it.as_str()));
        let Some(server) = known else { return Err(BadServer::Name(name)) };
        let Some(url) = address(&url) else { return Err(BadServer::Url(name)) };
        if key.as_ref().is_some_and(|key| !sendable(key)) {
            return Err(BadServer::Key(name));
        }
        let header = match header.map(|header| own_header(&header)) {
            Some(None) => return Err(BadServer::Header(name)),
            Some(header) => header,
            None => None,
        };
        let mut tools = BTreeMap::new();
        let reads = reads.into_iter().map(|tool| (tool, ToolEffect::Reads));
        for (tool, effect) in reads.chain(acts.into_iter().map(|tool| (tool, ToolEffect::Acts))) {
            if !is_tool_name(&tool) || tools.len() == TOOLS_MAX || tools.contains_key(&tool) {
                return Err(BadServer::Tool { name, tool });
            }
            tools.insert(tool, effect);
        }
        if tools.is_empty() {
            return Err(BadServer::Nothing(name));
        }
        Ok(Self { name: server, about, url, key, header, tools, untrusted })
    }

    /// The header that lets a request in.
    pub(super) fn credential(&self) -> Option<(HeaderName, HeaderValue)> {
        let key = self.key.as_ref()?.expose();
        let (name, value) = match &self.header {
            Some(header) => (header.clone(), HeaderValue::from_str(key)),
            None => (header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))),
        };
        let mut value = value.ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// A header that nothing else needs.
fn own_header(name: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let taken = ["host", "connection", "accept", "content-", "transfer-encoding", "mcp-", "te"];
    (!taken.iter().any(|taken| name.as_str().starts_with(taken))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> ServerParts {
        ServerParts {
            name: "tracker".into(),
            about: String::new(),
            url: "https://tracker.example/mcp".into(),
            key: Some(Secret::new("k".into())),
            header: None,
            reads: vec!["search".into()],
            acts: vec!["close".into()],
            untrusted: false,
        }
    }

    #[test]
    fn the_key_is_sent_as_it_is_configured() {
        let server = Server::new(parts()).expect("good");
        let (name, value) = server.credential().expect("a key");
        assert_eq!((name.as_str(), value.to_str().ok()), ("authorization", Some("Bearer k")));
        let own = ServerParts { header: Some("X-Api-Key".into()), ..parts() };
        let (name, value) = Server::new(own).expect("good").credential().expect("a key");
        assert_eq!((name.as_str(), value.to_str().ok()), ("x-api-key", Some("k")));
    }

    #[test]
    fn a_server_that_cannot_be_used_is_refused() {
        let refused = |parts| Server::new(parts).expect_err("refused");
        for name in ["", "knowledge", "workspace", "a.b", "A"] {
            let bad = refused(ServerParts { name: name.into(), ..parts() });
            assert_eq!(bad, BadServer::Name(name.into()));
        }
        for url in ["", "tracker", "file:///x", "https://me:pw@a.example", "https://a/?key=x"] {
            assert!(matches!(
                refused(ServerParts { url: url.into(), ..parts() }),
                BadServer::Url(_)
            ));
        }
        let key = ServerParts { key: Some(Secret::new("a\nb".into())), ..parts() };
        assert!(matches!(refused(key), BadServer::Key(_)));
        for header in ["", "a b", "Host", "content-type", "mcp-session-id"] {
            let bad = ServerParts { header: Some(header.into()), ..parts() };
            assert!(matches!(refused(bad), BadServer::Header(_)), "{header}");
        }
        for tool in ["", "a b", "close"] {
            let bad = ServerParts { reads: vec![tool.into()], ..parts() };
            assert!(matches!(refused(bad), BadServer::Tool { .. }), "{tool}");
        }
        let many = ServerParts { reads: (0..999).map(|n| format!("t{n}")).collect(), ..parts() };
        assert!(matches!(refused(many), BadServer::Tool { .. }));
        let none = ServerParts { reads: vec![], acts: vec![], ..parts() };
        assert!(matches!(refused(none), BadServer::Nothing(_)));
    }
}
