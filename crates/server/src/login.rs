//! Logging a browser in: by a link that works once, for as long as its cookie lasts.
//!
//! Neither the secret of a link nor that of a cookie is stored, only their hashes. A link lives in
//! memory: a restart makes it void, and a new one is printed.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::port::{IdSource, KeyHash, Login, Scope};
use model::{Time, UserId};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use crate::access::{Caller, key_hash};
use crate::admin::secret;
use crate::answer::{Created, NoContent};
use crate::api::Api;
use crate::body::JsonBody;
use crate::hosts::{over_tls, own_page, port};
use crate::openapi::{Answer, Operation};
use crate::problem::{BAD_LINK, INVALID, LOGGED_OUT, Problem};
use crate::views::{self, Moment};

/// How long a link can be used: 15 minutes.
pub const LINK_LASTS: Duration = Duration::from_mins(15);
/// How long a login lasts, however often it is used: 30 days.
const LOGIN_LASTS: Duration = Duration::from_hours(30 * 24);
/// How long a login lasts that is not used: 7 days.
const IDLE_LASTS: Duration = Duration::from_hours(7 * 24);
/// How often it is noted that a login was used.
const SEEN_EVERY: Duration = Duration::from_mins(1);
/// How many links wait to be used at once; the oldest gives way.
const LINKS_MAX: usize = 64;
/// The longest secret that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 128;
/// What a browser may do for its person: all but administer.
const SCOPES: [Scope; 2] = [Scope::Agent, Scope::Read];

/// Links that were made and not used yet.
#[derive(Debug, Default)]
pub struct Links(Mutex<VecDeque<Waiting>>);

#[derive(Debug)]
struct Waiting {
    hash: KeyHash,
    subject: UserId,
    made: Time,
}

impl Links {
    /// The secret of a new link that logs a browser in as `subject`, once, within [`LINK_LASTS`].
    pub fn make(&self, ids: &dyn IdSource, subject: UserId, now: Time) -> String {
        let secret = secret(ids);
        let mut waiting = self.0.lock();
        waiting.retain(|link| now.since(link.made) < LINK_LASTS);
        while waiting.len() >= LINKS_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { hash: key_hash(&secret), subject, made: now });
        secret
    }

    /// Uses a link up; whom it logs in.
    fn take(&self, secret: &str, now: Time) -> Option<UserId> {
        let hash = key_hash(secret);
        let mut waiting = self.0.lock();
        let at = waiting.iter().position(|link| link.hash == hash)?;
        let link = waiting.remove(at)?;
        (now.since(link.made) < LINK_LASTS).then_some(link.subject)
    }
}

/// What the cookie is called where the browser came over TLS: it is bound to this host.
const COOKIE_TLS: &str = "__Host-remit";

/// What it is called elsewhere. Cookies know no ports, so that two servers of one machine must differ.
fn cookie_plain(uri: &Uri, headers: &HeaderMap) -> String {
    format!("remit-{}", port(uri, headers))
}

/// The secret of the browser's cookie.
pub(crate) fn cookie<'a>(uri: &Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let plain = cookie_plain(uri, headers);
    let find = |name: &str| {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
        pairs.find_map(|(key, value)| (key.trim() == name).then_some(value.trim()))
    };
    find(COOKIE_TLS).or_else(|| find(&plain)).filter(|secret| !secret.is_empty())
}

/// The login of a cookie, if it is still good.
pub(crate) async fn of_cookie(api: &Api, secret: &str) -> Result<Login, Problem> {
    let over = || Problem::new(LOGGED_OUT, "log in again: `remit login` prints a new link");
    if secret.len() > SECRET_BYTES_MAX {
        return Err(over());
    }
    let hash = key_hash(secret);
    let login = api.directory.login(hash).await?.ok_or_else(over)?;
    let now = api.clock.now();
    if now >= login.expires || now.since(login.seen) >= IDLE_LASTS {
        api.directory.remove_login(hash).await?;
        return Err(over());
    }
    if now.since(login.seen) >= SEEN_EVERY {
        api.directory.see_login(hash, now).await?;
    }
    Ok(login)
}

/// Whether the browser is logged in.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IsIn {
    logged_in: bool,
}

/// Whether this browser is logged in: what a page asks first, and what is no error either way.
pub(crate) async fn is_in(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<IsIn>, Problem> {
    let login = match cookie(&uri, &headers) {
        Some(secret) => of_cookie(&api, secret).await,
        None => return Ok(Json(IsIn { logged_in: false })),
    };
    match login {
        Ok(_) => Ok(Json(IsIn { logged_in: true })),
        Err(problem) if problem.kind == LOGGED_OUT => Ok(Json(IsIn { logged_in: false })),
        Err(problem) => Err(problem),
    }
}

/// The token of a link.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkToken {
    token: String,
}

/// An answer that gives the browser its cookie, or takes it away.
pub(crate) struct WithCookie<A>(HeaderValue, A);

impl<A: IntoResponse> IntoResponse for WithCookie<A> {
    fn into_response(self) -> Response {
        ([(header::SET_COOKIE, self.0)], self.1).into_response()
    }
}

