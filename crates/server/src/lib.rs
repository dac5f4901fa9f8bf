//! What people reach: the HTTP API and its streams.
//!
//! Decides nothing: every permission is one call of [`trust::authorize()`], every verb one call of the
//! engine. Every route stands in [`ROUTES`]; errors become words in [`problem`] alone.

pub mod openapi;
pub mod problem;
pub mod routes;

mod access;
mod admin;
mod answer;
mod api;
mod asks;
mod body;
mod catalog;
mod chat;
mod dispatches;
mod endpoints;
mod events;
mod follow;
mod frames;
mod git;
mod hosts;
mod invocations;
mod keys;
mod login;
mod pages;
mod permissions;
mod proposals;
mod recording;
mod security;
mod serve;
mod sessions;
mod sse;
mod usage;
mod views;
mod workspace;

pub use access::key_hash;
pub use admin::{CONCURRENT, HOME, KEY_PREFIX, new_key};
pub use api::{BasePath, Defaults, Parts};
pub use hosts::Hosts;
pub use login::{LINK_LASTS, Links};
pub use routes::{Asks, Method, ROUTES, Route, router};
pub use serve::{CONNECTIONS_MAX, serve};
pub use views::{RunnerView, runner as runner_view};
