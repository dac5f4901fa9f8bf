//! One operation as its handler's types tell it: what it takes, and what it gives.

use std::collections::BTreeMap;
use std::future::Future;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::problem::Problem;

/// What is known of one operation.
pub(crate) struct Operation<'a> {
    /// Names the types that are told.
    pub(crate) schemas: &'a mut Schemas,
    parameters: Vec<Value>,
    request: Option<Value>,
    answers: BTreeMap<u16, Map<String, Value>>,
    may_fail: bool,
}

impl<'a> Operation<'a> {
    pub(super) fn new(schemas: &'a mut Schemas) -> Self {
        Self {
            schemas,
            parameters: vec![],
            request: None,
            answers: BTreeMap::new(),
            may_fail: false,
        }
    }

    /// It takes a parameter that stands `place`: in the `path`, the `query` or a `header`.
    pub(crate) fn parameter(&mut self, place: &str, name: &str, required: bool, schema: &Value) {
        let mut schema = schema.clone();
        let mut parameter = json!({"in": place, "name": name, "required": required});
        if let Some(about) = schema.as_object_mut().and_then(|it| it.remove("description")) {
            parameter["description"] = about;
        }
        parameter["schema"] = schema;
        self.parameters.push(parameter);
    }

    /// It takes a body.
    pub(crate) fn takes(&mut self, content_type: &str, required: bool, schema: &Value) {
        self.request =
            Some(json!({"required": required, "content": {content_type: {"schema": schema}}}));
    }

    /// It may answer with this status and a body.
    pub(crate) fn answers(&mut self, status: u16, content_type: &str, schema: &Value) {
        let content = self.answers.entry(status).or_default();
        content.insert(content_type.to_owned(), json!({"schema": schema}));
    }

    /// It may answer with this status and nothing else.
    pub(crate) fn answers_bare(&mut self, status: u16) {
        self.answers.entry(status).or_default();
    }

    /// It may refuse, and say why.
    pub(super) fn may_fail(&mut self) {
        self.may_fail = true;
    }

    pub(super) fn into_value(self) -> Value {
        let answer = |(status, content): (u16, Map<String, Value>)| {
            let words = StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason());
            let mut answer = json!({"description": words.unwrap_or_default()});
            if !content.is_empty() {
                answer["content"] = content.into();
            }
            (status.to_string(), answer)
        };
        let mut answers: Map<_, _> = self.answers.into_iter().map(answer).collect();
        if self.may_fail {
            let problem = json!({"$ref": "#/components/responses/Problem"});
            answers.insert("default".to_owned(), problem);
        }
        let mut shown = json!({"parameters": self.parameters, "responses": answers});
        if let Some(request) = self.request {
            shown["requestBody"] = request;
        }
        shown
    }
}

/// Tells what `handler` takes and gives.
pub(crate) fn tell<H: Handler<P>, P>(_handler: H, to: &mut Operation<'_>) {
    H::tell(to);
}

/// A handler whose parts and answer tell what they are.
pub(crate) trait Handler<P> {
    /// Tells what it takes and gives.
    fn tell(to: &mut Operation<'_>);
}

/// One argument of a handler.
pub(crate) trait Part {
    /// Tells what the caller has to send for it; nothing where it comes from elsewhere.
    fn tell(_to: &mut Operation<'_>) {}
}

/// What a handler gives.
pub(crate) trait Answer {
    /// Tells what the caller gets.
    fn tell(to: &mut Operation<'_>);
}

macro_rules! handlers {
    ($(($($part:ident)*))*) => {$(
        impl<H, F, A, $($part),*> Handler<($($part,)*)> for H
        where
            H: Fn($($part),*) -> F,
            F: Future<Output = A>,
            A: Answer,
            $($part: Part),*
        {
            fn tell(to: &mut Operation<'_>) {
                $($part::tell(to);)*
                A::tell(to);
            }
        }
    )*};
}

handlers! {
    () (P1) (P1 P2) (P1 P2 P3) (P1 P2 P3 P4) (P1 P2 P3 P4 P5) (P1 P2 P3 P4 P5 P6)
    (P1 P2 P3 P4 P5 P6 P7)
}

impl<T> Part for State<T> {}
impl<T> Part for Extension<T> {}
/// The path is told by the table of routes.
impl<T> Part for Path<T> {}
impl Part for Uri {}
impl Part for HeaderMap {}
impl Part for Body {}

impl<A: Answer> Answer for Result<A, Problem> {
    fn tell(to: &mut Operation<'_>) {
        A::tell(to);
        to.may_fail();
    }
}

/// Bytes of some kind: a page, or what git speaks.
impl Answer for Response {
    fn tell(to: &mut Operation<'_>) {
        to.answers(200, "*/*", &json!({}));
    }
}
