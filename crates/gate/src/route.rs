//! What a caller may ask of the gate. Knows the caller from its door; reads of its headers only the
//! few that the dialect of the request needs.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use model::ModelApi;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::broker::{Answers, Serving};
use crate::demo;
use crate::intake::{self, Taken};
use crate::mcp;
use crate::refusal::{Refusal, whole_json};
use crate::relay::Body;
use crate::talk::Wanted;

/// A way of asking a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Messages,
    CountTokens,
    Chat,
    Responses,
    Generate,
    StreamGenerate,
    GeminiCount,
}

impl Call {
    pub(crate) fn api(self) -> ModelApi {
        match self {
            Self::Messages | Self::CountTokens => ModelApi::AnthropicMessages,
            Self::Chat => ModelApi::OpenaiChat,
            Self::Responses => ModelApi::OpenaiResponses,
            Self::Generate | Self::StreamGenerate | Self::GeminiCount => ModelApi::Gemini,
        }
    }

    /// The call of this dialect that asks a model.
    pub(crate) fn to(api: ModelApi, stream: bool) -> Self {
        match (api, stream) {
            (ModelApi::AnthropicMessages, _) => Self::Messages,
            (ModelApi::OpenaiChat, _) => Self::Chat,
            (ModelApi::OpenaiResponses, _) => Self::Responses,
            (ModelApi::Gemini, false) => Self::Generate,
            (ModelApi::Gemini, true) => Self::StreamGenerate,
        }
    }

    /// The tokens of a request of so many bytes, by rule of thumb, where they are asked for.
    pub(crate) fn count(self, bytes: usize) -> Option<Value> {
        let tokens = demo::tokens(bytes);
        match self {
            Self::CountTokens => Some(json!({ "input_tokens": tokens })),
            Self::GeminiCount => Some(json!({ "totalTokens": tokens })),
            _ => None,
        }
    }

    /// Whether only the tokens of a request are counted, and no model answers.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::CountTokens | Self::GeminiCount)
    }

    /// How the answer is wanted, as far as the path says it.
    pub(crate) fn wanted(self) -> Wanted {
        match self {
            Self::StreamGenerate => Wanted::Streamed,
            Self::Generate | Self::GeminiCount => Wanted::Whole,
            _ => Wanted::AsTheBodySays,
        }
    }

    /// The call of Gemini that the last part of a path asks for, behind the name of a model.
    fn of_gemini(method: &str) -> Option<Self> {
        match method {
            "generateContent" => Some(Self::Generate),
            "streamGenerateContent" => Some(Self::StreamGenerate),
            "countTokens" => Some(Self::GeminiCount),
            _ => None,
        }
    }
}

/// What a path is for.
enum Route<'a> {
    Health,
    Models,
    Call(Call),
    /// The server of tools of this name is asked.
    Tools(&'a str),
}

/// A model is asked for an answer.
pub(crate) struct Ask {
    pub(crate) call: Call,
    /// Whether the path ended with `?beta=true`.
    pub(crate) beta: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Taken,
}

