//! The nouns of Remit and their wire form.
//!
//! Plain data: no IO, no clock, no async, no crypto. Nothing here can fail except construction.

pub mod id;
pub mod time;

pub mod budget;
pub mod diff;
pub mod dispatch;
pub mod event;
pub mod invocation;
pub mod label;
pub mod limit;
pub mod member;
pub mod proposal;
pub mod runner;
pub mod session;
pub mod tool;
pub mod worker_wire;

pub use budget::Budget;
pub use diff::FileDiff;
pub use dispatch::{
    Dispatch, End, FailureCode, Happened, Impossible, InputTrust, Launcher, Mode, Mount,
    Permission, Start, State, Trigger,
};
pub use event::{Entry, Event, EventId, ToolKind, ToolStatus, TurnOutcome};
pub use id::{
    CommitId, DispatchId, EndpointName, InviteId, KeyId, ProposalId, SandboxId, SecretId,
    SessionId, TurnId, UserId, WorkspaceId, WorkspaceName,
};
pub use label::Label;
pub use limit::Limits;
pub use member::Role;
pub use proposal::{Intent, Proposal, Standing};
pub use runner::{
    BadRunner, Install, LineRule, McpForm, ModelApi, Permissions, Program, Protocol, Runner,
    RunnerName, Tell,
};
pub use session::{Session, Turn};
pub use time::Time;
pub use tool::{ServerName, ToolEffect, ToolRef};
