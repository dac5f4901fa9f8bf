//! Who is alive, and how to speak to them: one bounded mailbox a dispatch, found by its id or by its
//! conversation. A conversation has at most one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{DispatchId, SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::supervisor::Order;
use crate::supervisor::asked::{Question, Waiting};

/// How many orders may wait in one mailbox.
const ORDERS_MAX: usize = 64;

/// The way to a living dispatch.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    pub(crate) dispatch: DispatchId,
    pub(crate) subject: UserId,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Whether its sandbox waits for a message.
    pub(crate) idle: Arc<AtomicBool>,
    /// The questions of its agent that wait for a person.
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Default)]
struct Entries {
    by_dispatch: HashMap<DispatchId, (SessionId, Mailbox)>,
    by_session: HashMap<SessionId, DispatchId>,
}

/// Everybody who is alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live(Arc<Mutex<Entries>>);

/// The registration of one dispatch; dropped, it is forgotten and its mailbox closed.
#[derive(Debug)]
pub(crate) struct Registration {
    live: Live,
    dispatch: DispatchId,
    session: SessionId,
    pub(crate) orders: mpsc::Receiver<Order>,
    idle: Arc<AtomicBool>,
    /// The questions of its agent that wait for a person.
    pub(crate) waiting: Waiting,
}

/// What stands for a conversation now.
pub(crate) enum Found {
    Living(Mailbox),
    New(Registration),
}

impl Live {
    /// The mailbox of the conversation, or a registration of `dispatch` as its new one: one step, so
    /// that two messages never start two sandboxes for one conversation.
    pub(crate) fn find_or_register(
        &self,
        session: SessionId,
        dispatch: DispatchId,
        subject: UserId,
    ) -> Found {
        let mut entries = self.0.lock();
        if let Some(living) = entries.by_session.get(&session)
            && let Some((_, mailbox)) = entries.by_dispatch.get(living)
        {
            return Found::Living(mailbox.clone());
        }
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let idle = Arc::new(AtomicBool::new(false));
        let waiting = Waiting::default();
        let mailbox = Mailbox {
            dispatch,
            subject,
            orders: sender,
            idle: idle.clone(),
            waiting: waiting.clone(),
        };
        entries.by_session.insert(session, dispatch);
        entries.by_dispatch.insert(dispatch, (session, mailbox));
        drop(entries);
        Found::New(Registration { live: self.clone(), dispatch, session, orders, idle, waiting })
    }

    pub(crate) fn mailbox(&self, dispatch: DispatchId) -> Option<Mailbox> {
        self.0.lock().by_dispatch.get(&dispatch).map(|(_, mailbox)| mailbox.clone())
    }

    /// The mailbox of every dispatch on behalf of a person.
    pub(crate) fn of(&self, subject: UserId) -> Vec<Mailbox> {
        let entries = self.0.lock();
        let mailboxes = entries.by_dispatch.values().map(|(_, mailbox)| mailbox);
        mailboxes.filter(|mailbox| mailbox.subject == subject).cloned().collect()
    }

    /// The questions that wait for a person, oldest first; of one subject's dispatches alone where one
    /// is given.
    pub(crate) fn questions(&self, subject: Option<UserId>) -> Vec<Question> {
        let entries = self.0.lock();
        let mailboxes = entries.by_dispatch.values().map(|(_, mailbox)| mailbox);
        let theirs = mailboxes.filter(|it| subject.is_none_or(|subject| it.subject == subject));
        let mut questions: Vec<Question> =
            theirs.flat_map(|mailbox| mailbox.waiting.lock().clone()).collect();
        questions.sort_by_key(|question| (question.asked, question.dispatch));
        questions
    }

    /// The mailbox of every dispatch whose sandbox waits for a message, oldest first.
    pub(crate) fn idle(&self) -> Vec<Mailbox> {
        let entries = self.0.lock();
        let mailboxes = entries.by_dispatch.values().map(|(_, mailbox)| mailbox);
        let mut idle: Vec<Mailbox> =
            mailboxes.filter(|mailbox| mailbox.idle.load(Ordering::Relaxed)).cloned().collect();
        idle.sort_by_key(|mailbox| mailbox.dispatch);
        idle
    }
}

impl Registration {
    /// Says whether the sandbox waits for a message.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.live.0.lock();
        entries.by_dispatch.remove(&self.dispatch);
        entries.by_session.remove(&self.session);
        drop(entries);
        self.orders.close();
        // What is left is dropped with the mailbox: its senders see that nobody took it, and go to a
        // fresh sandbox.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_conversation_has_one_mailbox_until_its_dispatch_is_over() {
        let live = Live::default();
        let session = SessionId::from_uuid(Uuid::from_u128(1));
        let who = UserId::from_uuid(Uuid::from_u128(9));
        let [first, second] = [2, 3].map(|bits| DispatchId::from_uuid(Uuid::from_u128(bits)));
        let Found::New(registration) = live.find_or_register(session, first, who) else {
            panic!("nobody was there")
        };
        let Found::Living(mailbox) = live.find_or_register(session, second, who) else {
            panic!("the first one lives")
        };
        assert_eq!(mailbox.dispatch, first);
        drop(registration);
        assert!(mailbox.orders.is_closed());
        assert!(matches!(live.find_or_register(session, second, who), Found::New(_)));
    }
}
