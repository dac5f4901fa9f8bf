//! One turn of a conversation as a client sees it: asked for once, followed to its end across cuts.

use anyhow::anyhow;
use model::TurnId;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;

use crate::cli::Budget;
use crate::client::{Client, Lines, with_query};
use crate::exit::{Exit, Failed, exit_of};

/// How often a cut stream is taken up again before the client gives up.
const CUTS_MAX: u32 = 20;
/// How long to wait before it is.
const CUT_REST: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) prompt: String,
    pub(crate) turn: TurnId,
    pub(crate) session: Option<String>,
    pub(crate) runner: Option<String>,
    pub(crate) workspace: Option<String>,
    /// `auto` or `ask`.
    pub(crate) permissions: Option<String>,
    /// The tools behind the gate, as `SERVER` or `SERVER.TOOL`, separated by commas.
    pub(crate) tools: Option<String>,
    /// The model that is chosen for it.
    pub(crate) model: Option<String>,
    /// Whether the runner may be one that did not pass its test.
    pub(crate) untested: bool,
    /// What models a new sandbox may use.
    pub(crate) budget: Budget,
    /// Whether what models are asked and answer is kept.
    pub(crate) record: bool,
}

impl Ask {
    fn path(&self) -> String {
        let number = |most: Option<u64>| most.map(|most| most.to_string());
        let Budget { requests, tokens, micros } = self.budget;
        let [requests, tokens, micros] = [requests, tokens, micros].map(number);
        let query = [
            ("runner", self.runner.as_deref()),
            ("workspace", self.workspace.as_deref()),
            ("permissions", self.permissions.as_deref()),
            ("tools", self.tools.as_deref()),
            ("model", self.model.as_deref()),
            ("untested", self.untested.then_some("true")),
            ("record", self.record.then_some("true")),
            ("budget_requests", requests.as_deref()),
            ("budget_tokens", tokens.as_deref()),
            ("budget_micros", micros.as_deref()),
        ];
        with_query("/agent/chat", &query)
    }

    /// The body; a turn that has begun is named with its conversation.
    fn body(&self, place: Option<&Place>) -> Value {
        let session = place.map(|place| &place.session).or(self.session.as_ref());
        json!({"prompt": self.prompt, "session": session, "turn_id": self.turn})
    }
}

/// Where a turn runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dispatch: String,
    pub(crate) session: String,
}

/// Asks, and leaves as soon as it is accepted; the turn goes on.
pub(crate) async fn begin(client: &Client, ask: &Ask) -> anyhow::Result<Place> {
    let body = ask.body(None);
    let lines = client.stream(Method::POST, &ask.path(), Some(&body), HeaderMap::new()).await?;
    place_of(&lines)
}

fn place_of(lines: &Lines) -> anyhow::Result<Place> {
    let header = |name| lines.header(name).ok_or_else(|| anyhow!("the answer has no {name}"));
    Ok(Place { dispatch: header("x-unit-id")?, session: header("x-chat-session")? })
}

/// Asks, and hands every frame to `each`; where it ran, and whether it went well.
pub(crate) async fn turn(
    client: &Client,
    ask: &Ask,
    mut began: impl FnMut(&Place),
    mut each: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<(Place, bool)> {
    let (mut last, mut place) = (None::<String>, None::<Place>);
    let (mut cuts, mut ok) = (0, false);
    loop {
        let body = ask.body(place.as_ref());
        let mut headers = HeaderMap::new();
        if let Some(id) = &last {
            headers.insert("last-event-id", HeaderValue::from_str(id)?);
        }
        match client.stream(Method::POST, &ask.path(), Some(&body), headers).await {
            Ok(mut lines) => {
                if place.is_none() {
                    let at = place_of(&lines)?;
                    began(&at);
                    place = Some(at);
                }
                while let Some((id, frame)) = lines.frame().await {
                    each(&frame)?;
                    cuts = 0;
                    last = Some(id);
                    if frame["type"] == "done" {
                        ok = frame["ok"] == true;
                    }
                    if frame["type"] == "turn-complete"
                        && let Some(place) = place
                    {
                        return Ok((place, ok));
                    }
                }
            }
            Err(problem) if place.is_none() || exit_of(&problem) != Exit::Unavailable => {
                return Err(problem);
            }
            Err(_) => {}
        }
        cuts += 1;
        if cuts > CUTS_MAX {
            return Err(Failed::new(Exit::Unavailable, "the stream was cut too often")
                .next("the turn goes on: `remit dispatch ls --live` finds it, `watch` follows it")
                .into());
        }
        tokio::time::sleep(CUT_REST).await;
    }
}
