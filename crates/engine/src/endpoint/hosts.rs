//! Which hosts the operator lets people name as model endpoints. Pure.

use std::net::IpAddr;
use std::str::FromStr;

use crate::remote::{Allowed, BadAddress, BadEntry, RemoteUrl, Scheme};

/// What stands for [`VENDORS`] in a list.
const VENDORS_WORD: &str = "@vendors";

/// Well-known services of models, each reached over TLS.
const VENDORS: &[&str] = &[
    "api.anthropic.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "api.groq.com",
    "api.mistral.ai",
    "api.openai.com",
    "api.together.xyz",
    "api.x.ai",
    "generativelanguage.googleapis.com",
    "openrouter.ai",
];

/// The hosts that people may name. None unless somebody says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelHosts {
    allowed: Allowed,
    shown: Vec<String>,
}

impl ModelHosts {
    /// As they are written, `@vendors` written out.
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// Whether a host at this address may be called: a public one, or one that the list names.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.allowed.allows_address(address)
    }

    pub(super) fn allows(&self, address: &RemoteUrl) -> bool {
        self.allowed.allows(address)
    }
}

impl FromStr for ModelHosts {
    type Err = BadEntry;

    /// Entries with commas between them: `host`, `host:port`, `https://host`, `http://host:port`, `@vendors`.
    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let shown: Vec<String> = entries
            .flat_map(|entry| match entry {
                VENDORS_WORD => VENDORS.to_vec(),
                other => vec![other],
            })
            .map(str::to_owned)
            .collect();
        if let Some(bad) = shown.iter().find(|entry| entry.starts_with("ssh://")) {
            return Err(BadEntry(bad.clone()));
        }
        Ok(Self { allowed: shown.join(",").parse()?, shown })
    }
}

/// Where an endpoint is, by its address with or without `/v1`.
pub(super) fn address(url: &str) -> Result<RemoteUrl, BadAddress> {
    // A repository has a path, and an endpoint need not.
    let address: RemoteUrl = format!("{}/v1", url.trim_end_matches('/')).parse()?;
    if address.scheme() == Scheme::Ssh { Err(BadAddress::Form) } else { Ok(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_are_allowed_and_only_with_tls_unless_said_otherwise() {
        let hosts: ModelHosts =
            "@vendors, llm.example.org:8443, http://127.0.0.1:7".parse().expect("a list");
        let may = |url: &str| hosts.allows(&address(url).expect(url));
        for yes in [
            "https://api.openai.com",
            "https://API.OpenAI.com/v1/",
            "https://openrouter.ai/api/v1",
            "https://llm.example.org:8443",
            "http://127.0.0.1:7/x",
        ] {
            assert!(may(yes), "{yes}");
        }
        for no in [
            "http://api.openai.com",
            "https://api.openai.com:8443",
            "https://api.openai.com.evil.org",
            "https://api.openai.com.",
            "https://llm.example.org",
            "https://127.0.0.1:7",
            "http://127.0.0.1:8",
            "https://169.254.169.254",
        ] {
            assert!(!may(no), "{no}");
        }
        assert!(!ModelHosts::default().allows(&address("https://api.openai.com").expect("good")));
        assert_eq!(hosts.shown().len(), VENDORS.len() + 2);
        for bad in ["ssh://x", "a b", "ftp://x", "x/y"] {
            assert!(bad.parse::<ModelHosts>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_hides_something_is_none() {
        for bad in [
            "",
            "api.openai.com",
            "ssh://api.openai.com",
            "file:///etc",
            "https://me:pw@api.openai.com",
            "https://api.openai.com?x",
            "https://api.openai.com/#x",
            "https://api.openai.com/../x",
            "https://2130706433",
            "https://0x7f000001",
            "https://127.1",
            "https://api.openai.com/\u{7}",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
