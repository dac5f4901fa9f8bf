//! The gate as a sandbox sees it: real sockets in front, real sockets behind. Never leaves the loopback.

mod support;

mod budgets;
mod demo;
mod doors;
mod failing;
mod passing;
mod translating;
mod usage;