impl<A: Answer> Answer for WithCookie<A> {
    fn tell(to: &mut Operation<'_>) {
        A::tell(to);
    }
}

/// Who is logged in now, and until when.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoggedIn {
    user_id: UserId,
    expires: Moment,
}

/// Uses a link up and gives the browser its cookie.
pub(crate) async fn log_in(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody<LinkToken>,
) -> Result<WithCookie<Json<LoggedIn>>, Problem> {
    let LinkToken { token } = body.read().await?;
    let bad = || {
        let words = "the link was used, is too old, or is not one of this server's; \
                     `remit login` prints a new one";
        Problem::new(BAD_LINK, words)
    };
    if token.len() > SECRET_BYTES_MAX {
        return Err(bad());
    }
    let now = api.clock.now();
    let subject = api.links.take(&token, now).ok_or_else(bad)?;
    let secret = secret(&*api.ids);
    let expires = Time::from_ms(now.as_ms() + millis(LOGIN_LASTS));
    let login = Login { subject, scopes: SCOPES.to_vec(), created: now, seen: now, expires };
    api.directory.add_login(login, key_hash(&secret)).await?;
    let cookie = set_cookie(&uri, &headers, &secret, LOGIN_LASTS.as_secs())?;
    let body = LoggedIn { user_id: subject, expires: views::time(expires) };
    Ok(WithCookie(cookie, Json(body)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The cookie: for this host alone, unreadable by scripts, never sent for another site's page.
fn set_cookie(
    uri: &Uri,
    headers: &HeaderMap,
    secret: &str,
    lasts_s: u64,
) -> Result<HeaderValue, Problem> {
    let name = if over_tls(headers) { COOKIE_TLS.to_owned() } else { cookie_plain(uri, headers) };
    let secure = if over_tls(headers) { "; Secure" } else { "" };
    let cookie =
        format!("{name}={secret}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(cookie).map_err(|_| Problem::new(INVALID, "the host is not readable"))
}

/// Forgets the login of this browser, and makes the browser forget it.
pub(crate) async fn log_out(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<WithCookie<NoContent>, Problem> {
    if let Some(secret) = cookie(&uri, &headers) {
        own_page(&Method::POST, &headers)?;
        api.directory.remove_login(key_hash(secret)).await?;
    }
    let gone = set_cookie(&uri, &headers, "", 0)?;
    Ok(WithCookie(gone, NoContent))
}

/// A link that logs a browser in: `<url>/login#<token>`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoginLink")]
pub(crate) struct Link {
    token: String,
    /// From when on it cannot be used.
    expires: Moment,
}

/// Makes a link for the caller's own browser; the client puts its address before the token.
pub(crate) async fn link(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Created<Link>, Problem> {
    caller.may(&Action::MintKey { owner: caller.subject, scopes: SCOPES.into() })?;
    let now = api.clock.now();
    let token = api.links.make(&*api.ids, caller.subject, now);
    let expires = views::time(Time::from_ms(now.as_ms() + millis(LINK_LASTS)));
    Ok(Created(Link { token, expires }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    struct Counting(std::sync::atomic::AtomicU8);

    impl IdSource for Counting {
        fn uuid(&self) -> Uuid {
            Uuid::nil()
        }
        fn secret(&self) -> [u8; 32] {
            [self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 32]
        }
    }

    #[test]
    fn a_link_works_once_and_not_for_long() {
        let (links, ids) = (Links::default(), Counting(0.into()));
        let jane = UserId::from_uuid(Uuid::from_u128(1));
        let at = |minutes: u64| Time::from_ms(minutes * 60_000);
        let first = links.make(&ids, jane, at(0));
        assert_eq!(links.take("something else", at(0)), None);
        assert_eq!(links.take(&first, at(14)), Some(jane));
        assert_eq!(links.take(&first, at(14)), None, "it was used");
        let late = links.make(&ids, jane, at(20));
        assert_eq!(links.take(&late, at(35)), None, "it is too old");
    }

    #[test]
    fn links_that_nobody_uses_do_not_pile_up() {
        let (links, ids) = (Links::default(), Counting(0.into()));
        let jane = UserId::from_uuid(Uuid::from_u128(1));
        let now = Time::from_ms(0);
        let made: Vec<_> = (0..=LINKS_MAX).map(|_| links.make(&ids, jane, now)).collect();
        assert_eq!(links.take(&made[0], now), None, "the oldest gave way");
        assert_eq!(links.take(&made[1], now), Some(jane));
    }

    #[test]
    fn the_cookie_is_found_among_others_and_that_of_another_port_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:7070"));
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; remit-7070=x; remit-1=y"));
        let uri = Uri::from_static("/agent/chat");
        assert_eq!(cookie(&uri, &headers), Some("x"));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-remit=z"));
        assert_eq!(cookie(&uri, &headers), Some("z"));
        headers.insert(header::COOKIE, HeaderValue::from_static("remit-7070="));
        assert_eq!(cookie(&uri, &headers), None);
    }
}
