//! The gate as a sandbox sees it: real sockets in front, real sockets behind. Never leaves the loopback.
#![expect(clippy::panic, reason = "a test that cannot go on says why")]

mod support;

mod budgets;
mod demo;
mod doors;
mod failing;
mod passing;
mod tools;
mod translating;
mod usage;
