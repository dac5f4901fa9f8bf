//! Asks a model endpoint. In its own dialect a request goes on byte for byte but for the model's name,
//! and the answer comes back as it is; in another one both are translated. The key is put in here.
//! Never follows a redirect, never sends a request again once an answer has begun.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use model::ModelApi;
use reqwest::dns::Resolve;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::account::{Account, Billed};
use crate::broker::Serving;
use crate::endpoint::Endpoint;
use crate::limit::{
    ATTEMPTS_MAX, ERROR_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX, Limits, RETRY_AFTER_MAX,
    RETRY_FIRST, TRANSLATED_BYTES_MAX,
};
use crate::own;
use crate::redact::Redactor;
use crate::refusal::{Refusal, whole_json};
use crate::relay::{Body, Broken, Relay};
use crate::route::{Ask, Call};
use crate::talk::hear;
use crate::talk::say::Voice;
use crate::translate::{self, Sides, Told, Translated};
use crate::usage::{Framing, Meter};

/// Bodies from this size on are translated on a thread that may take its time.
const LARGE_BYTES: usize = 512 << 10;

/// Calls model endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: reqwest::Client,
    limits: Limits,
}

impl Upstream {
    pub(crate) fn new(limits: Limits) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client(&limits)?, limits })
    }

    /// One that looks names up in this way.
    pub(crate) fn outward(
        limits: Limits,
        names: impl Resolve + 'static,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { client: builder(&limits).dns_resolver(names).build()?, limits })
    }

    /// The endpoint's answer, in the dialect of the caller.
    pub(crate) async fn answer(
        &self,
        serving: &Arc<Serving>,
        endpoint: &Endpoint,
        ask: Ask,
    ) -> Result<Response<Body>, Refusal> {
        let answered = async {
            if ask.call.api() == endpoint.api {
                self.pass(serving, endpoint, ask).await
            } else {
                self.translate(serving, endpoint, ask).await
            }
        };
        tokio::select! {
            answered = answered => answered,
            () = endpoint.over() => Err(Refusal::Gone { endpoint: endpoint.name.clone() }),
        }
    }

    /// Asks an endpoint for a word, on nobody's behalf but its owner's; what is wrong where there is none.
    pub(crate) async fn word(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let body = own::word(endpoint.api, &endpoint.model).to_string().into();
        let sent = Sent { endpoint, headers: headers(endpoint, &HeaderMap::new()), body };
        let url = url(endpoint, Call::to(endpoint.api, false), false);
        let answer = self.ask(&sent, &url, 0).await?;
        if answer.status().is_redirection() {
            return Err(Refusal::Redirect { endpoint: endpoint.name.clone() });
        }
        if !answer.status().is_success() {
            return Err(self.stated(endpoint, answer).await);
        }
        let status = answer.status().as_u16();
        let body = bounded(answer, ERROR_BYTES_MAX).await;
        let heard = body.is_some_and(|body| hear::whole(endpoint.api, "", &body).is_ok());
        if heard {
            Ok(())
        } else {
            Err(Refusal::Failed { endpoint: endpoint.name.clone(), status })
        }
    }

    /// Passes the request on and the answer back.
    async fn pass(
        &self,
        serving: &Arc<Serving>,
        endpoint: &Endpoint,
        ask: Ask,
    ) -> Result<Response<Body>, Refusal> {
        let body = match endpoint.api {
            // It names the model in the path.
            ModelApi::Gemini => ask.body.bytes.clone(),
            _ => with_model(&ask.body.bytes, &endpoint.model)?,
        };
        let mut account = account(serving, endpoint, &ask).await?;
        let sent = Sent { endpoint, headers: headers(endpoint, &ask.headers), body };
        let url = url(endpoint, ask.call, ask.beta);
        let answer = self.send(&sent, &url, serving, &mut account).await?;
        drop(ask.body);
        if !answer.status().is_success() {
            return self.failure(endpoint, answer).await;
        }
        account.meter = Meter::new(framing(answer.headers()));
        Ok(self.relay(endpoint, answer, account))
    }

    /// Sends a request until the head of its answer is there.
    async fn send(
        &self,
        sent: &Sent<'_>,
        url: &reqwest::Url,
        serving: &Serving,
        account: &mut Account,
    ) -> Result<reqwest::Response, Refusal> {
        let name = || sent.endpoint.name.clone();
        let seconds = self.limits.first_byte.as_secs();
        let deadline = Instant::now() + self.limits.first_byte;
        let patience = serving.caller.dispatch.uuid().as_u128();
        let answer = tokio::time::timeout_at(deadline, self.ask(sent, url, patience));
        let silent = |_| Refusal::Silent { endpoint: name(), seconds };
        let answer = answer.await.map_err(silent)?;
        // An endpoint that fell silent may have worked all the same; one that refused has not.
        if !answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            account.used_nothing();
        }
        let answer = answer?;
        if answer.status().is_redirection() {
            return Err(Refusal::Redirect { endpoint: name() });
        }
        Ok(answer)
    }

    /// Asks in the dialect of the endpoint, and answers in that of the caller.
    async fn translate(
        &self,
        serving: &Arc<Serving>,
        endpoint: &Endpoint,
        ask: Ask,
    ) -> Result<Response<Body>, Refusal> {
        let bytes = ask.body.bytes.clone();
        if let Some(count) = ask.call.count(bytes.len()) {
            return Ok(whole_json(StatusCode::OK, count.to_string().into()));
        }
        let told = Told::default();
        let (call, to) = (ask.call, endpoint.clone());
        let read = move || translate::request(call, &bytes, &to);
        let translated = if ask.body.bytes.len() < LARGE_BYTES {
            read()?
        } else {
            let read = serving.tasks.blocking("translation of a request", read).await;
            read.ok_or_else(|| Refusal::BadRequest("it cannot be translated".to_owned()))??
        };
        let Translated { body, stream, include_usage, names } = translated;
        let mut account = account(serving, endpoint, &ask).await?;
        account.told = Some(told.clone());
        let url = url(endpoint, Call::to(endpoint.api, stream), false);
        let sent = Sent { endpoint, headers: headers(endpoint, &HeaderMap::new()), body };
        let answer = self.send(&sent, &url, serving, &mut account).await?;
        drop(ask.body);
        if !answer.status().is_success() {
            return Err(self.stated(endpoint, answer).await);
        }
        let (id, model) = (serving.answer_id(), endpoint.model.clone());
        let voice = Voice { id, model, include_usage, names, ..Voice::default() };
        let (to, from) = (call.api(), endpoint.api);
        let sides = Sides { to, voice, from, endpoint: endpoint.name.clone(), told };
        self.interpreted(sides, stream, answer, (endpoint, account)).await
    }

    /// The answer as its caller understands it.
    async fn interpreted(
        &self,
        sides: Sides,
        stream: bool,
        answer: reqwest::Response,
        (endpoint, mut account): (&Endpoint, Account),
    ) -> Result<Response<Body>, Refusal> {
        account.meter = Meter::new(if stream { Framing::Events } else { Framing::Json });
        let headers = answer.headers();
        let (framing, mut headers) = (framing(headers), passed_on(endpoint, headers));
        let from = if stream && framing == Framing::Events {
            sides.streamed(answer.bytes_stream().map_err(|_| Broken::Endpoint).boxed())
        } else {
            let body = bounded(answer, TRANSLATED_BYTES_MAX);
            let why = "its answer broke off or is too long";
            let broken = || Refusal::Unreachable { endpoint: endpoint.name.clone(), why };
            let body = tokio::time::timeout(self.limits.idle, body).await;
            let body = sides.whole(&body.ok().flatten().ok_or_else(broken)?, stream)?;
            futures_util::stream::iter([Ok(body)]).boxed()
        };
        let redactor = Redactor::new(endpoint.key.as_ref());
        let from = until_over(from, endpoint);
        let relay = Relay { from, idle: self.limits.idle, redactor, account };
        let mut response = Response::new(relay.into_body());
        let kind = if stream { "text/event-stream" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// An error of an endpoint, for a caller that would not understand it as it is.
    async fn stated(&self, endpoint: &Endpoint, answer: reqwest::Response) -> Refusal {
        let (endpoint_name, status) = (endpoint.name.clone(), answer.status());
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Refusal::Key { endpoint: endpoint_name, status: status.as_u16() };
        }
        let reason = self.error_body(endpoint, answer).await.and_then(|body| hear::reason(&body));
        let status = status.as_u16();
        match reason {
            Some(reason) => Refusal::Stated { endpoint: endpoint_name, status, reason },
            None => Refusal::Failed { endpoint: endpoint_name, status },
        }
    }

    /// Asks until there is an answer that is no passing weakness, a few times at most.
    async fn ask(
        &self,
        sent: &Sent<'_>,
        url: &reqwest::Url,
        patience: u128,
    ) -> Result<reqwest::Response, Refusal> {
        let mut attempt = 1;
        loop {
            let request = self.client.post(url.clone()).headers(sent.headers.clone());
            let tried = request.body(sent.body.clone()).send().await;
            let wait = backoff(attempt, patience);
            let wait = match &tried {
                Ok(answer) if passing(answer.status()) => asked_to_wait(answer.headers(), wait),
                Ok(_) => None,
                Err(error) if error.is_connect() && !NotPublic::is_behind(error) => Some(wait),
                Err(_) => None,
            };
            match wait {
                Some(wait) if attempt < ATTEMPTS_MAX => {
                    drop(tried);
                    tokio::time::sleep(wait).await;
                    attempt += 1;
                }
                _ => return tried.map_err(|error| sent.unreachable(&error)),
            }
        }
    }

    /// An error of the endpoint, passed on if it can be read and holds no key.
    async fn failure(
        &self,
        endpoint: &Endpoint,
        answer: reqwest::Response,
    ) -> Result<Response<Body>, Refusal> {
        let status = answer.status();
        let name = || endpoint.name.clone();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Refusal::Key { endpoint: name(), status: status.as_u16() });
        }
        let headers = passed_on(endpoint, answer.headers());
        let body = self.error_body(endpoint, answer).await;
        match body.filter(|body| serde_json::from_slice::<IgnoredAny>(body).is_ok()) {
            Some(body) => {
                let mut response = whole_json(status, body);
                response.headers_mut().extend(headers);
                Ok(response)
            }
            None => Err(Refusal::Failed { endpoint: name(), status: status.as_u16() }),
        }
    }

    /// The body of an error without the key, if it is short and comes soon.
    async fn error_body(&self, endpoint: &Endpoint, answer: reqwest::Response) -> Option<Bytes> {
        let read = tokio::time::timeout(self.limits.connect, bounded(answer, ERROR_BYTES_MAX));
        let body = read.await.ok().flatten()?;
        let mut redactor = Redactor::new(endpoint.key.as_ref());
        let mut clean = BytesMut::from(redactor.pass(body));
        clean.extend_from_slice(&redactor.rest());
        Some(clean.freeze())
    }

    fn relay(
        &self,
        endpoint: &Endpoint,
        answer: reqwest::Response,
        account: Account,
    ) -> Response<Body> {
        let (status, headers) = (answer.status(), passed_on(endpoint, answer.headers()));
        let relay = Relay {
            from: until_over(answer.bytes_stream().map_err(|_| Broken::Endpoint).boxed(), endpoint),
            idle: self.limits.idle,
            redactor: Redactor::new(endpoint.key.as_ref()),
            account,
        };
        let mut response = Response::new(relay.into_body());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The answer, cut off when its endpoint is removed.
fn until_over(
    from: BoxStream<'static, Result<Bytes, Broken>>,
    endpoint: &Endpoint,
) -> BoxStream<'static, Result<Bytes, Broken>> {
    let Some(over) = endpoint.over.clone() else { return from };
    let cut = over.clone();
    let end = async move { cut.is_cancelled().then_some(Err(Broken::Removed)) };
    let end = futures_util::stream::once(end).filter_map(std::future::ready);
    from.take_until(over.cancelled_owned()).chain(end).boxed()
}

