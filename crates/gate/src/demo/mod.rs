//! The demo model: scripted, not AI, and it says so. It obeys a small grammar with the tools it is
//! offered, so that real agents can be tried without a key and without a network.
//!
//! It knows nothing but the conversation it is sent, and answers the same to the same.

mod grammar;

mod conversation;
mod wire;

mod act;
mod side;
mod tools;

mod speak;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use model::ModelApi;

use self::act::Answer;
use self::conversation::Conversation;
use crate::account::{Account, Billed};
use crate::broker::Serving;
use crate::endpoint::Endpoint;
use crate::redact::Redactor;
use crate::refusal::{Refusal, whole_json};
use crate::relay::{Body, Relay};
use crate::route::{Ask, Call};
use crate::talk;
use crate::talk::form::Names;
use crate::talk::say::Voice;
use crate::translate::{self, Sides, Told, Translated};
use crate::usage::{Framing, Meter, Used};

/// The name of the demo model.
pub const MODEL: &str = "remit-demo";
/// What it is accounted under, where endpoints have names.
pub(crate) const ENDPOINT: &str = "demo";
/// How it is shown to people.
pub(crate) const TITLE: &str = "demo model (scripted, not AI)";
/// Bodies from this size on are read on a thread that may take its time.
const LARGE_BYTES: usize = 512 << 10;

/// The demo model's answer.
pub(crate) async fn answer(serving: &Arc<Serving>, ask: Ask) -> Result<Response<Body>, Refusal> {
    let (call, bytes) = (ask.call, ask.body.bytes.clone());
    let size = bytes.len();
    let input = tokens(size);
    let Thought { conversation, names, answer } = if bytes.len() < LARGE_BYTES {
        think(call, &bytes)?
    } else {
        let thought = serving.tasks.blocking("demo model", move || think(call, &bytes)).await;
        let broken = || Refusal::BadRequest("the demo model cannot read it".to_owned());
        thought.ok_or_else(broken)??
    };
    if let Some(count) = call.count(size) {
        return Ok(whole_json(StatusCode::OK, count.to_string().into()));
    }
    let billed = Billed { endpoint: ENDPOINT, model: MODEL, price: None, max_tokens: None };
    let mut account = Account::begin(serving, billed, &ask).await?;
    drop(ask.body);
    let used = Used { input, cached: 0, output: answer.tokens() };
    account.promised = Some(used);
    if conversation.stream {
        account.meter = Meter::new(Framing::Events);
    }
    let said = speak::Said { api: call.api(), conversation, names, answer, used };
    Ok(respond(said, account))
}

/// What the demo model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Whatever it is asked in.
    Any,
    /// This dialect alone.
    Only(ModelApi),
}

/// The demo model that the name of a model means, if it means one.
pub(crate) fn named(model: &str) -> Option<Speaks> {
    Some(match model.strip_prefix(MODEL)? {
        "" => Speaks::Any,
        "-as-anthropic" => Speaks::Only(ModelApi::AnthropicMessages),
        "-as-openai" => Speaks::Only(ModelApi::OpenaiChat),
        "-as-responses" => Speaks::Only(ModelApi::OpenaiResponses),
        "-as-gemini" => Speaks::Only(ModelApi::Gemini),
        _ => return None,
    })
}

/// The demo model's answer as that of an endpoint which speaks another dialect than the caller: both
/// ways are translated, as they are for any endpoint.
pub(crate) async fn translated(
    serving: &Arc<Serving>,
    ask: Ask,
    speaks: ModelApi,
) -> Result<Response<Body>, Refusal> {
    let (call, bytes) = (ask.call, ask.body.bytes.clone());
    if let Some(count) = call.count(bytes.len()) {
        return Ok(whole_json(StatusCode::OK, count.to_string().into()));
    }
    let billed = Billed { endpoint: ENDPOINT, model: MODEL, price: None, max_tokens: None };
    let mut account = Account::begin(serving, billed, &ask).await?;
    let work = move || {
        let sent = translate::request(call, &bytes, &Endpoint::demo(speaks, MODEL))?;
        let thought = think(Call::to(speaks, sent.stream), &sent.body)?;
        Ok::<_, Refusal>((sent, thought))
    };
    let done = serving.tasks.blocking("demo model", work).await;
    let broken = || Refusal::BadRequest("the demo model cannot read it".to_owned());
    let (sent, Thought { conversation, names, answer }) = done.ok_or_else(broken)??;
    let used = Used { input: tokens(sent.body.len()), cached: 0, output: answer.tokens() };
    account.promised = Some(used);
    if sent.stream {
        account.meter = Meter::new(Framing::Events);
    }
    drop(ask.body);
    let said = speak::Said { api: speaks, conversation, names, answer, used };
    let (id, model) = (serving.answer_id(), MODEL.to_owned());
    let Translated { stream, include_usage, names, .. } = sent;
    let voice = Voice { id, model, include_usage, names, ..Voice::default() };
    let (endpoint, told) = (ENDPOINT.to_owned(), Told::default());
    let sides = Sides { to: call.api(), voice, from: speaks, endpoint, told };
    let from = speak::speak(said);
    let from = if stream {
        sides.streamed(from.map(Ok).boxed())
    } else {
        let whole: Vec<Bytes> = from.collect().await;
        let body = sides.whole(&whole.concat(), false)?;
        futures_util::stream::iter([Ok(body)]).boxed()
    };
    let idle = grammar::SLEEP_MAX * 2;
    let relay = Relay { from, idle, redactor: Redactor::new(None), account };
    let mut response = Response::new(relay.into_body());
    let kind = if stream { "text/event-stream" } else { "application/json" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn think(call: Call, body: &Bytes) -> Result<Thought, Refusal> {
    let request = talk::read(call.api(), call.wanted(), body).map_err(Refusal::BadRequest)?;
    let (conversation, names) = wire::read(request);
    let answer = act::answer(&conversation);
    Ok(Thought { conversation, names, answer })
}

/// What the demo model made of a request.
struct Thought {
    conversation: Conversation,
    names: Names,
    answer: Answer,
}

fn respond(said: speak::Said, account: Account) -> Response<Body> {
    let kind = if said.conversation.stream { "text/event-stream" } else { "application/json" };
    let idle = grammar::SLEEP_MAX * 2;
    let from = speak::speak(said).map(Ok).boxed();
    let relay =
        Relay { from: from.into_stream().boxed(), idle, redactor: Redactor::new(None), account };
    let mut response = Response::new(relay.into_body());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// About how many tokens so many bytes of text are. The demo model has none; meters want a number.
pub(crate) fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}
