//! Which hosts are served, so that a page of another site can reach nothing through a name that
//! was made to point here (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri};

use crate::problem::{FOREIGN_HOST, FOREIGN_ORIGIN, MALFORMED, Problem};

/// Which hosts are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Only this machine's loopback names: what a server on loopback serves.
    Loopback,
    /// Loopback names and these, without a port.
    Named(Vec<String>),
    /// Any: for a server that listens to the network and was given no names.
    Any,
}

impl Hosts {
    /// Refuses a request for a host that is not served, or one made by another site's page.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => only_header(headers, "host")?
                .ok_or_else(|| Problem::new(MALFORMED, "the request names no host"))?,
        };
        let name = name_of(host);
        let served = match self {
            Self::Loopback => is_loopback(name),
            Self::Named(names) => {
                is_loopback(name) || names.iter().any(|served| served.eq_ignore_ascii_case(name))
            }
            Self::Any => true,
        };
        if !served {
            return Err(Problem::new(
                FOREIGN_HOST,
                "this host is not served here; add it to server.hosts if it should be",
            ));
        }
        match only_header(headers, "origin")? {
            Some(origin) if !same_place(origin, host) => Err(Problem::plain(FOREIGN_ORIGIN)),
            Some(_) | None => Ok(()),
        }
    }
}

fn only_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::new(MALFORMED, format!("the header {name} stands twice")));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Problem::new(MALFORMED, format!("the header {name} is not text")))
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn same_place(origin: &str, host: &str) -> bool {
    let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    place.is_some_and(|place| place.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, StatusCode, header};

    fn check(hosts: &Hosts, host: &str, origin: Option<&str>) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).expect("a value"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).expect("a value"));
        }
        hosts.admit(&Uri::from_static("/health"), &headers).err().map(|problem| problem.kind.status)
    }

    #[test]
    fn a_loopback_server_answers_to_loopback_names_alone() {
        for host in ["localhost", "127.0.0.1:7070", "[::1]:7070", "LOCALHOST:1", "127.9.9.9"] {
            assert_eq!(check(&Hosts::Loopback, host, None), None, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "0.0.0.0:7070"] {
            let refused = Some(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(check(&Hosts::Loopback, host, None), refused, "{host}");
        }
        let named = Hosts::Named(vec!["remit.example".to_owned()]);
        assert_eq!(check(&named, "remit.example:443", None), None);
        assert!(check(&named, "evil.example", None).is_some());
    }

    #[test]
    fn another_sites_page_is_refused_and_ones_own_is_not() {
        let host = "127.0.0.1:7070";
        assert_eq!(check(&Hosts::Loopback, host, Some("http://127.0.0.1:7070")), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:7071", ""] {
            let refused = Some(StatusCode::FORBIDDEN);
            assert_eq!(check(&Hosts::Loopback, host, Some(origin)), refused, "{origin}");
        }
    }
}
