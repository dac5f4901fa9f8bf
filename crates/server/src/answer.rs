//! Answers whose status is a part of their type, so that the description of the API knows it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::openapi::{Answer, Operation};

/// 201: it was made.
#[derive(Debug)]
pub(crate) struct Created<T>(pub(crate) T);

/// 202: it was accepted and goes on by itself.
#[derive(Debug)]
pub(crate) struct Accepted<T>(pub(crate) T);

/// 204: it was done, and there is nothing to say.
#[derive(Debug)]
pub(crate) struct NoContent;

/// 201 where it was made, 200 where it was there already.
#[derive(Debug)]
pub(crate) enum Made<T> {
    /// It was made.
    Now(T),
    /// It was there already.
    Before(T),
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl<T: Serialize> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Now(it) => Created(it).into_response(),
            Self::Before(it) => Json(it).into_response(),
        }
    }
}

fn told<T: JsonSchema>(to: &mut Operation<'_>, status: u16) {
    let schema = to.schemas.told::<T>();
    to.answers(status, "application/json", &schema);
}

impl<T: JsonSchema> Answer for Json<T> {
    fn tell(to: &mut Operation<'_>) {
        told::<T>(to, 200);
    }
}

impl<T: JsonSchema> Answer for Created<T> {
    fn tell(to: &mut Operation<'_>) {
        told::<T>(to, 201);
    }
}

impl<T: JsonSchema> Answer for Accepted<T> {
    fn tell(to: &mut Operation<'_>) {
        told::<T>(to, 202);
    }
}

impl Answer for NoContent {
    fn tell(to: &mut Operation<'_>) {
        to.answers_bare(204);
    }
}

impl<T: JsonSchema> Answer for Made<T> {
    fn tell(to: &mut Operation<'_>) {
        told::<T>(to, 200);
        told::<T>(to, 201);
    }
}
