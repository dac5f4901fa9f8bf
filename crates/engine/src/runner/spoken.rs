//! What adapters of agents that write one JSON message a line do alike: hear a line, begin a turn,
//! and go on after a restart.

use super::asks::{Ask, Asks};
use super::log::Log;
use super::{Adapter, Input, Step, TurnAsk, bound};

/// What is particular to one protocol.
pub(super) trait Spoken: Adapter {
    /// What the turn has said so far.
    fn log(&mut self) -> &mut Log;

    /// The questions of the agent.
    fn asks(&mut self) -> &mut Asks;

    /// Reads the text of one line; an error when it is no message of this protocol.
    fn read(&mut self, step: &mut Step, text: &str) -> serde_json::Result<()>;

    /// Says again, under the ids they had, the inputs of the handshake and the prompt that may not
    /// have reached the agent. `turn` is the one that is running.
    fn repeat(&mut self, step: &mut Step, turn: Option<&TurnAsk>);

    /// Says again that the turn is to stop, if that was said.
    fn repeat_stop(&self, step: &mut Step);

    /// The input that answers a question.
    fn answer_to(ask: &Ask) -> Input;
}

/// Begins `turn` in the log, unless one is running: that is told, and false.
pub(super) fn begin(adapter: &mut impl Spoken, step: &mut Step, turn: &TurnAsk) -> bool {
    if adapter.log().is_running() {
        adapter.log().diagnose(step, "a turn was asked for while one is running");
        return false;
    }
    adapter.log().begin(turn);
    adapter.asks().clear();
    true
}

/// What [`Adapter::line`] does.
pub(super) fn line(adapter: &mut impl Spoken, line: &[u8], overlong: bool) -> Step {
    let mut step = Step::default();
    let text = String::from_utf8_lossy(line);
    if overlong {
        adapter.log().diagnose(&mut step, "a line that is too long was dropped");
    } else if text.trim().is_empty() {
    } else if let Err(error) = adapter.read(&mut step, &text) {
        let text = format!("a line that is no message ({error}): {}", bound::line(&text));
        adapter.log().diagnose(&mut step, &text);
    }
    step
}

/// What [`Adapter::resume`] does.
pub(super) fn resume<A: Spoken>(adapter: &mut A, turn: Option<&TurnAsk>) -> Step {
    let mut step = Step::default();
    let running = match turn {
        Some(turn) if turn.number > adapter.log().number() => return adapter.turn(turn),
        Some(turn) if adapter.log().is_running() => Some(turn),
        Some(_) => {
            adapter.log().say_outcome(&mut step);
            None
        }
        None => None,
    };
    adapter.repeat(&mut step, running);
    step.input.extend(adapter.asks().noted());
    step.input.extend(adapter.asks().answered().map(A::answer_to));
    adapter.repeat_stop(&mut step);
    step
}

/// What [`Adapter::answer`] does.
pub(super) fn answer<A: Spoken>(adapter: &mut A, ask: &str, option: Option<&str>) -> Step {
    let input = adapter.asks().answer(ask, option).map(A::answer_to);
    Step { input: input.into_iter().collect(), ..Step::default() }
}
