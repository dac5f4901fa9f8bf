//! What a dispatch may show of itself: the claims of its token, as data. Signs nothing.
//!
//! The shape is that of a transaction token: `sub` is on whose behalf, the outermost `act` the
//! attested workload, the `act` within it the launcher. They are written with the dispatch, before
//! anything runs; a token made from them lives minutes and is replaced, never refreshed.

use std::time::Duration;

use model::{Dispatch, Label, Launcher, Mode, Time, Trigger, WorkspaceId};
use serde::{Deserialize, Serialize};

/// How long a token made from these claims is valid.
pub const TOKEN_LIFE: Duration = Duration::from_mins(5);

/// The claims of a dispatch token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who issues it.
    pub iss: String,
    /// Within which trust domain it holds.
    pub aud: String,
    /// When it was issued, in seconds since the epoch.
    pub iat: u64,
    /// When it stops to be valid, in seconds since the epoch.
    pub exp: u64,
    /// Its own id.
    pub jti: String,
    /// The dispatch: the transaction that all its tokens share.
    pub txn: String,
    /// On whose behalf, as `user:usr_…`.
    pub sub: String,
    /// What it is for, separated by spaces.
    pub scope: String,
    /// Who acts: the sandbox's workload, and within it what launched it.
    pub act: Actor,
    /// Which service asked for it.
    pub req_wl: String,
    /// What the transaction may do.
    pub tctx: Bounds,
    /// What the request was.
    pub rctx: Origin,
}

/// Who acts. Only the outermost decides; what is within is history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Its SPIFFE id.
    pub sub: String,
    /// What kind of actor it is: `ai_agent` for a dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_profile: Option<String>,
    /// For whom it acts in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

/// What a transaction may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// What drives the agent.
    pub runner: String,
    /// The workspaces and what may be done to each.
    pub workspaces: Vec<WorkspaceBound>,
    /// The tools it may call, by name.
    pub tools: Vec<String>,
    /// Whether its changes are applied or only proposed.
    pub effect: Effect,
    /// What it has read when it begins.
    pub label: EpochLabel,
}

/// One workspace of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceBound {
    /// The workspace.
    pub id: WorkspaceId,
    /// What may be done to it.
    pub mode: Mode,
}

/// What becomes of the changes of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// They wait for a human.
    Propose,
    /// Those that can be taken back are applied.
    ApplyReversible,
}

/// A taint label and how often it has risen: a token with an older epoch than the store's is void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochLabel {
    /// The label.
    pub label: Label,
    /// 0 when the dispatch is accepted.
    pub epoch: u64,
}

/// What the request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Why the dispatch was started.
    pub trigger: Trigger,
}

/// What an issuer adds to what the dispatch says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Issuance<'a> {
    /// The trust domain, as `remit.local`.
    pub domain: &'a str,
    /// When.
    pub at: Time,
    /// The id of the token.
    pub id: &'a str,
}

impl Claims {
    /// The claims of a dispatch as it was accepted.
    pub fn of(dispatch: &Dispatch, issuance: Issuance<'_>) -> Self {
        let Issuance { domain, at, id } = issuance;
        let iat = at.as_ms() / 1_000;
        Self {
            iss: format!("https://trust.{domain}"),
            aud: domain.to_owned(),
            iat,
            exp: iat + TOKEN_LIFE.as_secs(),
            jti: id.to_owned(),
            txn: dispatch.id.to_string(),
            sub: format!("user:{}", dispatch.subject),
            scope: "workspace tool stream".to_owned(),
            act: actor(dispatch, domain),
            req_wl: format!("spiffe://{domain}/svc/dispatcher"),
            tctx: bounds(dispatch),
            rctx: Origin { trigger: dispatch.trigger },
        }
    }
}

fn actor(dispatch: &Dispatch, domain: &str) -> Actor {
    let launcher = match &dispatch.launcher {
        Launcher::User(id) => format!("user/{id}"),
        Launcher::Schedule(id) => format!("schedule/{id}"),
        Launcher::Integration(id) => format!("integration/{id}"),
    };
    Actor {
        sub: format!("spiffe://{domain}/dispatch/{}", dispatch.id),
        sub_profile: Some("ai_agent".to_owned()),
        act: Some(Box::new(Actor {
            sub: format!("spiffe://{domain}/launcher/{launcher}"),
            sub_profile: None,
            act: None,
        })),
    }
}

fn bounds(dispatch: &Dispatch) -> Bounds {
    let applies = dispatch.mounts.iter().any(|mount| mount.mode == Mode::ReadWrite);
    Bounds {
        runner: dispatch.runner.to_string(),
        workspaces: dispatch
            .mounts
            .iter()
            .map(|mount| WorkspaceBound { id: mount.workspace, mode: mount.mode })
            .collect(),
        tools: dispatch.tools.clone(),
        effect: if applies { Effect::ApplyReversible } else { Effect::Propose },
        label: EpochLabel { label: dispatch.label.clone(), epoch: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DispatchId, Limits, Mount, SessionId, Start, UserId};
    use uuid::Uuid;

    fn dispatch(mode: Mode, trigger: Trigger) -> Dispatch {
        let user = UserId::from_uuid(Uuid::from_u128(2));
        Dispatch {
            id: DispatchId::from_uuid(Uuid::from_u128(1)),
            subject: user,
            launcher: Launcher::Schedule("daily-brief".to_owned()),
            trigger,
            runner: "remit".parse().expect("a name"),
            mounts: vec![Mount {
                workspace: WorkspaceId::from_uuid(Uuid::from_u128(3)),
                name: "home".parse().expect("a name"),
                mode,
                base: None,
                purpose: String::new(),
            }],
            start: Start::Ask { turn: "t1".parse().expect("a name"), prompt: "hi".to_owned() },
            session: SessionId::from_uuid(Uuid::from_u128(4)),
            context: model::invocation::Context::default(),
            tools: vec![],
            label: Label::default(),
            limits: Limits::default(),
            permission: model::Permission::Auto,
            budget: model::Budget::default(),
            model: None,
            record: false,
            created: Time::from_ms(5_000),
        }
    }

    fn check(mode: Mode, trigger: Trigger, effect: Effect) {
        let dispatch = dispatch(mode, trigger);
        let issuance = Issuance { domain: "acme.internal", at: Time::from_ms(9_000), id: "j1" };
        let claims = Claims::of(&dispatch, issuance);
        assert_eq!(claims.txn, dispatch.id.to_string());
        assert_eq!((claims.iat, claims.exp), (9, 309));
        assert_eq!(claims.tctx.effect, effect);
        let launcher = claims.act.act.as_ref().expect("the launcher stands within");
        assert_eq!(launcher.sub, "spiffe://acme.internal/launcher/schedule/daily-brief");
        assert_eq!(claims.act.sub, format!("spiffe://acme.internal/dispatch/{}", dispatch.id));
    }

    #[test]
    fn claims_say_on_whose_behalf_who_acts_and_what_may_come_of_it() {
        check(Mode::ReadWrite, Trigger::Scheduled, Effect::ApplyReversible);
        check(Mode::Propose, Trigger::Event, Effect::Propose);
        check(Mode::ReadOnly, Trigger::Message, Effect::Propose);
    }
}
