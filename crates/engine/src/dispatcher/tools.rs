//! Which tools behind the gate a dispatch is given: those it names, out of those that are allowed here.

use model::limit::TOOLS_MAX;
use model::{InputTrust, Label, Mount, ServerName, ToolRef, Trigger};
use trust::{Reach, Stands};

use super::Dispatcher;
use super::ask::Ask;
use super::error::DispatchError;
use crate::port::{Gate, ToolServer};

impl Dispatcher {
    /// The servers of tools that dispatches may be given.
    pub fn servers(&self) -> Vec<ToolServer> {
        self.world.parts.gate.servers()
    }

    /// Refuses tools that there are not, or that this dispatch may not call.
    pub(super) fn check_tools(
        &self,
        ask: &Ask,
        mounts: &[Mount],
        label: &Label,
    ) -> Result<(), DispatchError> {
        if ask.tools.is_empty() {
            return Ok(());
        }
        if ask.tools.len() > TOOLS_MAX {
            return Err(DispatchError::Limit { name: "tools", range: "0 to 64" });
        }
        let runner = self.world.runner(&ask.runner);
        if runner.is_none_or(|runner| runner.mcp.is_none()) {
            return Err(DispatchError::CannotCall(ask.runner.clone()));
        }
        let servers = self.servers();
        let reach = reach(ask.trigger, label, mounts);
        ask.tools.iter().try_for_each(|named| check(&servers, named, reach))
    }

    /// What the answers of these tools may make of what it has read: each server outside is a source.
    pub(super) fn read_of_tools(&self, tools: &[ToolRef]) -> Label {
        if tools.is_empty() {
            return Label::default();
        }
        let outside = |server: &ToolServer| matches!(server.stands, Stands::Outside { .. });
        let servers = self.servers().into_iter().filter(outside).map(|server| server.name);
        let given = servers.filter(|name| tools.iter().any(|tool| tool.server == *name));
        let integrity = given.map(|name| Label::of_tools(&name)).collect();
        Label { integrity, ..Label::default() }
    }

    /// Those of `tools` that there still are.
    pub(super) fn known_tools(&self, tools: &[String]) -> Vec<ToolRef> {
        let servers = self.servers();
        let named = tools.iter().filter_map(|named| named.parse::<ToolRef>().ok());
        named.filter(|named| !meant(&servers, named).is_empty()).collect()
    }
}

/// Refuses a tool that does not exist, or a server of whose tools none may be called.
fn check(servers: &[ToolServer], named: &ToolRef, reach: Reach) -> Result<(), DispatchError> {
    let mut refusal = DispatchError::UnknownTool(named.clone());
    for (server, effect) in meant(servers, named) {
        match reach.calls(server.stands, effect).allowed() {
            Ok(()) => return Ok(()),
            Err(reason) => refusal = reason.into(),
        }
    }
    Err(refusal)
}

fn meant<'a>(
    servers: &'a [ToolServer],
    named: &ToolRef,
) -> Vec<(&'a ToolServer, model::ToolEffect)> {
    let all = servers.iter().flat_map(|server| server.tools.iter().map(move |it| (server, it)));
    let meant = all.filter(|(server, (tool, _))| named.means(&server.name, tool));
    meant.map(|(server, (_, effect))| (server, *effect)).collect()
}

/// The servers of which a caller may call anything.
pub(crate) fn reached(gate: &dyn Gate, tools: &[ToolRef], reach: Reach) -> Vec<ServerName> {
    if tools.is_empty() {
        return vec![];
    }
    let servers = gate.servers().into_iter();
    let some = servers.filter(|server| !server.callable(tools, reach).is_empty());
    some.map(|server| server.name).collect()
}

/// The tools that a dispatch was given, and what decides which of them it may call.
pub(crate) fn given(dispatch: &model::Dispatch) -> (Vec<ToolRef>, Reach) {
    let tools = dispatch.tools.iter().filter_map(|named| named.parse().ok()).collect();
    (tools, reach(dispatch.trigger, &dispatch.label, &dispatch.mounts))
}

/// A person's word in a conversation that began with a stranger's does not make that one's words theirs.
fn reach(trigger: Trigger, label: &Label, mounts: &[Mount]) -> Reach {
    let input = match trigger.input_trust() {
        InputTrust::Trusted if label.holds_strangers_words() => InputTrust::Untrusted,
        input => input,
    };
    Reach::of(input, mounts.iter().map(|mount| mount.mode))
}

#[cfg(test)]
mod tests {
    use model::{InputTrust, Mode, ToolEffect};
    use trust::{Reason, Stands};

    use super::*;

    fn server(stands: Stands) -> ToolServer {
        let tools =
            vec![("close".to_owned(), ToolEffect::Acts), ("search".to_owned(), ToolEffect::Reads)];
        let name = "tracker".parse().expect("a name");
        ToolServer { name, about: String::new(), stands, tools }
    }

    #[test]
    fn what_is_given_is_known_and_may_be_called() {
        let servers = [server(Stands::Outside { untrusted: true })];
        let proposer = Reach::of(InputTrust::Untrusted, [Mode::Propose]);
        let writer = Reach::of(InputTrust::Trusted, [Mode::ReadWrite]);
        let named = |text: &str| text.parse::<ToolRef>().expect("a tool");
        for unknown in ["other", "tracker.delete"] {
            let refused = check(&servers, &named(unknown), writer);
            assert!(matches!(refused, Err(DispatchError::UnknownTool(_))), "{unknown}");
        }
        assert!(check(&servers, &named("tracker.close"), writer).is_ok());
        let refused = check(&servers, &named("tracker.close"), proposer);
        assert!(matches!(refused, Err(DispatchError::Denied(Reason::ProposerMayNotAct))));
        assert!(check(&servers, &named("tracker"), proposer).is_ok(), "what it may call of it");
        let given = [named("tracker")];
        assert_eq!(servers[0].callable(&given, proposer), ["search"]);
        assert_eq!(servers[0].callable(&given, writer), ["close", "search"]);
        assert_eq!(servers[0].callable(&[named("tracker.search")], writer), ["search"]);
    }
}
