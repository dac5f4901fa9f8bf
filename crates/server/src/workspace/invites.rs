//! Invitations to a workspace. A token is shown once and stored as its hash; to look at an invitation
//! grants nothing.

use std::fmt::Write;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::port::{Followed, Invite};
use model::{InviteId, Role, Time};
use model::{UserId, WorkspaceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use super::{Place, Which, WorkspaceView, own};
use crate::access::{Caller, key_hash};
use crate::answer::{Created, NoContent};
use crate::api::Api;
use crate::body::{JsonBody, Query};
use crate::problem::{CONFLICT, INVALID, INVITE_OVER, NOT_FOUND, NOT_INVITED, Problem};
use crate::views::{self, Moment};

/// What every token of an invitation begins with, so that scanners find one that leaked.
const TOKEN_PREFIX: &str = "rmi_";
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// How long an invitation is open where nobody says.
const OPEN: u64 = 7 * 86_400;
const OPEN_MAX: u64 = 90 * 86_400;
const USES_MAX: u32 = 1_000;
const EMAILS_MAX: usize = 100;
/// How many invitations of one workspace may be open at once.
const INVITES_MAX: usize = 1_000;

/// For whom an invitation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "InviteMode")]
enum Mode {
    /// For everybody who has the token.
    Open,
    /// For these mail addresses.
    Restricted,
}

/// An invitation that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvite {
    /// What those who follow it become: viewer or contributor.
    role: Role,
    /// For whom it is.
    mode: Mode,
    /// The mail addresses for which it is, if it is restricted.
    emails: Option<Vec<String>>,
    /// How long it is open, in seconds from now on; 7 days where absent.
    expires_s: Option<u64>,
    /// For how many people; as many as there are addresses, or one, where absent.
    uses: Option<u32>,
}

/// What an invitation grants, checked.
struct Granted {
    role: Role,
    emails: Vec<String>,
    open: Duration,
    uses: u32,
}

impl NewInvite {
    fn checked(self) -> Result<Granted, Problem> {
        let invalid = |words: String| Err(Problem::new(INVALID, words));
        if self.role == Role::Owner {
            return invalid("role: viewer or contributor; a member is made an owner".to_owned());
        }
        let emails = self.emails.unwrap_or_default();
        match self.mode {
            Mode::Open if !emails.is_empty() => {
                return invalid("emails: only for mode restricted".to_owned());
            }
            Mode::Restricted if !(1..=EMAILS_MAX).contains(&emails.len()) => {
                return invalid(format!("emails: 1 to {EMAILS_MAX} for mode restricted"));
            }
            Mode::Open | Mode::Restricted => {}
        }
        if let Some(bad) = emails.iter().find(|email| !email.contains('@') || email.len() > 254) {
            return invalid(format!("emails: `{bad}` is not a mail address"));
        }
        let seconds = self.expires_s.unwrap_or(OPEN);
        if !(60..=OPEN_MAX).contains(&seconds) {
            return invalid(format!("expires_s: 60 to {OPEN_MAX}"));
        }
        let usual = u32::try_from(emails.len().max(1)).unwrap_or(1);
        let uses = self.uses.unwrap_or(usual);
        if !(1..=USES_MAX).contains(&uses) {
            return invalid(format!("uses: 1 to {USES_MAX}"));
        }
        let emails = emails.iter().map(|email| email.trim().to_lowercase()).collect();
        Ok(Granted { role: self.role, emails, open: Duration::from_secs(seconds), uses })
    }
}

/// `POST /agent/workspace/invites`.
pub(crate) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: JsonBody<NewInvite>,
) -> Result<Created<NewlyInvited>, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &which, manage).await?;
    let Granted { role, emails, open, uses } = body.read().await?.checked()?;
    let now = api.clock.now();
    if api.directory.invites(place.workspace.id, now).await?.len() >= INVITES_MAX {
        return Err(Problem::new(CONFLICT, format!("{INVITES_MAX} invitations are open already")));
    }
    let mut token = TOKEN_PREFIX.to_owned();
    for byte in api.ids.secret() {
        // Writing to a text cannot fail.
        let _written = write!(token, "{byte:02x}");
    }
    let invite = Invite {
        id: InviteId::from_uuid(api.ids.uuid()),
        workspace: place.workspace.id,
        role,
        maker: caller.subject,
        emails,
        created: now,
        expires: later(now, open),
        uses_left: uses,
    };
    let shown = show(&invite);
    api.directory.add_invite(invite, key_hash(&token)).await?;
    Ok(Created(NewlyInvited { invite: shown, token }))
}

