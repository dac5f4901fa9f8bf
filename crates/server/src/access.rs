//! Who asks, and whether they may. Nothing is decided here: a key or a cookie is looked up by its
//! hash, and every question goes to [`trust::authorize()`].

use std::collections::BTreeSet;

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use engine::port::KeyHash;
use model::UserId;
use sha2::{Digest, Sha256};
use trust::{Action, Principal, authorize};

use crate::api::Api;
use crate::hosts::own_page;
use crate::login;
use crate::problem::{INVALID_KEY, MISSING_KEY, Problem};

/// The longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// Who asks, as their key or their login says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The person whose key or login it is.
    pub(crate) subject: UserId,
    /// Who they are to [`authorize()`].
    pub(crate) principal: Principal,
}

impl Caller {
    /// Asks whether this caller may.
    pub(crate) fn may(&self, action: &Action) -> Result<(), Problem> {
        Ok(authorize(&self.principal, action).allowed()?)
    }
}

/// The hash under which a key is stored.
pub fn key_hash(key: &str) -> KeyHash {
    KeyHash(Sha256::digest(key.as_bytes()).into())
}

/// Finds out who asks: by the key that is shown, or else by the browser's cookie, which git does not
/// have.
pub(crate) async fn identify(api: &Api, request: &Parts, desk: Desk) -> Result<Caller, Problem> {
    let headers = &request.headers;
    let password = (desk == Desk::Git).then(|| password(headers)).flatten();
    if let Some(shown) = password.as_deref().or_else(|| shown_key(headers, desk)) {
        return with_key(api, shown).await;
    }
    let cookie = login::cookie(&request.uri, headers).filter(|_| desk != Desk::Git);
    let cookie = cookie.ok_or_else(|| Problem::plain(MISSING_KEY))?;
    own_page(&request.method, headers)?;
    let login = login::of_cookie(api, cookie).await?;
    let principal = Principal::person(login.subject, login.scopes);
    Ok(Caller { subject: login.subject, principal })
}

async fn with_key(api: &Api, shown: &str) -> Result<Caller, Problem> {
    if shown.len() > KEY_BYTES_MAX {
        return Err(Problem::plain(INVALID_KEY));
    }
    let key = api.directory.key(key_hash(shown)).await?;
    let now = api.clock.now();
    let key = key
        .filter(|key| key.expires.is_none_or(|expires| now < expires))
        .ok_or_else(|| Problem::plain(INVALID_KEY))?;
    let scopes: BTreeSet<_> = key.scopes.iter().copied().collect();
    let principal = Principal::person(key.subject, scopes);
    Ok(Caller { subject: key.subject, principal })
}

/// Where a route belongs, and so which headers may carry its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Desk {
    /// `X-API-Key` or `Authorization: Bearer`.
    Public,
    /// The same, and `X-Admin-API-Key` before them.
    Admin,
    /// The same, and the password of `Authorization: Basic`, with any user name.
    Git,
}

fn shown_key(headers: &HeaderMap, desk: Desk) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    let admin = text("x-admin-api-key").filter(|_| desk == Desk::Admin);
    admin.or_else(|| text("x-api-key")).or(bearer).filter(|key| !key.is_empty())
}

/// The password of `Authorization: Basic`.
fn password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2 * KEY_BYTES_MAX {
        return None;
    }
    let decoded = String::from_utf8(base64(encoded.trim())?).ok()?;
    let (_user, password) = decoded.split_once(':')?;
    (!password.is_empty()).then(|| password.to_owned())
}

/// The bytes that a text of base 64 stands for; padding may be absent.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(desk: Desk, pairs: &[(&'static str, &'static str)], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.insert(name, value.parse().expect("a value"));
        }
        assert_eq!(shown_key(&headers, desk), expected, "{pairs:?}");
    }

    #[test]
    fn a_key_is_taken_from_each_of_the_documented_headers() {
        for desk in [Desk::Public, Desk::Admin] {
            check(desk, &[("x-api-key", "k")], Some("k"));
            check(desk, &[("authorization", "Bearer k")], Some("k"));
            check(desk, &[("authorization", "bearer  k ")], Some("k"));
            check(desk, &[("authorization", "Basic k")], None);
            check(desk, &[("authorization", "Bearer")], None);
            check(desk, &[("x-api-key", "")], None);
            check(desk, &[], None);
        }
    }

    #[test]
    fn git_shows_a_key_as_its_password() {
        let check = |value: &'static str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header::HeaderValue::from_static(value));
            assert_eq!(password(&headers).as_deref(), expected, "{value}");
        };
        check("Basic bWU6cm10XzAx", Some("rmt_01"));
        check("basic OnJtdF8w", Some("rmt_0"));
        check("Basic bWU6YTpiPQ==", Some("a:b="));
        for bad in ["Basic", "Basic bWU6", "Basic bWU", "Basic !", "Bearer bWU6cm10XzAx"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_administrators_header_counts_at_the_administrators_desk_alone() {
        let both = [("x-admin-api-key", "a"), ("x-api-key", "k")];
        check(Desk::Admin, &both, Some("a"));
        check(Desk::Public, &both, Some("k"));
        check(Desk::Public, &both[..1], None);
    }
}