/// None of the addresses that a name stands for may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name stands for no address that may be called")]
pub(crate) struct NotPublic;

impl NotPublic {
    /// The same, for people.
    pub(crate) const WHY: &str =
        "it lies around this server and not outside, which whoever runs the server must allow";

    fn is_behind(error: &reqwest::Error) -> bool {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// What calls everything outside: without redirects, repetition, or a word of the environment.
pub(crate) fn client(limits: &Limits) -> Result<reqwest::Client, reqwest::Error> {
    builder(limits).build()
}

fn builder(limits: &Limits) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy() // the environment configures nothing but `remit::config`
        .referer(false)
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .tcp_nodelay(true)
        .connect_timeout(limits.connect)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
}

/// What is sent to an endpoint.
struct Sent<'a> {
    endpoint: &'a Endpoint,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent<'_> {
    fn unreachable(&self, error: &reqwest::Error) -> Refusal {
        let why = if NotPublic::is_behind(error) {
            NotPublic::WHY
        } else if error.is_connect() && error.is_timeout() {
            "connecting took too long"
        } else if error.is_connect() {
            "the connection was refused, its name was not found, or its certificate is not trusted"
        } else {
            "it closed the connection or did not answer in HTTP"
        };
        Refusal::Unreachable { endpoint: self.endpoint.name.clone(), why }
    }
}

fn url(endpoint: &Endpoint, call: Call, beta: bool) -> reqwest::Url {
    let mut url = endpoint.url(&path(call, &endpoint.model));
    match call {
        Call::StreamGenerate => url.set_query(Some("alt=sse")),
        _ if beta => url.set_query(Some("beta=true")),
        _ => {}
    }
    url
}

/// Where an endpoint takes this call.
fn path(call: Call, model: &str) -> String {
    match call {
        Call::Messages => "/v1/messages".to_owned(),
        Call::CountTokens => "/v1/messages/count_tokens".to_owned(),
        Call::Chat => "/v1/chat/completions".to_owned(),
        Call::Responses => "/v1/responses".to_owned(),
        Call::Generate => format!("/v1beta/models/{model}:generateContent"),
        Call::StreamGenerate => format!("/v1beta/models/{model}:streamGenerateContent"),
        Call::GeminiCount => format!("/v1beta/models/{model}:countTokens"),
    }
}

/// The headers of the request: ours, and of the caller's those that the dialect needs.
fn headers(endpoint: &Endpoint, from_caller: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    // Compressed, an answer could not be watched for what it used.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let key = endpoint.key.as_ref().map_or("", |key| key.expose());
    let (name, value) = match endpoint.api {
        ModelApi::AnthropicMessages => (HeaderName::from_static("x-api-key"), key.to_owned()),
        ModelApi::OpenaiChat | ModelApi::OpenaiResponses => {
            (header::AUTHORIZATION, format!("Bearer {key}"))
        }
        ModelApi::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
    };
    if let (false, Ok(mut value)) = (key.is_empty(), HeaderValue::from_str(&value)) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if endpoint.api == ModelApi::AnthropicMessages {
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version.clone(), HeaderValue::from_static("2023-06-01"));
        for name in [version, HeaderName::from_static("anthropic-beta")] {
            let value = from_caller.get(&name).filter(|v| v.len() <= HEADER_VALUE_BYTES_MAX);
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
    headers
}

/// The headers of an answer that mean something to the caller and nothing about the endpoint's account.
fn passed_on(endpoint: &Endpoint, from: &HeaderMap) -> HeaderMap {
    let known = |name: &str| {
        matches!(
            name,
            "content-type" | "retry-after" | "request-id" | "x-request-id" | "x-should-retry"
        ) || name.starts_with("anthropic-ratelimit-")
            || name.starts_with("x-ratelimit-")
    };
    let key = endpoint.key.as_ref().map_or("", |key| key.expose()).as_bytes();
    let harmless = |value: &HeaderValue| {
        value.len() <= HEADER_VALUE_BYTES_MAX
            && (key.is_empty() || !value.as_bytes().windows(key.len()).any(|part| part == key))
    };
    let passed = from.iter().filter(|(name, value)| known(name.as_str()) && harmless(value));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn framing(headers: &HeaderMap) -> Framing {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"text/event-stream") { Framing::Events } else { Framing::Json }
}

/// Whether an endpoint may do better in a moment.
fn passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504 | 529)
}