fn later(now: Time, by: Duration) -> Time {
    Time::from_ms(now.as_ms().saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

/// An invitation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
struct InviteView {
    id: InviteId,
    /// What those who follow it become.
    role: Role,
    /// For whom it is.
    mode: Mode,
    /// The mail addresses for which it is, if it is restricted.
    emails: Vec<String>,
    made_by: UserId,
    created: Moment,
    /// From when on it cannot be followed.
    expires: Moment,
    /// How many may still follow it.
    uses_left: u32,
}

/// An invitation that was made, with its token: shown this once.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MintedInvite")]
pub(crate) struct NewlyInvited {
    #[serde(flatten)]
    invite: InviteView,
    token: String,
}

/// Invitations.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Invites {
    invites: Vec<InviteView>,
}

fn show(invite: &Invite) -> InviteView {
    InviteView {
        id: invite.id,
        role: invite.role,
        mode: if invite.emails.is_empty() { Mode::Open } else { Mode::Restricted },
        emails: invite.emails.clone(),
        made_by: invite.maker,
        created: views::time(invite.created),
        expires: views::time(invite.expires),
        uses_left: invite.uses_left,
    }
}

/// `GET /agent/workspace/invites`: those that can still be followed, never their tokens.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Invites>, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &which, manage).await?;
    let invites = api.directory.invites(place.workspace.id, api.clock.now()).await?;
    Ok(Json(Invites { invites: invites.iter().map(show).collect() }))
}

/// `DELETE /agent/workspace/invites/{id}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<NoContent, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &which, manage).await?;
    let id: InviteId = id.parse().map_err(|_| no_invite())?;
    let there = api.directory.remove_invite(place.workspace.id, id).await?;
    if there { Ok(NoContent) } else { Err(no_invite()) }
}

/// The token of an invitation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteToken {
    /// As it was shown when the invitation was made.
    token: String,
}

impl InviteToken {
    fn hash(&self) -> Result<engine::port::KeyHash, Problem> {
        if self.token.len() > TOKEN_BYTES_MAX {
            return Err(no_invite());
        }
        Ok(key_hash(&self.token))
    }
}

/// What one would join.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InvitePreview")]
pub(crate) struct Preview {
    name: WorkspaceName,
    purpose: String,
    /// What one would become.
    role: Role,
    /// The name of who made the invitation.
    invited_by: Option<String>,
    expires: Moment,
    /// Whether it can still be followed.
    open: bool,
    /// What one is there already; null: nothing.
    your_role: Option<Role>,
}

/// `GET /agent/workspace/invites/preview`: what one would join. Grants nothing.
pub(crate) async fn preview(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(token): Query<InviteToken>,
) -> Result<Json<Preview>, Problem> {
    caller.may(&Action::AnswerInvite)?;
    let invite = api.directory.invite(token.hash()?).await?.ok_or_else(no_invite)?;
    let workspace = api.directory.workspace(invite.workspace).await?.ok_or_else(no_invite)?;
    let maker = api.directory.person(invite.maker).await?;
    let me = super::person(&api, &caller).await?;
    let role = api.directory.role(workspace.id, caller.subject).await?;
    let meant = invite.emails.is_empty() || invite.emails.contains(&me.email.to_lowercase());
    if !meant {
        return Err(not_invited());
    }
    Ok(Json(Preview {
        name: workspace.name,
        purpose: workspace.purpose,
        role: invite.role,
        invited_by: maker.map(|maker| maker.name),
        expires: views::time(invite.expires),
        open: invite.uses_left > 0 && api.clock.now() < invite.expires,
        your_role: role,
    }))
}

/// `POST /agent/workspace/invites/accept`.
pub(crate) async fn accept(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: JsonBody<InviteToken>,
) -> Result<Json<WorkspaceView>, Problem> {
    let token = body.read().await?;
    caller.may(&Action::AnswerInvite)?;
    let (hash, now) = (token.hash()?, api.clock.now());
    match api.directory.follow_invite(hash, caller.subject, now).await? {
        Followed::Joined(workspace, _) => Ok(Json(own::show_own(&api, &caller, workspace).await?)),
        Followed::Unknown => Err(no_invite()),
        Followed::Over => Err(Problem::new(
            INVITE_OVER,
            "the invitation has expired or was used up; ask for a new one",
        )),
        Followed::NotForThem => Err(not_invited()),
    }
}

fn no_invite() -> Problem {
    Problem::new(NOT_FOUND, "there is no such invitation; it may have been taken back")
}

fn not_invited() -> Problem {
    Problem::new(NOT_INVITED, "the invitation is for somebody else; ask for one of your own")
}
