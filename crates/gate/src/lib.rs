//! Everything a sandbox can reach. Assumes its caller is hostile.
//!
//! A caller is known by the door it came through and by nothing it says: its keys, hosts and headers
//! are dropped. It never learns the key of a model endpoint, and no prompt, answer or key is logged.

pub mod limit;

pub mod broker;
mod door;
mod intake;
mod route;

pub mod endpoint;
mod own;
mod price;
mod refusal;
pub mod secret;
mod upstream;

mod talk;
mod translate;

pub mod mcp;

mod account;
pub mod budget;
mod redact;
mod relay;
mod tape;
mod usage;

mod demo;

pub use broker::{Broker, Setup};
pub use budget::DayBudgets;
pub use demo::MODEL as DEMO_MODEL;
pub use endpoint::{BadEndpoint, Endpoint, EndpointParts};
pub use limit::Limits;
pub use mcp::{BadServer, Server, ServerParts};
pub use secret::Secret;
