//! The program beside the agent: PID 1 of a box.
//!
//! It reaps every process, starts the agent when the server says so, carries the agent's standard
//! streams to the server's socket, keeps what the server has not yet made durable, reconnects when the
//! server comes back, and ends the box when it does not. It holds no secret and believes nothing; it
//! never opens a network connection of its own and never writes a file.
//!
//! Two threads: the main one waits in `poll` for everything; the other waits for children, because an
//! orphan that is handed to PID 1 announces itself in no other way that safe code can wait for.

mod agent;
mod children;
mod forward;
mod link;
mod options;
mod pump;
mod spool;

pub use options::{BadArgument, Forward, Options};
pub use pump::{Over, run};
