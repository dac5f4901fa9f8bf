//! The seams: what the engine asks of the machine it runs on. What keeps or runs something has a conformance suite.

pub mod backend;
pub mod clock;
pub mod directory;
pub mod endpoints;
pub mod gate;
pub mod ledger;
pub mod membership;
pub mod proposals;
pub mod recordings;
pub mod remotes;
pub mod usage;

pub use backend::{
    AdoptError, Backend, BoxDelta, BoxMount, Door, Exit, Fingerprint, Launch, Running, StartError,
    Stats, Wall,
};
pub use clock::{Clock, IdSource};
pub use directory::{Directory, Key, KeyHash, Login, Person, Removal, Scope, Workspace};
pub use endpoints::{ModelPrice, OwnEndpoint, OwnEndpoints};
pub use gate::{Caller, Gate, Offered, OpenGate, Report, ToolServer, Tried};
pub use ledger::{
    Accepted, Append, DispatchQuery, Durability, Idempotency, Ledger, LedgerError, NewDispatch,
    NewTurn, Page, Record,
};
pub use membership::{Departure, Followed, Invite, Member, MemberChange, Membership, Memberships};
pub use proposals::{ProposalQuery, ProposalRecord, ProposalState, Proposals};
pub use recordings::{Exchange, RECORDING_BYTES_MAX, Recordings};
pub use remotes::Remotes;
pub use usage::{
    Charge, Charged, ModelCall, Tokens, Usage, UsageBook, UsageBy, UsageQuery, UsageRow,
};
