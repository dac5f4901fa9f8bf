//! The system call filter: an allow-list as data ([`table`]), compiled to a decision tree
//! ([`tree`]). Tells nothing about files or addresses: that is landlock's and the namespaces' part.

mod table;
mod tree;

use libc::{c_long, sock_filter};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It goes through.
    Allow,
    /// It fails with this error number.
    Fail(u16),
    /// It goes through if one of the alternatives holds, else fails.
    AllowIf(&'static [&'static [Has]], u16),
    /// It fails if one of the alternatives holds, else goes through.
    FailIf(&'static [&'static [Has]], u16),
}

/// That the low 32 bits of argument number `arg`, masked, have a value. The kernel looks at no
/// more bits of the arguments that the table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Has {
    arg: u32,
    mask: u32,
    value: u32,
}

/// A group of calls with one reason and one fate.
#[derive(Debug)]
struct Group {
    #[cfg_attr(not(test), expect(dead_code, reason = "the reason is for readers and tests"))]
    why: &'static str,
    then: Then,
    calls: &'static [c_long],
}

/// The filter of every box.
pub(crate) fn filter() -> Vec<sock_filter> {
    let mut rules: Vec<(u32, Then)> = Vec::new();
    for group in table::GROUPS {
        for call in group.calls {
            rules.push((u32::try_from(*call).expect("numbers are small"), group.then));
        }
    }
    tree::compile(rules)
}

/// The filter of every box as the kernel takes it, for other programs that install it: instructions
/// of eight bytes, for this machine's architecture.
pub fn seccomp_program() -> Vec<u8> {
    let bytes = |op: sock_filter| {
        [&op.code.to_ne_bytes()[..], &[op.jt, op.jf], &op.k.to_ne_bytes()].concat()
    };
    filter().into_iter().flat_map(bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_stands_once_and_every_group_has_a_reason() {
        let mut seen = BTreeSet::new();
        for group in table::GROUPS {
            assert!(group.why.len() > 10, "{group:?}");
            for call in group.calls {
                assert!(seen.insert(*call), "{call} stands twice: {}", group.why);
            }
        }
        assert!(seen.len() > 250);
    }

    #[test]
    fn the_filter_is_small_and_every_decision_short() {
        let filter = filter();
        assert!(filter.len() < 400, "{}", filter.len());
    }
}