/// Answers one request; every refusal in the dialect that was asked, or else that of the runner.
pub(crate) async fn answer(
    serving: Arc<Serving>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let uri = request.uri().clone();
    let route = route(request.method(), uri.path());
    let api = match &route {
        Ok(Route::Call(call)) => call.api(),
        Ok(Route::Health | Route::Models | Route::Tools(_)) | Err(_) => serving.caller.model_api,
    };
    let answered = match route {
        Ok(Route::Health) => {
            Ok(whole_json(StatusCode::OK, json!({"status": "ok"}).to_string().into()))
        }
        Ok(Route::Models) => Ok(models(&serving)),
        Ok(Route::Call(call)) => ask(&serving, call, request).await,
        Ok(Route::Tools(name)) => mcp::answer(&serving, name, request).await,
        Err(refusal) => Err(refusal),
    };
    let refusal = match answered {
        Ok(response) => return Ok(response),
        Err(refusal) => refusal,
    };
    if let Refusal::Budget(used_up) = &refusal {
        serving.exhaust(used_up).await;
    } else if refusal.concerns_people() {
        serving.tell(&refusal.to_string()).await;
    }
    let mut response = refusal.answer(api);
    match &refusal {
        Refusal::Method { allowed } => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        Refusal::TooLarge { .. } | Refusal::TooSlow { .. } | Refusal::Crowded => {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    Ok(response)
}

fn route<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, Refusal> {
    let (route, allowed) = match path {
        "/health" => (Route::Health, "GET"),
        "/v1/models" | "/v1beta/models" => (Route::Models, "GET"),
        "/v1/messages" => (Route::Call(Call::Messages), "POST"),
        "/v1/messages/count_tokens" => (Route::Call(Call::CountTokens), "POST"),
        "/v1/chat/completions" => (Route::Call(Call::Chat), "POST"),
        "/v1/responses" => (Route::Call(Call::Responses), "POST"),
        _ if path.starts_with("/mcp/") => (Route::Tools(&path["/mcp/".len()..]), "POST"),
        _ => {
            let named = path.strip_prefix("/v1beta/models/").and_then(|rest| rest.rsplit_once(':'));
            let call = named.and_then(|(_, method)| Call::of_gemini(method));
            (Route::Call(call.ok_or(Refusal::NotFound)?), "POST")
        }
    };
    let fits = method.as_str() == allowed || (allowed == "GET" && method == Method::HEAD);
    if fits { Ok(route) } else { Err(Refusal::Method { allowed }) }
}

async fn ask(
    serving: &Arc<Serving>,
    call: Call,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    if call == Call::StreamGenerate && head.uri.query().is_none_or(|query| !asks_for_events(query))
    {
        return Err(Refusal::BadRequest("stream with ?alt=sse: nothing else is served".to_owned()));
    }
    let body = intake::take(body, &serving.room, &serving.limits).await?;
    let asked = serving.has_choice().then(|| asked(head.uri.path(), &body.bytes)).flatten();
    let answers = serving.answers(call.api(), asked.as_deref()).await?;
    let beta = head.uri.query() == Some("beta=true");
    let ask = Ask { call, beta, headers: head.headers, body };
    match answers {
        Answers::Demo => demo::answer(serving, ask).await,
        Answers::DemoIn(speaks) => demo::translated(serving, ask, speaks).await,
        Answers::Usual(upstream, endpoint) => upstream.answer(serving, endpoint, ask).await,
        Answers::Named(upstream, endpoint) => upstream.answer(serving, &endpoint, ask).await,
    }
}

/// The model that a request names: Gemini's in the path, all others' in the body.
fn asked(path: &str, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        model: Option<String>,
    }
    if let Some(named) = path.strip_prefix("/v1beta/models/") {
        let (model, _) = named.rsplit_once(':')?;
        return Some(model.replace("%2F", "/"));
    }
    serde_json::from_slice::<Head>(body).ok()?.model
}

fn asks_for_events(query: &str) -> bool {
    query.split('&').any(|pair| pair == "alt=sse")
}

/// The one model that this caller reaches.
fn models(serving: &Serving) -> Response<Body> {
    let api = serving.caller.model_api;
    let model = serving.model();
    let shown = if model == demo::MODEL { demo::TITLE } else { model };
    let list = match api {
        ModelApi::AnthropicMessages => json!({
            "data": [{
                "type": "model",
                "id": model,
                "display_name": shown,
                "created_at": "2026-01-01T00:00:00Z",
            }],
            "has_more": false,
            "first_id": model,
            "last_id": model,
        }),
        ModelApi::Gemini => json!({
            "models": [{
                "name": format!("models/{model}"),
                "displayName": shown,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }],
        }),
        ModelApi::OpenaiChat | ModelApi::OpenaiResponses => json!({
            "object": "list",
            "data": [{ "id": model, "object": "model", "created": 0, "owned_by": "gate", "name": shown }],
        }),
    };
    whole_json(StatusCode::OK, list.to_string().into())
}
