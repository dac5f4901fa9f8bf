//! Which hosts are served, so that a page of another site can reach nothing through a name that
//! was made to point here (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Uri};

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

/// Refuses what a browser sends with its cookie but not for a page of ours.
///
/// A browser says for whom it asks in `Sec-Fetch-Site`, and in `Origin`, which
/// [`Hosts::admit`] has compared with the host. What changes something must say one of them.
pub(crate) fn own_page(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = || Problem::plain(FOREIGN_ORIGIN);
    let reads = method == Method::GET || method == Method::HEAD;
    match only_header(headers, "sec-fetch-site")? {
        Some("same-origin") => Ok(()),
        // Typed into the address line.
        Some("none") if reads => Ok(()),
        Some(_) => Err(foreign()),
        None if reads || headers.contains_key("origin") => Ok(()),
        None => Err(foreign()),
    }
}

/// Whether the browser reached us over TLS, as the origin of its page says.
pub(crate) fn over_tls(headers: &HeaderMap) -> bool {
    headers.get("origin").is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The port that the browser believes to talk to; 0 where it names none.
pub(crate) fn port(uri: &Uri, headers: &HeaderMap) -> u16 {
    let host = uri.authority().map(|it| it.as_str().to_owned());
    let host = host.or_else(|| headers.get("host")?.to_str().ok().map(str::to_owned));
    let port = host.as_deref().and_then(|host| host.rsplit_once(':')?.1.parse().ok());
    port.unwrap_or(0)
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

    fn check_cookie(method: &Method, site: Option<&str>, origin: bool, expected: bool) {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_str(site).expect("a value"));
        }
        if origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static("http://127.0.0.1:7070"));
        }
        assert_eq!(own_page(method, &headers).is_ok(), expected, "{method} {site:?} {origin}");
    }

    #[test]
    fn a_cookie_changes_something_for_our_own_page_alone() {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            check_cookie(&method, Some("same-origin"), false, true);
            check_cookie(&method, None, true, true);
            check_cookie(&method, None, false, false);
            for site in ["same-site", "cross-site", "none", ""] {
                check_cookie(&method, Some(site), true, false);
            }
        }
        check_cookie(&Method::GET, Some("none"), false, true);
        check_cookie(&Method::GET, None, false, true);
        check_cookie(&Method::GET, Some("cross-site"), false, false);
        check_cookie(&Method::GET, Some("same-site"), false, false);
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
