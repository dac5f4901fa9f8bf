//! Checks the promises of [`Proposals`].

use futures_util::future::join_all;
use model::event::HeldReason;
use model::{
    CommitId, DispatchId, Intent, Label, Launcher, Proposal, ProposalId, Standing, Trigger, UserId,
    WorkspaceId,
};

use super::fixture::{Ids, at};
use crate::port::{ProposalQuery, ProposalRecord, ProposalState, Proposals};

/// Checks every promise, each with a store from `fresh`, which may share what is behind it.
///
/// # Panics
/// When a promise is broken.
pub async fn proposals<P: Proposals>(fresh: impl AsyncFn() -> P) {
    a_proposal_is_added_once(&fresh().await).await;
    of_many_decisions_at_once_one_happens(&fresh().await).await;
    a_page_has_what_was_asked_for(&fresh().await).await;
    what_is_being_approved_is_found_until_it_is_done(&fresh().await).await;
}

fn commit(ids: &Ids) -> CommitId {
    let text = ids.uuid().simple().to_string();
    format!("{text}00000000").parse().expect("40 hexadecimal digits")
}

fn proposal(ids: &Ids, workspace: WorkspaceId, ms: u64) -> Proposal {
    let subject = ids.user();
    Proposal {
        id: ProposalId::from_uuid(ids.uuid()),
        workspace,
        reference: "refs/remit/held/dsp_1".to_owned(),
        commit: commit(ids),
        reason: HeldReason::ProposeOnly,
        dispatch: Some(DispatchId::from_uuid(ids.uuid())),
        session: None,
        subject,
        launcher: Launcher::Integration("mail".to_owned()),
        trigger: Trigger::Event,
        label: Label { integrity: ["mail".to_owned()].into(), ..Label::default() },
        title: "Jane \u{1f600} 'Doe'".to_owned(),
        paths: vec!["a".to_owned()],
        flags: vec![],
        created: at(ms),
        expires: at(ms + 100),
    }
}

fn intent(ids: &Ids, by: UserId) -> Intent {
    Intent {
        by,
        at: at(7),
        digest: "d".to_owned(),
        request: "r".to_owned(),
        prepared: commit(ids),
        name: "n".to_owned(),
    }
}

fn denied(by: UserId) -> Standing {
    Standing::Denied { by, at: at(9), reason: Some("no".to_owned()) }
}

async fn a_proposal_is_added_once(store: &impl Proposals) {
    let ids = Ids::new();
    let one = proposal(&ids, ids.workspace(), 1);
    assert_eq!(store.proposal(one.id).await.expect("readable"), None);
    let open = ProposalRecord { proposal: one.clone(), standing: Standing::Open };
    for _ in 0..2 {
        assert_eq!(store.add_proposal(one.clone()).await.expect("new"), open);
    }
    assert_eq!(store.proposal(one.id).await.expect("readable"), Some(open));
    let by = ids.user();
    let moved = store.decide(one.id, Standing::Open, denied(by)).await.expect("written");
    assert_eq!(moved.map(|it| it.standing), Some(denied(by)));
    let again = store.add_proposal(Proposal { title: "other".to_owned(), ..one.clone() }).await;
    let stays = ProposalRecord { proposal: one.clone(), standing: denied(by) };
    assert_eq!(again.expect("there"), stays, "it stays as it is");
    let commits = store.proposed_commits(one.workspace).await.expect("readable");
    assert_eq!(commits, [one.commit]);
    let all = store.standings(one.id).await.expect("readable");
    assert_eq!(all, [Standing::Open, denied(by)]);
}

async fn of_many_decisions_at_once_one_happens(store: &impl Proposals) {
    let ids = Ids::new();
    let one = store.add_proposal(proposal(&ids, ids.workspace(), 1)).await.expect("new");
    let id = one.proposal.id;
    let people: Vec<UserId> = (0..8).map(|_| ids.user()).collect();
    let ask = |by: &UserId| store.decide(id, Standing::Open, denied(*by));
    let answers = join_all(people.iter().map(ask)).await;
    let stands: Vec<Standing> = answers
        .into_iter()
        .map(|answer| answer.expect("written").expect("it is there").standing)
        .collect();
    assert!(stands.iter().all(|it| *it == stands[0]), "{stands:?}");
    assert!(people.iter().any(|by| stands[0] == denied(*by)));
    assert_eq!(store.standings(id).await.expect("readable"), [Standing::Open, stands[0].clone()]);
    let missing = ProposalId::from_uuid(ids.uuid());
    let none = store.decide(missing, Standing::Open, denied(people[0])).await;
    assert_eq!(none.expect("readable"), None);
}

async fn a_page_has_what_was_asked_for(store: &impl Proposals) {
    let ids = Ids::new();
    let (mine, other) = (ids.workspace(), ids.workspace());
    let (old, new) = (proposal(&ids, mine, 1), proposal(&ids, mine, 500));
    let foreign = proposal(&ids, other, 500);
    for one in [&old, &new, &foreign] {
        store.add_proposal(one.clone()).await.expect("new");
    }
    let page = async |state, now, before, limit| {
        let now = at(now);
        let query = ProposalQuery { workspaces: vec![mine], state, now, before, limit };
        let page = store.proposals(query).await.expect("readable");
        (page.items.into_iter().map(|it| it.proposal.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(None, 550, None, 9).await, (vec![new.id, old.id], false), "newest first");
    assert_eq!(page(None, 550, None, 1).await, (vec![new.id], true));
    assert_eq!(page(None, 550, Some(new.id), 9).await, (vec![old.id], false));
    let (open, expired) = (Some(ProposalState::Open), Some(ProposalState::Expired));
    assert_eq!(page(open, 550, None, 9).await.0, [new.id]);
    assert_eq!(page(expired, 550, None, 9).await.0, [old.id]);
    assert_eq!(page(open, 50, None, 9).await.0, [new.id, old.id]);
    store.decide(old.id, Standing::Open, denied(ids.user())).await.expect("written");
    assert_eq!(page(Some(ProposalState::Denied), 550, None, 9).await.0, [old.id]);
    assert_eq!(page(expired, 550, None, 9).await.0, []);
    let query =
        ProposalQuery { workspaces: vec![], state: None, now: at(0), before: None, limit: 9 };
    assert_eq!(store.proposals(query).await.expect("readable").items, []);
}

async fn what_is_being_approved_is_found_until_it_is_done(store: &impl Proposals) {
    let ids = Ids::new();
    let one = store.add_proposal(proposal(&ids, ids.workspace(), 1)).await.expect("new");
    let id = one.proposal.id;
    let intent = intent(&ids, ids.user());
    let approving = Standing::Approving { intent: intent.clone() };
    let done = Standing::Approved { intent, commit: commit(&ids) };
    let found = async || {
        let all = store.approving().await.expect("readable");
        all.into_iter().find(|record| record.proposal.id == id).map(|record| record.standing)
    };
    assert_eq!(found().await, None);
    store.decide(id, Standing::Open, approving.clone()).await.expect("written");
    assert_eq!(found().await, Some(approving.clone()));
    let late = store.decide(id, Standing::Open, denied(ids.user())).await.expect("readable");
    assert_eq!(late.map(|it| it.standing), Some(approving.clone()), "it does not stand there");
    store.decide(id, approving, done.clone()).await.expect("written");
    assert_eq!(found().await, None);
    assert_eq!(store.proposal(id).await.expect("readable").map(|it| it.standing), Some(done));
}