/// Doubles with each attempt; dispatches that failed together do not come back together.
fn backoff(attempt: u32, patience: u128) -> Duration {
    let doubled = RETRY_FIRST * 2_u32.pow(attempt.min(8) - 1);
    let spread = u32::try_from((patience >> (attempt % 16)) % 256).unwrap_or(0);
    doubled + doubled * spread / 512
}

/// How long to wait when the answer has an opinion on that; `None`: longer than we want to.
fn asked_to_wait(headers: &HeaderMap, ours: Duration) -> Option<Duration> {
    let Some(value) = headers.get(header::RETRY_AFTER) else { return Some(ours) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    let wait = seconds.map_or(ours, Duration::from_secs).max(ours);
    (wait <= RETRY_AFTER_MAX).then_some(wait)
}

/// What a call is accounted with from its beginning.
async fn account(
    serving: &Arc<Serving>,
    endpoint: &Endpoint,
    ask: &Ask,
) -> Result<Account, Refusal> {
    let billed = Billed {
        endpoint: &endpoint.name,
        model: &endpoint.model,
        price: endpoint.price(),
        max_tokens: endpoint.max_tokens,
    };
    Account::begin(serving, billed, ask).await
}

/// A body if it is short enough.
async fn bounded(answer: reqwest::Response, bytes_max: usize) -> Option<Bytes> {
    let mut body = BytesMut::new();
    let mut from = answer.bytes_stream();
    while let Some(bytes) = from.next().await {
        body.extend_from_slice(&bytes.ok()?);
        if body.len() > bytes_max {
            return None;
        }
    }
    Some(body.freeze())
}

/// The part of a request that we look at.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

/// The body with this model's name in place of the one it has; every other byte stays.
fn with_model(body: &Bytes, model: &str) -> Result<Bytes, Refusal> {
    let bad = |error: serde_json::Error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Refusal::BadRequest(format!("its body is not a JSON object with one `model` ({place})"))
    };
    let head = serde_json::from_slice::<Head<'_>>(body).map_err(bad)?;
    let old = head.model.get();
    let start = old.as_ptr().addr() - body.as_ptr().addr();
    let new = serde_json::Value::from(model).to_string();
    if new == old {
        return Ok(body.clone());
    }
    let mut out = BytesMut::with_capacity(body.len() + new.len());
    out.extend_from_slice(&body[..start]);
    out.extend_from_slice(new.as_bytes());
    out.extend_from_slice(&body[start + old.len()..]);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_of_a_request_changes() {
        for (body, sent) in [
            (r#"{"model":"a","x":"model"}"#, r#"{"model":"m \"1\"","x":"model"}"#),
            (
                r#"{ "x" : {"model":1}, "model" : null }"#,
                r#"{ "x" : {"model":1}, "model" : "m \"1\"" }"#,
            ),
            (r#"{"mod\u0065l":["b"]}"#, r#"{"mod\u0065l":"m \"1\""}"#),
        ] {
            let changed = with_model(&Bytes::from(body), "m \"1\"");
            assert_eq!(changed, Ok(Bytes::from(sent)));
        }
    }

    #[test]
    fn a_request_without_one_model_is_refused() {
        let deep = format!("{{\"model\":1,\"x\":{}", "[".repeat(100_000));
        for body in ["", "[]", "{}", r#"{"model":1,"model":2}"#, "{\"model\":\"a\"", "\u{0}", &deep]
        {
            let refused = with_model(&Bytes::from(body.to_owned()), "m");
            assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{body:.40}");
        }
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        for patience in [0, u128::MAX, 0x1234_5678] {
            let waits = [1, 2, 3].map(|attempt| backoff(attempt, patience));
            assert!(waits.is_sorted() && waits[2] <= Duration::from_millis(1500), "{waits:?}");
        }
    }
}
