//! The open files that this process may have, shared out between sandboxes and connections, so that neither finds
//! none left in the middle of its work.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the ledger, workspaces, the log and the start of sandboxes hold, with room to spare.
const RESERVED: u64 = 512;
/// What one live sandbox holds: its process twice, its namespace, its scratch, its listeners and streams
/// (8 when idle), and two calls to a model.
const EACH_SANDBOX: u64 = 10;

/// How many of each fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Sandboxes alive at once.
    pub(crate) live: u64,
    /// Connections served at once.
    pub(crate) connections: u64,
}

/// Raises the limit of open files to what is wanted, beyond the hard limit where this process may, and shares it
/// out. What does not fit is said in the log, with what to do.
pub(crate) fn share(wanted: &Share) -> Share {
    let needed = RESERVED + wanted.connections + EACH_SANDBOX * wanted.live;
    let fits = fit(wanted, raise(needed));
    if fits.live < wanted.live {
        tracing::warn!(
            wanted = wanted.live,
            live = fits.live,
            "the limit of open files is too low for `limits.live`: fewer sandboxes live at once and \
             more wait; raise it to {needed} with `ulimit -n` or LimitNOFILE=, or lower the setting"
        );
    }
    fits
}

/// Connections give way first, down to a quarter of what there is: a caller who is turned away comes again.
fn fit(wanted: &Share, limit: u64) -> Share {
    let free = limit.saturating_sub(RESERVED);
    let besides = free.saturating_sub(EACH_SANDBOX * wanted.live);
    let connections = wanted.connections.min(besides.max(free / 4));
    let live = wanted.live.min((free - connections) / EACH_SANDBOX).max(1);
    Share { live, connections: connections.max(1) }
}

/// The limit after it was raised; without one, as much as is needed.
fn raise(needed: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let beyond = hard.max(needed);
    let raised = [beyond, hard].into_iter().find(|most| {
        let new = Rlimit { current: Some(*most), maximum: Some(*most) };
        setrlimit(Resource::Nofile, new).is_ok()
    });
    raised.or(limit.current).unwrap_or(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wanted_fits_where_there_is_room() {
        let wanted = Share { live: 1_000, connections: 16_384 };
        assert_eq!(fit(&wanted, 512 + 16_384 + 10_000), wanted);
    }

    #[test]
    fn connections_give_way_before_sandboxes_and_keep_a_quarter() {
        let wanted = Share { live: 1_000, connections: 16_384 };
        assert_eq!(fit(&wanted, 20_512), Share { live: 1_000, connections: 10_000 });
        assert_eq!(fit(&wanted, 4_608), Share { live: 307, connections: 1_024 });
    }

    #[test]
    fn a_limit_that_is_hardly_there_still_lets_one_of_each() {
        let wanted = Share { live: 1_000, connections: 16_384 };
        assert_eq!(fit(&wanted, 64), Share { live: 1, connections: 1 });
    }
}
