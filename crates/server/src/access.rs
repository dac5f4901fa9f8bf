//! Who asks, and whether they may. Nothing is decided here: a key is looked up by its hash, and
//! every question goes to [`trust::authorize()`].

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use engine::port::KeyHash;
use model::UserId;
use sha2::{Digest, Sha256};
use trust::{Action, Principal, authorize};

use crate::api::Api;
use crate::problem::{INVALID_KEY, MISSING_KEY, Problem};

/// The longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// Who asks, as their key says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The person whose key it is.
    pub(crate) subject: UserId,
    /// Who they are to [`authorize`].
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

/// Finds out who asks.
pub(crate) async fn identify(
    api: &Api,
    headers: &HeaderMap,
    desk: Desk,
) -> Result<Caller, Problem> {
    let shown = shown_key(headers, desk).ok_or_else(|| Problem::plain(MISSING_KEY))?;
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
    fn the_administrators_header_counts_at_the_administrators_desk_alone() {
        let both = [("x-admin-api-key", "a"), ("x-api-key", "k")];
        check(Desk::Admin, &both, Some("a"));
        check(Desk::Public, &both, Some("k"));
        check(Desk::Public, &both[..1], None);
    }
}
