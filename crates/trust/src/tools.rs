//! Which tools behind the gate a dispatch may call. Decided by what it is, never by its agent.

use model::{InputTrust, Mode, ToolEffect};

use crate::authorize::{Decision, Reason};

/// What of a dispatch decides over its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether what triggered it may be believed.
    pub input: InputTrust,
    /// Whether its own changes are applied to a workspace: it has one that it may write.
    pub applies: bool,
}

/// Where a server of tools stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// In this program: it tells a dispatch no more than that can read itself, and nobody anything of it.
    Inside,
    /// Elsewhere, for the input that its operator opened it to. What a call says leaves this machine.
    Outside {
        /// Whether dispatches whose input comes from outside may ask it.
        untrusted: bool,
    },
}

impl Reach {
    /// Of a dispatch with this input and these mounts.
    pub fn of(input: InputTrust, modes: impl IntoIterator<Item = Mode>) -> Self {
        Self { input, applies: modes.into_iter().any(|mode| mode == Mode::ReadWrite) }
    }

    /// Whether it may call a tool of this effect there.
    ///
    /// The arguments of a call can carry away what the dispatch has read, so one whose input comes from
    /// outside reaches only servers that were opened to such input, and never acts. One that may only
    /// read or propose here does not act elsewhere either.
    pub fn calls(self, stands: Stands, effect: ToolEffect) -> Decision {
        match (stands, effect, self.input) {
            (Stands::Inside, ToolEffect::Reads, _) => Decision::Allow,
            (Stands::Outside { untrusted: false }, _, InputTrust::Untrusted) => {
                Decision::Deny(Reason::UntrustedMayNotCall)
            }
            (Stands::Outside { .. }, ToolEffect::Reads, _) => Decision::Allow,
            (_, ToolEffect::Acts, InputTrust::Trusted) if self.applies => Decision::Allow,
            (_, ToolEffect::Acts, _) => Decision::Deny(Reason::ProposerMayNotAct),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Allow, Deny};
    use InputTrust::{Trusted, Untrusted};
    use ToolEffect::{Acts, Reads};

    #[test]
    fn what_a_dispatch_may_call_is_a_table() {
        let (closed, open) =
            (Stands::Outside { untrusted: false }, Stands::Outside { untrusted: true });
        let no_call = Deny(Reason::UntrustedMayNotCall);
        let no_act = Deny(Reason::ProposerMayNotAct);
        for (input, mode, stands, reads, acts) in [
            (Trusted, Mode::ReadWrite, Stands::Inside, Allow, Allow),
            (Trusted, Mode::ReadWrite, closed, Allow, Allow),
            (Trusted, Mode::ReadWrite, open, Allow, Allow),
            (Trusted, Mode::Propose, closed, Allow, no_act),
            (Trusted, Mode::ReadOnly, open, Allow, no_act),
            (Untrusted, Mode::Propose, Stands::Inside, Allow, no_act),
            (Untrusted, Mode::Propose, closed, no_call, no_call),
            (Untrusted, Mode::Propose, open, Allow, no_act),
            // Never mounted so; not believed where it were.
            (Untrusted, Mode::ReadWrite, open, Allow, no_act),
        ] {
            let reach = Reach::of(input, [Mode::ReadOnly, mode]);
            let answers = [Reads, Acts].map(|effect| reach.calls(stands, effect));
            assert_eq!(answers, [reads, acts], "{input:?} {mode:?} {stands:?}");
        }
    }
}
