//! A limit on everything: what one dispatch may use, and what we read from anyone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest line of an agent's output that is read as one; the rest of it is dropped and said so.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// The largest body of one stored event, in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 256 << 10;
/// The longest prompt of one turn.
pub const PROMPT_BYTES_MAX: usize = 1 << 20;
/// The most workspaces of one dispatch.
pub const MOUNTS_MAX: usize = 16;
/// The most tools, or servers of tools, that one dispatch names.
pub const TOOLS_MAX: usize = 64;
/// The most events one dispatch may write; then it is ended.
pub const EVENTS_MAX: u64 = 1_000_000;

/// What one dispatch may use. Each is enforced by the kernel or by the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of the whole box, its scratch files included. 16 MiB to 1 TiB.
    pub memory_bytes_max: u64,
    /// Processes and threads at once. 4 to 32,768.
    pub pids_max: u32,
    /// Thousandths of a processor. 10 to 1,024,000.
    pub cpu_milli_max: u32,
    /// Bytes of all it writes (workspace changes, session, temporary files). 1 MiB to 1 TiB.
    pub scratch_bytes_max: u64,
    /// Files and folders it may create. 100 to 10,000,000.
    pub scratch_inodes_max: u64,
    /// Output of the agent in one turn, in bytes; beyond it the turn is ended. 1 MiB to 1 TiB.
    pub output_bytes_max: u64,
    /// How long an idle box is kept. 0 s to 24 h.
    #[serde(with = "seconds")]
    pub idle: Duration,
    /// How long one turn may take. 1 s to 24 h.
    #[serde(with = "seconds")]
    pub turn: Duration,
    /// How long the box may live at all. 1 s to 7 days.
    #[serde(with = "seconds")]
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2 << 30,
            pids_max: 512,
            cpu_milli_max: 2_000,
            scratch_bytes_max: 1 << 30,
            scratch_inodes_max: 200_000,
            output_bytes_max: 64 << 20,
            idle: Duration::from_mins(5),
            turn: Duration::from_mins(30),
            lifetime: Duration::from_hours(6),
        }
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        value.as_secs_f64().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}
