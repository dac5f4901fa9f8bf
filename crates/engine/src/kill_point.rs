//! Named places at which a test may kill the server, as kill -9 would. Compiled to nothing without
//! the feature `kill-points`, which only tests switch on.

/// Every kill point but those of proposals and pushes, in about the order in which a dispatch passes them.
pub const KILL_POINTS: &[&str] = &[
    "before_create",
    "after_create",
    "before_add_turn",
    "after_add_turn",
    "after_open",
    "after_placed",
    "after_checkout",
    "in_session_restore",
    "after_box_start",
    "after_box_recorded",
    "after_gate_open",
    "after_line_accept",
    "after_agent_start",
    "before_turn_started",
    "after_turn_started",
    "after_prompt_sent",
    "before_append",
    "after_append",
    "after_input_sent",
    "after_turn_outcome",
    "after_freeze",
    "before_commit",
    "after_commit",
    "after_commits",
    "after_session_saved",
    "after_thaw",
    "before_turn_ended",
    "after_turn_ended",
    "before_reap",
    "after_gate_close",
    "after_box_kill",
    "after_destroy",
    "before_ended",
    "after_ended",
    "recovery_after_read",
    "recovery_after_adopt",
    "recovery_after_sweep",
    "recovery_before_end",
    "ledger_in_batch",
    "ledger_before_commit",
    "ledger_after_commit",
    "ledger_answering",
];

/// Every kill point that a proposal passes, from its being held to its being decided.
pub const PROPOSAL_KILL_POINTS: &[&str] = &[
    "before_proposal",
    "after_proposal",
    "before_intent",
    "after_intent",
    "after_landing",
    "after_decision",
];

/// Every kill point between the holding of a push and the answer to it.
pub const PUSH_KILL_POINTS: &[&str] = &["before_proposal_by_hand", "after_proposal_by_hand"];

/// Kills this process if the test chose this point.
#[cfg(not(feature = "kill-points"))]
#[inline]
pub fn kill_point(_name: &'static str) {}

/// Chooses where this process dies, as `REMIT_KILL_POINT=name` or `name:nth` in its environment says.
/// Knows no such variable without the feature.
#[cfg(not(feature = "kill-points"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "the same as with the feature, for the same callers")]
pub fn arm_as_asked(
    _variables: &std::collections::BTreeMap<String, String>,
) -> Result<(), std::convert::Infallible> {
    Ok(())
}

#[cfg(feature = "kill-points")]
pub use armed::{UnknownKillPoint, arm, arm_as_asked, kill_point};

#[cfg(feature = "kill-points")]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<(String, AtomicU64)> = OnceLock::new();

    /// There is no such kill point, or another one was chosen before.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("there is no kill point `{0}`, or another one was chosen before")]
    pub struct UnknownKillPoint(pub String);

    /// Chooses where this process dies: at the `nth` (from 1) time that it passes the point `name`.
    pub fn arm(name: &str, nth: u64) -> Result<(), UnknownKillPoint> {
        let unknown = || UnknownKillPoint(name.to_owned());
        let known = [super::KILL_POINTS, super::PROPOSAL_KILL_POINTS, super::PUSH_KILL_POINTS];
        if !known.iter().any(|points| points.contains(&name)) {
            return Err(unknown());
        }
        ARMED.set((name.to_owned(), AtomicU64::new(nth))).map_err(|_| unknown())
    }

    /// Chooses where this process dies, as `REMIT_KILL_POINT=name` or `name:nth` in its environment
    /// says.
    pub fn arm_as_asked(variables: &BTreeMap<String, String>) -> Result<(), UnknownKillPoint> {
        let Some(point) = variables.get("REMIT_KILL_POINT") else { return Ok(()) };
        let (name, nth) = point.split_once(':').unwrap_or((point, "1"));
        arm(name, nth.parse().map_err(|_| UnknownKillPoint(point.clone()))?)
    }

    /// Kills this process if the test chose this point.
    pub fn kill_point(name: &'static str) {
        if let Some((armed, left)) = ARMED.get()
            && armed == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).ok();
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KILL_POINTS, PROPOSAL_KILL_POINTS, PUSH_KILL_POINTS};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_kill_point_stands_in_the_code_and_every_one_there_is_in_the_list() {
        let mut found = BTreeSet::new();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of crates");
        for of in ["engine", "embedded"] {
            collect(&crates.join(of).join("src"), &mut found);
        }
        let listed = KILL_POINTS.iter().chain(PROPOSAL_KILL_POINTS).chain(PUSH_KILL_POINTS);
        let listed: BTreeSet<String> = listed.map(|&name| name.to_owned()).collect();
        assert_eq!(listed, found);
        assert!(listed.len() >= 25);
    }

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let calls = text.split("kill_point(\"").skip(1);
                found.extend(calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
}
