//! What a start finds after a crash: what waits goes on waiting, what lives is taken over, what is
//! gone is ended with words, and what belongs to nobody is removed. Nothing runs twice.

use std::time::Duration;

use futures_util::future::join_all;
use model::{DispatchId, SandboxId, State, Turn};
use tokio::time::timeout;

use crate::dispatcher::live::Found;
use crate::dispatcher::{DispatchError, Dispatcher};
use crate::kill_point::kill_point;
use crate::port::{Record, Running};
use crate::supervisor::{Charge, Entry, Keep, ask_of};
use crate::workspaces::{Author, MountedView};

/// How long one box may take to be taken over. It is lost after that, so a busy machine has time.
const ADOPT_MAX: Duration = Duration::from_secs(30);
/// So many turns of a conversation are looked through for those that wait.
const TURNS_MAX: u32 = 200;

/// What a start found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Dispatches that had not begun: they go on.
    pub waiting: usize,
    /// Dispatches whose box was taken over.
    pub adopted: usize,
    /// Dispatches whose box was gone: each ends with words.
    pub ended: usize,
    /// Boxes that belonged to nobody.
    pub swept: usize,
}

/// What becomes of one record.
enum Fate {
    Waiting,
    Adopted(Box<dyn Running>, Vec<MountedView>, Keep),
    Lost(Option<Keep>),
}

impl Dispatcher {
    /// Takes up what an earlier server left. To be called once, before anything is asked.
    pub async fn recover(&self) -> Result<Recovered, DispatchError> {
        let records = self.world.parts.ledger.live().await?;
        kill_point("recovery_after_read");
        let fates = join_all(records.into_iter().map(|record| async move {
            let fate = self.fate(&record).await;
            (record, fate)
        }))
        .await;
        kill_point("recovery_after_adopt");
        let keep: Vec<SandboxId> = fates
            .iter()
            .filter_map(|(_, fate)| match fate {
                Fate::Adopted(running, ..) => Some(running.id()),
                Fate::Waiting | Fate::Lost(_) => None,
            })
            .collect();
        let swept = self.world.parts.backend.sweep(&keep).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what an earlier server left could not be removed");
            0
        });
        kill_point("recovery_after_sweep");
        let mut recovered = Recovered { swept, ..Recovered::default() };
        for (record, fate) in fates {
            let count = match &fate {
                Fate::Waiting => &mut recovered.waiting,
                Fate::Adopted(..) => &mut recovered.adopted,
                Fate::Lost(_) => &mut recovered.ended,
            };
            *count += 1;
            self.take_up(record, fate).await?;
        }
        for _ in 0..recovered.waiting {
            self.make_room();
        }
        tracing::info!(?recovered, "what an earlier server left is taken up");
        Ok(recovered)
    }

    /// A dispatch whose agent was not handed anything begins from the start; any other lives on in
    /// its box or is over.
    async fn fate(&self, record: &Record) -> Fate {
        let keep = record.recovery.as_deref().and_then(Keep::read);
        if matches!(record.state, State::Queued | State::Starting) {
            return Fate::Waiting;
        }
        let Some(keep) = keep else { return Fate::Lost(None) };
        let dispatch = record.dispatch.id;
        match timeout(ADOPT_MAX, self.world.parts.backend.adopt(&keep.sandbox)).await {
            Ok(Ok(running)) => self.hold(record, running, keep).await,
            Ok(Err(error)) => {
                tracing::warn!(%dispatch, %error, "a box was not taken over");
                Fate::Lost(Some(keep))
            }
            Err(_) => {
                tracing::warn!(%dispatch, "a box was not taken over in time");
                Fate::Lost(Some(keep))
            }
        }
    }

    /// Holds the checkouts that a box lies over, before anybody else may change them.
    async fn hold(&self, record: &Record, running: Box<dyn Running>, keep: Keep) -> Fate {
        let dispatch = record.dispatch.id;
        match self.world.parts.workspaces.mount_all(&record.dispatch.mounts).await {
            Ok(views) => Fate::Adopted(running, views, keep),
            Err(error) => {
                tracing::error!(%dispatch, %error, "the checkouts of a box are gone");
                if let Err(error) = running.destroy().await {
                    tracing::error!(%dispatch, %error, "a box could not be removed");
                }
                Fate::Lost(Some(keep))
            }
        }
    }

    async fn take_up(&self, record: Record, fate: Fate) -> Result<(), DispatchError> {
        let Record { dispatch, .. } = record;
        let (subject, session) = (dispatch.subject, dispatch.session);
        let person = self.world.parts.directory.person(subject).await?;
        let (author, live_max) = match person {
            Some(person) => {
                (Author { name: person.name, email: person.email }, person.concurrent_max)
            }
            None => (Author { name: subject.to_string(), email: String::new() }, 1),
        };
        let found = self.world.live.find_or_register(session, dispatch.id, subject);
        let Found::New(registration) = found else {
            // Two of one conversation are never alive; what the ledger says then is not ours to end.
            tracing::error!(dispatch = %dispatch.id, "a conversation has two living dispatches");
            return Ok(());
        };
        let begun = match &fate {
            Fate::Waiting => 0,
            Fate::Adopted(.., keep) | Fate::Lost(Some(keep)) => keep.begun,
            Fate::Lost(None) => 0,
        };
        let waiting = self.world.parts.ledger.turns(session, TURNS_MAX).await?;
        let waiting = not_begun(waiting, dispatch.id, begun);
        let waiting = waiting.into_iter().map(|turn| ask_of(&dispatch, turn)).collect();
        let place = match &fate {
            Fate::Adopted(..) | Fate::Lost(_) => {
                self.world.places.admit(dispatch.id, subject, live_max)
            }
            // It had its place in the line: bounds are for what is new.
            Fate::Waiting => self.world.places.line_up(dispatch.id, subject, live_max),
        };
        kill_point("recovery_before_end");
        let entry = match fate {
            Fate::Waiting => Entry::Fresh,
            Fate::Adopted(running, views, keep) => Entry::Adopted { running, views, keep },
            Fate::Lost(keep) => Entry::Lost { keep },
        };
        self.look_after(Charge { dispatch, author, registration, place, waiting, entry });
        Ok(())
    }
}

/// The turns of a dispatch that were accepted and not handed to its agent, in order.
fn not_begun(turns: Vec<Turn>, dispatch: DispatchId, begun: u32) -> Vec<Turn> {
    let mut turns: Vec<Turn> =
        turns.into_iter().filter(|turn| turn.dispatch == dispatch && turn.number > begun).collect();
    turns.sort_by_key(|turn| turn.number);
    turns
}
