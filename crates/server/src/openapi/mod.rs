//! What the server can be asked, as OpenAPI 3.1: made from the table of routes and from the types that
//! their handlers take and give, so that it cannot say anything else than the code does.

mod operation;
mod schemas;

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::UserId;
use serde_json::{Map, Value, json};
use trust::{Principal, Scope, authorize};

use crate::problem::Details;
use crate::routes::{Asks, ROUTES, Route};

pub(crate) use operation::{Answer, Operation, Part, tell};
use schemas::Schemas;

/// What the description is about, in a paragraph.
const ABOUT: &str = "\
    Self-hosted control plane for untrusted agents. A key goes into `X-API-Key` or `Authorization: \
    Bearer`; a browser that is logged in sends its cookie instead. `x-scopes` of an operation are the \
    scopes of a key any of which suffices for what is one's own. An error is `{detail}`, or has a stable \
    `code` where `application/problem+json` is asked for.";

/// The description of every route there is.
pub fn document() -> Value {
    let (document, _) = made();
    document
}

/// The description, and the names of types that are read in another form than they are written.
fn made() -> (Value, Vec<String>) {
    let mut schemas = Schemas::default();
    let problem = schemas.told::<Details>();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = described(route, &mut schemas);
        let methods = paths.entry(path(route)).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    let (schemas, two_forms) = schemas.components();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Remit",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": {
                "description": "It was not done; `detail` says why and what to do next.",
                "content": {
                    "application/json": {"schema": {
                        "type": "object",
                        "properties": {"detail": {"type": "string"}},
                        "required": ["detail"],
                    }},
                    "application/problem+json": {"schema": problem},
                },
            }},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-remit",
                    "description": "Over plain HTTP it is called `remit-<port>`.",
                },
            },
        },
    });
    (document, two_forms)
}

/// The same as text, as it is served and kept in `docs/openapi.json`.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string_pretty(&document()).unwrap_or_default() + "\n");
    &TEXT
}

/// `GET /openapi.json`.
pub(crate) async fn show() -> Shown {
    Shown(text())
}

/// The description, about which it says no more than that it is an object.
pub(crate) struct Shown(&'static str);

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.0).into_response()
    }
}

impl Answer for Shown {
    fn tell(to: &mut Operation<'_>) {
        to.answers(200, "application/json", &json!({"type": "object"}));
    }
}

fn described(route: &Route, schemas: &mut Schemas) -> Value {
    let mut operation = Operation::new(schemas);
    for name in varying(route) {
        operation.parameter("path", name, true, &json!({"type": "string"}));
    }
    (route.tells)(&mut operation);
    if route.asks != Asks::Open {
        operation.may_fail();
    }
    let mut shown = operation.into_value();
    let (module, _) = route.handler.split_once("::").unwrap_or((route.handler, ""));
    shown["summary"] = route.about.trim().into();
    shown["tags"] = json!([module]);
    // The one page stands behind many addresses.
    if module != "pages" {
        shown["operationId"] = route.handler.replace("::", "_").into();
    }
    shown["security"] = match route.asks {
        Asks::Open => json!([]),
        _ => json!([{"key": []}, {"bearer": []}, {"cookie": []}]),
    };
    if route.asks != Asks::Open {
        shown["x-scopes"] = json!(scopes(route.asks));
    }
    shown
}

/// The scopes each of which suffices for what is one's own, as the one table of permissions says.
fn scopes(asks: Asks) -> Vec<Scope> {
    let someone: UserId = format!("usr_{:026}", 0).parse().expect("all zeros are an id");
    let suffices = |scope: &Scope| {
        let principal = Principal::person(someone, [*scope]);
        asks.of(someone).is_none_or(|action| authorize(&principal, &action).allowed().is_ok())
    };
    [Scope::Read, Scope::Agent, Scope::Admin].into_iter().filter(suffices).collect()
}

/// The path as OpenAPI writes it, which has no word for a rest.
fn path(route: &Route) -> String {
    route.path.replace("{*", "{")
}

/// The names of the parts of the path that vary.
fn varying(route: &Route) -> impl Iterator<Item = &str> {
    let parts = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    parts.map(|name| name.trim_start_matches('*'))
}

#[cfg(test)]
mod tests;
